#include "base/clock.h"
#include "calendar/zone.h"
#include "case/case_write.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/wire.h"

#include <string.h>

enum { LOCK_DAYS_DEFAULT = 3, LOCK_DAYS_MAX = 366 };
#define GRACE_DEFAULT (15 * CLOCK_SECOND)

static bool check_time_zone(const char *zone, error *err)
{
    return calendar_zone_get(zone) != NULL ||
           error_bad_field(err, "account.time_zone", "is no IANA time zone");
}

/* Settings as given, defaults filled in. */
static bool read_account(const Casework__Cases__V1__Account *wire, struct account_record *record, error *err)
{
    record->display_name = wire->display_name;
    record->time_zone = wire->time_zone[0] == '\0' ? "UTC" : wire->time_zone;
    record->reopen_resolved = wire->reopen_resolved_on_customer_message;
    record->report_lock_days = wire->report_lock_days == 0 ? LOCK_DAYS_DEFAULT : wire->report_lock_days;
    record->session_grace_us = GRACE_DEFAULT;
    if (record->report_lock_days < 1 || record->report_lock_days > LOCK_DAYS_MAX)
        return error_bad_field(err, "account.report_lock_days", "must be 1 to %d", LOCK_DAYS_MAX);
    if (wire->session_grace_duration != NULL &&
        (!wire_duration_us(wire->session_grace_duration, &record->session_grace_us) ||
         record->session_grace_us < 0 || record->session_grace_us > CLOCK_HOUR))
        return error_bad_field(err, "account.session_grace_duration", "must be 0 s to 1 h");
    return check_text(record->display_name, CASE_NAME_MAX, "account.display_name", err) &&
           check_time_zone(record->time_zone, err);
}

static void create_account(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const Casework__Cases__V1__CreateAccountRequest *request = (const void *)message;
    Casework__Cases__V1__Account defaults = CASEWORK__CASES__V1__ACCOUNT__INIT;
    const Casework__Cases__V1__Account *account = request->account == NULL ? &defaults : request->account;
    error err = {0};
    struct case_write *write = NULL;
    if (!check_required(request->account_id, 63, "account_id", &err) ||
        !check_id(request->account_id, "account_id", &err) ||
        (write = case_write_begin(call, CASE_METHOD_CREATE_ACCOUNT, request->account_id, &err)) == NULL ||
        !read_account(account, &write->command.given_account, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    write->command.given_account.id = request->account_id;
    case_write_submit(write, context, message, &casework__cases__v1__create_account_response__descriptor);
}

static bool begin_update(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                         error *err)
{
    const Casework__Cases__V1__UpdateAccountRequest *request = (const void *)message;
    const Casework__Cases__V1__Account *wire = request->account;
    const char *account = NULL;
    if (wire == NULL)
        return error_bad_field(err, "account", "is required");
    if (!rpc_name_account(rpc_call_arena(call), wire->name, "account.name", &account, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_UPDATE_ACCOUNT, account, err);
    if (write == NULL)
        return false;
    struct case_command *command = &write->command;
    const struct mask_field fields[] = {
        {"display_name", FIELD_DISPLAY_NAME, wire->display_name[0] != '\0'},
        {"time_zone", FIELD_TIME_ZONE, wire->time_zone[0] != '\0'},
        {"reopen_resolved_on_customer_message", FIELD_REOPEN_RESOLVED,
         wire->reopen_resolved_on_customer_message},
        {"report_lock_days", FIELD_REPORT_LOCK_DAYS, wire->report_lock_days != 0},
        {"session_grace_duration", FIELD_SESSION_GRACE, wire->session_grace_duration != NULL},
        {NULL, 0, false},
    };
    command->given_account.id = account;
    *ret_write = write;
    return read_account(wire, &command->given_account, err) &&
           read_mask(request->update_mask, fields, &command->fields, err) &&
           parse_etag(wire->etag, &command->expected_version);
}

static void update_account(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_update,
                   &casework__cases__v1__update_account_response__descriptor);
}

const struct rpc_method account_methods[] = {
    {.service = &casework__cases__v1__account_service__descriptor,
     .name = "CreateAccount",
     .roles = RPC_ROLE_SERVICE,
     .unary = create_account},
    {.service = &casework__cases__v1__account_service__descriptor,
     .name = "UpdateAccount",
     .roles = WRITE_ROLES_ADMINS,
     .resource = "account.name",
     .unary = update_account},
    {.service = NULL},
};
