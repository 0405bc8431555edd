/*
 * Faults that timers have to survive, in real time: after each of them every case was closed once, none
 * early, none later than the stated bound, and the schedule is equal to the truth. CASEWORK_TEST_FULL=1 runs
 * them at the size that the product promises.
 */

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "embedded/process.h"
#include "feed/partition.h"
#include "pg/pg.h"
#include "redis/slot.h"
#include "tests/support/redis_group.h"
#include "tests/support/redis_server.h"
#include "tests/support/sla_desk.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MEMORY = 64 << 20, CASES_MOST = 1000 };

static suite *s;
static arena *memory;
static const char *account;
static int64_t duration_us;
static const char *names[CASES_MOST];
static int case_count;

static bool is_full(void)
{
    const char *full = getenv("CASEWORK_TEST_FULL");
    return full && strcmp(full, "1") == 0;
}

static void begin(const struct suite_options *options, int64_t after_us)
{
    struct suite_options real = *options;
    real.clock = "real";
    memory = arena_new(MEMORY);
    s = suite_start(&real);
    account = suite_create_account(s, "acme", "Europe/Berlin", memory);
    duration_us = after_us;
    case_count = 0;
    sla_desk_policy(s, account, duration_us);
}

static void end(void)
{
    suite_stop(s);
    arena_free(memory);
}

static void resolve_more(int count)
{
    for (int i = 0; i < count; i++)
        names[case_count++] = sla_desk_resolved(s, account, memory);
}

static void pause_for(int64_t pause_us)
{
    nanosleep(&(struct timespec){.tv_sec = pause_us / CLOCK_SECOND,
                                 .tv_nsec = (long)(pause_us % CLOCK_SECOND * 1000)},
              NULL);
}

/* --- what must hold afterwards -------------------------------------------------------------------- */

static int64_t time_of(const Google__Protobuf__Timestamp *time)
{
    return time ? time->seconds * CLOCK_SECOND + time->nanos / 1000 : 0;
}

/* The latest of them all, in microseconds after its deadline. */
static int64_t expect_each_once(int64_t bound_us)
{
    int64_t latest_us = 0;
    for (int i = 0; i < case_count; i++) {
        arena *mine = arena_new(1 << 20);
        sla_desk_await_closed(s, names[i], bound_us + 20 * CLOCK_SECOND);
        const Casework__Cases__V1__Case *now = suite_case(s, names[i], mine);
        int64_t late_us = time_of(now->close_time) - time_of(now->resolve_time) - duration_us;
        cr_assert_geq(late_us, 0, "%s closed %ld us early", names[i], (long)-late_us);
        cr_assert_leq(late_us, bound_us, "%s closed %ld us late", names[i], (long)late_us);
        cr_assert_eq(sla_desk_closings(s, names[i]), 1);
        latest_us = late_us > latest_us ? late_us : latest_us;
        arena_free(mine);
    }
    sla_desk_expect_same(s, "accounts/-");
    return latest_us;
}

/* What a replica counts goes beyond so many: it counts after the effect that everybody sees. */
struct counted {
    unsigned replica;
    const char *name;
    double more_than;
};

static bool has_counted(void *context)
{
    const struct counted *counted = context;
    return sla_desk_metric(s, counted->replica, counted->name) > counted->more_than;
}

static void await_counted_by(unsigned replica, const char *name, double more_than, const char *what)
{
    sla_desk_await(has_counted, &(struct counted){replica, name, more_than}, CLOCK_MINUTE, what);
}

static void await_counted(const char *name, double more_than, const char *what)
{
    await_counted_by(0, name, more_than, what);
}

static void await_swept(void)
{
    await_counted("casework_sla_timers_swept_total", 0, "the sweep has closed some");
}

/* All buckets were built once at the start. */
static void await_rebuilt(void)
{
    await_counted("casework_sla_buckets_rebuilt_total", FEED_PARTITIONS, "what was lost is built again");
}

/* --- the service ---------------------------------------------------------------------------------- */

enum { DIRECTORY_SIZE = 200 };

/* A fault that happens once, in whichever process comes to it first, and leaves a file that says so. */
struct fault {
    char directory[DIRECTORY_SIZE], mark[DIRECTORY_SIZE + 64];
    char inject[128], once[DIRECTORY_SIZE + 32]; /* settings */
};

static void fault_init(struct fault *fault, const char *point, const char *action)
{
    error err;
    cr_assert(process_make_scratch("casework-fault", fault->directory, sizeof fault->directory, &err), "%s",
              err.message);
    snprintf(fault->mark, sizeof fault->mark, "%s/%s", fault->directory, point);
    snprintf(fault->inject, sizeof fault->inject, "CASEWORK_INJECT=%s=%s", point, action);
    snprintf(fault->once, sizeof fault->once, "CASEWORK_INJECT_ONCE=%s", fault->directory);
}

static void fault_release(const struct fault *fault)
{
    process_remove_tree(fault->directory);
}

static bool fault_happened(void *context)
{
    return access(((const struct fault *)context)->mark, F_OK) == 0;
}

/* It dies when it comes to the point, and what is started in its place closes all the same. */
static void check_killed_at(const char *point, const char *action)
{
    struct fault fault;
    fault_init(&fault, point, action);
    const char *const settings[] = {
        fault.inject,         fault.once, "SLA_LEASE_DURATION=1s", "SLA_SWEEP_INTERVAL=1s",
        "SLA_SWEEP_GRACE=1h", NULL};
    begin(&(struct suite_options){.settings = settings}, CLOCK_SECOND);
    pid_t former = suite_pid(s, SUITE_SLA, 0);
    resolve_more(6);
    /* A slow one takes several at a time and comes to the point less often. */
    for (int tries = 0; tries < 200 && !fault_happened(&fault); tries++) {
        pause_for(CLOCK_SECOND / 4);
        resolve_more(1);
    }
    cr_assert(fault_happened(&fault), "it was not killed at %s", point);
    suite_await_restart(s, SUITE_SLA, 0, former);
    expect_each_once(30 * CLOCK_SECOND);
    end();
    fault_release(&fault);
}

Test(sla_faults, killed_after_a_claim, .timeout = 120)
{
    check_killed_at("sla.after_claim", "kill");
}

/* It has asked for one closing, and holds more. */
Test(sla_faults, killed_before_a_closing, .timeout = 120)
{
    check_killed_at("sla.before_close", "kill@2");
}

/* Not by the events of the start: there are fewer of them. */
Test(sla_faults, killed_before_events_are_applied, .timeout = 120)
{
    check_killed_at("sla.before_apply", "kill@6");
}

Test(sla_faults, killed_after_events_are_applied, .timeout = 120)
{
    check_killed_at("sla.after_apply", "kill@6");
}

Test(sla_faults, killed_before_what_came_of_it_is_noted, .timeout = 120)
{
    check_killed_at("sla.before_settle", "kill");
}

/* It has claimed, is stopped until its lease is over and the other one has closed, and then goes on. */
Test(sla_faults, stopped_past_its_lease, .timeout = 120)
{
    static const char closed[] = "casework_sla_timers_fired_total{result=\"closed\"}";
    struct fault fault;
    fault_init(&fault, "sla.after_claim", "sleep:4000");
    const char *const settings[] = {
        fault.inject,         fault.once, "SLA_LEASE_DURATION=1s", "SLA_SWEEP_INTERVAL=1s",
        "SLA_SWEEP_GRACE=1h", NULL};
    begin(&(struct suite_options){.settings = settings, .replicas = 2}, CLOCK_SECOND);
    cr_assert_eq(kill(suite_pid(s, SUITE_SLA, 1), SIGSTOP), 0);
    resolve_more(5);
    sla_desk_await(fault_happened, &fault, CLOCK_MINUTE, "it has claimed");
    cr_assert_eq(kill(suite_pid(s, SUITE_SLA, 0), SIGSTOP), 0);
    cr_assert_eq(kill(suite_pid(s, SUITE_SLA, 1), SIGCONT), 0);
    for (int i = 0; i < case_count; i++)
        sla_desk_await_closed(s, names[i], CLOCK_MINUTE);
    cr_assert_eq(kill(suite_pid(s, SUITE_SLA, 0), SIGCONT), 0);
    await_counted_by(0, closed, 0, "what it had claimed is asked for again");
    await_counted_by(1, closed, 0, "the other one has closed some");
    expect_each_once(CLOCK_MINUTE);
    end();
    fault_release(&fault);
}

/* --- the schedule --------------------------------------------------------------------------------- */

Test(sla_faults, emptied_under_load, .timeout = 120)
{
    static const char *const settings[] = {"SLA_SWEEP_INTERVAL=1s", "SLA_SWEEP_GRACE=1h", NULL};
    begin(&(struct suite_options){.settings = settings}, 2 * CLOCK_SECOND);
    char *bucket = arena_printf(memory, "casework:{b%02d}:timers", feed_partition("acme"));
    for (int i = 0; i < 6; i++) {
        resolve_more(10);
        cr_assert(i % 2 ? sla_desk_redis(s, "DEL", bucket, NULL, NULL)
                        : sla_desk_redis(s, "FLUSHALL", NULL, NULL, NULL));
    }
    expect_each_once(15 * CLOCK_SECOND);
    await_rebuilt();
    end();
}

Test(sla_faults, restored_from_an_old_file, .timeout = 120)
{
    static const char *const settings[] = {"SLA_SWEEP_INTERVAL=1s", "SLA_SWEEP_GRACE=1h", NULL};
    embedded_redis *redis = redis_server_start(false, NULL);
    error err;
    begin(&(struct suite_options){.settings = settings, .redis_url = embedded_redis_url(redis)},
          3 * CLOCK_SECOND);
    resolve_more(5);
    cr_assert(sla_desk_redis(s, "SAVE", NULL, NULL, NULL));
    resolve_more(5);
    sla_desk_expect_same(s, "accounts/-"); /* the file is older than what is armed by now */
    embedded_redis_stop(redis, true);
    cr_assert(embedded_redis_restart(redis, &err), "%s", err.message);
    resolve_more(5);
    expect_each_once(15 * CLOCK_SECOND);
    await_rebuilt();
    end();
    embedded_redis_free(redis);
}

Test(sla_faults, full, .timeout = 120)
{
    static const char *const settings[] = {"SLA_SWEEP_INTERVAL=1s", "SLA_SWEEP_GRACE=1s", NULL};
    begin(&(struct suite_options){.settings = settings}, CLOCK_SECOND);
    resolve_more(5);
    cr_assert(sla_desk_redis(s, "CONFIG", "SET", "maxmemory", "100000"));
    cr_assert_not(sla_desk_redis(s, "SET", "k", "v", NULL), "it is full");
    resolve_more(10);
    for (int i = 0; i < case_count; i++)
        sla_desk_await_closed(s, names[i], 20 * CLOCK_SECOND);
    await_swept();
    cr_assert(sla_desk_redis(s, "CONFIG", "SET", "maxmemory", "0"));
    expect_each_once(15 * CLOCK_SECOND);
    end();
}

Test(sla_faults, away_for_a_while, .timeout = 200)
{
    static const char *const settings[] = {"SLA_SWEEP_INTERVAL=2s", NULL};
    int64_t away_us = is_full() ? CLOCK_MINUTE : 6 * CLOCK_SECOND;
    begin(&(struct suite_options){.settings = settings}, 2 * CLOCK_SECOND);
    resolve_more(5);
    pid_t redis = suite_redis_pid(s);
    cr_assert_eq(kill(redis, SIGSTOP), 0);
    int64_t until_us = clock_monotonic_us() + away_us;
    resolve_more(20);
    for (int i = 0; i < case_count; i++)
        sla_desk_await_closed(s, names[i], CLOCK_MINUTE);
    while (clock_monotonic_us() < until_us)
        pause_for(CLOCK_SECOND / 10);
    await_swept();
    cr_assert_eq(kill(redis, SIGCONT), 0);
    expect_each_once((is_full() ? 8 : 30) * CLOCK_SECOND);
    end();
}

Test(sla_faults, failed_over_by_a_sentinel, .timeout = 120)
{
    static const char *const settings[] = {"SLA_SWEEP_INTERVAL=1s", "SLA_SWEEP_GRACE=1h", NULL};
    redis_watched *watched = redis_watched_start();
    begin(&(struct suite_options){.settings = settings, .redis_url = redis_watched_url(watched)},
          2 * CLOCK_SECOND);
    int first = redis_watched_master(watched);
    resolve_more(10);
    redis_watched_kill_master(watched);
    cr_assert_neq(redis_watched_master(watched), first);
    resolve_more(10);
    expect_each_once(20 * CLOCK_SECOND);
    end();
    redis_watched_free(watched);
}

static void resolve_halfway(void *context)
{
    (void)context;
    resolve_more(5);
    pause_for(CLOCK_SECOND);
}

Test(sla_faults, a_clusters_slot_moves, .timeout = 120)
{
    static const char *const settings[] = {"SLA_SWEEP_INTERVAL=1s", "SLA_LEASE_DURATION=1s", NULL};
    redis_cluster_group *group = redis_cluster_start();
    begin(&(struct suite_options){.settings = settings, .redis_url = redis_cluster_url(group)},
          2 * CLOCK_SECOND);
    char tag[8];
    int length = snprintf(tag, sizeof tag, "b%02d", feed_partition("acme"));
    int slot = redis_slot(tag, (size_t)length);
    int from = redis_cluster_owner(group, slot);
    resolve_more(20);
    cr_assert_gt(redis_cluster_move(group, slot, (from + 1) % REDIS_CLUSTER_NODES, resolve_halfway, NULL), 0,
                 "there was something to be moved");
    cr_assert_neq(redis_cluster_owner(group, slot), from);
    resolve_more(10);
    expect_each_once(15 * CLOCK_SECOND);
    end();
    redis_cluster_group_free(group);
}

/* --- clocks --------------------------------------------------------------------------------------- */

Test(sla_faults, redis_clock_an_hour_ahead, .timeout = 120)
{
    static const char *const settings[] = {"CASEWORK_INJECT=sla.claim_hour_ahead=drop",
                                           "SLA_SWEEP_INTERVAL=1s", "SLA_SWEEP_GRACE=1s", NULL};
    begin(&(struct suite_options){.settings = settings}, 2 * CLOCK_SECOND);
    resolve_more(10);
    expect_each_once(15 * CLOCK_SECOND);
    await_counted("casework_sla_timers_fired_total{result=\"early\"}", 0, "it was told that it was early");
    double drift = sla_desk_metric(s, 0, "casework_sla_clock_drift_milliseconds{clock=\"redis\"}");
    cr_assert(drift > 3590000 && drift < 3610000, "%g", drift);
    end();
}

Test(sla_faults, redis_clock_an_hour_behind, .timeout = 120)
{
    static const char *const settings[] = {"CASEWORK_INJECT=sla.claim_hour_behind=drop",
                                           "SLA_SWEEP_INTERVAL=1s", "SLA_SWEEP_GRACE=1s", NULL};
    begin(&(struct suite_options){.settings = settings}, 2 * CLOCK_SECOND);
    resolve_more(10);
    expect_each_once(15 * CLOCK_SECOND);
    await_swept();
    end();
}

/* --- races and storms ----------------------------------------------------------------------------- */

struct racer {
    pthread_t thread;
    const char *name;
    int resets; /* to be made */
    int won;    /* came before the closing */
};

/* A message is a change: the case's time starts again, unless the case is closed by then. */
static bool reset(const char *name)
{
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    arena *mine = arena_new(1 << 20);
    ProtobufCMessage *response;
    error err;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.body = (char *)"reset";
    request.parent = (char *)(uintptr_t)name;
    request.message = &message;
    bool done = suite_try(s, &casework__cases__v1__message_service__descriptor, "AddMessage", &request.base,
                          mine, &response, &err);
    arena_free(mine);
    return done;
}

/* A message that came after the closing has opened the case again. */
static void make_resolved(const char *name)
{
    arena *mine = arena_new(1 << 20);
    if (suite_case(s, name, mine)->status == CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_OPEN)
        suite_step(s, "ResolveCase", name, NULL);
    arena_free(mine);
}

static void *race(void *argument)
{
    struct racer *racer = argument;
    unsigned seed = (unsigned)(uintptr_t)racer;
    for (int i = 0; i < racer->resets; i++) {
        arena *mine = arena_new(1 << 20);
        const Casework__Cases__V1__Case *now = suite_case(s, racer->name, mine);
        bool closed = now->status == CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_CLOSED;
        int64_t at_us = time_of(now->update_time) + duration_us + (int64_t)(rand_r(&seed) % 2001) - 1000;
        arena_free(mine);
        if (closed)
            suite_step(s, "ReopenCase", racer->name, NULL);
        if (closed)
            suite_step(s, "ResolveCase", racer->name, NULL);
        else if (at_us > clock_real_us())
            pause_for(at_us - clock_real_us());
        if (!closed)
            racer->won += reset(racer->name);
    }
    make_resolved(racer->name);
    return NULL;
}

/* Each closing comes as late after the last change as the policy says, and after each one there is another
 * change first. */
static void expect_no_stale_closing(const char *name, int *ret_closings)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    int64_t changed_us = 0;
    *ret_closings = 0;
    request.parent = (char *)(uintptr_t)name;
    request.page_size = 1000;
    do {
        arena *mine = arena_new(64 << 20);
        const Casework__Cases__V1__ListCaseEventsResponse *page =
            suite_call(s, &casework__cases__v1__case_service__descriptor, "ListCaseEvents", &request, mine);
        for (size_t i = 0; i < page->n_events; i++) {
            const Casework__Cases__V1__Event *event = page->events[i];
            if (event->kind == CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_CLOSED) {
                cr_assert_gt(changed_us, 0, "%s was closed twice", name);
                cr_assert_geq(time_of(event->event_time), changed_us + duration_us, "%s: a stale closing",
                              name);
                changed_us = 0;
                ++*ret_closings;
            } else {
                changed_us = time_of(event->case_facts->change_time);
            }
        }
        request.page_token = arena_strdup(memory, page->next_page_token);
        arena_free(mine);
    } while (*request.page_token);
}

Test(sla_faults, resets_race_their_timers, .timeout = 600)
{
    enum { RACERS = 40 };
    static struct racer racers[RACERS];
    int resets = is_full() ? 10000 / RACERS : 3;
    int won = 0;
    int closings = 0;
    begin(&(struct suite_options){0}, CLOCK_SECOND);
    resolve_more(RACERS);
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.name = names[i], .resets = resets};
        cr_assert_eq(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++) {
        int closed;
        pthread_join(racers[i].thread, NULL);
        sla_desk_await_closed(s, names[i], 20 * CLOCK_SECOND);
        expect_no_stale_closing(names[i], &closed);
        won += racers[i].won;
        closings += closed;
    }
    cr_assert_gt(won, 0, "some resets came first");
    cr_assert_geq(closings, RACERS);
    sla_desk_expect_same(s, account);
    end();
}

static int64_t number_of(const char *sql)
{
    const struct pg_statement statement = {.name = "", .sql = sql};
    const struct pg_options options = {.url = suite_database(s, SUITE_CASE)};
    pg_conn *conn;
    pg_result *result;
    error err;
    cr_assert(pg_conn_open(&options, &conn, &err), "%s", err.message);
    cr_assert(pg_query(conn, &statement, NULL, clock_monotonic_us() + CLOCK_MINUTE, &result, &err), "%s",
              err.message);
    int64_t number = pg_get_int(result, 0, 0);
    pg_result_free(result);
    pg_conn_close(conn);
    return number;
}

static int64_t count_closed(void)
{
    return number_of("SELECT count(*) FROM cases WHERE close_time IS NOT NULL");
}

static bool some_are_closed(void *context)
{
    (void)context;
    return count_closed() > 0;
}

static bool all_are_closed(void *context)
{
    return count_closed() == *(int *)context;
}

/* After its deadline, of the case for which it is least, and most. */
#define LATENESS(which) \
    "SELECT (extract(epoch FROM " which "(close_time - resolve_time)) * 1000000)::int8 FROM cases"

Test(sla_faults, all_due_at_once_and_a_replica_killed, .timeout = 400)
{
    int count = is_full() ? 100000 : 400;
    int64_t first_us = clock_real_us() - 10 * CLOCK_SECOND;
    begin(&(struct suite_options){.replicas = 3}, CLOCK_HOUR);
    sla_desk_import_resolved(s, count, first_us, CLOCK_SECOND);
    int64_t due_us = clock_real_us() + (is_full() ? 40 : 3) * CLOCK_SECOND;
    duration_us = due_us - first_us;
    sla_desk_policy(s, account, duration_us);
    sla_desk_expect_same(s, account);
    sla_desk_await(some_are_closed, NULL, CLOCK_MINUTE, "the first of them close");
    pid_t former = suite_kill(s, SUITE_SLA, 1);
    int64_t left = count - count_closed();
    sla_desk_await(all_are_closed, &count, 200 * CLOCK_SECOND, "all of them close");
    suite_await_restart(s, SUITE_SLA, 1, former);
    int64_t least_us = number_of(LATENESS("min")) - duration_us;
    int64_t most_us = number_of(LATENESS("max")) - duration_us;
    fprintf(stderr, "%d due within a second, a replica killed with %ld left: closed at most %.1f s late\n",
            count, (long)left, (double)most_us / CLOCK_SECOND);
    cr_assert_geq(least_us, 0, "%ld us early", (long)-least_us);
    cr_assert_leq(most_us, 100 * CLOCK_SECOND);
    cr_assert(!is_full() || left > 0, "it was killed too late");
    cr_assert_eq(number_of("SELECT count(*) FROM events WHERE kind = 7"), count, "each of them once");
    sla_desk_expect_same(s, account);
    end();
}
