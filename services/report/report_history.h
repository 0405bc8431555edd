#ifndef CASEWORK_REPORT_HISTORY_H
#define CASEWORK_REPORT_HISTORY_H

/*
 * A case's conversation, from its history. Events tell of every message once, and of merges what joined or
 * left; what a case consisted of at some position follows from them alone, whenever it is asked.
 */

#include "base/arena.h"
#include "base/error.h"
#include "casework/cases/v1/event.pb-c.h"
#include "report/report_model.h"
#include "rpc/client.h"

/* Texts stay the facts'. */
bool report_history_message(const Casework__Cases__V1__MessageFacts *facts,
                            struct report_message *ret_message, error *err)
    __attribute__((warn_unused_result));

/*
 * The messages that the case (a resource name) had after the event with that position, in the order of
 * reading: by number, or by sent time where others were merged into it. Asks the case service, page by page.
 * None for a case that is gone: its account was deleted since, which the feed will tell.
 */
bool report_history_read(rpc_channel *cases, arena *memory, const char *name, int64_t position,
                         const struct report_message **ret_messages, size_t *ret_count, error *err)
    __attribute__((warn_unused_result));

#endif
