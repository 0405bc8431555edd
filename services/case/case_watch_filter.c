#include "case/case_watch_filter.h"

#include "case/case_model.h"
#include "rpc/wire.h"

#include <string.h>

typedef Casework__Cases__V1__CaseFacts case_facts;

int64_t watch_open_time(const case_facts *facts)
{
    int64_t time_us = 0;
    return wire_time_us(facts->open_time, &time_us) ? time_us : 0;
}

static bool is_named(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

static bool is_recent(const struct watch_cut *cut, int64_t case_id, const case_facts *facts)
{
    int64_t open_time = watch_open_time(facts);
    return open_time != 0 &&
           (open_time > cut->open_time || (open_time == cut->open_time && case_id > cut->case_id));
}

static bool in_folder(const struct watch_filter *filter, const struct watch_cut *cut, int64_t case_id,
                      const case_facts *facts)
{
    enum case_status status = (enum case_status)facts->status;
    bool on_a_desk = status >= CASE_STATUS_NEW && status <= CASE_STATUS_PENDING;
    bool live = status >= CASE_STATUS_NEW && status <= CASE_STATUS_RESOLVED;
    if (*facts->merged_into) /* its conversation is where it went */
        return false;
    switch (filter->folder) {
    case FOLDER_ALL:
        return status != CASE_STATUS_DELETED;
    case FOLDER_NEW:
    case FOLDER_OPEN:
    case FOLDER_PENDING:
    case FOLDER_RESOLVED:
    case FOLDER_CLOSED:
    case FOLDER_DELETED:
        return (int)status == (int)filter->folder - (int)FOLDER_NEW + (int)CASE_STATUS_NEW;
    case FOLDER_MY_CASES:
        return on_a_desk && strcmp(facts->owner, filter->agent) == 0;
    case FOLDER_UNASSIGNED:
        return on_a_desk && !*facts->owner;
    case FOLDER_RECENT:
        return status != CASE_STATUS_DELETED && is_recent(cut, case_id, facts);
    case FOLDER_NEED_REPLY:
        return live && facts->need_reply;
    case FOLDER_INVOLVED:
        return live &&
               is_named((const char *const *)facts->involved_agents, facts->n_involved_agents, filter->agent);
    default:
        return false;
    }
}

static bool is_classified(const struct watch_filter *filter, const case_facts *facts)
{
    for (size_t i = 0; i < facts->n_classifications; i++) {
        const Casework__Cases__V1__Classification *tag = facts->classifications[i];
        if (strcmp(tag->group, filter->group) == 0 &&
            (!filter->value || strcmp(tag->value, filter->value) == 0))
            return true;
    }
    return false;
}

static bool is_any_or(const char *wanted, const char *name)
{
    return !wanted || strcmp(wanted, name) == 0;
}

bool watch_filter_matches(const struct watch_filter *filter, const struct watch_cut *cut, int64_t case_id,
                          const case_facts *facts)
{
    if (filter->case_id)
        return filter->case_id == case_id;
    if (!in_folder(filter, cut, case_id, facts) || !is_any_or(filter->owner, facts->owner) ||
        !is_any_or(filter->contact, facts->contact) || !is_any_or(filter->channel, facts->channel))
        return false;
    for (size_t i = 0; i < filter->label_count; i++) {
        if (!is_named((const char *const *)facts->labels, facts->n_labels, filter->labels[i]))
            return false;
    }
    return !filter->group || is_classified(filter, facts);
}
