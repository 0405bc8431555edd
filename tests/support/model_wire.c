#include "tests/support/model_wire.h"

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_script.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CALL_TIMEOUT_US CLOCK_MINUTE

enum { ATTEMPTS_MAX = 500 };

/* Protobuf's text fields take no const; nobody writes to them. */
static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static const char *last_segment(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

int64_t model_wire_number(const char *name)
{
    return strstr(name, "/cases/") ? strtoll(strstr(name, "/cases/") + 7, NULL, 10) : 0;
}

/* --- requests ----------------------------------------------------------------------------------------------
 */

struct method {
    const ProtobufCServiceDescriptor *service;
    const char *name;
};

static struct method method_of(enum model_verb verb)
{
    static const char *const names[MODEL_VERBS] = {
        [MODEL_CREATE] = "CreateCase",
        [MODEL_OPEN] = "OpenCase",
        [MODEL_MARK_PENDING] = "MarkCasePending",
        [MODEL_RESOLVE] = "ResolveCase",
        [MODEL_REOPEN] = "ReopenCase",
        [MODEL_CLOSE] = "CloseCase",
        [MODEL_DELETE] = "DeleteCase",
        [MODEL_UNDELETE] = "UndeleteCase",
        [MODEL_ASSIGN] = "AssignCase",
        [MODEL_UPDATE] = "UpdateCase",
        [MODEL_CLASSIFY] = "AddClassifications",
        [MODEL_DECLASSIFY] = "RemoveClassifications",
        [MODEL_ADD_MESSAGE] = "AddMessage",
        [MODEL_SET_STATE] = "SetMessageState",
        [MODEL_SETTING] = "UpdateAccount",
        [MODEL_RECEIVE] = "ReceiveMessage",
    };
    const ProtobufCServiceDescriptor *service =
        verb == MODEL_ADD_MESSAGE || verb == MODEL_SET_STATE
            ? &casework__cases__v1__message_service__descriptor
        : verb == MODEL_SETTING ? &casework__cases__v1__account_service__descriptor
        : verb == MODEL_RECEIVE ? &casework__cases__v1__connector_service__descriptor
                                : &casework__cases__v1__case_service__descriptor;
    return (struct method){service, names[verb]};
}

/* The place of a field, found by its name; NULL: the message has none. */
static void *field(const ProtobufCMessage *message, const char *name)
{
    const ProtobufCFieldDescriptor *found =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
    return found ? (char *)(uintptr_t)message + found->offset : NULL;
}

static void set_text(ProtobufCMessage *message, const char *name, const char *value)
{
    char **place = field(message, name);
    if (place)
        *place = text(value);
}

static void *new_message(arena *memory, const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = arena_alloc(memory, type->sizeof_message);
    if (!message)
        abort();
    protobuf_c_message_init(type, message);
    return message;
}

static char **texts_of(arena *memory, const struct model_list *list, const char *const *all)
{
    char **texts = arena_calloc(memory, MODEL_LIST_MAX, sizeof(char *));
    for (int i = 0; i < list->count; i++)
        texts[i] = text(all[list->items[i]]);
    return texts;
}

static Casework__Cases__V1__Classification **class_list(arena *memory, const struct model_list *list)
{
    Casework__Cases__V1__Classification **all = arena_calloc(memory, MODEL_LIST_MAX, sizeof(void *));
    for (int i = 0; i < list->count; i++) {
        all[i] = new_message(memory, &casework__cases__v1__classification__descriptor);
        all[i]->group = text(script_classes[list->items[i]][0]);
        all[i]->value = text(script_classes[list->items[i]][1]);
    }
    return all;
}

static void set_attributes(arena *memory, const uint8_t *attributes, Casework__Cases__V1__Case *wire)
{
    wire->attributes = arena_calloc(memory, MODEL_ATTRIBUTES, sizeof(void *));
    for (int i = 0; i < MODEL_ATTRIBUTES; i++) {
        if (!attributes[i])
            continue;
        Casework__Cases__V1__Case__AttributesEntry *entry =
            new_message(memory, &casework__cases__v1__case__attributes_entry__descriptor);
        entry->key = text(script_keys[i]);
        entry->value = text(script_values[attributes[i]]);
        wire->attributes[wire->n_attributes++] = entry;
    }
}

static const char *external_id(arena *memory, int id)
{
    return id ? arena_printf(memory, "x%d", id) : "";
}

static const char *body_text(arena *memory, int body)
{
    return arena_printf(memory, "text %d", body);
}

static Casework__Cases__V1__Message *message_of(arena *memory, const struct model_command *command)
{
    Casework__Cases__V1__Message *message = new_message(memory, &casework__cases__v1__message__descriptor);
    message->kind = (Casework__Cases__V1__MessageKind)command->kind;
    message->automatic = command->automatic;
    message->body = text(body_text(memory, command->body));
    message->external_id = text(external_id(memory, command->external_id));
    if (command->kind == MESSAGE_KIND_FROM_THIRD_PARTY)
        message->author = text("lab@example.org");
    if (command->sent)
        message->send_time = wire_timestamp(memory, command->sent);
    return message;
}

static Casework__Cases__V1__Case *case_of(arena *memory, const char *account,
                                          const struct model_command *command)
{
    Casework__Cases__V1__Case *wire = new_message(memory, &casework__cases__v1__case__descriptor);
    wire->subject = text(script_subject(command->subject));
    wire->n_labels = command->labels.count;
    wire->labels = texts_of(memory, &command->labels, script_labels);
    wire->priority = command->priority;
    set_attributes(memory, command->attributes, wire);
    if (command->verb == MODEL_UPDATE)
        return wire;
    wire->n_classifications = command->classes.count;
    wire->classifications = class_list(memory, &command->classes);
    wire->owner = command->owner ? arena_printf(memory, "%s/agents/a%d", account, command->owner) : text("");
    wire->contact = arena_printf(memory, "%s/contacts/c%d", account, command->contact);
    wire->channel = arena_printf(memory, "%s/channels/%s", account, script_channels[command->channel]);
    return wire;
}

static Google__Protobuf__FieldMask *mask_of(arena *memory, const char *const *paths, size_t count)
{
    Google__Protobuf__FieldMask *mask = new_message(memory, &google__protobuf__field_mask__descriptor);
    mask->paths = arena_calloc(memory, count + 1, sizeof(char *));
    for (size_t i = 0; i < count; i++)
        mask->paths[mask->n_paths++] = text(paths[i]);
    return mask;
}

static void fill_update(Casework__Cases__V1__UpdateCaseRequest *request, const char *account,
                        const struct model_command *command, const char *name, const char *etag,
                        arena *memory)
{
    static const char *const fields[] = {"subject", "labels", "priority", "attributes"};
    const char *paths[4];
    size_t count = 0;
    for (int i = 0; i < 4; i++) {
        if (command->fields & (1u << i))
            paths[count++] = fields[i];
    }
    request->case_ = case_of(memory, account, command);
    request->case_->name = text(name);
    request->case_->etag = text(etag);
    request->update_mask = mask_of(memory, paths, count);
}

static void fill_receive(Casework__Cases__V1__ReceiveMessageRequest *request, const char *account,
                         const struct model_command *command, arena *memory)
{
    request->parent = arena_printf(memory, "%s/channels/%s", account, script_channels[command->channel]);
    /* Addresses are found caselessly. */
    request->sender_address =
        arena_printf(memory, command->body % 2 ? "c%d@example.net" : "C%d@Example.NET", command->contact);
    request->subject = text(script_subject(command->subject));
    request->body = text(body_text(memory, command->body));
    request->external_id = text(external_id(memory, command->external_id));
    request->automatic = command->automatic;
    if (command->sent)
        request->send_time = wire_timestamp(memory, command->sent);
}

static void fill_close(Casework__Cases__V1__CloseCaseRequest *request, const struct model_command *command,
                       arena *memory)
{
    request->rule = (Casework__Cases__V1__DueRule)command->rule;
    request->basis_version = command->basis_version;
    request->due_time = wire_timestamp(memory, command->due_time);
}

static void fill_setting(Casework__Cases__V1__UpdateAccountRequest *request, const char *account,
                         const struct model_command *command, arena *memory)
{
    static const char *const path[] = {"reopen_resolved_on_customer_message"};
    request->account = new_message(memory, &casework__cases__v1__account__descriptor);
    request->account->name = text(account);
    request->account->reopen_resolved_on_customer_message = command->setting;
    request->update_mask = mask_of(memory, path, 1);
}

static void fill_classes(ProtobufCMessage *request, const struct model_command *command, arena *memory)
{
    /* AddClassifications and RemoveClassifications are asked alike. */
    Casework__Cases__V1__AddClassificationsRequest *add = (void *)request;
    add->n_classifications = command->classes.count;
    add->classifications = class_list(memory, &command->classes);
}

static void *request_of(const ProtobufCMessageDescriptor *type, const char *account,
                        const struct model_command *command, const char *etag, arena *memory)
{
    ProtobufCMessage *request = new_message(memory, type);
    const char *name = arena_printf(memory, "%s/cases/%" PRId64, account, command->number);
    set_text(request, "name", name);
    set_text(request, "parent", command->verb == MODEL_CREATE ? account : name);
    set_text(request, "etag", etag);
    if (command->request_id)
        set_text(request, "request_id", arena_printf(memory, "r%d", command->request_id));
    switch (command->verb) {
    case MODEL_CREATE:
        ((Casework__Cases__V1__CreateCaseRequest *)request)->case_ = case_of(memory, account, command);
        if (command->has_message)
            ((Casework__Cases__V1__CreateCaseRequest *)request)->first_message = message_of(memory, command);
        break;
    case MODEL_ASSIGN:
        set_text(request, "owner",
                 command->owner ? arena_printf(memory, "%s/agents/a%d", account, command->owner) : "");
        break;
    case MODEL_UPDATE:
        fill_update((void *)request, account, command, name, etag, memory);
        break;
    case MODEL_CLASSIFY:
    case MODEL_DECLASSIFY:
        fill_classes(request, command, memory);
        break;
    case MODEL_CLOSE:
        fill_close((void *)request, command, memory);
        break;
    case MODEL_ADD_MESSAGE:
        ((Casework__Cases__V1__AddMessageRequest *)request)->message = message_of(memory, command);
        ((Casework__Cases__V1__AddMessageRequest *)request)->then =
            (Casework__Cases__V1__AfterSend)command->then;
        break;
    case MODEL_SET_STATE:
        set_text(request, "name", arena_printf(memory, "%s/messages/%d", name, command->message));
        ((Casework__Cases__V1__SetMessageStateRequest *)request)->state =
            (Casework__Cases__V1__MessageState)command->state;
        break;
    case MODEL_SETTING:
        fill_setting((void *)request, account, command, memory);
        break;
    case MODEL_RECEIVE:
        fill_receive((void *)request, account, command, memory);
        break;
    default:
        break;
    }
    return request;
}

/* --- answers -----------------------------------------------------------------------------------------------
 */

static int64_t time_of(const Google__Protobuf__Timestamp *wire)
{
    int64_t time_us = 0;
    if (wire && !wire_time_us(wire, &time_us))
        abort();
    return time_us;
}

static int number_of(const char *digits)
{
    return (int)strtol(digits, NULL, 10);
}

static int agent_of(const char *name)
{
    return script_place(last_segment(name), script_agents, MODEL_AGENTS + 1);
}

static void see_tags(char *const *wire_labels, size_t label_count,
                     Casework__Cases__V1__Classification *const *wire_classes, size_t class_count,
                     char *const *involved, size_t involved_count, struct model_facts *facts)
{
    for (size_t i = 0; i < label_count && i < MODEL_LIST_MAX; i++)
        facts->labels.items[facts->labels.count++] =
            (uint8_t)script_place(wire_labels[i], script_labels, MODEL_LABELS + 1);
    for (size_t i = 0; i < involved_count && i < MODEL_LIST_MAX; i++)
        facts->involved.items[facts->involved.count++] = (uint8_t)agent_of(involved[i]);
    for (size_t i = 0; i < class_count && i < MODEL_LIST_MAX; i++) {
        facts->classes.items[facts->classes.count++] =
            (uint8_t)script_class_of(wire_classes[i]->group, wire_classes[i]->value);
    }
}

void model_wire_see(const Casework__Cases__V1__Case *wire, struct model_seen *ret_seen)
{
    *ret_seen = (struct model_seen){.number = model_wire_number(wire->name)};
    ret_seen->facts = (struct model_facts){
        .status = (enum case_status)wire->status,
        .owner = agent_of(wire->owner),
        .channel = script_place(last_segment(wire->channel), script_channels, ACCOUNT_CHANNELS + 1),
        .priority = wire->priority,
        .subject = script_subject_of(wire->subject),
        .need_reply = wire->need_reply,
        .message_count = wire->message_count,
        .version = wire->version,
        .change_version = wire->change_version,
        .activity_version = wire->activity_version,
        .create_time = time_of(wire->create_time),
        .update_time = time_of(wire->update_time),
        .open_time = time_of(wire->open_time),
        .resolve_time = time_of(wire->resolve_time),
        .close_time = time_of(wire->close_time),
        .delete_time = time_of(wire->delete_time),
        .first_reply_time = time_of(wire->first_reply_time),
        .merged_into = model_wire_number(wire->merged_into),
    };
    see_tags(wire->labels, wire->n_labels, wire->classifications, wire->n_classifications,
             wire->involved_agents, wire->n_involved_agents, &ret_seen->facts);
    for (size_t i = 0; i < wire->n_attributes; i++) {
        int key = script_place(wire->attributes[i]->key, script_keys, MODEL_ATTRIBUTES);
        if (key != SCRIPT_UNKNOWN)
            ret_seen->facts.attributes[key] =
                (uint8_t)script_place(wire->attributes[i]->value, script_values, MODEL_VALUES + 1);
    }
    snprintf(ret_seen->contact, sizeof ret_seen->contact, "%s", last_segment(wire->contact));
    snprintf(ret_seen->etag, sizeof ret_seen->etag, "%s", wire->etag);
}

void model_wire_see_facts(const Casework__Cases__V1__CaseFacts *wire, struct model_seen *ret_seen)
{
    *ret_seen = (struct model_seen){0};
    ret_seen->facts = (struct model_facts){
        .status = (enum case_status)wire->status,
        .status_before_delete = (enum case_status)wire->status_before_delete,
        .owner = agent_of(wire->owner),
        .channel = script_place(last_segment(wire->channel), script_channels, ACCOUNT_CHANNELS + 1),
        .priority = wire->priority,
        .need_reply = wire->need_reply,
        .all_closed = wire->all_customer_messages_closed,
        .message_count = wire->message_count,
        .version = wire->version,
        .change_version = wire->change_version,
        .activity_version = wire->activity_version,
        .change_time = time_of(wire->change_time),
        .activity_time = time_of(wire->activity_time),
        .create_time = time_of(wire->create_time),
        .update_time = time_of(wire->update_time),
        .status_time = time_of(wire->status_time),
        .open_time = time_of(wire->open_time),
        .resolve_time = time_of(wire->resolve_time),
        .close_time = time_of(wire->close_time),
        .delete_time = time_of(wire->delete_time),
        .first_reply_time = time_of(wire->first_reply_time),
        .first_customer_time = time_of(wire->first_customer_message_time),
        .waiting_since_time = time_of(wire->waiting_since_time),
        .merged_into = model_wire_number(wire->merged_into),
    };
    see_tags(wire->labels, wire->n_labels, wire->classifications, wire->n_classifications,
             wire->involved_agents, wire->n_involved_agents, &ret_seen->facts);
    snprintf(ret_seen->contact, sizeof ret_seen->contact, "%s", last_segment(wire->contact));
}

void model_wire_see_message(const Casework__Cases__V1__Message *wire, struct model_seen_message *ret_seen)
{
    bool body = strncmp(wire->body, "text ", 5) == 0;
    bool external = wire->external_id[0] == 'x' || wire->external_id[0] == '\0';
    *ret_seen = (struct model_seen_message){
        .number = wire->number,
        .of_case = model_wire_number(wire->name),
        .good = body && external,
        .message = {.kind = (enum message_kind)wire->kind,
                    .state = (enum message_state)wire->state,
                    .delivery = (enum delivery_state)wire->delivery,
                    .automatic = wire->automatic,
                    .send_time = time_of(wire->send_time),
                    .create_time = time_of(wire->create_time),
                    .body = body ? number_of(wire->body + 5) : 0,
                    .external_id = *wire->external_id ? number_of(wire->external_id + 1) : 0},
    };
    snprintf(ret_seen->author, sizeof ret_seen->author, "%s", last_segment(wire->author));
}

static void read_reply(const ProtobufCMessage *response, struct model_reply *reply)
{
    Casework__Cases__V1__Case **about = field(response, "case");
    Casework__Cases__V1__Message **message = field(response, "message");
    protobuf_c_boolean *created = field(response, "case_created");
    reply->position = *(int64_t *)field(response, "position");
    if (about && *about)
        model_wire_see(*about, &reply->seen);
    if (message && *message)
        model_wire_see_message(*message, &reply->message);
    if (created)
        reply->created = *created;
}

/* One attempt; false: *err. */
static bool attempt(rpc_channel *channel, const struct model_command *command, const void *request,
                    arena *memory, struct model_reply *reply, error *err)
{
    struct method method = method_of(command->verb);
    const struct rpc_client_options options = {
        .timeout_us = CALL_TIMEOUT_US,
        .agent = command->actor.kind == ACTOR_KIND_AGENT ? script_agents[command->actor.agent] : NULL,
        .no_retry = true,
    };
    ProtobufCMessage *response = NULL;
    *err = (error){0};
    if (!rpc_client_call(channel, method.service, method.name, request, &options, memory, &response, err))
        return false;
    reply->code = STATUS_OK;
    read_reply(response, reply);
    return true;
}

void model_wire_call(const struct model_ways *ways, unsigned first, const char *account,
                     const struct model_command *command, const char *etag, arena *memory,
                     struct model_reply *ret_reply)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    struct method method = method_of(command->verb);
    const ProtobufCMethodDescriptor *descriptor =
        protobuf_c_service_descriptor_get_method_by_name(method.service, method.name);
    const void *request = request_of(descriptor->input, account, command, etag, memory);
    error err;
    *ret_reply = (struct model_reply){.attempts = 1};
    while (!attempt(ways->channels[(first + ret_reply->attempts - 1) % ways->count], command, request, memory,
                    ret_reply, &err)) {
        bool surely_not = err.code != STATUS_UNKNOWN && err.code != STATUS_UNAVAILABLE;
        if (surely_not || !command->request_id || ret_reply->attempts == ATTEMPTS_MAX) {
            ret_reply->code = err.code;
            snprintf(ret_reply->reason, sizeof ret_reply->reason, "%s", err.reason);
            snprintf(ret_reply->text, sizeof ret_reply->text, "%s", err.message);
            return;
        }
        ret_reply->attempts++;
        nanosleep(&pause, NULL);
    }
}

/* --- etags -------------------------------------------------------------------------------------------------
 */

void model_etags_learn(struct model_etags *etags, const struct model_seen *seen)
{
    char(**of)[MODEL_ETAG_SIZE] = &etags->of[seen->number - 1];
    if (!*of)
        *of = calloc(MODEL_VERSIONS_MAX, MODEL_ETAG_SIZE);
    if (!*of)
        abort();
    if (seen->facts.version < MODEL_VERSIONS_MAX)
        memcpy((*of)[seen->facts.version], seen->etag, MODEL_ETAG_SIZE);
}

const char *model_etags_for(const struct model_etags *etags, struct model_command *command)
{
    bool never = command->verb == MODEL_CLOSE || command->verb == MODEL_SET_STATE || command->number == 0;
    int64_t version = never ? 0 : command->expected_version;
    bool known = version > 0 && version < MODEL_VERSIONS_MAX && etags->of[command->number - 1];
    const char *etag = known ? etags->of[command->number - 1][version] : "";
    if (*etag == '\0')
        command->expected_version = 0;
    return etag;
}

void model_etags_release(struct model_etags *etags)
{
    for (int i = 0; i < ACCOUNT_CASES_MAX; i++)
        free(etags->of[i]);
}

/* --- comparing ---------------------------------------------------------------------------------------------
 */

static _Thread_local char difference[512];

static const char *differ_contact(int expected, const char *id, struct model_contacts *contacts)
{
    char *known = contacts->ids[expected];
    if (expected <= ACCOUNT_GIVEN_CONTACTS)
        snprintf(known, MODEL_CONTACT_SIZE, "c%d", expected);
    else if (*known == '\0')
        snprintf(known, MODEL_CONTACT_SIZE, "%s", id);
    if (strcmp(known, id) == 0)
        return NULL;
    snprintf(difference, sizeof difference, "contact is %s, should be %s", id, known);
    return difference;
}

const char *model_wire_differ_facts(const struct model_facts *expected, const struct model_seen *seen,
                                    struct model_contacts *contacts, bool whole)
{
    struct model_facts found = seen->facts;
    const char *contact = differ_contact(expected->contact, seen->contact, contacts);
    if (contact)
        return contact;
    found.contact = expected->contact;
    if (whole) {
        found.subject = expected->subject;
        memcpy(found.attributes, expected->attributes, sizeof found.attributes);
        return model_facts_differ(expected, &found);
    }
    found.status_before_delete = expected->status_before_delete;
    found.all_closed = expected->all_closed;
    found.change_time = expected->change_time;
    found.activity_time = expected->activity_time;
    found.status_time = expected->status_time;
    found.first_customer_time = expected->first_customer_time;
    found.waiting_since_time = expected->waiting_since_time;
    return model_facts_differ(expected, &found);
}

const char *model_wire_differ(const struct model_case *expected, const struct model_seen *seen,
                              struct model_contacts *contacts, bool whole)
{
    if (expected->number == seen->number)
        return model_wire_differ_facts(&expected->facts, seen, contacts, whole);
    snprintf(difference, sizeof difference, "case %" PRId64 ", should be %" PRId64, seen->number,
             expected->number);
    return difference;
}

static void author_of(const struct model_case *expected, const struct model_message *message,
                      const struct model_contacts *contacts, char author[MODEL_CONTACT_SIZE])
{
    if (message->kind == MESSAGE_KIND_CUSTOMER)
        snprintf(author, MODEL_CONTACT_SIZE, "%s", contacts->ids[expected->facts.contact]);
    else if (message->kind == MESSAGE_KIND_FROM_THIRD_PARTY)
        snprintf(author, MODEL_CONTACT_SIZE, "lab@example.org");
    else if (message->author.kind == ACTOR_KIND_AGENT)
        snprintf(author, MODEL_CONTACT_SIZE, "a%d", message->author.agent);
    else
        author[0] = '\0';
}

const char *model_wire_differ_message(const struct model_case *expected, int number,
                                      const struct model_seen_message *seen, struct model_contacts *contacts)
{
    if (seen->number != number || seen->of_case != expected->number) {
        snprintf(difference, sizeof difference, "message %d of case %" PRId64 ", should be %d of %" PRId64,
                 seen->number, seen->of_case, number, expected->number);
        return difference;
    }
    const struct model_message *should = &expected->messages[number - 1], *is = &seen->message;
    char author[MODEL_CONTACT_SIZE];
    author_of(expected, should, contacts, author);
    if (seen->good && is->kind == should->kind && is->state == should->state &&
        is->delivery == should->delivery && is->automatic == should->automatic &&
        is->send_time == should->send_time && is->create_time == should->create_time &&
        is->body == should->body && is->external_id == should->external_id &&
        strcmp(author, seen->author) == 0)
        return NULL;
    snprintf(difference, sizeof difference,
             "message %d: kind %d state %d delivery %d sent %" PRId64 " stored %" PRId64
             " author '%s', should be %d %d %d %" PRId64 " %" PRId64 " '%s'",
             number, (int)is->kind, (int)is->state, (int)is->delivery, is->send_time, is->create_time,
             seen->author, (int)should->kind, (int)should->state, (int)should->delivery, should->send_time,
             should->create_time, author);
    return difference;
}

/* --- what there is before the first command ---------------------------------------------------------------
 */

static void *must(rpc_channel *channel, const ProtobufCServiceDescriptor *service, const char *method,
                  const void *request, arena *memory)
{
    const struct rpc_client_options options = {.timeout_us = CALL_TIMEOUT_US};
    ProtobufCMessage *response = NULL;
    error err = {0};
    if (!rpc_client_call(channel, service, method, request, &options, memory, &response, &err)) {
        fprintf(stderr, "%s: %s %s\n", method, err.reason, err.message);
        abort();
    }
    return response;
}

static void create_channel(rpc_channel *channel, const char *account, int number, const char *network,
                           arena *memory)
{
    Casework__Cases__V1__CreateChannelRequest request = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    Casework__Cases__V1__Channel resource = CASEWORK__CASES__V1__CHANNEL__INIT;
    resource.network = text(network);
    resource.address = text("help@acme.example");
    request.parent = text(account);
    request.channel_id = text(script_channels[number]);
    request.channel = &resource;
    must(channel, &casework__cases__v1__channel_service__descriptor, "CreateChannel", &request, memory);
}

static void create_agent(rpc_channel *channel, const char *account, int number, arena *memory)
{
    Casework__Cases__V1__CreateAgentRequest request = CASEWORK__CASES__V1__CREATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__Agent resource = CASEWORK__CASES__V1__AGENT__INIT;
    request.parent = text(account);
    request.agent_id = arena_printf(memory, "a%d", number);
    request.agent = &resource;
    must(channel, &casework__cases__v1__agent_service__descriptor, "CreateAgent", &request, memory);
}

static int64_t create_contact(rpc_channel *channel, const char *account, int number, arena *memory)
{
    Casework__Cases__V1__CreateContactRequest request = CASEWORK__CASES__V1__CREATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__Contact resource = CASEWORK__CASES__V1__CONTACT__INIT;
    char *email = arena_printf(memory, "c%d@example.net", number);
    resource.n_emails = 1;
    resource.emails = &email;
    request.parent = text(account);
    request.contact_id = arena_printf(memory, "c%d", number);
    request.contact = &resource;
    Casework__Cases__V1__CreateContactResponse *response =
        must(channel, &casework__cases__v1__contact_service__descriptor, "CreateContact", &request, memory);
    return response->position;
}

int64_t model_wire_account(rpc_channel *channel, const char *account, arena *memory)
{
    Casework__Cases__V1__CreateAccountRequest request = CASEWORK__CASES__V1__CREATE_ACCOUNT_REQUEST__INIT;
    Casework__Cases__V1__Account resource = CASEWORK__CASES__V1__ACCOUNT__INIT;
    int64_t position = 0;
    request.account_id = text(last_segment(account));
    request.account = &resource;
    must(channel, &casework__cases__v1__account_service__descriptor, "CreateAccount", &request, memory);
    create_channel(channel, account, 1, "email", memory);
    create_channel(channel, account, 2, "chat", memory);
    for (int agent = 1; agent <= MODEL_AGENTS; agent++)
        create_agent(channel, account, agent, memory);
    for (int contact = 1; contact <= ACCOUNT_GIVEN_CONTACTS; contact++)
        position = create_contact(channel, account, contact, memory);
    return position;
}
