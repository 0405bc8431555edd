#include "case/case_rules_merge.h"

#include "case/case_erase.h"
#include "case/case_rules_lock.h"
#include "case/case_rules_steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what a case's messages say of it ----------------------------------------------------------------------
 */

static int compare_numbers(const void *a, const void *b)
{
    const struct message_record *const *x = a, *const *y = b;
    return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

static int compare_times(const void *a, const void *b)
{
    const struct message_record *const *x = a, *const *y = b;
    int order = ((*x)->send_time > (*y)->send_time) - ((*x)->send_time < (*y)->send_time);
    return order != 0 ? order : compare_numbers(a, b);
}

/* The same that storing the message does; see case_rules_message.c. */
static void count_message(struct case_record *record, const struct message_record *message)
{
    if (message->send_time > record->last_send_time)
        record->last_send_time = message->send_time;
    int32_t *counter = case_step_counter(record, message->state);
    if (counter != NULL) {
        ++*counter;
        if (record->first_open_message == 0 || message->number < record->first_open_message)
            record->first_open_message = message->number;
    }
    if (message->kind == MESSAGE_KIND_CUSTOMER && !message->automatic) {
        if (record->customer_time == 0) {
            record->customer_time = record->last_send_time;
            record->customer_number = message->number;
        }
        if (record->waiting_since == 0) {
            record->waiting_since = record->last_send_time;
            record->waiting_number = message->number;
        }
    }
    if (message->kind == MESSAGE_KIND_AGENT && !message->automatic) {
        record->waiting_since = 0;
        record->waiting_number = 0;
        if (record->first_reply_time == 0)
            record->first_reply_time = record->last_send_time;
    }
    if (message_kind_is_visible(message->kind))
        record->need_reply = message->kind == MESSAGE_KIND_CUSTOMER;
}

bool case_rules_recount(arena *memory, const struct case_conversation *conversation, bool merged,
                        struct case_record *record, error *err)
{
    const struct message_record **order = arena_calloc(memory, conversation->count + 1, sizeof(void *));
    if (order == NULL)
        return case_step_out_of_memory(err);
    int32_t last = 0;
    for (size_t i = 0; i < conversation->count; i++) {
        order[i] = &conversation->items[i];
        if (order[i]->number > last)
            last = order[i]->number;
    }
    qsort(order, conversation->count, sizeof(void *), merged ? compare_times : compare_numbers);
    record->need_reply = false;
    record->message_count = (int32_t)conversation->count;
    record->messages_left = last - record->message_count;
    record->messages_assigned = record->messages_in_progress = record->messages_responded = 0;
    record->first_open_message = record->customer_number = record->waiting_number = 0;
    record->customer_time = record->waiting_since = record->first_reply_time = record->last_send_time = 0;
    for (size_t i = 0; i < conversation->count; i++)
        count_message(record, order[i]);
    return true;
}

/* --- merging ----------------------------------------------------------------------------------------------
 */

static bool check_etag(const struct case_record *record, int64_t expected, error *err)
{
    return expected == 0 || expected == record->version ||
           error_set(err, STATUS_ABORTED, "ETAG_MISMATCH", "case %lld has changed since",
                     (long long)record->id);
}

/* A case that can take part in a merge. */
static bool check_partner(const struct case_record *record, error *err)
{
    if (record->merged_into != 0)
        return case_step_refuse_merged(record, err);
    return record->status != CASE_STATUS_DELETED || case_step_refuse(record, err);
}

static bool is_erased(const struct case_record *record)
{
    return record->erased || record->being_erased;
}

static bool too_large(const struct case_record *record, error *err)
{
    error_set(err, STATUS_FAILED_PRECONDITION, "CASE_TOO_LARGE", "case %lld has too many messages",
              (long long)record->id);
    return case_step_tell_status(record, err);
}

static bool check_size(const struct case_record *source, const struct case_conversation *of_source,
                       const struct case_conversation *of_target, error *err)
{
    if (of_source->count <= CASE_MERGE_MESSAGES_MAX &&
        of_source->count + of_target->count <= CASE_MERGE_CONVERSATION_MAX)
        return true;
    return too_large(source, err);
}

static bool add_agent(const struct case_context *context, struct text_list *list, const char *agent,
                      error *err)
{
    return agent[0] == '\0' || text_list_has(list, agent) ||
           text_list_add(context->memory, list, agent, list) || case_step_out_of_memory(err);
}

/* Who has helped with the source now helps with the target. */
static bool join_agents(const struct case_context *context, const struct case_record *source,
                        struct case_record *target, struct case_merge *merge, error *err)
{
    if (!add_agent(context, &merge->agents, source->owner, err))
        return false;
    for (size_t i = 0; i < source->involved.count; i++) {
        if (!add_agent(context, &merge->agents, source->involved.items[i], err))
            return false;
    }
    for (size_t i = 0; i < merge->agents.count; i++) {
        const char *agent = merge->agents.items[i];
        if (strcmp(agent, target->owner) == 0 || text_list_has(&target->involved, agent))
            continue;
        if (!add_agent(context, &target->involved, agent, err) ||
            !add_agent(context, &merge->added, agent, err))
            return false;
    }
    return true;
}

/* The target's own messages, as far as they are raised by now, then the copies. */
static bool make_copies(const struct case_context *context, const struct case_conversation *of_source,
                        const struct case_conversation *of_target, enum message_state raised,
                        struct case_merge_change *change, struct case_conversation *ret_all, error *err)
{
    size_t count = of_source->count + of_target->count;
    struct message_record *all = arena_calloc(context->memory, count + 1, sizeof *all);
    if (all == NULL)
        return case_step_out_of_memory(err);
    for (size_t i = 0; i < of_target->count; i++) {
        all[i] = of_target->items[i];
        if (all[i].state != MESSAGE_STATE_NONE && all[i].state < raised)
            all[i].state = raised;
    }
    change->copies = all + of_target->count;
    change->copy_count = of_source->count;
    int32_t number = case_last_number(&change->target.after);
    for (size_t i = 0; i < of_source->count; i++) {
        struct message_record *copy = &change->copies[i];
        *copy = of_source->items[i];
        if (copy->origin_case == 0) {
            copy->origin_case = copy->case_id;
            copy->origin_number = copy->number;
        }
        copy->case_id = change->target.after.id;
        copy->number = ++number;
        copy->merged_from = change->source.after.id;
        copy->redacted = copy->redacted || is_erased(&change->source.after);
    }
    *ret_all = (struct case_conversation){all, count};
    return true;
}

static bool tell(const struct case_context *context, struct case_change *change, enum event_kind kind,
                 int64_t related, const struct message_record *moved, size_t moved_count, error *err)
{
    change->wide = true;
    struct case_event *event = case_step_event(context, change, kind, NULL, err);
    if (event == NULL)
        return false;
    event->related_case = related;
    event->moved = moved;
    event->moved_count = moved_count;
    return true;
}

/* Into a case of an erased contact nothing is written: nobody would erase it once more. */
static bool check_target(const struct case_record *target, error *err)
{
    if (is_erased(target))
        return case_refuse_erased(target, err);
    return target->status != CASE_STATUS_CLOSED || case_step_refuse(target, err);
}

bool case_rules_merge(const struct case_context *context, const struct case_record *source,
                      int64_t expected_source, const struct case_record *target, int64_t expected_target,
                      const struct case_conversation *of_source, const struct case_conversation *of_target,
                      struct case_merge_change *ret_change, error *err)
{
    struct case_merge_change change = {.merge = {.source = source->id, .target = target->id}};
    case_change_begin(&change.source, source);
    case_change_begin(&change.target, target);
    if (!case_rules_check_lock(context, source, err) || !case_rules_check_lock(context, target, err) ||
        !check_etag(source, expected_source, err) || !check_etag(target, expected_target, err))
        return false;
    if (source->merged_into == target->id) {
        *ret_change = change;
        return true;
    }
    if (!check_partner(source, err) || !check_partner(target, err) || !check_target(target, err) ||
        !check_size(source, of_source, of_target, err) || !case_step_open_first(context, &change.target, err))
        return false;
    struct case_record *after = &change.target.after;
    const struct case_tabs nobody_waits = {0};
    struct case_conversation all = {0};
    if (!make_copies(context, of_source, of_target, change.target.raise_to, &change, &all, err) ||
        !join_agents(context, source, after, &change.merge, err) ||
        !case_rules_recount(context->memory, &all, true, after, err))
        return false;
    change.source.after.merged_into = target->id;
    if (!tell(context, &change.source, EVENT_KIND_CASES_MERGED, target->id, of_source->items,
              of_source->count, err) ||
        !tell(context, &change.target, EVENT_KIND_CASES_MERGED, source->id, change.copies, change.copy_count,
              err) ||
        !case_rules_settle_lock(context, &nobody_waits, &change.source, err))
        return false;
    *ret_change = change;
    return true;
}

/* --- undoing ----------------------------------------------------------------------------------------------
 */

/* Has the agent replied in what stays? */
static bool has_replied(const struct case_record *target, const struct case_conversation *stays,
                        const char *agent)
{
    char name[160];
    snprintf(name, sizeof name, "accounts/%s/agents/%s", target->account, agent);
    for (size_t i = 0; i < stays->count; i++) {
        const struct message_record *message = &stays->items[i];
        if (message->kind == MESSAGE_KIND_AGENT && !message->automatic && strcmp(message->author, name) == 0)
            return true;
    }
    return false;
}

/* Another merge that keeps the agent involved. NULL: none. */
static struct case_merge *other_reason(struct case_merge *const *merges, size_t count, int64_t source,
                                       const char *agent)
{
    for (size_t i = 0; i < count; i++) {
        if (merges[i]->source != source && text_list_has(&merges[i]->agents, agent))
            return merges[i];
    }
    return NULL;
}

/* Whom the merge alone has made involved is so no longer. */
static bool part_agents(const struct case_context *context, const struct case_merge *merge,
                        struct case_merge *const *merges, size_t merge_count,
                        const struct case_conversation *stays, struct case_record *target, error *err)
{
    for (size_t i = 0; i < merge->added.count; i++) {
        const char *agent = merge->added.items[i];
        struct case_merge *other = other_reason(merges, merge_count, merge->source, agent);
        if (other != NULL) {
            if (!add_agent(context, &other->added, agent, err))
                return false;
            continue;
        }
        if (!has_replied(target, stays, agent) &&
            !text_list_remove(context->memory, &target->involved, agent, &target->involved))
            return case_step_out_of_memory(err);
    }
    return true;
}

/* What the target has of the source, and what stays. */
static bool divide(const struct case_context *context, const struct case_conversation *of_target,
                   int64_t source, struct case_conversation *ret_leaves, struct case_conversation *ret_stays,
                   error *err)
{
    struct message_record *leaves = arena_calloc(context->memory, of_target->count + 1, sizeof *leaves);
    struct message_record *stays = arena_calloc(context->memory, of_target->count + 1, sizeof *stays);
    size_t leaving = 0, staying = 0;
    if (leaves == NULL || stays == NULL)
        return case_step_out_of_memory(err);
    for (size_t i = 0; i < of_target->count; i++) {
        if (of_target->items[i].merged_from == source)
            leaves[leaving++] = of_target->items[i];
        else
            stays[staying++] = of_target->items[i];
    }
    *ret_leaves = (struct case_conversation){leaves, leaving};
    *ret_stays = (struct case_conversation){stays, staying};
    return true;
}

static const struct case_merge *merge_of(struct case_merge *const *merges, size_t count, int64_t source)
{
    for (size_t i = 0; i < count; i++) {
        if (merges[i]->source == source)
            return merges[i];
    }
    return NULL;
}

static bool not_merged(const struct case_record *source, error *err)
{
    error_set(err, STATUS_FAILED_PRECONDITION, "NOT_MERGED", "case %lld is not merged",
              (long long)source->id);
    return case_step_tell_status(source, err);
}

bool case_rules_unmerge(const struct case_context *context, const struct case_record *source,
                        int64_t expected_source, const struct case_record *target,
                        const struct case_conversation *of_source, const struct case_conversation *of_target,
                        struct case_merge *const *merges, size_t merge_count,
                        struct case_merge_change *ret_change, error *err)
{
    struct case_merge_change change = {0};
    case_change_begin(&change.source, source);
    case_change_begin(&change.target, target);
    if (!case_rules_check_lock(context, target, err) || !check_etag(source, expected_source, err))
        return false;
    const struct case_merge *merge = merge_of(merges, merge_count, source->id);
    if (source->merged_into == 0 || merge == NULL)
        return not_merged(source, err);
    struct case_conversation leaves = {0}, stays = {0};
    struct case_record *after = &change.target.after;
    change.merge = *merge;
    if (of_target->count > CASE_UNMERGE_MESSAGES_MAX)
        return too_large(target, err);
    if (!check_partner(target, err) || !divide(context, of_target, source->id, &leaves, &stays, err) ||
        !part_agents(context, merge, merges, merge_count, &stays, after, err) ||
        !case_rules_recount(context->memory, &stays, merge_count > 1, after, err))
        return false;
    change.source.after.merged_into = 0;
    if (!tell(context, &change.target, EVENT_KIND_CASES_UNMERGED, source->id, leaves.items, leaves.count,
              err) ||
        !tell(context, &change.source, EVENT_KIND_CASES_UNMERGED, target->id, of_source->items,
              of_source->count, err))
        return false;
    *ret_change = change;
    return true;
}
