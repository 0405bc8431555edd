/* A message from a connector: who has sent it, and which case it goes to. */

#include "case/case_batch_run.h"

#include <string.h>

static void receive_gather(struct overlay *overlay, const struct case_command *command)
{
    overlay_channel(overlay, command->account, command->receive.channel);
    overlay_external(overlay, command->account, command->receive.channel,
                     command->receive.message.add.message.external_id);
    struct route_entry *route =
        overlay_route(overlay, command->account, command->receive.channel, command->receive.address);
    if (route != NULL) {
        route->folded = command->receive.folded;
        route->phone = command->receive.phone;
    }
}

/* Does the case, or the one that it was merged into, take messages? */
static bool lives(struct overlay *overlay, struct case_entry *entry)
{
    const struct case_entry *destination = batch_destination(overlay, entry);
    return destination != NULL && destination->record.status != CASE_STATUS_DELETED &&
           !destination->record.erased && !destination->record.being_erased;
}

/* The newest case of the contact on the channel that takes messages; a merged one leads to where it went. */
static struct case_entry *newest_case(struct overlay *overlay, const char *account, const char *contact,
                                      const char *channel)
{
    struct case_entry *newest = NULL;
    for (size_t i = 0; i < overlay->entries[ENTRY_CASE].count; i++) {
        struct case_entry *entry = overlay->entries[ENTRY_CASE].items[i];
        const struct case_record *record = &entry->record;
        if (entry->entry.exists && lives(overlay, entry) &&
            (newest == NULL || record->id > newest->record.id) && strcmp(record->contact, contact) == 0 &&
            strcmp(record->channel, channel) == 0 && strcmp(record->account, account) == 0)
            newest = entry;
    }
    return newest == NULL ? NULL : batch_destination(overlay, newest);
}

/* Merged cases on the way of a message. */
void receive_follow(struct overlay *overlay, const struct case_command *command)
{
    for (size_t i = 0; i < overlay->entries[ENTRY_CASE].count; i++) {
        const struct case_entry *entry = overlay->entries[ENTRY_CASE].items[i];
        if (!entry->entry.exists || entry->record.merged_into == 0 ||
            strcmp(entry->record.account, command->account) != 0)
            continue;
        if (overlay->ways_move)
            overlay_case(overlay, command->account, entry->record.merged_into);
        else
            overlay_destination(overlay, command->account, entry->record.id);
    }
}

/* A contact made of what the connector told. */
static bool new_sender(struct overlay *overlay, const struct case_command *command, const char *network,
                       struct contact_record *ret_record, error *err)
{
    arena *memory = overlay->memory;
    const char **items = arena_calloc(memory, 2, sizeof *items);
    char *id = batch_new_id(memory);
    if (items == NULL || id == NULL)
        return batch_out_of_memory(err);
    const char *name = command->receive.display_name;
    struct contact_record record = {
        .account = command->account,
        .id = id,
        .display_name = name[0] == '\0' ? command->receive.address : name,
        .note = "",
    };
    if (strcmp(network, "email") == 0 || strcmp(network, "phone") == 0) {
        items[0] = command->receive.address;
        *(strcmp(network, "email") == 0 ? &record.emails : &record.phones) = (struct text_list){items, 1};
    } else {
        items[0] = network;
        items[1] = command->receive.address;
        record.handles = (struct text_list){items, 2};
    }
    *ret_record = record;
    return true;
}

static bool receive_into_new(struct overlay *overlay, struct case_command *command, const char *contact,
                             const struct channel_record *channel, const struct address_key *address,
                             error *err)
{
    struct case_record record = {
        .status = CASE_STATUS_NEW,
        .owner = "",
        .contact = contact,
        .external_id = "",
        .lock_agent = "",
        .lock_session = "",
        .subject = command->receive.subject,
        .subject_key = command->receive.subject_key,
    };
    if (contact[0] != '\0')
        return batch_create_case(overlay, command, &record, channel, &command->receive.message, err);
    struct contact_record sender;
    if (command->receive.message.add.message.send_time > overlay->now)
        return error_bad_field(err, "send_time", "lies in the future");
    struct address_key key = *address;
    if (!new_sender(overlay, command, channel->network, &sender, err) ||
        !batch_insert_contact(overlay, command, &sender, &(struct address_keys){&key, 1}, err))
        return false;
    record.contact = sender.id;
    return batch_create_case(overlay, command, &record, channel, &command->receive.message, err);
}

static bool receive_run(struct overlay *overlay, struct case_command *command, error *err)
{
    const struct channel_entry *channel =
        overlay_channel(overlay, command->account, command->receive.channel);
    if (channel == NULL || !channel->entry.exists)
        return batch_not_found(err, "accounts/%s/channels/%s", command->account, command->receive.channel);
    const struct external_entry *known = overlay_external(overlay, command->account, command->receive.channel,
                                                          command->receive.message.add.message.external_id);
    if (known != NULL && known->entry.exists)
        return batch_answer_both(overlay, command, known->case_id, known->number, err);
    const char *network = channel->record.network;
    struct address_key key = {network, strcmp(network, "phone") == 0 ? command->receive.phone
                                                                     : command->receive.folded};
    if (key.address[0] == '\0')
        return error_bad_field(err, "sender_address", "is no address on this network");
    const struct address_entry *address =
        overlay_address(overlay, command->account, key.network, key.address);
    const char *own = case_address_key(overlay->memory, network, channel->record.address);
    if (address == NULL || own == NULL)
        return batch_out_of_memory(err);
    if (strcmp(own, key.address) == 0) /* what we have sent comes back: no customer, and a loop */
        return error_bad_field(err, "sender_address", "is the channel's own address");
    const char *contact = address->entry.exists ? address->contact : "";
    struct case_entry *entry =
        contact[0] == '\0' ? NULL : newest_case(overlay, command->account, contact, channel->record.id);
    if (entry == NULL)
        return receive_into_new(overlay, command, contact, &channel->record, &key, err);

    /* By who has sent it, and on which channel: a merge may have led to the case of another one. */
    struct case_act act = command->receive.message;
    act.add.message.came_by = channel->record.id;
    act.add.message.author =
        arena_printf(overlay->memory, "accounts/%s/contacts/%s", command->account, contact);
    if (act.add.message.author == NULL)
        return batch_out_of_memory(err);
    return batch_run_message(overlay, command, entry, &act, err);
}

const struct method_ops message_receive_ops = {receive_gather, receive_run};
