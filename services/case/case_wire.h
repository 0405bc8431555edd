#ifndef CASEWORK_CASE_WIRE_H
#define CASEWORK_CASE_WIRE_H

/*
 * Records as messages of the contract. Messages and what they point to live in `memory`, or point to the
 * record's own texts: both must outlive the message. NULL: the arena is full.
 */

#include "base/arena.h"
#include "base/error.h"
#include "case/case_model.h"
#include "casework/cases/v1/account.pb-c.h"
#include "casework/cases/v1/agent.pb-c.h"
#include "casework/cases/v1/case.pb-c.h"
#include "casework/cases/v1/channel.pb-c.h"
#include "casework/cases/v1/contact.pb-c.h"
#include "casework/cases/v1/message.pb-c.h"
#include "google/rpc/status.pb-c.h"

Casework__Cases__V1__Account *account_wire(arena *memory, const struct account_record *record);
Casework__Cases__V1__Agent *agent_wire(arena *memory, const struct agent_record *record);
Casework__Cases__V1__Contact *contact_wire(arena *memory, const struct contact_record *record);
Casework__Cases__V1__Channel *channel_wire(arena *memory, const struct channel_record *record);
Casework__Cases__V1__Case *case_wire(arena *memory, const struct case_record *record);
Casework__Cases__V1__Message *message_wire(arena *memory, const struct message_record *record);

/* "accounts/acme/agents/anna" from a collection ("agents") and an id; "" for the id "". NULL: the arena is
 * full. */
char *case_wire_name(arena *memory, const char *account, const char *collection, const char *id);
char *case_wire_case_name(arena *memory, const char *account, int64_t id); /* "" for 0 */

/* An error as it stands in the results of a batch, with its details. */
Google__Rpc__Status *case_wire_status(arena *memory, const error *err);

/* A version as an etag (AIP-154). */
char *case_wire_etag(arena *memory, int64_t version);

#endif
