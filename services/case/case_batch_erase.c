/* Redaction, erasure of contacts, deletion of accounts. */

#include "case/case_batch_run.h"
#include "case/case_erase.h"

#include <string.h>

/* --- redact a message -------------------------------------------------------------------------------------
 */

static void redact_gather(struct overlay *overlay, const struct case_command *command)
{
    overlay_case(overlay, command->account, command->redact.case_id);
    overlay_message(overlay, command->account, command->redact.case_id, command->redact.number);
    overlay_family(overlay, command->account, command->redact.case_id, command->redact.number);
}

void redact_follow(struct overlay *overlay, const struct case_command *command)
{
    const struct family_entry *family =
        overlay_family(overlay, command->account, command->redact.case_id, command->redact.number);
    for (size_t i = 0; family != NULL && i < family->count; i++) {
        overlay_case(overlay, command->account, family->members[i].case_id);
        overlay_message(overlay, command->account, family->members[i].case_id, family->members[i].number);
    }
}

/* One message, or copy of it. */
static bool redact(struct overlay *overlay, const struct case_command *command, struct message_entry *message,
                   error *err)
{
    struct case_entry *entry = overlay_case(overlay, command->account, message->entry.key.n);
    struct message_record after = message->record;
    if (entry == NULL || !message_redact(overlay->memory, &after))
        return batch_out_of_memory(err);
    struct case_act act = {.kind = CASE_ACT_REDACT_MESSAGE};
    act.redacted = arena_memdup(overlay->memory, &after, sizeof after);
    if (act.redacted == NULL)
        return batch_out_of_memory(err);
    struct case_context context =
        batch_case_context(overlay, command, overlay_account(overlay, command->account));
    struct case_change change;
    case_change_begin(&change, &entry->record);
    if (!case_rules_apply(&context, &act, &change, err) || !batch_apply(overlay, entry, &change, err))
        return false;
    message->record = after;
    message->redacted = true;
    return true;
}

static bool is_same_place(struct message_place a, struct message_place b)
{
    return a.case_id == b.case_id && a.number == b.number;
}

/* That message, or one stored before this batch that has its text. */
static bool is_of_family(const struct family_entry *family, struct message_place of, struct message_place at)
{
    for (size_t i = 0; i < family->count; i++) {
        if (is_same_place(at, family->members[i]))
            return true;
    }
    return is_same_place(at, of);
}

/* That message, a copy of it, or a message to a third party that has its text: `at` is where it was written.
 * One of this batch was made of that message or of any of its family; of what others of this batch had been
 * made of, it was made of too (note_forwarded). */
static bool has_text_of(const struct overlay *overlay, const struct family_entry *family, const char *account,
                        struct message_place of, struct message_place at)
{
    if (is_of_family(family, of, at))
        return true;
    for (size_t i = 0; i < overlay->forwarded.count; i++) {
        const struct forwarded_text *text = overlay->forwarded.items[i];
        if (is_same_place(at, text->in) && is_of_family(family, of, text->of) &&
            strcmp(text->account, account) == 0)
            return true;
    }
    return false;
}

/* All of the family are known: those that were stored have been asked for, others are of this batch. */
static bool redact_family(struct overlay *overlay, const struct case_command *command,
                          const struct message_record *wanted, error *err)
{
    const struct message_place of = message_written_at(wanted);
    const struct family_entry *family =
        overlay_family(overlay, command->account, command->redact.case_id, command->redact.number);
    if (family == NULL)
        return batch_out_of_memory(err);
    for (size_t i = 0; i < overlay->entries[ENTRY_MESSAGE].count; i++) {
        struct message_entry *message = overlay->entries[ENTRY_MESSAGE].items[i];
        const struct message_record *record = &message->record;
        bool concerned = message->entry.exists && !record->redacted &&
                         strcmp(record->account, command->account) == 0 &&
                         has_text_of(overlay, family, command->account, of, message_written_at(record));
        if (concerned && !redact(overlay, command, message, err))
            return false;
    }
    return true;
}

static bool redact_run(struct overlay *overlay, struct case_command *command, error *err)
{
    int64_t case_id = command->redact.case_id;
    struct case_entry *entry = overlay_case(overlay, command->account, case_id);
    struct message_entry *message =
        overlay_message(overlay, command->account, case_id, command->redact.number);
    if (entry == NULL || message == NULL)
        return batch_out_of_memory(err);
    /* Nobody knows yet of a copy that this batch makes, and what it is a copy of may not be known here. */
    if (!entry->entry.exists || !message->entry.exists || message->is_copy)
        return batch_not_found(err, "accounts/%s/cases/%lld/messages/%d", command->account,
                               (long long)case_id, command->redact.number);
    /* A redacted one has no text; what was forwarded of it since has the texts of others. */
    return (message->record.redacted || redact_family(overlay, command, &message->record, err)) &&
           batch_answer_case(overlay, command, entry, err) &&
           batch_answer_message(overlay, command, message, err);
}

const struct method_ops message_redact_ops = {redact_gather, redact_run};

/* --- erase a contact --------------------------------------------------------------------------------------
 */

/* `was`: of a contact. */
static bool add_erasure(struct overlay *overlay, const struct case_command *command, const char *contact,
                        const struct contact_record *was, error *err)
{
    struct erasure *erasure = arena_calloc(overlay->memory, 1, sizeof *erasure);
    if (erasure == NULL || !entry_list_add(overlay->memory, &overlay->erasures, erasure))
        return batch_out_of_memory(err);
    *erasure = (struct erasure){
        .account = command->account,
        .contact = contact,
        .actor = command->actor,
        .position = overlay->feed->head,
        .request_id = command->request_id,
        .fingerprint = command->fingerprint,
    };
    if (was != NULL)
        erasure->was = *was;
    return true;
}

static void erase_gather(struct overlay *overlay, const struct case_command *command)
{
    overlay_contact(overlay, command->account, command->given_contact.contact.id);
    overlay_traces(overlay, command->account, command->given_contact.contact.id);
}

void erase_follow(struct overlay *overlay, const struct case_command *command)
{
    const struct traces_entry *traces =
        overlay_traces(overlay, command->account, command->given_contact.contact.id);
    for (size_t i = 0; traces != NULL && i < traces->count; i++)
        overlay_case(overlay, command->account, traces->cases[i]);
}

static bool tell_case(struct overlay *overlay, const struct case_command *command, const struct actor *actor,
                      const char *contact, struct case_entry *entry, error *err)
{
    struct case_context context =
        batch_case_context(overlay, command, overlay_account(overlay, command->account));
    context.actor = *actor;
    struct case_act act = {.kind = CASE_ACT_ERASE};
    act.erased = contact;
    struct case_change change;
    case_change_begin(&change, &entry->record);
    return case_rules_apply(&context, &act, &change, err) && batch_apply(overlay, entry, &change, err);
}

/* Cases of others have fewer texts from now on: whoever follows them reads them anew. */
static bool tell_others(struct overlay *overlay, const struct case_command *command, const char *contact,
                        error *err)
{
    const struct traces_entry *traces = overlay_traces(overlay, command->account, contact);
    for (size_t i = 0; traces != NULL && i < traces->count; i++) {
        struct case_entry *entry = overlay_case(overlay, command->account, traces->cases[i]);
        if (entry != NULL && entry->entry.exists && strcmp(entry->record.contact, contact) != 0 &&
            !tell_case(overlay, command, &command->actor, contact, entry, err))
            return false;
    }
    return true;
}

/* Its addresses are nobody's from now on, those too that it has got in this batch. Of its texts nothing has
 * to be known here: nothing of the batch runs later that could tell of them, and they are stored so that the
 * work afterwards finds them like others. */
static void forget_addresses(struct overlay *overlay, const char *account, const char *contact)
{
    for (size_t i = 0; i < overlay->entries[ENTRY_ADDRESS].count; i++) {
        struct address_entry *address = overlay->entries[ENTRY_ADDRESS].items[i];
        if (address->entry.exists && strcmp(address->contact, contact) == 0 &&
            strcmp(address->entry.key.account, account) == 0)
            address->entry.exists = false;
    }
}

static bool erase_run(struct overlay *overlay, struct case_command *command, error *err)
{
    const char *id = command->given_contact.contact.id;
    struct contact_entry *contact = overlay_contact(overlay, command->account, id);
    if (contact == NULL)
        return batch_out_of_memory(err);
    struct contact_record *record = &contact->record;
    if (!contact->entry.exists)
        return batch_not_found(err, "accounts/%s/contacts/%s", command->account, id);
    if (command->expected_version != 0 && command->expected_version != record->version)
        return batch_etag_mismatch(err);
    if (record->erase_time == 0) {
        const struct contact_record was = *record;
        contact_erase_texts(record);
        record->version++;
        record->update_time = record->erase_time = overlay->now;
        contact->entry.changed = true;
        forget_addresses(overlay, command->account, record->id);
        if (!batch_tell_resource(overlay, command, EVENT_KIND_CONTACT_ERASED, "contacts", id, 0, err) ||
            !add_erasure(overlay, command, record->id, &was, err) || !tell_others(overlay, command, id, err))
            return false;
    }
    command->answer.contact = arena_memdup(overlay->memory, record, sizeof *record);
    return command->answer.contact != NULL || batch_out_of_memory(err);
}

const struct method_ops contact_erase_ops = {erase_gather, erase_run};

/* --- a step of it -----------------------------------------------------------------------------------------
 */

/* Whose messages of the part's case lose their texts: "" is everybody. NULL: arena full. */
static const char *author_of(struct overlay *overlay, const struct case_command *command,
                             const struct erase_part *part)
{
    return part->guest ? arena_printf(overlay->memory, "accounts/%s/contacts/%s", command->account,
                                      command->erase.contact)
                       : "";
}

static struct traces_entry *forwards_of(struct overlay *overlay, const struct case_command *command,
                                        const struct erase_part *part)
{
    const char *author = author_of(overlay, command, part);
    if (author == NULL) {
        overlay->failed = true;
        return NULL;
    }
    return overlay_forwards(overlay, command->account, part->case_id, author);
}

static void step_gather(struct overlay *overlay, const struct case_command *command)
{
    for (size_t i = 0; i < command->erase.count; i++) {
        overlay_case(overlay, command->account, command->erase.parts[i].case_id);
        overlay_destination(overlay, command->account, command->erase.parts[i].case_id);
        if (command->erase.parts[i].whole)
            forwards_of(overlay, command, &command->erase.parts[i]);
    }
}

void erase_step_follow(struct overlay *overlay, const struct case_command *command)
{
    for (size_t i = 0; i < command->erase.count; i++) {
        if (!command->erase.parts[i].whole)
            continue;
        const struct traces_entry *forwards = forwards_of(overlay, command, &command->erase.parts[i]);
        for (size_t k = 0; forwards != NULL && k < forwards->count; k++) {
            overlay_case(overlay, command->account, forwards->cases[k]);
            overlay_destination(overlay, command->account, forwards->cases[k]);
        }
    }
}

static bool add_wipe(struct overlay *overlay, const struct case_command *command,
                     const struct erase_part *part, error *err)
{
    struct wipe *wipe = arena_alloc(overlay->memory, sizeof *wipe);
    const char *author = author_of(overlay, command, part);
    if (wipe == NULL || author == NULL || !entry_list_add(overlay->memory, &overlay->wipes, wipe))
        return batch_out_of_memory(err);
    *wipe = (struct wipe){
        .account = command->account,
        .author = author,
        .case_id = part->case_id,
        .first = part->first,
        .last = part->last,
        .copies = part->whole,
    };
    return true;
}

/* A case of somebody else has fewer texts, which is told once. */
static bool add_reader(struct overlay *overlay, const struct case_command *command,
                       const struct case_entry *done, struct case_entry *reader, struct entry_list *readers,
                       error *err)
{
    if (reader == NULL || reader == done || !reader->entry.exists ||
        strcmp(reader->record.contact, command->erase.contact) == 0)
        return true;
    for (size_t i = 0; i < readers->count; i++) {
        if (readers->items[i] == reader)
            return true;
    }
    return entry_list_add(overlay->memory, readers, reader) || batch_out_of_memory(err);
}

/* The case is done, and so are those where its messages went: by merges, and by being forwarded there. */
static bool tell_of_part(struct overlay *overlay, const struct case_command *command,
                         struct case_entry *entry, const struct erase_part *part, error *err)
{
    const struct traces_entry *forwards = forwards_of(overlay, command, part);
    struct entry_list readers = {0};
    if (forwards == NULL)
        return batch_out_of_memory(err);
    if (!add_reader(overlay, command, entry, batch_destination(overlay, entry), &readers, err))
        return false;
    for (size_t i = 0; i < forwards->count; i++) {
        struct case_entry *has = overlay_case(overlay, command->account, forwards->cases[i]);
        if (has == NULL)
            return batch_out_of_memory(err);
        if (!add_reader(overlay, command, entry, has, &readers, err) ||
            !add_reader(overlay, command, entry, batch_destination(overlay, has), &readers, err))
            return false;
    }
    for (size_t i = 0; i < readers.count; i++) {
        if (!tell_case(overlay, command, &command->erase.actor, command->erase.contact, readers.items[i],
                       err))
            return false;
    }
    return tell_case(overlay, command, &command->erase.actor, command->erase.contact, entry, err);
}

static bool finish_case(struct overlay *overlay, const struct case_command *command, struct case_entry *entry,
                        const struct erase_part *part, error *err)
{
    if (!tell_of_part(overlay, command, entry, part, err))
        return false;
    if (!part->guest)
        return entry_list_add(overlay->memory, &overlay->wiped_cases, entry) || batch_out_of_memory(err);
    struct guest *guest = arena_alloc(overlay->memory, sizeof *guest);
    if (guest == NULL || !entry_list_add(overlay->memory, &overlay->wiped_guests, guest))
        return batch_out_of_memory(err);
    *guest = (struct guest){command->account, command->erase.contact, entry->record.id};
    return true;
}

/* One that was done by somebody else in the meantime has nothing left. */
static bool is_still_to_do(const struct case_entry *entry, const struct erase_step *step,
                           const struct erase_part *part)
{
    return entry->entry.exists &&
           (part->guest || (!entry->record.erased && strcmp(entry->record.contact, step->contact) == 0));
}

static bool step_run(struct overlay *overlay, struct case_command *command, error *err)
{
    const struct erase_step *step = &command->erase;
    for (size_t i = 0; i < step->count; i++) {
        const struct erase_part *part = &step->parts[i];
        struct case_entry *entry = overlay_case(overlay, command->account, part->case_id);
        if (entry == NULL)
            return batch_out_of_memory(err);
        if (!is_still_to_do(entry, step, part))
            continue;
        if (!add_wipe(overlay, command, part, err) ||
            (part->whole && !finish_case(overlay, command, entry, part, err)))
            return false;
    }
    return true;
}

const struct method_ops erase_step_ops = {step_gather, step_run};

/* --- delete an account ------------------------------------------------------------------------------------
 */

void batch_gather_deletion(struct overlay *overlay, const struct case_command *command)
{
    overlay_deletion(overlay, command->account, command->request_id);
}

bool batch_check_deletion(struct overlay *overlay, const struct case_command *command, error *err)
{
    enum { RETRY_US = 1000000 };
    const struct deletion_entry *deletion = overlay_deletion(overlay, command->account, command->request_id);
    if (deletion == NULL)
        return batch_out_of_memory(err);
    if (!deletion->under_way)
        return true;
    error_set(err, STATUS_UNAVAILABLE, "ACCOUNT_BEING_DELETED",
              "what accounts/%s had is still being deleted: try again later", command->account);
    err->retry_after_us = RETRY_US;
    return false;
}

/* The account is gone: by a request of that id, or nobody minds. */
static bool answer_gone(struct overlay *overlay, struct case_command *command, error *err)
{
    const struct deletion_entry *deletion = overlay_deletion(overlay, command->account, command->request_id);
    if (deletion == NULL)
        return batch_out_of_memory(err);
    command->answer.position = overlay->feed->head;
    if (deletion->entry.exists) {
        if (memcmp(deletion->fingerprint, command->fingerprint, sizeof deletion->fingerprint) != 0)
            return batch_request_id_reused(err);
        command->answer.position = deletion->position;
        return true;
    }
    return command->deletion.allow_missing || batch_not_found(err, "accounts/%s", command->account);
}

static bool delete_run(struct overlay *overlay, struct case_command *command, error *err)
{
    struct account_entry *account = overlay_account(overlay, command->account);
    struct deletion_entry *deletion = overlay_deletion(overlay, command->account, command->request_id);
    if (account == NULL || deletion == NULL)
        return batch_out_of_memory(err);
    /* A deletion that is repeated means what was there then, not what was created since. */
    if (!account->entry.exists || (command->request_id[0] != '\0' && deletion->entry.exists))
        return answer_gone(overlay, command, err);
    if (command->expected_version != 0 && command->expected_version != account->record.version)
        return batch_etag_mismatch(err);
    if (!batch_tell_resource(overlay, command, EVENT_KIND_ACCOUNT_DELETED, "", "", 0, err) ||
        !add_erasure(overlay, command, "", NULL, err))
        return false;
    command->answer.position = overlay->feed->head;
    account->entry.exists = false;
    /* Later commands of this batch find what the database will say. */
    for (size_t i = 0; i < overlay->entries[ENTRY_DELETION].count; i++) {
        struct deletion_entry *other = overlay->entries[ENTRY_DELETION].items[i];
        if (strcmp(other->entry.key.account, command->account) == 0)
            other->under_way = true;
    }
    deletion->entry.exists = command->request_id[0] != '\0';
    deletion->position = overlay->feed->head;
    memcpy(deletion->fingerprint, command->fingerprint, sizeof deletion->fingerprint);
    return true;
}

const struct method_ops account_delete_ops = {batch_gather_deletion, delete_run};
