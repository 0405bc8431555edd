/*
 * report/report_store.h against a private server: generated histories, delivered twice, by two replicas at
 * once and across crashes of the database, must give what the rules give in memory.
 */

#include "base/clock.h"
#include "report/report_rules.h"
#include "report/report_store.h"
#include "tests/support/pg_server.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { ACCOUNTS = 6, CASES = 12, EVENTS = 3000, SLICE = 40 };

static const char *const account_ids[ACCOUNTS] = {"acme", "bolt", "cargo", "delta", "epoch", "falcon"};
static const char *const zones[ACCOUNTS] = {
    "UTC", "Europe/Amsterdam", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Asia/Tokyo"};
static const char first_epoch[] = "11111111-aaaa-bbbb-cccc-000000000001";

static embedded_pg *server;

static void setup(void)
{
    server = pg_server_start(false, NULL);
    pg_server_migrate(server, "report");
}

static void teardown(void)
{
    embedded_pg_free(server);
}

TestSuite(report_store, .init = setup, .fini = teardown, .timeout = 120);

static report_store *open_store(void)
{
    report_store *store = NULL;
    error err = {0};
    const struct report_store_options options = {
        .database_url = embedded_pg_url(server), .readers = 2, .lanes = 2};
    cr_assert(report_store_new(&options, &store, &err), "%s (%s)", err.message, err.detail);
    return store;
}

static int64_t at(const char *text)
{
    int64_t time_us = 0;
    cr_assert(clock_parse(text, &time_us), "%s", text);
    return time_us;
}

/* --- a feed, and what it should come to --- */

struct kept_entry {
    int account;
    int64_t position;
    struct report_entry entry;
};

static struct report_event events[EVENTS];
static int partitions[EVENTS];
static struct kept_entry kept[EVENTS * REPORT_ENTRIES_MAX];
static size_t kept_count;
static int64_t heads[FEED_PARTITIONS];

static unsigned next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33);
}

static void keep(int account, const struct report_event *event, struct report_case *state)
{
    struct report_entry entries[REPORT_ENTRIES_MAX];
    const struct report_settings settings = {.zone = calendar_zone_get(zones[account]),
                                             .lock_days = 1 + account % 3};
    size_t count = report_rules_apply(state, event, &settings, entries);
    for (size_t i = 0; i < count; i++)
        kept[kept_count++] =
            (struct kept_entry){.account = account, .position = event->position, .entry = entries[i]};
}

static void generate(uint64_t seed)
{
    static struct report_case states[ACCOUNTS][CASES];
    memset(states, 0, sizeof states);
    memset(heads, 0, sizeof heads);
    kept_count = 0;
    int64_t now = at("2024-03-20T00:00:00Z");
    for (size_t i = 0; i < EVENTS; i++) {
        int account = i < ACCOUNTS ? (int)i : (int)(next_random(&seed) % ACCOUNTS);
        now += next_random(&seed) % 3 == 0 ? 0 : next_random(&seed) % 20 * CLOCK_MINUTE;
        struct report_event *event = &events[i];
        partitions[i] = feed_partition(account_ids[account]);
        *event = (struct report_event){.kind = REPORT_EVENT_ACCOUNT_SET,
                                       .position = ++heads[partitions[i]],
                                       .time = now,
                                       .commit_time = now,
                                       .account = account_ids[account],
                                       .time_zone = zones[account],
                                       .lock_days = 1 + account % 3};
        if (i < ACCOUNTS)
            continue;
        int number = (int)(next_random(&seed) % CASES);
        struct report_case *state = &states[account][number];
        event->kind = next_random(&seed) % 5 == 0 ? REPORT_EVENT_OTHER : REPORT_EVENT_CASE;
        event->case_id = number + 1;
        event->create_time = state->status == REPORT_STATUS_NONE ? now : state->create_time;
        event->status = (enum report_status)(1 + next_random(&seed) % 6);
        if (event->kind == REPORT_EVENT_CASE)
            keep(account, event, state);
    }
}

static void plain_counts(int account, const struct report_rows *rows, int64_t as_of,
                         struct report_counts *counts)
{
    memset(counts, 0, rows->count * sizeof *counts);
    for (size_t i = 0; i < kept_count; i++) {
        const struct report_entry *entry = &kept[i].entry;
        if (kept[i].account != account || kept[i].position > as_of)
            continue;
        for (size_t row = 0; row < rows->count; row++) {
            if (entry->place_time < rows->bounds[row] || entry->place_time >= rows->bounds[row + 1])
                continue;
            int64_t *cells[] = {[REPORT_COLUMN_CREATED] = &counts[row].created,
                                [REPORT_COLUMN_PENDING] = &counts[row].pending,
                                [REPORT_COLUMN_RESOLVED] = &counts[row].resolved,
                                [REPORT_COLUMN_DELETED] = &counts[row].deleted};
            *cells[entry->column] += entry->delta;
            counts[row].resolve_duration += entry->delta * entry->resolve_duration;
        }
    }
}

static bool counts_equal(const struct report_counts *a, const struct report_counts *b)
{
    return a->created == b->created && a->pending == b->pending && a->resolved == b->resolved &&
           a->deleted == b->deleted && a->resolve_duration == b->resolve_duration;
}

/* Every account, in a zone of its own and another one, as it is and as of some position. */
static void expect_reports(report_store *store, uint64_t seed)
{
    arena *memory = arena_new(1 << 22);
    struct report_period period;
    cr_assert(report_period_range("2024-03-10", "2024-05-20", &period, NULL));
    for (int i = 0; i < ACCOUNTS * 4; i++) {
        int account = i % ACCOUNTS, partition = feed_partition(account_ids[account]);
        int64_t as_of = i < ACCOUNTS * 2 ? INT64_MAX : next_random(&seed) % (heads[partition] + 1);
        const calendar_zone *zone = calendar_zone_get(zones[(account + i / ACCOUNTS) % ACCOUNTS]);
        struct report_rows rows;
        struct report_counts found[80], expected[80];
        int64_t position;
        error err = {0};
        period.by_hour = false;
        cr_assert(report_period_rows(&period, zone, 0, memory, &rows, &err));
        cr_assert(report_store_activity(store, account_ids[account], &rows, as_of, 0, found, &position, &err),
                  "%s (%s)", err.message, err.detail);
        cr_assert_eq(position, heads[partition]);
        plain_counts(account, &rows, as_of, expected);
        for (size_t row = 0; row < rows.count; row++)
            cr_assert(counts_equal(&found[row], &expected[row]), "%s row %zu as of %lld",
                      account_ids[account], row, (long long)as_of);
    }
    arena_free(memory);
}

/* Events [from, to) as the consumer hands them over. */
static bool apply_slice(report_store *store, const char *epoch, size_t from, size_t to, error *err)
{
    struct report_event sorted[SLICE];
    struct report_part parts[FEED_PARTITIONS];
    size_t count = 0, filled = 0;
    for (int partition = 0; partition < FEED_PARTITIONS; partition++) {
        size_t start = filled;
        for (size_t i = from; i < to; i++) {
            if (partitions[i] == partition)
                sorted[filled++] = events[i];
        }
        if (filled > start)
            parts[count++] = (struct report_part){.partition = partition,
                                                  .events = sorted + start,
                                                  .count = filled - start,
                                                  .head = sorted[filled - 1].position};
    }
    return report_store_apply(store, epoch, parts, count, err);
}

static void apply_all(report_store *store, const char *epoch)
{
    error err = {0};
    for (size_t i = 0; i < EVENTS; i += SLICE)
        cr_assert(apply_slice(store, epoch, i, i + SLICE < EVENTS ? i + SLICE : EVENTS, &err), "%s (%s)",
                  err.message, err.detail);
}

/* --- the tests --- */

Test(report_store, a_history_gives_what_the_rules_give)
{
    generate(1);
    report_store *store = open_store();
    apply_all(store, first_epoch);
    expect_reports(store, 7);
    report_store_free(store);
}

static void *consume(void *store)
{
    apply_all(store, first_epoch);
    return NULL;
}

Test(report_store, two_replicas_at_once_and_everything_twice)
{
    generate(2);
    report_store *stores[2] = {open_store(), open_store()};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, consume, stores[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    apply_all(stores[0], first_epoch);
    expect_reports(stores[1], 8);
    struct feed_positions positions;
    cr_assert(report_store_positions(stores[0], &positions, NULL));
    cr_expect_str_eq(positions.epoch, first_epoch);
    for (int i = 0; i < FEED_PARTITIONS; i++)
        cr_expect_eq(positions.at[i], heads[i]);
    report_store_free(stores[0]);
    report_store_free(stores[1]);
}

Test(report_store, a_crash_of_the_database_loses_only_what_is_read_again)
{
    generate(3);
    report_store *store = open_store();
    error err = {0};
    int crashes = 0;
    for (size_t i = 0; i < EVENTS; i += SLICE) {
        if (i % (SLICE * 25) == SLICE * 20) {
            embedded_pg_stop(server, EMBEDDED_PG_KILL);
            cr_expect_not(apply_slice(store, first_epoch, i, i + SLICE, &err));
            cr_assert(embedded_pg_restart(server, &err), "%s", err.message);
            crashes++;
            /* As the consumer does: on from what the tables say; what they have is skipped. */
            for (size_t again = 0; again < i; again += SLICE) {
                for (int tries = 0; !apply_slice(store, first_epoch, again, again + SLICE, &err); tries++)
                    cr_assert_lt(tries, 100, "%s (%s)", err.message, err.detail);
            }
        }
        cr_assert(apply_slice(store, first_epoch, i, i + SLICE < EVENTS ? i + SLICE : EVENTS, &err),
                  "%s (%s)", err.message, err.detail);
    }
    cr_expect_geq(crashes, 2);
    expect_reports(store, 9);
    report_store_free(store);
}

Test(report_store, another_epoch_is_refused_until_everything_has_been_forgotten)
{
    generate(4);
    report_store *store = open_store();
    error err = {0};
    apply_all(store, first_epoch);
    cr_expect_not(apply_slice(store, "second", 0, SLICE, &err));
    cr_expect_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_expect_str_eq(err.reason, "EPOCH_CHANGED");
    cr_assert(report_store_reset(store, "second", &err), "%s (%s)", err.message, err.detail);
    struct feed_positions positions;
    cr_assert(report_store_positions(store, &positions, NULL));
    cr_expect_str_eq(positions.epoch, "second");
    for (int i = 0; i < FEED_PARTITIONS; i++)
        cr_expect_eq(positions.at[i], 0);
    generate(5);
    apply_all(store, "second");
    cr_assert(report_store_reset(store, "second", &err), "a replica that comes late changes nothing");
    expect_reports(store, 10);
    report_store_free(store);
}

Test(report_store, an_erased_account_leaves_nothing_and_may_come_again)
{
    generate(6);
    report_store *store = open_store();
    apply_all(store, first_epoch);
    int partition = feed_partition("acme");
    int64_t now = events[EVENTS - 1].commit_time, head = heads[partition];
    const struct report_event more[] = {
        {.kind = REPORT_EVENT_CASE,
         .position = head + 1,
         .time = now,
         .commit_time = now,
         .account = "acme",
         .case_id = 900,
         .status = REPORT_STATUS_NEW,
         .create_time = now},
        {.kind = REPORT_EVENT_ACCOUNT_DELETED,
         .position = head + 2,
         .time = now,
         .commit_time = now,
         .account = "acme"},
        {.kind = REPORT_EVENT_ACCOUNT_SET,
         .position = head + 3,
         .time = now,
         .commit_time = now,
         .account = "acme",
         .time_zone = "Asia/Tokyo",
         .lock_days = 1},
        {.kind = REPORT_EVENT_CASE,
         .position = head + 4,
         .time = now,
         .commit_time = now,
         .account = "acme",
         .case_id = 1,
         .status = REPORT_STATUS_NEW,
         .create_time = now},
    };
    const struct report_part part = {.partition = partition, .events = more, .count = 4, .head = head + 4};
    error err = {0};
    cr_assert(report_store_shrink(store, "acme", head + 2, &err), "%s (%s)", err.message, err.detail);
    cr_assert(report_store_apply(store, first_epoch, &part, 1, &err), "%s (%s)", err.message, err.detail);
    cr_assert(report_store_shrink(store, "acme", head + 2, &err), "too late to take anything away");

    size_t others = 0; /* what the plain reader is left with */
    for (size_t i = 0; i < kept_count; i++) {
        if (kept[i].account != 0)
            kept[others++] = kept[i];
    }
    kept_count = others;
    kept[kept_count++] = (struct kept_entry){
        .account = 0,
        .position = head + 4,
        .entry = {.column = REPORT_COLUMN_CREATED, .delta = 1, .place_time = now},
    };
    heads[partition] += 4;
    expect_reports(store, 11);
    arena *memory = arena_new(4096);
    const char *zone = NULL;
    cr_assert(report_store_time_zone(store, "acme", INT64_MAX, 0, memory, &zone, &err));
    cr_expect_str_eq(zone, "Asia/Tokyo");
    cr_assert(report_store_time_zone(store, "nobody", INT64_MAX, 0, memory, &zone, &err));
    cr_expect_null(zone);
    arena_free(memory);
    report_store_free(store);
}

Test(report_store, settings_and_positions_of_the_past)
{
    report_store *store = open_store();
    int partition = feed_partition("acme");
    const struct report_event history[] = {
        {.kind = REPORT_EVENT_ACCOUNT_SET,
         .position = 1,
         .time = 1000,
         .commit_time = 1000,
         .account = "acme",
         .time_zone = "UTC",
         .lock_days = 3},
        {.kind = REPORT_EVENT_OTHER, .position = 2, .time = 1000, .commit_time = 1000, .account = "acme"},
        {.kind = REPORT_EVENT_ACCOUNT_SET,
         .position = 5,
         .time = 2000,
         .commit_time = 2000,
         .account = "acme",
         .time_zone = "Asia/Tokyo",
         .lock_days = 3},
    };
    const struct report_part part = {.partition = partition, .events = history, .count = 3, .head = 7};
    error err = {0};
    cr_assert(report_store_apply(store, first_epoch, &part, 1, &err), "%s (%s)", err.message, err.detail);

    arena *memory = arena_new(4096);
    static const struct {
        int64_t position;
        const char *zone;
    } past[] = {{0, "UTC"}, {1, "UTC"}, {4, "UTC"}, {5, "Asia/Tokyo"}, {INT64_MAX, "Asia/Tokyo"}};
    for (size_t i = 0; i < sizeof past / sizeof past[0]; i++) {
        const char *zone = NULL;
        cr_assert(report_store_time_zone(store, "acme", past[i].position, 0, memory, &zone, &err));
        cr_expect_str_eq(zone, past[i].zone, "as of %lld", (long long)past[i].position);
    }
    static const struct {
        int64_t time_us, position;
        bool over;
    } instants[] = {{999, 0, true}, {1000, 2, true}, {1999, 2, true}, {2000, 5, false}, {3000, 5, false}};
    for (size_t i = 0; i < sizeof instants / sizeof instants[0]; i++) {
        int64_t position = -1;
        bool over = false;
        cr_assert(report_store_position_at(store, "acme", instants[i].time_us, 0, &position, &over, &err));
        cr_expect_eq(position, instants[i].position);
        cr_expect_eq(over, instants[i].over);
    }
    static const int64_t commits[][2] = {{1, 1000}, {2, 1000}, {3, 2000}, {5, 2000}, {6, 0}};
    for (size_t i = 0; i < sizeof commits / sizeof commits[0]; i++) {
        int64_t time_us = -1;
        cr_assert(report_store_commit_time(store, "acme", commits[i][0], 0, &time_us, &err));
        cr_expect_eq(time_us, commits[i][1]);
    }
    arena_free(memory);
    report_store_free(store);
}

Test(report_store, zones_whose_clocks_are_not_set_by_quarters_are_counted_from_the_ledger)
{
    report_store *store = open_store();
    int64_t midnight = at("1971-01-10T00:44:30Z"); /* in Monrovia */
    struct report_event history[3] = {
        {.kind = REPORT_EVENT_ACCOUNT_SET, .account = "acme", .time_zone = "Africa/Monrovia"}};
    for (int i = 0; i < 3; i++) {
        history[i].position = i + 1;
        history[i].account = "acme";
        history[i].time = history[i].commit_time = history[i].create_time = midnight + (i - 2) * CLOCK_SECOND;
        if (i > 0) {
            history[i].kind = REPORT_EVENT_CASE;
            history[i].case_id = i;
            history[i].status = REPORT_STATUS_NEW;
        }
    }
    const struct report_part part = {
        .partition = feed_partition("acme"), .events = history, .count = 3, .head = 3};
    error err = {0};
    cr_assert(report_store_apply(store, first_epoch, &part, 1, &err), "%s (%s)", err.message, err.detail);
    arena *memory = arena_new(1 << 16);
    struct report_period period;
    struct report_rows rows;
    struct report_counts counts[2];
    int64_t position;
    cr_assert(report_period_range("1971-01-09", "1971-01-11", &period, &err));
    cr_assert(report_period_rows(&period, calendar_zone_get("Africa/Monrovia"), 0, memory, &rows, &err));
    cr_assert(report_store_activity(store, "acme", &rows, INT64_MAX, 0, counts, &position, &err), "%s (%s)",
              err.message, err.detail);
    cr_expect_eq(counts[0].created, 1, "a second before midnight");
    cr_expect_eq(counts[1].created, 1, "at midnight");
    arena_free(memory);
    report_store_free(store);
}
