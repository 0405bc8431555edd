/* The write side of the case service, on a real PostgreSQL: commands of one batch and of many. */

#include "base/clock.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANNELS (&casework__cases__v1__channel_service__descriptor)
#define CONTACTS (&casework__cases__v1__contact_service__descriptor)

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_write, .init = setup, .fini = teardown, .timeout = 120);

static Casework__Cases__V1__ReceiveMessageResponse *receive(const char *sender, const char *external_id)
{
    return desk_receive(&server, "desk", sender, external_id, "It does not print");
}

static Casework__Cases__V1__Message *get_message(const char *case_name, int number)
{
    return desk_get_message(&server, arena_printf(server.memory, "%s/messages/%d", case_name, number));
}

/* --- routing ----------------------------------------------------------------------------------------------
 */

Test(case_write, an_unknown_sender_becomes_a_contact_and_keeps_the_case)
{
    Casework__Cases__V1__ReceiveMessageResponse *first = receive("Jo", "e1");
    cr_assert(first->case_created);
    cr_assert_eq(first->message->number, 1);
    cr_assert_eq((int)first->case_->status, 1);
    cr_assert(first->case_->need_reply);
    cr_assert_str_eq(first->message->author, first->case_->contact);
    Casework__Cases__V1__ReceiveMessageResponse *second = receive("jO", "e2");
    cr_assert_not(second->case_created, "addresses are found caselessly");
    cr_assert_str_eq(second->case_->name, first->case_->name);
    cr_assert_eq(second->message->number, 2);
    cr_assert_gt(second->position, first->position);
    cr_assert_neq(strcmp(receive("other", "e3")->case_->name, first->case_->name), 0);
}

Test(case_write, the_same_external_id_changes_nothing_ever)
{
    Casework__Cases__V1__ReceiveMessageResponse *first = receive("jo", "e1");
    case_server_advance(&server, 3 * CLOCK_DAY);
    Casework__Cases__V1__ReceiveMessageResponse *again = receive("jo", "e1");
    cr_assert_str_eq(again->message->name, first->message->name);
    cr_assert(again->case_created);
    cr_assert_eq(again->case_->version, first->case_->version);
    Casework__Cases__V1__AddMessageRequest *request =
        desk_message(&server, first->case_->name, 1, "another text");
    request->message->external_id = desk_text("e1");
    Casework__Cases__V1__AddMessageResponse *added =
        desk_call(&server, "", DESK_MESSAGES, "AddMessage", request);
    cr_assert_str_eq(added->message->name, first->message->name, "one channel, one message");
    cr_assert_eq(desk_case(&server, first->case_->name)->message_count, 1);
}

Test(case_write, a_deleted_case_takes_no_message_and_a_new_one_begins)
{
    const char *first = receive("jo", "e1")->case_->name;
    desk_step(&server, "anna", "DeleteCase", first);
    error err =
        desk_fail(&server, "", DESK_MESSAGES, "AddMessage", desk_message(&server, first, 1, "hello?"));
    cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
    cr_assert_str_eq(err.reason, "CASE_DELETED");
    Casework__Cases__V1__ReceiveMessageResponse *next = receive("jo", "e2");
    cr_assert(next->case_created);
    desk_step(&server, "anna", "DeleteCase", next->case_->name);
    desk_step(&server, "anna", "UndeleteCase", first);
    cr_assert_str_eq(receive("jo", "e3")->case_->name, first, "the newest that is not deleted");
}

/* --- what agents do ---------------------------------------------------------------------------------------
 */

Test(case_write, message_states_follow_the_work)
{
    const char *name = receive("jo", "e1")->case_->name;
    cr_assert_eq((int)get_message(name, 1)->state, 1);
    Casework__Cases__V1__Case *opened = desk_step(&server, "anna", "OpenCase", name);
    cr_assert_eq((int)opened->status, 2);
    cr_assert_str_eq(opened->owner, "accounts/acme/agents/anna");
    cr_assert_eq((int)get_message(name, 1)->state, 2);
    receive("jo", "e2");
    cr_assert_eq((int)get_message(name, 2)->state, 1);
    desk_call(&server, "bob", DESK_MESSAGES, "AddMessage", desk_message(&server, name, 2, "try again"));
    cr_assert_eq((int)get_message(name, 1)->state, 3);
    cr_assert_eq((int)get_message(name, 2)->state, 3);
    Casework__Cases__V1__Case *now = desk_case(&server, name);
    cr_assert_eq(now->n_involved_agents, 1);
    cr_assert_str_eq(now->involved_agents[0], "accounts/acme/agents/bob");

    Casework__Cases__V1__SetMessageStateRequest set = CASEWORK__CASES__V1__SET_MESSAGE_STATE_REQUEST__INIT;
    set.name = arena_printf(server.memory, "%s/messages/1", name);
    set.state = CASEWORK__CASES__V1__MESSAGE_STATE__MESSAGE_STATE_ASSIGNED;
    desk_call(&server, "anna", DESK_MESSAGES, "SetMessageState", &set);
    cr_assert_eq((int)get_message(name, 1)->state, 1);
    cr_assert_eq((int)get_message(name, 2)->state, 3);
    desk_step(&server, "anna", "ResolveCase", name);
    cr_assert_eq((int)get_message(name, 1)->state, 4);
    cr_assert_eq((int)get_message(name, 2)->state, 4);
}

Test(case_write, who_may_write_what)
{
    const char *name = receive("jo", "e1")->case_->name;
    static const struct {
        const char *agent;
        int kind;
        enum status_code code;
    } rights[] = {
        {"", 2, STATUS_PERMISSION_DENIED},       {"", 3, STATUS_PERMISSION_DENIED},
        {"anna", 1, STATUS_PERMISSION_DENIED},   {"anna", 4, STATUS_PERMISSION_DENIED},
        {"anna", 5, STATUS_PERMISSION_DENIED},   {"anna", 6, STATUS_PERMISSION_DENIED},
        {"former", 2, STATUS_PERMISSION_DENIED}, {"nobody", 2, STATUS_PERMISSION_DENIED},
        {"anna", 0, STATUS_INVALID_ARGUMENT},    {"anna", 8, STATUS_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; i++) {
        error err = desk_fail(&server, rights[i].agent, DESK_MESSAGES, "AddMessage",
                              desk_message(&server, name, rights[i].kind, "x"));
        cr_assert_eq(err.code, rights[i].code, "%zu: %s", i, err.message);
    }
    cr_assert_eq(desk_case(&server, name)->message_count, 1, "nothing was stored");
    Casework__Cases__V1__AddMessageRequest *past = desk_message(&server, name, 2, "x");
    past->message->send_time = wire_timestamp(server.memory, CASE_SERVER_START_US - CLOCK_DAY);
    cr_assert_eq(desk_fail(&server, "anna", DESK_MESSAGES, "AddMessage", past).code, STATUS_INVALID_ARGUMENT);
    past->message->kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    desk_call(&server, "", DESK_MESSAGES, "AddMessage", past);
    past->message->send_time = wire_timestamp(server.memory, CASE_SERVER_START_US + CLOCK_DAY);
    cr_assert_eq(desk_fail(&server, "", DESK_MESSAGES, "AddMessage", past).code, STATUS_INVALID_ARGUMENT);
}

Test(case_write, a_reply_has_a_known_outcome_or_none)
{
    const char *name = receive("jo", "e1")->case_->name;
    const int unknown[] = {-1, INT_MIN, 3, INT_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        Casework__Cases__V1__AddMessageRequest *request = desk_message(&server, name, 2, "x");
        request->then = (Casework__Cases__V1__AfterSend)unknown[i];
        error err = desk_fail(&server, "anna", DESK_MESSAGES, "AddMessage", request);
        cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT, "%d: %s", unknown[i], err.message);
    }
    const Casework__Cases__V1__Case *now = desk_case(&server, name);
    cr_assert_eq(now->message_count, 1, "nothing was stored");
    cr_assert_eq(now->status, CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_NEW);
}

Test(case_write, updates_go_by_mask_and_etag)
{
    const char *name = receive("jo", "e1")->case_->name;
    Casework__Cases__V1__UpdateCaseRequest request = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case wanted = CASEWORK__CASES__V1__CASE__INIT;
    char *labels[] = {desk_text("Contract Needed"), desk_text("urgent")};
    Casework__Cases__V1__Case__AttributesEntry entry = CASEWORK__CASES__V1__CASE__ATTRIBUTES_ENTRY__INIT;
    Casework__Cases__V1__Case__AttributesEntry *entries[] = {&entry};
    entry.key = desk_text("order");
    entry.value = desk_text("4711");
    wanted.name = desk_text(name);
    wanted.labels = labels;
    wanted.n_labels = 2;
    wanted.attributes = entries;
    wanted.n_attributes = 1;
    wanted.etag = desk_case(&server, name)->etag;
    request.case_ = &wanted;
    Casework__Cases__V1__UpdateCaseResponse *updated =
        desk_call(&server, "anna", DESK_CASES, "UpdateCase", &request);
    cr_assert_eq(updated->case_->n_labels, 2);
    cr_assert_str_eq(updated->case_->subject, "Printer", "what is not set stays");
    cr_assert_eq(updated->case_->n_attributes, 1);
    error err = desk_fail(&server, "anna", DESK_CASES, "UpdateCase", &request);
    cr_assert_eq(err.code, STATUS_ABORTED);
    cr_assert_str_eq(err.reason, "ETAG_MISMATCH");
    const char *const edited[] = {"0%s", " %s", "+%s", "%s ", "-%s", "%s.0", "99999999999999999999%s"};
    for (size_t i = 0; i < sizeof edited / sizeof edited[0]; i++) {
        char etag[64];
        snprintf(etag, sizeof etag, edited[i], updated->case_->etag);
        wanted.etag = etag;
        cr_assert_eq(desk_fail(&server, "anna", DESK_CASES, "UpdateCase", &request).code, STATUS_ABORTED,
                     "\"%s\"", etag);
    }

    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *paths[] = {desk_text("attributes.order"), desk_text("subject")};
    mask.paths = paths;
    mask.n_paths = 2;
    wanted.etag = desk_text("");
    wanted.n_attributes = 0;
    wanted.subject = desk_text("Scanner");
    request.update_mask = &mask;
    updated = desk_call(&server, "anna", DESK_CASES, "UpdateCase", &request);
    cr_assert_eq(updated->case_->n_attributes, 0);
    cr_assert_str_eq(updated->case_->subject, "Scanner");
    cr_assert_eq(updated->case_->n_labels, 2);
    paths[0] = desk_text("owner");
    cr_assert_eq(desk_fail(&server, "anna", DESK_CASES, "UpdateCase", &request).code,
                 STATUS_INVALID_ARGUMENT);
}

Test(case_write, assigning_takes_an_agent_who_can_work)
{
    const char *name = receive("jo", "e1")->case_->name;
    Casework__Cases__V1__AssignCaseRequest request = CASEWORK__CASES__V1__ASSIGN_CASE_REQUEST__INIT;
    request.name = desk_text(name);
    request.owner = desk_text("accounts/acme/agents/former");
    cr_assert_str_eq(desk_fail(&server, "anna", DESK_CASES, "AssignCase", &request).reason, "AGENT_DISABLED");
    request.owner = desk_text("accounts/acme/agents/nobody");
    cr_assert_eq(desk_fail(&server, "anna", DESK_CASES, "AssignCase", &request).code, STATUS_NOT_FOUND);
    request.owner = desk_text("accounts/acme/agents/bob");
    Casework__Cases__V1__AssignCaseResponse *assigned =
        desk_call(&server, "anna", DESK_CASES, "AssignCase", &request);
    cr_assert_str_eq(assigned->case_->owner, "accounts/acme/agents/bob");
    cr_assert_eq((int)assigned->case_->status, 2);
}

Test(case_write, sizes_are_bounded)
{
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case wanted = CASEWORK__CASES__V1__CASE__INIT;
    char *subject = arena_alloc(server.memory, 1000);
    memset(subject, 'x', 999);
    subject[999] = '\0';
    request.parent = desk_text("accounts/acme");
    request.case_ = &wanted;
    cr_assert_eq(desk_fail(&server, "anna", DESK_CASES, "CreateCase", &request).code, STATUS_INVALID_ARGUMENT,
                 "no channel");
    wanted.channel = desk_text("accounts/acme/channels/desk");
    wanted.subject = subject;
    cr_assert_eq(desk_fail(&server, "anna", DESK_CASES, "CreateCase", &request).code,
                 STATUS_INVALID_ARGUMENT);
    subject[998] = '\0';
    Casework__Cases__V1__CreateCaseResponse *created =
        desk_call(&server, "anna", DESK_CASES, "CreateCase", &request);
    cr_assert_str_eq(created->case_->subject, subject);
    enum { TOO_MUCH = 1024 * 1024 + 1 };
    char *body = arena_alloc(server.memory, TOO_MUCH + 1);
    memset(body, 'b', TOO_MUCH);
    body[TOO_MUCH] = '\0';
    Casework__Cases__V1__AddMessageRequest *long_one = desk_message(&server, created->case_->name, 2, body);
    cr_assert_eq(desk_fail(&server, "anna", DESK_MESSAGES, "AddMessage", long_one).code,
                 STATUS_INVALID_ARGUMENT);
    body[TOO_MUCH - 1] = '\0';
    desk_call(&server, "anna", DESK_MESSAGES, "AddMessage", long_one);
    cr_assert_eq(strlen(get_message(created->case_->name, 1)->body), TOO_MUCH - 1);
}

/* --- request ids ------------------------------------------------------------------------------------------
 */

Test(case_write, a_repeated_request_is_answered_with_what_it_did)
{
    const char *name = receive("jo", "e1")->case_->name;
    Casework__Cases__V1__AddMessageRequest *request = desk_message(&server, name, 2, "an answer");
    request->request_id = desk_text("r1");
    Casework__Cases__V1__AddMessageResponse *first =
        desk_call(&server, "anna", DESK_MESSAGES, "AddMessage", request);
    desk_call(&server, "anna", DESK_MESSAGES, "AddMessage", desk_message(&server, name, 2, "another"));
    Casework__Cases__V1__AddMessageResponse *again =
        desk_call(&server, "anna", DESK_MESSAGES, "AddMessage", request);
    cr_assert_str_eq(again->message->name, first->message->name);
    cr_assert_eq(again->position, first->position);
    cr_assert_eq(again->case_->message_count, 3, "as it is now");
    request->message->body = desk_text("something else");
    error err = desk_fail(&server, "anna", DESK_MESSAGES, "AddMessage", request);
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    cr_assert_str_eq(err.reason, "REQUEST_ID_REUSED");
    request->message->body = desk_text("an answer");
    cr_assert_str_eq(desk_fail(&server, "bob", DESK_MESSAGES, "AddMessage", request).reason,
                     "REQUEST_ID_REUSED");
}

Test(case_write, a_refused_request_is_not_remembered)
{
    const char *name = receive("jo", "e1")->case_->name;
    desk_step(&server, "anna", "DeleteCase", name);
    Casework__Cases__V1__AddMessageRequest *request = desk_message(&server, name, 2, "an answer");
    request->request_id = desk_text("r1");
    desk_fail(&server, "anna", DESK_MESSAGES, "AddMessage", request);
    desk_step(&server, "anna", "UndeleteCase", name);
    desk_call(&server, "anna", DESK_MESSAGES, "AddMessage", request);
    cr_assert_eq(desk_case(&server, name)->message_count, 2);
}

Test(case_write, contacts_own_their_addresses)
{
    Casework__Cases__V1__CreateContactRequest create = CASEWORK__CASES__V1__CREATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__Contact contact = CASEWORK__CASES__V1__CONTACT__INIT;
    char *emails[] = {desk_text("Jo@X.example"), desk_text("jo2@x.example")};
    contact.emails = emails;
    contact.n_emails = 2;
    create.parent = desk_text("accounts/acme");
    create.contact_id = desk_text("jo");
    create.contact = &contact;
    desk_call(&server, "anna", CONTACTS, "CreateContact", &create);
    create.contact_id = desk_text("mo");
    emails[0] = desk_text("jo@x.EXAMPLE");
    contact.n_emails = 1;
    error err = desk_fail(&server, "anna", CONTACTS, "CreateContact", &create);
    cr_assert_eq(err.code, STATUS_ALREADY_EXISTS);
    cr_assert_str_eq(err.reason, "ADDRESS_TAKEN");

    Casework__Cases__V1__UpdateContactRequest update = CASEWORK__CASES__V1__UPDATE_CONTACT_REQUEST__INIT;
    update.contact = &contact;
    contact.name = desk_text("accounts/acme/contacts/jo");
    emails[0] = desk_text("jo2@x.example");
    desk_call(&server, "anna", CONTACTS, "UpdateContact", &update);
    contact.name = desk_text("");
    emails[0] = desk_text("jo@x.example");
    desk_call(&server, "anna", CONTACTS, "CreateContact", &create); /* given up, so free */
    emails[0] = desk_text("JO2@x.example");
    create.contact_id = desk_text("po");
    cr_assert_str_eq(desk_fail(&server, "anna", CONTACTS, "CreateContact", &create).reason, "ADDRESS_TAKEN");
}

Test(case_write, channels_are_unique_by_network_and_address)
{
    Casework__Cases__V1__CreateChannelRequest create = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    Casework__Cases__V1__Channel channel = CASEWORK__CASES__V1__CHANNEL__INIT;
    channel.network = desk_text("email");
    channel.address = desk_text("help@acme.example");
    create.parent = desk_text("accounts/acme");
    create.channel = &channel;
    create.channel_id = desk_text("mail"); /* there already, with that address */
    cr_assert_eq(desk_fail(&server, "", CHANNELS, "CreateChannel", &create).code, STATUS_ALREADY_EXISTS);
    cr_assert_str_eq(desk_fail(&server, "", CHANNELS, "CreateChannel", &create).reason, "ALREADY_EXISTS");
    create.channel_id = desk_text("mail2");
    cr_assert_str_eq(desk_fail(&server, "", CHANNELS, "CreateChannel", &create).reason, "ADDRESS_TAKEN");
    channel.address = desk_text("sales@acme.example");
    desk_call(&server, "", CHANNELS, "CreateChannel", &create);
    Casework__Cases__V1__UpdateChannelRequest update = CASEWORK__CASES__V1__UPDATE_CHANNEL_REQUEST__INIT;
    update.channel = &channel;
    channel.name = desk_text("accounts/acme/channels/mail");
    cr_assert_str_eq(desk_fail(&server, "", CHANNELS, "UpdateChannel", &update).reason, "ADDRESS_TAKEN");
    channel.address = desk_text("info@acme.example");
    Casework__Cases__V1__UpdateChannelResponse *updated =
        desk_call(&server, "", CHANNELS, "UpdateChannel", &update);
    cr_assert_str_eq(updated->channel->address, "info@acme.example");
    cr_assert_eq(desk_fail(&server, "anna", CHANNELS, "UpdateChannel", &update).code,
                 STATUS_PERMISSION_DENIED);
}

/* --- closing ----------------------------------------------------------------------------------------------
 */

Test(case_write, a_case_closes_at_its_time_and_not_before)
{
    const char *name = receive("jo", "e1")->case_->name;
    Casework__Cases__V1__Case *resolved = desk_step(&server, "anna", "ResolveCase", name);
    Casework__Cases__V1__CloseCaseRequest request = CASEWORK__CASES__V1__CLOSE_CASE_REQUEST__INIT;
    request.name = desk_text(name);
    request.rule = CASEWORK__CASES__V1__DUE_RULE__DUE_RULE_RESOLVED;
    request.basis_version = resolved->change_version;
    request.due_time = wire_timestamp(server.memory, CASE_SERVER_START_US + 72 * CLOCK_HOUR);
    cr_assert_str_eq(desk_fail(&server, "", DESK_CASES, "CloseCase", &request).reason, "NOT_DUE");
    case_server_advance(&server, 72 * CLOCK_HOUR);
    receive("jo", "e2");
    error err = desk_fail(&server, "", DESK_CASES, "CloseCase", &request);
    cr_assert_eq(err.code, STATUS_ABORTED);
    cr_assert_str_eq(err.reason, "STALE_VERSION");
    request.basis_version = desk_case(&server, name)->change_version;
    err = desk_fail(&server, "anna", DESK_CASES, "CloseCase", &request);
    cr_assert_eq(err.code, STATUS_PERMISSION_DENIED);
    cr_assert_str_eq(err.reason, "ROLE_NOT_ALLOWED");
    Casework__Cases__V1__CloseCaseResponse *closed =
        desk_call(&server, "", DESK_CASES, "CloseCase", &request);
    cr_assert_eq((int)closed->case_->status, 5);
    cr_assert_eq(closed->case_->close_time->seconds, request.due_time->seconds);
    cr_assert_eq((int)receive("jo", "e3")->case_->status, 2, "the customer re-opens it");
}

/* --- many at once -----------------------------------------------------------------------------------------
 */

enum { AT_ONCE = 300 };

struct crowd {
    pthread_mutex_t lock;
    pthread_cond_t all_back;
    int back, done, refused;
    int times_numbered[AT_ONCE + 2];
};

static void one_back(void *argument, const ProtobufCMessage *response, const error *err)
{
    struct crowd *crowd = argument;
    (void)err;
    pthread_mutex_lock(&crowd->lock);
    if (response != NULL) {
        const Casework__Cases__V1__AddMessageResponse *added = (const void *)response;
        crowd->done++;
        if (added->message->number > 0 && added->message->number < AT_ONCE + 2)
            crowd->times_numbered[added->message->number]++;
    } else {
        crowd->refused++;
    }
    if (++crowd->back == AT_ONCE)
        pthread_cond_signal(&crowd->all_back);
    pthread_mutex_unlock(&crowd->lock);
}

/* Sends AT_ONCE messages at once; every third one is refused when `mixed`, all have one id when `same`. */
static void crowd_run(struct crowd *crowd, const char *name, bool mixed, bool same)
{
    *crowd = (struct crowd){.back = 0};
    pthread_mutex_init(&crowd->lock, NULL);
    pthread_cond_init(&crowd->all_back, NULL);
    const struct rpc_client_options options = {.timeout_us = 30 * CLOCK_SECOND, .agent = "anna"};
    for (int i = 0; i < AT_ONCE; i++) {
        Casework__Cases__V1__AddMessageRequest *request =
            desk_message(&server, name, mixed && i % 3 == 0 ? 1 : 2, "text");
        request->request_id = same ? desk_text("one") : desk_text("");
        if (mixed && i % 3 == 1)
            request->etag = desk_text("999999");
        rpc_client_call_async(server.channel, DESK_MESSAGES, "AddMessage", &request->base, &options, one_back,
                              crowd);
    }
    pthread_mutex_lock(&crowd->lock);
    while (crowd->back < AT_ONCE)
        pthread_cond_wait(&crowd->all_back, &crowd->lock);
    pthread_mutex_unlock(&crowd->lock);
}

/* The case's history: versions one after the other, positions rising. */
static void check_history(const char *name)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = desk_text(name);
    request.page_size = 1000;
    Casework__Cases__V1__ListCaseEventsResponse *history =
        desk_call(&server, "", DESK_CASES, "ListCaseEvents", &request);
    int64_t position = 0;
    for (size_t i = 0; i < history->n_events; i++) {
        cr_assert_eq(history->events[i]->case_facts->version, (int64_t)i + 1);
        cr_assert_gt(history->events[i]->position, position);
        position = history->events[i]->position;
    }
    cr_assert_eq(desk_case(&server, name)->version, (int64_t)history->n_events);
}

Test(case_write, messages_at_once_are_numbered_without_holes)
{
    static struct crowd crowd;
    const char *name = receive("jo", "e1")->case_->name;
    crowd_run(&crowd, name, false, false);
    cr_assert_eq(crowd.done, AT_ONCE);
    for (int number = 2; number < AT_ONCE + 2; number++)
        cr_assert_eq(crowd.times_numbered[number], 1, "%d", number);
    cr_assert_eq(desk_case(&server, name)->message_count, AT_ONCE + 1);
    check_history(name);
}

Test(case_write, refused_ones_leave_no_trace_among_the_others)
{
    static struct crowd crowd;
    const char *name = receive("jo", "e1")->case_->name;
    crowd_run(&crowd, name, true, false);
    cr_assert_eq(crowd.refused, 2 * AT_ONCE / 3);
    cr_assert_eq(desk_case(&server, name)->message_count, AT_ONCE / 3 + 1);
    check_history(name);
}

Test(case_write, one_request_sent_many_times_at_once_is_done_once)
{
    static struct crowd crowd;
    const char *name = receive("jo", "e1")->case_->name;
    crowd_run(&crowd, name, false, true);
    cr_assert_eq(crowd.done, AT_ONCE);
    cr_assert_eq(crowd.times_numbered[2], AT_ONCE);
    cr_assert_eq(desk_case(&server, name)->message_count, 2);
}

Test(case_write, what_says_nothing_is_refused)
{
    Casework__Cases__V1__ReceiveMessageResponse *first = receive("jo", "e1");
    Casework__Cases__V1__AddClassificationsRequest add =
        CASEWORK__CASES__V1__ADD_CLASSIFICATIONS_REQUEST__INIT;
    Casework__Cases__V1__RemoveClassificationsRequest remove =
        CASEWORK__CASES__V1__REMOVE_CLASSIFICATIONS_REQUEST__INIT;
    add.name = remove.name = first->case_->name;
    cr_assert_eq(desk_fail(&server, "", DESK_CASES, "AddClassifications", &add).code,
                 STATUS_INVALID_ARGUMENT);
    cr_assert_eq(desk_fail(&server, "", DESK_CASES, "RemoveClassifications", &remove).code,
                 STATUS_INVALID_ARGUMENT);

    Casework__Cases__V1__ReceiveMessageRequest blank = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    blank.parent = desk_text("accounts/acme/channels/desk");
    blank.external_id = desk_text("e2");
    blank.body = desk_text("hello");
    static const char *const senders[] = {"", " ", " \t\n", "\u00a0", "\u3000 "};
    for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
        blank.sender_address = desk_text(senders[i]);
        error err = desk_fail(&server, "", DESK_CONNECTORS, "ReceiveMessage", &blank);
        cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT, "%zu", i);
        cr_assert_str_eq(err.violations[0].key, "sender_address");
    }
}

Test(case_write, nothing_closes_a_nanosecond_early)
{
    const int64_t wait_us = 72 * CLOCK_HOUR;
    Casework__Cases__V1__ReceiveMessageResponse *first = receive("jo", "e1");
    Casework__Cases__V1__ResolveCaseRequest resolve = CASEWORK__CASES__V1__RESOLVE_CASE_REQUEST__INIT;
    resolve.name = first->case_->name;
    Casework__Cases__V1__ResolveCaseResponse *resolved =
        desk_call(&server, "", DESK_CASES, "ResolveCase", &resolve);
    Casework__Cases__V1__CloseCaseRequest request = CASEWORK__CASES__V1__CLOSE_CASE_REQUEST__INIT;
    Google__Protobuf__Timestamp due = *resolved->case_->resolve_time;
    due.seconds += wait_us / CLOCK_SECOND;
    due.nanos++;
    request.name = resolve.name;
    request.rule = CASEWORK__CASES__V1__DUE_RULE__DUE_RULE_RESOLVED;
    request.basis_version = resolved->case_->change_version;
    request.due_time = &due;
    case_server_advance(&server, wait_us);
    cr_assert_str_eq(desk_fail(&server, "", DESK_CASES, "CloseCase", &request).reason, "NOT_DUE");
    case_server_advance(&server, 1);
    desk_call(&server, "", DESK_CASES, "CloseCase", &request);
}
