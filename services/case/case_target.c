/* ListTargetFacts: what targets of cases follow from, read from their histories. */

#include "case/case_read.h"
#include "case/case_row.h"
#include "case/case_wire.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/wire.h"

#include <string.h>

static const struct rpc_page_sizes target_page_sizes = {.fallback = 200, .maximum = 1000};

enum { NAMED_MAX = 1000, EVENT_BYTES_MAX = 1 << 20 };

typedef Casework__Cases__V1__Event wire_event;
typedef Casework__Cases__V1__TargetMoment wire_moment;
typedef Casework__Cases__V1__TargetFacts wire_facts;

#define EXISTING "NOT " ACCOUNT_IS_BEING_DELETED("c")

/* $3, $4: the status and case to go on behind. */
static const struct pg_statement select_running = {
    .name = "case_targets_running",
    .sql = "SELECT c.id, c.version, c.update_time, c.status FROM cases c WHERE c.partition = $1::int2"
           " AND c.account = $2::text AND c.status BETWEEN 1 AND 4"
           " AND (c.status, c.id) > ($3::int2, $4::int8) AND " EXISTING
           " ORDER BY c.status, c.id LIMIT $5::int4",
};

/* $3, $4: the time and case to go on behind. */
static const struct pg_statement select_closed = {
    .name = "case_targets_closed",
    .sql = "SELECT c.id, c.version, c.update_time FROM cases c WHERE c.partition = $1::int2"
           " AND c.account = $2::text AND c.status = 5"
           " AND (c.update_time, c.id) > ($3::timestamptz, $4::int8) AND " EXISTING
           " ORDER BY c.update_time, c.id LIMIT $5::int4",
};

static const struct pg_statement select_named = {
    .name = "case_targets_named",
    .sql = "SELECT c.id, c.version, c.update_time FROM unnest($3::int8[]) AS k(id) CROSS JOIN LATERAL"
           " (SELECT * FROM cases WHERE partition = $1::int2 AND account = $2::text AND id = k.id LIMIT 1) c"
           " WHERE " EXISTING " ORDER BY c.id",
};

/* Created, opened, message, status, closed, deleted, undeleted, updated, merged, unmerged, step. */
static const struct pg_statement select_moments = {
    .name = "case_targets_moments",
    .sql = "SELECT k.id, e.data FROM unnest($3::int8[]) WITH ORDINALITY AS k(id, ord) CROSS JOIN LATERAL"
           " (SELECT position, data FROM events WHERE partition = $1::int2 AND account = $2::text"
           " AND case_id = k.id AND kind IN (1, 2, 3, 6, 7, 8, 9, 10, 15, 16, 27)"
           " ORDER BY position DESC LIMIT 2000) e ORDER BY k.ord, e.position",
};

enum { ID_COLUMN, VERSION_COLUMN, UPDATE_COLUMN, STATUS_COLUMN };
enum { MOMENT_ID_COLUMN, MOMENT_DATA_COLUMN };

/* --- one case ------------------------------------------------------------------------------------- */

static Google__Protobuf__Timestamp *copy_time(arena *memory, const Google__Protobuf__Timestamp *time)
{
    return time != NULL ? arena_memdup(memory, time, sizeof *time) : NULL;
}

static Casework__Cases__V1__TimerStepFacts *copy_step(arena *memory,
                                                      const Casework__Cases__V1__TimerStepFacts *step)
{
    Casework__Cases__V1__TimerStepFacts *copy = arena_memdup(memory, step, sizeof *step);
    if (copy == NULL)
        return NULL;
    copy->due_time = copy_time(memory, step->due_time);
    copy->target_time = copy_time(memory, step->target_time);
    bool whole = (step->due_time == NULL || copy->due_time != NULL) &&
                 (step->target_time == NULL || copy->target_time != NULL);
    return whole ? copy : NULL;
}

static bool is_reply(const wire_event *event)
{
    const Casework__Cases__V1__MessageFacts *message = event->message;
    return event->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_MESSAGE_ADDED && message != NULL &&
           message->kind == CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT && !message->automatic;
}

static wire_moment *moment_of(arena *memory, const wire_event *event)
{
    wire_moment *moment = arena_alloc(memory, sizeof *moment);
    if (moment == NULL)
        return NULL;
    const Casework__Cases__V1__CaseFacts *facts = event->case_facts;
    bool message = event->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_MESSAGE_ADDED &&
                   event->message != NULL && event->message->send_time != NULL;
    casework__cases__v1__target_moment__init(moment);
    moment->time = copy_time(memory, message ? event->message->send_time : event->commit_time);
    moment->status = facts->status;
    moment->status_time = copy_time(memory, facts->status_time);
    moment->waiting_since_number = facts->waiting_since_number;
    moment->waiting_since_time = copy_time(memory, facts->waiting_since_time);
    moment->replied = is_reply(event);
    if (event->timer_step_facts != NULL)
        moment->step = copy_step(memory, event->timer_step_facts);
    bool whole = moment->time != NULL && (facts->status_time == NULL || moment->status_time != NULL) &&
                 (facts->waiting_since_time == NULL || moment->waiting_since_time != NULL) &&
                 (event->timer_step_facts == NULL || moment->step != NULL);
    return whole ? moment : NULL;
}

/* Nothing that a target looks at has changed since the moment before. */
static bool is_same(const wire_moment *before, const wire_event *event)
{
    const Casework__Cases__V1__CaseFacts *facts = event->case_facts;
    return event->timer_step_facts == NULL && before->status == facts->status &&
           before->waiting_since_number == facts->waiting_since_number;
}

/* The history of one case: rows from `row` on. */
struct history {
    struct case_read *read;
    arena *scratch;
    wire_facts *facts;
};

static bool add_moment(struct history *history, const void *data, size_t length, bool last)
{
    wire_facts *facts = history->facts;
    arena *memory = history->read->memory;
    ProtobufCMessage *message;
    arena_clear(history->scratch);
    if (!wire_unpack(&casework__cases__v1__event__descriptor, data, length, last ? memory : history->scratch,
                     &message, &history->read->err))
        return false;
    const wire_event *event = (const void *)message;
    if (event->case_facts == NULL)
        return true;
    if (last)
        facts->facts = event->case_facts;
    if (facts->n_moments > 0 && is_same(facts->moments[facts->n_moments - 1], event))
        return true;
    wire_moment *moment = moment_of(memory, event);
    if (moment == NULL)
        return false;
    facts->moments[facts->n_moments++] = moment;
    return true;
}

/* The rows of a case, which follow each other. */
static int rows_of(const pg_result *result, int row, int64_t id)
{
    int count = 0;
    while (row + count < pg_rows(result) && pg_get_int(result, row + count, MOMENT_ID_COLUMN) == id)
        count++;
    return count;
}

static bool add_history(struct history *history, int row, int count)
{
    const pg_result *result = history->read->result;
    history->facts->moments =
        arena_calloc(history->read->memory, (size_t)count + 1, sizeof(Casework__Cases__V1__TargetMoment *));
    bool ok = history->facts->moments != NULL;
    for (int i = 0; ok && i < count; i++) {
        size_t length;
        const void *data = pg_get_bytes(result, row + i, MOMENT_DATA_COLUMN, &length);
        ok = add_moment(history, data, length, i == count - 1);
    }
    return ok;
}

/* --- all of them ---------------------------------------------------------------------------------- */

/* Cases as the first statement found them. */
struct found {
    size_t count;
    int64_t *ids, *versions, *update_times;
};

static bool keep_found(struct case_read *read, size_t count, struct found *ret_found)
{
    struct found found = {.count = count};
    found.ids = arena_calloc(read->memory, count + 1, sizeof *found.ids);
    found.versions = arena_calloc(read->memory, count + 1, sizeof *found.versions);
    found.update_times = arena_calloc(read->memory, count + 1, sizeof *found.update_times);
    if (found.ids == NULL || found.versions == NULL || found.update_times == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        found.ids[i] = pg_get_int(read->result, (int)i, ID_COLUMN);
        found.versions[i] = pg_get_int(read->result, (int)i, VERSION_COLUMN);
        found.update_times[i] = pg_get_time(read->result, (int)i, UPDATE_COLUMN);
    }
    *ret_found = found;
    return true;
}

static bool read_moments(struct case_read *read, const char *account, const struct found *found)
{
    case_read_add_account(read, account);
    pg_array *ids = pg_add_array(&read->params, PG_INT8);
    for (size_t i = 0; i < found->count; i++)
        pg_put_int(ids, found->ids[i]);
    return case_read_run(read, &select_moments);
}

static bool add_facts(struct case_read *read, arena *scratch, const char *account, const struct found *found,
                      Casework__Cases__V1__ListTargetFactsResponse *response)
{
    struct history history = {.read = read, .scratch = scratch};
    int row = 0;
    response->facts =
        arena_calloc(read->memory, found->count + 1, sizeof(Casework__Cases__V1__TargetFacts *));
    for (size_t i = 0; response->facts != NULL && i < found->count; i++) {
        int count = rows_of(read->result, row, found->ids[i]);
        history.facts = arena_alloc(read->memory, sizeof *history.facts);
        if (history.facts == NULL)
            return false;
        casework__cases__v1__target_facts__init(history.facts);
        history.facts->version = found->versions[i];
        history.facts->case_ = case_wire_case_name(read->memory, account, found->ids[i]);
        history.facts->update_time = wire_timestamp(read->memory, found->update_times[i]);
        if (history.facts->case_ == NULL || history.facts->update_time == NULL ||
            !add_history(&history, row, count))
            return false;
        if (history.facts->facts != NULL)
            response->facts[response->n_facts++] = history.facts;
        row += count;
    }
    return response->facts != NULL;
}

/* The answer to the cases found; moments have been read. */
static Casework__Cases__V1__ListTargetFactsResponse *respond(struct case_read *read, const char *account,
                                                             const struct found *found)
{
    Casework__Cases__V1__ListTargetFactsResponse *response = arena_alloc(read->memory, sizeof *response);
    arena *scratch = arena_new(EVENT_BYTES_MAX);
    if (response == NULL || scratch == NULL) {
        arena_free(scratch);
        return NULL;
    }
    casework__cases__v1__list_target_facts_response__init(response);
    bool ok = add_facts(read, scratch, account, found, response);
    arena_free(scratch);
    return ok ? response : NULL;
}

static bool find_named(struct case_read *read, const Casework__Cases__V1__ListTargetFactsRequest *request,
                       const char *account, struct found *ret_found)
{
    if (request->n_cases > NAMED_MAX)
        return error_bad_field(&read->err, "cases", "are more than 1,000");
    case_read_add_account(read, account);
    pg_array *ids = pg_add_array(&read->params, PG_INT8);
    for (size_t i = 0; i < request->n_cases; i++) {
        const char *owner;
        int64_t id;
        if (!rpc_name_case(read->memory, request->cases[i], "cases", &owner, &id, &read->err))
            return false;
        if (strcmp(owner, account) != 0)
            return error_bad_field(&read->err, "cases", "are not all of the account");
        pg_put_int(ids, id);
    }
    return case_read_run(read, &select_named) && keep_found(read, (size_t)pg_rows(read->result), ret_found);
}

static bool find_running(struct case_read *read, const struct rpc_page *page, const char *account,
                         struct found *ret_found, struct rpc_page_key *ret_key, bool *ret_more)
{
    case_read_add_account(read, account);
    pg_add_int2(&read->params, page->after ? (int)page->key.first : 0);
    pg_add_int8(&read->params, page->key.second);
    pg_add_int4(&read->params, page->size + 1);
    if (!case_read_run(read, &select_running))
        return false;
    size_t count = case_read_page_rows(read, page, ret_more);
    if (*ret_more)
        *ret_key = (struct rpc_page_key){.first = pg_get_int(read->result, (int)count - 1, STATUS_COLUMN),
                                         .second = pg_get_int(read->result, (int)count - 1, ID_COLUMN),
                                         .text = ""};
    return keep_found(read, count, ret_found);
}

static bool find_closed(struct case_read *read, const struct rpc_page *page, const char *account,
                        int64_t since_us, struct found *ret_found, struct rpc_page_key *ret_key,
                        bool *ret_more)
{
    case_read_add_account(read, account);
    pg_add_time(&read->params, page->after ? page->key.first : since_us);
    pg_add_int8(&read->params, page->key.second);
    pg_add_int4(&read->params, page->size + 1);
    if (!case_read_run(read, &select_closed))
        return false;
    size_t count = case_read_page_rows(read, page, ret_more);
    if (!keep_found(read, count, ret_found))
        return false;
    if (*ret_more)
        *ret_key = (struct rpc_page_key){
            .first = ret_found->update_times[count - 1], .second = ret_found->ids[count - 1], .text = ""};
    return true;
}

/* Which cases the request means. */
static bool find_cases(struct case_read *read, const Casework__Cases__V1__ListTargetFactsRequest *request,
                       const struct rpc_page *page, const char *account, struct found *ret_found,
                       struct rpc_page_key *ret_key, bool *ret_more)
{
    int64_t since_us;
    if (!wire_bound_us(request->closed_since_time, &since_us))
        return error_bad_field(&read->err, "closed_since_time", "is no time");
    if (request->n_cases > 0 && request->closed_since_time)
        return error_bad_field(&read->err, "closed_since_time", "does not go with cases");
    if (request->n_cases > 0)
        return find_named(read, request, account, ret_found);
    if (request->closed_since_time)
        return find_closed(read, page, account, since_us, ret_found, ret_key, ret_more);
    return find_running(read, page, account, ret_found, ret_key, ret_more);
}

static ProtobufCMessage *answer_targets(struct case_read *read, const ProtobufCMessage *message)
{
    const Casework__Cases__V1__ListTargetFactsRequest *request = (const void *)message;
    const char *account;
    struct rpc_page page;
    struct rpc_page_key key = {.text = ""};
    struct found found;
    bool more = false;
    if (!rpc_name_account(read->memory, request->parent, "parent", &account, &read->err) ||
        !rpc_page_open(read->memory, message, NULL, &target_page_sizes, &page, &read->err))
        return NULL;
    if (!find_cases(read, request, &page, account, &found, &key, &more) ||
        !read_moments(read, account, &found))
        return NULL;
    Casework__Cases__V1__ListTargetFactsResponse *response = respond(read, account, &found);
    if (response == NULL)
        return NULL;
    return case_read_page_end(read, account, 0, &page, message, NULL, more ? &key : NULL,
                              &response->next_page_token)
               ? &response->base
               : NULL;
}

static void handle_targets(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer_targets);
}

const struct rpc_method case_target_methods[] = {
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "ListTargetFacts",
     .run = RPC_RUN_INLINE,
     .roles = RPC_ROLE_SERVICE,
     .resource = "parent",
     .unary = handle_targets},
    {0},
};
