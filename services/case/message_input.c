#include "case/message_input.h"

#include "case/case_address.h"
#include "case/case_wire.h"
#include "rpc/name.h"
#include "rpc/wire.h"

#include <string.h>

enum { FILE_NAME_MAX = 255, CONTENT_TYPE_MAX = 255, URI_MAX = 2048 };

bool time_input(const Google__Protobuf__Timestamp *wire, const char *field, int64_t *ret_time_us, error *err)
{
    if (!wire_time_us(wire, ret_time_us))
        return error_bad_field(err, field, "is no valid time");
    return wire == NULL || *ret_time_us > 0 ||
           error_bad_field(err, field, "must lie after 1970-01-01T00:00:00Z");
}

bool attachments_input(const struct case_write *write, Casework__Cases__V1__Attachment *const *wire,
                       size_t count, const struct attachment **ret_attachments, error *err)
{
    if (count > CASE_ATTACHMENTS_MAX)
        return error_bad_field(err, "attachments", "has more than %d", CASE_ATTACHMENTS_MAX);
    struct attachment *list = arena_calloc(write->memory, count + 1, sizeof *list);
    if (list == NULL)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                         "the request needs too much memory");
    for (size_t i = 0; i < count; i++) {
        if (!check_text(wire[i]->file_name, FILE_NAME_MAX, "attachments.file_name", err) ||
            !check_text(wire[i]->content_type, CONTENT_TYPE_MAX, "attachments.content_type", err) ||
            !check_text(wire[i]->uri, URI_MAX, "attachments.uri", err))
            return false;
        if (wire[i]->size < 0)
            return error_bad_field(err, "attachments.size", "is negative");
        list[i] = (struct attachment){wire[i]->file_name, wire[i]->content_type, wire[i]->uri, wire[i]->size};
    }
    *ret_attachments = list;
    return true;
}

static bool denied(const char *why, error *err)
{
    return error_set(err, STATUS_PERMISSION_DENIED, "MESSAGE_KIND_NOT_ALLOWED", "%s", why);
}

/* Connectors and services that do not act for an agent. */
static bool is_platform(const struct case_write *write)
{
    enum rpc_role role = rpc_call_caller(write->call)->role;
    return write->command.actor.kind != ACTOR_KIND_AGENT && role != RPC_ROLE_AGENT && role != RPC_ROLE_ADMIN;
}

/* Who may write what; a service that acts for an agent has the agent's rights. */
static bool check_kind(const struct case_write *write, const Casework__Cases__V1__Message *wire, error *err)
{
    bool by_agent = write->command.actor.kind == ACTOR_KIND_AGENT, by_platform = is_platform(write);
    switch ((enum message_kind)wire->kind) {
    case MESSAGE_KIND_AGENT:
        return by_agent || (by_platform && wire->automatic) || denied("only agents reply", err);
    case MESSAGE_KIND_NOTE:
        return by_agent || denied("only agents write notes", err);
    case MESSAGE_KIND_CUSTOMER:
    case MESSAGE_KIND_FROM_THIRD_PARTY:
        return by_platform || denied("only connectors and services hand in what others have written", err);
    case MESSAGE_KIND_SURVEY:
        return by_agent || by_platform || denied("only agents, connectors and services send surveys", err);
    case MESSAGE_KIND_SYSTEM:
        return (by_platform && write->command.actor.kind == ACTOR_KIND_SERVICE) ||
               denied("only the system writes system messages", err);
    case MESSAGE_KIND_TO_THIRD_PARTY:
        return denied("messages to third parties come from forwarding only", err);
    default:
        return error_bad_field(err, "message.kind", "is required");
    }
}

/* An agent's messages are its own; others may name the author. */
static bool read_author(const struct case_write *write, const char *author, struct message_record *record,
                        const char **ret_contact, error *err)
{
    const struct actor *actor = &write->command.actor;
    const char *account = write->command.account, *id = "";
    if (actor->kind == ACTOR_KIND_AGENT) {
        record->author = case_wire_name(write->memory, account, "agents", actor->id);
        return record->author != NULL || error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                                                   "the request needs too much memory");
    }
    record->author = author;
    switch (record->kind) {
    case MESSAGE_KIND_FROM_THIRD_PARTY:
        record->third_party = author;
        return address_check(author, "message.author", err);
    case MESSAGE_KIND_CUSTOMER:
        return rpc_name_member_of(write->memory, account, "contacts", author, "message.author", ret_contact,
                                  err);
    case MESSAGE_KIND_SYSTEM:
        record->author = "";
        return true;
    default:
        return rpc_name_member_of(write->memory, account, "agents", author, "message.author", &id, err);
    }
}

/* Customers, third parties and surveys may send what has no text; what agents write has some. */
static bool says_nothing(const struct message_record *message)
{
    return (message->kind == MESSAGE_KIND_AGENT || message->kind == MESSAGE_KIND_NOTE) &&
           message->body[0] == '\0' && message->attachment_count == 0;
}

bool message_input(const struct case_write *write, const Casework__Cases__V1__Message *wire, int then,
                   const char *path, struct case_act *ret_act, error *err)
{
    if (wire == NULL)
        return error_bad_field(err, path, "is required");
    struct case_act act = {.kind = CASE_ACT_ADD_MESSAGE};
    struct message_record *record = &act.add.message;
    *record = (struct message_record){
        .kind = (enum message_kind)wire->kind,
        .automatic = wire->automatic,
        .author = "",
        .third_party = "",
        .external_id = wire->external_id,
        .delivery_failure = "",
        .body = wire->body,
        .attachment_count = wire->n_attachments,
    };
    if (!check_kind(write, wire, err) || !read_author(write, wire->author, record, &act.add.contact, err) ||
        !check_text(wire->body, CASE_BODY_MAX, "message.body", err) ||
        !check_text(wire->external_id, CASE_EXTERNAL_ID_MAX, "message.external_id", err) ||
        !time_input(wire->send_time, "message.send_time", &record->send_time, err) ||
        !attachments_input(write, wire->attachments, wire->n_attachments, &record->attachments, err))
        return false;
    if (says_nothing(record))
        return error_bad_field(err, "message.body", "or attachments are required");
    if (record->send_time != 0 && !is_platform(write))
        return error_bad_field(err, "message.send_time", "is for connectors and services to give");
    if (then < AFTER_SEND_NONE || then > AFTER_SEND_RESOLVE)
        return error_bad_field(err, "then", "must be AFTER_SEND_MARK_PENDING or AFTER_SEND_RESOLVE");
    act.add.then = (enum after_send)then;
    if (then != AFTER_SEND_NONE && (record->kind != MESSAGE_KIND_AGENT || record->automatic))
        return error_bad_field(err, "then", "goes with an agent's reply only");
    *ret_act = act;
    return true;
}
