/* GetMessage and ListMessages. */

#include "case/case_model.h"
#include "case/case_read.h"
#include "case/case_row.h"
#include "case/case_wire.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/wire.h"

#include <string.h>

/* Bodies read for one page: no more than fit into it. */
enum { PAGE_BODY_BYTES = RPC_ROOM_BYTES_MAX };

/* What a customer sees (case_model.h: message_kind_is_visible). $1 partition, $2 account, $3 case, $4
 * customer's view */
#define VISIBLE " AND (NOT $4::bool OR m.kind IN (1, 2, 7))"

static const struct pg_statement message_get = {
    .quick = true,
    .name = "message_get",
    .sql = "SELECT " MESSAGE_COLUMNS " FROM messages m WHERE m.partition = $1::int2 AND m.account = $2::text"
           " AND m.case_id = $3::int8 AND m.number = $5::int4" VISIBLE,
};

/*
 * A page in an order ($5 and, by time, $8: the key to go on behind). The row whose body goes beyond a page is
 * the last one read: it has no room, which tells that others follow. Also tells whether another case was
 * merged into this one: it is then read by time.
 */
#define PAGE(behind, order)                                                                                  \
    "SELECT " MESSAGE_COLUMNS ", EXISTS (SELECT 1 FROM case_merges e WHERE e.partition = $1::int2"           \
    " AND e.account = $2::text AND e.target = $3::int8)"                                                     \
    " FROM (SELECT m.*, sum(octet_length(m.body)) OVER (ORDER BY " order ")"                                 \
    " - octet_length(m.body) AS bytes_before FROM (SELECT m.* FROM messages m"                               \
    " WHERE m.partition = $1::int2 AND m.account = $2::text AND m.case_id = $3::int8" VISIBLE " AND " behind \
    " ORDER BY " order " LIMIT $6::int4) m) m WHERE m.bytes_before <= $7::int4 ORDER BY " order

static const struct pg_statement message_list = {
    .name = "message_list",
    .sql = PAGE("m.number > $5::int4", "m.number"),
};

static const struct pg_statement message_list_by_time = {
    .name = "message_list_by_time",
    .sql = PAGE("(m.send_time, m.number) > ($8::timestamptz, $5::int4)", "m.send_time, m.number"),
};

/* No message was sent as early. */
#define BEFORE_ALL_TIMES INT64_C(-62135596800000001)

enum { MERGED_COLUMN = MESSAGE_COLUMN_COUNT };

static const struct pg_statement message_last = {
    .quick = true,
    .name = "message_last",
    .sql =
        "SELECT message_count FROM cases WHERE partition = $1::int2 AND account = $2::text AND id = $3::int8",
};

static bool check_view(struct case_read *read, Casework__Cases__V1__MessageView view)
{
    if (view > CASEWORK__CASES__V1__MESSAGE_VIEW__MESSAGE_VIEW_CUSTOMER)
        return error_bad_field(&read->err, "view", "is no view");
    return true;
}

static bool is_customers(Casework__Cases__V1__MessageView view)
{
    return view == CASEWORK__CASES__V1__MESSAGE_VIEW__MESSAGE_VIEW_CUSTOMER;
}

static Casework__Cases__V1__Message *message_of(struct case_read *read, int row)
{
    struct message_record record;
    if (!message_row_read(read->result, row, read->memory, &record, &read->err))
        return NULL;
    return message_wire(read->memory, &record);
}

static ProtobufCMessage *answer_get(struct case_read *read, const ProtobufCMessage *message)
{
    const Casework__Cases__V1__GetMessageRequest *request = (const void *)message;
    const char *account;
    int64_t case_id;
    int32_t number;
    if (!rpc_name_message(read->memory, request->name, "name", &account, &case_id, &number, &read->err) ||
        !check_view(read, request->view))
        return NULL;
    case_read_add_account(read, account);
    pg_add_int8(&read->params, case_id);
    pg_add_bool(&read->params, is_customers(request->view));
    pg_add_int4(&read->params, number);
    if (!case_read_run(read, &message_get))
        return NULL;
    if (pg_rows(read->result) == 0)
        return case_read_not_found(read, request->name);
    Casework__Cases__V1__GetMessageResponse *response = arena_alloc(read->memory, sizeof *response);
    Casework__Cases__V1__Message *found = message_of(read, 0);
    if (!response || !found)
        return NULL;
    casework__cases__v1__get_message_response__init(response);
    response->message = found;
    return &response->base;
}

/* Up to `count` messages, as many as there is room for. */
static Casework__Cases__V1__ListMessagesResponse *page_of(struct case_read *read, size_t count)
{
    struct rpc_room room = {0};
    Casework__Cases__V1__ListMessagesResponse *response = arena_alloc(read->memory, sizeof *response);
    if (!response)
        return NULL;
    casework__cases__v1__list_messages_response__init(response);
    response->messages = arena_calloc(read->memory, count + 1, sizeof(void *));
    if (!response->messages)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        response->messages[i] = message_of(read, (int)i);
        if (!response->messages[i])
            return NULL;
        if (!rpc_room_take(&room, &response->messages[i]->base))
            break;
        response->n_messages++;
    }
    return response;
}

/* Nothing read: an empty page of a case that is there, or no such case. */
static bool case_is_there(struct case_read *read, const char *account, int64_t case_id, const char *name)
{
    case_read_add_account(read, account);
    pg_add_int8(&read->params, case_id);
    if (!case_read_run(read, &message_last))
        return false;
    return pg_rows(read->result) > 0 || case_read_not_found(read, name);
}

/* The order of a walk, in its tokens; it is that of the first page, whatever is merged or undone meanwhile.
 */
enum { BY_NUMBER = 0, BY_TIME = 1 };

static bool run_page(struct case_read *read, const Casework__Cases__V1__ListMessagesRequest *request,
                     const char *account, int64_t case_id, const struct rpc_page *page, int64_t order)
{
    case_read_add_account(read, account);
    pg_add_int8(&read->params, case_id);
    pg_add_bool(&read->params, is_customers(request->view));
    pg_add_int4(&read->params, page->key.second);
    pg_add_int4(&read->params, page->size + 1);
    pg_add_int4(&read->params, PAGE_BODY_BYTES);
    if (order == BY_NUMBER)
        return case_read_run(read, &message_list);
    pg_add_time(&read->params, page->after ? page->key.first : BEFORE_ALL_TIMES);
    return case_read_run(read, &message_list_by_time);
}

/* The page's rows; *ret_order is the walk's. */
static bool read_page(struct case_read *read, const Casework__Cases__V1__ListMessagesRequest *request,
                      const char *account, int64_t case_id, const struct rpc_page *page, int64_t *ret_order)
{
    int64_t order = page->after ? page->key.base : BY_NUMBER;
    if (!run_page(read, request, account, case_id, page, order))
        return false;
    if (!page->after && pg_rows(read->result) > 0 && pg_get_bool(read->result, 0, MERGED_COLUMN)) {
        order = BY_TIME;
        if (!run_page(read, request, account, case_id, page, order))
            return false;
    }
    *ret_order = order;
    return true;
}

static struct rpc_page_key key_of(const Casework__Cases__V1__Message *last, int64_t order)
{
    struct rpc_page_key key = {.second = last->number, .base = order};
    if (!wire_time_us(last->send_time, &key.first))
        key.first = 0;
    return key;
}

static ProtobufCMessage *answer_list(struct case_read *read, const ProtobufCMessage *message)
{
    const Casework__Cases__V1__ListMessagesRequest *request = (const void *)message;
    const char *account;
    int64_t case_id, order;
    struct rpc_page page;
    if (!rpc_name_case(read->memory, request->parent, "parent", &account, &case_id, &read->err) ||
        !check_view(read, request->view) ||
        !rpc_page_open(read->memory, &request->base, NULL, &rpc_page_sizes_usual, &page, &read->err) ||
        !read_page(read, request, account, case_id, &page, &order))
        return NULL;
    bool more;
    size_t count = case_read_page_rows(read, &page, &more); /* before another result takes its place */
    if (count == 0 && !case_is_there(read, account, case_id, request->parent))
        return NULL;
    Casework__Cases__V1__ListMessagesResponse *response = page_of(read, count);
    if (!response)
        return NULL;
    bool is_last = !more && response->n_messages == count;
    struct rpc_page_key key = {0};
    if (!is_last)
        key = key_of(response->messages[response->n_messages - 1], order);
    return case_read_page_end(read, account, 0, &page, message, NULL, is_last ? NULL : &key,
                              &response->next_page_token)
               ? &response->base
               : NULL;
}

static void handle_get(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer_get);
}

static void handle_list(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer_list);
}

const struct rpc_method case_read_message_methods[] = {
    {.service = &casework__cases__v1__message_service__descriptor,
     .name = "GetMessage",
     .run = RPC_RUN_INLINE,
     .roles = CASE_ROLES_ALL,
     .resource = "name",
     .brief = true,
     .unary = handle_get},
    {.service = &casework__cases__v1__message_service__descriptor,
     .name = "ListMessages",
     .run = RPC_RUN_INLINE,
     .roles = CASE_ROLES_ALL,
     .resource = "parent",
     .unary = handle_list},
    {0},
};
