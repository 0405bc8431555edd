#ifndef CASEWORK_CASE_IMPORT_COMMAND_H
#define CASEWORK_CASE_IMPORT_COMMAND_H

/* A conversation to import, from the wire to the write path: checked, its messages put in order, names made
 * ids. */

#include "base/arena.h"
#include "base/error.h"
#include "case/case_command.h"
#include "casework/cases/v1/import_service.pb-c.h"

#include <stdbool.h>

/* The longest id an account, agent, contact or channel can have. */
enum { IMPORT_ID_MAX = 63 };

/*
 * Fills `ret_import`, which shares the conversation's texts; what is made of them is in `memory`. False:
 * INVALID_ARGUMENT and the field, or RESOURCE_EXHAUSTED when the memory is full.
 */
bool import_conversation_take(arena *memory, const Casework__Cases__V1__Conversation *conversation,
                              struct import_conversation *ret_import, error *err)
    __attribute__((warn_unused_result));

/*
 * An agent's id made from a name: lower case, everything but letters, digits, '.', '_' and '-' replaced,
 * never the same for names that differ in more than case. NULL: the arena is full.
 */
char *import_agent_id(arena *memory, const char *name);

#endif
