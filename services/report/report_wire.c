#include "report/report_wire.h"

#include "base/clock.h"
#include "rpc/wire.h"

typedef Casework__Report__V1__Engagement wire_engagement;
typedef Casework__Cases__V1__Classification wire_classification;

void report_wire_set_time(Google__Protobuf__Timestamp *to, int64_t time_us)
{
    google__protobuf__timestamp__init(to);
    to->seconds = time_us / CLOCK_SECOND - (time_us % CLOCK_SECOND < 0);
    to->nanos = (int32_t)(time_us - to->seconds * CLOCK_SECOND) * 1000;
}

void report_wire_set_mean(Google__Protobuf__Duration *to, int64_t sum_us, int64_t count)
{
    __int128 nanos = ((__int128)sum_us * 2000 + count) / (2 * (__int128)count);
    google__protobuf__duration__init(to);
    to->seconds = (int64_t)(nanos / 1000000000);
    to->nanos = (int32_t)(nanos % 1000000000);
}

static bool read_bound(const Google__Protobuf__Timestamp *from, const char *field, int64_t *time_us,
                       error *err)
{
    return from == NULL || wire_bound_us(from, time_us) || error_bad_field(err, field, "not a time");
}

bool report_wire_range(const char *account, const Google__Protobuf__Timestamp *start,
                       const Google__Protobuf__Timestamp *end, Casework__Report__V1__EngagementTime by,
                       struct report_range *ret_range, error *err)
{
    struct report_range range = {
        .account = account,
        .by_opening = by == CASEWORK__REPORT__V1__ENGAGEMENT_TIME__ENGAGEMENT_TIME_OPEN,
        .start = INT64_MIN,
        .end = INT64_MAX,
    };
    if ((unsigned)by > CASEWORK__REPORT__V1__ENGAGEMENT_TIME__ENGAGEMENT_TIME_OPEN)
        return error_bad_field(err, "by", "not a time of an engagement");
    if (!read_bound(start, "start_time", &range.start, err) || !read_bound(end, "end_time", &range.end, err))
        return false;
    if (range.end <= range.start)
        return error_bad_field(err, "end_time", "must be after start_time");
    *ret_range = range;
    return true;
}

/* --- an engagement ---------------------------------------------------------------------------------------
 */

static bool fill_agents(arena *memory, const char *account, const struct report_engagement *engagement,
                        wire_engagement *to)
{
    to->agents = arena_calloc(memory, engagement->agents.count + 1, sizeof *to->agents);
    if (to->agents == NULL)
        return false;
    for (size_t i = 0; i < engagement->agents.count; i++) {
        to->agents[i] = arena_printf(memory, "accounts/%s/agents/%s", account, engagement->agents.items[i]);
        if (to->agents[i] == NULL)
            return false;
    }
    to->n_agents = engagement->agents.count;
    to->agents_involved = (int32_t)engagement->agents.count;
    if (engagement->last_agent[0] == '\0')
        return true;
    to->last_agent = arena_printf(memory, "accounts/%s/agents/%s", account, engagement->last_agent);
    return to->last_agent != NULL;
}

static bool fill_classifications(arena *memory, const struct report_facts *facts, wire_engagement *to)
{
    size_t count = facts->class_groups.count;
    wire_classification *items = arena_calloc(memory, count + 1, sizeof *items);
    to->classifications = arena_calloc(memory, count + 1, sizeof(void *));
    if (items == NULL || to->classifications == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        casework__cases__v1__classification__init(&items[i]);
        items[i].group = (char *)facts->class_groups.items[i];
        items[i].value = (char *)facts->class_values.items[i];
        to->classifications[i] = &items[i];
    }
    to->n_classifications = count;
    return true;
}

static bool fill_times(arena *memory, const struct report_engagement *engagement, wire_engagement *to)
{
    to->open_time = arena_alloc(memory, sizeof *to->open_time);
    to->first_reply_duration = wire_duration(memory, engagement->first_reply);
    to->resolution_duration = wire_duration(memory, engagement->resolution);
    if (to->open_time == NULL || to->first_reply_duration == NULL || to->resolution_duration == NULL)
        return false;
    report_wire_set_time(to->open_time, engagement->opened);
    if (engagement->closed == REPORT_NOT_CLOSED)
        return true;
    to->close_time = arena_alloc(memory, sizeof *to->close_time);
    if (to->close_time == NULL)
        return false;
    report_wire_set_time(to->close_time, engagement->closed);
    return true;
}

Casework__Report__V1__Engagement *report_wire_engagement(arena *memory, const char *account,
                                                         const struct report_table_row *row)
{
    const struct report_engagement *engagement = &row->engagement;
    wire_engagement *to = arena_alloc(memory, sizeof *to);
    if (to == NULL)
        return NULL;
    casework__report__v1__engagement__init(to);
    to->case_ = arena_printf(memory, "accounts/%s/cases/%lld", account, (long long)row->case_id);
    to->channel_address = (char *)engagement->facts.channel_address;
    to->network = (char *)engagement->facts.network;
    to->agent_interactions = (int32_t)engagement->interactions;
    to->nps_sent = engagement->nps_sent;
    to->state = (Casework__Cases__V1__CaseStatus)engagement->facts.status;
    return to->case_ != NULL && fill_times(memory, engagement, to) &&
                   fill_agents(memory, account, engagement, to) &&
                   fill_classifications(memory, &engagement->facts, to)
               ? to
               : NULL;
}
