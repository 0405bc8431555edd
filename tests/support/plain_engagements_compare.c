/* What the service answers against what a look at every case gives. */

#include "base/clock.h"
#include "calendar/zone.h"
#include "tests/support/activity.h"
#include "tests/support/plain_comparing.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ProtobufCServiceDescriptor *const reports = &casework__report__v1__report_service__descriptor;

typedef Casework__Report__V1__Engagement wire_engagement;

unsigned plain_random(struct comparing *c)
{
    c->seed = c->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(c->seed >> 33);
}

int64_t plain_duration(const Google__Protobuf__Duration *d)
{
    return d == NULL ? -1 : d->seconds * CLOCK_SECOND + d->nanos / 1000;
}

static bool is_one(const struct plain_case *c)
{
    return c->answered && !c->merged;
}

bool plain_in_range(const struct comparing *c, const struct plain_case *one)
{
    if (one->merged || (c->by_opening ? !one->answered : one->closed < 0))
        return false;
    int64_t time = c->by_opening ? one->opened : one->closed;
    return time >= c->start && time < c->end;
}

static void set_time(Google__Protobuf__Timestamp *to, int64_t time_us)
{
    google__protobuf__timestamp__init(to);
    to->seconds = time_us / CLOCK_SECOND;
    to->nanos = (int32_t)(time_us % CLOCK_SECOND * 1000);
}

/* A time that something happened at, or one near to it. */
static int64_t some_time(struct comparing *c)
{
    const struct plain_case *one = &c->history->cases[plain_random(c) % c->history->count];
    int64_t time = one->times[plain_random(c) % one->status_count];
    if (plain_random(c) % 3 == 0 && one->closed >= 0)
        time = one->closed;
    return plain_random(c) % 3 == 0 ? time
                                    : time + (int64_t)(plain_random(c) % 200) * CLOCK_HOUR / 3 - CLOCK_DAY;
}

static void choose_range(struct comparing *c)
{
    c->by_opening = plain_random(c) % 2 == 0;
    c->start = plain_random(c) % 4 == 0 ? INT64_MIN : some_time(c);
    c->end = plain_random(c) % 4 == 0 ? INT64_MAX : some_time(c);
    if (c->end <= c->start) {
        int64_t swapped = c->start;
        c->start = c->end;
        c->end = swapped == c->end ? swapped + 1 : swapped;
    }
    if (plain_random(c) % 3 == 0) { /* whole hours */
        c->start -= c->start != INT64_MIN ? c->start % CLOCK_HOUR : 0;
        c->end += c->end != INT64_MAX ? CLOCK_HOUR - c->end % CLOCK_HOUR : 0;
    }
    set_time(&c->start_time, c->start != INT64_MIN ? c->start : 0);
    set_time(&c->end_time, c->end != INT64_MAX ? c->end : 0);
}

/* --- the table -------------------------------------------------------------------------------------------
 */

static const char *const orders[] = {"close_time", "open_time", "first_reply_duration", "resolution_duration",
                                     "agent_interactions"};

static int order_by;     /* of the table that is compared, for qsort */
static int order_factor; /* -1: descending */

static int64_t sort_key(const struct plain_case *c)
{
    const int64_t keys[] = {c->closed < 0 ? INT64_MAX : c->closed, c->opened, c->first_reply, c->resolution,
                            c->interactions};
    return keys[order_by];
}

static int compare_cases(const void *a, const void *b)
{
    const struct plain_case *x = *(const struct plain_case *const *)a,
                            *y = *(const struct plain_case *const *)b;
    int64_t left = sort_key(x), right = sort_key(y);
    if (left == right) {
        left = x->id;
        right = y->id;
    }
    return order_factor * ((left > right) - (left < right));
}

bool plain_has_class(const struct plain_case *c, const Casework__Cases__V1__Classification *wanted)
{
    for (size_t i = 0; i < c->facts->n_classifications; i++) {
        const Casework__Cases__V1__Classification *one = c->facts->classifications[i];
        if (strcmp(one->group, wanted->group) == 0 &&
            (wanted->value[0] == '\0' || strcmp(one->value, wanted->value) == 0))
            return true;
    }
    return false;
}

bool plain_has_text(char *const *list, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], text) == 0)
            return true;
    }
    return false;
}

static bool passes(const struct plain_case *c, const Casework__Report__V1__ListEngagementsRequest *request)
{
    return (request->agent[0] == '\0' ||
            plain_has_text((char *const *)c->agents, c->agent_count, request->agent)) &&
           (request->channel[0] == '\0' || strcmp(c->facts->channel, request->channel) == 0) &&
           (request->label[0] == '\0' ||
            plain_has_text(c->facts->labels, c->facts->n_labels, request->label)) &&
           (request->classification == NULL || plain_has_class(c, request->classification));
}

static void choose_filter(struct comparing *c, Casework__Report__V1__ListEngagementsRequest *request,
                          Casework__Cases__V1__Classification *classification)
{
    const struct plain_case *one = &c->history->cases[plain_random(c) % c->history->count];
    switch (plain_random(c) % 8) {
    case 0:
        request->agent = (char *)one->last_agent;
        break;
    case 1:
        request->channel = one->facts->channel;
        break;
    case 2:
        request->label = one->facts->n_labels > 0 ? one->facts->labels[0] : (char *)"nowhere";
        break;
    case 3:
        if (one->facts->n_classifications == 0)
            break;
        *classification = *one->facts->classifications[0];
        if (plain_random(c) % 2 == 0)
            classification->value = (char *)"";
        request->classification = classification;
        break;
    default:
        break;
    }
}

static void compare_row(const wire_engagement *found, const struct plain_case *c, const char *account)
{
    char name[160];
    snprintf(name, sizeof name, "%s/cases/%lld", account, (long long)c->id);
    cr_assert_str_eq(found->case_, name);
    cr_assert_eq(activity_time(found->open_time), c->opened, "%s", name);
    cr_assert_eq(found->close_time != NULL, c->closed >= 0, "%s", name);
    if (c->closed >= 0)
        cr_assert_eq(activity_time(found->close_time), c->closed, "%s", name);
    cr_assert_eq(plain_duration(found->first_reply_duration), c->first_reply, "%s", name);
    cr_assert_eq(plain_duration(found->resolution_duration), c->resolution, "%s", name);
    cr_assert_eq(found->agent_interactions, c->interactions, "%s", name);
    cr_assert_eq(found->agents_involved, (int)c->agent_count, "%s", name);
    cr_assert_eq(found->n_agents, c->agent_count, "%s", name);
    for (size_t i = 0; i < c->agent_count; i++)
        cr_assert_str_eq(found->agents[i], c->agents[i], "%s", name);
    cr_assert_str_eq(found->last_agent, c->last_agent, "%s", name);
    cr_assert_eq(found->nps_sent, c->nps_sent, "%s", name);
    cr_assert_eq(found->state, c->facts->status, "%s", name);
    cr_assert_str_eq(found->network, c->facts->network, "%s", name);
    cr_assert_str_eq(found->channel_address, c->facts->channel_address, "%s", name);
    cr_assert_eq(found->n_classifications, c->facts->n_classifications, "%s", name);
    for (size_t i = 0; i < found->n_classifications; i++) {
        cr_assert_str_eq(found->classifications[i]->group, c->facts->classifications[i]->group);
        cr_assert_str_eq(found->classifications[i]->value, c->facts->classifications[i]->value);
    }
}

/* Page by page. */
static void walk_table(struct comparing *c, Casework__Report__V1__ListEngagementsRequest *request,
                       const struct plain_case **expected, size_t count)
{
    size_t seen = 0;
    do {
        const Casework__Report__V1__ListEngagementsResponse *page =
            suite_call(c->history->suite, reports, "ListEngagements", request, c->memory);
        cr_assert_eq(page->total_size, (int)count, "%d of %zu", page->total_size, count);
        for (size_t i = 0; i < page->n_engagements; i++) {
            cr_assert_lt(seen, count);
            compare_row(page->engagements[i], expected[seen++], c->history->account);
        }
        request->page_token = page->next_page_token;
    } while (request->page_token[0] != '\0');
    cr_assert_eq(seen, count, "%zu of %zu", seen, count);
    c->compared += seen + 1;
}

static void compare_table(struct comparing *c)
{
    Casework__Report__V1__ListEngagementsRequest request =
        CASEWORK__REPORT__V1__LIST_ENGAGEMENTS_REQUEST__INIT;
    Casework__Cases__V1__Classification classification = CASEWORK__CASES__V1__CLASSIFICATION__INIT;
    FILL_RANGE(c, request);
    choose_filter(c, &request, &classification);
    order_by = (int)(plain_random(c) % 5);
    order_factor = plain_random(c) % 2 == 0 ? -1 : 1;
    request.order_by = arena_printf(c->memory, "%s%s", orders[order_by], order_factor < 0 ? " desc" : "");
    if (plain_random(c) % 5 == 0) {
        request.order_by = (char *)"";
        order_by = c->by_opening ? 1 : 0;
        order_factor = -1;
    }
    request.page_size = (int)(plain_random(c) % 60) + 20;
    bool whole = !c->by_opening && request.start_time == NULL && request.end_time == NULL;
    const struct plain_case **expected = arena_calloc(c->memory, c->history->count + 1, sizeof(void *));
    size_t count = 0;
    for (size_t i = 0; i < c->history->count; i++) {
        const struct plain_case *one = &c->history->cases[i];
        if (is_one(one) && (whole || plain_in_range(c, one)) && passes(one, &request))
            expected[count++] = one;
    }
    qsort(expected, count, sizeof(void *), compare_cases);
    walk_table(c, &request, expected, count);
}

/* --- volume ----------------------------------------------------------------------------------------------
 */

static bool is_live(int status)
{
    return status != STATUS(CLOSED) && status != STATUS(DELETED);
}

/*
 * Was it open at some moment of [from, to)? From one status to the next it is open without a break, however
 * short they are. What lasted no time at all has been open at its instant.
 */
static bool was_open(const struct plain_case *one, int64_t from, int64_t to)
{
    for (size_t i = 0; i < one->status_count; i++) {
        size_t first = i;
        if (!is_live(one->statuses[i]))
            continue;
        while (i + 1 < one->status_count && is_live(one->statuses[i + 1]))
            i++;
        int64_t start = one->times[first], end = i + 1 < one->status_count ? one->times[i + 1] : INT64_MAX;
        if (end < one->opened)
            continue;
        if (first == 0 ||
            start < one->opened) /* what came late may have been sent before the case was made */
            start = one->opened;
        if (start < to && (end > from || start >= from))
            return true;
    }
    return false;
}

static void compare_volume(struct comparing *c)
{
    static const char *const zones[] = {"",
                                        "UTC",
                                        "Europe/Amsterdam",
                                        "America/New_York",
                                        "Asia/Kolkata",
                                        "Asia/Kathmandu",
                                        "Australia/Lord_Howe",
                                        "Africa/Monrovia"};
    Casework__Report__V1__GetCaseVolumeRequest request = CASEWORK__REPORT__V1__GET_CASE_VOLUME_REQUEST__INIT;
    if (c->start == INT64_MIN)
        c->start = c->history->cases[0].times[0] - CLOCK_DAY;
    if (c->end == INT64_MAX || c->end <= c->start)
        c->end = c->start + 40 * CLOCK_DAY;
    set_time(&c->start_time, c->start);
    set_time(&c->end_time, c->end);
    FILL_RANGE(c, request);
    request.unit = (Casework__Report__V1__TimeUnit)(plain_random(c) % 3);
    request.time_zone = (char *)zones[plain_random(c) % (sizeof zones / sizeof zones[0])];
    bool all = plain_random(c) % 2 == 0;
    if (all)
        request.by = BY(UNSPECIFIED);
    const Casework__Report__V1__GetCaseVolumeResponse *found =
        suite_call(c->history->suite, reports, "GetCaseVolume", &request, c->memory);
    cr_assert_gt(found->n_rows, 0);
    cr_assert_leq(activity_time(found->rows[0]->start_time), c->start);
    cr_assert_gt(activity_time(found->rows[0]->end_time), c->start);
    cr_assert_geq(activity_time(found->rows[found->n_rows - 1]->end_time), c->end);
    cr_assert_lt(activity_time(found->rows[found->n_rows - 1]->start_time), c->end);
    for (size_t r = 0; r < found->n_rows; r++) {
        int64_t from = activity_time(found->rows[r]->start_time),
                to = activity_time(found->rows[r]->end_time);
        int64_t expected = 0;
        if (r > 0)
            cr_assert_eq(from, activity_time(found->rows[r - 1]->end_time));
        for (size_t i = 0; i < c->history->count; i++) {
            const struct plain_case *one = &c->history->cases[i];
            expected += is_one(one) && (all || plain_in_range(c, one)) && was_open(one, from, to);
        }
        cr_assert_eq(found->rows[r]->open_cases, expected, "%s row %zu: %lld for %lld", found->time_zone, r,
                     (long long)found->rows[r]->open_cases, (long long)expected);
        c->compared++;
    }
}

/* --- all of them -----------------------------------------------------------------------------------------
 */

size_t plain_compare(const struct plain_history *history, uint64_t seed)
{
    static void (*const kinds[])(struct comparing *) = {compare_table, plain_compare_summary,
                                                        plain_compare_classes, compare_volume};
    enum { KINDS = sizeof kinds / sizeof kinds[0], ROUNDS = 8 };
    struct comparing c = {.history = history, .seed = seed};
    for (int i = 0; i < KINDS * ROUNDS; i++) {
        c.memory = arena_new((size_t)512 << 20);
        choose_range(&c);
        kinds[i % KINDS](&c);
        arena_free(c.memory);
    }
    return c.compared;
}
