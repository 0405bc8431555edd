#include "case/case_read.h"

#include "case/case_row.h"
#include "feed/partition.h"

#include <stddef.h>
#include <string.h>

void case_read_begin(struct case_read *read, rpc_call *call, const struct case_reader *reader)
{
    read->call = call;
    read->memory = rpc_call_arena(call);
    read->reader = reader;
    read->answer = NULL;
    read->result = NULL;
    read->known = read->at = 0;
    read->waits = false;
    read->err.code = STATUS_OK;
    pg_params_init(&read->params, read->memory);
}

void case_read_release(struct case_read *read)
{
    while (read->known > 0)
        pg_result_free(read->results[--read->known]);
}

static int64_t deadline_of(const struct case_read *read)
{
    int64_t deadline_us = rpc_call_deadline_us(read->call);
    return deadline_us == INT64_MAX ? 0 : deadline_us;
}

bool case_read_run(struct case_read *read, const struct pg_statement *statement)
{
    bool run = read->at < read->known;
    if (!run && read->known == CASE_READ_STATEMENTS_MAX)
        return error_set(&read->err, STATUS_INTERNAL, "INTERNAL", "too many statements for one read");
    if (!run && read->answer) {
        read->pending.statement = statement;
        read->waits = true;
        return false;
    }
    if (!run && !pg_pool_query(read->reader->pool, statement, &read->params, deadline_of(read),
                               &read->results[read->known], &read->err))
        return false;
    read->known += !run;
    read->result = read->results[read->at++];
    pg_params_init(&read->params, read->memory);
    return true;
}

static void end(struct case_read *read, const ProtobufCMessage *response)
{
    if (response)
        rpc_call_reply(read->call, response);
    else if (read->err.code == STATUS_OK)
        rpc_call_fail_memory(read->call);
    else
        rpc_call_fail(read->call, &read->err);
}

/* Afterwards the call's memory is gone, and the read with it. */
static void finish(struct case_read *read, const ProtobufCMessage *response)
{
    pg_result *results[CASE_READ_STATEMENTS_MAX];
    unsigned known = read->known;
    memcpy(results, read->results, known * sizeof(pg_result *));
    end(read, response);
    while (known > 0)
        pg_result_free(results[--known]);
}

static void go_on(struct case_read *read)
{
    read->at = 0;
    read->result = NULL;
    read->err.code = STATUS_OK;
    pg_params_init(&read->params, read->memory);
    const ProtobufCMessage *response = read->answer(read, read->request);
    if (read->waits)
        pg_reader_submit(read->reader->reader, &read->pending); /* it may be over when this returns */
    else
        finish(read, response);
}

static struct case_read *read_of(const struct pg_read *pending)
{
    return (struct case_read *)((uintptr_t)pending - offsetof(struct case_read, pending));
}

static void result_came(struct pg_read *pending, pg_result *result, const error *err)
{
    struct case_read *read = read_of(pending);
    read->waits = false;
    if (result) {
        read->results[read->known++] = result;
        go_on(read);
    } else {
        read->err = *err;
        finish(read, NULL);
    }
}

static bool is_wanted(const struct pg_read *pending)
{
    return !rpc_call_is_cancelled(read_of(pending)->call);
}

void case_read_start(rpc_call *call, const ProtobufCMessage *request, const void *context,
                     case_read_answer *answer)
{
    struct case_read *read = arena_alloc(rpc_call_arena(call), sizeof *read);
    if (!read) {
        rpc_call_fail_memory(call);
        return;
    }
    case_read_begin(read, call, context);
    read->answer = answer;
    read->request = request;
    read->pending = (struct pg_read){.params = &read->params,
                                     .deadline_us = deadline_of(read),
                                     .done = result_came,
                                     .is_wanted = is_wanted};
    go_on(read);
}

void *case_read_not_found(struct case_read *read, const char *name)
{
    rpc_error_not_found(&read->err, name);
    return NULL;
}

void case_read_add_account(struct case_read *read, const char *account)
{
    pg_add_int2(&read->params, feed_partition(account));
    pg_add_text(&read->params, account);
}

bool case_read_check_account(struct case_read *read, const char *account)
{
    static const struct pg_statement account_exists = {
        .quick = true,
        .name = "account_exists",
        .sql = "SELECT 1 FROM accounts WHERE partition = $1::int2 AND account = $2::text",
    };
    case_read_add_account(read, account);
    if (!case_read_run(read, &account_exists))
        return false;
    if (pg_rows(read->result) > 0)
        return true;
    const char *name = arena_printf(read->memory, "accounts/%s", account);
    return name && rpc_error_not_found(&read->err, name);
}

static bool read_origin(struct case_read *read, const char *account, int64_t *ret_origin)
{
    static const struct pg_statement account_begins = {
        .quick = true,
        .name = "account_begins",
        .sql = "SELECT " ACCOUNT_BEGIN " FROM accounts WHERE partition = $1::int2 AND account = $2::text",
    };
    case_read_add_account(read, account);
    if (!case_read_run(read, &account_begins))
        return false;
    const char *name = arena_printf(read->memory, "accounts/%s", account);
    if (pg_rows(read->result) == 0)
        return name && rpc_error_not_found(&read->err, name);
    *ret_origin = pg_get_int(read->result, 0, 0);
    return true;
}

bool case_read_page_end(struct case_read *read, const char *account, int64_t origin,
                        const struct rpc_page *page, const ProtobufCMessage *request, const char *extra,
                        const struct rpc_page_key *key, char **ret_token)
{
    if (!page->after && !key)
        return true;
    if (origin == 0 && !read_origin(read, account, &origin))
        return false;
    if (page->after && page->key.origin != origin)
        return rpc_page_refuse(&read->err);
    if (!key)
        return true;
    struct rpc_page_key behind = *key;
    behind.origin = origin;
    char *token = rpc_page_seal(read->memory, request, extra, &behind);
    if (token)
        *ret_token = token;
    return token != NULL;
}

size_t case_read_page_rows(const struct case_read *read, const struct rpc_page *page, bool *ret_more)
{
    int rows = pg_rows(read->result);
    *ret_more = rows > page->size;
    return (size_t)(rows > page->size ? page->size : rows);
}
