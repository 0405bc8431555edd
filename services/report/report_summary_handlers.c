/* GetEngagementSummary and GetClassificationReport. */

#include "report/report_call.h"
#include "report/report_methods.h"
#include "report/report_wire.h"

typedef Casework__Report__V1__GetEngagementSummaryRequest summary_request;
typedef Casework__Report__V1__GetEngagementSummaryResponse summary_response;
typedef Casework__Report__V1__EngagementGroup wire_group;
typedef Casework__Report__V1__DurationMeasure wire_durations;
typedef Casework__Report__V1__CountMeasure wire_counts;
typedef Casework__Report__V1__GetClassificationReportRequest classes_request;
typedef Casework__Report__V1__GetClassificationReportResponse classes_response;
typedef Casework__Report__V1__ClassificationRow wire_class;

/* A report over a range; in the call's arena. */
struct summing {
    struct report_call base; /* first */
    struct report_range range;
};

/* The account must exist. */
static bool is_there(struct report_call *call)
{
    const calendar_zone *zone;
    return report_call_zone(call, "", INT64_MAX, &zone);
}

/* --- measures --------------------------------------------------------------------------------------------
 */

/* What a group's measures point to. */
struct filled_group {
    wire_durations first_reply, resolution;
    wire_counts interactions, agents;
    Google__Protobuf__Duration durations[2][1 + REPORT_PERCENTILES];
    Casework__Cases__V1__Classification classification;
};

static void fill_durations(const struct report_measure *measure, int64_t count,
                           Google__Protobuf__Duration durations[1 + REPORT_PERCENTILES], wire_durations *to)
{
    casework__report__v1__duration_measure__init(to);
    if (count == 0)
        return;
    report_wire_set_mean(&durations[0], measure->sum, count);
    for (int i = 0; i < REPORT_PERCENTILES; i++)
        report_wire_set_mean(&durations[1 + i], measure->percentiles[i], 1);
    to->mean = &durations[0];
    to->median = &durations[1];
    to->p90 = &durations[2];
    to->p99 = &durations[3];
}

static void fill_counts(const struct report_measure *measure, int64_t count, wire_counts *to)
{
    casework__report__v1__count_measure__init(to);
    if (count == 0)
        return;
    to->mean = (double)measure->sum / (double)count;
    to->median = (double)measure->percentiles[0];
    to->p90 = (double)measure->percentiles[1];
    to->p99 = (double)measure->percentiles[2];
}

static void fill_measures(const struct report_group *group, struct filled_group *to)
{
    const struct report_measure *measures = group->measures;
    int64_t count = group->engagements;
    fill_durations(&measures[REPORT_MEASURED_FIRST_REPLY], count, to->durations[0], &to->first_reply);
    fill_durations(&measures[REPORT_MEASURED_RESOLUTION], count, to->durations[1], &to->resolution);
    fill_counts(&measures[REPORT_MEASURED_INTERACTIONS], count, &to->interactions);
    fill_counts(&measures[REPORT_MEASURED_AGENTS], count, &to->agents);
}

/* --- the summary -----------------------------------------------------------------------------------------
 */

static bool fill_key(struct report_call *call, enum report_grouping grouping,
                     const struct report_group *group, struct filled_group *filled, wire_group *to)
{
    if (grouping == REPORT_GROUPING_CLASSIFICATION) {
        casework__cases__v1__classification__init(&filled->classification);
        filled->classification.group = (char *)group->key;
        filled->classification.value = (char *)group->value;
        if (group->key[0] != '\0')
            to->classification = &filled->classification;
        return true;
    }
    to->key = (char *)group->key;
    if (grouping == REPORT_GROUPING_LABEL || group->key[0] == '\0')
        return true;
    to->key = arena_printf(call->memory, "accounts/%s/%s/%s", call->account,
                           grouping == REPORT_GROUPING_AGENT ? "agents" : "channels", group->key);
    return to->key != NULL || report_call_out_of_memory(call);
}

static bool fill_groups(struct report_call *call, enum report_grouping grouping,
                        const struct report_summary *summary, summary_response *response)
{
    wire_group *groups = arena_calloc(call->memory, summary->count + 1, sizeof *groups);
    struct filled_group *filled = arena_calloc(call->memory, summary->count + 1, sizeof *filled);
    response->groups = arena_calloc(call->memory, summary->count + 1, sizeof(void *));
    if (groups == NULL || filled == NULL || response->groups == NULL)
        return report_call_out_of_memory(call);
    for (size_t i = 0; i < summary->count; i++) {
        casework__report__v1__engagement_group__init(&groups[i]);
        fill_measures(&summary->groups[i], &filled[i]);
        groups[i].cases_closed = summary->groups[i].closed;
        groups[i].engagements = summary->groups[i].engagements;
        groups[i].first_reply_duration = &filled[i].first_reply;
        groups[i].resolution_duration = &filled[i].resolution;
        groups[i].agent_interactions = &filled[i].interactions;
        groups[i].agents_involved = &filled[i].agents;
        if (!fill_key(call, grouping, &summary->groups[i], &filled[i], &groups[i]))
            return false;
        response->groups[i] = &groups[i];
    }
    response->n_groups = summary->count;
    return true;
}

static bool fill_summary(struct report_call *call, enum report_grouping grouping,
                         const struct report_summary *summary, summary_response *response)
{
    struct filled_group *filled = arena_calloc(call->memory, 1, sizeof *filled);
    if (filled == NULL)
        return report_call_out_of_memory(call);
    fill_measures(&summary->total, filled);
    response->cases_closed = summary->total.closed;
    response->engagements = summary->total.engagements;
    response->first_reply_duration = &filled->first_reply;
    response->resolution_duration = &filled->resolution;
    response->agent_interactions = &filled->interactions;
    response->agents_involved = &filled->agents;
    response->position = summary->position;
    return fill_groups(call, grouping, summary, response);
}

static bool answer_summary(struct report_call *call, ProtobufCMessage **ret_response)
{
    const struct summing *summing = (const struct summing *)call;
    enum report_grouping grouping = (enum report_grouping)((const summary_request *)call->request)->group_by;
    summary_response *response = arena_alloc(call->memory, sizeof *response);
    if (response == NULL)
        return report_call_out_of_memory(call);
    casework__report__v1__get_engagement_summary_response__init(response);
    *ret_response = &response->base;
    struct report_summary summary;
    return is_there(call) &&
           report_store_summary(call->service->store, &summing->range, grouping, report_call_deadline(call),
                                call->memory, &summary, &call->err) &&
           report_call_complete(call, summary.position) && fill_summary(call, grouping, &summary, response);
}

static bool read_summary(struct summing *summing)
{
    struct report_call *call = &summing->base;
    const summary_request *request = (const summary_request *)call->request;
    if (!report_call_read(call, request->parent, request->min_position) ||
        !report_wire_range(call->account, request->start_time, request->end_time, request->by,
                           &summing->range, &call->err))
        return false;
    return (unsigned)request->group_by < REPORT_GROUPINGS ||
           error_bad_field(&call->err, "group_by", "nothing to break a summary down by");
}

void report_method_summary(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct summing *summing = report_call_new(call, message, context, sizeof *summing);
    if (summing == NULL)
        return;
    if (read_summary(summing))
        report_call_run(&summing->base, answer_summary);
    else
        report_call_fail(&summing->base);
}

/* --- classifications -------------------------------------------------------------------------------------
 */

struct filled_class {
    wire_class row;
    Casework__Cases__V1__Classification classification;
    Google__Protobuf__Duration first_reply, resolution;
};

static void fill_class(const struct report_class *from, struct filled_class *filled)
{
    wire_class *row = &filled->row;
    casework__report__v1__classification_row__init(row);
    casework__cases__v1__classification__init(&filled->classification);
    filled->classification.group = (char *)from->group;
    filled->classification.value = (char *)from->value;
    row->classification = &filled->classification;
    row->cases = from->cases;
    row->share = (double)from->cases / (double)from->of_group;
    if (from->engagements == 0)
        return;
    report_wire_set_mean(&filled->first_reply, from->first_reply, from->engagements);
    report_wire_set_mean(&filled->resolution, from->resolution, from->engagements);
    row->mean_first_reply_duration = &filled->first_reply;
    row->mean_resolution_duration = &filled->resolution;
}

static bool fill_classes(struct report_call *call, const struct report_classes *classes,
                         classes_response *response)
{
    struct filled_class *filled = arena_calloc(call->memory, classes->count + 1, sizeof *filled);
    response->rows = arena_calloc(call->memory, classes->count + 1, sizeof(void *));
    if (filled == NULL || response->rows == NULL)
        return report_call_out_of_memory(call);
    for (size_t i = 0; i < classes->count; i++) {
        fill_class(&classes->rows[i], &filled[i]);
        response->rows[i] = &filled[i].row;
    }
    response->n_rows = classes->count;
    response->total_cases = classes->cases;
    response->unclassified_cases = classes->unclassified;
    response->position = classes->position;
    return true;
}

static bool answer_classes(struct report_call *call, ProtobufCMessage **ret_response)
{
    const struct summing *summing = (const struct summing *)call;
    const classes_request *request = (const classes_request *)call->request;
    classes_response *response = arena_alloc(call->memory, sizeof *response);
    if (response == NULL)
        return report_call_out_of_memory(call);
    casework__report__v1__get_classification_report_response__init(response);
    *ret_response = &response->base;
    struct report_classes classes;
    return is_there(call) &&
           report_store_classes(call->service->store, &summing->range, request->group,
                                report_call_deadline(call), call->memory, &classes, &call->err) &&
           report_call_complete(call, classes.position) && fill_classes(call, &classes, response);
}

void report_method_classes(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct summing *summing = report_call_new(call, message, context, sizeof *summing);
    if (summing == NULL)
        return;
    struct report_call *base = &summing->base;
    const classes_request *request = (const classes_request *)message;
    if (report_call_read(base, request->parent, request->min_position) &&
        report_wire_range(base->account, request->start_time, request->end_time, request->by, &summing->range,
                          &base->err))
        report_call_run(base, answer_classes);
    else
        report_call_fail(base);
}
