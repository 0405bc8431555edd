#include "case/case_rules_lock.h"
#include "case/case_rules_steps.h"

#include <string.h>

void case_change_begin(struct case_change *change, const struct case_record *before)
{
    *change = (struct case_change){.after = *before};
}

bool case_rules_create(const struct case_context *context, const struct case_record *template,
                       struct case_change *change, error *err)
{
    *change = (struct case_change){.after = *template, .wide = true};
    struct case_record *after = &change->after;
    after->status = CASE_STATUS_NEW;
    after->create_time = after->status_time = after->update_time = context->now;
    return case_step_event(context, change, EVENT_KIND_CASE_CREATED, NULL, err) != NULL;
}

static bool open_case(const struct case_context *context, struct case_change *change, error *err)
{
    if (change->after.status == CASE_STATUS_DELETED || change->after.merged_into != 0)
        return true; /* readable only */
    if (!case_step_open_first(context, change, err))
        return false;
    if (!case_step_raise(change, MESSAGE_STATE_IN_PROGRESS))
        return true;
    return case_step_event(context, change, EVENT_KIND_MESSAGE_STATE_CHANGED, NULL, err) != NULL;
}

static bool delete_case(const struct case_context *context, int to, struct case_change *change, error *err)
{
    const struct case_tabs nobody_waits = {0};
    return case_step_status(context, change, to, EVENT_KIND_CASE_DELETED, err) &&
           case_rules_settle_lock(context, &nobody_waits, change, err);
}

/* Mark pending, resolve, reopen, delete, undelete. */
static bool change_status(const struct case_context *context, enum case_row row, struct case_change *change,
                          error *err)
{
    struct case_record *after = &change->after;
    int to = case_transition(row, after->status);
    if (to == CASE_REFUSED)
        return case_step_refuse(after, err);
    if (row == CASE_ROW_DELETED)
        return delete_case(context, to, change, err);
    if (row == CASE_ROW_UNDELETED)
        return case_step_status(context, change, to, EVENT_KIND_CASE_UNDELETED, err);
    /* Whoever imports a conversation took no part in it. */
    if (!context->imported && !case_step_open_first(context, change, err))
        return false;
    bool raised = row == CASE_ROW_RESOLVED && case_step_raise(change, MESSAGE_STATE_CLOSED);
    if (to == CASE_STAYS && raised) /* resolved already, but the customer has written since */
        return case_step_event(context, change, EVENT_KIND_MESSAGE_STATE_CHANGED, NULL, err) != NULL;
    return case_step_status(context, change, to, EVENT_KIND_STATUS_CHANGED, err);
}

static bool has_open_messages(const struct case_record *record)
{
    return record->messages_assigned + record->messages_in_progress + record->messages_responded > 0;
}

static bool rule_holds(const struct case_record *record, enum due_rule rule)
{
    if (rule == DUE_RULE_RESOLVED)
        return record->status == CASE_STATUS_RESOLVED;
    return !has_open_messages(record);
}

static bool close_case(const struct case_context *context, const struct case_act *act,
                       struct case_change *change, error *err)
{
    const struct case_record *before = &change->after;
    if (before->status == CASE_STATUS_CLOSED)
        return true;
    int64_t basis = act->close.rule == DUE_RULE_RESOLVED ? before->change_version : before->activity_version;
    if (act->close.basis_version != basis) {
        return error_set(err, STATUS_ABORTED, "STALE_VERSION", "case %lld has moved on: basis %lld, not %lld",
                         (long long)before->id, (long long)basis, (long long)act->close.basis_version);
    }
    if (before->status == CASE_STATUS_NEW || before->status == CASE_STATUS_DELETED)
        return case_step_refuse(before, err);
    if (!rule_holds(before, act->close.rule) || context->now < act->close.due_time) {
        error_set(err, STATUS_FAILED_PRECONDITION, "NOT_DUE", "case %lld is not due for closing",
                  (long long)before->id);
        return case_step_tell_status(before, err);
    }
    return case_step_status(context, change, CASE_STATUS_CLOSED, EVENT_KIND_CASE_CLOSED, err);
}

static bool assign(const struct case_context *context, const char *owner, struct case_change *change,
                   error *err)
{
    struct case_record *after = &change->after;
    if (strcmp(after->owner, owner) == 0)
        return true;
    if (!case_step_open_first(context, change, err))
        return false;
    const char *previous = after->owner;
    if (strcmp(previous, owner) == 0)
        return true;
    bool helped = text_list_has(&after->helped, previous);
    if (!case_step_own(context, owner, change, err))
        return false;
    return case_step_tell_owner(context, previous, helped, change, err);
}

static bool lists_equal(const struct text_list *a, const struct text_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    }
    return true;
}

/* Attributes with one key set or, by a NULL value, taken away; they stay in the order of their keys. */
static bool edit_attribute(arena *memory, struct text_list *attributes, const char *key, const char *value)
{
    const char **items = arena_calloc(memory, attributes->count + 2, sizeof *items);
    if (items == NULL)
        return false;
    size_t count = 0, i = 0;
    for (; i < attributes->count && strcmp(attributes->items[i], key) < 0; i += 2) {
        items[count++] = attributes->items[i];
        items[count++] = attributes->items[i + 1];
    }
    if (value != NULL) {
        items[count++] = key;
        items[count++] = value;
    }
    if (i < attributes->count && strcmp(attributes->items[i], key) == 0)
        i += 2;
    for (; i < attributes->count; i++)
        items[count++] = attributes->items[i];
    *attributes = (struct text_list){items, count};
    return true;
}

static bool updated_attributes(const struct case_context *context, const struct case_act *act,
                               const struct case_record *before, struct text_list *ret, error *err)
{
    *ret = (act->update.fields & CASE_FIELD_ATTRIBUTES) != 0 ? act->update.attributes : before->attributes;
    for (size_t i = 0; i < act->update.edits.count; i += 2) {
        if (!edit_attribute(context->memory, ret, act->update.edits.items[i], act->update.edits.items[i + 1]))
            return case_step_out_of_memory(err);
    }
    if (ret->count > 2 * (size_t)CASE_ATTRIBUTES_MAX)
        return error_bad_field(err, "case.attributes", "more than %d entries", CASE_ATTRIBUTES_MAX);
    return true;
}

static bool update(const struct case_context *context, const struct case_act *act, struct case_change *change,
                   error *err)
{
    struct case_record *after = &change->after;
    struct text_list attributes;
    if (!updated_attributes(context, act, after, &attributes, err))
        return false;
    const char *changed[EVENT_FIELDS_MAX];
    size_t count = 0;
    if ((act->update.fields & CASE_FIELD_SUBJECT) != 0 && strcmp(act->update.subject, after->subject) != 0)
        changed[count++] = "subject";
    if ((act->update.fields & CASE_FIELD_LABELS) != 0 && !lists_equal(&act->update.labels, &after->labels))
        changed[count++] = "labels";
    if (!lists_equal(&attributes, &after->attributes))
        changed[count++] = "attributes";
    bool restarts = count > 0; /* the priority is no change in the sense of the resolved rule */
    if ((act->update.fields & CASE_FIELD_PRIORITY) != 0 && act->update.priority != after->priority)
        changed[count++] = "priority";
    if (count == 0)
        return true;
    if (!case_step_open_first(context, change, err))
        return false;
    if ((act->update.fields & CASE_FIELD_SUBJECT) != 0) {
        after->subject = act->update.subject;
        after->subject_key = act->update.subject_key;
    }
    if ((act->update.fields & CASE_FIELD_LABELS) != 0)
        after->labels = act->update.labels;
    if ((act->update.fields & CASE_FIELD_PRIORITY) != 0)
        after->priority = act->update.priority;
    after->attributes = attributes;
    change->wide = true;
    struct case_event *event = restarts
                                   ? case_step_event(context, change, EVENT_KIND_CASE_UPDATED, NULL, err)
                                   : case_step_minor_event(context, change, EVENT_KIND_CASE_UPDATED, err);
    if (event == NULL)
        return false;
    memcpy(event->changed_fields, changed, count * sizeof changed[0]);
    event->changed_field_count = count;
    return true;
}

static bool has_pair(const struct text_list *pairs, const char *first, const char *second)
{
    for (size_t i = 0; i + 1 < pairs->count; i += 2) {
        if (strcmp(pairs->items[i], first) == 0 && strcmp(pairs->items[i + 1], second) == 0)
            return true;
    }
    return false;
}

/* The pairs of `list`, then those of `more` that are not there yet. */
static bool pairs_with(arena *memory, const struct text_list *list, const struct text_list *more,
                       struct text_list *ret)
{
    const char **items = arena_calloc(memory, list->count + more->count + 1, sizeof *items);
    if (items == NULL)
        return false;
    struct text_list sum = {items, list->count};
    if (list->count > 0)
        memcpy(items, list->items, list->count * sizeof *items);
    for (size_t i = 0; i + 1 < more->count; i += 2) {
        if (!has_pair(&sum, more->items[i], more->items[i + 1])) {
            items[sum.count] = more->items[i];
            items[sum.count + 1] = more->items[i + 1];
            sum.count += 2;
        }
    }
    *ret = sum;
    return true;
}

static bool pairs_without(arena *memory, const struct text_list *list, const struct text_list *less,
                          struct text_list *ret)
{
    const char **items = arena_calloc(memory, list->count + 1, sizeof *items);
    if (items == NULL)
        return false;
    size_t count = 0;
    for (size_t i = 0; i + 1 < list->count; i += 2) {
        if (!has_pair(less, list->items[i], list->items[i + 1])) {
            items[count++] = list->items[i];
            items[count++] = list->items[i + 1];
        }
    }
    *ret = (struct text_list){items, count};
    return true;
}

static bool classify(const struct case_context *context, const struct case_act *act,
                     struct case_change *change, error *err)
{
    struct case_record *after = &change->after;
    struct text_list result;
    bool made = act->kind == CASE_ACT_CLASSIFY
                    ? pairs_with(context->memory, &after->classifications, &act->classifications, &result)
                    : pairs_without(context->memory, &after->classifications, &act->classifications, &result);
    if (!made)
        return case_step_out_of_memory(err);
    if (result.count == after->classifications.count)
        return true;
    if (result.count > 2 * (size_t)CASE_CLASSIFICATIONS_MAX)
        return error_bad_field(err, "classifications", "more than %d on one case", CASE_CLASSIFICATIONS_MAX);
    if (!case_step_open_first(context, change, err))
        return false;
    after->classifications = result;
    change->wide = true;
    return case_step_event(context, change, EVENT_KIND_CLASSIFICATIONS_CHANGED, NULL, err) != NULL;
}

bool case_rules_import_status(const struct case_context *context, enum case_status status,
                              struct case_change *change, error *err)
{
    enum case_status from = change->after.status;
    if (status == CASE_STATUS_NONE || status == from)
        return true;
    if (status == CASE_STATUS_NEW)
        return error_bad_field(err, "conversation.status", "an agent has replied, so it is not new");
    if (status == CASE_STATUS_OPEN && from == CASE_STATUS_NEW)
        return case_step_status(context, change, CASE_STATUS_OPEN, EVENT_KIND_CASE_OPENED, err);
    if (status == CASE_STATUS_PENDING)
        return change_status(context, CASE_ROW_MARKED_PENDING, change, err);
    if (status == CASE_STATUS_RESOLVED)
        return change_status(context, CASE_ROW_RESOLVED, change, err);
    return change_status(context, CASE_ROW_REOPENED, change, err);
}

/* What nothing holds up: no lock, no status, no merge. */
static bool is_erasure(const struct case_act *act)
{
    return act->kind == CASE_ACT_REDACT_MESSAGE || act->kind == CASE_ACT_ERASE;
}

/* Acts that find nothing to do, or are no change, on a case that takes no changes. */
static bool is_harmless(const struct case_act *act)
{
    return act->kind == CASE_ACT_OPEN || act->kind == CASE_ACT_DELETE || act->kind == CASE_ACT_UNDELETE ||
           act->kind == CASE_ACT_CLOSE || act->kind == CASE_ACT_REPORT_DELIVERY;
}

static bool check_before(const struct case_context *context, const struct case_act *act,
                         const struct case_record *before, error *err)
{
    if (act->kind != CASE_ACT_OPEN && !is_erasure(act) && !case_rules_check_lock(context, before, err))
        return false;
    if (act->expected_version != 0 && act->expected_version != before->version)
        return error_set(err, STATUS_ABORTED, "ETAG_MISMATCH", "case %lld has changed since",
                         (long long)before->id);
    if (is_erasure(act))
        return true;
    if (before->merged_into != 0) /* what was to be sent is sent all the same */
        return act->kind == CASE_ACT_OPEN || act->kind == CASE_ACT_REPORT_DELIVERY ||
               case_step_refuse_merged(before, err);
    if (is_harmless(act))
        return true;
    if (before->status == CASE_STATUS_DELETED)
        return case_step_refuse(before, err);
    return case_rules_check_erased(act, before, err);
}

bool case_rules_apply(const struct case_context *context, const struct case_act *act,
                      struct case_change *change, error *err)
{
    if (!check_before(context, act, &change->after, err))
        return false;
    switch (act->kind) {
    case CASE_ACT_OPEN:
        return open_case(context, change, err);
    case CASE_ACT_MARK_PENDING:
        return change_status(context, CASE_ROW_MARKED_PENDING, change, err);
    case CASE_ACT_RESOLVE:
        return change_status(context, CASE_ROW_RESOLVED, change, err);
    case CASE_ACT_REOPEN:
        return change_status(context, CASE_ROW_REOPENED, change, err);
    case CASE_ACT_DELETE:
        return change_status(context, CASE_ROW_DELETED, change, err);
    case CASE_ACT_UNDELETE:
        return change_status(context, CASE_ROW_UNDELETED, change, err);
    case CASE_ACT_CLOSE:
        return close_case(context, act, change, err);
    case CASE_ACT_ASSIGN:
        return assign(context, act->owner, change, err);
    case CASE_ACT_UPDATE:
        return update(context, act, change, err);
    case CASE_ACT_CLASSIFY:
    case CASE_ACT_DECLASSIFY:
        return classify(context, act, change, err);
    case CASE_ACT_ADD_MESSAGE:
        return case_rules_add_message(context, act, change, err);
    case CASE_ACT_SET_MESSAGE_STATE:
        return case_rules_set_message_state(context, act, change, err);
    case CASE_ACT_FORWARD:
        return case_rules_forward(context, act, change, err);
    case CASE_ACT_REPORT_DELIVERY:
        return case_rules_report_delivery(context, act, change, err);
    case CASE_ACT_ADD_LABELS:
    case CASE_ACT_REMOVE_LABELS:
        return case_rules_label(context, act, change, err);
    case CASE_ACT_RECORD_TIMER_STEP:
        return case_rules_timer_step(context, act, change, err);
    case CASE_ACT_REDACT_MESSAGE:
        return case_rules_redact_message(context, act, change, err);
    case CASE_ACT_ERASE:
        return case_rules_erase(context, act, change, err);
    }
    return error_set(err, STATUS_INTERNAL, "INTERNAL", "unknown act");
}
