/* Every kind of event: each is made to happen, and is found in the feed and in its case's history with what
 * the contract says it carries, and nothing else. */

#include "base/clock.h"
#include "casework/cases/v1/agent_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/erase_desk.h"
#include "tests/support/session_client.h"

#include <criterion/criterion.h>
#include <string.h>

#define EVENTS (&casework__cases__v1__event_service__descriptor)
#define AGENTS (&casework__cases__v1__agent_service__descriptor)
#define CHANNELS (&casework__cases__v1__channel_service__descriptor)
#define SOON (10 * CLOCK_SECOND)
#define KIND(name) CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_##name

typedef Casework__Cases__V1__Event event;

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(history_kinds, .init = setup, .fini = teardown, .timeout = 120);

/* --- what each kind carries -------------------------------------------------------------------------------
 */

enum part {
    CASE = 1 << 0, /* the case and its facts */
    PREVIOUS = 1 << 1,
    MESSAGE = 1 << 2,
    RESOURCE = 1 << 3,
    RELATED = 1 << 4,
    MOVED = 1 << 5,
    ACCOUNT = 1 << 6,
    CHANNEL = 1 << 7,
    LOCK = 1 << 8,
    TIMER = 1 << 9,
    FIELDS = 1 << 10,
    PARTS = 1 << 11,
};

/* `sometimes`: a contact's erasure is told of the contact, then of its cases; a state may be many messages'.
 */
static const struct {
    unsigned always, sometimes;
} carries[] = {
    [KIND(CASE_CREATED)] = {CASE, MESSAGE},
    [KIND(CASE_OPENED)] = {CASE | PREVIOUS, 0},
    [KIND(MESSAGE_ADDED)] = {CASE | MESSAGE | PREVIOUS, 0},
    [KIND(MESSAGE_STATE_CHANGED)] = {CASE | PREVIOUS, MESSAGE},
    [KIND(MESSAGE_REDACTED)] = {CASE | PREVIOUS | MESSAGE, 0},
    [KIND(STATUS_CHANGED)] = {CASE | PREVIOUS, 0},
    [KIND(CASE_CLOSED)] = {CASE | PREVIOUS, 0},
    [KIND(CASE_DELETED)] = {CASE | PREVIOUS, 0},
    [KIND(CASE_UNDELETED)] = {CASE | PREVIOUS, 0},
    [KIND(CASE_UPDATED)] = {CASE | PREVIOUS | FIELDS, 0},
    [KIND(OWNER_CHANGED)] = {CASE | PREVIOUS, 0},
    [KIND(CLASSIFICATIONS_CHANGED)] = {CASE | PREVIOUS, 0},
    [KIND(CASE_FORWARDED)] = {CASE | PREVIOUS, RESOURCE | MESSAGE},
    [KIND(MESSAGE_FORWARDED)] = {CASE | PREVIOUS | MESSAGE, RESOURCE},
    [KIND(CASES_MERGED)] = {CASE | PREVIOUS | RELATED, MOVED},
    [KIND(CASES_UNMERGED)] = {CASE | PREVIOUS | RELATED, MOVED},
    [KIND(ACCOUNT_CREATED)] = {ACCOUNT, 0},
    [KIND(ACCOUNT_UPDATED)] = {ACCOUNT | FIELDS, 0},
    [KIND(ACCOUNT_DELETED)] = {ACCOUNT, 0},
    [KIND(AGENT_CREATED)] = {RESOURCE, 0},
    [KIND(AGENT_UPDATED)] = {RESOURCE | FIELDS, 0},
    [KIND(CONTACT_CREATED)] = {RESOURCE, 0},
    [KIND(CONTACT_UPDATED)] = {RESOURCE | FIELDS, 0},
    [KIND(CONTACT_ERASED)] = {RESOURCE, CASE | PREVIOUS},
    [KIND(CHANNEL_CREATED)] = {RESOURCE | CHANNEL, 0},
    [KIND(CHANNEL_UPDATED)] = {RESOURCE | CHANNEL | FIELDS, 0},
    [KIND(TIMER_STEP)] = {CASE | PREVIOUS | TIMER, 0},
    [KIND(LOCK_GRANTED)] = {CASE | PREVIOUS | LOCK, 0},
    [KIND(LOCK_RELEASED)] = {CASE | PREVIOUS | LOCK, 0},
    [KIND(LOCK_BROKEN)] = {CASE | PREVIOUS | LOCK, 0},
    [KIND(DELIVERY_REPORTED)] = {CASE | PREVIOUS | MESSAGE, 0},
};

enum { KINDS = sizeof carries / sizeof *carries, EVENTS_MAX = 200, CASES_MAX = 8 };

static unsigned parts_of(const event *e)
{
    cr_expect_eq(e->case_[0] != '\0', e->case_facts != NULL, "kind %d: a case and its facts", (int)e->kind);
    return (e->case_facts ? CASE : 0U) | (e->previous_status ? PREVIOUS : 0U) | (e->message ? MESSAGE : 0U) |
           (e->resource[0] ? RESOURCE : 0U) | (e->related_case[0] ? RELATED : 0U) |
           (e->n_moved_messages ? MOVED : 0U) | (e->account_facts ? ACCOUNT : 0U) |
           (e->channel_facts ? CHANNEL : 0U) | (e->lock_facts ? LOCK : 0U) |
           (e->timer_step_facts ? TIMER : 0U) | (e->n_changed_fields ? FIELDS : 0U);
}

static void check_event(const event *e)
{
    unsigned parts = parts_of(e), always = carries[e->kind].always;
    cr_expect_str_eq(e->account, "accounts/acme");
    cr_expect(e->position > 0 && e->event_time && e->commit_time, "kind %d", (int)e->kind);
    cr_expect(e->actor && e->actor->kind, "kind %d says who did it", (int)e->kind);
    cr_expect_eq(parts & always, always, "kind %d lacks %x", (int)e->kind, always & ~parts);
    cr_expect_eq(parts & ~always & ~carries[e->kind].sometimes, 0, "kind %d has %x as well", (int)e->kind,
                 parts & ~always & ~carries[e->kind].sometimes);
}

/* --- reading ----------------------------------------------------------------------------------------------
 */

/* All of the account's that is in the feed. */
static size_t read_feed(event *list[EVENTS_MAX])
{
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = INT64_MAX};
    rpc_stream *stream;
    error err;
    size_t count = 0;
    bool caught_up = false;
    request.parent = desk_text("accounts/-");
    cr_assert(rpc_stream_open(server.channel, EVENTS, "StreamEvents", &options, &stream, &err));
    cr_assert(rpc_stream_write(stream, &request.base));
    while (!caught_up) {
        ProtobufCMessage *message;
        cr_assert_eq(rpc_stream_read(stream, SOON, server.memory, &message, &err), RPC_READ_MESSAGE);
        const Casework__Cases__V1__StreamEventsResponse *response = (const void *)message;
        for (size_t i = 0; i < response->n_events; i++) {
            cr_assert_lt(count, EVENTS_MAX);
            list[count++] = response->events[i];
        }
        caught_up = response->caught_up;
    }
    rpc_stream_free(stream);
    return count;
}

static bool same(const event *a, const event *b)
{
    uint8_t left[4096], right[4096];
    size_t length = casework__cases__v1__event__get_packed_size(a);
    if (length > sizeof left || length != casework__cases__v1__event__get_packed_size(b))
        return false;
    casework__cases__v1__event__pack(a, left);
    casework__cases__v1__event__pack(b, right);
    return memcmp(left, right, length) == 0;
}

/* The case's history is what the feed has of it. */
static void check_history(const char *name, event *const *list, size_t count)
{
    Casework__Cases__V1__ListCaseEventsRequest request = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    request.parent = desk_text(name);
    request.page_size = 1000;
    Casework__Cases__V1__ListCaseEventsResponse *history =
        desk_call(&server, "", DESK_CASES, "ListCaseEvents", &request);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i]->case_, name) != 0)
            continue;
        cr_assert_lt(at, history->n_events, "%s: kind %d is missing", name, (int)list[i]->kind);
        cr_expect(same(list[i], history->events[at]), "%s: kind %d is another", name, (int)list[i]->kind);
        at++;
    }
    cr_expect_eq(at, history->n_events);
}

/* --- what makes them happen -------------------------------------------------------------------------------
 */

static const char *message_name(const char *case_name, int number)
{
    return arena_printf(server.memory, "%s/messages/%d", case_name, number);
}

static void change_directory(const char *contact_name)
{
    Casework__Cases__V1__UpdateAccountRequest account = CASEWORK__CASES__V1__UPDATE_ACCOUNT_REQUEST__INIT;
    Casework__Cases__V1__UpdateAgentRequest agent = CASEWORK__CASES__V1__UPDATE_AGENT_REQUEST__INIT;
    Casework__Cases__V1__UpdateChannelRequest channel = CASEWORK__CASES__V1__UPDATE_CHANNEL_REQUEST__INIT;
    Casework__Cases__V1__UpdateContactRequest contact = CASEWORK__CASES__V1__UPDATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__Account new_account = CASEWORK__CASES__V1__ACCOUNT__INIT;
    Casework__Cases__V1__Agent new_agent = CASEWORK__CASES__V1__AGENT__INIT;
    Casework__Cases__V1__Channel new_channel = CASEWORK__CASES__V1__CHANNEL__INIT;
    Casework__Cases__V1__Contact new_contact = CASEWORK__CASES__V1__CONTACT__INIT;
    account.account = &new_account;
    agent.agent = &new_agent;
    channel.channel = &new_channel;
    contact.contact = &new_contact;
    new_account.name = desk_text("accounts/acme");
    new_account.time_zone = desk_text("Europe/Berlin");
    new_agent.name = desk_text("accounts/acme/agents/bob");
    new_agent.display_name = desk_text("Bob");
    new_channel.name = desk_text("accounts/acme/channels/mail");
    new_channel.address = desk_text("desk@acme.example");
    new_contact.name = desk_text(contact_name);
    new_contact.display_name = desk_text("Joanna");
    desk_call(&server, "", DESK_ACCOUNTS, "UpdateAccount", &account);
    desk_call(&server, "", AGENTS, "UpdateAgent", &agent);
    desk_call(&server, "", CHANNELS, "UpdateChannel", &channel);
    desk_call(&server, "", DESK_CONTACTS, "UpdateContact", &contact);
}

static void change_case(const char *name)
{
    Casework__Cases__V1__UpdateCaseRequest update = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__AddClassificationsRequest classify =
        CASEWORK__CASES__V1__ADD_CLASSIFICATIONS_REQUEST__INIT;
    Casework__Cases__V1__Classification topic = CASEWORK__CASES__V1__CLASSIFICATION__INIT,
                                        *topics[] = {&topic};
    Casework__Cases__V1__AssignCaseRequest assign = CASEWORK__CASES__V1__ASSIGN_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case wanted = CASEWORK__CASES__V1__CASE__INIT;
    update.case_ = &wanted;
    wanted.name = classify.name = assign.name = desk_text(name);
    wanted.subject = desk_text("Scanner");
    topic.group = desk_text("topic");
    topic.value = desk_text("billing");
    classify.classifications = topics;
    classify.n_classifications = 1;
    assign.owner = desk_text("accounts/acme/agents/bob");
    desk_call(&server, "anna", DESK_CASES, "UpdateCase", &update);
    desk_call(&server, "anna", DESK_CASES, "AddClassifications", &classify);
    desk_call(&server, "anna", DESK_CASES, "AssignCase", &assign);
}

static void warn(const char *name)
{
    Casework__Cases__V1__RecordTimerStepRequest step = CASEWORK__CASES__V1__RECORD_TIMER_STEP_REQUEST__INIT;
    step.name = desk_text(name);
    step.kind = CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_FIRST_REPLY;
    step.step = CASEWORK__SLA__V1__TIMER_STEP__TIMER_STEP_BREACHED;
    step.basis_version = 1; /* the customer's first message */
    step.due_time = wire_timestamp(server.memory, CASE_SERVER_START_US);
    desk_call(&server, "", DESK_CASES, "RecordTimerStep", &step);
}

static void talk(const char *name)
{
    Casework__Cases__V1__SetMessageStateRequest state = CASEWORK__CASES__V1__SET_MESSAGE_STATE_REQUEST__INIT;
    Casework__Cases__V1__Message *reply = desk_add(&server, "anna", name, 2, "Is it plugged in?");
    desk_call(&server, "", DESK_CONNECTORS, "ReportDelivery",
              desk_report(&server, reply->name, CASEWORK__CASES__V1__DELIVERY__DELIVERY_SENT, "", "x1"));
    state.name = desk_text(message_name(name, 1));
    state.state = CASEWORK__CASES__V1__MESSAGE_STATE__MESSAGE_STATE_IN_PROGRESS;
    desk_call(&server, "anna", DESK_MESSAGES, "SetMessageState", &state);
    desk_call(&server, "anna", DESK_MESSAGES, "ForwardMessage",
              desk_forward_message(&server, message_name(name, 1), "accounts/acme/agents/anna", NULL, ""));
    desk_call(&server, "anna", DESK_CASES, "ForwardCase",
              desk_forward_case(&server, name, "accounts/acme/agents/anna", NULL, ""));
    desk_redact(&server, message_name(name, 1));
}

static void take_locks(const char *name)
{
    struct session_client anna;
    Casework__Cases__V1__BreakCaseLockRequest breaking = CASEWORK__CASES__V1__BREAK_CASE_LOCK_REQUEST__INIT;
    session_client_attach(&anna, server.channel, "acme", "anna", NULL);
    for (int i = 0; i < 2; i++) {
        cr_assert(session_client_open(&anna, name));
        cr_assert(session_client_await(&anna, SESSION_NEWS(LOCK_GRANTED), name, SOON));
        breaking.name = desk_text(name);
        if (i == 0)
            desk_call(&server, "", DESK_CASES, "BreakCaseLock", &breaking);
    }
    cr_assert(session_client_close(&anna, name));
    cr_assert(session_client_await(&anna, SESSION_NEWS(TAB_CLOSED), name, SOON));
    session_client_break(&anna);
}

static void end_case(const char *name)
{
    Casework__Cases__V1__UndeleteCaseRequest undelete = CASEWORK__CASES__V1__UNDELETE_CASE_REQUEST__INIT;
    Casework__Cases__V1__CloseCaseRequest close = CASEWORK__CASES__V1__CLOSE_CASE_REQUEST__INIT;
    undelete.name = close.name = desk_text(name);
    desk_step(&server, "anna", "DeleteCase", name);
    desk_call(&server, "anna", DESK_CASES, "UndeleteCase", &undelete);
    close.basis_version = desk_step(&server, "anna", "ResolveCase", name)->change_version;
    case_server_advance(&server, 73 * CLOCK_HOUR);
    close.rule = CASEWORK__CASES__V1__DUE_RULE__DUE_RULE_RESOLVED;
    close.due_time = wire_timestamp(server.memory, CASE_SERVER_START_US + 72 * CLOCK_HOUR);
    desk_call(&server, "", DESK_CASES, "CloseCase", &close);
}

/* --- all of it --------------------------------------------------------------------------------------------
 */

Test(history_kinds, each_happens_and_is_kept_with_what_it_carries)
{
    event *list[EVENTS_MAX];
    bool seen[KINDS] = {false};
    const Casework__Cases__V1__Case *one = desk_receive(&server, "desk", "jo", "e1", "It is dead.")->case_;
    const Casework__Cases__V1__Case *two = desk_receive(&server, "mail", "jo@example.org", "e2", "Hi")->case_;
    change_directory(one->contact);
    warn(one->name);
    desk_step(&server, "anna", "OpenCase", one->name);
    change_case(one->name);
    talk(one->name);
    take_locks(one->name);
    desk_merge(&server, two->name, one->name);
    desk_unmerge(&server, two->name);
    end_case(one->name);
    desk_erase(&server, one->contact);
    desk_await_erased(&server);

    size_t count = read_feed(list);
    for (size_t i = 0; i < count; i++) {
        cr_assert_lt((int)list[i]->kind, KINDS, "a kind that nobody has written down here");
        check_event(list[i]);
        seen[list[i]->kind] = true;
    }
    check_history(one->name, list, count);
    check_history(two->name, list, count);
    for (int kind = 1; kind < KINDS; kind++)
        cr_expect(seen[kind] || kind == (int)KIND(ACCOUNT_DELETED), "kind %d did not happen", kind);

    desk_delete_account(&server, "accounts/acme");
    desk_await_erased(&server);
    count = read_feed(list);
    cr_assert_eq(count, 1, "of a deleted account one event is kept");
    cr_expect_eq((int)list[0]->kind, KIND(ACCOUNT_DELETED));
    check_event(list[0]);
}
