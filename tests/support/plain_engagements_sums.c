/* Summaries and classifications against what a look at every case gives. */

#include "tests/support/plain_comparing.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const ProtobufCServiceDescriptor *const reports = &casework__report__v1__report_service__descriptor;

#define GROUPING(name) CASEWORK__REPORT__V1__ENGAGEMENT_GROUPING__ENGAGEMENT_GROUPING_##name

/* --- the summary -----------------------------------------------------------------------------------------
 */

struct plain_sum {
    int64_t closed, count;
    int64_t *values[4];
};

static int compare_numbers(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static double mean_of(const int64_t *values, int64_t count)
{
    long double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += values[i];
    return (double)(sum / count);
}

/* The p-th value of a hundred parts of them, counted up. */
static int64_t rank(const int64_t *values, int64_t count, int64_t percent)
{
    int64_t at = 1;
    while (at * 100 < count * percent)
        at++;
    return values[at - 1];
}

static double micros(const Google__Protobuf__Duration *d)
{
    return (double)d->seconds * 1e6 + d->nanos / 1e3;
}

static int64_t error_percent; /* of the history that is compared */

static void compare_rank(int64_t found, const int64_t *values, int64_t count, int64_t percent)
{
    int64_t exact = rank(values, count, percent);
    cr_assert_leq(llabs(found - exact), exact * error_percent / 100, "%lld for %lld", (long long)found,
                  (long long)exact);
}

static void compare_durations(const Casework__Report__V1__DurationMeasure *found, int64_t *values,
                              int64_t count)
{
    cr_assert_eq(found->mean != NULL, count > 0);
    cr_assert_eq(found->p99 != NULL, count > 0);
    if (count == 0)
        return;
    cr_assert_float_eq(micros(found->mean), mean_of(values, count), 0.01);
    compare_rank(plain_duration(found->median), values, count, 50);
    compare_rank(plain_duration(found->p90), values, count, 90);
    compare_rank(plain_duration(found->p99), values, count, 99);
}

static void compare_counts(const Casework__Report__V1__CountMeasure *found, int64_t *values, int64_t count)
{
    cr_assert_float_eq(found->mean, count > 0 ? mean_of(values, count) : 0, 1e-9);
    if (count == 0) {
        cr_assert(found->median == 0 && found->p90 == 0 && found->p99 == 0);
        return;
    }
    compare_rank((int64_t)found->median, values, count, 50);
    compare_rank((int64_t)found->p90, values, count, 90);
    compare_rank((int64_t)found->p99, values, count, 99);
}

static struct plain_sum new_sum(struct comparing *c)
{
    struct plain_sum sum = {0};
    for (int m = 0; m < 4; m++)
        sum.values[m] = arena_calloc(c->memory, c->history->count + 1, sizeof(int64_t));
    return sum;
}

static void add_case(struct plain_sum *sum, const struct plain_case *one)
{
    sum->closed += one->closed >= 0;
    if (!one->answered)
        return;
    const int64_t values[] = {one->first_reply, one->resolution, one->interactions,
                              (int64_t)one->agent_count};
    for (int m = 0; m < 4; m++)
        sum->values[m][sum->count] = values[m];
    sum->count++;
}

#define COMPARE_SUM(found, sum)                                                              \
    do {                                                                                     \
        for (int m = 0; m < 4; m++)                                                          \
            qsort((sum)->values[m], (size_t)(sum)->count, sizeof(int64_t), compare_numbers); \
        cr_assert_eq((found)->cases_closed, (sum)->closed);                                  \
        cr_assert_eq((found)->engagements, (sum)->count);                                    \
        compare_durations((found)->first_reply_duration, (sum)->values[0], (sum)->count);    \
        compare_durations((found)->resolution_duration, (sum)->values[1], (sum)->count);     \
        compare_counts((found)->agent_interactions, (sum)->values[2], (sum)->count);         \
        compare_counts((found)->agents_involved, (sum)->values[3], (sum)->count);            \
    } while (0)

static bool in_group(const struct plain_case *one, int grouping,
                     const Casework__Report__V1__EngagementGroup *group)
{
    switch (grouping) {
    case GROUPING(AGENT):
        return strcmp(one->last_agent, group->key) == 0;
    case GROUPING(CHANNEL):
        return strcmp(one->facts->channel, group->key) == 0;
    case GROUPING(LABEL):
        return group->key[0] == '\0' ? one->facts->n_labels == 0
                                     : plain_has_text(one->facts->labels, one->facts->n_labels, group->key);
    default:
        return group->classification == NULL ? one->facts->n_classifications == 0
                                             : plain_has_class(one, group->classification);
    }
}

/* How many groups a case must be met in. */
static size_t groups_of(const struct plain_case *one, int grouping)
{
    size_t count = grouping == GROUPING(LABEL)            ? one->facts->n_labels
                   : grouping == GROUPING(CLASSIFICATION) ? one->facts->n_classifications
                                                          : 1;
    return count > 0 ? count : 1;
}

static int compare_keys(const Casework__Report__V1__EngagementGroup *a,
                        const Casework__Report__V1__EngagementGroup *b)
{
    int order = strcmp(a->key, b->key);
    if (order != 0 || a->classification == NULL || b->classification == NULL)
        return order != 0 ? order : (a->classification != NULL) - (b->classification != NULL);
    order = strcmp(a->classification->group, b->classification->group);
    return order != 0 ? order : strcmp(a->classification->value, b->classification->value);
}

static void compare_groups(struct comparing *c, int grouping,
                           const Casework__Report__V1__GetEngagementSummaryResponse *found)
{
    size_t expected = 0, met = 0;
    for (size_t i = 0; i < c->history->count; i++) {
        if (plain_in_range(c, &c->history->cases[i]))
            expected += groups_of(&c->history->cases[i], grouping);
    }
    for (size_t g = 0; g < found->n_groups; g++) {
        if (g > 0)
            cr_assert_lt(compare_keys(found->groups[g - 1], found->groups[g]), 0);
        struct plain_sum sum = new_sum(c);
        for (size_t i = 0; i < c->history->count; i++) {
            const struct plain_case *one = &c->history->cases[i];
            if (!plain_in_range(c, one) || !in_group(one, grouping, found->groups[g]))
                continue;
            add_case(&sum, one);
            met++;
        }
        COMPARE_SUM(found->groups[g], &sum);
        c->compared += 18;
    }
    cr_assert_eq(met, expected);
}

void plain_compare_summary(struct comparing *c)
{
    error_percent = c->history->error_percent;
    Casework__Report__V1__GetEngagementSummaryRequest request =
        CASEWORK__REPORT__V1__GET_ENGAGEMENT_SUMMARY_REQUEST__INIT;
    FILL_RANGE(c, request);
    request.group_by = (Casework__Report__V1__EngagementGrouping)(plain_random(c) % 5);
    const Casework__Report__V1__GetEngagementSummaryResponse *found =
        suite_call(c->history->suite, reports, "GetEngagementSummary", &request, c->memory);
    struct plain_sum sum = new_sum(c);
    for (size_t i = 0; i < c->history->count; i++) {
        if (plain_in_range(c, &c->history->cases[i]))
            add_case(&sum, &c->history->cases[i]);
    }
    COMPARE_SUM(found, &sum);
    c->compared += 18;
    if (request.group_by == GROUPING(UNSPECIFIED))
        cr_assert_eq(found->n_groups, 0);
    else
        compare_groups(c, (int)request.group_by, found);
}

/* --- classifications -------------------------------------------------------------------------------------
 */

static void compare_class(struct comparing *c, const Casework__Report__V1__ClassificationRow *row)
{
    int64_t cases = 0, of_group = 0, answered = 0, first_reply = 0, resolution = 0;
    Casework__Cases__V1__Classification any = *row->classification;
    any.value = (char *)"";
    for (size_t i = 0; i < c->history->count; i++) {
        const struct plain_case *one = &c->history->cases[i];
        if (!plain_in_range(c, one))
            continue;
        of_group += plain_has_class(one, &any);
        if (!plain_has_class(one, row->classification))
            continue;
        cases++;
        answered += one->answered;
        first_reply += one->answered ? one->first_reply : 0;
        resolution += one->answered ? one->resolution : 0;
    }
    cr_assert_eq(row->cases, cases);
    cr_assert_float_eq(row->share, (double)cases / (double)of_group, 1e-12);
    cr_assert_eq(row->mean_first_reply_duration != NULL, answered > 0);
    cr_assert_eq(row->mean_resolution_duration != NULL, answered > 0);
    if (answered > 0) {
        cr_assert_float_eq(micros(row->mean_first_reply_duration), (double)first_reply / (double)answered,
                           0.01);
        cr_assert_float_eq(micros(row->mean_resolution_duration), (double)resolution / (double)answered,
                           0.01);
    }
    c->compared += 4;
}

static bool comes_before(const Casework__Report__V1__ClassificationRow *a,
                         const Casework__Report__V1__ClassificationRow *b)
{
    int order = strcmp(a->classification->group, b->classification->group);
    if (order == 0)
        order = (a->cases < b->cases) - (a->cases > b->cases);
    return (order != 0 ? order : strcmp(a->classification->value, b->classification->value)) < 0;
}

void plain_compare_classes(struct comparing *c)
{
    Casework__Report__V1__GetClassificationReportRequest request =
        CASEWORK__REPORT__V1__GET_CLASSIFICATION_REPORT_REQUEST__INIT;
    FILL_RANGE(c, request);
    const struct plain_case *some = &c->history->cases[plain_random(c) % c->history->count];
    if (plain_random(c) % 3 == 0 && some->facts->n_classifications > 0)
        request.group = some->facts->classifications[0]->group;
    const Casework__Report__V1__GetClassificationReportResponse *found =
        suite_call(c->history->suite, reports, "GetClassificationReport", &request, c->memory);
    int64_t cases = 0, unclassified = 0, tags = 0, told = 0;
    for (size_t i = 0; i < c->history->count; i++) {
        const struct plain_case *one = &c->history->cases[i];
        if (!plain_in_range(c, one))
            continue;
        cases++;
        unclassified += one->facts->n_classifications == 0;
        for (size_t j = 0; j < one->facts->n_classifications; j++)
            tags +=
                request.group[0] == '\0' || strcmp(one->facts->classifications[j]->group, request.group) == 0;
    }
    cr_assert_eq(found->total_cases, cases);
    cr_assert_eq(found->unclassified_cases, unclassified);
    for (size_t i = 0; i < found->n_rows; i++) {
        if (i > 0)
            cr_assert(comes_before(found->rows[i - 1], found->rows[i]));
        compare_class(c, found->rows[i]);
        told += found->rows[i]->cases;
    }
    cr_assert_eq(told, tags);
    c->compared += 2;
}
