/* ListDueCases: what timers are derived from and swept against. */

#include "case/case_read.h"
#include "case/case_row.h"
#include "case/case_wire.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "feed/partition.h"
#include "rpc/name.h"
#include "rpc/wire.h"

static const struct rpc_page_sizes due_page_sizes = {.fallback = 1000, .maximum = 10000};

/* Later than every stored time. */
static const int64_t end_of_time = INT64_C(9000000000000000000);

#define EXISTING "NOT " ACCOUNT_IS_BEING_DELETED("cases")

/*
 * $1: the partitions, each read in the order of its own index, then merged. $2: one account or ''. $3:
 * unchanged since. $4 to $6: the key to go on behind.
 */
#define DUE(time, version, condition)                                                                      \
    "SELECT c.account, c.id, c.version, c.time FROM unnest($1::int2[]) AS p(partition) CROSS JOIN LATERAL" \
    " (SELECT account, id, " version " AS version, " time                                                  \
    " AS time FROM cases WHERE cases.partition = p.partition"                                              \
    " AND " condition " AND " time " <= $3::timestamptz AND ($2::text = '' OR account = $2)"               \
    " AND " EXISTING " AND (" time ", account, id) > ($4::timestamptz, $5::text, $6::int8)"                \
    " ORDER BY " time ", account, id LIMIT $7::int4) c ORDER BY c.time, c.account, c.id LIMIT $7"

static const struct pg_statement due_resolved = {
    .name = "case_due_resolved",
    .sql = DUE("change_time", "change_version", "status = 4"),
};

static const struct pg_statement due_inactive = {
    .name = "case_due_inactive",
    .sql =
        DUE("activity_time", "activity_version",
            "status BETWEEN 2 AND 4 AND messages_assigned + messages_in_progress + messages_responded = 0"),
};

enum { ACCOUNT_COLUMN, ID_COLUMN, VERSION_COLUMN, TIME_COLUMN };

static const struct pg_statement *due_statement(Casework__Cases__V1__DueRule rule)
{
    switch (rule) {
    case CASEWORK__CASES__V1__DUE_RULE__DUE_RULE_RESOLVED:
        return &due_resolved;
    case CASEWORK__CASES__V1__DUE_RULE__DUE_RULE_INACTIVE:
        return &due_inactive;
    default:
        return NULL;
    }
}

static void add_parameters(struct case_read *read, const char *account, int64_t since,
                           const struct rpc_page *page)
{
    pg_array *partitions = pg_add_array(&read->params, PG_INT2);
    int first = *account ? feed_partition(account) : 0, last = *account ? first : FEED_PARTITIONS - 1;
    for (int partition = first; partition <= last; partition++)
        pg_put_int(partitions, partition);
    pg_add_text(&read->params, account);
    pg_add_time(&read->params, since ? since : end_of_time);
    pg_add_time(&read->params, page->after ? page->key.first : -end_of_time / 50);
    pg_add_text(&read->params, page->key.text);
    pg_add_int8(&read->params, page->key.second);
    pg_add_int4(&read->params, page->size + 1);
}

static Casework__Cases__V1__ListDueCasesResponse *due_response(struct case_read *read, size_t count)
{
    Casework__Cases__V1__ListDueCasesResponse *response = arena_alloc(read->memory, sizeof *response);
    Casework__Cases__V1__DueCase *members = arena_calloc(read->memory, count + 1, sizeof *members);
    Casework__Cases__V1__DueCase **list = arena_calloc(read->memory, count + 1, sizeof(void *));
    if (!response || !members || !list)
        return NULL;
    casework__cases__v1__list_due_cases_response__init(response);
    for (size_t i = 0; i < count; i++) {
        int row = (int)i;
        Casework__Cases__V1__DueCase *due = list[i] = &members[i];
        casework__cases__v1__due_case__init(due);
        due->case_ = case_wire_case_name(read->memory, pg_get_text(read->result, row, ACCOUNT_COLUMN),
                                         pg_get_int(read->result, row, ID_COLUMN));
        due->basis_version = pg_get_int(read->result, row, VERSION_COLUMN);
        due->basis_time = wire_timestamp(read->memory, pg_get_time(read->result, row, TIME_COLUMN));
        if (!due->case_ || !due->basis_time)
            return NULL;
    }
    response->due_cases = list;
    response->n_due_cases = count;
    return response;
}

static ProtobufCMessage *answer_due(struct case_read *read, const ProtobufCMessage *message)
{
    const Casework__Cases__V1__ListDueCasesRequest *request = (const void *)message;
    const char *account;
    int64_t since;
    struct rpc_page page;
    const struct pg_statement *statement = due_statement(request->rule);
    if (!rpc_name_accounts(read->memory, request->parent, "parent", &account, &read->err) ||
        !rpc_page_open(read->memory, &request->base, NULL, &due_page_sizes, &page, &read->err))
        return NULL;
    if (!statement || !wire_time_us(request->unchanged_since_time, &since)) {
        error_bad_field(&read->err, statement ? "unchanged_since_time" : "rule",
                        "is required and must be in range");
        return NULL;
    }
    add_parameters(read, account, since, &page);
    if (!case_read_run(read, statement))
        return NULL;
    bool more;
    size_t count = case_read_page_rows(read, &page, &more);
    Casework__Cases__V1__ListDueCasesResponse *response = due_response(read, count);
    if (!response)
        return NULL;
    struct rpc_page_key key = {0};
    if (more) {
        int last = (int)count - 1;
        key = (struct rpc_page_key){.first = pg_get_time(read->result, last, TIME_COLUMN),
                                    .second = pg_get_int(read->result, last, ID_COLUMN),
                                    .text = pg_get_text(read->result, last, ACCOUNT_COLUMN)};
    }
    /* One of all accounts is of none of them. */
    if (*account ? !case_read_page_end(read, account, 0, &page, message, NULL, more ? &key : NULL,
                                       &response->next_page_token)
                 : more && !(response->next_page_token = rpc_page_seal(read->memory, message, NULL, &key)))
        return NULL;
    return &response->base;
}

static void handle_due(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer_due);
}

const struct rpc_method case_due_methods[] = {
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "ListDueCases",
     .run = RPC_RUN_INLINE,
     .roles = RPC_ROLE_SERVICE,
     .resource = "parent",
     .unary = handle_due},
    {0},
};
