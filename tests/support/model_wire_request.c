/* The model's commands as requests. */

#include "tests/support/model_wire_private.h"

#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_script.h"

#include <inttypes.h>
#include <stdlib.h>

static void set_text(ProtobufCMessage *message, const char *name, const char *value)
{
    char **place = model_field(message, name);
    if (place)
        *place = model_text(value);
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
        texts[i] = model_text(all[list->items[i]]);
    return texts;
}

static Casework__Cases__V1__Classification **class_list(arena *memory, const struct model_list *list)
{
    Casework__Cases__V1__Classification **all = arena_calloc(memory, MODEL_LIST_MAX, sizeof(void *));
    for (int i = 0; i < list->count; i++) {
        all[i] = new_message(memory, &casework__cases__v1__classification__descriptor);
        all[i]->group = model_text(script_classes[list->items[i]][0]);
        all[i]->value = model_text(script_classes[list->items[i]][1]);
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
        entry->key = model_text(script_keys[i]);
        entry->value = model_text(script_values[attributes[i]]);
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
    message->body = model_text(body_text(memory, command->body));
    message->external_id = model_text(external_id(memory, command->external_id));
    if (command->kind == MESSAGE_KIND_FROM_THIRD_PARTY)
        message->author = model_text("lab@example.org");
    if (command->sent)
        message->send_time = wire_timestamp(memory, command->sent);
    return message;
}

static Casework__Cases__V1__Case *case_of(arena *memory, const char *account,
                                          const struct model_command *command)
{
    Casework__Cases__V1__Case *wire = new_message(memory, &casework__cases__v1__case__descriptor);
    wire->subject = model_text(script_subject(command->subject));
    wire->n_labels = command->labels.count;
    wire->labels = texts_of(memory, &command->labels, script_labels);
    wire->priority = command->priority;
    set_attributes(memory, command->attributes, wire);
    if (command->verb == MODEL_UPDATE)
        return wire;
    wire->n_classifications = command->classes.count;
    wire->classifications = class_list(memory, &command->classes);
    wire->owner =
        command->owner ? arena_printf(memory, "%s/agents/a%d", account, command->owner) : model_text("");
    wire->contact = arena_printf(memory, "%s/contacts/c%d", account, command->contact);
    wire->channel = arena_printf(memory, "%s/channels/%s", account, script_channels[command->channel]);
    return wire;
}

static Google__Protobuf__FieldMask *mask_of(arena *memory, const char *const *paths, size_t count)
{
    Google__Protobuf__FieldMask *mask = new_message(memory, &google__protobuf__field_mask__descriptor);
    mask->paths = arena_calloc(memory, count + 1, sizeof(char *));
    for (size_t i = 0; i < count; i++)
        mask->paths[mask->n_paths++] = model_text(paths[i]);
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
    request->case_->name = model_text(name);
    request->case_->etag = model_text(etag);
    request->update_mask = mask_of(memory, paths, count);
}

static void fill_receive(Casework__Cases__V1__ReceiveMessageRequest *request, const char *account,
                         const struct model_command *command, arena *memory)
{
    request->parent = arena_printf(memory, "%s/channels/%s", account, script_channels[command->channel]);
    /* Addresses are found caselessly. */
    request->sender_address =
        arena_printf(memory, command->body % 2 ? "c%d@example.net" : "C%d@Example.NET", command->contact);
    request->subject = model_text(script_subject(command->subject));
    request->body = model_text(body_text(memory, command->body));
    request->external_id = model_text(external_id(memory, command->external_id));
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
    request->account->name = model_text(account);
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

static char *agent_name(arena *memory, const char *account, int agent)
{
    return agent ? arena_printf(memory, "%s/agents/a%d", account, agent) : model_text("");
}

static char *third_party(arena *memory, int number)
{
    return arena_printf(memory, "lab%d@example.org", number);
}

static void fill_forward_case(Casework__Cases__V1__ForwardCaseRequest *request, const char *account,
                              const struct model_command *command, arena *memory)
{
    request->target_case = command->agent ? CASEWORK__CASES__V1__FORWARD_CASE_REQUEST__TARGET_AGENT
                                          : CASEWORK__CASES__V1__FORWARD_CASE_REQUEST__TARGET_THIRD_PARTY;
    request->agent = command->agent ? agent_name(memory, account, command->agent)
                                    : third_party(memory, command->third_party);
    request->note = model_text(command->note ? body_text(memory, command->note) : "");
}

static void fill_forward_message(Casework__Cases__V1__ForwardMessageRequest *request, const char *account,
                                 const struct model_command *command, const char *name, arena *memory)
{
    request->name = arena_printf(memory, "%s/messages/%d", name, command->message);
    request->target_case = command->agent ? CASEWORK__CASES__V1__FORWARD_MESSAGE_REQUEST__TARGET_AGENT
                                          : CASEWORK__CASES__V1__FORWARD_MESSAGE_REQUEST__TARGET_THIRD_PARTY;
    request->agent = command->agent ? agent_name(memory, account, command->agent)
                                    : third_party(memory, command->third_party);
    request->note = model_text(command->note ? body_text(memory, command->note) : "");
}

/* The change of a batch: `slot` is the place of the oneof's member. */
static void fill_change(Casework__Cases__V1__CaseChange *change, const char *account,
                        const struct model_command *command, arena *memory)
{
    static const Casework__Cases__V1__CaseChange__ChangeCase kinds[MODEL_VERBS] = {
        [MODEL_LABEL] = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_ADD_LABELS,
        [MODEL_UNLABEL] = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_REMOVE_LABELS,
        [MODEL_ASSIGN] = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_ASSIGN,
        [MODEL_UPDATE] = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_SET_PRIORITY,
        [MODEL_CLASSIFY] = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_ADD_CLASSIFICATIONS,
        [MODEL_DECLASSIFY] = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_REMOVE_CLASSIFICATIONS,
        [MODEL_MARK_PENDING] = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_MARK_PENDING,
        [MODEL_RESOLVE] = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_RESOLVE,
        [MODEL_REOPEN] = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_REOPEN,
        [MODEL_DELETE] = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_DELETE,
        [MODEL_UNDELETE] = CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_UNDELETE,
    };
    change->change_case = kinds[command->act];
    if (command->act == MODEL_LABEL || command->act == MODEL_UNLABEL) {
        change->add_labels = new_message(memory, &casework__cases__v1__case_change__label_list__descriptor);
        change->add_labels->n_labels = command->labels.count;
        change->add_labels->labels = texts_of(memory, &command->labels, script_labels);
    } else if (command->act == MODEL_CLASSIFY || command->act == MODEL_DECLASSIFY) {
        change->add_classifications =
            new_message(memory, &casework__cases__v1__case_change__classification_list__descriptor);
        change->add_classifications->n_classifications = command->classes.count;
        change->add_classifications->classifications = class_list(memory, &command->classes);
    } else if (command->act == MODEL_ASSIGN) {
        change->assign = new_message(memory, &casework__cases__v1__case_change__assignment__descriptor);
        change->assign->owner = agent_name(memory, account, command->owner);
    } else if (command->act == MODEL_UPDATE) {
        change->set_priority =
            new_message(memory, &casework__cases__v1__case_change__priority_value__descriptor);
        change->set_priority->priority = command->priority;
    } else {
        change->resolve = new_message(memory, &casework__cases__v1__case_change__bare__descriptor);
    }
}

static void fill_batch(Casework__Cases__V1__BatchUpdateCasesRequest *request, const char *account,
                       const struct model_command *command, arena *memory)
{
    request->parent = model_text(account);
    request->names = arena_calloc(memory, MODEL_BATCH_MAX, sizeof(char *));
    for (int i = 0; i < command->batch_count; i++)
        request->names[request->n_names++] =
            arena_printf(memory, "%s/cases/%" PRId64, account, command->batch[i]);
    request->change = new_message(memory, &casework__cases__v1__case_change__descriptor);
    fill_change(request->change, account, command, memory);
}

/* What is about several cases, or passes them on. */
static void fill_together(void *request, const char *account, const struct model_command *command,
                          const char *name, const char *etag, arena *memory)
{
    switch (command->verb) {
    case MODEL_FORWARD_CASE:
        fill_forward_case(request, account, command, memory);
        break;
    case MODEL_FORWARD_MESSAGE:
        fill_forward_message(request, account, command, name, memory);
        break;
    case MODEL_MERGE:
        set_text(request, "source", name);
        set_text(request, "source_etag", etag);
        set_text(request, "target", arena_printf(memory, "%s/cases/%" PRId64, account, command->target));
        break;
    case MODEL_BATCH:
        fill_batch(request, account, command, memory);
        break;
    default: /* what parts two cases needs a name only */
        break;
    }
}

void *model_wire_request(const ProtobufCMessageDescriptor *type, const char *account,
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
    case MODEL_BREAK_LOCK:
        ((Casework__Cases__V1__BreakCaseLockRequest *)request)->token = command->token;
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
        fill_together(request, account, command, name, etag, memory);
    }
    return request;
}
