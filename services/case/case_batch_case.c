/* Cases and messages: the rules' changes taken over into the overlay, and the methods that make them. */

#include "case/case_batch_run.h"
#include "case/case_overlay_session.h"
#include "case/case_rules_steps.h"

#include <string.h>

struct case_context batch_case_context(const struct overlay *overlay, const struct case_command *command,
                                       const struct account_entry *account)
{
    return (struct case_context){
        .memory = overlay->memory,
        .now = overlay->now,
        .actor = command->actor,
        .reopen_resolved = account->record.reopen_resolved,
        .imported = command->method == CASE_METHOD_IMPORT,
    };
}

static void raise_stored(struct case_entry *entry, enum message_state to)
{
    for (struct message_entry *message = entry->messages; message != NULL; message = message->next) {
        if (message->record.state != MESSAGE_STATE_NONE && message->record.state < to)
            message->record.state = to;
    }
    if (to > entry->raise_to)
        entry->raise_to = to;
}

/* A contact who writes in the case of another one, or of none. */
static bool note_guest(struct overlay *overlay, const struct case_record *record,
                       const struct message_record *message, error *err)
{
    const char *contact =
        message->kind == MESSAGE_KIND_CUSTOMER ? strstr(message->author, "/contacts/") : NULL;
    if (contact == NULL || strcmp(contact + strlen("/contacts/"), record->contact) == 0)
        return true;
    struct guest *guest = arena_alloc(overlay->memory, sizeof *guest);
    if (guest == NULL || !entry_list_add(overlay->memory, &overlay->guests, guest))
        return batch_out_of_memory(err);
    *guest = (struct guest){record->account, contact + strlen("/contacts/"), record->id};
    return true;
}

static bool store_message(struct overlay *overlay, struct case_entry *entry,
                          const struct message_record *record, error *err)
{
    const char *account = entry->record.account;
    struct message_entry *message = overlay_message(overlay, account, entry->record.id, record->number);
    if (message == NULL || !entry_list_add(overlay->memory, &overlay->new_messages, message))
        return batch_out_of_memory(err);
    message->record = *record;
    message->entry.asked = message->entry.exists = message->entry.inserted = true;
    message->next = entry->messages;
    entry->messages = message;
    if (!note_guest(overlay, &entry->record, record, err))
        return false;
    if (record->external_id[0] == '\0')
        return true;
    /* Not always the case's channel: merges lead from one to another. */
    const char *channel = record->came_by == NULL ? entry->record.channel : record->came_by;
    struct external_entry *external = overlay_external(overlay, account, channel, record->external_id);
    if (external == NULL)
        return batch_out_of_memory(err);
    external->entry.asked = external->entry.exists = external->entry.inserted = true;
    external->case_id = entry->record.id;
    external->number = record->number;
    return true;
}

bool batch_apply(struct overlay *overlay, struct case_entry *entry, struct case_change *change, error *err)
{
    if (change->event_count == 0)
        return true;
    entry->record = change->after;
    entry->entry.changed = true;
    entry->wide = entry->wide || change->wide;
    if (change->raise_to != MESSAGE_STATE_NONE)
        raise_stored(entry, change->raise_to);
    for (size_t i = 0; i < change->message_count; i++) {
        if (!store_message(overlay, entry, &change->messages[i], err))
            return false;
    }
    if (change->set_number != 0) {
        struct message_entry *message =
            overlay_message(overlay, entry->record.account, entry->record.id, change->set_number);
        if (message == NULL)
            return batch_out_of_memory(err);
        message->record.state = change->set_state;
        message->entry.changed = true;
    }
    for (size_t i = 0; i < change->event_count; i++) {
        if (!batch_tell(overlay, &change->events[i], err))
            return false;
    }
    return true;
}

bool batch_apply_new(struct overlay *overlay, struct account_entry *account, struct case_change *change,
                     error *err)
{
    struct case_entry *entry = overlay_case(overlay, account->record.id, change->after.id);
    if (entry == NULL)
        return batch_out_of_memory(err);
    entry->entry.asked = entry->entry.exists = entry->entry.inserted = true;
    account->record.next_case = change->after.id + 1;
    account->entry.changed = true;
    return batch_apply(overlay, entry, change, err);
}

bool batch_answer_case(struct overlay *overlay, struct case_command *command, const struct case_entry *entry,
                       error *err)
{
    if (entry == NULL || !entry->entry.exists)
        return batch_not_found(err, "accounts/%s/cases", command->account);
    command->answer.record = arena_memdup(overlay->memory, &entry->record, sizeof entry->record);
    return command->answer.record != NULL || batch_out_of_memory(err);
}

bool batch_answer_message(struct overlay *overlay, struct case_command *command,
                          const struct message_entry *entry, error *err)
{
    if (entry == NULL || !entry->entry.exists)
        return batch_not_found(err, "accounts/%s/messages", command->account);
    command->answer.message = arena_memdup(overlay->memory, &entry->record, sizeof entry->record);
    if (command->answer.message == NULL)
        return batch_out_of_memory(err);
    /* A case that came with its first message has its time. */
    const struct case_record *record = command->answer.record;
    command->answer.created =
        record != NULL && entry->record.number == 1 && record->create_time == entry->record.create_time;
    return true;
}

bool batch_answer_both(struct overlay *overlay, struct case_command *command, int64_t case_id, int32_t number,
                       error *err)
{
    return batch_answer_case(overlay, command, overlay_case(overlay, command->account, case_id), err) &&
           (number == 0 ||
            batch_answer_message(overlay, command,
                                 overlay_message(overlay, command->account, case_id, number), err));
}

struct case_entry *batch_existing_case(struct overlay *overlay, const struct case_command *command,
                                       int64_t id, error *err)
{
    struct case_entry *entry = overlay_case(overlay, command->account, id);
    if (entry != NULL && entry->entry.exists)
        return entry;
    error_set(err, STATUS_NOT_FOUND, "NOT_FOUND", "accounts/%s/cases/%lld does not exist", command->account,
              (long long)id);
    return NULL;
}

const struct message_entry *batch_existing_message(struct overlay *overlay,
                                                   const struct case_command *command, int64_t case_id,
                                                   int32_t number, error *err)
{
    const struct message_entry *message = overlay_message(overlay, command->account, case_id, number);
    if (message != NULL && message->entry.exists)
        return message;
    batch_not_found(err, "accounts/%s/cases/%lld/messages/%d", command->account, (long long)case_id, number);
    return NULL;
}

bool batch_check_owner(struct overlay *overlay, const struct case_command *command, const char *owner,
                       error *err)
{
    if (owner[0] == '\0')
        return true;
    const struct agent_entry *agent = overlay_agent(overlay, command->account, owner);
    if (agent == NULL || !agent->entry.exists)
        return batch_not_found(err, "accounts/%s/agents/%s", command->account, owner);
    if (agent->record.disabled)
        return error_set(err, STATUS_FAILED_PRECONDITION, "AGENT_DISABLED", "agent %s is disabled", owner);
    return true;
}

/* --- change a case ----------------------------------------------------------------------------------------
 */

bool batch_moves_ways(enum case_act_kind kind)
{
    return kind == CASE_ACT_DELETE || kind == CASE_ACT_UNDELETE;
}

static void change_gather(struct overlay *overlay, const struct case_command *command)
{
    overlay_case(overlay, command->account, command->change.case_id);
    overlay->ways_move = overlay->ways_move || batch_moves_ways(command->change.act.kind);
    if (command->change.act.kind == CASE_ACT_UNDELETE)
        overlay_case_tabs(overlay, command->account, command->change.case_id);
    if (command->change.act.kind == CASE_ACT_ASSIGN && command->change.act.owner[0] != '\0')
        overlay_agent(overlay, command->account, command->change.act.owner);
}

void change_follow(struct overlay *overlay, const struct case_command *command)
{
    if (command->change.act.kind == CASE_ACT_ASSIGN)
        batch_ask_of_helpers(overlay, command->account, command->change.case_id);
}

void batch_ask_of_helpers(struct overlay *overlay, const char *account, int64_t case_id)
{
    const struct case_entry *entry = overlay_case(overlay, account, case_id);
    if (entry == NULL || !entry->entry.exists)
        return;
    if (entry->record.owner[0] != '\0')
        overlay_helper(overlay, account, entry->record.owner, case_id);
    for (size_t i = 0; i < entry->record.involved.count; i++)
        overlay_helper(overlay, account, entry->record.involved.items[i], case_id);
}

/* In what a merge of this batch has brought. */
static bool has_replied_in_copies(const struct case_entry *entry, const char *agent)
{
    for (const struct message_entry *message = entry->messages; message != NULL; message = message->next) {
        const char *by = strstr(message->record.author, "/agents/");
        if (message->is_copy && message->record.kind == MESSAGE_KIND_AGENT && !message->record.automatic &&
            by != NULL && strcmp(by + strlen("/agents/"), agent) == 0)
            return true;
    }
    return false;
}

static bool know_helper(struct overlay *overlay, struct case_entry *entry, const char *agent, error *err)
{
    struct case_record *record = &entry->record;
    const struct entry *helper =
        overlay_find(overlay, &(struct entry_key){ENTRY_HELPER, record->account, agent, "", record->id, 0});
    bool helped = (helper != NULL && helper->exists) || has_replied_in_copies(entry, agent);
    return !helped || text_list_has(&record->helped, agent) ||
           text_list_add(overlay->memory, &record->helped, agent, &record->helped) ||
           batch_out_of_memory(err);
}

bool batch_know_helpers(struct overlay *overlay, struct case_entry *entry, error *err)
{
    struct case_record *record = &entry->record;
    if (overlay_copies_left(overlay, record)) /* perhaps one by which an agent had helped */
        return batch_run_apart(overlay, err);
    for (size_t i = 0; i < record->involved.count; i++) {
        if (!know_helper(overlay, entry, record->involved.items[i], err))
            return false;
    }
    return know_helper(overlay, entry, record->owner, err);
}

static bool change_run(struct overlay *overlay, struct case_command *command, error *err)
{
    struct case_entry *entry = batch_existing_case(overlay, command, command->change.case_id, err);
    if (entry == NULL)
        return false;
    const struct case_act *act = &command->change.act;
    if (act->kind == CASE_ACT_ASSIGN) {
        if (!batch_check_owner(overlay, command, act->owner, err) || !batch_know_helpers(overlay, entry, err))
            return false;
    }
    struct case_context context =
        batch_case_context(overlay, command, overlay_account(overlay, command->account));
    struct case_change change;
    case_change_begin(&change, &entry->record);
    return batch_act(overlay, &context, act, entry, &change, err) &&
           batch_apply(overlay, entry, &change, err) && batch_answer_case(overlay, command, entry, err);
}

const struct method_ops case_change_ops = {change_gather, change_run};

/* --- messages ---------------------------------------------------------------------------------------------
 */

/* A customer's message without an author is by the case's contact. */
static bool complete_message(const struct overlay *overlay, const struct case_record *record,
                             struct message_record *message, error *err)
{
    message->create_time = overlay->now;
    if (message->author[0] != '\0' || message->kind != MESSAGE_KIND_CUSTOMER || record->contact[0] == '\0')
        return true;
    message->author =
        arena_printf(overlay->memory, "accounts/%s/contacts/%s", record->account, record->contact);
    return message->author != NULL || batch_out_of_memory(err);
}

/* The contact who is named as the author, if one is. */
static void gather_author(struct overlay *overlay, const char *account, const struct case_act *act)
{
    if (act->add.contact != NULL && act->add.contact[0] != '\0')
        overlay_contact(overlay, account, act->add.contact);
}

static void add_gather(struct overlay *overlay, const struct case_command *command)
{
    const char *external_id = command->change.act.add.message.external_id;
    gather_author(overlay, command->account, &command->change.act);
    overlay_case(overlay, command->account, command->change.case_id);
    if (external_id[0] != '\0')
        overlay_external_of_case(overlay, command->account, command->change.case_id, external_id);
}

const struct external_entry *batch_known_message(struct overlay *overlay, const struct case_record *record,
                                                 const char *external_id)
{
    if (external_id[0] == '\0')
        return NULL;
    struct external_entry *external =
        overlay_external(overlay, record->account, record->channel, external_id);
    const struct external_entry *read =
        overlay_external_of_case(overlay, record->account, record->id, external_id);
    if (external == NULL || read == NULL)
        return NULL;
    if (!external->entry.asked) {
        external->entry.asked = true;
        external->entry.exists = read->entry.exists;
        external->case_id = read->case_id;
        external->number = read->number;
    }
    return external->entry.exists ? external : NULL;
}

/* "" and NULL are fine. */
static bool check_contact(struct overlay *overlay, const struct case_command *command, const char *contact,
                          error *err)
{
    if (contact == NULL || contact[0] == '\0')
        return true;
    const struct contact_entry *entry = overlay_contact(overlay, command->account, contact);
    if (entry == NULL || !entry->entry.exists)
        return batch_not_found(err, "accounts/%s/contacts/%s", command->account, contact);
    if (entry->record.erase_time != 0)
        return error_set(err, STATUS_FAILED_PRECONDITION, "CONTACT_ERASED", "contact %s was erased", contact);
    return true;
}

bool batch_run_message(struct overlay *overlay, struct case_command *command, struct case_entry *entry,
                       const struct case_act *wanted, error *err)
{
    struct case_act act = *wanted;
    if (!complete_message(overlay, &entry->record, &act.add.message, err))
        return false;
    struct case_context context =
        batch_case_context(overlay, command, overlay_account(overlay, command->account));
    struct case_change change;
    case_change_begin(&change, &entry->record);
    if (!case_rules_apply(&context, &act, &change, err) || !batch_apply(overlay, entry, &change, err) ||
        !batch_answer_both(overlay, command, entry->record.id, change.messages[0].number, err))
        return false;
    command->answer.created = false; /* whatever the times say */
    return true;
}

static bool add_run(struct overlay *overlay, struct case_command *command, error *err)
{
    struct case_entry *entry = batch_existing_case(overlay, command, command->change.case_id, err);
    if (entry == NULL)
        return false;
    const struct case_act *act = &command->change.act;
    const struct external_entry *known =
        batch_known_message(overlay, &entry->record, act->add.message.external_id);
    if (known != NULL)
        return batch_answer_both(overlay, command, known->case_id, known->number, err);
    return check_contact(overlay, command, act->add.contact, err) &&
           batch_run_message(overlay, command, entry, act, err);
}

const struct method_ops message_add_ops = {add_gather, add_run};

static void state_gather(struct overlay *overlay, const struct case_command *command)
{
    overlay_case(overlay, command->account, command->change.case_id);
    overlay_message(overlay, command->account, command->change.case_id, command->change.act.set_state.number);
}

static bool state_run(struct overlay *overlay, struct case_command *command, error *err)
{
    struct case_act act = command->change.act;
    struct case_entry *entry = batch_existing_case(overlay, command, command->change.case_id, err);
    if (entry == NULL)
        return false;
    const struct message_entry *message =
        batch_existing_message(overlay, command, entry->record.id, act.set_state.number, err);
    if (message == NULL)
        return false;
    act.set_state.kind = message->record.kind;
    act.set_state.state = message->record.state;
    struct case_context context =
        batch_case_context(overlay, command, overlay_account(overlay, command->account));
    struct case_change change;
    case_change_begin(&change, &entry->record);
    return case_rules_apply(&context, &act, &change, err) && batch_apply(overlay, entry, &change, err) &&
           batch_answer_both(overlay, command, entry->record.id, act.set_state.number, err);
}

const struct method_ops message_state_ops = {state_gather, state_run};

/* --- create a case ----------------------------------------------------------------------------------------
 */

static void create_gather(struct overlay *overlay, const struct case_command *command)
{
    const struct case_record *record = &command->create.record;
    overlay_channel(overlay, command->account, record->channel);
    if (record->contact[0] != '\0')
        overlay_contact(overlay, command->account, record->contact);
    if (record->owner[0] != '\0')
        overlay_agent(overlay, command->account, record->owner);
    if (command->create.has_message)
        gather_author(overlay, command->account, &command->create.message);
    if (command->create.has_message && command->create.message.add.message.external_id[0] != '\0') {
        overlay_external(overlay, command->account, record->channel,
                         command->create.message.add.message.external_id);
    }
}

bool batch_create_case(struct overlay *overlay, struct case_command *command,
                       const struct case_record *template, const struct channel_record *channel,
                       const struct case_act *message, error *err)
{
    struct account_entry *account = overlay_account(overlay, command->account);
    struct case_context context = batch_case_context(overlay, command, account);
    struct case_record record = *template;
    record.partition = overlay->partition;
    record.account = account->record.id;
    record.id = account->record.next_case;
    record.channel = channel->id;
    record.network = channel->network;
    record.channel_address = channel->address;
    struct case_change change;
    if (!case_rules_create(&context, &record, &change, err))
        return false;
    if (message != NULL) {
        struct case_act act = *message;
        if (!complete_message(overlay, &record, &act.add.message, err) ||
            !case_rules_apply(&context, &act, &change, err))
            return false;
    }
    return batch_apply_new(overlay, account, &change, err) &&
           batch_answer_both(overlay, command, record.id, message == NULL ? 0 : 1, err);
}

static bool create_run(struct overlay *overlay, struct case_command *command, error *err)
{
    const struct case_record *record = &command->create.record;
    const struct channel_entry *channel = overlay_channel(overlay, command->account, record->channel);
    if (channel == NULL || !channel->entry.exists)
        return batch_not_found(err, "accounts/%s/channels/%s", command->account, record->channel);
    if (!check_contact(overlay, command, record->contact, err) ||
        !batch_check_owner(overlay, command, record->owner, err))
        return false;
    const struct case_act *message = command->create.has_message ? &command->create.message : NULL;
    if (message != NULL && message->add.message.external_id[0] != '\0') {
        const struct external_entry *known =
            overlay_external(overlay, command->account, record->channel, message->add.message.external_id);
        if (known != NULL && known->entry.exists)
            return batch_answer_both(overlay, command, known->case_id, known->number, err);
    }
    return (message == NULL || check_contact(overlay, command, message->add.contact, err)) &&
           batch_create_case(overlay, command, record, &channel->record, message, err);
}

const struct method_ops case_create_ops = {create_gather, create_run};
