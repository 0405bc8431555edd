#include "case/case_write.h"
#include "case/contact_keys.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "rpc/name.h"

static bool begin_create(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                         error *err)
{
    const Casework__Cases__V1__CreateContactRequest *request = (const void *)message;
    const char *account = NULL;
    if (request->contact == NULL)
        return error_bad_field(err, "contact", "is required");
    if (!rpc_name_account(rpc_call_arena(call), request->parent, "parent", &account, err) ||
        !check_id(request->contact_id, "contact_id", err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_CREATE_CONTACT, account, err);
    if (write == NULL)
        return false;
    struct case_command *command = &write->command;
    *ret_write = write;
    if (!contact_read(write->memory, request->contact, "contact", FIELD_EMAILS | FIELD_PHONES | FIELD_HANDLES,
                      &command->given_contact.contact, &command->given_contact.addresses, err))
        return false;
    command->given_contact.contact.id = request->contact_id;
    return true;
}

static void create_contact(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_create,
                   &casework__cases__v1__create_contact_response__descriptor);
}

static bool begin_update(rpc_call *call, const ProtobufCMessage *message, struct case_write **ret_write,
                         error *err)
{
    const Casework__Cases__V1__UpdateContactRequest *request = (const void *)message;
    const Casework__Cases__V1__Contact *wire = request->contact;
    const char *account = NULL, *id = NULL;
    if (wire == NULL)
        return error_bad_field(err, "contact", "is required");
    if (!rpc_name_member(rpc_call_arena(call), "contacts", wire->name, "contact.name", &account, &id, err))
        return false;
    struct case_write *write = case_write_begin(call, CASE_METHOD_UPDATE_CONTACT, account, err);
    if (write == NULL)
        return false;
    struct case_command *command = &write->command;
    const struct mask_field fields[] = {
        {"display_name", FIELD_DISPLAY_NAME, wire->display_name[0] != '\0'},
        {"emails", FIELD_EMAILS, wire->n_emails > 0},
        {"phones", FIELD_PHONES, wire->n_phones > 0},
        {"handles", FIELD_HANDLES, wire->n_handles > 0},
        {"note", FIELD_NOTE, wire->note[0] != '\0'},
        {NULL, 0, false},
    };
    *ret_write = write;
    if (!read_mask(request->update_mask, fields, &command->fields, err) ||
        !contact_read(write->memory, wire, "contact", command->fields, &command->given_contact.contact,
                      &command->given_contact.addresses, err))
        return false;
    command->given_contact.contact.id = id;
    return parse_etag(wire->etag, &command->expected_version);
}

static void update_contact(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_write_run(call, message, context, begin_update,
                   &casework__cases__v1__update_contact_response__descriptor);
}

const struct rpc_method contact_methods[] = {
    {.service = &casework__cases__v1__contact_service__descriptor,
     .name = "CreateContact",
     .roles = WRITE_ROLES_ALL,
     .resource = "parent",
     .unary = create_contact},
    {.service = &casework__cases__v1__contact_service__descriptor,
     .name = "UpdateContact",
     .roles = WRITE_ROLES_ALL,
     .resource = "contact.name",
     .unary = update_contact},
    {.service = NULL},
};
