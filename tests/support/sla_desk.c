#include "tests/support/sla_desk.h"

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "tests/support/metrics_page.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define SLA (&casework__sla__v1__sla_service__descriptor)

enum { MEMORY = 16 << 20 };

#define STREAM_TIMEOUT_US (60 * CLOCK_SECOND)

void sla_desk_policy(suite *s, const char *account, int64_t after_resolved_us)
{
    Casework__Sla__V1__UpdatePolicyRequest request = CASEWORK__SLA__V1__UPDATE_POLICY_REQUEST__INIT;
    Casework__Sla__V1__SlaPolicy policy = CASEWORK__SLA__V1__SLA_POLICY__INIT;
    Casework__Sla__V1__ClosingRule closing = CASEWORK__SLA__V1__CLOSING_RULE__INIT;
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    arena *memory = arena_new(MEMORY);
    duration.seconds = after_resolved_us / CLOCK_SECOND;
    duration.nanos = (int32_t)(after_resolved_us % CLOCK_SECOND) * 1000;
    closing.rule_case = CASEWORK__SLA__V1__CLOSING_RULE__RULE_AFTER_RESOLVED_DURATION;
    closing.after_resolved_duration = &duration;
    policy.name = arena_printf(memory, "%s/slaPolicy", account);
    policy.closing = &closing;
    request.policy = &policy;
    (void)suite_call(s, SLA, "UpdatePolicy", &request, memory);
    arena_free(memory);
}

void sla_desk_targets(suite *s, const char *account)
{
    Casework__Sla__V1__UpdatePolicyRequest request = CASEWORK__SLA__V1__UPDATE_POLICY_REQUEST__INIT;
    Casework__Sla__V1__SlaPolicy policy = CASEWORK__SLA__V1__SLA_POLICY__INIT;
    Casework__Sla__V1__SlaTarget targets[2] = {CASEWORK__SLA__V1__SLA_TARGET__INIT,
                                               CASEWORK__SLA__V1__SLA_TARGET__INIT};
    Casework__Sla__V1__SlaTarget *list[] = {&targets[0], &targets[1]};
    Google__Protobuf__Duration hour = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Protobuf__Duration hours = GOOGLE__PROTOBUF__DURATION__INIT;
    arena *memory = arena_new(MEMORY);
    sla_desk_policy(s, account, CLOCK_MINUTE);
    hour.seconds = 3600;
    hours.seconds = 36000;
    targets[0].kind = CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_FIRST_REPLY;
    targets[0].target_duration = &hour;
    targets[1].kind = CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_RESOLUTION;
    targets[1].target_duration = &hours;
    policy.name = arena_printf(memory, "%s/slaPolicy", account);
    policy.targets = list;
    policy.n_targets = 2;
    request.policy = &policy;
    (void)suite_call(s, SLA, "UpdatePolicy", &request, memory);
    arena_free(memory);
}

const char *sla_desk_resolved(suite *s, const char *account, arena *memory)
{
    const char *name = suite_create_case(s, account, "Parcel", "Where is it?", memory, NULL);
    suite_step(s, "ResolveCase", name, NULL);
    return name;
}

void sla_desk_import_resolved(suite *s, int count, int64_t first_us, int64_t span_us)
{
    char path[512];
    const char *const words[] = {"import", path, NULL};
    char text[CLOCK_TEXT_SIZE];
    snprintf(path, sizeof path, "%s/resolved.jsonl", suite_directory(s));
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    for (int i = 0; i < count; i++) {
        clock_format(first_us + span_us * i / count, text);
        fprintf(
            file,
            "{\"external_id\": \"%d\", \"account\": \"acme\", \"channel\": \"chat\", \"contact\": {\"name\": "
            "\"Eve\"}, \"subject\": \"Parcel\", \"status\": \"resolved\", \"status_at\": \"%s\", "
            "\"messages\": [{\"from\": \"customer\", \"at\": \"%s\", \"text\": \"Where is it?\"}]}\n",
            i, text, text);
    }
    cr_assert_eq(fclose(file), 0);
    json_decref(suite_run_json(s, words));
}

int sla_desk_closings(suite *s, const char *case_name)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    arena *memory = arena_new(MEMORY);
    int count = 0;
    request.parent = (char *)(uintptr_t)case_name;
    request.page_size = 1000;
    const Casework__Cases__V1__ListCaseEventsResponse *response =
        suite_call(s, CASES, "ListCaseEvents", &request, memory);
    for (size_t i = 0; i < response->n_events; i++)
        count += response->events[i]->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_CLOSED;
    arena_free(memory);
    return count;
}

/* --- streams -------------------------------------------------------------------------------------- */

static rpc_stream *open_stream(suite *s, const char *method, const ProtobufCMessage *request)
{
    const struct rpc_client_options options = {.timeout_us = STREAM_TIMEOUT_US};
    rpc_stream *stream;
    error err;
    cr_assert(rpc_stream_open(suite_channel(s, SUITE_SLA, 0), SLA, method, &options, &stream, &err), "%s",
              err.message);
    if (rpc_stream_write(stream, request))
        rpc_stream_close_send(stream);
    return stream;
}

/* NULL: the stream has ended with OK. */
static const void *next_item(rpc_stream *stream, arena *memory)
{
    ProtobufCMessage *item = NULL;
    error err = {0};
    enum rpc_read read = rpc_stream_read(stream, STREAM_TIMEOUT_US, memory, &item, &err);
    cr_assert(read == RPC_READ_MESSAGE || read == RPC_READ_END, "%s %s", status_code_name(err.code),
              err.message);
    return read == RPC_READ_MESSAGE ? item : NULL;
}

static void count_difference(const Casework__Sla__V1__CheckTimersResponse__Difference *difference,
                             struct sla_desk_check *check)
{
    switch (difference->kind) {
    case CASEWORK__SLA__V1__TIMER_DIFFERENCE_KIND__TIMER_DIFFERENCE_KIND_MISSING:
        cr_assert(difference->expected && !difference->actual);
        check->missing++;
        break;
    case CASEWORK__SLA__V1__TIMER_DIFFERENCE_KIND__TIMER_DIFFERENCE_KIND_SURPLUS:
        cr_assert(!difference->expected && difference->actual);
        check->surplus++;
        break;
    default:
        cr_assert(difference->expected && difference->actual);
        check->changed++;
        break;
    }
}

/* A service that has just died is there again soon. */
static void await_service(suite *s)
{
    Casework__Sla__V1__GetPolicyRequest request = CASEWORK__SLA__V1__GET_POLICY_REQUEST__INIT;
    arena *memory = arena_new(MEMORY);
    ProtobufCMessage *ignored;
    error err = {.code = STATUS_UNAVAILABLE};
    request.name = "accounts/nobody/slaPolicy";
    for (int tries = 0; tries < 200 && err.code == STATUS_UNAVAILABLE; tries++) {
        if (suite_try(s, SLA, "GetPolicy", &request.base, memory, &ignored, &err))
            break;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    arena_free(memory);
}

struct sla_desk_check sla_desk_check(suite *s, const char *parent)
{
    Casework__Sla__V1__CheckTimersRequest request = CASEWORK__SLA__V1__CHECK_TIMERS_REQUEST__INIT;
    struct sla_desk_check check = {.cases = -1};
    const Casework__Sla__V1__CheckTimersResponse *item;
    arena *memory = arena_new(MEMORY);
    request.parent = (char *)(uintptr_t)parent;
    await_service(s);
    rpc_stream *stream = open_stream(s, "CheckTimers", &request.base);
    while ((item = next_item(stream, memory))) {
        cr_assert_eq(check.cases, -1, "the summary is the last item");
        if (item->item_case == CASEWORK__SLA__V1__CHECK_TIMERS_RESPONSE__ITEM_DIFFERENCE) {
            count_difference(item->difference, &check);
            continue;
        }
        check.cases = item->summary->cases_checked;
        check.timers = item->summary->timers_checked;
        check.differences = item->summary->differences;
    }
    rpc_stream_free(stream);
    arena_free(memory);
    cr_assert_geq(check.cases, 0, "there is a summary");
    cr_assert_eq(check.differences, check.missing + check.surplus + check.changed);
    return check;
}

void sla_desk_expect_same(suite *s, const char *parent)
{
    struct sla_desk_check check = sla_desk_check(s, parent);
    cr_assert_eq(check.differences, 0, "%d missing, %d surplus, %d changed", check.missing, check.surplus,
                 check.changed);
}

const Casework__Sla__V1__RebuildTimersResponse *sla_desk_rebuild(suite *s, const char *parent, arena *memory)
{
    Casework__Sla__V1__RebuildTimersRequest request = CASEWORK__SLA__V1__REBUILD_TIMERS_REQUEST__INIT;
    const Casework__Sla__V1__RebuildTimersResponse *item, *last = NULL;
    request.parent = (char *)(uintptr_t)parent;
    rpc_stream *stream = open_stream(s, "RebuildTimers", &request.base);
    while ((item = next_item(stream, memory))) {
        cr_assert(!last || !last->done, "the last item says done");
        last = item;
    }
    rpc_stream_free(stream);
    cr_assert(last && last->done);
    return last;
}

/* --- metrics -------------------------------------------------------------------------------------- */

static const char *metrics_address(suite *s, unsigned replica)
{
    json_error_t why;
    json_t *ready = json_load_file(suite_ready_file(s), 0, &why);
    static char address[64];
    const json_t *list = json_object_get(json_object_get(ready, "metrics"), "sla");
    const char *text = json_string_value(json_array_get(list, replica));
    cr_assert_not_null(text);
    snprintf(address, sizeof address, "%s", text);
    json_decref(ready);
    return address;
}

double sla_desk_metric(suite *s, unsigned replica, const char *name)
{
    const char *port = strrchr(metrics_address(s, replica), ':');
    cr_assert_not_null(port);
    return metrics_page_value((uint16_t)strtol(port + 1, NULL, 10), name);
}

/* --- Redis, waiting ------------------------------------------------------------------------------- */

bool sla_desk_redis(suite *s, const char *command, const char *first, const char *second, const char *third)
{
    const struct redis_options options = {.url = suite_redis_url(s)};
    const char *const arguments[] = {first, second, third};
    redis_batch *batch = redis_batch_new();
    redis_client *client;
    error err;
    cr_assert(redis_client_new(&options, &client, &err), "%s", err.message);
    redis_batch_command(batch, command);
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments && arguments[i]; i++)
        redis_batch_text(batch, arguments[i]);
    bool ok = redis_client_run(client, batch, &err);
    redis_batch_free(batch);
    redis_client_free(client);
    return ok;
}

void sla_desk_await(bool (*holds)(void *context), void *context, int64_t within_us, const char *what)
{
    int64_t until_us = clock_monotonic_us() + within_us;
    bool good;
    while (!(good = holds(context)) && clock_monotonic_us() < until_us)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    cr_assert(good, "%s", what);
}

void sla_desk_await_closed(suite *s, const char *case_name, int64_t within_us)
{
    int64_t until_us = clock_monotonic_us() + within_us;
    arena *memory = arena_new(MEMORY);
    bool closed;
    while (!(closed = suite_case(s, case_name, memory)->status ==
                      CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_CLOSED) &&
           clock_monotonic_us() < until_us) {
        arena_clear(memory);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    arena_free(memory);
    cr_assert(closed, "%s does not close", case_name);
}
