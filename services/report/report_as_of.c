#include "report/report_as_of.h"

#include "casework/cases/v1/event_service.pb-c.h"
#include "rpc/wire.h"

bool report_as_of_read(struct report_call *call, const Google__Protobuf__Timestamp *time,
                       const int64_t *position, struct report_as_of *ret_as_of)
{
    *ret_as_of = (struct report_as_of){.by_time = time != NULL, .position = INT64_MAX};
    if (time != NULL) {
        if (!wire_time_us(time, &ret_as_of->time))
            return error_bad_field(&call->err, "as_of_time", "not a time");
        /* what it will be like then is not known yet, and an answer about an instant never changes */
        return ret_as_of->time <= suite_clock_now_us(call->service->clock) ||
               error_bad_field(&call->err, "as_of_time", "must not be in the future");
    }
    if (position == NULL)
        return true;
    if (*position < 0)
        return error_bad_field(&call->err, "as_of_position", "must not be negative");
    ret_as_of->position = *position < INT64_MAX ? *position : INT64_MAX - 1; /* that would be "as it is" */
    return true;
}

static bool want_head(struct report_call *call)
{
    Casework__Cases__V1__GetPositionRequest request = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    request.parent = report_call_account_name(call);
    ProtobufCMessage *response;
    if (request.parent == NULL || !report_call_ask(call, &casework__cases__v1__event_service__descriptor,
                                                   "GetPosition", &request.base, &response))
        return false;
    int64_t head = ((const Casework__Cases__V1__GetPositionResponse *)response)->position;
    call->wanted = head > call->wanted ? head : call->wanted;
    return true;
}

bool report_as_of_want(struct report_call *call, const struct report_as_of *as_of)
{
    if (!as_of->by_time) {
        if (as_of->position != INT64_MAX && as_of->position > call->wanted)
            call->wanted = as_of->position;
        return true;
    }
    bool over;
    int64_t position;
    return report_store_position_at(call->service->store, call->account, as_of->time,
                                    report_call_deadline(call), &position, &over, &call->err) &&
           (over || want_head(call));
}

bool report_as_of_find(struct report_call *call, struct report_as_of *as_of)
{
    bool over;
    return !as_of->by_time ||
           report_store_position_at(call->service->store, call->account, as_of->time,
                                    report_call_deadline(call), &as_of->position, &over, &call->err);
}
