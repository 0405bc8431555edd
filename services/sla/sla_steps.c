#include "sla/sla_steps.h"

#include "base/arena.h"
#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "sla/sla_history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASE_SERVICE (&casework__cases__v1__case_service__descriptor)

enum { HISTORY_BYTES_MAX = 128 << 20, NAME_SIZE = TIMER_ACCOUNT_SIZE + 48 };

struct firing_step {
    rpc_channel *cases;
    sla_policies *policies;
    suite_clock *clock;
    struct timer timer;
    char name[NAME_SIZE];
    int64_t deadline_us; /* monotonic */
    int64_t now_us;      /* by which the step was worked out */
    close_done *done;
    void *argument;
};

static void finish(struct firing_step *step, enum close_result result, const error *err)
{
    int64_t time_us = result == CLOSE_DONE ? step->now_us : 0;
    step->done(step->argument, result, time_us, err);
    free(step);
}

static int64_t time_left(const struct firing_step *step)
{
    int64_t left_us = step->deadline_us - clock_monotonic_us();
    return left_us > 0 ? left_us : 1;
}

static void recorded(void *argument, const ProtobufCMessage *response, const error *err)
{
    finish(argument, response ? CLOSE_DONE : close_result_of(err), err);
}

static void set_time(Google__Protobuf__Timestamp *wire, int64_t time_us)
{
    google__protobuf__timestamp__init(wire);
    wire->seconds = time_us / CLOCK_SECOND;
    wire->nanos = (int32_t)(time_us % CLOCK_SECOND) * 1000;
}

static void record(struct firing_step *step, const struct sla_due_step *due, int64_t case_version)
{
    Casework__Cases__V1__RecordTimerStepRequest request =
        CASEWORK__CASES__V1__RECORD_TIMER_STEP_REQUEST__INIT;
    Google__Protobuf__Timestamp time;
    Google__Protobuf__Timestamp deadline;
    struct rpc_client_options options = {.timeout_us = time_left(step)};
    set_time(&time, due->due_us);
    set_time(&deadline, due->deadline_us);
    request.name = step->name;
    request.kind = (Casework__Sla__V1__TimerKind)due->kind;
    request.step = (Casework__Sla__V1__TimerStep)due->step;
    request.basis_version = due->basis;
    request.due_time = &time;
    request.target_time = due->deadline_us > 0 ? &deadline : NULL;
    request.case_version = case_version;
    rpc_client_call_async(step->cases, CASE_SERVICE, "RecordTimerStep", &request.base, &options, recorded,
                          step);
}

/* What the case says by now. */
static void decide(struct firing_step *step, const struct sla_case *one)
{
    struct sla_case_timers timers = {.next = {.time_us = INT64_MAX}};
    sla_terms *terms = sla_policies_terms(step->policies, step->timer.account);
    step->now_us = suite_clock_now_us(step->clock);
    if (terms)
        sla_targets_derive(sla_terms_targets(terms), &one->history, step->now_us, &timers);
    sla_terms_release(terms);
    if (timers.next.time_us <= step->now_us)
        record(step, &timers.next, one->version);
    else if (timers.next.time_us == INT64_MAX || one->version > step->timer.version)
        finish(step, CLOSE_STALE, NULL);
    else
        finish(step, CLOSE_EARLY, NULL);
}

static void answered(void *argument, const ProtobufCMessage *response, const error *err)
{
    struct firing_step *step = argument;
    struct sla_case one;
    bool found = false;
    if (!response) {
        finish(step, close_result_of(err), err);
        return;
    }
    arena *memory = arena_new(HISTORY_BYTES_MAX);
    if (!memory || !sla_history_first((const void *)response, memory, &one, &found)) {
        error failure;
        error_set(&failure, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        finish(step, CLOSE_UNKNOWN, &failure);
    } else if (found) {
        decide(step, &one);
    } else {
        finish(step, CLOSE_STALE, NULL);
    }
    arena_free(memory);
}

void sla_steps_fire(rpc_channel *cases, sla_policies *policies, suite_clock *clock, const struct timer *timer,
                    int64_t timeout_us, close_done *done, void *argument)
{
    struct firing_step *step = malloc(sizeof *step);
    if (!step) {
        error err;
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        done(argument, CLOSE_UNKNOWN, 0, &err);
        return;
    }
    *step = (struct firing_step){
        .cases = cases,
        .policies = policies,
        .clock = clock,
        .timer = *timer,
        .deadline_us = clock_monotonic_us() + timeout_us,
        .done = done,
        .argument = argument,
    };
    Casework__Cases__V1__ListTargetFactsRequest request =
        CASEWORK__CASES__V1__LIST_TARGET_FACTS_REQUEST__INIT;
    char parent[NAME_SIZE];
    char *names[] = {step->name};
    struct rpc_client_options options = {.timeout_us = timeout_us};
    snprintf(parent, sizeof parent, "accounts/%s", timer->account);
    snprintf(step->name, sizeof step->name, "accounts/%s/cases/%" PRId64, timer->account, timer->case_id);
    request.parent = parent;
    request.cases = names;
    request.n_cases = 1;
    rpc_client_call_async(cases, CASE_SERVICE, "ListTargetFacts", &request.base, &options, answered, step);
}
