/* Accounts, agents, contacts and channels: created and updated. */

#include "case/case_batch_run.h"
#include "case/case_overlay_session.h"

#include <string.h>

static void gather_nothing(struct overlay *overlay, const struct case_command *command)
{
    (void)overlay, (void)command;
}

static bool check_etag(const struct case_command *command, int64_t version, error *err)
{
    return command->expected_version == 0 || command->expected_version == version || batch_etag_mismatch(err);
}

static bool already_exists(const char *account, const char *collection, const char *id, error *err)
{
    return error_set(err, STATUS_ALREADY_EXISTS, "ALREADY_EXISTS", "accounts/%s/%s/%s exists already",
                     account, collection, id);
}

static bool address_taken(const char *address, error *err)
{
    return error_set(err, STATUS_ALREADY_EXISTS, "ADDRESS_TAKEN", "the address %.100s belongs to another one",
                     address);
}

static void *snapshot(struct overlay *overlay, const void *record, size_t size, error *err)
{
    void *copy = arena_memdup(overlay->memory, record, size);
    if (copy == NULL)
        batch_out_of_memory(err);
    return copy;
}

static unsigned field_if(unsigned field, bool changed)
{
    return changed ? field : 0;
}

/* --- accounts ---------------------------------------------------------------------------------------------
 */

bool batch_insert_account(struct overlay *overlay, const struct case_command *command,
                          const struct account_record *record, error *err)
{
    struct account_entry *account = overlay_account(overlay, command->account);
    if (account == NULL)
        return batch_out_of_memory(err);
    account->record = *record;
    account->record.partition = overlay->partition;
    account->record.id = command->account;
    account->record.next_case = 1;
    account->record.version = 1;
    account->record.create_time = account->record.update_time = overlay->now;
    account->entry.exists = account->entry.inserted = true;
    return batch_tell_resource(overlay, command, EVENT_KIND_ACCOUNT_CREATED, "", "", 0, err);
}

static bool answer_account(struct overlay *overlay, struct case_command *command, error *err)
{
    const struct account_entry *account = overlay_account(overlay, command->account);
    command->answer.account = snapshot(overlay, &account->record, sizeof account->record, err);
    return command->answer.account != NULL;
}

static bool account_create(struct overlay *overlay, struct case_command *command, error *err)
{
    if (overlay_account(overlay, command->account)->entry.exists)
        return error_set(err, STATUS_ALREADY_EXISTS, "ALREADY_EXISTS", "accounts/%s exists already",
                         command->account);
    return batch_check_deletion(overlay, command, err) &&
           batch_insert_account(overlay, command, &command->given_account, err) &&
           answer_account(overlay, command, err);
}

static bool account_update(struct overlay *overlay, struct case_command *command, error *err)
{
    struct account_entry *account = overlay_account(overlay, command->account);
    struct account_record *record = &account->record;
    const struct account_record *given = &command->given_account;
    if (!check_etag(command, record->version, err))
        return false;
    unsigned changed =
        command->fields &
        (field_if(FIELD_DISPLAY_NAME, strcmp(given->display_name, record->display_name) != 0) |
         field_if(FIELD_TIME_ZONE, strcmp(given->time_zone, record->time_zone) != 0) |
         field_if(FIELD_REOPEN_RESOLVED, given->reopen_resolved != record->reopen_resolved) |
         field_if(FIELD_REPORT_LOCK_DAYS, given->report_lock_days != record->report_lock_days) |
         field_if(FIELD_SESSION_GRACE, given->session_grace_us != record->session_grace_us));
    if (changed == 0)
        return answer_account(overlay, command, err);
    if ((changed & FIELD_DISPLAY_NAME) != 0)
        record->display_name = given->display_name;
    if ((changed & FIELD_TIME_ZONE) != 0)
        record->time_zone = given->time_zone;
    if ((changed & FIELD_REOPEN_RESOLVED) != 0)
        record->reopen_resolved = given->reopen_resolved;
    if ((changed & FIELD_REPORT_LOCK_DAYS) != 0)
        record->report_lock_days = given->report_lock_days;
    if ((changed & FIELD_SESSION_GRACE) != 0)
        record->session_grace_us = given->session_grace_us;
    record->version++;
    record->update_time = overlay->now;
    account->entry.changed = true;
    return batch_tell_resource(overlay, command, EVENT_KIND_ACCOUNT_UPDATED, "", "", changed, err) &&
           answer_account(overlay, command, err);
}

const struct method_ops account_create_ops = {batch_gather_deletion, account_create};
const struct method_ops account_update_ops = {gather_nothing, account_update};

/* --- agents -----------------------------------------------------------------------------------------------
 */

bool batch_insert_agent(struct overlay *overlay, const struct case_command *command,
                        const struct agent_record *record, error *err)
{
    struct agent_entry *agent = overlay_agent(overlay, command->account, record->id);
    if (agent == NULL)
        return batch_out_of_memory(err);
    agent->record = *record;
    agent->record.account = command->account;
    agent->record.version = 1;
    agent->record.create_time = agent->record.update_time = overlay->now;
    agent->entry.asked = agent->entry.exists = agent->entry.inserted = true;
    return batch_tell_resource(overlay, command, EVENT_KIND_AGENT_CREATED, "agents", record->id, 0, err);
}

static bool answer_agent(struct overlay *overlay, struct case_command *command, const char *id, error *err)
{
    const struct agent_entry *agent = overlay_agent(overlay, command->account, id);
    command->answer.agent = snapshot(overlay, &agent->record, sizeof agent->record, err);
    return command->answer.agent != NULL;
}

static void agent_gather(struct overlay *overlay, const struct case_command *command)
{
    if (command->given_agent.id[0] != '\0')
        overlay_agent(overlay, command->account, command->given_agent.id);
}

static bool disables(const struct case_command *command)
{
    return (command->fields & FIELD_DISABLED) != 0 && command->given_agent.disabled;
}

/* An agent who is disabled loses sessions, tabs and locks with it. */
static void agent_update_gather(struct overlay *overlay, const struct case_command *command)
{
    agent_gather(overlay, command);
    struct agent_sessions_entry *sessions =
        disables(command) ? overlay_agent_sessions(overlay, command->account, command->given_agent.id) : NULL;
    if (sessions != NULL)
        sessions->follow = true;
}

static bool agent_create(struct overlay *overlay, struct case_command *command, error *err)
{
    struct agent_record record = command->given_agent;
    if (record.id[0] == '\0')
        record.id = batch_new_id(overlay->memory);
    if (record.id == NULL)
        return batch_out_of_memory(err);
    const struct agent_entry *agent = overlay_agent(overlay, command->account, record.id);
    if (agent != NULL && agent->entry.exists)
        return already_exists(command->account, "agents", record.id, err);
    return batch_insert_agent(overlay, command, &record, err) &&
           answer_agent(overlay, command, record.id, err);
}

static bool agent_update(struct overlay *overlay, struct case_command *command, error *err)
{
    const struct agent_record *given = &command->given_agent;
    struct agent_entry *agent = overlay_agent(overlay, command->account, given->id);
    struct agent_record *record = &agent->record;
    if (!agent->entry.exists)
        return batch_not_found(err, "accounts/%s/agents/%s", command->account, given->id);
    if (!check_etag(command, record->version, err))
        return false;
    unsigned changed = command->fields &
                       (field_if(FIELD_DISPLAY_NAME, strcmp(given->display_name, record->display_name) != 0) |
                        field_if(FIELD_EMAIL, strcmp(given->email, record->email) != 0) |
                        field_if(FIELD_ROLE, given->role != record->role) |
                        field_if(FIELD_DISABLED, given->disabled != record->disabled));
    if (changed == 0)
        return answer_agent(overlay, command, given->id, err);
    if ((changed & FIELD_DISPLAY_NAME) != 0)
        record->display_name = given->display_name;
    if ((changed & FIELD_EMAIL) != 0)
        record->email = given->email;
    if ((changed & FIELD_ROLE) != 0)
        record->role = given->role;
    if ((changed & FIELD_DISABLED) != 0)
        record->disabled = given->disabled;
    record->version++;
    record->update_time = overlay->now;
    agent->entry.changed = true;
    return batch_tell_resource(overlay, command, EVENT_KIND_AGENT_UPDATED, "agents", given->id, changed,
                               err) &&
           (!disables(command) || batch_end_agent_sessions(overlay, command, given->id, err)) &&
           answer_agent(overlay, command, given->id, err);
}

const struct method_ops agent_create_ops = {agent_gather, agent_create};
const struct method_ops agent_update_ops = {agent_update_gather, agent_update};

/* --- channels ---------------------------------------------------------------------------------------------
 */

bool batch_insert_channel(struct overlay *overlay, const struct case_command *command,
                          const struct channel_record *record, error *err)
{
    struct channel_entry *channel = overlay_channel(overlay, command->account, record->id);
    struct channel_ref_entry *at =
        overlay_channel_at(overlay, command->account, record->network, record->address);
    struct channel_ref_entry *first = overlay_channel_of_network(overlay, command->account, record->network);
    if (channel == NULL || at == NULL || first == NULL)
        return batch_out_of_memory(err);
    channel->record = *record;
    channel->record.account = command->account;
    channel->record.version = 1;
    channel->record.create_time = channel->record.update_time = overlay->now;
    channel->entry.asked = channel->entry.exists = channel->entry.inserted = true;
    at->entry.asked = at->entry.exists = true;
    at->channel = record->id;
    if (!first->entry.exists || strcmp(record->id, first->channel) < 0)
        first->channel = record->id;
    first->entry.exists = first->entry.asked;
    return batch_tell_resource(overlay, command, EVENT_KIND_CHANNEL_CREATED, "channels", record->id, 0, err);
}

static bool answer_channel(struct overlay *overlay, struct case_command *command, const char *id, error *err)
{
    const struct channel_entry *channel = overlay_channel(overlay, command->account, id);
    command->answer.channel = snapshot(overlay, &channel->record, sizeof channel->record, err);
    return command->answer.channel != NULL;
}

static void channel_create_gather(struct overlay *overlay, const struct case_command *command)
{
    const struct channel_record *given = &command->given_channel;
    if (given->id[0] != '\0')
        overlay_channel(overlay, command->account, given->id);
    overlay_channel_at(overlay, command->account, given->network, given->address);
}

static bool channel_create(struct overlay *overlay, struct case_command *command, error *err)
{
    struct channel_record record = command->given_channel;
    if (record.id[0] == '\0')
        record.id = batch_new_id(overlay->memory);
    if (record.id == NULL)
        return batch_out_of_memory(err);
    const struct channel_entry *channel = overlay_channel(overlay, command->account, record.id);
    if (channel != NULL && channel->entry.exists)
        return already_exists(command->account, "channels", record.id, err);
    const struct channel_ref_entry *at =
        overlay_channel_at(overlay, command->account, record.network, record.address);
    if (at != NULL && at->entry.exists)
        return address_taken(record.address, err);
    return batch_insert_channel(overlay, command, &record, err) &&
           answer_channel(overlay, command, record.id, err);
}

static void channel_update_gather(struct overlay *overlay, const struct case_command *command)
{
    const struct channel_record *given = &command->given_channel;
    overlay_channel(overlay, command->account, given->id);
    if ((command->fields & FIELD_ADDRESS) != 0)
        overlay_channel_beside(overlay, command->account, given->id, given->address);
}

/* Who has the address on the channel's network: as read, unless an earlier command of the batch has moved it.
 */
static struct channel_ref_entry *address_holder(struct overlay *overlay, const struct case_command *command,
                                                const struct channel_record *record)
{
    const char *address = command->given_channel.address;
    const struct channel_ref_entry *read =
        overlay_channel_beside(overlay, command->account, record->id, address);
    struct channel_ref_entry *at = overlay_channel_at(overlay, command->account, record->network, address);
    if (read == NULL || at == NULL)
        return NULL;
    if (!at->entry.asked) {
        at->entry.asked = true;
        at->entry.exists = read->entry.exists;
        at->channel = read->channel;
    }
    return at;
}

static bool channel_update(struct overlay *overlay, struct case_command *command, error *err)
{
    const struct channel_record *given = &command->given_channel;
    struct channel_entry *channel = overlay_channel(overlay, command->account, given->id);
    struct channel_record *record = &channel->record;
    if (!channel->entry.exists)
        return batch_not_found(err, "accounts/%s/channels/%s", command->account, given->id);
    if (!check_etag(command, record->version, err))
        return false;
    if ((command->fields & FIELD_ADDRESS) == 0 || strcmp(given->address, record->address) == 0)
        return answer_channel(overlay, command, given->id, err);
    struct channel_ref_entry *holder = address_holder(overlay, command, record);
    struct channel_ref_entry *left =
        overlay_channel_at(overlay, command->account, record->network, record->address);
    if (holder == NULL || left == NULL)
        return batch_out_of_memory(err);
    if (holder->entry.exists)
        return address_taken(given->address, err);
    holder->entry.exists = true;
    holder->channel = record->id;
    left->entry.asked = true;
    left->entry.exists = false;
    record->address = given->address;
    record->version++;
    record->update_time = overlay->now;
    channel->entry.changed = true;
    return batch_tell_resource(overlay, command, EVENT_KIND_CHANNEL_UPDATED, "channels", given->id,
                               FIELD_ADDRESS, err) &&
           answer_channel(overlay, command, given->id, err);
}

const struct method_ops channel_create_ops = {channel_create_gather, channel_create};
const struct method_ops channel_update_ops = {channel_update_gather, channel_update};

/* --- contacts ---------------------------------------------------------------------------------------------
 */

static bool take_addresses(struct overlay *overlay, const struct case_command *command, const char *contact,
                           const struct address_keys *addresses, error *err)
{
    for (size_t i = 0; i < addresses->count; i++) {
        struct address_entry *address = overlay_address(
            overlay, command->account, addresses->items[i].network, addresses->items[i].address);
        if (address == NULL)
            return batch_out_of_memory(err);
        address->entry.asked = address->entry.exists = address->entry.changed = true;
        address->contact = contact;
    }
    return true;
}

bool batch_insert_contact(struct overlay *overlay, const struct case_command *command,
                          const struct contact_record *record, const struct address_keys *addresses,
                          error *err)
{
    struct contact_entry *contact = overlay_contact(overlay, command->account, record->id);
    if (contact == NULL)
        return batch_out_of_memory(err);
    contact->record = *record;
    contact->record.account = command->account;
    contact->record.version = 1;
    contact->record.create_time = contact->record.update_time = overlay->now;
    contact->entry.asked = contact->entry.exists = contact->entry.inserted = true;
    return take_addresses(overlay, command, record->id, addresses, err) &&
           batch_tell_resource(overlay, command, EVENT_KIND_CONTACT_CREATED, "contacts", record->id, 0, err);
}

static bool answer_contact(struct overlay *overlay, struct case_command *command, const char *id, error *err)
{
    const struct contact_entry *contact = overlay_contact(overlay, command->account, id);
    command->answer.contact = snapshot(overlay, &contact->record, sizeof contact->record, err);
    return command->answer.contact != NULL;
}

static void contact_gather(struct overlay *overlay, const struct case_command *command)
{
    const struct address_keys *addresses = &command->given_contact.addresses;
    if (command->given_contact.contact.id[0] != '\0')
        overlay_contact(overlay, command->account, command->given_contact.contact.id);
    for (size_t i = 0; i < addresses->count; i++)
        overlay_address(overlay, command->account, addresses->items[i].network, addresses->items[i].address);
}

/* No address may be another contact's. */
static bool check_addresses(struct overlay *overlay, const struct case_command *command, const char *id,
                            error *err)
{
    const struct address_keys *addresses = &command->given_contact.addresses;
    for (size_t i = 0; i < addresses->count; i++) {
        const struct address_entry *address = overlay_address(
            overlay, command->account, addresses->items[i].network, addresses->items[i].address);
        if (address == NULL)
            return batch_out_of_memory(err);
        if (address->entry.exists && strcmp(address->contact, id) != 0)
            return address_taken(addresses->items[i].address, err);
    }
    return true;
}

static bool contact_create(struct overlay *overlay, struct case_command *command, error *err)
{
    struct contact_record record = command->given_contact.contact;
    if (record.id[0] == '\0')
        record.id = batch_new_id(overlay->memory);
    if (record.id == NULL)
        return batch_out_of_memory(err);
    const struct contact_entry *contact = overlay_contact(overlay, command->account, record.id);
    if (contact != NULL && contact->entry.exists)
        return already_exists(command->account, "contacts", record.id, err);
    return check_addresses(overlay, command, record.id, err) &&
           batch_insert_contact(overlay, command, &record, &command->given_contact.addresses, err) &&
           answer_contact(overlay, command, record.id, err);
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

static bool give_up_address(struct overlay *overlay, const struct case_command *command, const char *network,
                            const char *given, error *err)
{
    char *key = case_address_key(overlay->memory, network, given);
    struct address_entry *address =
        key == NULL ? NULL : overlay_address(overlay, command->account, network, key);
    if (address == NULL)
        return batch_out_of_memory(err);
    if (!address->entry.asked) /* it is the contact's: so it is stored */
        address->entry.asked = address->was_stored = true;
    address->entry.exists = false;
    address->entry.changed = true;
    return true;
}

/* Takes the addresses of the changed fields away from the contact; those that stay are given back afterwards.
 */
static bool give_up_addresses(struct overlay *overlay, const struct case_command *command,
                              const struct contact_record *record, unsigned changed, error *err)
{
    for (size_t i = 0; (changed & FIELD_EMAILS) != 0 && i < record->emails.count; i++) {
        if (!give_up_address(overlay, command, "email", record->emails.items[i], err))
            return false;
    }
    for (size_t i = 0; (changed & FIELD_PHONES) != 0 && i < record->phones.count; i++) {
        if (!give_up_address(overlay, command, "phone", record->phones.items[i], err))
            return false;
    }
    for (size_t i = 0; (changed & FIELD_HANDLES) != 0 && i + 1 < record->handles.count; i += 2) {
        if (!give_up_address(overlay, command, record->handles.items[i], record->handles.items[i + 1], err))
            return false;
    }
    return true;
}

static void set_contact(struct contact_record *record, const struct contact_record *given, unsigned changed)
{
    if ((changed & FIELD_DISPLAY_NAME) != 0)
        record->display_name = given->display_name;
    if ((changed & FIELD_NOTE) != 0)
        record->note = given->note;
    if ((changed & FIELD_EMAILS) != 0)
        record->emails = given->emails;
    if ((changed & FIELD_PHONES) != 0)
        record->phones = given->phones;
    if ((changed & FIELD_HANDLES) != 0)
        record->handles = given->handles;
}

static bool contact_update(struct overlay *overlay, struct case_command *command, error *err)
{
    const struct contact_record *given = &command->given_contact.contact;
    struct contact_entry *contact = overlay_contact(overlay, command->account, given->id);
    struct contact_record *record = &contact->record;
    if (!contact->entry.exists)
        return batch_not_found(err, "accounts/%s/contacts/%s", command->account, given->id);
    if (record->erase_time != 0)
        return error_set(err, STATUS_FAILED_PRECONDITION, "CONTACT_ERASED", "contact %s was erased",
                         given->id);
    if (!check_etag(command, record->version, err) || !check_addresses(overlay, command, given->id, err))
        return false;
    unsigned changed = command->fields &
                       (field_if(FIELD_DISPLAY_NAME, strcmp(given->display_name, record->display_name) != 0) |
                        field_if(FIELD_NOTE, strcmp(given->note, record->note) != 0) |
                        field_if(FIELD_EMAILS, !lists_equal(&given->emails, &record->emails)) |
                        field_if(FIELD_PHONES, !lists_equal(&given->phones, &record->phones)) |
                        field_if(FIELD_HANDLES, !lists_equal(&given->handles, &record->handles)));
    if (changed == 0)
        return answer_contact(overlay, command, given->id, err);
    if (!give_up_addresses(overlay, command, record, changed, err))
        return false;
    set_contact(record, given, changed);
    record->version++;
    record->update_time = overlay->now;
    contact->entry.changed = true;
    return take_addresses(overlay, command, given->id, &command->given_contact.addresses, err) &&
           batch_tell_resource(overlay, command, EVENT_KIND_CONTACT_UPDATED, "contacts", given->id, changed,
                               err) &&
           answer_contact(overlay, command, given->id, err);
}

const struct method_ops contact_create_ops = {contact_gather, contact_create};
const struct method_ops contact_update_ops = {contact_gather, contact_update};
