#ifndef CASEWORK_CASE_READ_H
#define CASEWORK_CASE_READ_H

/*
 * The read side. A call is answered by a function that runs statements one after the other and makes the
 * response of their results:
 *
 *     static ProtobufCMessage *answer(struct case_read *read, const ProtobufCMessage *request)
 *     {
 *         … check the request, add parameters …
 *         if (!case_read_run(read, &statement))
 *             return NULL;
 *         … read->result …
 *     }
 *
 * No thread waits for the database. A statement that has not been run yet makes case_read_run return false;
 * its result comes back on a thread of the reader (pg/reader.h), and there `answer` runs again from its
 * beginning: the statements before have their results at once, so that it gets one further. So what it does
 * must follow from the request and the results alone, and change nothing outside of the call.
 */

#include "base/arena.h"
#include "base/error.h"
#include "pg/pg.h"
#include "pg/reader.h"
#include "rpc/call.h"
#include "rpc/page.h"
#include "rpc/server.h"

#include <stdbool.h>
#include <stdint.h>

/* What the read handlers need: their context. */
struct case_reader {
    pg_reader *reader;
    pg_pool *pool; /* for threads that may wait: streams */
};

/* Tables of methods; each with a struct case_reader as context. */
extern const struct rpc_method case_read_resource_methods[]; /* accounts, agents, contacts, channels */
extern const struct rpc_method case_read_case_methods[];     /* cases and their events */
extern const struct rpc_method case_due_methods[];           /* what timers are derived from */
extern const struct rpc_method case_target_methods[];        /* what targets are derived from */
extern const struct rpc_method case_list_methods[];          /* folders and their counts */
extern const struct rpc_method case_read_message_methods[];
extern const struct rpc_method case_document_methods[]; /* what search indexes */
extern const struct rpc_method case_position_methods[]; /* where the feed is */

/* Everybody who has a token. */
enum { CASE_ROLES_ALL = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE };

enum { CASE_READ_STATEMENTS_MAX = 5 };

struct case_read;
typedef ProtobufCMessage *case_read_answer(struct case_read *read, const ProtobufCMessage *request);

/* One read being answered. */
struct case_read {
    rpc_call *call;
    arena *memory;
    pg_params params;
    pg_result *result; /* of the last statement; all results stay until the end */
    error err;         /* why there is no response; STATUS_OK then means that memory ran out */

    /* case_read.c's */
    const struct case_reader *reader;
    case_read_answer *answer; /* NULL: the thread waits */
    const ProtobufCMessage *request;
    struct pg_read pending;
    pg_result *results[CASE_READ_STATEMENTS_MAX];
    unsigned known, at;
    bool waits;
};

/* Answers a unary call, now or later. `context` is a struct case_reader. */
void case_read_start(rpc_call *call, const ProtobufCMessage *request, const void *context,
                     case_read_answer *answer);

/* Reads of a thread that may wait: case_read_run returns when the statement is done. Ended by
 * case_read_release. */
void case_read_begin(struct case_read *read, rpc_call *call, const struct case_reader *reader);
void case_read_release(struct case_read *read);

/* Runs a statement with read->params, and begins new parameters. */
bool case_read_run(struct case_read *read, const struct pg_statement *statement)
    __attribute__((warn_unused_result));

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

/*
 * Ends a page of an account's list, once its rows are used: *ret_token leads behind `key`, or is left as it
 * is for NULL, the last page. Tokens tell where the account's history begins: one that was given for a former
 * account of that name is refused. `origin`, if the page's statement has read that; 0: it is read now, where
 * it is needed. Request and `extra` as at the opening.
 */
bool case_read_page_end(struct case_read *read, const char *account, int64_t origin,
                        const struct rpc_page *page, const ProtobufCMessage *request, const char *extra,
                        const struct rpc_page_key *key, char **ret_token) __attribute__((warn_unused_result));

#endif
