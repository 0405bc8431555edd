#include "case/case_write.h"

#include "case/case_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static bool is_service(const struct rpc_caller *caller)
{
    return caller->role == RPC_ROLE_SERVICE || caller->role == RPC_ROLE_NONE;
}

struct actor case_write_actor(const rpc_call *call)
{
    const struct rpc_caller *caller = rpc_call_caller(call);
    if (caller->agent[0] != '\0') {
        return (struct actor){
            .kind = ACTOR_KIND_AGENT,
            .id = caller->agent,
            .via = is_service(caller) ? caller->subject : "",
            .session = caller->session,
        };
    }
    enum actor_kind kind = caller->role == RPC_ROLE_CONNECTOR ? ACTOR_KIND_CONNECTOR : ACTOR_KIND_SERVICE;
    return (struct actor){.kind = kind, .id = caller->subject, .via = "", .session = caller->session};
}

static bool is_about_contact(enum case_method method)
{
    return method == CASE_METHOD_CREATE_CONTACT || method == CASE_METHOD_UPDATE_CONTACT;
}

/* What only admins may do: an agent's token does not get this far, a service that acts for an agent does. */
static bool needs_admin(const struct actor *actor, const rpc_call *call, enum case_method method)
{
    bool erases = method == CASE_METHOD_REDACT_MESSAGE || method == CASE_METHOD_ERASE_CONTACT;
    return actor->kind == ACTOR_KIND_AGENT && rpc_call_caller(call)->role != RPC_ROLE_ADMIN &&
           ((method < CASE_METHOD_CREATE_CASE && !is_about_contact(method)) || erases);
}

struct case_write *case_write_begin(rpc_call *call, enum case_method method, const char *account, error *err)
{
    arena *memory = rpc_call_arena(call);
    struct case_write *write = arena_calloc(memory, 1, sizeof *write);
    if (write == NULL) {
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the request needs too much memory");
        return NULL;
    }
    write->call = call;
    write->memory = memory;
    case_command_init(&write->command, method, account);
    write->command.actor = case_write_actor(call);
    /* A contact is written by whom a token says to be an agent; where none does, the agent's record has to.
     */
    write->command.agent_must_exist =
        method >= CASE_METHOD_CREATE_CASE || (is_about_contact(method) && is_service(rpc_call_caller(call)));
    write->command.needs_admin = needs_admin(&write->command.actor, call, method);
    int64_t deadline = rpc_call_deadline_us(call);
    write->command.lane.deadline_us = deadline == INT64_MAX ? 0 : deadline;
    return write;
}

/* --- request ids ------------------------------------------------------------------------------------------
 */

struct hash_buffer {
    ProtobufCBuffer base;
    XXH3_state_t *state;
};

static void hash_append(ProtobufCBuffer *buffer, size_t length, const uint8_t *data)
{
    XXH3_128bits_update(((struct hash_buffer *)buffer)->state, data, length);
}

static char **request_id_of(const ProtobufCMessage *request)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(request->descriptor, "request_id");
    return field == NULL ? NULL : (char **)((char *)(uintptr_t)request + field->offset);
}

/* Method, caller and everything in the request but its id: what makes a request the same. */
static bool fingerprint(struct case_command *command, const ProtobufCMessage *request, char **request_id,
                        error *err)
{
    XXH3_state_t *state = XXH3_createState();
    if (state == NULL)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, request->descriptor->name, strlen(request->descriptor->name) + 1);
    XXH3_128bits_update(state, command->actor.id, strlen(command->actor.id) + 1);
    XXH3_128bits_update(state, &command->actor.kind, sizeof command->actor.kind);
    struct hash_buffer buffer = {.base.append = hash_append, .state = state};
    char *id = *request_id;
    *request_id = (char *)protobuf_c_empty_string;
    protobuf_c_message_pack_to_buffer(request, &buffer.base);
    *request_id = id;
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(state));
    memcpy(command->fingerprint, digest.digest, sizeof command->fingerprint);
    XXH3_freeState(state);
    return true;
}

static bool take_request_id(struct case_command *command, const ProtobufCMessage *request, error *err)
{
    char **request_id = request_id_of(request);
    if (request_id == NULL || *request_id == NULL || **request_id == '\0')
        return true;
    if (!check_text(*request_id, CASE_REQUEST_ID_MAX, "request_id", err))
        return false;
    command->request_id = *request_id;
    return fingerprint(command, request, request_id, err);
}

/* --- the way through the lane ------------------------------------------------------------------------------
 */

/* Puts `value` of `size` bytes into the field of that name, if the message has it. */
static void put(ProtobufCMessage *message, const char *name, const void *value, size_t size)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
    if (field != NULL)
        memcpy((char *)message + field->offset, value, size);
}

/* A message field; `made` NULL: the arena is full. */
static bool put_message(ProtobufCMessage *message, const char *name, const void *made)
{
    put(message, name, &made, sizeof made);
    return made != NULL;
}

static bool put_answer(ProtobufCMessage *response, arena *memory, const struct case_answer *answer)
{
    protobuf_c_boolean created = answer->created;
    put(response, "position", &answer->position, sizeof answer->position);
    put(response, "case_created", &created, sizeof created);
    protobuf_c_boolean recorded = answer->recorded;
    put(response, "recorded", &recorded, sizeof recorded);
    return (answer->account == NULL ||
            put_message(response, "account", account_wire(memory, answer->account))) &&
           (answer->agent == NULL || put_message(response, "agent", agent_wire(memory, answer->agent))) &&
           (answer->contact == NULL ||
            put_message(response, "contact", contact_wire(memory, answer->contact))) &&
           (answer->channel == NULL ||
            put_message(response, "channel", channel_wire(memory, answer->channel))) &&
           (answer->record == NULL || put_message(response, "case", case_wire(memory, answer->record))) &&
           (answer->source == NULL || put_message(response, "source", case_wire(memory, answer->source))) &&
           (answer->message == NULL ||
            put_message(response, "message", message_wire(memory, answer->message)));
}

/* Packs the response into the call's arena. */
static void prepare(struct case_command *command)
{
    struct case_write *write = (struct case_write *)command;
    write->packed = NULL;
    ProtobufCMessage *response = arena_calloc(write->memory, 1, write->response->sizeof_message);
    if (response == NULL)
        return;
    protobuf_c_message_init(write->response, response);
    if (!put_answer(response, write->memory, &command->answer) ||
        (write->fill != NULL && !write->fill(write, response)))
        return;
    write->packed_size = protobuf_c_message_get_packed_size(response);
    write->packed = arena_alloc(write->memory, write->packed_size + 1);
    if (write->packed != NULL)
        protobuf_c_message_pack(response, write->packed);
}

static void done(struct pg_command *lane)
{
    struct case_write *write = (struct case_write *)lane;
    if (lane->outcome.code != STATUS_OK)
        rpc_call_fail(write->call, &lane->outcome);
    else if (write->packed == NULL)
        rpc_call_fail_memory(write->call);
    else
        rpc_call_reply_packed(write->call, write->packed, write->packed_size);
}

void case_write_submit(struct case_write *write, void *context, const ProtobufCMessage *request,
                       const ProtobufCMessageDescriptor *response)
{
    const struct case_writer *writer = context;
    rpc_call *call = write->call;
    error err = {0};
    write->response = response;
    write->command.prepare = prepare;
    write->command.lane.done = done;
    if (!take_request_id(&write->command, request, &err) ||
        !pg_lanes_submit(writer->lanes, &write->command.lane, &err))
        rpc_call_fail(call, &err);
}

void case_write_run(rpc_call *call, const ProtobufCMessage *request, void *context, case_write_maker *make,
                    const ProtobufCMessageDescriptor *response)
{
    error err = {0};
    struct case_write *write = NULL;
    if (make(call, request, &write, &err))
        case_write_submit(write, context, request, response);
    else
        rpc_call_fail(call, &err);
}

/* --- checks -----------------------------------------------------------------------------------------------
 */

bool check_text(const char *text, size_t maximum, const char *field, error *err)
{
    return strlen(text) <= maximum || error_bad_field(err, field, "is longer than %zu bytes", maximum);
}

bool check_required(const char *text, size_t maximum, const char *field, error *err)
{
    if (text[0] == '\0')
        return error_bad_field(err, field, "is required");
    return check_text(text, maximum, field, err);
}

static bool is_id_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool check_lower(const char *text, size_t maximum, const char *field, error *err)
{
    if (!check_required(text, maximum, field, err))
        return false;
    for (const char *p = text; *p != '\0'; p++) {
        if (!is_id_character(*p))
            return error_bad_field(err, field, "may have lower case letters, digits and . _ - only");
    }
    return true;
}

bool check_id(const char *id, const char *field, error *err)
{
    enum { ID_MAX = 63 };
    if (id[0] == '\0')
        return true;
    if (id[0] == '.' || id[0] == '_' || id[0] == '-')
        return error_bad_field(err, field, "must begin with a lower case letter or a digit");
    return check_lower(id, ID_MAX, field, err);
}

bool parse_etag(const char *etag, int64_t *ret_version)
{
    *ret_version = 0;
    if (etag[0] == '\0')
        return true;
    char *end = NULL;
    errno = 0;
    int64_t version = strtoll(etag, &end, 10);
    /* An etag is opaque: only what was given out is one, no other way to write the number. */
    bool given_out = etag[0] >= '1' && etag[0] <= '9' && *end == '\0' && errno == 0;
    *ret_version = given_out ? version : -1;
    return true;
}

bool check_mask(const Google__Protobuf__FieldMask *mask, error *err)
{
    for (size_t i = 0; mask != NULL && mask->n_paths > 1 && i < mask->n_paths; i++) {
        if (strcmp(mask->paths[i], "*") == 0)
            return error_bad_field(err, "update_mask", "* stands for everything and must be alone");
    }
    return true;
}

bool read_mask(const Google__Protobuf__FieldMask *mask, const struct mask_field *fields, unsigned *ret_fields,
               error *err)
{
    if (!check_mask(mask, err))
        return false;
    unsigned chosen = 0;
    bool absent = mask == NULL || mask->n_paths == 0;
    for (const struct mask_field *field = fields; field->path != NULL; field++) {
        if (absent && field->set)
            chosen |= field->field;
    }
    for (size_t i = 0; !absent && i < mask->n_paths; i++) {
        unsigned found = 0;
        for (const struct mask_field *field = fields; field->path != NULL; field++) {
            if (strcmp(mask->paths[i], "*") == 0 || strcmp(mask->paths[i], field->path) == 0)
                found |= field->field;
        }
        if (found == 0)
            return error_bad_field(err, "update_mask", "%.60s is nothing that can be changed",
                                   mask->paths[i]);
        chosen |= found;
    }
    *ret_fields = chosen;
    return true;
}

struct text_list list_of(char **items, size_t count)
{
    return (struct text_list){(const char **)items, count};
}

bool check_list(const struct text_list *list, size_t count_max, size_t maximum, const char *field, error *err)
{
    if (list->count > count_max)
        return error_bad_field(err, field, "has more than %zu items", count_max);
    for (size_t i = 0; i < list->count; i++) {
        if (!check_required(list->items[i], maximum, field, err))
            return false;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(list->items[i], list->items[k]) == 0)
                return error_bad_field(err, field, "has an item twice");
        }
    }
    return true;
}
