/* RecordTimerStep. */

#include "case/case_write.h"
#include "case/message_input.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "rpc/name.h"

static bool read_step(const Casework__Cases__V1__RecordTimerStepRequest *request, struct case_write *write,
                      error *err)
{
    struct timer_step *step = &write->command.change.act.timer.step;
    if ((int)request->kind < TIMER_KIND_CLOSE || (int)request->kind > TIMER_KIND_RESOLUTION)
        return error_bad_field(err, "kind", "is required");
    if ((int)request->step < TIMER_STEP_WARNED || (int)request->step > TIMER_STEP_MET)
        return error_bad_field(err, "step", "must be warned, breached or met");
    if (request->basis_version < 0)
        return error_bad_field(err, "basis_version", "must not be negative");
    if (write->command.actor.kind == ACTOR_KIND_AGENT)
        return error_set(err, STATUS_PERMISSION_DENIED, "AGENT_NOT_ALLOWED", "agents record no timer steps");
    if (request->case_version < 0)
        return error_bad_field(err, "case_version", "must not be negative");
    write->command.change.act.timer.case_version = request->case_version;
    step->kind = (enum timer_kind)request->kind;
    step->step = (enum timer_step_kind)request->step;
    step->basis_version = request->basis_version;
    if (!time_input(request->due_time, "due_time", &step->due_time, err) ||
        !time_input(request->target_time, "target_time", &step->target_time, err))
        return false;
    if (request->due_time != NULL && request->due_time->nanos % 1000 != 0)
        step->due_time++; /* never early */
    return true;
}

static bool begin_step(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                       error *err)
{
    const Casework__Cases__V1__RecordTimerStepRequest *request = (const void *)message;
    const char *account = NULL;
    int64_t case_id = 0;
    if (!rpc_name_case(rpc_call_arena(call), request->name, "name", &account, &case_id, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_RECORD_TIMER_STEP, account, err);
    if (write == NULL)
        return false;
    write->command.change.case_id = case_id;
    write->command.change.act = (struct case_act){.kind = CASE_ACT_RECORD_TIMER_STEP};
    *ret_write = write;
    return read_step(request, write, err);
}

static void record_timer_step(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_step,
                   &casework__cases__v1__record_timer_step_response__descriptor);
}

const struct rpc_method timer_methods[] = {
    {.service = &casework__cases__v1__case_service__descriptor,
     .name = "RecordTimerStep",
     .roles = RPC_ROLE_SERVICE,
     .resource = "name",
     .unary = record_timer_step},
    {.service = NULL},
};
