/* RedactMessage, EraseContact, DeleteAccount. */

#include "case/case_write.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "rpc/name.h"

static bool begin_redact(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                         error *err)
{
    const Casework__Cases__V1__RedactMessageRequest *request = (const void *)message;
    const char *account = NULL;
    int64_t case_id = 0;
    int32_t number = 0;
    if (!rpc_name_message(rpc_call_arena(call), request->name, "name", &account, &case_id, &number, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_REDACT_MESSAGE, account, err);
    if (write == NULL)
        return false;
    write->command.redact.case_id = case_id;
    write->command.redact.number = number;
    *ret_write = write;
    return true;
}

static void redact_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_redact,
                   &casework__cases__v1__redact_message_response__descriptor);
}

static bool begin_erase(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                        error *err)
{
    const Casework__Cases__V1__EraseContactRequest *request = (const void *)message;
    const char *account = NULL, *id = NULL;
    if (!rpc_name_member(rpc_call_arena(call), "contacts", request->name, "name", &account, &id, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_ERASE_CONTACT, account, err);
    if (write == NULL)
        return false;
    write->command.given_contact.contact.id = id;
    *ret_write = write;
    return parse_etag(request->etag, &write->command.expected_version);
}

static void erase_contact(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_erase,
                   &casework__cases__v1__erase_contact_response__descriptor);
}

/* Of what has been deleted the name is left. */
static bool fill_name(struct case_write *write, ProtobufCMessage *response)
{
    Casework__Cases__V1__DeleteAccountResponse *deleted =
        (Casework__Cases__V1__DeleteAccountResponse *)response;
    deleted->name = arena_printf(write->memory, "accounts/%s", write->command.account);
    return deleted->name != NULL;
}

static bool begin_delete(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                         error *err)
{
    const Casework__Cases__V1__DeleteAccountRequest *request = (const void *)message;
    const char *account = NULL;
    if (rpc_call_caller(call)->agent[0] != '\0')
        return error_set(err, STATUS_PERMISSION_DENIED, "AGENT_NOT_ALLOWED",
                         "an agent cannot delete an account");
    if (!rpc_name_account(rpc_call_arena(call), request->name, "name", &account, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_DELETE_ACCOUNT, account, err);
    if (write == NULL)
        return false;
    write->command.deletion.allow_missing = request->allow_missing;
    write->fill = fill_name;
    *ret_write = write;
    return parse_etag(request->etag, &write->command.expected_version);
}

static void delete_account(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_delete,
                   &casework__cases__v1__delete_account_response__descriptor);
}

/* An account is deleted as it is created: by the platform alone, which owns no account that could be named.
 */
const struct rpc_method erase_methods[] = {
    {.service = &casework__cases__v1__message_service__descriptor,
     .name = "RedactMessage",
     .roles = WRITE_ROLES_ADMINS,
     .resource = "name",
     .unary = redact_message},
    {.service = &casework__cases__v1__contact_service__descriptor,
     .name = "EraseContact",
     .roles = WRITE_ROLES_ADMINS,
     .resource = "name",
     .unary = erase_contact},
    {.service = &casework__cases__v1__account_service__descriptor,
     .name = "DeleteAccount",
     .roles = RPC_ROLE_SERVICE,
     .unary = delete_account},
    {.service = NULL},
};
