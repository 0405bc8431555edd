#include "base/clock.h"
#include "report/report_rules.h"

#include <criterion/criterion.h>
#include <string.h>

/* --- a case's life, and the report that its entries add up to --- */

enum { LIFE_MAX = 64 };

struct life {
    struct report_case state;
    struct report_settings settings;
    int64_t create_time;
    struct report_entry entries[REPORT_ENTRIES_MAX * LIFE_MAX];
    size_t count;
};

static int64_t at(const char *text)
{
    int64_t time_us = 0;
    cr_assert(clock_parse(text, &time_us), "%s", text);
    return time_us;
}

static void happen_at(struct life *life, enum report_status status, int64_t time_us)
{
    struct report_event event = {
        .kind = REPORT_EVENT_CASE, .time = time_us, .status = status, .create_time = life->create_time};
    life->count += report_rules_apply(&life->state, &event, &life->settings, life->entries + life->count);
    cr_assert_leq(life->count, REPORT_ENTRIES_MAX * LIFE_MAX);
}

static void happen(struct life *life, enum report_status status, const char *time)
{
    happen_at(life, status, at(time));
}

static struct life born_in(const char *zone, int32_t lock_days, const char *time)
{
    struct life life = {.settings = {.zone = calendar_zone_get(zone), .lock_days = lock_days},
                        .create_time = at(time)};
    cr_assert_not_null(life.settings.zone);
    happen(&life, REPORT_STATUS_NEW, time);
    return life;
}

static struct life born(const char *time)
{
    return born_in("UTC", 0, time);
}

/* What a cell of one hour (from `time`) shows of the case. */
static int cell(const struct life *life, enum report_column column, const char *time)
{
    int sum = 0;
    for (size_t i = 0; i < life->count; i++) {
        const struct report_entry *entry = &life->entries[i];
        if (entry->column == column && entry->place_time >= at(time) &&
            entry->place_time < at(time) + CLOCK_HOUR)
            sum += entry->delta;
    }
    return sum;
}

/* What the whole report shows of the case. */
static int total(const struct life *life, enum report_column column)
{
    int sum = 0;
    for (size_t i = 0; i < life->count; i++)
        sum += life->entries[i].column == column ? life->entries[i].delta : 0;
    return sum;
}

static void expect_totals(const struct life *life, int pending, int resolved, int deleted)
{
    cr_expect_eq(total(life, REPORT_COLUMN_CREATED), 1);
    cr_expect_eq(total(life, REPORT_COLUMN_PENDING), pending, "pending: %d",
                 total(life, REPORT_COLUMN_PENDING));
    cr_expect_eq(total(life, REPORT_COLUMN_RESOLVED), resolved, "resolved: %d",
                 total(life, REPORT_COLUMN_RESOLVED));
    cr_expect_eq(total(life, REPORT_COLUMN_DELETED), deleted, "deleted: %d",
                 total(life, REPORT_COLUMN_DELETED));
}

static int64_t durations(const struct life *life)
{
    int64_t sum = 0;
    for (size_t i = 0; i < life->count; i++)
        sum += life->entries[i].delta * life->entries[i].resolve_duration;
    return sum;
}

/* --- within the period --- */

Test(report_rules, being_created_is_counted_once_and_never_moves)
{
    struct life life = born("2024-05-06T09:30:00Z");
    happen(&life, REPORT_STATUS_OPEN, "2024-05-06T10:00:00Z");
    happen(&life, REPORT_STATUS_PENDING, "2024-05-06T11:00:00Z");
    happen(&life, REPORT_STATUS_DELETED, "2024-05-06T12:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_CREATED, "2024-05-06T09:00:00Z"), 1);
    expect_totals(&life, 0, 0, 1);
}

Test(report_rules, four_pending_become_three_and_one_resolved)
{
    int pending = 0, resolved = 0;
    for (int i = 0; i < 4; i++) {
        struct life life = born("2024-05-06T09:00:00Z");
        happen(&life, REPORT_STATUS_PENDING, "2024-05-06T10:00:00Z");
        if (i == 2)
            happen(&life, REPORT_STATUS_RESOLVED, "2024-05-06T11:00:00Z");
        pending += cell(&life, REPORT_COLUMN_PENDING, "2024-05-06T10:00:00Z");
        resolved += cell(&life, REPORT_COLUMN_RESOLVED, "2024-05-06T11:00:00Z");
    }
    cr_expect_eq(pending, 3);
    cr_expect_eq(resolved, 1);
}

Test(report_rules, reopening_takes_a_case_out_of_the_hour_in_which_it_was_resolved)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-06T14:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_RESOLVED, "2024-05-06T14:00:00Z"), 1);
    cr_expect_eq(durations(&life), 5 * CLOCK_HOUR);
    happen(&life, REPORT_STATUS_OPEN, "2024-05-06T16:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_RESOLVED, "2024-05-06T14:00:00Z"), 0);
    cr_expect_eq(cell(&life, REPORT_COLUMN_RESOLVED, "2024-05-06T16:00:00Z"), 0);
    cr_expect_eq(durations(&life), 0);
    expect_totals(&life, 0, 0, 0);
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-06T17:30:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_RESOLVED, "2024-05-06T17:00:00Z"), 1);
    cr_expect_eq(durations(&life), 8 * CLOCK_HOUR + 30 * CLOCK_MINUTE);
}

Test(report_rules, pending_again_after_a_resolution_is_a_reopening)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-06T14:00:00Z");
    happen(&life, REPORT_STATUS_PENDING, "2024-05-06T15:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_PENDING, "2024-05-06T15:00:00Z"), 1);
    expect_totals(&life, 1, 0, 0);
}

Test(report_rules, an_event_that_leaves_the_status_moves_nothing)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_PENDING, "2024-05-06T10:00:00Z");
    size_t count = life.count;
    happen(&life, REPORT_STATUS_PENDING, "2024-05-06T11:00:00Z");
    cr_expect_eq(life.count, count);
}

Test(report_rules, closing_moves_nothing)
{
    struct life resolved = born("2024-05-06T09:00:00Z");
    happen(&resolved, REPORT_STATUS_RESOLVED, "2024-05-06T10:00:00Z");
    happen(&resolved, REPORT_STATUS_CLOSED, "2024-05-07T10:00:00Z");
    cr_expect_eq(cell(&resolved, REPORT_COLUMN_RESOLVED, "2024-05-06T10:00:00Z"), 1);
    /* The customer writes: re-opened, within the period. */
    happen(&resolved, REPORT_STATUS_OPEN, "2024-05-07T11:00:00Z");
    expect_totals(&resolved, 0, 0, 0);

    struct life pending = born("2024-05-06T09:00:00Z");
    happen(&pending, REPORT_STATUS_PENDING, "2024-05-06T10:00:00Z");
    happen(&pending, REPORT_STATUS_CLOSED, "2024-05-07T10:00:00Z");
    expect_totals(&pending, 1, 0, 0);
}

Test(report_rules, undeleting_restores_the_former_place)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-06T14:00:00Z");
    happen(&life, REPORT_STATUS_DELETED, "2024-05-07T08:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_DELETED, "2024-05-07T08:00:00Z"), 1);
    expect_totals(&life, 0, 0, 1);
    cr_expect_eq(durations(&life), 0);
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-07T09:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_RESOLVED, "2024-05-06T14:00:00Z"), 1);
    expect_totals(&life, 0, 1, 0);
    cr_expect_eq(durations(&life), 5 * CLOCK_HOUR);
}

Test(report_rules, undeleting_a_case_that_stood_nowhere)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_DELETED, "2024-05-06T10:00:00Z");
    happen(&life, REPORT_STATUS_NEW, "2024-05-06T11:00:00Z");
    expect_totals(&life, 0, 0, 0);
    happen(&life, REPORT_STATUS_DELETED, "2024-05-06T12:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_DELETED, "2024-05-06T12:00:00Z"), 1);
}

Test(report_rules, undeleting_a_closed_case_restores_where_it_was_resolved)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-06T14:00:00Z");
    happen(&life, REPORT_STATUS_CLOSED, "2024-05-06T15:00:00Z");
    happen(&life, REPORT_STATUS_DELETED, "2024-05-06T16:00:00Z");
    happen(&life, REPORT_STATUS_CLOSED, "2024-05-06T17:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_RESOLVED, "2024-05-06T14:00:00Z"), 1);
    expect_totals(&life, 0, 1, 0);
}

/* --- the period --- */

Test(report_rules, the_period_is_the_day_of_creation_and_the_two_after_it)
{
    struct report_settings utc = {.zone = calendar_zone_get("UTC")};
    cr_expect_eq(report_rules_period_end(&utc, at("2024-05-06T00:00:00Z")), at("2024-05-09T00:00:00Z"));
    cr_expect_eq(report_rules_period_end(&utc, at("2024-05-06T23:59:59.999999Z")),
                 at("2024-05-09T00:00:00Z"));
    utc.lock_days = 1;
    cr_expect_eq(report_rules_period_end(&utc, at("2024-05-06T12:00:00Z")), at("2024-05-07T00:00:00Z"));
    utc.lock_days = 30;
    cr_expect_eq(report_rules_period_end(&utc, at("2024-05-06T12:00:00Z")), at("2024-06-05T00:00:00Z"));
}

Test(report_rules, the_period_goes_by_the_accounts_zone)
{
    struct report_settings amsterdam = {.zone = calendar_zone_get("Europe/Amsterdam"), .lock_days = 3};
    /* Half past midnight there is still the day before in UTC; on the 31st the clocks go forward. */
    cr_expect_eq(report_rules_period_end(&amsterdam, at("2024-03-28T23:30:00Z")), at("2024-03-31T22:00:00Z"));
    struct report_settings kathmandu = {.zone = calendar_zone_get("Asia/Kathmandu"), .lock_days = 3};
    cr_expect_eq(report_rules_period_end(&kathmandu, at("2024-05-06T18:15:00Z")), at("2024-05-09T18:15:00Z"));
    cr_expect_eq(report_rules_period_end(&kathmandu, at("2024-05-06T18:14:59Z")), at("2024-05-08T18:15:00Z"));
}

Test(report_rules, the_last_moment_of_the_period_still_counts_and_the_next_one_does_not)
{
    struct life in = born("2024-05-06T09:00:00Z"), out = in;
    happen(&in, REPORT_STATUS_PENDING, "2024-05-08T23:59:59.999999Z");
    happen(&out, REPORT_STATUS_PENDING, "2024-05-09T00:00:00Z");
    expect_totals(&in, 1, 0, 0);
    expect_totals(&out, 0, 0, 0);
}

/* --- after it --- */

Test(report_rules, day_one_to_day_four)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_PENDING, "2024-05-07T09:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_PENDING, "2024-05-07T09:00:00Z"), 1);
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-08T09:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_PENDING, "2024-05-07T09:00:00Z"), 0);
    cr_expect_eq(cell(&life, REPORT_COLUMN_RESOLVED, "2024-05-08T09:00:00Z"), 1);
    size_t count = life.count;
    happen(&life, REPORT_STATUS_PENDING, "2024-05-09T09:00:00Z");
    cr_expect_eq(life.count, count, "no report changes");
}

Test(report_rules, the_first_resolution_after_the_period_counts_once_for_all)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_PENDING, "2024-05-07T09:00:00Z");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-20T09:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_PENDING, "2024-05-07T09:00:00Z"), 1, "stands finally in pending");
    cr_expect_eq(cell(&life, REPORT_COLUMN_RESOLVED, "2024-05-20T09:00:00Z"), 1, "and in resolved as well");
    cr_expect_eq(durations(&life), 14 * CLOCK_DAY);
    size_t count = life.count;
    happen(&life, REPORT_STATUS_OPEN, "2024-05-21T09:00:00Z");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-22T09:00:00Z");
    cr_expect_eq(life.count, count, "final at once");
}

Test(report_rules, a_case_that_stands_in_resolved_is_not_resolved_again_after_the_period)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-06T10:00:00Z");
    size_t count = life.count;
    happen(&life, REPORT_STATUS_OPEN, "2024-05-10T09:00:00Z");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-11T09:00:00Z");
    cr_expect_eq(life.count, count);
}

Test(report_rules, resolved_and_reopened_within_the_period_it_counts_once_more_after)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-06T10:00:00Z");
    happen(&life, REPORT_STATUS_OPEN, "2024-05-06T11:00:00Z");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-11T09:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_RESOLVED, "2024-05-11T09:00:00Z"), 1);
    expect_totals(&life, 0, 1, 0);
}

Test(report_rules, an_old_case_is_deleted)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-06T10:00:00Z");
    happen(&life, REPORT_STATUS_DELETED, "2024-06-01T09:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_DELETED, "2024-06-01T09:00:00Z"), 1, "whenever it was created");
    cr_expect_eq(cell(&life, REPORT_COLUMN_RESOLVED, "2024-05-06T10:00:00Z"), 1, "nothing is taken out");
    size_t count = life.count;
    happen(&life, REPORT_STATUS_RESOLVED, "2024-06-02T09:00:00Z"); /* undeleted */
    happen(&life, REPORT_STATUS_DELETED, "2024-06-03T09:00:00Z");
    cr_expect_eq(life.count, count, "only the first deletion counts");
}

Test(report_rules, deleted_within_the_period_and_undeleted_after_it)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-06T10:00:00Z");
    happen(&life, REPORT_STATUS_DELETED, "2024-05-07T10:00:00Z");
    size_t count = life.count;
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-10T10:00:00Z"); /* undeleted: not a resolution */
    cr_expect_eq(life.count, count);
    happen(&life, REPORT_STATUS_DELETED, "2024-05-11T10:00:00Z");
    cr_expect_eq(life.count, count, "stands in deleted already");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-12T10:00:00Z");
    happen(&life, REPORT_STATUS_OPEN, "2024-05-13T10:00:00Z");
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-14T10:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_RESOLVED, "2024-05-14T10:00:00Z"), 1);
    expect_totals(&life, 0, 1, 1);
}

Test(report_rules, undeleted_within_the_period_it_is_deleted_again_after)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_DELETED, "2024-05-07T10:00:00Z");
    happen(&life, REPORT_STATUS_NEW, "2024-05-07T11:00:00Z");
    happen(&life, REPORT_STATUS_DELETED, "2024-05-12T10:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_DELETED, "2024-05-12T10:00:00Z"), 1);
    expect_totals(&life, 0, 0, 1);
}

Test(report_rules, going_to_pending_or_being_reopened_after_the_period_is_not_reflected)
{
    struct life life = born("2024-05-06T09:00:00Z");
    happen(&life, REPORT_STATUS_PENDING, "2024-05-06T10:00:00Z");
    size_t count = life.count;
    happen(&life, REPORT_STATUS_OPEN, "2024-05-10T09:00:00Z");
    happen(&life, REPORT_STATUS_PENDING, "2024-05-11T09:00:00Z");
    cr_expect_eq(life.count, count);
}

Test(report_rules, settings_of_the_creation_count_whatever_they_become)
{
    struct life life = born_in("Asia/Tokyo", 1, "2024-05-06T09:00:00Z");
    life.settings = (struct report_settings){.zone = calendar_zone_get("America/Lima"), .lock_days = 300};
    happen(&life, REPORT_STATUS_PENDING, "2024-05-06T15:00:00Z"); /* midnight in Tokyo */
    expect_totals(&life, 0, 0, 0);
}

Test(report_rules, a_case_first_met_in_another_status_was_created_before)
{
    struct life life = {.settings = {.zone = calendar_zone_get("UTC")},
                        .create_time = at("2024-05-06T09:00:00Z")};
    happen(&life, REPORT_STATUS_RESOLVED, "2024-05-06T10:00:00Z");
    cr_expect_eq(cell(&life, REPORT_COLUMN_CREATED, "2024-05-06T09:00:00Z"), 1);
    expect_totals(&life, 0, 1, 0);
    cr_expect_eq(durations(&life), CLOCK_HOUR);
}

/* --- against a plain reader of the history ---
 *
 * It keeps no state and knows no entries: given a case's history up to some moment it says, sentence by
 * sentence of the specification, in which rows the case stands.
 */

struct happening {
    int64_t time;
    enum report_status status;
    bool undeleting;
};

struct standing {
    int64_t pending, resolved, deleted; /* the instant that chooses the row; 0: not there */
    int64_t late_resolved, late_deleted;
};

/* Where the first `count` happenings, all within the period, leave the case: look at the last, then further
 * back. */
static struct report_place stands(const struct happening *history, size_t count)
{
    while (count > 0) {
        const struct happening *last = &history[count - 1];
        if (last->undeleting) { /* as if it had not been deleted */
            do
                count--;
            while (history[count - 1].status != REPORT_STATUS_DELETED);
            count--;
        } else if (last->status == REPORT_STATUS_CLOSED) {
            count--;
        } else if (last->status == REPORT_STATUS_PENDING) {
            return (struct report_place){.column = REPORT_COLUMN_PENDING, .time = last->time};
        } else if (last->status == REPORT_STATUS_RESOLVED) {
            return (struct report_place){.column = REPORT_COLUMN_RESOLVED, .time = last->time};
        } else if (last->status == REPORT_STATUS_DELETED) {
            return (struct report_place){.column = REPORT_COLUMN_DELETED, .time = last->time};
        } else {
            break;
        }
    }
    return (struct report_place){.column = REPORT_COLUMN_NONE};
}

static struct standing plain_reader(const struct happening *history, size_t count, int64_t period_end)
{
    size_t within = 0;
    while (within < count && history[within].time < period_end)
        within++;
    struct report_place place = stands(history, within);
    struct standing s = {0};
    s.pending = place.column == REPORT_COLUMN_PENDING ? place.time : 0;
    s.resolved = place.column == REPORT_COLUMN_RESOLVED ? place.time : 0;
    s.deleted = place.column == REPORT_COLUMN_DELETED ? place.time : 0;
    for (size_t i = within; i < count; i++) {
        bool resolution = history[i].status == REPORT_STATUS_RESOLVED && !history[i].undeleting;
        if (resolution && s.resolved == 0 && s.late_resolved == 0)
            s.late_resolved = history[i].time;
        if (history[i].status == REPORT_STATUS_DELETED && s.deleted == 0 && s.late_deleted == 0)
            s.late_deleted = history[i].time;
    }
    return s;
}

static unsigned next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33);
}

/* A status that may follow by the transition table of cases. */
static struct happening next_happening(uint64_t *seed, enum report_status from,
                                       enum report_status before_delete)
{
    static const enum report_status to[][4] = {
        [REPORT_STATUS_NEW] = {REPORT_STATUS_OPEN, REPORT_STATUS_PENDING, REPORT_STATUS_RESOLVED,
                               REPORT_STATUS_DELETED},
        [REPORT_STATUS_OPEN] = {REPORT_STATUS_PENDING, REPORT_STATUS_RESOLVED, REPORT_STATUS_CLOSED,
                                REPORT_STATUS_DELETED},
        [REPORT_STATUS_PENDING] = {REPORT_STATUS_OPEN, REPORT_STATUS_RESOLVED, REPORT_STATUS_CLOSED,
                                   REPORT_STATUS_DELETED},
        [REPORT_STATUS_RESOLVED] = {REPORT_STATUS_OPEN, REPORT_STATUS_PENDING, REPORT_STATUS_CLOSED,
                                    REPORT_STATUS_DELETED},
        [REPORT_STATUS_CLOSED] = {REPORT_STATUS_OPEN, REPORT_STATUS_OPEN, REPORT_STATUS_OPEN,
                                  REPORT_STATUS_DELETED},
    };
    if (from == REPORT_STATUS_DELETED)
        return (struct happening){.status = before_delete, .undeleting = true};
    return (struct happening){.status = to[from][next_random(seed) % 4]};
}

/* What the entries leave behind at exactly that instant. */
static int left_at(const struct life *life, enum report_column column, int64_t time_us)
{
    int sum = 0;
    for (size_t i = 0; i < life->count; i++) {
        if (life->entries[i].column == column && life->entries[i].place_time == time_us)
            sum += life->entries[i].delta;
    }
    return sum;
}

static void compare(const struct life *life, const struct standing *s, uint64_t seed)
{
    int resolved = (s->resolved != 0) + (s->late_resolved != 0),
        deleted = (s->deleted != 0) + (s->late_deleted != 0);
    cr_assert_eq(total(life, REPORT_COLUMN_CREATED), 1);
    cr_assert_eq(total(life, REPORT_COLUMN_PENDING), s->pending != 0, "seed %llu", (unsigned long long)seed);
    cr_assert_eq(total(life, REPORT_COLUMN_RESOLVED), resolved, "seed %llu", (unsigned long long)seed);
    cr_assert_eq(total(life, REPORT_COLUMN_DELETED), deleted, "seed %llu", (unsigned long long)seed);
    int64_t duration = 0;
    const int64_t resolutions[] = {s->resolved, s->late_resolved},
                  deletions[] = {s->deleted, s->late_deleted};
    for (int i = 0; i < 2; i++) {
        cr_assert(resolutions[i] == 0 || left_at(life, REPORT_COLUMN_RESOLVED, resolutions[i]) == 1);
        cr_assert(deletions[i] == 0 || left_at(life, REPORT_COLUMN_DELETED, deletions[i]) == 1);
        duration += resolutions[i] == 0 ? 0 : resolutions[i] - life->create_time;
    }
    cr_assert(s->pending == 0 || left_at(life, REPORT_COLUMN_PENDING, s->pending) == 1);
    cr_assert_eq(durations(life), duration, "seed %llu", (unsigned long long)seed);
}

Test(report_rules, agrees_with_a_plain_reader_at_every_moment_of_generated_lives)
{
    static const char *const zones[] = {"UTC", "Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe"};
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        uint64_t random = seed;
        struct life life = {.settings = {.zone = calendar_zone_get(zones[seed % 4]),
                                         .lock_days = (int32_t)(next_random(&random) % 5)}};
        /* Around the changes of the clock in spring 2024. */
        int64_t time_us = at("2024-03-08T00:00:00Z") + next_random(&random) % (30 * 1440) * CLOCK_MINUTE;
        life.create_time = time_us;
        happen_at(&life, REPORT_STATUS_NEW, time_us);
        int64_t day = calendar_day_of(life.settings.zone, time_us);
        int32_t days = life.settings.lock_days == 0 ? 3 : life.settings.lock_days;
        int64_t period_end = calendar_day_start(life.settings.zone, day + days);
        struct happening history[24];
        enum report_status status = REPORT_STATUS_NEW, before_delete = REPORT_STATUS_NEW;
        for (size_t count = 0; count < 24; count++) {
            time_us += 1 + next_random(&random) % (16 * 60) * CLOCK_MINUTE;
            history[count] = next_happening(&random, status, before_delete);
            history[count].time = time_us;
            before_delete = status;
            status = history[count].status;
            happen_at(&life, status, time_us);
            struct standing expected = plain_reader(history, count + 1, period_end);
            compare(&life, &expected, seed);
        }
    }
}
