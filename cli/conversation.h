#ifndef CASEWORK_CLI_CONVERSATION_H
#define CASEWORK_CLI_CONVERSATION_H

/*
 * One line of an import file as a request of ImportService. A line is a JSON object:
 *   external_id, account (lower-cased it is the account's id, as written its display name), channel (a
 * network), contact {name, emails, phones, note}, subject, messages [{from: customer | agent | note |
 * third_party, name, at (RFC 3339), text}], optional labels, status (new, open, pending, resolved),
 * status_at.
 */

#include "base/arena.h"
#include "base/error.h"
#include "casework/cases/v1/import_service.pb-c.h"

#include <stdbool.h>

/* The request lives in the arena. False: the message says what is wrong with the line. */
bool conversation_parse(arena *memory, const char *text, size_t length,
                        Casework__Cases__V1__ImportConversationsRequest **ret_request, error *err)
    __attribute__((warn_unused_result));

#endif
