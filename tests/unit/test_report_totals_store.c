/*
 * Exact percentiles against a private server: made of the values that totals keep by day, of those by hour
 * where days have too many, and one by one where hours have too many, they are the same.
 */

#include "base/clock.h"
#include "report/report_engagement_store.h"
#include "report/report_totals.h"
#include "tests/support/pg_server.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* Closings of three days: few on the first, many in all of the second's hours, many in one of the third. */
enum { FEW = 300, MANY = REPORT_VALUES_MAX + 200, CASES = FEW + 2 * MANY, SLICE = 1000, AGENTS = 3 };

static const char *const agents[AGENTS] = {"ann", "bob", "cid"};
static embedded_pg *server;
static report_store *store;

static void setup(void)
{
    error err = {0};
    server = pg_server_start(false, NULL);
    pg_server_migrate(server, "report");
    const struct report_store_options options = {
        .database_url = embedded_pg_url(server), .readers = 2, .lanes = 2, .exact_max = CASES};
    cr_assert(report_store_new(&options, &store, &err), "%s (%s)", err.message, err.detail);
}

static void teardown(void)
{
    report_store_free(store);
    embedded_pg_free(server);
}

TestSuite(report_totals_store, .init = setup, .fini = teardown, .timeout = 120);

/* --- cases -----------------------------------------------------------------------------------------------
 */

static int64_t start;
static struct report_event events[CASES];
static struct report_change changes[CASES];
static struct report_message messages[CASES][2];

static unsigned next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33);
}

static int64_t closing_of(size_t number, uint64_t *seed)
{
    int64_t within = (int64_t)next_random(seed) * 1000;
    if (number < FEW)
        return start + within % CLOCK_DAY;
    if (number < FEW + MANY)
        return start + CLOCK_DAY + within % CLOCK_DAY;
    return start + 2 * CLOCK_DAY + within % CLOCK_HOUR;
}

/* A case that is closed with one reply. */
static void make_cases(void)
{
    uint64_t seed = 5;
    cr_assert(clock_parse("2026-03-02T00:00:00Z", &start));
    for (size_t i = 0; i < CASES; i++) {
        int64_t closed = closing_of(i, &seed), reply = closed - (int64_t)next_random(&seed) % 1000000;
        const char *agent = agents[next_random(&seed) % AGENTS];
        messages[i][0] = (struct report_message){.number = 1,
                                                 .kind = REPORT_MESSAGE_CUSTOMER,
                                                 .agent = "",
                                                 .send_time = reply - (int64_t)next_random(&seed) * 5};
        messages[i][1] = (struct report_message){
            .number = 2, .kind = REPORT_MESSAGE_AGENT, .agent = agent, .send_time = reply};
        changes[i] = (struct report_change){.facts = {.status = REPORT_STATUS_CLOSED,
                                                      .status_time = closed,
                                                      .channel = "desk",
                                                      .network = "email",
                                                      .channel_address = "desk@acme.example"},
                                            .anew = true,
                                            .messages = messages[i],
                                            .message_count = 2};
        events[i] = (struct report_event){.position = (int64_t)i + 1,
                                          .time = closed,
                                          .commit_time = start + (int64_t)i,
                                          .account = "acme",
                                          .case_id = (int64_t)i + 1,
                                          .change = &changes[i]};
    }
}

static void apply_all(void)
{
    error err = {0};
    for (size_t from = 0; from < CASES; from += SLICE) {
        size_t count = CASES - from < SLICE ? CASES - from : SLICE;
        const struct report_part part = {.partition = feed_partition("acme"),
                                         .events = events + from,
                                         .count = count,
                                         .head = (int64_t)(from + count)};
        cr_assert(report_store_apply(store, "epoch", &part, 1, &err), "%s (%s)", err.message, err.detail);
    }
}

/* --- what they come to -----------------------------------------------------------------------------------
 */

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* `agent` NULL: any. */
static void expect_group(const struct report_group *group, const struct report_range *range,
                         const char *agent)
{
    static const int64_t per_cents[REPORT_PERCENTILES] = {50, 90, 99};
    static int64_t values[CASES];
    int64_t count = 0, sum = 0;
    for (size_t i = 0; i < CASES; i++) {
        int64_t closed = changes[i].facts.status_time;
        if (closed < range->start || closed >= range->end || (agent != NULL && agent != messages[i][1].agent))
            continue;
        values[count++] = messages[i][1].send_time - messages[i][0].send_time;
        sum += values[count - 1];
    }
    qsort(values, (size_t)count, sizeof *values, by_size);
    cr_assert_eq(group->engagements, count);
    for (int m = REPORT_MEASURED_FIRST_REPLY; m <= REPORT_MEASURED_RESOLUTION; m++) {
        cr_assert_eq(group->measures[m].sum, sum);
        for (int r = 0; r < REPORT_PERCENTILES; r++)
            cr_assert_eq(group->measures[m].percentiles[r], values[(count * per_cents[r] + 99) / 100 - 1]);
    }
    cr_assert_eq(group->measures[REPORT_MEASURED_AGENTS].percentiles[2], 1);
}

static void expect_summary(int64_t from, int64_t to)
{
    arena *memory = arena_new(256 << 20);
    const struct report_range range = {.account = "acme", .start = from, .end = to};
    struct report_summary summary;
    error err = {0};
    cr_assert(report_store_summary(store, &range, REPORT_GROUPING_AGENT, 0, memory, &summary, &err),
              "%s (%s)", err.message, err.detail);
    cr_assert_eq(summary.position, CASES);
    expect_group(&summary.total, &range, NULL);
    cr_assert_eq(summary.count, AGENTS);
    for (size_t i = 0; i < AGENTS; i++) {
        cr_assert_str_eq(summary.groups[i].key, agents[i]);
        expect_group(&summary.groups[i], &range, agents[i]);
    }
    arena_free(memory);
}

/* Totals of all cases by hour or by day whose values are not kept. */
static int64_t without_values(int level)
{
    static const struct pg_statement count = {
        .name = "count_without_values",
        .sql = "SELECT count(*) FROM report_totals WHERE level = $1::int2 AND dimension = 0 AND measured IS "
               "NULL",
    };
    arena *memory = arena_new(4096);
    pg_result *rows;
    pg_params p;
    error err = {0};
    pg_params_init(&p, memory);
    pg_add_int2(&p, level);
    cr_assert(report_store_query(store, &count, &p, 0, &rows, &err), "%s (%s)", err.message, err.detail);
    int64_t found = pg_get_int(rows, 0, 0);
    pg_result_free(rows);
    arena_free(memory);
    return found;
}

Test(report_totals_store, percentiles_are_exact_from_days_hours_and_one_by_one)
{
    error err = {0};
    make_cases();
    apply_all();
    for (int merged = 0; merged < 2; merged++) {
        expect_summary(start, start + CLOCK_DAY);
        expect_summary(start + CLOCK_HOUR / 3, start + CLOCK_DAY - 12345);
        expect_summary(start, start + 2 * CLOCK_DAY);
        expect_summary(start, start + 3 * CLOCK_DAY);
        expect_summary(start + 2 * CLOCK_DAY, start + 2 * CLOCK_DAY + CLOCK_HOUR);
        cr_assert(report_store_merge(store, &err), "%s (%s)", err.message, err.detail);
    }
    cr_expect_eq(without_values(1), 2, "the second and the third day have too many");
    cr_expect_eq(without_values(0), 1, "and one hour of the third has");
}
