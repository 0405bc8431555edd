/* One change for many cases: one command, so one transaction. Each case is done or refused for itself. */

#include "case/case_batch_run.h"
#include "case/case_overlay_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void many_gather(struct overlay *overlay, const struct case_command *command)
{
    const struct case_act *act = &command->many.act;
    overlay->ways_move = overlay->ways_move || batch_moves_ways(act->kind);
    for (size_t i = 0; i < command->many.count; i++) {
        if (command->many.targets[i].case_id == 0)
            continue;
        overlay_case(overlay, command->account, command->many.targets[i].case_id);
        if (act->kind == CASE_ACT_UNDELETE)
            overlay_case_tabs(overlay, command->account, command->many.targets[i].case_id);
    }
    if (act->kind == CASE_ACT_ASSIGN && act->owner[0] != '\0')
        overlay_agent(overlay, command->account, act->owner);
    if (command->request_id[0] != '\0')
        overlay_batch_result(overlay, command->account, command->request_id);
}

void many_follow(struct overlay *overlay, const struct case_command *command)
{
    for (size_t i = 0; command->many.act.kind == CASE_ACT_ASSIGN && i < command->many.count; i++) {
        if (command->many.targets[i].case_id != 0)
            batch_ask_of_helpers(overlay, command->account, command->many.targets[i].case_id);
    }
}

static bool snapshot(struct overlay *overlay, struct case_target *target, const struct case_entry *entry,
                     error *err)
{
    target->record = arena_memdup(overlay->memory, &entry->record, sizeof entry->record);
    return target->record != NULL || batch_out_of_memory(err);
}

/* A batch may run again. */
static void forget_outcome(struct case_target *target)
{
    target->record = NULL;
    if (target->case_id != 0)
        target->refusal = (error){0};
}

/* False: the whole batch is out of memory. What the case itself refuses is its own result. */
static bool change_one(struct overlay *overlay, struct case_command *command, struct case_target *target,
                       error *err)
{
    error *refusal = &target->refusal;
    struct case_entry *entry = batch_existing_case(overlay, command, target->case_id, refusal);
    if (entry == NULL)
        return true;
    struct case_context context =
        batch_case_context(overlay, command, overlay_account(overlay, command->account));
    struct case_change change;
    const struct case_act *act = &command->many.act;
    if (act->kind == CASE_ACT_ASSIGN && !batch_know_helpers(overlay, entry, err))
        return false;
    case_change_begin(&change, &entry->record);
    if (batch_act(overlay, &context, act, entry, &change, refusal))
        return batch_apply(overlay, entry, &change, err) && snapshot(overlay, target, entry, err);
    if (refusal->code != STATUS_RESOURCE_EXHAUSTED)
        return true;
    *err = *refusal;
    return false;
}

/* --- what was refused, as it is kept beside the request id ------------------------------------------------
 */

struct refusal_list {
    arena *memory;
    struct text_list list;
    size_t size;
    bool failed;
};

static void put(struct refusal_list *out, const char *text)
{
    if (text == NULL || out->list.count == out->size) {
        out->failed = true;
        return;
    }
    out->list.items[out->list.count++] = text;
}

static void put_number(struct refusal_list *out, size_t number)
{
    put(out, arena_printf(out->memory, "%zu", number));
}

enum { REFUSAL_TEXTS = 6, PAIR_TEXTS = 2 };

static bool keep_refusals(struct overlay *overlay, const struct case_command *command, error *err)
{
    if (command->request_id[0] == '\0')
        return true;
    struct batch_result_entry *result = overlay_batch_result(overlay, command->account, command->request_id);
    struct refusal_list out = {.memory = overlay->memory};
    out.size = command->many.count * (REFUSAL_TEXTS + PAIR_TEXTS * (ERROR_INFO_MAX + ERROR_VIOLATIONS_MAX));
    out.list.items = arena_calloc(overlay->memory, out.size + 1, sizeof *out.list.items);
    if (result == NULL || out.list.items == NULL)
        return batch_out_of_memory(err);
    for (size_t i = 0; i < command->many.count; i++) {
        const error *refusal = &command->many.targets[i].refusal;
        if (refusal->code == STATUS_OK)
            continue;
        put_number(&out, i);
        put_number(&out, refusal->code);
        put(&out, refusal->reason);
        put(&out, refusal->message);
        put_number(&out, (size_t)refusal->info_count);
        put_number(&out, (size_t)refusal->violation_count);
        for (int k = 0; k < refusal->info_count; k++) {
            put(&out, refusal->info[k].key);
            put(&out, refusal->info[k].value);
        }
        for (int k = 0; k < refusal->violation_count; k++) {
            put(&out, refusal->violations[k].key);
            put(&out, refusal->violations[k].value);
        }
    }
    if (out.failed)
        return batch_out_of_memory(err);
    result->refusals = out.list;
    result->entry.asked = result->entry.exists = result->entry.inserted = true;
    return true;
}

/* Texts one after the other; "" behind the last. */
static const char *next_text(const struct text_list *list, size_t *at)
{
    return *at < list->count ? list->items[(*at)++] : "";
}

static int next_number(const struct text_list *list, size_t *at)
{
    return (int)strtol(next_text(list, at), NULL, 10);
}

static void next_pairs(const struct text_list *list, size_t *at, struct error_pair *pairs, int count)
{
    for (int i = 0; i < count; i++) {
        snprintf(pairs[i].key, sizeof pairs[i].key, "%s", next_text(list, at));
        snprintf(pairs[i].value, sizeof pairs[i].value, "%s", next_text(list, at));
    }
}

static int at_most(int count, int most)
{
    return count < 0 ? 0 : count > most ? most : count;
}

static void recall_refusals(const struct text_list *list, struct case_command *command)
{
    for (size_t at = 0; at < list->count;) {
        size_t place = (size_t)strtoul(next_text(list, &at), NULL, 10);
        error refusal = {.code = (enum status_code)next_number(list, &at)};
        snprintf(refusal.reason, sizeof refusal.reason, "%s", next_text(list, &at));
        snprintf(refusal.message, sizeof refusal.message, "%s", next_text(list, &at));
        refusal.info_count = at_most(next_number(list, &at), ERROR_INFO_MAX);
        refusal.violation_count = at_most(next_number(list, &at), ERROR_VIOLATIONS_MAX);
        next_pairs(list, &at, refusal.info, refusal.info_count);
        next_pairs(list, &at, refusal.violations, refusal.violation_count);
        if (place < command->many.count)
            command->many.targets[place].refusal = refusal;
    }
}

bool batch_answer_many(struct overlay *overlay, struct case_command *command, error *err)
{
    const struct batch_result_entry *result =
        overlay_batch_result(overlay, command->account, command->request_id);
    if (result == NULL)
        return batch_out_of_memory(err);
    for (size_t i = 0; i < command->many.count; i++)
        forget_outcome(&command->many.targets[i]);
    recall_refusals(&result->refusals, command);
    for (size_t i = 0; i < command->many.count; i++) {
        struct case_target *target = &command->many.targets[i];
        if (target->refusal.code != STATUS_OK)
            continue;
        const struct case_entry *entry =
            batch_existing_case(overlay, command, target->case_id, &target->refusal);
        if (entry != NULL && !snapshot(overlay, target, entry, err))
            return false;
    }
    return true;
}

static bool many_run(struct overlay *overlay, struct case_command *command, error *err)
{
    const struct case_act *act = &command->many.act;
    if (act->kind == CASE_ACT_ASSIGN && !batch_check_owner(overlay, command, act->owner, err))
        return false;
    for (size_t i = 0; i < command->many.count; i++) {
        struct case_target *target = &command->many.targets[i];
        forget_outcome(target);
        if (target->refusal.code == STATUS_OK && !change_one(overlay, command, target, err))
            return false;
    }
    return keep_refusals(overlay, command, err);
}

const struct method_ops case_many_ops = {many_gather, many_run};
