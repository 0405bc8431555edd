#include "case/case_input.h"
#include "case/case_write.h"
#include "case/message_input.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "rpc/name.h"

#include <stdlib.h>
#include <string.h>

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                     "the request needs too much memory");
}

/* --- what the methods share -------------------------------------------------------------------------------
 */

/* A text field of a request, by its name. */
static const char *text_of(const ProtobufCMessage *request, const char *name)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(request->descriptor, name);
    return field == NULL ? "" : *(char *const *)((const char *)request + field->offset);
}

/* A change of the case that the request's field `name` names, under its `etag`. */
static struct case_write *begin_change(rpc_call *call, const ProtobufCMessage *request,
                                       enum case_act_kind kind, error *err)
{
    const char *account = NULL;
    int64_t case_id = 0;
    if (!rpc_name_case(rpc_call_arena(call), text_of(request, "name"), "name", &account, &case_id, err))
        return NULL;
    struct case_write *write = case_write_begin(call, CASE_METHOD_CHANGE_CASE, account, err);
    if (write == NULL)
        return NULL;
    write->command.change.case_id = case_id;
    write->command.change.act = (struct case_act){.kind = kind};
    return parse_etag(text_of(request, "etag"), &write->command.change.act.expected_version) ? write : NULL;
}

/* A change that needs nothing but the case's name. */
static void change(rpc_call *call, const ProtobufCMessage *request, void *context, enum case_act_kind kind,
                   const ProtobufCMessageDescriptor *response)
{
    error err = {0};
    struct case_write *write = begin_change(call, request, kind, &err);
    if (write != NULL)
        case_write_submit(write, context, request, response);
    else
        rpc_call_fail(call, &err);
}

static void mark_case_pending(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    change(call, request, context, CASE_ACT_MARK_PENDING,
           &casework__cases__v1__mark_case_pending_response__descriptor);
}

static void resolve_case(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    change(call, request, context, CASE_ACT_RESOLVE, &casework__cases__v1__resolve_case_response__descriptor);
}

static void reopen_case(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    change(call, request, context, CASE_ACT_REOPEN, &casework__cases__v1__reopen_case_response__descriptor);
}

static void delete_case(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    change(call, request, context, CASE_ACT_DELETE, &casework__cases__v1__delete_case_response__descriptor);
}

static void undelete_case(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    change(call, request, context, CASE_ACT_UNDELETE,
           &casework__cases__v1__undelete_case_response__descriptor);
}

static void open_case(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    error err = {0};
    if (case_write_actor(call).kind != ACTOR_KIND_AGENT) {
        error_set(&err, STATUS_PERMISSION_DENIED, "NOT_AN_AGENT", "only an agent opens a case");
        rpc_call_fail(call, &err);
        return;
    }
    change(call, request, context, CASE_ACT_OPEN, &casework__cases__v1__open_case_response__descriptor);
}

/* --- changes with arguments -------------------------------------------------------------------------------
 */

static bool read_close(const Casework__Cases__V1__CloseCaseRequest *request, struct case_write *write,
                       error *err)
{
    struct case_act *act = &write->command.change.act;
    if ((int)request->rule != DUE_RULE_RESOLVED && (int)request->rule != DUE_RULE_INACTIVE)
        return error_bad_field(err, "rule", "is required");
    if (request->basis_version < 0)
        return error_bad_field(err, "basis_version", "must not be negative");
    if (request->due_time == NULL)
        return error_bad_field(err, "due_time", "is required");
    if (write->command.actor.kind == ACTOR_KIND_AGENT)
        return error_set(err, STATUS_PERMISSION_DENIED, "AGENT_NOT_ALLOWED", "agents do not close cases");
    act->close.rule = (enum due_rule)request->rule;
    act->close.basis_version = request->basis_version;
    if (!time_input(request->due_time, "due_time", &act->close.due_time, err))
        return false;
    if (request->due_time->nanos % 1000 != 0)
        act->close.due_time++; /* to the next microsecond: late by less than one, but never early */
    return true;
}

static void close_case(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    error err = {0};
    struct case_write *write = begin_change(call, message, CASE_ACT_CLOSE, &err);
    if (write != NULL && read_close((const void *)message, write, &err))
        case_write_submit(write, context, message, &casework__cases__v1__close_case_response__descriptor);
    else
        rpc_call_fail(call, &err);
}

static void assign_case(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const Casework__Cases__V1__AssignCaseRequest *request = (const void *)message;
    error err = {0};
    struct case_write *write = begin_change(call, message, CASE_ACT_ASSIGN, &err);
    if (write != NULL && rpc_name_member_of(write->memory, write->command.account, "agents", request->owner,
                                            "owner", &write->command.change.act.owner, &err))
        case_write_submit(write, context, message, &casework__cases__v1__assign_case_response__descriptor);
    else
        rpc_call_fail(call, &err);
}

static void change_classifications(rpc_call *call, const ProtobufCMessage *message, void *context,
                                   enum case_act_kind kind, Casework__Cases__V1__Classification *const *wire,
                                   size_t count, const ProtobufCMessageDescriptor *response)
{
    error err = {0};
    struct case_write *write = begin_change(call, message, kind, &err);
    bool given = write != NULL && (count > 0 || error_bad_field(&err, "classifications", "is required"));
    if (given && classifications_input(write->memory, wire, count, "classifications",
                                       &write->command.change.act.classifications, &err))
        case_write_submit(write, context, message, response);
    else
        rpc_call_fail(call, &err);
}

static void add_classifications(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const Casework__Cases__V1__AddClassificationsRequest *request = (const void *)message;
    change_classifications(call, message, context, CASE_ACT_CLASSIFY, request->classifications,
                           request->n_classifications,
                           &casework__cases__v1__add_classifications_response__descriptor);
}

static void remove_classifications(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const Casework__Cases__V1__RemoveClassificationsRequest *request = (const void *)message;
    change_classifications(call, message, context, CASE_ACT_DECLASSIFY, request->classifications,
                           request->n_classifications,
                           &casework__cases__v1__remove_classifications_response__descriptor);
}

/* --- texts, labels, attributes ----------------------------------------------------------------------------
 */

static int compare_entries(const void *a, const void *b)
{
    const Casework__Cases__V1__Case__AttributesEntry *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

/* By key, in place: so that the same attributes in another order are the same request. The last of a key
 * counts. */
static bool read_attributes(arena *memory, const Casework__Cases__V1__Case *wire, struct text_list *ret_pairs,
                            error *err)
{
    const char **items = arena_calloc(memory, 2 * wire->n_attributes + 1, sizeof *items);
    if (items == NULL)
        return out_of_memory(err);
    if (wire->n_attributes > CASE_ATTRIBUTES_MAX)
        return error_bad_field(err, "case.attributes", "has more than %d", CASE_ATTRIBUTES_MAX);
    if (wire->n_attributes > 0)
        qsort(wire->attributes, wire->n_attributes, sizeof(void *), compare_entries);
    size_t count = 0;
    for (size_t i = 0; i < wire->n_attributes; i++) {
        const Casework__Cases__V1__Case__AttributesEntry *entry = wire->attributes[i];
        if (!check_required(entry->key, CASE_ATTRIBUTE_KEY_MAX, "case.attributes", err) ||
            !check_text(entry->value, CASE_ATTRIBUTE_VALUE_MAX, "case.attributes", err))
            return false;
        if (count > 0 && strcmp(items[count - 2], entry->key) == 0)
            count -= 2;
        items[count++] = entry->key;
        items[count++] = entry->value;
    }
    *ret_pairs = (struct text_list){items, count};
    return true;
}

static bool check_case(const Casework__Cases__V1__Case *wire, error *err)
{
    struct text_list labels = list_of(wire->labels, wire->n_labels);
    if (wire->priority < 0 || wire->priority > CASE_PRIORITY_MAX)
        return error_bad_field(err, "case.priority", "must be 0 to %d", CASE_PRIORITY_MAX);
    if ((int)wire->status < CASE_STATUS_NONE || (int)wire->status > CASE_STATUS_DELETED)
        return error_bad_field(err, "case.status", "is no status");
    return check_text(wire->subject, CASE_SUBJECT_MAX, "case.subject", err) &&
           check_list(&labels, CASE_LABELS_MAX, CASE_LABEL_MAX, "case.labels", err);
}

#define ATTRIBUTE_PATH "attributes."

/* Masks of single attributes: what the request has for the key, or its removal. Leaves the other paths in
 * `rest`. */
static bool read_edits(arena *memory, const Google__Protobuf__FieldMask *mask,
                       const struct text_list *attributes, Google__Protobuf__FieldMask *rest,
                       struct text_list *ret_edits, error *err)
{
    size_t count = mask == NULL ? 0 : mask->n_paths;
    const char **items = arena_calloc(memory, 2 * count + 1, sizeof *items);
    rest->paths = arena_calloc(memory, count + 1, sizeof *rest->paths);
    if (items == NULL || rest->paths == NULL)
        return out_of_memory(err);
    struct text_list edits = {items, 0};
    for (size_t i = 0; i < count; i++) {
        if (strncmp(mask->paths[i], ATTRIBUTE_PATH, strlen(ATTRIBUTE_PATH)) != 0) {
            rest->paths[rest->n_paths++] = mask->paths[i];
            continue;
        }
        const char *key = mask->paths[i] + strlen(ATTRIBUTE_PATH);
        if (!check_required(key, CASE_ATTRIBUTE_KEY_MAX, "update_mask", err))
            return false;
        const char *value = NULL;
        for (size_t k = 0; k < attributes->count; k += 2) {
            if (strcmp(attributes->items[k], key) == 0)
                value = attributes->items[k + 1];
        }
        items[edits.count++] = key;
        items[edits.count++] = value;
    }
    *ret_edits = edits;
    return true;
}

static bool read_update(struct case_write *write, const Casework__Cases__V1__UpdateCaseRequest *request,
                        error *err)
{
    const Casework__Cases__V1__Case *wire = request->case_;
    struct case_act *act = &write->command.change.act;
    Google__Protobuf__FieldMask rest = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    const struct mask_field fields[] = {
        {"subject", CASE_FIELD_SUBJECT, wire->subject[0] != '\0'},
        {"labels", CASE_FIELD_LABELS, wire->n_labels > 0},
        {"priority", CASE_FIELD_PRIORITY, wire->priority != 0},
        {"attributes", CASE_FIELD_ATTRIBUTES, wire->n_attributes > 0},
        {NULL, 0, false},
    };
    if (!check_case(wire, err) || !check_mask(request->update_mask, err) ||
        !read_attributes(write->memory, wire, &act->update.attributes, err) ||
        !read_edits(write->memory, request->update_mask, &act->update.attributes, &rest, &act->update.edits,
                    err))
        return false;
    bool only_edits = act->update.edits.count > 0 && rest.n_paths == 0;
    if (!only_edits && !read_mask(&rest, fields, &act->update.fields, err))
        return false;
    act->update.subject = wire->subject;
    act->update.subject_key = case_subject_key(write->memory, wire->subject);
    act->update.labels = list_of(wire->labels, wire->n_labels);
    act->update.priority = wire->priority;
    if (act->update.subject_key == NULL)
        return out_of_memory(err);
    return parse_etag(wire->etag, &act->expected_version);
}

static bool begin_update(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                         error *err)
{
    const Casework__Cases__V1__UpdateCaseRequest *request = (const void *)message;
    const char *account = NULL;
    int64_t case_id = 0;
    if (request->case_ == NULL)
        return error_bad_field(err, "case", "is required");
    if (!rpc_name_case(rpc_call_arena(call), request->case_->name, "case.name", &account, &case_id, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_CHANGE_CASE, account, err);
    if (write == NULL)
        return false;
    write->command.change.case_id = case_id;
    write->command.change.act = (struct case_act){.kind = CASE_ACT_UPDATE};
    *ret_write = write;
    return read_update(write, request, err);
}

static void update_case(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_update,
                   &casework__cases__v1__update_case_response__descriptor);
}

/* --- new cases --------------------------------------------------------------------------------------------
 */

static bool read_new_case(struct case_write *write, const Casework__Cases__V1__Case *wire, error *err)
{
    const char *account = write->command.account;
    struct case_record *record = &write->command.create.record;
    *record = (struct case_record){
        .external_id = "",
        .lock_agent = "",
        .lock_session = "",
        .priority = wire->priority,
        .labels = list_of(wire->labels, wire->n_labels),
        .subject = wire->subject,
        .subject_key = case_subject_key(write->memory, wire->subject),
    };
    if (record->subject_key == NULL)
        return out_of_memory(err);
    if (wire->channel[0] == '\0')
        return error_bad_field(err, "case.channel", "is required");
    return check_case(wire, err) &&
           rpc_name_member_of(write->memory, account, "channels", wire->channel, "case.channel",
                              &record->channel, err) &&
           rpc_name_member_of(write->memory, account, "contacts", wire->contact, "case.contact",
                              &record->contact, err) &&
           rpc_name_member_of(write->memory, account, "agents", wire->owner, "case.owner", &record->owner,
                              err) &&
           read_attributes(write->memory, wire, &record->attributes, err) &&
           classifications_input(write->memory, wire->classifications, wire->n_classifications,
                                 "case.classifications", &record->classifications, err);
}

static bool begin_create(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                         error *err)
{
    const Casework__Cases__V1__CreateCaseRequest *request = (const void *)message;
    const char *account = NULL;
    if (!rpc_name_account(rpc_call_arena(call), request->parent, "parent", &account, err))
        return false;
    if (request->case_ == NULL)
        return error_bad_field(err, "case", "is required");
    struct case_write *write = case_write_begin(call, CASE_METHOD_CREATE_CASE, account, err);
    if (write == NULL)
        return false;
    struct case_command *command = &write->command;
    command->create.has_message = request->first_message != NULL;
    *ret_write = write;
    return read_new_case(write, request->case_, err) &&
           (!command->create.has_message || message_input(write, request->first_message, AFTER_SEND_NONE,
                                                          "first_message", &command->create.message, err));
}

static void create_case(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_create,
                   &casework__cases__v1__create_case_response__descriptor);
}

#define METHOD(method, allowed, named, handler)                                                          \
    {                                                                                                    \
        .service = &casework__cases__v1__case_service__descriptor, .name = (method), .roles = (allowed), \
        .resource = (named), .brief = true, .unary = (handler)                                           \
    }

const struct rpc_method case_methods[] = {
    METHOD("CreateCase", WRITE_ROLES_PEOPLE, "parent", create_case),
    METHOD("UpdateCase", WRITE_ROLES_PEOPLE, "case.name", update_case),
    METHOD("OpenCase", WRITE_ROLES_PEOPLE, "name", open_case),
    METHOD("MarkCasePending", WRITE_ROLES_PEOPLE, "name", mark_case_pending),
    METHOD("ResolveCase", WRITE_ROLES_PEOPLE, "name", resolve_case),
    METHOD("ReopenCase", WRITE_ROLES_PEOPLE, "name", reopen_case),
    METHOD("CloseCase", RPC_ROLE_SERVICE, "name", close_case),
    METHOD("DeleteCase", WRITE_ROLES_PEOPLE, "name", delete_case),
    METHOD("UndeleteCase", WRITE_ROLES_PEOPLE, "name", undelete_case),
    METHOD("AssignCase", WRITE_ROLES_PEOPLE, "name", assign_case),
    METHOD("AddClassifications", WRITE_ROLES_PEOPLE, "name", add_classifications),
    METHOD("RemoveClassifications", WRITE_ROLES_PEOPLE, "name", remove_classifications),
    {.service = NULL},
};
