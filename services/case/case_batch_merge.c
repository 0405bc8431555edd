/* Merging cases, and undoing it, on the overlay. */

#include "case/case_batch_run.h"
#include "case/case_overlay_session.h"

#include <stdlib.h>
#include <string.h>

/* --- conversations as they are now ------------------------------------------------------------------------
 */

static struct message_entry *known_message(const struct overlay *overlay, const struct message_record *record)
{
    return overlay_find(overlay, &(struct entry_key){ENTRY_MESSAGE, record->account, "", "", record->case_id,
                                                     record->number});
}

static int compare_messages(const void *a, const void *b)
{
    const struct message_record *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

/* What was stored, with what this batch has done to it, and what it has added. */
static bool read_conversation(struct overlay *overlay, const struct case_entry *entry,
                              struct case_conversation *ret_conversation, error *err)
{
    const struct conversation_entry *stored =
        overlay_conversation(overlay, entry->record.account, entry->record.id);
    size_t size = stored == NULL ? 0 : stored->count, count = 0;
    for (const struct message_entry *message = entry->messages; message != NULL; message = message->next)
        size++;
    struct message_record *items = arena_calloc(overlay->memory, size + 1, sizeof *items);
    if (stored == NULL || items == NULL)
        return batch_out_of_memory(err);
    for (; count < stored->count; count++) {
        items[count] = stored->items[count];
        const struct message_entry *known = known_message(overlay, &items[count]);
        if (known != NULL && known->entry.exists)
            items[count].state = known->record.state;
        else if (items[count].state != MESSAGE_STATE_NONE && items[count].state < entry->raise_to)
            items[count].state = entry->raise_to;
    }
    for (const struct message_entry *message = entry->messages; message != NULL; message = message->next) {
        if (message->entry.inserted)
            items[count++] = message->record;
    }
    qsort(items, count, sizeof *items, compare_messages);
    *ret_conversation = (struct case_conversation){items, count};
    return true;
}

/* --- merging ----------------------------------------------------------------------------------------------
 */

static bool answer_merge(struct overlay *overlay, struct case_command *command,
                         const struct case_entry *source, const struct case_entry *target, error *err)
{
    command->answer.source = arena_memdup(overlay->memory, &source->record, sizeof source->record);
    if (command->answer.source == NULL)
        return batch_out_of_memory(err);
    return batch_answer_case(overlay, command, target, err);
}

bool batch_answer_merge(struct overlay *overlay, struct case_command *command, int64_t source, error *err)
{
    const struct case_entry *entry = batch_existing_case(overlay, command, source, err);
    if (entry == NULL)
        return false;
    command->answer.source = arena_memdup(overlay->memory, &entry->record, sizeof entry->record);
    return command->answer.source != NULL || batch_out_of_memory(err);
}

static void merge_gather(struct overlay *overlay, const struct case_command *command)
{
    overlay->ways_move = true;
    overlay_case(overlay, command->account, command->merge.source);
    overlay_case(overlay, command->account, command->merge.target);
    overlay_conversation(overlay, command->account, command->merge.source);
    overlay_conversation(overlay, command->account, command->merge.target);
    overlay_merges(overlay, command->account, command->merge.target);
}

static bool add_copies(struct overlay *overlay, const struct case_entry *source,
                       const struct case_conversation *of_source, struct case_entry *target,
                       const struct case_merge_change *change, error *err)
{
    for (size_t i = 0; i < change->copy_count; i++) {
        const struct message_record *copy = &change->copies[i];
        struct message_entry *message = overlay_message(overlay, copy->account, copy->case_id, copy->number);
        if (message == NULL)
            return batch_out_of_memory(err);
        message->record = *copy;
        message->entry.asked = message->entry.exists = message->entry.inserted = true;
        message->is_copy = true;
        message->copied_number = of_source->items[i].number;
        message->copied_erased = source->record.erased || source->record.being_erased;
        message->next = target->messages;
        target->messages = message;
    }
    return true;
}

static bool stand(struct overlay *overlay, const char *account, const struct case_merge *merge, error *err)
{
    struct merge_entry *entry = overlay_merge(overlay, account, merge->source);
    if (entry == NULL)
        return batch_out_of_memory(err);
    entry->merge = *merge;
    entry->entry.exists = entry->entry.changed = true;
    return true;
}

static bool merge_run(struct overlay *overlay, struct case_command *command, error *err)
{
    struct case_entry *source = batch_existing_case(overlay, command, command->merge.source, err);
    struct case_entry *target =
        source == NULL ? NULL : batch_existing_case(overlay, command, command->merge.target, err);
    struct case_conversation of_source = {0}, of_target = {0};
    if (target == NULL || !read_conversation(overlay, source, &of_source, err) ||
        !read_conversation(overlay, target, &of_target, err))
        return false;
    struct case_context context =
        batch_case_context(overlay, command, overlay_account(overlay, command->account));
    struct case_merge_change change = {0};
    if (!case_rules_merge(&context, &source->record, command->merge.expected_source, &target->record,
                          command->merge.expected_target, &of_source, &of_target, &change, err))
        return false;
    if (change.source.event_count > 0 && (!batch_apply(overlay, source, &change.source, err) ||
                                          !batch_apply(overlay, target, &change.target, err) ||
                                          !add_copies(overlay, source, &of_source, target, &change, err) ||
                                          !stand(overlay, command->account, &change.merge, err)))
        return false;
    return answer_merge(overlay, command, source, target, err);
}

const struct method_ops case_merge_ops = {merge_gather, merge_run};

/* --- undoing ----------------------------------------------------------------------------------------------
 */

static void unmerge_gather(struct overlay *overlay, const struct case_command *command)
{
    overlay->ways_move = true;
    overlay_case(overlay, command->account, command->merge.source);
    overlay_case_tabs(overlay, command->account, command->merge.source);
    overlay_conversation(overlay, command->account, command->merge.source);
}

void unmerge_follow(struct overlay *overlay, const struct case_command *command)
{
    const struct case_entry *source = overlay_case(overlay, command->account, command->merge.source);
    if (source == NULL || !source->entry.exists || source->record.merged_into == 0)
        return;
    overlay_case(overlay, command->account, source->record.merged_into);
    overlay_conversation(overlay, command->account, source->record.merged_into);
    overlay_merges(overlay, command->account, source->record.merged_into);
}

/* The merges that stand at a case. */
static bool standing(struct overlay *overlay, const struct case_entry *target,
                     struct case_merge ***ret_merges, size_t *ret_count, error *err)
{
    const struct entry_list *all = &overlay->entries[ENTRY_MERGE];
    struct case_merge **merges = arena_calloc(overlay->memory, all->count + 1, sizeof(struct case_merge *));
    size_t count = 0;
    if (merges == NULL)
        return batch_out_of_memory(err);
    for (size_t i = 0; i < all->count; i++) {
        struct merge_entry *entry = all->items[i];
        if (entry->entry.exists && entry->merge.target == target->record.id &&
            strcmp(entry->entry.key.account, target->record.account) == 0)
            merges[count++] = &entry->merge;
    }
    *ret_merges = merges;
    *ret_count = count;
    return true;
}

/* The copies leave: those of this batch are never written, those from before are deleted. */
static bool remove_copies(struct overlay *overlay, struct case_entry *target, int64_t source, error *err)
{
    struct conversation_entry *stored =
        overlay_conversation(overlay, target->record.account, target->record.id);
    struct merge_left *left = arena_alloc(overlay->memory, sizeof *left);
    if (stored == NULL || left == NULL || !entry_list_add(overlay->memory, &overlay->left, left))
        return batch_out_of_memory(err);
    *left = (struct merge_left){target->record.account, source, target->record.id};
    size_t kept = 0;
    for (size_t i = 0; i < stored->count; i++) {
        if (stored->items[i].merged_from != source)
            stored->items[kept++] = stored->items[i];
    }
    stored->count = kept;
    for (struct message_entry **link = &target->messages; *link != NULL;) {
        struct message_entry *message = *link;
        if (message->record.merged_from != source) {
            link = &message->next;
            continue;
        }
        message->entry.exists = message->entry.inserted = message->entry.changed = message->is_copy = false;
        *link = message->next;
        message->next = NULL;
    }
    return true;
}

/* What this merge gave the other ones. */
static void mark_changed(struct overlay *overlay, const struct case_entry *target)
{
    for (size_t i = 0; i < overlay->entries[ENTRY_MERGE].count; i++) {
        struct merge_entry *entry = overlay->entries[ENTRY_MERGE].items[i];
        if (entry->entry.exists && entry->merge.target == target->record.id &&
            strcmp(entry->entry.key.account, target->record.account) == 0)
            entry->entry.changed = true;
    }
}

static bool undo(struct overlay *overlay, struct case_command *command, struct case_entry *source,
                 struct case_entry *target, error *err)
{
    struct case_conversation of_source = {0}, of_target = {0};
    struct case_merge **merges = NULL;
    size_t merge_count = 0;
    struct case_merge_change change = {0};
    struct case_context context =
        batch_case_context(overlay, command, overlay_account(overlay, command->account));
    struct merge_entry *merge = overlay_merge(overlay, command->account, source->record.id);
    if (merge == NULL)
        return batch_out_of_memory(err);
    if (!read_conversation(overlay, source, &of_source, err) ||
        !read_conversation(overlay, target, &of_target, err) ||
        !standing(overlay, target, &merges, &merge_count, err) ||
        !case_rules_unmerge(&context, &source->record, command->merge.expected_source, &target->record,
                            &of_source, &of_target, merges, merge_count, &change, err) ||
        !batch_settle_lock(overlay, &context, source, &change.source, err) ||
        !batch_apply(overlay, target, &change.target, err) ||
        !batch_apply(overlay, source, &change.source, err) ||
        !remove_copies(overlay, target, source->record.id, err))
        return false;
    mark_changed(overlay, target);
    merge->entry.exists = false;
    return answer_merge(overlay, command, source, target, err);
}

static bool unmerge_run(struct overlay *overlay, struct case_command *command, error *err)
{
    struct case_entry *source = batch_existing_case(overlay, command, command->merge.source, err);
    if (source == NULL)
        return false;
    /* One that is not merged is its own target: the rules refuse it. */
    int64_t id = source->record.merged_into == 0 ? source->record.id : source->record.merged_into;
    struct case_entry *target = batch_existing_case(overlay, command, id, err);
    return target != NULL && undo(overlay, command, source, target, err);
}

const struct method_ops case_unmerge_ops = {unmerge_gather, unmerge_run};

/* --- the way of merges ------------------------------------------------------------------------------------
 */

struct case_entry *batch_destination(struct overlay *overlay, struct case_entry *entry)
{
    while (entry != NULL && entry->entry.exists && entry->record.merged_into != 0) {
        const char *account = entry->record.account;
        struct case_entry *next = overlay_find(
            overlay, &(struct entry_key){ENTRY_CASE, account, "", "", entry->record.merged_into, 0});
        if (next == NULL || !next->entry.exists) {
            const struct destination_entry *end = overlay_find(
                overlay, &(struct entry_key){ENTRY_DESTINATION, account, "", "", entry->record.id, 0});
            next = end == NULL || !end->entry.exists ? NULL : overlay_case(overlay, account, end->case_id);
        }
        entry = next;
    }
    return entry != NULL && entry->entry.exists ? entry : NULL;
}
