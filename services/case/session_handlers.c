/* What is asked of locks and tabs outside of a session's stream. */

#include "case/case_read.h"
#include "case/case_sessions.h"
#include "case/case_write.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/session_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/wire.h"

#include <inttypes.h>
#include <string.h>

/* --- BreakCaseLock ----------------------------------------------------------------------------------------
 */

static void break_case_lock(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const Casework__Cases__V1__BreakCaseLockRequest *request = (const void *)message;
    const char *account = NULL;
    int64_t case_id = 0;
    error err = {0};
    struct case_write *write = NULL;
    bool good = rpc_name_case(rpc_call_arena(call), request->name, "name", &account, &case_id, &err) &&
                (request->token >= 0 || error_bad_field(&err, "token", "must not be negative")) &&
                (write = case_write_begin(call, CASE_METHOD_BREAK_LOCK, account, &err)) != NULL;
    if (!good) {
        rpc_call_fail(call, &err);
        return;
    }
    struct case_command *command = &write->command;
    command->needs_admin =
        command->actor.kind == ACTOR_KIND_AGENT && rpc_call_caller(call)->role != RPC_ROLE_ADMIN;
    command->break_lock.case_id = case_id;
    command->break_lock.token = request->token;
    case_write_submit(write, context, message, &casework__cases__v1__break_case_lock_response__descriptor);
}

const struct rpc_method case_lock_methods[] = {
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "BreakCaseLock",
     .roles = WRITE_ROLES_ADMINS,
     .resource = "name",
     .unary = break_case_lock},
    {.service = NULL},
};

/* --- ListTabs ---------------------------------------------------------------------------------------------
 */

static const struct pg_statement agent_known = {
    .name = "session_agent_known",
    .quick = true,
    .sql = "SELECT 1 FROM agents WHERE partition = $1::int2 AND account = $2::text AND agent = $3::text",
};

/* $4: the number of the last tab of the page before; $5: how many. */
static const struct pg_statement agent_tabs = {
    .name = "session_agent_tabs",
    .sql = "SELECT t.number, t.case_id, t.session, t.open_time, c.need_reply, c.lock_session = t.session"
           " FROM (SELECT * FROM tabs WHERE partition = $1::int2 AND account = $2::text"
           " AND agent = $3::text AND number > $4::int8 ORDER BY number LIMIT $5::int4) t"
           " JOIN LATERAL (SELECT * FROM cases u WHERE u.partition = t.partition AND u.account = t.account"
           " AND u.id = t.case_id LIMIT 1) c ON true ORDER BY t.number",
};

static Casework__Cases__V1__Tab *tab_of(const struct case_read *read, int row, const char *account)
{
    Casework__Cases__V1__Tab *tab = arena_alloc(read->memory, sizeof *tab);
    if (!tab)
        return NULL;
    casework__cases__v1__tab__init(tab);
    tab->case_ =
        arena_printf(read->memory, "accounts/%s/cases/%" PRId64, account, pg_get_int(read->result, row, 1));
    tab->session = arena_strdup(read->memory, pg_get_text(read->result, row, 2));
    tab->open_time = wire_timestamp(read->memory, pg_get_time(read->result, row, 3));
    tab->need_reply = pg_get_bool(read->result, row, 4);
    tab->holds_lock = pg_get_bool(read->result, row, 5);
    return tab->case_ && tab->session && tab->open_time ? tab : NULL;
}

/* One's own tabs are for everybody; other agents' for admins and platform services. */
static bool may_list(struct case_read *read, const char *agent)
{
    const struct rpc_caller *caller = rpc_call_caller(read->call);
    bool is_agent = caller->role == RPC_ROLE_AGENT || (caller->role != RPC_ROLE_ADMIN && caller->agent[0]);
    if (!is_agent || strcmp(caller->agent, agent) == 0)
        return true;
    return error_set(&read->err, STATUS_PERMISSION_DENIED, "NOT_THE_AGENT", "these are another agent's tabs");
}

static bool is_known(struct case_read *read, const char *account, const char *agent, const char *name)
{
    case_read_add_account(read, account);
    pg_add_text(&read->params, agent);
    if (!case_read_run(read, &agent_known))
        return false;
    return pg_rows(read->result) > 0 || case_read_not_found(read, name);
}

static ProtobufCMessage *answer_list(struct case_read *read, const ProtobufCMessage *message)
{
    const Casework__Cases__V1__ListTabsRequest *request = (const void *)message;
    const char *account, *agent;
    struct rpc_page page;
    bool more;
    if (!rpc_name_member(read->memory, "agents", request->parent, "parent", &account, &agent, &read->err) ||
        !may_list(read, agent) ||
        !rpc_page_open(read->memory, &request->base, NULL, &rpc_page_sizes_usual, &page, &read->err) ||
        !is_known(read, account, agent, request->parent))
        return NULL;
    case_read_add_account(read, account);
    pg_add_text(&read->params, agent);
    pg_add_int8(&read->params, page.key.second);
    pg_add_int4(&read->params, page.size + 1);
    if (!case_read_run(read, &agent_tabs))
        return NULL;
    size_t count = case_read_page_rows(read, &page, &more);
    Casework__Cases__V1__ListTabsResponse *response = arena_alloc(read->memory, sizeof *response);
    if (!response)
        return NULL;
    casework__cases__v1__list_tabs_response__init(response);
    response->tabs = arena_calloc(read->memory, count + 1, sizeof(void *));
    for (size_t i = 0; response->tabs && i < count; i++) {
        if (!(response->tabs[response->n_tabs++] = tab_of(read, (int)i, account)))
            return NULL;
    }
    const struct rpc_page_key key = {.second = more ? pg_get_int(read->result, (int)count - 1, 0) : 0};
    return response->tabs && case_read_page_end(read, account, 0, &page, message, NULL, more ? &key : NULL,
                                                &response->next_page_token)
               ? &response->base
               : NULL;
}

static void list_tabs(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer_list);
}

const struct rpc_method case_tab_methods[] = {
    {.service = &casework__cases__v1__session_service__descriptor,
     .name = "ListTabs",
     .run = RPC_RUN_INLINE,
     .roles = WRITE_ROLES_PEOPLE,
     .resource = "parent",
     .unary = list_tabs},
    {.service = NULL},
};
