#include "tests/support/plain_activity.h"

#include "base/clock.h"
#include "calendar/zone.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "tests/support/activity.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Casework__Cases__V1__ListCaseEventsResponse wire_page;

#define STATUS(name) CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_##name
#define PERIOD(name) CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_##name
#define AS_OF(name) CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__AS_OF_AS_OF_##name

enum { QUESTIONS = 24, DATE_SIZE = 16, FINAL_MAX = 3, COLUMNS = 4 };

/* The columns as bars of numbers; none: nowhere. */
enum column { CREATED, PENDING, RESOLVED, DELETED, NOWHERE };

/* An event of a case: only what moves it. */
struct move {
    int64_t position, time, commit_time;
    int status;
};

struct history {
    int64_t created;
    struct move *moves;
    size_t count;
};

struct stand {
    enum column column;
    int64_t time, took;
};

/* A question on its way. */
struct asking {
    struct plain_activity *activity;
    arena *memory;
    struct history *cases;
    size_t count;
    uint64_t seed;
    int64_t first, last; /* commit times of what there is */
    int64_t earliest;    /* what is imported has happened before it was committed */
    int64_t head;        /* the last position */
    size_t compared;
};

static unsigned next_random(struct asking *a)
{
    a->seed = a->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(a->seed >> 33);
}

/* --- reading ---------------------------------------------------------------------------------------------
 */

static void read_events(struct history *h, const wire_page *page, arena *memory)
{
    struct move *grown = arena_calloc(memory, h->count + page->n_events, sizeof *grown);
    if (h->count > 0)
        memcpy(grown, h->moves, h->count * sizeof *grown);
    h->moves = grown;
    for (size_t i = 0; i < page->n_events; i++) {
        const Casework__Cases__V1__Event *event = page->events[i];
        h->created = activity_time(event->case_facts->create_time);
        h->moves[h->count++] = (struct move){.position = event->position,
                                             .time = activity_time(event->event_time),
                                             .commit_time = activity_time(event->commit_time),
                                             .status = (int)event->case_facts->status};
    }
}

static void read_case(struct asking *a, size_t number)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    struct history *h = &a->cases[number - 1];
    request.parent = arena_printf(a->memory, "%s/cases/%zu", a->activity->account, number);
    request.page_size = 1000;
    request.page_token = (char *)"";
    do {
        const wire_page *page = suite_call(a->activity->suite, &casework__cases__v1__case_service__descriptor,
                                           "ListCaseEvents", &request, a->memory);
        read_events(h, page, a->memory);
        request.page_token = page->next_page_token;
    } while (request.page_token[0] != '\0');
    for (size_t i = 0; i < h->count; i++) {
        a->head = h->moves[i].position > a->head ? h->moves[i].position : a->head;
        a->last = h->moves[i].commit_time > a->last ? h->moves[i].commit_time : a->last;
        a->first = a->first == 0 || h->moves[i].commit_time < a->first ? h->moves[i].commit_time : a->first;
    }
    a->earliest = a->earliest == 0 || h->created < a->earliest ? h->created : a->earliest;
}

static const struct plain_settings *settings_at(const struct plain_activity *activity, int64_t position,
                                                int64_t time)
{
    const struct plain_settings *found = &activity->settings[0];
    for (size_t i = 0; i < activity->settings_count; i++) {
        if (activity->settings[i].position <= position && activity->settings[i].time <= time)
            found = &activity->settings[i];
    }
    return found;
}

/* --- where a case stands ---------------------------------------------------------------------------------
 */

struct standing {
    struct stand now, former;      /* former: before it was deleted */
    struct stand final[FINAL_MAX]; /* what it counts for besides */
    size_t final_count;
    int status;
};

static bool stands_in(const struct standing *s, enum column column)
{
    bool found = s->now.column == column;
    for (size_t i = 0; i < s->final_count; i++)
        found = found || s->final[i].column == column;
    return found;
}

static struct stand stand_of(const struct history *h, const struct move *move)
{
    switch (move->status) {
    case STATUS(PENDING):
        return (struct stand){PENDING, move->time, 0};
    case STATUS(RESOLVED):
        return (struct stand){RESOLVED, move->time, move->time - h->created};
    case STATUS(DELETED):
        return (struct stand){DELETED, move->time, 0};
    default:
        return (struct stand){.column = NOWHERE};
    }
}

static void follow(struct standing *s, const struct history *h, const struct move *move, bool locked)
{
    struct stand to = stand_of(h, move);
    bool undeleted = s->status == STATUS(DELETED);
    if (move->status == s->status)
        return;
    s->status = move->status;
    if (locked) {
        if (!undeleted && (to.column == RESOLVED || to.column == DELETED) && !stands_in(s, to.column))
            s->final[s->final_count++] = to;
        return;
    }
    if (undeleted) {
        s->now = s->former;
    } else if (move->status != STATUS(CLOSED)) {
        if (to.column == DELETED)
            s->former = s->now;
        s->now = to;
    }
}

/* By what was known at a position and an instant. False: the case was not there yet. */
static bool stand(const struct asking *a, const struct history *h, int64_t position, int64_t time,
                  struct standing *ret)
{
    *ret =
        (struct standing){.now = {.column = NOWHERE}, .former = {.column = NOWHERE}, .status = STATUS(NEW)};
    if (h->count == 0 || h->moves[0].position > position || h->moves[0].commit_time > time)
        return false;
    const struct plain_settings *settings = settings_at(a->activity, h->moves[0].position, INT64_MAX);
    const calendar_zone *zone = calendar_zone_get(settings->zone);
    int64_t locked = calendar_day_start(zone, calendar_day_of(zone, h->created) + settings->lock_days);
    for (size_t i = 0; i < h->count && h->moves[i].position <= position && h->moves[i].commit_time <= time;
         i++)
        follow(ret, h, &h->moves[i], h->moves[i].time >= locked);
    return true;
}

/* --- comparing -------------------------------------------------------------------------------------------
 */

struct numbers {
    int64_t counts[COLUMNS], took;
};

static void count_one(struct numbers *numbers, const struct stand *stand, int64_t start, int64_t end)
{
    if (stand->column == NOWHERE || stand->time < start || stand->time >= end)
        return;
    numbers->counts[stand->column]++;
    numbers->took += stand->took;
}

static void expect_row(struct asking *a, const activity_row *row, const struct numbers *n, const char *what)
{
    const int64_t told[COLUMNS] = {row->created, row->pending, row->resolved, row->deleted};
    for (int c = 0; c < COLUMNS; c++)
        cr_assert_eq(told[c], n->counts[c], "%s, column %d of %lld: %lld, not %lld", what, c,
                     (long long)activity_time(row->start_time), (long long)told[c], (long long)n->counts[c]);
    int64_t resolved = n->counts[RESOLVED], average = activity_average(row);
    if (resolved == 0)
        cr_assert_eq(average, -1, "%s", what);
    else /* a microsecond of rounding */
        cr_assert(llabs(average * resolved - n->took) <= resolved, "%s: average %lld of %lld", what,
                  (long long)average, (long long)n->took);
    a->compared += COLUMNS + 1;
}

static void expect_report(struct asking *a, const activity_report *report, int64_t position, int64_t time,
                          const char *what)
{
    struct numbers *rows = arena_calloc(a->memory, report->n_rows + 1, sizeof *rows), total = {{0}, 0};
    activity_check_sums(report);
    for (size_t i = 0; i < a->count; i++) {
        struct standing s;
        if (!stand(a, &a->cases[i], position, time, &s))
            continue;
        const struct stand created = {CREATED, a->cases[i].created, 0};
        for (size_t r = 0; r < report->n_rows; r++) {
            int64_t start = activity_time(report->rows[r]->start_time),
                    end = activity_time(report->rows[r]->end_time);
            count_one(&rows[r], &created, start, end);
            count_one(&rows[r], &s.now, start, end);
            for (size_t f = 0; f < s.final_count; f++)
                count_one(&rows[r], &s.final[f], start, end);
        }
    }
    for (size_t r = 0; r < report->n_rows; r++) {
        expect_row(a, report->rows[r], &rows[r], what);
        for (int c = 0; c < COLUMNS; c++)
            total.counts[c] += rows[r].counts[c];
        total.took += rows[r].took;
    }
    expect_row(a, report->total, &total, what);
}

/* Days begin and end with the zone's; hours fill their day. */
static void expect_bounds(const activity_report *report, int64_t first_day, int64_t last_day,
                          const char *what)
{
    const calendar_zone *zone = calendar_zone_get(report->time_zone);
    cr_assert_not_null(zone);
    cr_assert_gt(report->n_rows, 0);
    cr_assert_eq(activity_time(report->rows[0]->start_time), calendar_day_start(zone, first_day), "%s", what);
    cr_assert_eq(activity_time(report->rows[report->n_rows - 1]->end_time),
                 calendar_day_start(zone, last_day + 1), "%s", what);
}

static const char *date_of(arena *memory, int64_t day)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(day * CLOCK_DAY, text);
    return arena_strndup(memory, text, 10);
}

static const activity_report *ask(const struct plain_activity *activity, activity_request request,
                                  const char *start, const char *end, arena *memory)
{
    Casework__Report__V1__DateRange range = CASEWORK__REPORT__V1__DATE_RANGE__INIT;
    request.parent = (char *)activity->account;
    if (end[0] == '\0') {
        request.period_case = PERIOD(DATE);
        request.date = (char *)start;
    } else {
        range.start_date = (char *)start;
        range.end_date = (char *)end;
        request.period_case = PERIOD(RANGE);
        request.range = &range;
    }
    return suite_call(activity->suite, &casework__report__v1__report_service__descriptor, "GetCaseActivity",
                      &request, memory);
}

static struct plain_answer pack(const activity_report *report, const char *zone, const char *start,
                                const char *end, arena *memory)
{
    size_t size = protobuf_c_message_get_packed_size(&report->base);
    uint8_t *bytes = arena_alloc(memory, size + 1);
    protobuf_c_message_pack(&report->base, bytes);
    return (struct plain_answer){.position = report->position,
                                 .zone = zone,
                                 .start = arena_strdup(memory, start),
                                 .end = arena_strdup(memory, end),
                                 .bytes = bytes,
                                 .size = size};
}

/* The answer as of now is kept: as of its position it stays the same for ever. */
static void keep(struct plain_activity *activity, const activity_report *report, const char *zone,
                 const char *start, const char *end)
{
    if (activity->answers_count < activity->answers_max)
        activity->answers[activity->answers_count++] = pack(report, zone, start, end, activity->memory);
}

static void ask_something(struct asking *a)
{
    static const char *const zones[] = {
        "", "", "Europe/Amsterdam", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"};
    activity_request request = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    Google__Protobuf__Timestamp instant = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    int64_t position = INT64_MAX, time = INT64_MAX, span = a->last - a->earliest + CLOCK_DAY;
    int64_t day =
        (a->earliest - CLOCK_DAY + (int64_t)next_random(a) * CLOCK_SECOND % (span + CLOCK_DAY)) / CLOCK_DAY;
    bool hours = next_random(a) % 2 == 0;
    int64_t last = hours ? day : day + next_random(a) % 40;
    request.time_zone = (char *)zones[next_random(a) % (sizeof zones / sizeof zones[0])];
    request.min_position = a->head;
    switch (next_random(a) % 3) {
    case 0:
        position = 1 + (int64_t)next_random(a) % a->head;
        request.as_of_case = AS_OF(POSITION);
        request.as_of_position = position;
        break;
    case 1:
        time = a->first + (int64_t)next_random(a) * 1000 % (a->last - a->first + 1);
        instant.seconds = time / CLOCK_SECOND;
        instant.nanos = (int32_t)(time % CLOCK_SECOND * 1000);
        request.as_of_case = AS_OF(TIME);
        request.as_of_time = &instant;
        break;
    default:
        break;
    }
    const char *start = date_of(a->memory, day), *end = hours ? "" : date_of(a->memory, last + 1);
    const char *what =
        arena_printf(a->memory, "activity of %s to %s in \"%s\" as of position %lld, time %lld", start, end,
                     request.time_zone, (long long)position, (long long)time);
    const activity_report *report = ask(a->activity, request, start, end, a->memory);
    const struct plain_settings *then = settings_at(a->activity, position, time);
    cr_assert_str_eq(report->time_zone, request.time_zone[0] != '\0' ? request.time_zone : then->zone, "%s",
                     what);
    expect_bounds(report, day, last, what);
    expect_report(a, report, position, time, what);
    if (request.as_of_case == 0)
        keep(a->activity, report, request.time_zone, start, end);
}

static void expect_same(struct asking *a, const activity_report *report, const struct plain_answer *answer,
                        const char *what)
{
    struct plain_answer now = pack(report, answer->zone, answer->start, answer->end, a->memory);
    cr_assert(now.size == answer->size && memcmp(now.bytes, answer->bytes, now.size) == 0,
              "activity of %s to %s in \"%s\" %s is not what it was", answer->start, answer->end,
              answer->zone, what);
    a->compared++;
}

static void ask_again(struct asking *a, const struct plain_answer *answer)
{
    activity_request request = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    request.time_zone = (char *)answer->zone;
    request.as_of_case = AS_OF(POSITION);
    request.as_of_position = answer->position;
    expect_same(a, ask(a->activity, request, answer->start, answer->end, a->memory), answer,
                arena_printf(a->memory, "as of position %lld", (long long)answer->position));
}

/* --- what is locked --------------------------------------------------------------------------------------
 */

/* As it is now, whatever the position. */
static const activity_report *ask_locked(struct asking *a, const char *zone, const char *start,
                                         const char *end)
{
    activity_request request = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    request.time_zone = (char *)zone;
    request.min_position = a->head;
    activity_report *report = (activity_report *)(uintptr_t)ask(a->activity, request, start, end, a->memory);
    report->position = 0;
    return report;
}

static void lock_answer(struct asking *a, const char *zone, const char *start, const char *end)
{
    struct plain_activity *activity = a->activity;
    if (activity->locked_count == activity->locked_max)
        return;
    const activity_report *report = ask_locked(a, zone, start, end);
    activity->locked[activity->locked_count++] = pack(report, zone, start, end, activity->memory);
}

/*
 * The day after which the longest period that the account has had is over for every case in it, by whatever
 * zone that went; two days more make up for the hours between zones and for what comes late.
 */
static int64_t last_locked_day(const struct asking *a, const calendar_zone *zone)
{
    int64_t longest = 0;
    for (size_t i = 0; i < a->activity->settings_count; i++) {
        int64_t days = a->activity->settings[i].lock_days;
        longest = days > longest ? days : longest;
    }
    return calendar_day_of(zone, suite_now_us(a->activity->suite)) - longest - 3;
}

/* All locked days, and the hours of one of them. */
static void lock_days(struct asking *a)
{
    static const char *const zones[] = {"Europe/Amsterdam", "America/New_York", "Asia/Kathmandu",
                                        "Australia/Lord_Howe"};
    const char *zone = zones[next_random(a) % (sizeof zones / sizeof zones[0])];
    int64_t first = calendar_day_of(calendar_zone_get(zone), a->earliest),
            last = last_locked_day(a, calendar_zone_get(zone));
    if (last < first)
        return;
    int64_t some = first + (int64_t)(next_random(a) % (uint64_t)(last + 1 - first));
    lock_answer(a, zone, date_of(a->memory, first), date_of(a->memory, last + 1));
    lock_answer(a, zone, date_of(a->memory, some), "");
}

/* --- all -------------------------------------------------------------------------------------------------
 */

size_t plain_activity_compare(struct plain_activity *activity, size_t count, uint64_t seed, arena *memory)
{
    struct asking a = {.activity = activity,
                       .memory = memory,
                       .cases = arena_calloc(memory, count + 1, sizeof *a.cases),
                       .count = count,
                       .seed = seed};
    for (size_t i = 1; i <= count; i++)
        read_case(&a, i);
    if (a.head == 0)
        return 0;
    size_t earlier = activity->answers_count;
    for (int i = 0; i < QUESTIONS; i++)
        ask_something(&a);
    for (size_t i = 0; i < earlier; i++)
        ask_again(&a, &activity->answers[i]);
    for (size_t i = 0; i < activity->locked_count; i++) {
        const struct plain_answer *answer = &activity->locked[i];
        expect_same(&a, ask_locked(&a, answer->zone, answer->start, answer->end), answer, "is locked and");
    }
    lock_days(&a);
    return a.compared;
}
