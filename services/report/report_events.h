#ifndef CASEWORK_REPORT_EVENTS_H
#define CASEWORK_REPORT_EVENTS_H

/* The feed's events as the domain's. */

#include "base/arena.h"
#include "base/error.h"
#include "casework/cases/v1/event.pb-c.h"
#include "report/report_model.h"
#include "rpc/client.h"

/*
 * Texts stay the event's, all else is in `memory`. Where a merge or its undoing has changed a conversation,
 * what it consists of now is read from the case's history, up to the event: `cases` is the case service.
 * Fails like a call of it.
 */
bool report_events_read(rpc_channel *cases, arena *memory, const Casework__Cases__V1__Event *event,
                        struct report_event *ret_event, error *err) __attribute__((warn_unused_result));

#endif
