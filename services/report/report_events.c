#include "report/report_events.h"

#include "report/report_history.h"
#include "rpc/name.h"
#include "rpc/wire.h"

#include <string.h>

typedef Casework__Cases__V1__Event wire_event;
typedef Casework__Cases__V1__CaseFacts wire_facts;

#define KIND(name) CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_##name

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to follow the feed");
}

static bool read_time(const Google__Protobuf__Timestamp *from, int64_t fallback, int64_t *ret_time_us,
                      error *err)
{
    int64_t time_us = 0;
    if (!wire_time_us(from, &time_us))
        return error_set(err, STATUS_INTERNAL, "", "an event of the feed has a time that is none");
    *ret_time_us = time_us != 0 ? time_us : fallback;
    return true;
}

static void read_account(const wire_event *event, struct report_event *ret)
{
    if (event->account_facts == NULL)
        return;
    ret->kind = REPORT_EVENT_ACCOUNT_SET;
    ret->time_zone = event->account_facts->time_zone;
    ret->lock_days = event->account_facts->report_lock_days;
}

/* --- engagements -----------------------------------------------------------------------------------------
 */

/* What can change a row of the table; all events of a case have its facts. */
static bool concerns_engagements(const wire_event *event)
{
    switch (event->kind) {
    case KIND(CASE_CREATED):
    case KIND(MESSAGE_ADDED):
    case KIND(CASE_UPDATED):
    case KIND(CLASSIFICATIONS_CHANGED):
    case KIND(CASES_MERGED):
    case KIND(CASES_UNMERGED):
        return true;
    default:
        return event->case_facts->status != event->previous_status &&
               event->previous_status != CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_UNSPECIFIED;
    }
}

/* The last segment of a resource name; "" for no name. */
static const char *id_of(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash != NULL ? slash + 1 : name;
}

static bool read_facts(arena *memory, const wire_facts *facts, int64_t fallback, struct report_facts *ret,
                       error *err)
{
    size_t classes = facts->n_classifications;
    const char **groups = arena_calloc(memory, classes + 1, sizeof *groups);
    const char **values = arena_calloc(memory, classes + 1, sizeof *values);
    if (groups == NULL || values == NULL)
        return out_of_memory(err);
    for (size_t i = 0; i < classes; i++) {
        groups[i] = facts->classifications[i]->group;
        values[i] = facts->classifications[i]->value;
    }
    *ret = (struct report_facts){
        .status = (enum report_status)facts->status,
        .merged = facts->merged_into[0] != '\0',
        .channel = id_of(facts->channel),
        .network = facts->network,
        .channel_address = facts->channel_address,
        .labels = {(const char **)facts->labels, facts->n_labels},
        .class_groups = {groups, classes},
        .class_values = {values, classes},
    };
    return read_time(facts->status_time, fallback, &ret->status_time, err);
}

static bool read_message(arena *memory, const wire_event *event, struct report_change *change, error *err)
{
    if (event->kind != KIND(MESSAGE_ADDED) || event->message == NULL)
        return true;
    struct report_message *message = arena_alloc(memory, sizeof *message);
    if (message == NULL)
        return out_of_memory(err);
    change->message = message;
    return report_history_message(event->message, message, err);
}

static bool read_change(rpc_channel *cases, arena *memory, const wire_event *event, struct report_event *ret,
                        error *err)
{
    if (!concerns_engagements(event))
        return true;
    struct report_change *change = arena_calloc(memory, 1, sizeof *change);
    if (change == NULL)
        return out_of_memory(err);
    ret->change = change;
    if (!read_facts(memory, event->case_facts, ret->time, &change->facts, err) ||
        !read_message(memory, event, change, err))
        return false;
    change->anew =
        !change->facts.merged && (event->kind == KIND(CASES_MERGED) || event->kind == KIND(CASES_UNMERGED));
    return !change->anew || report_history_read(cases, memory, event->case_, event->position,
                                                &change->messages, &change->message_count, err);
}

/* --- all -------------------------------------------------------------------------------------------------
 */

static bool read_case(rpc_channel *cases, arena *memory, const wire_event *event, struct report_event *ret,
                      error *err)
{
    const wire_facts *facts = event->case_facts;
    if (facts == NULL)
        return true;
    const char *account;
    if (!rpc_name_case(memory, event->case_, "case", &account, &ret->case_id, err))
        return false;
    if (facts->status != event->previous_status) { /* only what changes the status can move a case */
        ret->kind = REPORT_EVENT_CASE;
        ret->status = (enum report_status)facts->status;
    }
    return read_time(facts->create_time, ret->time, &ret->create_time, err) &&
           read_change(cases, memory, event, ret, err);
}

bool report_events_read(rpc_channel *cases, arena *memory, const wire_event *event,
                        struct report_event *ret_event, error *err)
{
    struct report_event *ret = ret_event;
    *ret = (struct report_event){.kind = REPORT_EVENT_OTHER, .position = event->position};
    if (!rpc_name_account(memory, event->account, "account", &ret->account, err) ||
        !read_time(event->commit_time, 0, &ret->commit_time, err) ||
        !read_time(event->event_time, ret->commit_time, &ret->time, err))
        return false;
    switch (event->kind) {
    case KIND(ACCOUNT_CREATED):
    case KIND(ACCOUNT_UPDATED):
        read_account(event, ret);
        return true;
    case KIND(ACCOUNT_DELETED):
        ret->kind = REPORT_EVENT_ACCOUNT_DELETED;
        return true;
    default:
        return read_case(cases, memory, event, ret, err);
    }
}
