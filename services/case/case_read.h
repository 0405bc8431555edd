#ifndef CASEWORK_CASE_READ_H
#define CASEWORK_CASE_READ_H

/*
 * The read side: every read runs on a worker, beside the lanes, on a connection of the pool. A handler begins
 * a case_read, runs statements into it, and ends it with the response or NULL.
 */

#include "base/arena.h"
#include "base/error.h"
#include "pg/pg.h"
#include "rpc/call.h"
#include "rpc/page.h"
#include "rpc/server.h"

#include <stdbool.h>
#include <stdint.h>

/* What the read handlers need: their context. */
struct case_reader {
    pg_pool *pool;
};

/* Tables of methods; each with a struct case_reader as context. */
extern const struct rpc_method case_read_resource_methods[]; /* accounts, agents, contacts, channels */
extern const struct rpc_method case_read_case_methods[];     /* cases and their events */
extern const struct rpc_method case_due_methods[];           /* what timers are derived from */
extern const struct rpc_method case_list_methods[];          /* folders and their counts */
extern const struct rpc_method case_read_message_methods[];
extern const struct rpc_method case_document_methods[]; /* what search indexes */

/* Everybody who has a token. */
enum { CASE_ROLES_ALL = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE };

/* One read being answered, on the handler's stack. */
struct case_read {
    rpc_call *call;
    arena *memory;
    pg_pool *pool;
    pg_params params;
    pg_result *result; /* of the last statement; freed by the next one and at the end */
    error err;         /* why there is no response; STATUS_OK then means that memory ran out */
};

void case_read_begin(struct case_read *read, rpc_call *call, void *context);

/* Runs a statement with read->params, and begins new parameters. */
bool case_read_run(struct case_read *read, const struct pg_statement *statement)
    __attribute__((warn_unused_result));

/* Ends the call: with `response`, or with read->err when that is NULL. Frees the result. */
void case_read_end(struct case_read *read, const ProtobufCMessage *response);

/* Sets read->err to NOT_FOUND, as for everything that does not exist or is another account's; returns NULL.
 */
void *case_read_not_found(struct case_read *read, const char *name);

/* Adds the account's partition and id as the next two parameters, which all statements have first. */
void case_read_add_account(struct case_read *read, const char *account);

/* An empty list is an answer only when the account exists: else NOT_FOUND. */
bool case_read_check_account(struct case_read *read, const char *account) __attribute__((warn_unused_result));

/*
 * The rows of a page that is read with one row more than asked for: how many belong to it, and whether others
 * follow.
 */
size_t case_read_page_rows(const struct case_read *read, const struct rpc_page *page, bool *ret_more);

#endif
