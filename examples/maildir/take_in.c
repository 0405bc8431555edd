/*
 * Mails from the inbox into cases. A mail leaves the folder only after the case service has it durably;
 * handed in twice, it is known by its identifier. So a crash anywhere between loses and doubles nothing.
 */

#include "base/clock.h"
#include "base/injection.h"
#include "base/log.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "examples/maildir/connector.h"
#include "examples/maildir/mail.h"
#include "examples/maildir/maildir.h"
#include "rpc/wire.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MEMORY_MAX = 64 * 1024 * 1024 };

#define CALL_TIMEOUT (10 * CLOCK_SECOND)
#define REFUSED_FOLDER ".refused"

struct intake {
    struct connector *connector;
    arena *memory; /* of one mail */
    char refused[MAILDIR_PATH_MAX];
};

static bool call(struct intake *in, const ProtobufCServiceDescriptor *service, const char *method,
                 const void *request, void *ret_response, error *err)
{
    const struct rpc_client_options options = {.timeout_us = CALL_TIMEOUT};
    ProtobufCMessage *response = NULL;
    *err = (error){0};
    if (!rpc_client_call(in->connector->rpc, service, method, request, &options, in->memory, &response, err))
        return false;
    *(void **)ret_response = response;
    return true;
}

static bool no_memory(error *err)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "NO_MEMORY", "the mail is too large");
}

/* Files stay in the mail and are referred to by its identifier (RFC 2392). */
static bool attachments_of(struct intake *in, const struct mail *mail,
                           Casework__Cases__V1__Attachment ***ret_list)
{
    Casework__Cases__V1__Attachment *items = arena_calloc(in->memory, mail->file_count + 1, sizeof *items);
    Casework__Cases__V1__Attachment **list = arena_calloc(in->memory, mail->file_count + 1, sizeof(void *));
    if (items == NULL || list == NULL)
        return false;
    for (size_t i = 0; i < mail->file_count; i++) {
        casework__cases__v1__attachment__init(&items[i]);
        items[i].file_name = mail->files[i].name;
        items[i].content_type = mail->files[i].content_type;
        items[i].size = mail->files[i].size;
        items[i].uri = arena_printf(in->memory, "mid:%s", mail->id);
        if (items[i].uri == NULL)
            return false;
        list[i] = &items[i];
    }
    *ret_list = list;
    return true;
}

/* --- third parties --- */

/* The message to a third party that the mail answers; NULL: none. */
static const Casework__Cases__V1__Message *answered_message(struct intake *in, const struct mail *mail,
                                                            error *err)
{
    for (size_t i = 0; i < mail->reference_count; i++) {
        char name[256];
        Casework__Cases__V1__GetMessageRequest request = CASEWORK__CASES__V1__GET_MESSAGE_REQUEST__INIT;
        Casework__Cases__V1__GetMessageResponse *response;
        *err = (error){0};
        if (mail->references[i] == NULL ||
            !connector_message_of(in->connector, mail->references[i], name, sizeof name))
            continue;
        request.name = name;
        if (!call(in, &casework__cases__v1__message_service__descriptor, "GetMessage", &request, &response,
                  err)) {
            if (err->code != STATUS_NOT_FOUND)
                return NULL;
            continue;
        }
        if (response->message->kind == CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_TO_THIRD_PARTY &&
            strcasecmp(response->message->third_party, mail->from_address) == 0)
            return response->message;
    }
    *err = (error){0};
    return NULL;
}

/* The case's name: that of the message without its end. */
static char *case_of(struct intake *in, const char *message_name)
{
    const char *end = strstr(message_name, "/messages/");
    return end == NULL ? NULL : arena_strndup(in->memory, message_name, (size_t)(end - message_name));
}

static bool add_message(struct intake *in, const Casework__Cases__V1__AddMessageRequest *request, error *err)
{
    enum { MERGES_MAX = 10 };
    Casework__Cases__V1__AddMessageRequest now = *request;
    for (int i = 0; i < MERGES_MAX; i++) {
        Casework__Cases__V1__AddMessageResponse *added;
        Casework__Cases__V1__GetCaseRequest get = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
        Casework__Cases__V1__GetCaseResponse *got;
        if (call(in, &casework__cases__v1__message_service__descriptor, "AddMessage", &now, &added, err))
            return true;
        if (strcmp(err->reason, "CASE_MERGED") != 0)
            return false;
        get.name = now.parent;
        if (!call(in, &casework__cases__v1__case_service__descriptor, "GetCase", &get, &got, err))
            return false;
        now.parent = got->case_->merged_into;
    }
    return false;
}

static bool hand_in_answer(struct intake *in, const struct mail *mail, bool with_time, const char *answered,
                           error *err)
{
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    request.parent = case_of(in, answered);
    request.message = &message;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_FROM_THIRD_PARTY;
    message.author = mail->from_address;
    message.body = mail->body;
    message.external_id = mail->id;
    message.automatic = mail->automatic;
    message.send_time = with_time ? wire_timestamp(in->memory, mail->time_us) : NULL;
    message.n_attachments = mail->file_count;
    if (request.parent == NULL || !attachments_of(in, mail, &message.attachments))
        return no_memory(err);
    return add_message(in, &request, err);
}

/* --- customers --- */

static bool hand_in_customers(struct intake *in, const struct mail *mail, bool with_time, error *err)
{
    Casework__Cases__V1__ReceiveMessageRequest request = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__ReceiveMessageResponse *response;
    request.parent = (char *)(uintptr_t)in->connector->channel;
    request.sender_address = mail->from_address;
    request.sender_display_name = mail->from_name;
    request.subject = mail->subject;
    request.body = mail->body;
    request.external_id = mail->id;
    request.automatic = mail->automatic;
    request.send_time = with_time ? wire_timestamp(in->memory, mail->time_us) : NULL;
    request.n_attachments = mail->file_count;
    if (!attachments_of(in, mail, &request.attachments))
        return no_memory(err);
    return call(in, &casework__cases__v1__connector_service__descriptor, "ReceiveMessage", &request,
                &response, err);
}

static bool hand_in(struct intake *in, const struct mail *mail, error *err)
{
    const Casework__Cases__V1__Message *answered = answered_message(in, mail, err);
    if (answered == NULL && err->code != STATUS_OK)
        return false;
    const char *answered_name = answered == NULL ? NULL : answered->name;
    /* A Date that the service does not believe is no reason to lose the mail. */
    for (int with_time = mail->time_us > 0; with_time >= 0; with_time--) {
        if (answered_name != NULL ? hand_in_answer(in, mail, with_time, answered_name, err)
                                  : hand_in_customers(in, mail, with_time, err))
            return true;
        if (err->code != STATUS_INVALID_ARGUMENT)
            return false;
    }
    return false;
}

/* --- one file --- */

/* Will it be the same the next time? */
static bool is_final(const error *err)
{
    return err->code == STATUS_INVALID_ARGUMENT || err->code == STATUS_FAILED_PRECONDITION;
}

static bool put_away(struct intake *in, const char *name, bool taken)
{
    char from[MAILDIR_PATH_MAX], to[MAILDIR_PATH_MAX], seen[300];
    error err = {0};
    snprintf(seen, sizeof seen, "%s:2,S", name);
    maildir_path(in->connector->inbox, "new", name, from);
    maildir_path(taken ? in->connector->inbox : in->refused, taken ? "cur" : "new", taken ? seen : name, to);
    if (maildir_move(from, to, &err))
        return true;
    log_error("a mail cannot be moved", LOG_TEXT("file", name), LOG_TEXT("error", err.message));
    return false;
}

static bool take(void *argument, const char *name)
{
    struct intake *in = argument;
    char path[MAILDIR_PATH_MAX];
    struct mail mail;
    error err = {0};
    maildir_path(in->connector->inbox, "new", name, path);
    arena_clear(in->memory);
    bool taken = mail_read(path, in->memory, &mail, &err);
    /* What we have sent ourselves must not go round in circles. */
    bool is_own = taken && strcasecmp(mail.from_address, in->connector->address) == 0;
    taken = taken && (is_own || hand_in(in, &mail, &err));
    if (taken)
        injection_point("maildir.handed_in");
    else
        log_warn("a mail was not taken", LOG_TEXT("file", name), LOG_TEXT("reason", err.reason),
                 LOG_TEXT("error", err.message), LOG_TEXT("detail", err.detail));
    if (!taken && !is_final(&err))
        return false; /* the others later too, so that they come in order */
    return put_away(in, name, taken) && !atomic_load(&in->connector->stopping);
}

void *connector_take_in(void *argument)
{
    struct connector *connector = argument;
    struct intake in = {.connector = connector, .memory = arena_new(MEMORY_MAX)};
    error err = {0};
    snprintf(in.refused, sizeof in.refused, "%s/" REFUSED_FOLDER, connector->inbox);
    if (in.memory == NULL || !maildir_make(in.refused, &err)) {
        log_error("mails cannot be taken in", LOG_TEXT("error", err.message));
        atomic_store(&connector->stopping, true);
    }
    while (!atomic_load(&connector->stopping)) {
        maildir_walk(connector->inbox, take, &in);
        connector_wait(connector, connector->poll_us);
    }
    arena_free(in.memory);
    return NULL;
}
