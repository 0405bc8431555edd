/* A whole conversation with its original times becomes a case, once. */

#include "case/case_batch_run.h"

#include <string.h>

static void import_gather(struct overlay *overlay, const struct case_command *command)
{
    const struct import_conversation *import = &command->import;
    if (import->create_account)
        batch_gather_deletion(overlay, command);
    overlay_external(overlay, command->account, "", import->external_id);
    overlay_channel_of_network(overlay, command->account, import->network);
    overlay_channel(overlay, command->account, import->network);
    for (size_t i = 0; i < import->addresses.count; i++) {
        overlay_address(overlay, command->account, import->addresses.items[i].network,
                        import->addresses.items[i].address);
    }
    for (size_t i = 0; i < import->message_count; i++) {
        if (import->messages[i].agent[0] != '\0')
            overlay_agent(overlay, command->account, import->messages[i].agent);
    }
}

/* What the conversation needs and does not find: made only once nothing can be refused any more. */
struct missing {
    bool account, channel, contact;
    struct account_record new_account;
    struct channel_record new_channel;
    struct contact_record new_contact;
    const struct channel_record *channel_used;
    const char *contact_used;
};

static bool find_channel(struct overlay *overlay, const struct case_command *command, struct missing *missing,
                         error *err)
{
    const char *network = command->import.network;
    const struct channel_ref_entry *first = overlay_channel_of_network(overlay, command->account, network);
    const struct channel_entry *named = overlay_channel(
        overlay, command->account, first != NULL && first->entry.exists ? first->channel : network);
    if (first == NULL || named == NULL) {
        batch_out_of_memory(err);
        return false;
    }
    if (first->entry.exists) {
        missing->channel_used = &named->record;
        return true;
    }
    missing->channel = true;
    missing->new_channel = (struct channel_record){
        .account = command->account,
        .id = named->entry.exists ? batch_new_id(overlay->memory) : network,
        .network = network,
        .address = command->account,
    };
    missing->channel_used = &missing->new_channel;
    return missing->new_channel.id != NULL || batch_out_of_memory(err);
}

static bool find_contact(struct overlay *overlay, const struct case_command *command, struct missing *missing,
                         error *err)
{
    const struct address_keys *addresses = &command->import.addresses;
    for (size_t i = 0; i < addresses->count; i++) {
        const struct address_entry *address = overlay_address(
            overlay, command->account, addresses->items[i].network, addresses->items[i].address);
        if (address == NULL)
            return batch_out_of_memory(err);
        if (address->entry.exists) {
            missing->contact_used = address->contact;
            return true;
        }
    }
    missing->contact = true;
    missing->new_contact = command->import.contact;
    missing->new_contact.id = missing->contact_used = batch_new_id(overlay->memory);
    return missing->contact_used != NULL || batch_out_of_memory(err);
}

static bool find_account(struct overlay *overlay, const struct case_command *command, struct missing *missing,
                         error *err)
{
    missing->account = !overlay_account(overlay, command->account)->entry.exists;
    missing->new_account = (struct account_record){
        .id = command->account,
        .display_name = command->import.account_display_name[0] == '\0'
                            ? command->account
                            : command->import.account_display_name,
        .time_zone = "UTC",
        .report_lock_days = 3,
        .session_grace_us = 15 * INT64_C(1000000),
        .next_case = 1,
    };
    return !missing->account || batch_check_deletion(overlay, command, err);
}

static bool make_missing(struct overlay *overlay, const struct case_command *command,
                         const struct missing *missing, error *err)
{
    const struct import_conversation *import = &command->import;
    if (missing->account && !batch_insert_account(overlay, command, &missing->new_account, err))
        return false;
    if (missing->channel && !batch_insert_channel(overlay, command, &missing->new_channel, err))
        return false;
    if (missing->contact &&
        !batch_insert_contact(overlay, command, &missing->new_contact, &import->addresses, err))
        return false;
    for (size_t i = 0; i < import->message_count; i++) {
        const struct import_message *message = &import->messages[i];
        if (message->agent[0] == '\0')
            continue;
        const struct agent_entry *agent = overlay_agent(overlay, command->account, message->agent);
        if (agent == NULL)
            return batch_out_of_memory(err);
        struct agent_record record = {.id = message->agent,
                                      .display_name = message->author_name,
                                      .email = "",
                                      .role = AGENT_ROLE_AGENT};
        if (!agent->entry.exists && !batch_insert_agent(overlay, command, &record, err))
            return false;
    }
    return true;
}

/* In whose name a message of the conversation is: agents' their own, all others the importing caller's. */
static bool author_of(struct overlay *overlay, const struct case_command *command,
                      const struct import_message *message, const char *contact,
                      struct message_record *ret_record, error *err)
{
    *ret_record = (struct message_record){
        .kind = message->kind,
        .automatic = message->automatic,
        .send_time = message->send_time,
        .create_time = overlay->now,
        .author = "",
        .third_party = "",
        .external_id = "",
        .delivery_failure = "",
        .body = message->body,
    };
    if (message->agent[0] != '\0') {
        ret_record->author =
            arena_printf(overlay->memory, "accounts/%s/agents/%s", command->account, message->agent);
    } else if (message->kind == MESSAGE_KIND_CUSTOMER) {
        ret_record->author =
            arena_printf(overlay->memory, "accounts/%s/contacts/%s", command->account, contact);
    } else {
        ret_record->author = message->author_name;
        ret_record->third_party = message->author_name;
    }
    return ret_record->author != NULL || batch_out_of_memory(err);
}

static bool add_messages(struct overlay *overlay, const struct case_command *command,
                         struct case_context *context, struct case_change *change, error *err)
{
    const struct import_conversation *import = &command->import;
    for (size_t i = 0; i < import->message_count; i++) {
        const struct import_message *message = &import->messages[i];
        struct case_act act = {.kind = CASE_ACT_ADD_MESSAGE};
        if (message->send_time > overlay->now)
            return error_bad_field(err, "conversation.messages.send_time", "lies in the future");
        if (!author_of(overlay, command, message, change->after.contact, &act.add.message, err))
            return false;
        context->now = message->send_time;
        context->actor = command->actor;
        if (message->agent[0] != '\0')
            context->actor = (struct actor){ACTOR_KIND_AGENT, message->agent, command->actor.id, ""};
        if (!case_rules_apply(context, &act, change, err))
            return false;
    }
    return true;
}

static bool replay(struct overlay *overlay, const struct case_command *command, const struct missing *missing,
                   struct case_change *change, error *err)
{
    const struct import_conversation *import = &command->import;
    const struct account_entry *account = overlay_account(overlay, command->account);
    const struct account_record *settings = missing->account ? &missing->new_account : &account->record;
    struct case_context context = batch_case_context(overlay, command, account);
    context.reopen_resolved = false;
    context.now = import->messages[0].send_time;
    struct case_record record = {
        .partition = overlay->partition,
        .account = command->account,
        .id = settings->next_case,
        .owner = "",
        .contact = missing->contact_used,
        .channel = missing->channel_used->id,
        .network = missing->channel_used->network,
        .channel_address = missing->channel_used->address,
        .external_id = import->external_id,
        .labels = import->labels,
        .lock_agent = "",
        .lock_session = "",
        .subject = import->subject,
        .subject_key = import->subject_key,
    };
    if (!case_rules_create(&context, &record, change, err) ||
        !add_messages(overlay, command, &context, change, err))
        return false;
    context.now = import->status_time == 0 ? change->after.last_send_time : import->status_time;
    context.actor = command->actor;
    if (context.now > overlay->now)
        return error_bad_field(err, "conversation.status_time", "lies in the future");
    return case_rules_import_status(&context, import->status, change, err);
}

static bool import_run(struct overlay *overlay, struct case_command *command, error *err)
{
    struct external_entry *known =
        overlay_external(overlay, command->account, "", command->import.external_id);
    if (known == NULL)
        return batch_out_of_memory(err);
    if (known->entry.exists)
        return true;
    struct missing missing = {0};
    struct case_change change;
    if (!find_account(overlay, command, &missing, err) || !find_channel(overlay, command, &missing, err) ||
        !find_contact(overlay, command, &missing, err) || !replay(overlay, command, &missing, &change, err))
        return false;
    if (!make_missing(overlay, command, &missing, err) ||
        !batch_apply_new(overlay, overlay_account(overlay, command->account), &change, err))
        return false;
    known->entry.exists = known->entry.inserted = true;
    known->case_id = change.after.id;
    command->answer.created = true;
    return batch_answer_case(overlay, command, overlay_case(overlay, command->account, change.after.id), err);
}

const struct method_ops conversation_import_ops = {import_gather, import_run};
