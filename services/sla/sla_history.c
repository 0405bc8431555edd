#include "sla/sla_history.h"

#include "base/clock.h"
#include "rpc/wire.h"
#include "sla/sla_cases.h"
#include "sla/sla_rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_BYTES_MAX = 128 << 20, WALK_CASES = 200 };
#define CALL_TIMEOUT_US (5 * CLOCK_SECOND)

typedef Casework__Cases__V1__ListTargetFactsRequest facts_request;
typedef Casework__Cases__V1__ListTargetFactsResponse facts_response;

/* --- from the wire -------------------------------------------------------------------------------- */

static int64_t time_of(const Google__Protobuf__Timestamp *time)
{
    int64_t time_us = 0;
    return wire_time_us(time, &time_us) ? time_us : 0;
}

static struct sla_moment moment_of(const Casework__Cases__V1__TargetMoment *wire)
{
    struct sla_moment moment = {
        .time_us = time_of(wire->time),
        .status = (int)wire->status,
        .status_time_us = time_of(wire->status_time),
        .waiting_number = wire->waiting_since_number,
        .waiting_since_us = time_of(wire->waiting_since_time),
        .replied = wire->replied,
    };
    if (wire->step) {
        moment.step = (enum sla_step)wire->step->step;
        moment.step_kind = (enum sla_kind)wire->step->kind;
        moment.step_basis = wire->step->basis_version;
        moment.step_due_us = time_of(wire->step->due_time);
    }
    return moment;
}

/* Texts stay where the message has them. */
static bool read_case(const Casework__Cases__V1__TargetFacts *wire, arena *memory, struct sla_case *ret_case)
{
    const Casework__Cases__V1__CaseFacts *facts = wire->facts;
    struct sla_moment *moments = arena_calloc(memory, wire->n_moments + 1, sizeof *moments);
    char account[TIMER_ACCOUNT_SIZE];
    if (!moments || !facts || !sla_cases_parse_name(wire->case_, account, &ret_case->case_id))
        return false;
    for (size_t i = 0; i < wire->n_moments; i++)
        moments[i] = moment_of(wire->moments[i]);
    ret_case->version = wire->version;
    ret_case->update_time_us = time_of(wire->update_time);
    ret_case->history = (struct sla_history){
        .labels = (const char *const *)facts->labels,
        .label_count = facts->n_labels,
        .channel = facts->channel,
        .priority = facts->priority,
        .gone = (int)facts->status == SLA_STATUS_DELETED || facts->merged_into[0],
        .customer_number = facts->first_customer_message_number,
        .customer_time_us = time_of(facts->first_customer_message_time),
        .moments = moments,
        .count = wire->n_moments,
    };
    return true;
}

bool sla_history_first(const facts_response *response, arena *memory, struct sla_case *ret_case,
                       bool *ret_found)
{
    *ret_found = response->n_facts > 0;
    return !*ret_found || read_case(response->facts[0], memory, ret_case);
}

/* --- asking --------------------------------------------------------------------------------------- */

static bool read_page(const facts_response *response, struct sla_case_page *page, error *err)
{
    page->cases = arena_calloc(page->memory, response->n_facts + 1, sizeof *page->cases);
    bool ok = page->cases != NULL;
    for (size_t i = 0; ok && i < response->n_facts; i++)
        ok = read_case(response->facts[i], page->memory, &page->cases[page->count++]);
    return ok || error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

static bool ask(rpc_channel *cases, const facts_request *request, int64_t deadline_us,
                struct sla_case_page *ret_page, const facts_response **ret_response, error *err)
{
    struct sla_case_page page = {.memory = arena_new(ANSWER_BYTES_MAX)};
    ProtobufCMessage *message;
    int64_t left_us = deadline_us - clock_monotonic_us();
    struct rpc_client_options options = {.timeout_us = left_us < 1                 ? 1
                                                       : left_us > CALL_TIMEOUT_US ? CALL_TIMEOUT_US
                                                                                   : left_us};
    if (!page.memory)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    bool ok = rpc_client_call(cases, &casework__cases__v1__case_service__descriptor, "ListTargetFacts",
                              &request->base, &options, page.memory, &message, err);
    *ret_response = ok ? (const void *)message : NULL;
    if (!ok || !read_page(*ret_response, &page, err)) {
        arena_free(page.memory);
        return false;
    }
    *ret_page = page;
    return true;
}

void sla_case_page_release(struct sla_case_page *page)
{
    arena_free(page->memory);
    *page = (struct sla_case_page){0};
}

bool sla_history_named(rpc_channel *cases, const char *account, const int64_t *ids, size_t count,
                       int64_t deadline_us, struct sla_case_page *ret_page, error *err)
{
    facts_request request = CASEWORK__CASES__V1__LIST_TARGET_FACTS_REQUEST__INIT;
    const facts_response *response;
    arena *memory = arena_new((size_t)1 << 20);
    char **names = memory ? arena_calloc(memory, count + 1, sizeof *names) : NULL;
    bool ok = names != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        names[i] = arena_printf(memory, "accounts/%s/cases/%" PRId64, account, ids[i]);
        ok = names[i] != NULL;
    }
    request.parent = ok ? arena_printf(memory, "accounts/%s", account) : NULL;
    request.cases = names;
    request.n_cases = count;
    if (!ok || !request.parent)
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    ok = ok && request.parent && ask(cases, &request, deadline_us, ret_page, &response, err);
    arena_free(memory);
    return ok;
}

bool sla_case_walk_next(struct sla_case_walk *walk, rpc_channel *cases, int64_t deadline_us,
                        struct sla_case_page *ret_page, error *err)
{
    facts_request request = CASEWORK__CASES__V1__LIST_TARGET_FACTS_REQUEST__INIT;
    const facts_response *response;
    char parent[TIMER_ACCOUNT_SIZE + 16];
    Google__Protobuf__Timestamp since = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    snprintf(parent, sizeof parent, "accounts/%s", walk->account);
    since.seconds = walk->closed_since_us / CLOCK_SECOND;
    since.nanos = (int32_t)(walk->closed_since_us % CLOCK_SECOND) * 1000;
    request.parent = parent;
    request.page_size = WALK_CASES;
    request.closed_since_time = walk->closed_since_us ? &since : NULL;
    if (walk->page_token)
        request.page_token = walk->page_token;
    if (!ask(cases, &request, deadline_us, ret_page, &response, err))
        return false;
    char *next = strdup(response->next_page_token);
    if (!next) {
        sla_case_page_release(ret_page);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    }
    free(walk->page_token);
    walk->page_token = next;
    walk->end = next[0] == '\0';
    return true;
}

void sla_case_walk_release(struct sla_case_walk *walk)
{
    free(walk->page_token);
    walk->page_token = NULL;
}

bool sla_history_timer(const sla_terms *terms, const char *account, const struct sla_case *one,
                       int64_t now_us, struct timer *ret_timer)
{
    struct sla_case_timers timers;
    sla_targets_derive(sla_terms_targets(terms), &one->history, now_us, &timers);
    if (timers.next.time_us == INT64_MAX)
        return false;
    *ret_timer = (struct timer){
        .case_id = one->case_id,
        .rule = SLA_RULE_TARGETS,
        .version = one->version,
        .due_us = sla_rules_instant(timers.next.time_us),
    };
    snprintf(ret_timer->account, sizeof ret_timer->account, "%s", account);
    return true;
}
