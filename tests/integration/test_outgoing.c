/* What connectors take away: StreamOutgoing over several replicas, and ReportDelivery. */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "tests/support/case_desk.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_CUSTOMER = 1, KIND_AGENT, KIND_NOTE, KIND_TO, KIND_FROM, KIND_SYSTEM, KIND_SURVEY };
enum { NOT_OUTGOING, QUEUED, SENT, FAILED };

#define SOON (30 * CLOCK_SECOND) /* with sanitizers and company */

typedef Casework__Cases__V1__StreamOutgoingResponse outgoing;

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void setup_impatient(void)
{
    setenv("STREAM_PATIENCE_SECONDS", "1", 1);
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(outgoing, .init = setup, .fini = teardown, .timeout = 120);
TestSuite(outgoing_slow, .init = setup_impatient, .fini = teardown, .timeout = 120);

static rpc_stream *open_at(rpc_channel *channel, const char *parent, const char *token)
{
    const struct rpc_client_options options = {.timeout_us = INT64_MAX};
    Casework__Cases__V1__StreamOutgoingRequest request = CASEWORK__CASES__V1__STREAM_OUTGOING_REQUEST__INIT;
    rpc_stream *stream;
    error err;
    request.parent = desk_text(parent);
    request.resume_token = desk_text(token);
    cr_assert(rpc_stream_open(channel, DESK_CONNECTORS, "StreamOutgoing", &options, &stream, &err), "%s",
              err.message);
    cr_assert(rpc_stream_write(stream, &request.base));
    rpc_stream_close_send(stream);
    return stream;
}

static rpc_stream *open_mail(const char *token)
{
    return open_at(server.channel, "accounts/acme/channels/mail", token);
}

static outgoing *next(rpc_stream *stream)
{
    ProtobufCMessage *message = NULL;
    error err = {0};
    cr_assert_eq(rpc_stream_read(stream, SOON, server.memory, &message, &err), RPC_READ_MESSAGE, "%s",
                 err.message);
    return (outgoing *)message;
}

/* Nothing comes, though what was written before has been seen by everybody. */
static void expect_nothing(rpc_stream *stream)
{
    ProtobufCMessage *message = NULL;
    error err;
    cr_assert_eq(rpc_stream_read(stream, CLOCK_SECOND / 5, server.memory, &message, &err), RPC_READ_TIMEOUT);
}

static error failure_of(rpc_stream *stream)
{
    ProtobufCMessage *message = NULL;
    error err = {0};
    enum rpc_read read;
    do
        read = rpc_stream_read(stream, SOON, server.memory, &message, &err);
    while (read == RPC_READ_MESSAGE);
    cr_assert_eq(read, RPC_READ_FAILED);
    rpc_stream_free(stream);
    return err;
}

static Casework__Cases__V1__ReportDeliveryResponse *report(const char *message, int delivery,
                                                           const char *failure, const char *external_id)
{
    return desk_call(&server, "", DESK_CONNECTORS, "ReportDelivery",
                     desk_report(&server, message, delivery, failure, external_id));
}

static error report_fails(const char *agent, const char *message, int delivery, const char *failure,
                          const char *external_id)
{
    return desk_fail(&server, agent, DESK_CONNECTORS, "ReportDelivery",
                     desk_report(&server, message, delivery, failure, external_id));
}

static const char *mail_case(const char *external_id)
{
    return desk_receive(&server, "mail", "Jo@example.com", external_id, "It does not print")->case_->name;
}

/* --- what is outgoing -------------------------------------------------------------------------------------
 */

Test(outgoing, replies_surveys_and_messages_to_third_parties_in_order)
{
    const char *name = mail_case("e1");
    desk_add(&server, "anna", name, KIND_AGENT, "one");
    desk_add(&server, "anna", name, KIND_NOTE, "a note");
    desk_add(&server, "", name, KIND_SURVEY, "two");
    desk_add(&server, "", name, KIND_SYSTEM, "a notice");
    Casework__Cases__V1__ForwardCaseResponse *forwarded =
        desk_call(&server, "anna", DESK_CASES, "ForwardCase",
                  desk_forward_case(&server, name, NULL, "lab@example.net", ""));
    desk_receive(&server, "mail", "jo@example.com", "e2", "and?");
    desk_add(&server, "anna", name, KIND_AGENT, "four");
    rpc_stream *stream = open_mail("");
    outgoing *one = next(stream), *two = next(stream), *three = next(stream), *four = next(stream);
    cr_assert_str_eq(one->message->body, "one");
    cr_assert_str_eq(one->to_address, "Jo@example.com");
    cr_assert_str_eq(one->case_->name, name);
    cr_assert_eq((int)one->message->delivery, QUEUED);
    cr_assert_str_eq(two->message->body, "two");
    cr_assert_str_eq(three->message->name, forwarded->message->name);
    cr_assert_str_eq(three->to_address, "lab@example.net");
    cr_assert_str_eq(four->message->body, "four");
    expect_nothing(stream);
    rpc_stream_free(stream);
}

Test(outgoing, imported_messages_never_go_out)
{
    Casework__Cases__V1__ImportConversationsRequest *items[] = {
        case_server_conversation(&server, "acme", "old", "Old", "caca", CASE_SERVER_START_US - CLOCK_DAY)};
    case_server_import(&server, items, 1);
    rpc_stream *stream = open_at(server.channel, "accounts/acme/channels/-", "");
    expect_nothing(stream);
    rpc_stream_free(stream);
    error err = report_fails("", "accounts/acme/cases/1/messages/2", SENT, "", "");
    cr_assert_str_eq(err.reason, "NOT_OUTGOING");
}

Test(outgoing, a_channel_gives_its_own_messages_and_the_account_all)
{
    const char *mail = mail_case("e1"), *chat = desk_receive(&server, "desk", "Jo", "e1", "hi")->case_->name;
    desk_add(&server, "anna", mail, KIND_AGENT, "by mail");
    desk_add(&server, "anna", chat, KIND_AGENT, "by chat");
    rpc_stream *one = open_mail(""), *all = open_at(server.channel, "accounts/acme/channels/-", "");
    cr_assert_str_eq(next(one)->message->body, "by mail");
    expect_nothing(one);
    cr_assert_str_eq(next(all)->message->body, "by mail");
    outgoing *last = next(all);
    cr_assert_str_eq(last->message->body, "by chat");
    cr_assert_str_eq(last->to_address, "Jo", "the handle on the channel's network");
    rpc_stream_free(one);
    rpc_stream_free(all);
}

Test(outgoing, a_customer_without_an_address_there_has_an_empty_one)
{
    Casework__Cases__V1__CreateCaseRequest create = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case record = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Message first = CASEWORK__CASES__V1__MESSAGE__INIT;
    create.parent = desk_text("accounts/acme");
    create.case_ = &record;
    record.channel = desk_text("accounts/acme/channels/mail");
    create.first_message = &first;
    first.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT;
    first.body = desk_text("to nobody");
    desk_call(&server, "anna", DESK_CASES, "CreateCase", &create);
    rpc_stream *stream = open_mail("");
    outgoing *one = next(stream);
    cr_assert_str_eq(one->message->body, "to nobody");
    cr_assert_str_eq(one->to_address, "");
    rpc_stream_free(stream);
}

/* --- delivery ---------------------------------------------------------------------------------------------
 */

Test(outgoing, a_message_is_given_until_it_was_told)
{
    const char *name = mail_case("e1");
    const char *first = desk_add(&server, "anna", name, KIND_AGENT, "one")->name;
    const char *second = desk_add(&server, "anna", name, KIND_AGENT, "two")->name;
    desk_add(&server, "anna", name, KIND_AGENT, "three");
    rpc_stream *stream = open_mail("");
    const char *token = next(stream)->resume_token;
    rpc_stream_free(stream);
    stream = open_mail("");
    cr_assert_str_eq(next(stream)->message->name, first, "nobody has told anything");
    rpc_stream_free(stream);
    stream = open_mail(token);
    cr_assert_str_eq(next(stream)->message->name, second, "the connector has dealt with the first");
    rpc_stream_free(stream);
    report(first, SENT, "", "");
    report(second, FAILED, "mailbox full", "");
    stream = open_mail("");
    cr_assert_str_eq(next(stream)->message->body, "three");
    expect_nothing(stream);
    rpc_stream_free(stream);
    stream = open_mail(token);
    cr_assert_str_eq(next(stream)->message->body, "three", "what was told is not given again");
    rpc_stream_free(stream);
    cr_assert_eq((int)desk_get_message(&server, first)->delivery, SENT);
    cr_assert_eq((int)desk_get_message(&server, second)->delivery, FAILED);
    cr_assert_str_eq(desk_get_message(&server, second)->delivery_failure, "mailbox full");
}

Test(outgoing, states_of_a_delivery)
{
    const char *name = mail_case("e1");
    const char *message = desk_add(&server, "anna", name, KIND_AGENT, "one")->name;
    int64_t version = desk_case(&server, name)->version;
    Casework__Cases__V1__ReportDeliveryResponse *failed = report(message, FAILED, "no route", "");
    cr_assert_str_eq(failed->message->delivery_failure, "no route");
    cr_assert_str_eq(report(message, FAILED, "other words", "")->message->delivery_failure, "no route",
                     "told again, nothing changes");
    cr_assert_eq(desk_case(&server, name)->version, version + 1);
    Casework__Cases__V1__ReportDeliveryResponse *sent = report(message, SENT, "", "");
    cr_assert_gt(sent->position, failed->position);
    cr_assert_eq((int)sent->message->delivery, SENT, "a failed one may be told sent later");
    cr_assert_str_eq(sent->message->delivery_failure, "");
    report(message, SENT, "", "");
    cr_assert_eq(desk_case(&server, name)->version, version + 2);
    error err = report_fails("", message, FAILED, "bounced", "");
    cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_assert_str_eq(err.reason, "ALREADY_SENT");
    const Casework__Cases__V1__Event *told = desk_last_event(&server, name, 31);
    cr_assert_eq((int)told->message->delivery, SENT);
    cr_assert_eq(told->message->number, 2);
    cr_assert_eq(told->case_facts->change_version, desk_case(&server, name)->change_version);
}

Test(outgoing, reports_that_are_wrong)
{
    const char *name = mail_case("e1");
    const char *message = desk_add(&server, "anna", name, KIND_AGENT, "one")->name;
    char *customers = arena_printf(server.memory, "%s/messages/1", name);
    char *unknown = arena_printf(server.memory, "%s/messages/9", name);
    char *longer = arena_alloc(server.memory, 2000);
    memset(longer, 'x', 1025);
    longer[1025] = '\0';
    cr_assert_str_eq(report_fails("", customers, SENT, "", "").reason, "NOT_OUTGOING");
    cr_assert_eq(report_fails("", unknown, SENT, "", "").code, STATUS_NOT_FOUND);
    cr_assert_eq(report_fails("", "accounts/acme/cases/77/messages/1", SENT, "", "").code, STATUS_NOT_FOUND);
    cr_assert_eq(report_fails("", message, QUEUED, "", "").code, STATUS_INVALID_ARGUMENT);
    cr_assert_eq(report_fails("", message, NOT_OUTGOING, "", "").code, STATUS_INVALID_ARGUMENT);
    cr_assert_eq(report_fails("", message, 9, "", "").code, STATUS_INVALID_ARGUMENT);
    cr_assert_eq(report_fails("", message, FAILED, longer, "").code, STATUS_INVALID_ARGUMENT);
    cr_assert_eq(report_fails("", message, SENT, "why then", "").code, STATUS_INVALID_ARGUMENT);
    cr_assert_eq(report_fails("", message, SENT, "", longer).code, STATUS_INVALID_ARGUMENT);
    cr_assert_eq(report_fails("anna", message, SENT, "", "").code, STATUS_PERMISSION_DENIED);
    cr_assert_eq((int)desk_get_message(&server, message)->delivery, QUEUED);
    Casework__Cases__V1__ReportDeliveryRequest *request = desk_report(&server, message, SENT, "", "");
    request->request_id = desk_text("r1");
    Casework__Cases__V1__ReportDeliveryResponse *first =
        desk_call(&server, "", DESK_CONNECTORS, "ReportDelivery", request);
    Casework__Cases__V1__ReportDeliveryResponse *again =
        desk_call(&server, "", DESK_CONNECTORS, "ReportDelivery", request);
    cr_assert_eq(first->position, again->position);
    request->failure = desk_text("other");
    request->delivery = CASEWORK__CASES__V1__DELIVERY__DELIVERY_FAILED;
    cr_assert_str_eq(desk_fail(&server, "", DESK_CONNECTORS, "ReportDelivery", request).reason,
                     "REQUEST_ID_REUSED");
}

Test(outgoing, the_identifier_on_the_channel_is_known_from_then_on)
{
    const char *name = mail_case("e1");
    const char *message = desk_add(&server, "anna", name, KIND_AGENT, "one")->name;
    const char *other = desk_add(&server, "anna", name, KIND_AGENT, "two")->name;
    cr_assert_str_eq(report(message, SENT, "", "m1")->message->external_id, "m1");
    Casework__Cases__V1__ReceiveMessageResponse *echo =
        desk_receive(&server, "mail", "help@acme.example", "m1", "one");
    cr_assert_str_eq(echo->message->name, message, "our own message that came back changes nothing");
    error err = report_fails("", other, SENT, "", "m1");
    cr_assert_eq(err.code, STATUS_ALREADY_EXISTS);
    cr_assert_str_eq(err.reason, "EXTERNAL_ID_TAKEN");
    cr_assert_eq((int)desk_get_message(&server, other)->delivery, QUEUED);
}

Test(outgoing, a_report_moves_nothing_else)
{
    const char *name = mail_case("e1");
    const char *message = desk_add(&server, "anna", name, KIND_AGENT, "one")->name;
    desk_step(&server, "anna", "ResolveCase", name);
    case_server_advance(&server, CLOCK_HOUR);
    const Casework__Cases__V1__Case *before = desk_case(&server, name);
    report(message, SENT, "", "");
    const Casework__Cases__V1__Case *after = desk_case(&server, name);
    cr_assert_eq(after->status, before->status);
    cr_assert_eq(after->change_version, before->change_version, "the 72 hours go on");
    cr_assert_eq(after->activity_version, before->activity_version);
    const char *second = desk_add(&server, "anna", name, KIND_AGENT, "two")->name;
    desk_step(&server, "anna", "DeleteCase", name);
    cr_assert_eq((int)report(second, SENT, "", "")->message->delivery, SENT, "it has gone out all the same");
}

/* --- the stream -------------------------------------------------------------------------------------------
 */

Test(outgoing, what_is_wrong_with_a_stream)
{
    const char *name = mail_case("e1");
    desk_add(&server, "anna", name, KIND_AGENT, "one");
    rpc_stream *stream = open_mail("");
    char *token = next(stream)->resume_token;
    rpc_stream_free(stream);
    cr_assert_eq(failure_of(open_at(server.channel, "accounts/acme/channels/none", "")).code,
                 STATUS_NOT_FOUND);
    cr_assert_eq(failure_of(open_at(server.channel, "accounts/none/channels/-", "")).code, STATUS_NOT_FOUND);
    cr_assert_eq(failure_of(open_at(server.channel, "accounts/acme", "")).code, STATUS_INVALID_ARGUMENT);
    error foreign = failure_of(open_at(server.channel, "accounts/acme/channels/desk", token));
    cr_assert_eq(foreign.code, STATUS_INVALID_ARGUMENT);
    cr_assert_str_eq(foreign.reason, "INVALID_RESUME_TOKEN");
    token[5] = token[5] == 'A' ? 'B' : 'A';
    cr_assert_str_eq(failure_of(open_mail(token)).reason, "INVALID_RESUME_TOKEN");
    cr_assert_str_eq(failure_of(open_mail("x")).reason, "INVALID_RESUME_TOKEN");
}

/* Readers on two replicas get what is written through both, at once and in the same order. */
Test(outgoing, several_replicas_push_the_same_in_the_same_order)
{
    enum { MESSAGES = 40 };
    case_server_start_hearing(&server); /* pushed, not found by a look */
    const char *name = mail_case("e1");
    rpc_stream *here = open_mail("");
    rpc_stream *there = open_at(server.other_channel, "accounts/acme/channels/mail", "");
    rpc_channel *writers[] = {server.channel, server.other_channel};
    char *written[MESSAGES];
    const struct rpc_client_options options = {.timeout_us = SOON, .agent = "anna"};
    for (int i = 0; i < MESSAGES; i++) {
        ProtobufCMessage *response;
        error err;
        const Casework__Cases__V1__AddMessageRequest *request =
            desk_message(&server, name, KIND_AGENT, arena_printf(server.memory, "text %d", i));
        cr_assert(rpc_client_call(writers[i % 2], DESK_MESSAGES, "AddMessage", &request->base, &options,
                                  server.memory, &response, &err));
        written[i] = ((Casework__Cases__V1__AddMessageResponse *)response)->message->name;
        if (i % 8 != 0)
            continue;
        for (int k = i == 0 ? 0 : i - 7; k <= i; k++) {
            cr_assert_str_eq(next(here)->message->name, written[k]);
            cr_assert_str_eq(next(there)->message->name, written[k]);
        }
    }
    rpc_stream_free(here);
    rpc_stream_free(there);
}

/* Cut and resumed wherever it happens to be, on either replica, each message comes once. */
Test(outgoing, resumed_without_gap_and_duplicate)
{
    enum { MESSAGES = 60 };
    case_server_start_other(&server);
    const char *name = mail_case("e1");
    rpc_channel *channels[] = {server.channel, server.other_channel};
    const char *token = "";
    unsigned seed = 7;
    int written = 0, seen = 0;
    for (int round = 0; seen < MESSAGES; round++) {
        for (int i = 0; i < 5 && written < MESSAGES; i++)
            desk_add(&server, "anna", name, KIND_AGENT, arena_printf(server.memory, "%d", written++));
        rpc_stream *stream = open_at(channels[round % 2], "accounts/acme/channels/mail", token);
        for (int i = rand_r(&seed) % 6; i >= 0 && seen < written; i--) {
            outgoing *got = next(stream);
            cr_assert_eq((int)strtol(got->message->body, NULL, 10), seen++, "round %d", round);
            token = got->resume_token;
        }
        rpc_stream_free(stream);
    }
    rpc_stream *stream = open_mail(token);
    expect_nothing(stream);
    rpc_stream_free(stream);
}

struct writer {
    const char *case_name;
    int number;
};

enum { WRITERS = 4, EACH = 50 };

static void *write_many(void *argument)
{
    const struct writer *writer = argument;
    const struct rpc_client_options options = {.timeout_us = SOON, .agent = "anna"};
    rpc_channel *channel = writer->number % 2 ? server.other_channel : server.channel;
    arena *memory = arena_new(16 << 20);
    for (int i = 0; i < EACH; i++) {
        Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
        Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
        ProtobufCMessage *response;
        error err;
        request.parent = desk_text(writer->case_name);
        request.message = &message;
        message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT;
        message.body = desk_text("text");
        cr_assert(rpc_client_call(channel, DESK_MESSAGES, "AddMessage", &request.base, &options, memory,
                                  &response, &err));
        arena_clear(memory);
    }
    arena_free(memory);
    return NULL;
}

Test(outgoing, nothing_is_missed_while_many_write)
{
    case_server_start_other(&server);
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        char sender[32], id[32];
        snprintf(sender, sizeof sender, "jo%d@example.com", i);
        snprintf(id, sizeof id, "e%d", i);
        writers[i] = (struct writer){desk_receive(&server, "mail", sender, id, "x")->case_->name, i};
    }
    rpc_stream *stream = open_mail("");
    for (int i = 0; i < WRITERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    int last[WRITERS + 1] = {0};
    for (int i = 0; i < WRITERS * EACH; i++) {
        outgoing *got = next(stream);
        int owner = (int)strtol(strrchr(got->case_->name, '/') + 1, NULL, 10);
        cr_assert(owner >= 1 && owner <= WRITERS);
        cr_assert_eq(got->message->number, last[owner] + (last[owner] == 0 ? 2 : 1),
                     "each case in its order");
        last[owner] = got->message->number;
    }
    expect_nothing(stream);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    rpc_stream_free(stream);
}

Test(outgoing, a_deleted_account_ends_it)
{
    Casework__Cases__V1__DeleteAccountRequest delete = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    delete.name = desk_text("accounts/acme");
    desk_add(&server, "anna", mail_case("e1"), KIND_AGENT, "one");
    rpc_stream *mail = open_mail(""), *all = open_at(server.channel, "accounts/acme/channels/-", "");
    next(mail); /* both have begun */
    next(all);
    desk_call(&server, "", &casework__cases__v1__account_service__descriptor, "DeleteAccount", &delete);
    case_server_account(&server, "acme");
    error err = failure_of(mail);
    cr_assert_eq(err.code, STATUS_NOT_FOUND, "%s", err.message);
    err = failure_of(all);
    cr_assert_eq(err.code, STATUS_NOT_FOUND, "%s", err.message);
}

Test(outgoing_slow, a_reader_that_takes_nothing_loses_its_stream_and_resumes)
{
    enum { MESSAGES = 40, BYTES = 900 * 1024 };
    const char *name = mail_case("e1");
    char *body = arena_alloc(server.memory, BYTES + 1);
    memset(body, 'x', BYTES);
    body[BYTES] = '\0';
    rpc_stream *stream = open_mail("");
    for (int i = 0; i < MESSAGES; i++)
        desk_add(&server, "anna", name, KIND_AGENT, body);
    case_server_await_slow_reader(&server, DESK_CONNECTORS->name, "StreamOutgoing");
    const char *token = "";
    int seen = 0;
    ProtobufCMessage *message;
    error err = {0};
    while (rpc_stream_read(stream, SOON, server.memory, &message, &err) == RPC_READ_MESSAGE) {
        seen++;
        token = ((outgoing *)message)->resume_token;
    }
    cr_assert_eq(err.code, STATUS_RESOURCE_EXHAUSTED, "%s", err.message);
    cr_assert_str_eq(err.reason, "SLOW_READER");
    cr_assert_lt(seen, MESSAGES);
    rpc_stream_free(stream);
    stream = open_mail(token);
    for (; seen < MESSAGES; seen++)
        cr_assert_eq(next(stream)->message->number, seen + 2);
    rpc_stream_free(stream);
}

/* --- who may do what --------------------------------------------------------------------------------------
 */

static enum status_code code_of(rpc_channel *channel, const ProtobufCServiceDescriptor *service,
                                const char *method, const void *request)
{
    const struct rpc_client_options options = {.timeout_us = SOON, .no_retry = true};
    ProtobufCMessage *response;
    arena *memory = arena_new(4 << 20);
    error err = {0};
    bool done = rpc_client_call(channel, service, method, request, &options, memory, &response, &err);
    arena_free(memory);
    return done ? STATUS_OK : err.code;
}

/* The codes of: handing in, streaming, telling, forwarding. */
static void expect_rights(suite *s, enum rpc_role role, const char *account, enum status_code connects,
                          enum status_code forwards)
{
    const struct rpc_token_claims claims = {.account = account,
                                            .role = role,
                                            .subject = "gateway",
                                            .agent = role == RPC_ROLE_CONNECTOR ? "" : "anna",
                                            .ttl_us = CLOCK_HOUR};
    char *token = suite_token(s, &claims);
    rpc_channel *channel = suite_channel_as(s, SUITE_CASE, token);
    Casework__Cases__V1__ReceiveMessageRequest receive = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__ReportDeliveryRequest told = CASEWORK__CASES__V1__REPORT_DELIVERY_REQUEST__INIT;
    Casework__Cases__V1__ForwardMessageRequest message = CASEWORK__CASES__V1__FORWARD_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__ForwardCaseRequest whole = CASEWORK__CASES__V1__FORWARD_CASE_REQUEST__INIT;
    receive.parent = desk_text("accounts/acme/channels/desk");
    receive.sender_address = desk_text("jo");
    receive.external_id = desk_text("e1");
    told.name = desk_text("accounts/acme/cases/1/messages/2");
    told.delivery = CASEWORK__CASES__V1__DELIVERY__DELIVERY_SENT;
    message.name = desk_text("accounts/acme/cases/1/messages/1");
    message.target_case = CASEWORK__CASES__V1__FORWARD_MESSAGE_REQUEST__TARGET_THIRD_PARTY;
    whole.name = desk_text("accounts/acme/cases/1");
    whole.target_case = CASEWORK__CASES__V1__FORWARD_CASE_REQUEST__TARGET_THIRD_PARTY;
    message.third_party = whole.third_party = desk_text("lab@example.net");
    cr_assert_eq(code_of(channel, DESK_CONNECTORS, "ReceiveMessage", &receive), connects);
    cr_assert_eq(code_of(channel, DESK_CONNECTORS, "ReportDelivery", &told), connects);
    enum status_code forwarding = code_of(channel, DESK_MESSAGES, "ForwardMessage", &message);
    cr_assert_eq(forwarding, forwards, "role %d: %s", (int)role, status_code_name(forwarding));
    cr_assert_eq(code_of(channel, DESK_CASES, "ForwardCase", &whole), forwards);
    rpc_stream *stream = open_at(channel, "accounts/acme/channels/-", "");
    ProtobufCMessage *response;
    error err = {0};
    bool fails = connects != STATUS_OK;
    enum rpc_read read =
        rpc_stream_read(stream, fails ? SOON : CLOCK_SECOND / 2, server.memory, &response, &err);
    cr_assert_eq(read, fails ? RPC_READ_FAILED : RPC_READ_TIMEOUT);
    cr_assert_eq(err.code, connects);
    rpc_stream_free(stream);
    rpc_channel_free(channel);
    free(token);
}

static void setup_nothing(void)
{
    server = (struct case_server){.memory = arena_new(16 << 20)};
}

static void teardown_nothing(void)
{
    arena_free(server.memory);
}

TestSuite(outgoing_rights, .init = setup_nothing, .fini = teardown_nothing, .timeout = 120);

Test(outgoing_rights, of_connectors_agents_and_others)
{
    suite *s = suite_start(NULL);
    const char *account = suite_create_account(s, "acme", "UTC", server.memory);
    suite_create_account(s, "other", "UTC", server.memory);
    suite_create_agent(s, account, "anna");
    const char *name = suite_create_case(s, account, "Printer", "It does not print", server.memory, NULL);
    suite_write(s, name, KIND_AGENT, "anna", "Is it plugged in?");
    expect_rights(s, RPC_ROLE_CONNECTOR, "acme", STATUS_OK, STATUS_PERMISSION_DENIED);
    expect_rights(s, RPC_ROLE_AGENT, "acme", STATUS_PERMISSION_DENIED, STATUS_OK);
    expect_rights(s, RPC_ROLE_ADMIN, "acme", STATUS_PERMISSION_DENIED, STATUS_OK);
    expect_rights(s, RPC_ROLE_CONNECTOR, "other", STATUS_NOT_FOUND, STATUS_PERMISSION_DENIED);
    expect_rights(s, RPC_ROLE_ADMIN, "other", STATUS_PERMISSION_DENIED, STATUS_NOT_FOUND);
    suite_stop(s);
}
