#include "case/case_wire.h"

#include "rpc/status_details.h"
#include "rpc/wire.h"

#include <inttypes.h>

/* Gathers what could not be allocated, so that a message is checked once, at its end. */
struct maker {
    arena *memory;
    const char *account;
    bool failed;
};

static void *checked(struct maker *m, void *allocated)
{
    if (!allocated)
        m->failed = true;
    return allocated;
}

/* The contract's strings are char *, though nobody writes to them. */
static char *text(const char *record_text)
{
    return (char *)(uintptr_t)record_text;
}

static char *name(struct maker *m, const char *collection, const char *id)
{
    return checked(m, case_wire_name(m->memory, m->account, collection, id));
}

static char *etag(struct maker *m, int64_t version)
{
    return checked(m, case_wire_etag(m->memory, version));
}

static Google__Protobuf__Timestamp *timestamp(struct maker *m, int64_t time_us)
{
    return time_us ? checked(m, wire_timestamp(m->memory, time_us)) : NULL;
}

char *case_wire_name(arena *memory, const char *account, const char *collection, const char *id)
{
    return *id ? arena_printf(memory, "accounts/%s/%s/%s", account, collection, id)
               : arena_strdup(memory, "");
}

char *case_wire_case_name(arena *memory, const char *account, int64_t id)
{
    return id ? arena_printf(memory, "accounts/%s/cases/%" PRId64, account, id) : arena_strdup(memory, "");
}

char *case_wire_etag(arena *memory, int64_t version)
{
    return arena_printf(memory, "%" PRId64, version);
}

Google__Rpc__Status *case_wire_status(arena *memory, const error *err)
{
    unsigned char data[STATUS_DETAILS_SIZE];
    size_t length = status_details_encode(err, data);
    ProtobufCMessage *status;
    if (length > 0)
        return wire_unpack(&google__rpc__status__descriptor, data, length, memory, &status, NULL)
                   ? (Google__Rpc__Status *)status
                   : NULL;
    Google__Rpc__Status *plain = arena_alloc(memory, sizeof *plain);
    if (!plain)
        return NULL;
    google__rpc__status__init(plain);
    plain->code = (int32_t)err->code;
    plain->message = arena_strdup(memory, err->message);
    return plain->message ? plain : NULL;
}

Casework__Cases__V1__Account *account_wire(arena *memory, const struct account_record *record)
{
    struct maker m = {.memory = memory, .account = record->id};
    Casework__Cases__V1__Account *out = arena_alloc(memory, sizeof *out);
    if (!out)
        return NULL;
    casework__cases__v1__account__init(out);
    out->name = checked(&m, arena_printf(memory, "accounts/%s", record->id));
    out->display_name = text(record->display_name);
    out->time_zone = text(record->time_zone);
    out->reopen_resolved_on_customer_message = record->reopen_resolved;
    out->report_lock_days = record->report_lock_days;
    out->session_grace_duration = checked(&m, wire_duration(memory, record->session_grace_us));
    out->create_time = timestamp(&m, record->create_time);
    out->update_time = timestamp(&m, record->update_time);
    out->etag = etag(&m, record->version);
    return m.failed ? NULL : out;
}

Casework__Cases__V1__Agent *agent_wire(arena *memory, const struct agent_record *record)
{
    struct maker m = {.memory = memory, .account = record->account};
    Casework__Cases__V1__Agent *out = arena_alloc(memory, sizeof *out);
    if (!out)
        return NULL;
    casework__cases__v1__agent__init(out);
    out->name = name(&m, "agents", record->id);
    out->display_name = text(record->display_name);
    out->email = text(record->email);
    out->role = (Casework__Cases__V1__AgentRole)record->role;
    out->disabled = record->disabled;
    out->create_time = timestamp(&m, record->create_time);
    out->update_time = timestamp(&m, record->update_time);
    out->etag = etag(&m, record->version);
    return m.failed ? NULL : out;
}

static void contact_handles(struct maker *m, const struct contact_record *record,
                            Casework__Cases__V1__Contact *out)
{
    size_t count = record->handles.count / 2;
    Casework__Cases__V1__ContactHandle *members =
        checked(m, arena_calloc(m->memory, count + 1, sizeof *members));
    out->handles = checked(m, arena_calloc(m->memory, count + 1, sizeof(void *)));
    if (m->failed)
        return;
    for (size_t i = 0; i < count; i++) {
        casework__cases__v1__contact_handle__init(&members[i]);
        members[i].network = text(record->handles.items[2 * i]);
        members[i].address = text(record->handles.items[2 * i + 1]);
        out->handles[i] = &members[i];
    }
    out->n_handles = count;
}

Casework__Cases__V1__Contact *contact_wire(arena *memory, const struct contact_record *record)
{
    struct maker m = {.memory = memory, .account = record->account};
    Casework__Cases__V1__Contact *out = arena_alloc(memory, sizeof *out);
    if (!out)
        return NULL;
    casework__cases__v1__contact__init(out);
    out->name = name(&m, "contacts", record->id);
    out->display_name = text(record->display_name);
    out->emails = (char **)(uintptr_t)record->emails.items;
    out->n_emails = record->emails.count;
    out->phones = (char **)(uintptr_t)record->phones.items;
    out->n_phones = record->phones.count;
    out->note = text(record->note);
    contact_handles(&m, record, out);
    out->create_time = timestamp(&m, record->create_time);
    out->update_time = timestamp(&m, record->update_time);
    out->erase_time = timestamp(&m, record->erase_time);
    out->etag = etag(&m, record->version);
    return m.failed ? NULL : out;
}

Casework__Cases__V1__Channel *channel_wire(arena *memory, const struct channel_record *record)
{
    struct maker m = {.memory = memory, .account = record->account};
    Casework__Cases__V1__Channel *out = arena_alloc(memory, sizeof *out);
    if (!out)
        return NULL;
    casework__cases__v1__channel__init(out);
    out->name = name(&m, "channels", record->id);
    out->network = text(record->network);
    out->address = text(record->address);
    out->create_time = timestamp(&m, record->create_time);
    out->update_time = timestamp(&m, record->update_time);
    out->etag = etag(&m, record->version);
    return m.failed ? NULL : out;
}

static void case_lists(struct maker *m, const struct case_record *record, Casework__Cases__V1__Case *out)
{
    out->labels = (char **)(uintptr_t)record->labels.items;
    out->n_labels = record->labels.count;
    out->involved_agents = checked(m, arena_calloc(m->memory, record->involved.count + 1, sizeof(char *)));
    for (size_t i = 0; out->involved_agents && i < record->involved.count; i++)
        out->involved_agents[out->n_involved_agents++] = name(m, "agents", record->involved.items[i]);
}

static void case_classifications(struct maker *m, const struct case_record *record,
                                 Casework__Cases__V1__Case *out)
{
    size_t count = record->classifications.count / 2;
    Casework__Cases__V1__Classification *members =
        checked(m, arena_calloc(m->memory, count + 1, sizeof *members));
    out->classifications = checked(m, arena_calloc(m->memory, count + 1, sizeof(void *)));
    if (m->failed)
        return;
    for (size_t i = 0; i < count; i++) {
        casework__cases__v1__classification__init(&members[i]);
        members[i].group = text(record->classifications.items[2 * i]);
        members[i].value = text(record->classifications.items[2 * i + 1]);
        out->classifications[i] = &members[i];
    }
    out->n_classifications = count;
}

static void case_attributes(struct maker *m, const struct case_record *record, Casework__Cases__V1__Case *out)
{
    size_t count = record->attributes.count / 2;
    Casework__Cases__V1__Case__AttributesEntry *members =
        checked(m, arena_calloc(m->memory, count + 1, sizeof *members));
    out->attributes = checked(m, arena_calloc(m->memory, count + 1, sizeof(void *)));
    if (m->failed)
        return;
    for (size_t i = 0; i < count; i++) {
        casework__cases__v1__case__attributes_entry__init(&members[i]);
        members[i].key = text(record->attributes.items[2 * i]);
        members[i].value = text(record->attributes.items[2 * i + 1]);
        out->attributes[i] = &members[i];
    }
    out->n_attributes = count;
}

static void case_lock(struct maker *m, const struct case_record *record, Casework__Cases__V1__Case *out)
{
    if (!*record->lock_agent)
        return;
    out->lock = checked(m, arena_alloc(m->memory, sizeof *out->lock));
    if (!out->lock)
        return;
    casework__cases__v1__lock__init(out->lock);
    out->lock->agent = name(m, "agents", record->lock_agent);
    out->lock->token = record->lock_token;
    out->lock->acquire_time = timestamp(m, record->lock_time);
}

static void case_times(struct maker *m, const struct case_record *record, Casework__Cases__V1__Case *out)
{
    out->create_time = timestamp(m, record->create_time);
    out->update_time = timestamp(m, record->update_time);
    out->open_time = timestamp(m, record->open_time);
    out->resolve_time = timestamp(m, record->resolve_time);
    out->close_time = timestamp(m, record->close_time);
    out->delete_time = timestamp(m, record->delete_time);
    out->first_reply_time = timestamp(m, record->first_reply_time);
}

Casework__Cases__V1__Case *case_wire(arena *memory, const struct case_record *record)
{
    struct maker m = {.memory = memory, .account = record->account};
    Casework__Cases__V1__Case *out = arena_alloc(memory, sizeof *out);
    if (!out)
        return NULL;
    casework__cases__v1__case__init(out);
    out->name = checked(&m, case_wire_case_name(memory, record->account, record->id));
    out->subject = text(record->subject);
    out->status = (Casework__Cases__V1__CaseStatus)record->status;
    out->owner = name(&m, "agents", record->owner);
    out->contact = name(&m, "contacts", record->contact);
    out->channel = name(&m, "channels", record->channel);
    out->priority = record->priority;
    out->need_reply = record->need_reply;
    out->message_count = record->message_count;
    out->version = record->version;
    out->change_version = record->change_version;
    out->activity_version = record->activity_version;
    out->etag = etag(&m, record->version);
    out->merged_into = checked(&m, case_wire_case_name(memory, record->account, record->merged_into));
    out->external_id = text(record->external_id);
    case_lists(&m, record, out);
    case_classifications(&m, record, out);
    case_attributes(&m, record, out);
    case_lock(&m, record, out);
    case_times(&m, record, out);
    return m.failed ? NULL : out;
}

static void message_attachments(struct maker *m, const struct message_record *record,
                                Casework__Cases__V1__Message *out)
{
    size_t count = record->attachment_count;
    Casework__Cases__V1__Attachment *members =
        checked(m, arena_calloc(m->memory, count + 1, sizeof *members));
    out->attachments = checked(m, arena_calloc(m->memory, count + 1, sizeof(void *)));
    if (m->failed)
        return;
    for (size_t i = 0; i < count; i++) {
        casework__cases__v1__attachment__init(&members[i]);
        members[i].file_name = text(record->attachments[i].file_name);
        members[i].content_type = text(record->attachments[i].content_type);
        members[i].size = record->attachments[i].size;
        members[i].uri = text(record->attachments[i].uri);
        out->attachments[i] = &members[i];
    }
    out->n_attachments = count;
}

Casework__Cases__V1__Message *message_wire(arena *memory, const struct message_record *record)
{
    struct maker m = {.memory = memory, .account = record->account};
    Casework__Cases__V1__Message *out = arena_alloc(memory, sizeof *out);
    if (!out)
        return NULL;
    casework__cases__v1__message__init(out);
    out->name = checked(&m, arena_printf(memory, "accounts/%s/cases/%" PRId64 "/messages/%" PRId32,
                                         record->account, record->case_id, record->number));
    out->number = record->number;
    out->kind = (Casework__Cases__V1__MessageKind)record->kind;
    out->automatic = record->automatic;
    out->author = text(record->author);
    out->body = text(record->body);
    out->send_time = timestamp(&m, record->send_time);
    out->create_time = timestamp(&m, record->create_time);
    out->state = (Casework__Cases__V1__MessageState)record->state;
    out->redacted = record->redacted;
    out->external_id = text(record->external_id);
    out->delivery = (Casework__Cases__V1__Delivery)record->delivery;
    out->third_party = text(record->third_party);
    out->delivery_failure = text(record->delivery_failure);
    out->merged_from = checked(&m, case_wire_case_name(memory, record->account, record->merged_from));
    message_attachments(&m, record, out);
    return m.failed ? NULL : out;
}
