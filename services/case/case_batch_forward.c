/* Forwarding of messages and cases, and reports of deliveries. */

#include "case/case_address.h"
#include "case/case_batch_run.h"
#include "case/case_forward_text.h"

#include <string.h>

/* --- forward ----------------------------------------------------------------------------------------------
 */

static bool is_to_third_party(const struct case_command *command)
{
    return command->forward.agent[0] == '\0';
}

static void forward_gather(struct overlay *overlay, const struct case_command *command)
{
    const char *account = command->account;
    int64_t case_id = command->forward.case_id;
    int32_t number = command->forward.number;
    overlay_case(overlay, account, case_id);
    if (number != 0)
        overlay_message(overlay, account, case_id, number);
    if (is_to_third_party(command))
        overlay_transcript(overlay, account, case_id, number);
    else
        overlay_agent(overlay, account, command->forward.agent);
}

/* Whose the third party's address is, on the network of the case. NULL: memory is out, or it has none. */
static struct address_entry *address_of(struct overlay *overlay, const struct case_command *command,
                                        const struct case_record *record)
{
    const char *key = case_address_key(overlay->memory, record->network, command->forward.third_party);
    return key == NULL ? NULL : overlay_address(overlay, command->account, record->network, key);
}

void forward_follow(struct overlay *overlay, const struct case_command *command)
{
    const struct case_entry *entry = overlay_case(overlay, command->account, command->forward.case_id);
    if (entry != NULL && entry->entry.exists && is_to_third_party(command))
        (void)address_of(overlay, command, &entry->record);
}

/* What commands before this one have made of messages. */
static bool lines_now(struct overlay *overlay, const struct transcript_entry *transcript,
                      struct transcript_line **ret_lines)
{
    struct transcript_line *lines = arena_calloc(overlay->memory, transcript->count + 1, sizeof *lines);
    if (lines == NULL)
        return false;
    for (size_t i = 0; i < transcript->count; i++) {
        lines[i] = transcript->lines[i];
        const struct message_record *stored = &lines[i].message;
        const struct message_entry *now =
            overlay_find(overlay, &(struct entry_key){ENTRY_MESSAGE, stored->account, "", "", stored->case_id,
                                                      stored->number});
        if (now != NULL && now->entry.exists)
            lines[i].message = now->record;
    }
    *ret_lines = lines;
    return true;
}

/* Whether commands before this one have added messages or taken some away: what was read is not what is
 * there. Of a message that is added, its place among the others and its author's name are known only when it
 * is stored, and of one that a merge brings the text. */
static bool is_outdated(const struct overlay *overlay, const struct case_entry *entry,
                        const struct transcript_entry *transcript, bool whole)
{
    for (const struct message_entry *m = entry->messages; whole && m != NULL; m = m->next) {
        if (m->entry.inserted && message_kind_is_visible(m->record.kind))
            return true;
    }
    return overlay_copies_left(overlay, &entry->record) || (!whole && transcript->count == 0);
}

/* The files of all messages, those of the latest first, as many as one message may have. */
static bool gather_attachments(struct overlay *overlay, struct transcript_line *lines, size_t count,
                               struct message_record *message)
{
    struct attachment *all = arena_calloc(overlay->memory, CASE_ATTACHMENTS_MAX, sizeof *all);
    size_t filled = 0;
    if (all == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct message_record *from = &lines[i].message;
        for (size_t k = 0; !from->redacted && k < from->attachment_count && filled < CASE_ATTACHMENTS_MAX;
             k++) {
            all[filled++] = from->attachments[k];
            lines[i].taken = true;
        }
    }
    message->attachments = all;
    message->attachment_count = filled;
    return true;
}

/* The message that the third party gets, and what it has been made of; NULL in *ret_text: there is nothing.
 */
static bool third_party_text(struct overlay *overlay, const struct case_command *command,
                             const struct case_entry *entry, struct message_record *message,
                             const struct message_record **ret_text, struct transcript_line **ret_lines,
                             size_t *ret_count, error *err)
{
    bool whole = command->forward.number == 0;
    struct transcript_entry *transcript =
        overlay_transcript(overlay, command->account, entry->record.id, command->forward.number);
    struct transcript_line *lines;
    if (transcript == NULL || !lines_now(overlay, transcript, &lines))
        return batch_out_of_memory(err);
    if (is_outdated(overlay, entry, transcript, whole))
        return batch_run_apart(overlay, err);
    size_t count = transcript->count;
    if ((count == 0 && command->forward.note[0] == '\0') || (!whole && lines[0].message.redacted))
        return true;
    *ret_text = message;
    *ret_lines = lines;
    *ret_count = count;
    message->kind = MESSAGE_KIND_TO_THIRD_PARTY;
    message->third_party = command->forward.third_party;
    message->body = case_forward_text(overlay->memory, command->forward.note,
                                      whole ? entry->record.subject : NULL, lines, count, transcript->cut);
    return (message->body != NULL && gather_attachments(overlay, lines, count, message)) ||
           batch_out_of_memory(err);
}

static bool add_forwarded(struct overlay *overlay, const char *account, struct message_place in,
                          struct message_place of, error *err)
{
    struct forwarded_text *text = arena_alloc(overlay->memory, sizeof *text);
    if (text == NULL || !entry_list_add(overlay->memory, &overlay->forwarded, text))
        return batch_out_of_memory(err);
    *text = (struct forwarded_text){account, in, of};
    return true;
}

/* Whoever takes a text away has to find where it was forwarded. What has forwarded texts itself gives them
 * on: those from before this batch when they are written, those of this batch here. */
static bool note_forwarded(struct overlay *overlay, const char *account, struct message_place in,
                           const struct transcript_line *lines, size_t count, error *err)
{
    size_t before = overlay->forwarded.count;
    for (size_t i = 0; i < count; i++) {
        struct message_place of = message_written_at(&lines[i].message);
        if (!lines[i].taken)
            continue;
        if (!add_forwarded(overlay, account, in, of, err))
            return false;
        for (size_t k = 0; k < before && lines[i].message.kind == MESSAGE_KIND_TO_THIRD_PARTY; k++) {
            const struct forwarded_text *text = overlay->forwarded.items[k];
            if (text->in.case_id == of.case_id && text->in.number == of.number &&
                strcmp(text->account, account) == 0 && !add_forwarded(overlay, account, in, text->of, err))
                return false;
        }
    }
    return true;
}

/* What is written for it: the message to the third party, or the note to the agent; NULL in *ret_text:
 * nothing. The lines: what the message has been made of. */
static bool forward_text(struct overlay *overlay, const struct case_command *command,
                         const struct case_entry *entry, struct message_record *message,
                         const struct message_record **ret_text, struct transcript_line **ret_lines,
                         size_t *ret_count, error *err)
{
    *ret_text = NULL;
    *message = (struct message_record){
        .kind = MESSAGE_KIND_NOTE,
        .create_time = overlay->now,
        .author = "",
        .third_party = "",
        .external_id = "",
        .delivery_failure = "",
        .body = command->forward.note,
    };
    if (command->actor.kind == ACTOR_KIND_AGENT) {
        message->author =
            arena_printf(overlay->memory, "accounts/%s/agents/%s", command->account, command->actor.id);
        if (message->author == NULL)
            return batch_out_of_memory(err);
    }
    if (is_to_third_party(command))
        return third_party_text(overlay, command, entry, message, ret_text, ret_lines, ret_count, err);
    if (message->body[0] != '\0')
        *ret_text = message;
    return true;
}

static bool check_target(struct overlay *overlay, const struct case_command *command,
                         const struct case_record *record, error *err)
{
    if (!is_to_third_party(command))
        return batch_check_owner(overlay, command, command->forward.agent, err);
    if (!address_check_third_party(command->forward.third_party, record->network, record->channel_address,
                                   "third_party", err))
        return false;
    const struct address_entry *address = address_of(overlay, command, record);
    if (address == NULL)
        return batch_out_of_memory(err);
    /* What third parties get, customers never see. */
    return !address->entry.exists || strcmp(address->contact, record->contact) != 0 ||
           error_bad_field(err, "third_party", "is the address of the case's contact");
}

static bool forward_run(struct overlay *overlay, struct case_command *command, error *err)
{
    int32_t number = command->forward.number;
    struct case_entry *entry = batch_existing_case(overlay, command, command->forward.case_id, err);
    if (entry == NULL)
        return false;
    const struct message_entry *forwarded =
        number == 0 ? NULL : batch_existing_message(overlay, command, entry->record.id, number, err);
    if ((number != 0 && forwarded == NULL) || !check_target(overlay, command, &entry->record, err))
        return false;
    struct message_record text;
    struct transcript_line *lines = NULL;
    size_t line_count = 0;
    struct case_act act = {
        .kind = CASE_ACT_FORWARD,
        .expected_version = command->forward.expected_version,
        .forward = {.message = forwarded == NULL ? NULL : &forwarded->record,
                    .agent = command->forward.agent},
    };
    struct case_context context =
        batch_case_context(overlay, command, overlay_account(overlay, command->account));
    struct case_change change;
    case_change_begin(&change, &entry->record);
    if (!forward_text(overlay, command, entry, &text, &act.forward.text, &lines, &line_count, err) ||
        !case_rules_apply(&context, &act, &change, err))
        return false;
    int32_t answered = change.message_count > 0 ? change.messages[0].number : number;
    return batch_apply(overlay, entry, &change, err) &&
           note_forwarded(overlay, command->account, (struct message_place){entry->record.id, answered},
                          lines, line_count, err) &&
           batch_answer_both(overlay, command, entry->record.id, answered, err);
}

const struct method_ops forward_ops = {forward_gather, forward_run};

/* --- reports of deliveries --------------------------------------------------------------------------------
 */

static void report_gather(struct overlay *overlay, const struct case_command *command)
{
    const char *external_id = command->report.external_id;
    overlay_case(overlay, command->account, command->report.case_id);
    overlay_message(overlay, command->account, command->report.case_id, command->report.number);
    if (external_id[0] != '\0')
        overlay_external_of_case(overlay, command->account, command->report.case_id, external_id);
}

/* The identifier on the channel is the message's from now on: what comes back under it is known. */
static bool take_external_id(struct overlay *overlay, const struct case_record *record, int32_t number,
                             const char *external_id, error *err)
{
    if (external_id[0] == '\0' || batch_known_message(overlay, record, external_id) != NULL)
        return true;
    struct external_entry *external =
        overlay_external(overlay, record->account, record->channel, external_id);
    if (external == NULL)
        return batch_out_of_memory(err);
    external->entry.asked = external->entry.exists = external->entry.inserted = true;
    external->case_id = record->id;
    external->number = number;
    return true;
}

static bool report_run(struct overlay *overlay, struct case_command *command, error *err)
{
    struct case_entry *entry = batch_existing_case(overlay, command, command->report.case_id, err);
    if (entry == NULL)
        return false;
    int32_t number = command->report.number;
    const char *external_id = command->report.external_id;
    if (batch_existing_message(overlay, command, entry->record.id, number, err) == NULL)
        return false;
    struct message_entry *message = overlay_message(overlay, command->account, entry->record.id, number);
    const struct external_entry *known = batch_known_message(overlay, &entry->record, external_id);
    if (known != NULL && (known->case_id != entry->record.id || known->number != number))
        return error_set(err, STATUS_ALREADY_EXISTS, "EXTERNAL_ID_TAKEN",
                         "another message of the channel has that external_id");
    const struct case_act act = {
        .kind = CASE_ACT_REPORT_DELIVERY,
        .report = {.message = &message->record,
                   .to = command->report.delivery,
                   .failure = command->report.failure,
                   .external_id = external_id},
    };
    struct case_context context =
        batch_case_context(overlay, command, overlay_account(overlay, command->account));
    struct case_change change;
    case_change_begin(&change, &entry->record);
    if (!case_rules_apply(&context, &act, &change, err))
        return false;
    if (change.reported != NULL) {
        if (!take_external_id(overlay, &entry->record, number, change.reported->external_id, err))
            return false;
        message->record = *change.reported;
        message->reported = true;
    }
    return batch_apply(overlay, entry, &change, err) &&
           batch_answer_both(overlay, command, entry->record.id, number, err);
}

const struct method_ops delivery_report_ops = {report_gather, report_run};
