/* BatchUpdateCases. */

#include "case/case_input.h"
#include "case/case_wire.h"
#include "case/case_write.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/page.h"

#include <string.h>

typedef Casework__Cases__V1__CaseChange case_change_wire;
typedef Casework__Cases__V1__CaseResult case_result;

/* What was asked for is needed for the answer. */
struct many_write {
    struct case_write write; /* first */
    char **names;
};

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                     "the request needs too much memory");
}

/* --- the change -------------------------------------------------------------------------------------------
 */

static bool read_labels(const Casework__Cases__V1__CaseChange__LabelList *wire, enum case_act_kind kind,
                        struct case_act *ret_act, error *err)
{
    const char *field = kind == CASE_ACT_ADD_LABELS ? "change.add_labels" : "change.remove_labels";
    ret_act->kind = kind;
    ret_act->labels = list_of(wire->labels, wire->n_labels);
    if (wire->n_labels == 0)
        return error_bad_field(err, field, "is required");
    return check_list(&ret_act->labels, CASE_LABELS_MAX, CASE_LABEL_MAX, field, err);
}

static bool read_classifications(arena *memory,
                                 const Casework__Cases__V1__CaseChange__ClassificationList *wire,
                                 enum case_act_kind kind, struct case_act *ret_act, error *err)
{
    const char *field =
        kind == CASE_ACT_CLASSIFY ? "change.add_classifications" : "change.remove_classifications";
    ret_act->kind = kind;
    if (wire->n_classifications == 0)
        return error_bad_field(err, field, "is required");
    return classifications_input(memory, wire->classifications, wire->n_classifications, field,
                                 &ret_act->classifications, err);
}

static bool read_priority(int32_t priority, struct case_act *ret_act, error *err)
{
    ret_act->kind = CASE_ACT_UPDATE;
    ret_act->update.fields = CASE_FIELD_PRIORITY;
    ret_act->update.priority = priority;
    return (priority >= 0 && priority <= CASE_PRIORITY_MAX) ||
           error_bad_field(err, "change.set_priority", "must be 0 to %d", CASE_PRIORITY_MAX);
}

static bool bare(enum case_act_kind kind, struct case_act *ret_act)
{
    ret_act->kind = kind;
    return true;
}

static bool read_change(arena *memory, const char *account, const case_change_wire *wire,
                        struct case_act *ret_act, error *err)
{
    switch (wire == NULL ? CASEWORK__CASES__V1__CASE_CHANGE__CHANGE__NOT_SET : wire->change_case) {
    case CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_ADD_LABELS:
        return read_labels(wire->add_labels, CASE_ACT_ADD_LABELS, ret_act, err);
    case CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_REMOVE_LABELS:
        return read_labels(wire->remove_labels, CASE_ACT_REMOVE_LABELS, ret_act, err);
    case CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_ASSIGN:
        ret_act->kind = CASE_ACT_ASSIGN;
        return rpc_name_member_of(memory, account, "agents", wire->assign->owner, "change.assign.owner",
                                  &ret_act->owner, err);
    case CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_SET_PRIORITY:
        return read_priority(wire->set_priority->priority, ret_act, err);
    case CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_ADD_CLASSIFICATIONS:
        return read_classifications(memory, wire->add_classifications, CASE_ACT_CLASSIFY, ret_act, err);
    case CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_REMOVE_CLASSIFICATIONS:
        return read_classifications(memory, wire->remove_classifications, CASE_ACT_DECLASSIFY, ret_act, err);
    case CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_MARK_PENDING:
        return bare(CASE_ACT_MARK_PENDING, ret_act);
    case CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_RESOLVE:
        return bare(CASE_ACT_RESOLVE, ret_act);
    case CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_REOPEN:
        return bare(CASE_ACT_REOPEN, ret_act);
    case CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_DELETE:
        return bare(CASE_ACT_DELETE, ret_act);
    case CASEWORK__CASES__V1__CASE_CHANGE__CHANGE_UNDELETE:
        return bare(CASE_ACT_UNDELETE, ret_act);
    default:
        return error_bad_field(err, "change", "is required");
    }
}

/* --- the cases --------------------------------------------------------------------------------------------
 */

/* A name that is none is the result of that case alone. */
static bool read_targets(struct case_write *write, char **names, size_t count, error *err)
{
    if (!case_names_check(names, count, err))
        return false;
    struct case_target *targets = arena_calloc(write->memory, count, sizeof *targets);
    if (targets == NULL)
        return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        const char *account;
        int64_t id;
        if (!rpc_name_case(write->memory, names[i], "names", &account, &id, &targets[i].refusal))
            continue;
        if (strcmp(account, write->command.account) != 0)
            rpc_error_not_found(&targets[i].refusal, names[i]);
        else
            targets[i].case_id = id;
    }
    write->command.many.targets = targets;
    write->command.many.count = count;
    return true;
}

/* --- the answer -------------------------------------------------------------------------------------------
 */

/* What tells that the change was made, of a case that finds no room. */
static Casework__Cases__V1__Case *brief(const Casework__Cases__V1__Case *full, arena *memory)
{
    Casework__Cases__V1__Case *out = arena_alloc(memory, sizeof *out);
    if (out == NULL)
        return NULL;
    casework__cases__v1__case__init(out);
    out->name = full->name;
    out->status = full->status;
    out->owner = full->owner;
    out->version = full->version;
    out->etag = full->etag;
    return out;
}

static bool fill_result(arena *memory, const struct case_target *target, struct rpc_room *room,
                        case_result *result)
{
    if (target->record == NULL) {
        result->outcome_case = CASEWORK__CASES__V1__CASE_RESULT__OUTCOME_ERROR;
        result->error = case_wire_status(memory, &target->refusal);
        return result->error != NULL;
    }
    result->outcome_case = CASEWORK__CASES__V1__CASE_RESULT__OUTCOME_CASE;
    result->case_ = case_wire(memory, target->record);
    if (result->case_ != NULL && !rpc_room_take(room, &result->case_->base))
        result->case_ = brief(result->case_, memory);
    return result->case_ != NULL;
}

static bool fill(struct case_write *write, ProtobufCMessage *message)
{
    Casework__Cases__V1__BatchUpdateCasesResponse *response = (void *)message;
    char **names = ((struct many_write *)write)->names;
    size_t count = write->command.many.count;
    case_result *results = arena_calloc(write->memory, count, sizeof *results);
    response->results = arena_calloc(write->memory, count, sizeof(case_result *));
    struct rpc_room room = {0};
    if (results == NULL || response->results == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        casework__cases__v1__case_result__init(&results[i]);
        results[i].name = names[i];
        response->results[i] = &results[i];
        if (!fill_result(write->memory, &write->command.many.targets[i], &room, &results[i]))
            return false;
    }
    response->n_results = count;
    return true;
}

static bool begin_update(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                         error *err)
{
    const Casework__Cases__V1__BatchUpdateCasesRequest *request = (const void *)message;
    const char *account = NULL;
    if (!rpc_name_account(rpc_call_arena(call), request->parent, "parent", &account, err))
        return false;
    struct case_write *begun = case_write_begin(call, CASE_METHOD_CHANGE_MANY, account, err);
    if (begun == NULL)
        return false;
    struct many_write *many = arena_calloc(begun->memory, 1, sizeof *many);
    if (many == NULL)
        return out_of_memory(err);
    many->write = *begun;
    many->write.fill = fill;
    many->names = request->names;
    *ret_write = &many->write;
    return read_targets(&many->write, request->names, request->n_names, err) &&
           read_change(begun->memory, account, request->change, &many->write.command.many.act, err);
}

static void batch_update_cases(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_update,
                   &casework__cases__v1__batch_update_cases_response__descriptor);
}

const struct rpc_method many_methods[] = {
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "BatchUpdateCases",
     .roles = WRITE_ROLES_PEOPLE,
     .resource = "parent",
     .unary = batch_update_cases},
    {.service = NULL},
};
