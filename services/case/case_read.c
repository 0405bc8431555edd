#include "case/case_read.h"

#include "feed/partition.h"

void case_read_begin(struct case_read *read, rpc_call *call, void *context)
{
    const struct case_reader *reader = context;
    read->call = call;
    read->memory = rpc_call_arena(call);
    read->pool = reader->pool;
    read->result = NULL;
    read->err.code = STATUS_OK;
    pg_params_init(&read->params, read->memory);
}

bool case_read_run(struct case_read *read, const struct pg_statement *statement)
{
    pg_result_free(read->result);
    read->result = NULL;
    int64_t deadline = rpc_call_deadline_us(read->call);
    bool done = pg_pool_query(read->pool, statement, &read->params, deadline == INT64_MAX ? 0 : deadline,
                              &read->result, &read->err);
    pg_params_init(&read->params, read->memory);
    return done;
}

void case_read_end(struct case_read *read, const ProtobufCMessage *response)
{
    if (response)
        rpc_call_reply(read->call, response);
    else if (read->err.code == STATUS_OK)
        rpc_call_fail_memory(read->call);
    else
        rpc_call_fail(read->call, &read->err);
    pg_result_free(read->result);
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

size_t case_read_page_rows(const struct case_read *read, const struct rpc_page *page, bool *ret_more)
{
    int rows = pg_rows(read->result);
    *ret_more = rows > page->size;
    return (size_t)(rows > page->size ? page->size : rows);
}
