/*
 * GetAccount … ListChannels: four resources that are read alike. One row of `resources` says what is
 * particular about each; the request's type finds the row.
 */

#include "case/case_model.h"
#include "case/case_read.h"
#include "case/case_row.h"
#include "case/case_wire.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "rpc/name.h"

#include <string.h>

/* All column lists have the id in the second column. */
enum { ID_COLUMN = 1 };

static const struct pg_statement account_get = {
    .quick = true,
    .name = "account_get",
    .sql = "SELECT " ACCOUNT_COLUMNS " FROM accounts a WHERE a.partition = $1::int2 AND a.account = $2::text",
};

/* For callers of one account ($1) or, with '', of all. */
static const struct pg_statement account_list = {
    .name = "account_list",
    .sql = "SELECT " ACCOUNT_COLUMNS
           " FROM accounts a WHERE a.account > $2::text AND ($1::text = '' OR a.account = $1)"
           " ORDER BY a.account LIMIT $3::int4",
};

static const struct pg_statement agent_get = {
    .quick = true,
    .name = "agent_get",
    .sql = "SELECT " AGENT_COLUMNS
           " FROM agents g WHERE g.partition = $1::int2 AND g.account = $2::text AND g.agent = $3::text",
};

static const struct pg_statement agent_list = {
    .name = "agent_list",
    .sql = "SELECT " AGENT_COLUMNS " FROM agents g WHERE g.partition = $1::int2 AND g.account = $2::text"
           " AND g.agent > $3::text ORDER BY g.agent LIMIT $4::int4",
};

static const struct pg_statement contact_get = {
    .quick = true,
    .name = "contact_get",
    .sql = "SELECT " CONTACT_COLUMNS
           " FROM contacts p WHERE p.partition = $1::int2 AND p.account = $2::text AND p.contact = $3::text",
};

static const struct pg_statement contact_list = {
    .name = "contact_list",
    .sql = "SELECT " CONTACT_COLUMNS " FROM contacts p WHERE p.partition = $1::int2 AND p.account = $2::text"
           " AND p.contact > $3::text AND p.erase_time IS NULL ORDER BY p.contact LIMIT $4::int4",
};

/* $5: the address as others than phones are found, $6: as phones are. */
static const struct pg_statement contact_list_by_address = {
    .name = "contact_list_by_address",
    .sql = "SELECT " CONTACT_COLUMNS " FROM contacts p WHERE p.partition = $1::int2 AND p.account = $2::text"
           " AND p.contact > $3::text AND p.erase_time IS NULL AND p.contact IN"
           " (SELECT x.contact FROM contact_addresses x WHERE x.partition = $1 AND x.account = $2"
           " AND ((x.address = $5::text AND x.network <> 'phone') OR (x.address = $6::text AND x.network = "
           "'phone')))"
           " ORDER BY p.contact LIMIT $4::int4",
};

static const struct pg_statement channel_get = {
    .quick = true,
    .name = "channel_get",
    .sql = "SELECT " CHANNEL_COLUMNS
           " FROM channels h WHERE h.partition = $1::int2 AND h.account = $2::text AND h.channel = $3::text",
};

static const struct pg_statement channel_list = {
    .name = "channel_list",
    .sql =
        "SELECT " CHANNEL_COLUMNS " FROM channels h WHERE h.partition = $1::int2 AND h.account = $2::text"
        " AND h.channel > $3::text AND ($5::text = '' OR h.network = $5) ORDER BY h.channel LIMIT $4::int4",
};

static ProtobufCMessage *account_message(struct case_read *read, int row)
{
    struct account_record record;
    account_row_read(read->result, row, &record);
    return (ProtobufCMessage *)account_wire(read->memory, &record);
}

static ProtobufCMessage *agent_message(struct case_read *read, int row)
{
    struct agent_record record;
    agent_row_read(read->result, row, &record);
    return (ProtobufCMessage *)agent_wire(read->memory, &record);
}

static ProtobufCMessage *contact_message(struct case_read *read, int row)
{
    struct contact_record record;
    if (!contact_row_read(read->result, row, read->memory, &record, &read->err))
        return NULL;
    return (ProtobufCMessage *)contact_wire(read->memory, &record);
}

static ProtobufCMessage *channel_message(struct case_read *read, int row)
{
    struct channel_record record;
    channel_row_read(read->result, row, &record);
    return (ProtobufCMessage *)channel_wire(read->memory, &record);
}

/* Statement and parameters of a list, from account and page on; false: read->err is set. */
typedef bool list_query(struct case_read *read, const ProtobufCMessage *request, const struct rpc_page *page,
                        const struct pg_statement **ret_statement);

static bool account_list_query(struct case_read *read, const ProtobufCMessage *request,
                               const struct rpc_page *page, const struct pg_statement **ret_statement)
{
    (void)request;
    const struct rpc_caller *caller = rpc_call_caller(read->call);
    const char *own = caller->account;
    if (caller->agent[0] != '\0' && strcmp(own, "*") == 0)
        return error_set(&read->err, STATUS_PERMISSION_DENIED, "ACTING_FOR_AN_AGENT",
                         "an agent has to do with its own account only, which this call does not name");
    pg_add_text(&read->params, strcmp(own, "*") == 0 ? "" : own);
    pg_add_text(&read->params, page->key.text);
    pg_add_int4(&read->params, page->size + 1);
    *ret_statement = &account_list;
    return true;
}

static bool add_member_page(struct case_read *read, const char *parent, const struct rpc_page *page)
{
    const char *account;
    if (!rpc_name_account(read->memory, parent, "parent", &account, &read->err))
        return false;
    case_read_add_account(read, account);
    pg_add_text(&read->params, page->key.text);
    pg_add_int4(&read->params, page->size + 1);
    return true;
}

static bool agent_list_query(struct case_read *read, const ProtobufCMessage *request,
                             const struct rpc_page *page, const struct pg_statement **ret_statement)
{
    *ret_statement = &agent_list;
    return add_member_page(read, ((const Casework__Cases__V1__ListAgentsRequest *)request)->parent, page);
}

static bool contact_list_query(struct case_read *read, const ProtobufCMessage *message,
                               const struct rpc_page *page, const struct pg_statement **ret_statement)
{
    const Casework__Cases__V1__ListContactsRequest *request = (const void *)message;
    if (!add_member_page(read, request->parent, page))
        return false;
    *ret_statement = &contact_list;
    if (!*request->address)
        return true;
    const char *folded = case_address_key(read->memory, "email", request->address);
    const char *digits = case_address_key(read->memory, "phone", request->address);
    if (!folded || !digits)
        return false;
    pg_add_text(&read->params, folded);
    pg_add_text(&read->params, *digits ? digits : NULL);
    *ret_statement = &contact_list_by_address;
    return true;
}

static bool channel_list_query(struct case_read *read, const ProtobufCMessage *message,
                               const struct rpc_page *page, const struct pg_statement **ret_statement)
{
    const Casework__Cases__V1__ListChannelsRequest *request = (const void *)message;
    if (!add_member_page(read, request->parent, page))
        return false;
    pg_add_text(&read->params, request->network);
    *ret_statement = &channel_list;
    return true;
}

struct resource {
    const char *collection; /* NULL: accounts */
    const ProtobufCMessageDescriptor *get_request, *get_response, *list_request, *list_response;
    const struct pg_statement *get;
    list_query *query;
    ProtobufCMessage *(*message)(struct case_read *read, int row); /* NULL: read->err, or memory ran out */
};

#define RESOURCE(wire_single, wire_plural)                                            \
    .get_request = &casework__cases__v1__get_##wire_single##_request__descriptor,     \
    .get_response = &casework__cases__v1__get_##wire_single##_response__descriptor,   \
    .list_request = &casework__cases__v1__list_##wire_plural##_request__descriptor,   \
    .list_response = &casework__cases__v1__list_##wire_plural##_response__descriptor, \
    .get = &wire_single##_get, .query = wire_single##_list_query, .message = wire_single##_message

static const struct resource resources[] = {
    {.collection = NULL, RESOURCE(account, accounts)},
    {.collection = "agents", RESOURCE(agent, agents)},
    {.collection = "contacts", RESOURCE(contact, contacts)},
    {.collection = "channels", RESOURCE(channel, channels)},
};

static const struct resource *resource_of(const ProtobufCMessage *request)
{
    const struct resource *r = resources;
    while (r->get_request != request->descriptor && r->list_request != request->descriptor)
        r++;
    return r;
}

/* The field of a request or response by its name; the contract's types have it. */
static void *field(const ProtobufCMessage *message, const char *name)
{
    return (char *)(uintptr_t)message +
           protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name)->offset;
}

static ProtobufCMessage *new_response(struct case_read *read, const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *response = arena_alloc(read->memory, type->sizeof_message);
    if (response)
        protobuf_c_message_init(type, response);
    return response;
}

static ProtobufCMessage *answer_get(struct case_read *read, const ProtobufCMessage *request)
{
    const struct resource *resource = resource_of(request);
    const char *name = *(char **)field(request, "name"), *account, *id = "";
    if (resource->collection
            ? !rpc_name_member(read->memory, resource->collection, name, "name", &account, &id, &read->err)
            : !rpc_name_account(read->memory, name, "name", &account, &read->err))
        return NULL;
    case_read_add_account(read, account);
    if (resource->collection)
        pg_add_text(&read->params, id);
    if (!case_read_run(read, resource->get))
        return NULL;
    if (pg_rows(read->result) == 0)
        return case_read_not_found(read, name);
    ProtobufCMessage *response = new_response(read, resource->get_response);
    ProtobufCMessage *member = resource->message(read, 0);
    if (!response || !member)
        return NULL;
    *(ProtobufCMessage **)((char *)response + resource->get_response->fields[0].offset) = member;
    return response;
}

/* A list of accounts is of none of them. */
static bool end_page(struct case_read *read, const struct resource *resource, const ProtobufCMessage *request,
                     const struct rpc_page *page, const struct rpc_page_key *key, char **ret_token)
{
    const char *extra = rpc_call_caller(read->call)->account, *account;
    if (resource->collection)
        return rpc_name_account(read->memory, *(char **)field(request, "parent"), "parent", &account,
                                &read->err) &&
               case_read_page_end(read, account, 0, page, request, extra, key, ret_token);
    if (key)
        *ret_token = rpc_page_seal(read->memory, request, extra, key);
    return *ret_token != NULL;
}

static ProtobufCMessage *list_response(struct case_read *read, const struct resource *resource,
                                       const ProtobufCMessage *request, const struct rpc_page *page)
{
    bool more;
    size_t count = case_read_page_rows(read, page, &more);
    const ProtobufCFieldDescriptor *list = &resource->list_response->fields[0];
    ProtobufCMessage *response = new_response(read, resource->list_response);
    ProtobufCMessage **members = arena_calloc(read->memory, count + 1, sizeof(void *));
    struct rpc_room room = {0};
    size_t taken = 0;
    if (!response || !members)
        return NULL;
    for (; taken < count; taken++) {
        members[taken] = resource->message(read, (int)taken);
        if (!members[taken])
            return NULL;
        if (!rpc_room_take(&room, members[taken]))
            break;
    }
    *(ProtobufCMessage ***)((char *)response + list->offset) = members;
    *(size_t *)((char *)response + list->quantifier_offset) = taken;
    bool is_last = !more && taken == count;
    const struct rpc_page_key key = {.text =
                                         is_last ? "" : pg_get_text(read->result, (int)taken - 1, ID_COLUMN)};
    return end_page(read, resource, request, page, is_last ? NULL : &key,
                    (char **)field(response, "next_page_token"))
               ? response
               : NULL;
}

static ProtobufCMessage *answer_list(struct case_read *read, const ProtobufCMessage *request)
{
    const struct resource *resource = resource_of(request);
    struct rpc_page page;
    const struct pg_statement *statement;
    if (!rpc_page_open(read->memory, request, rpc_call_caller(read->call)->account, &rpc_page_sizes_usual,
                       &page, &read->err) ||
        !resource->query(read, request, &page, &statement) || !case_read_run(read, statement))
        return NULL;
    bool is_empty = pg_rows(read->result) == 0;
    ProtobufCMessage *response = list_response(read, resource, request, &page);
    if (response && resource->collection && is_empty) {
        const char *account;
        if (!rpc_name_account(read->memory, *(char **)field(request, "parent"), "parent", &account,
                              &read->err) ||
            !case_read_check_account(read, account))
            return NULL;
    }
    return response;
}

static void handle_get(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer_get);
}

static void handle_list(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer_list);
}

#define READ(wire_service, method, field, handler)                                              \
    {                                                                                           \
        .service = &casework__cases__v1__##wire_service##__descriptor, .name = (method),        \
        .run = RPC_RUN_INLINE, .roles = CASE_ROLES_ALL, .resource = (field), .unary = (handler) \
    }

const struct rpc_method case_read_resource_methods[] = {
    READ(account_service, "GetAccount", "name", handle_get),
    {.service = &casework__cases__v1__account_service__descriptor,
     .name = "ListAccounts",
     .run = RPC_RUN_INLINE,
     .roles = CASE_ROLES_ALL,
     .any_account = true, /* the list is cut down to the caller's own account */
     .unary = handle_list},
    READ(agent_service, "GetAgent", "name", handle_get),
    READ(agent_service, "ListAgents", "parent", handle_list),
    READ(contact_service, "GetContact", "name", handle_get),
    READ(contact_service, "ListContacts", "parent", handle_list),
    READ(channel_service, "GetChannel", "name", handle_get),
    READ(channel_service, "ListChannels", "parent", handle_list),
    {0},
};
