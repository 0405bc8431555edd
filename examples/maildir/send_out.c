/*
 * Outgoing messages into the outbox, each once, whatever happens in between. The state file says up to where
 * all is done (the resume token), and which mail is on its way:
 *
 *   1. the mail is written to tmp                          a crash: it comes again, and is written over
 *   2. the state file names it as on its way               a crash: it is still in tmp, and is moved now
 *   3. it is moved to new: at once gone from tmp           a crash: it is not in tmp any more, so it was
 * moved
 *   4. its delivery is told                                a crash: it is told again, which changes nothing
 *   5. the state file has the token behind it
 */

#include "base/clock.h"
#include "base/injection.h"
#include "base/log.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "examples/maildir/connector.h"
#include "examples/maildir/mail.h"
#include "examples/maildir/maildir.h"
#include "rpc/wire.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MEMORY_MAX = 64 * 1024 * 1024, TOKEN_MAX = 512, NAME_MAX_BYTES = 256, STATE_MAX = 2048 };

#define CALL_TIMEOUT (10 * CLOCK_SECOND)
#define READ_TIMEOUT (CLOCK_SECOND / 2)
#define RETRY_AFTER CLOCK_SECOND

/* The state file: three lines. */
struct outbox {
    struct connector *connector;
    arena *memory; /* of one message */
    char token[TOKEN_MAX];
    char message[NAME_MAX_BYTES]; /* the message that is on its way; "": none */
    char next[TOKEN_MAX];         /* the token behind it */
};

static bool save(const struct outbox *out, error *err)
{
    char text[STATE_MAX];
    snprintf(text, sizeof text, "%s\n%s\n%s\n", out->token, out->message, out->next);
    return maildir_replace_file(out->connector->state_file, text, err);
}

static void read_line(FILE *file, char *line, int size)
{
    if (fgets(line, size, file) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

static void load(struct outbox *out)
{
    FILE *file = fopen(out->connector->state_file, "re");
    if (file == NULL)
        return;
    read_line(file, out->token, sizeof out->token);
    read_line(file, out->message, sizeof out->message);
    read_line(file, out->next, sizeof out->next);
    fclose(file);
}

/* --- telling --- */

static bool is_final(const error *err)
{
    return err->code == STATUS_INVALID_ARGUMENT || err->code == STATUS_FAILED_PRECONDITION ||
           err->code == STATUS_NOT_FOUND || err->code == STATUS_ALREADY_EXISTS;
}

/* True once the service has it, or will never have it. */
static bool tell(struct outbox *out, const char *message, Casework__Cases__V1__Delivery delivery,
                 const char *failure, const char *mail_id)
{
    const struct rpc_client_options options = {.timeout_us = CALL_TIMEOUT};
    Casework__Cases__V1__ReportDeliveryRequest request = CASEWORK__CASES__V1__REPORT_DELIVERY_REQUEST__INIT;
    request.name = (char *)(uintptr_t)message;
    request.delivery = delivery;
    request.failure = (char *)(uintptr_t)failure;
    request.external_id = (char *)(uintptr_t)mail_id;
    do {
        ProtobufCMessage *response;
        error err = {0};
        if (rpc_client_call(out->connector->rpc, &casework__cases__v1__connector_service__descriptor,
                            "ReportDelivery", &request.base, &options, out->memory, &response, &err))
            return true;
        log_warn("a delivery was not told", LOG_TEXT("message", message), LOG_TEXT("reason", err.reason),
                 LOG_TEXT("error", err.message), LOG_TEXT("detail", err.detail));
        if (is_final(&err))
            return true;
    } while (connector_wait(out->connector, RETRY_AFTER));
    return false;
}

/* --- one message --- */

static void paths_of(const struct outbox *out, const char *mail_id, char tmp[MAILDIR_PATH_MAX],
                     char done[MAILDIR_PATH_MAX])
{
    maildir_path(out->connector->outbox, "tmp", mail_id, tmp);
    maildir_path(out->connector->outbox, "new", mail_id, done);
}

/* From where the state file names the mail (2) to its end. */
static bool finish(struct outbox *out, error *err)
{
    char mail_id[512], tmp[MAILDIR_PATH_MAX], done[MAILDIR_PATH_MAX];
    connector_mail_id(out->connector, out->message, mail_id, sizeof mail_id);
    paths_of(out, mail_id, tmp, done);
    if (access(tmp, F_OK) == 0 && !maildir_move(tmp, done, err))
        return false;
    injection_point("maildir.moved");
    if (!tell(out, out->message, CASEWORK__CASES__V1__DELIVERY__DELIVERY_SENT, "", mail_id))
        return error_set(err, STATUS_CANCELLED, "STOPPING", "asked to stop");
    injection_point("maildir.told");
    memcpy(out->token, out->next, sizeof out->token);
    out->message[0] = out->next[0] = '\0';
    return save(out, err);
}

/* Answers keep the subject; files are named by where they are. */
static char *subject_of(struct outbox *out, const Casework__Cases__V1__StreamOutgoingResponse *outgoing)
{
    bool forwarded =
        outgoing->message->kind == CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_TO_THIRD_PARTY;
    return arena_printf(out->memory, "%s: %s", forwarded ? "Fwd" : "Re", outgoing->case_->subject);
}

static char *body_of(struct outbox *out, const Casework__Cases__V1__Message *message)
{
    char *body = message->body;
    for (size_t i = 0; i < message->n_attachments && body != NULL; i++)
        body = arena_printf(out->memory, "%s%s\n%s: %s", body, i == 0 ? "\n" : "",
                            message->attachments[i]->file_name, message->attachments[i]->uri);
    return body;
}

static bool write_mail(struct outbox *out, const Casework__Cases__V1__StreamOutgoingResponse *outgoing,
                       const char *mail_id, error *err)
{
    char reference[512], tmp[MAILDIR_PATH_MAX], done[MAILDIR_PATH_MAX];
    struct mail_out mail = {
        .from = out->connector->address,
        .to = outgoing->to_address,
        .cc = outgoing->cc_addresses,
        .cc_count = outgoing->n_cc_addresses,
        .subject = subject_of(out, outgoing),
        .body = body_of(out, outgoing->message),
        .id = mail_id,
        .reference = reference,
        .automatic = outgoing->message->automatic,
    };
    connector_mail_id(out->connector, outgoing->case_->name, reference, sizeof reference);
    paths_of(out, mail_id, tmp, done);
    if (mail.subject == NULL || mail.body == NULL ||
        !wire_time_us(outgoing->message->send_time, &mail.time_us))
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "the message is too large");
    return mail_write(&mail, tmp, err) && maildir_sync_folder(tmp, err);
}

static bool deliver(struct outbox *out, const Casework__Cases__V1__StreamOutgoingResponse *outgoing,
                    error *err)
{
    char mail_id[512];
    const char *name = outgoing->message->name;
    if (outgoing->to_address[0] == '\0') {
        if (!tell(out, name, CASEWORK__CASES__V1__DELIVERY__DELIVERY_FAILED,
                  "the customer has no e-mail address", ""))
            return error_set(err, STATUS_CANCELLED, "STOPPING", "asked to stop");
        snprintf(out->token, sizeof out->token, "%s", outgoing->resume_token);
        return save(out, err);
    }
    connector_mail_id(out->connector, name, mail_id, sizeof mail_id);
    if (!write_mail(out, outgoing, mail_id, err))
        return false;
    injection_point("maildir.written");
    snprintf(out->message, sizeof out->message, "%s", name);
    snprintf(out->next, sizeof out->next, "%s", outgoing->resume_token);
    if (!save(out, err))
        return false;
    injection_point("maildir.on_its_way");
    return finish(out, err);
}

/* --- the stream --- */

static bool open_stream(struct outbox *out, rpc_stream **ret_stream, error *err)
{
    const struct rpc_client_options options = {.timeout_us = INT64_MAX};
    Casework__Cases__V1__StreamOutgoingRequest request = CASEWORK__CASES__V1__STREAM_OUTGOING_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)out->connector->channel;
    request.resume_token = out->token;
    if (!rpc_stream_open(out->connector->rpc, &casework__cases__v1__connector_service__descriptor,
                         "StreamOutgoing", &options, ret_stream, err))
        return false;
    if (rpc_stream_write(*ret_stream, &request.base))
        rpc_stream_close_send(*ret_stream);
    return true; /* if it could not be written, reading says why */
}

static bool read_stream(struct outbox *out, rpc_stream *stream, error *err)
{
    while (!atomic_load(&out->connector->stopping)) {
        ProtobufCMessage *message = NULL;
        arena_clear(out->memory);
        switch (rpc_stream_read(stream, READ_TIMEOUT, out->memory, &message, err)) {
        case RPC_READ_MESSAGE:
            if (!deliver(out, (const Casework__Cases__V1__StreamOutgoingResponse *)(const void *)message,
                         err))
                return false;
            break;
        case RPC_READ_TIMEOUT:
            break;
        case RPC_READ_END:
            return true;
        case RPC_READ_FAILED:
            return false;
        }
    }
    return true;
}

/* A token that the service does not know any more: what was not told is given again. */
static void forget_token(struct outbox *out, const error *err)
{
    if (strcmp(err->reason, "INVALID_RESUME_TOKEN") == 0 || strcmp(err->reason, "EPOCH_CHANGED") == 0)
        out->token[0] = '\0';
}

static void run_once(struct outbox *out)
{
    rpc_stream *stream = NULL;
    error err = {0};
    bool done = (out->message[0] == '\0' || finish(out, &err)) && open_stream(out, &stream, &err) &&
                read_stream(out, stream, &err);
    rpc_stream_free(stream);
    if (done || atomic_load(&out->connector->stopping))
        return;
    log_warn("messages cannot be sent", LOG_TEXT("reason", err.reason), LOG_TEXT("error", err.message),
             LOG_TEXT("detail", err.detail));
    forget_token(out, &err);
}

void *connector_send_out(void *argument)
{
    struct connector *connector = argument;
    struct outbox out = {.connector = connector, .memory = arena_new(MEMORY_MAX)};
    if (out.memory == NULL)
        atomic_store(&connector->stopping, true);
    load(&out);
    while (!atomic_load(&connector->stopping)) {
        run_once(&out);
        connector_wait(connector, RETRY_AFTER);
    }
    arena_free(out.memory);
    return NULL;
}
