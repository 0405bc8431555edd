#include "tests/support/erase_scene.h"

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define CHANNELS (&casework__cases__v1__channel_service__descriptor)
#define CONNECTORS (&casework__cases__v1__connector_service__descriptor)
#define CONTACTS (&casework__cases__v1__contact_service__descriptor)
#define IMPORTS (&casework__cases__v1__import_service__descriptor)
#define MESSAGES (&casework__cases__v1__message_service__descriptor)
#define REPORTS (&casework__report__v1__report_service__descriptor)
#define SEARCH (&casework__search__v1__search_service__descriptor)

enum { LONG_BODY = 200 * 1024 };

/* A new mark in a text: one %s. */
static char *mark(struct erase_scene *scene, const char *format)
{
    char word[16];
    if (scene->plain)
        snprintf(word, sizeof word, "plain");
    else
        snprintf(word, sizeof word, "mk%02u%s", ++scene->marks, ERASE_MARK_TAIL);
    const char *place = strstr(format, "%s");
    return arena_printf(scene->memory, "%.*s%s%s", (int)(place - format), format, word, place + 2);
}

void *scene_call(struct erase_scene *scene, const ProtobufCServiceDescriptor *service, const char *method,
                 const void *request)
{
    return suite_call(scene->s, service, method, request, scene->memory);
}

/* --- everything that can be filled in ---------------------------------------------------------------------
 */

const char *scene_receive(struct erase_scene *scene, const char *sender, const char *body)
{
    Casework__Cases__V1__ReceiveMessageRequest request = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Attachment file = CASEWORK__CASES__V1__ATTACHMENT__INIT, *files[] = {&file};
    request.parent = desk_text(scene->channel);
    request.sender_address = desk_text(sender);
    request.sender_display_name = mark(scene, "Jo %s");
    request.subject = mark(scene, "Printer %s");
    request.body = desk_text(body);
    request.external_id = mark(scene, "<%s@mail>");
    request.attachments = files;
    request.n_attachments = 1;
    file.file_name = mark(scene, "%s.png");
    file.content_type = mark(scene, "image/%s");
    file.uri = mark(scene, "s3://files/%s");
    Casework__Cases__V1__ReceiveMessageResponse *response =
        scene_call(scene, CONNECTORS, "ReceiveMessage", &request);
    scene->contact = response->case_->contact;
    return response->case_->name;
}

static void update_contact(struct erase_scene *scene, const char *address)
{
    Casework__Cases__V1__UpdateContactRequest request = CASEWORK__CASES__V1__UPDATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__Contact contact = CASEWORK__CASES__V1__CONTACT__INIT;
    Casework__Cases__V1__ContactHandle handle = CASEWORK__CASES__V1__CONTACT_HANDLE__INIT,
                                       *handles[] = {&handle};
    char *emails[] = {desk_text(address), mark(scene, "%s@example.org")},
         *phones[] = {mark(scene, "%s 555 1234")};
    contact.name = desk_text(scene->contact);
    contact.display_name = mark(scene, "Joanna %s");
    contact.emails = emails;
    contact.n_emails = 2;
    contact.phones = phones;
    contact.n_phones = 1;
    contact.handles = handles;
    contact.n_handles = 1;
    handle.network = desk_text("chat");
    handle.address = mark(scene, "@%s");
    contact.note = mark(scene, "Prefers %s");
    request.contact = &contact;
    scene_call(scene, CONTACTS, "UpdateContact", &request);
}

static void write_message(struct erase_scene *scene, const char *parent, int kind, const char *agent,
                          char *body, char *author, char *external_id)
{
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    const struct rpc_client_options options = {.timeout_us = 30 * CLOCK_SECOND, .agent = agent};
    ProtobufCMessage *response;
    error err;
    request.parent = desk_text(parent);
    request.message = &message;
    message.kind = (Casework__Cases__V1__MessageKind)kind;
    message.body = body;
    message.author = author;
    message.external_id = external_id;
    cr_assert(rpc_client_call(suite_channel(scene->s, SUITE_CASE, 0), MESSAGES, "AddMessage", &request.base,
                              &options, scene->memory, &response, &err),
              "%s", err.message);
}

/* Hardly to be compressed, and larger than a page. */
static char *long_body(struct erase_scene *scene)
{
    char *body = arena_alloc(scene->memory, LONG_BODY + 1);
    uint64_t state = 88172645463325252U;
    for (size_t i = 0; i < LONG_BODY; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        body[i] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ+/"[state % 64];
    }
    body[LONG_BODY] = '\0';
    const char *words = mark(scene, " %s ");
    memcpy(body + 100, words, strlen(words));
    return body;
}

static const char *create_case(struct erase_scene *scene)
{
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case record = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Message first = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__Case__AttributesEntry entry = CASEWORK__CASES__V1__CASE__ATTRIBUTES_ENTRY__INIT;
    Casework__Cases__V1__Case__AttributesEntry *entries[] = {&entry};
    request.parent = desk_text(scene->account);
    request.case_ = &record;
    request.first_message = &first;
    record.channel = desk_text(scene->channel);
    record.contact = desk_text(scene->contact);
    record.subject = mark(scene, "Order %s");
    record.attributes = entries;
    record.n_attributes = 1;
    entry.key = mark(scene, "key-%s");
    entry.value = mark(scene, "value %s");
    first.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    first.body = mark(scene, "Where is %s?");
    first.external_id = mark(scene, "ext-%s");
    Casework__Cases__V1__CreateCaseResponse *response = scene_call(scene, CASES, "CreateCase", &request);
    return response->case_->name;
}

static Casework__Cases__V1__ConversationMessage said(struct erase_scene *scene, int kind, char *author,
                                                     int64_t ago_us)
{
    Casework__Cases__V1__ConversationMessage message = CASEWORK__CASES__V1__CONVERSATION_MESSAGE__INIT;
    message.kind = (Casework__Cases__V1__MessageKind)kind;
    message.author_name = author;
    message.send_time = wire_timestamp(scene->memory, suite_now_us(scene->s) - ago_us);
    message.body = mark(scene, "said %s");
    return message;
}

Casework__Cases__V1__ImportConversationsResponse *scene_import(
    struct erase_scene *scene, Casework__Cases__V1__Conversation *conversation)
{
    Casework__Cases__V1__ImportConversationsRequest request =
        CASEWORK__CASES__V1__IMPORT_CONVERSATIONS_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = 30 * CLOCK_SECOND};
    rpc_stream *stream;
    ProtobufCMessage *response = NULL;
    error err;
    request.parent = desk_text(scene->account);
    request.conversation = conversation;
    cr_assert(rpc_stream_open(suite_channel(scene->s, SUITE_CASE, 0), IMPORTS, "ImportConversations",
                              &options, &stream, &err));
    cr_assert(rpc_stream_write(stream, &request.base));
    rpc_stream_close_send(stream);
    cr_assert_eq(rpc_stream_read(stream, 30 * CLOCK_SECOND, scene->memory, &response, &err), RPC_READ_MESSAGE,
                 "%s", err.message);
    rpc_stream_free(stream);
    return (Casework__Cases__V1__ImportConversationsResponse *)response;
}

Casework__Cases__V1__Conversation *scene_conversation(struct erase_scene *scene, const char *address)
{
    Casework__Cases__V1__Conversation *out = arena_alloc(scene->memory, sizeof *out);
    Casework__Cases__V1__Contact *contact = arena_alloc(scene->memory, sizeof *contact);
    Casework__Cases__V1__ConversationMessage *messages = arena_calloc(scene->memory, 2, sizeof *messages);
    casework__cases__v1__conversation__init(out);
    casework__cases__v1__contact__init(contact);
    messages[0] = said(scene, 1, desk_text("Jo"), 2 * CLOCK_HOUR);
    messages[1] = said(scene, 5, mark(scene, "%s@lab.example"), CLOCK_HOUR);
    out->external_id = mark(scene, "import-%s");
    out->network = desk_text("email");
    out->subject = mark(scene, "Long ago %s");
    out->contact = contact;
    out->n_messages = 2;
    out->messages = arena_calloc(scene->memory, 2, sizeof(void *));
    out->messages[0] = &messages[0];
    out->messages[1] = &messages[1];
    contact->emails = arena_calloc(scene->memory, 1, sizeof(char *));
    contact->emails[0] = desk_text(address);
    contact->n_emails = 1;
    return out;
}

void scene_create_channel(struct erase_scene *scene)
{
    Casework__Cases__V1__CreateChannelRequest request = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    Casework__Cases__V1__Channel channel = CASEWORK__CASES__V1__CHANNEL__INIT;
    request.parent = desk_text(scene->account);
    request.channel_id = desk_text("mail");
    request.channel = &channel;
    channel.network = desk_text("email");
    channel.address = desk_text("help@acme.example");
    scene_call(scene, CHANNELS, "CreateChannel", &request);
    scene->channel = arena_printf(scene->memory, "%s/channels/mail", scene->account);
}

/* The connector cannot deliver it. */
static void report(struct erase_scene *scene, char *message)
{
    Casework__Cases__V1__ReportDeliveryRequest request = CASEWORK__CASES__V1__REPORT_DELIVERY_REQUEST__INIT;
    request.name = message;
    request.delivery = CASEWORK__CASES__V1__DELIVERY__DELIVERY_FAILED;
    request.failure = mark(scene, "no mailbox %s");
    request.external_id = mark(scene, "out-%s");
    scene_call(scene, CONNECTORS, "ReportDelivery", &request);
}

static void *call_as_anna(struct erase_scene *scene, const ProtobufCServiceDescriptor *service,
                          const char *method, const void *request)
{
    const struct rpc_client_options options = {.timeout_us = 30 * CLOCK_SECOND, .agent = "anna"};
    ProtobufCMessage *response;
    error err;
    cr_assert(rpc_client_call(suite_channel(scene->s, SUITE_CASE, 0), service, method, request, &options,
                              scene->memory, &response, &err),
              "%s", err.message);
    return response;
}

static void forward(struct erase_scene *scene, const char *message)
{
    Casework__Cases__V1__ForwardMessageRequest request = CASEWORK__CASES__V1__FORWARD_MESSAGE_REQUEST__INIT;
    request.name = desk_text(message);
    request.target_case = CASEWORK__CASES__V1__FORWARD_MESSAGE_REQUEST__TARGET_THIRD_PARTY;
    request.third_party = mark(scene, "%s@partner.example");
    request.note = mark(scene, "Please look at %s");
    Casework__Cases__V1__ForwardMessageResponse *response =
        call_as_anna(scene, MESSAGES, "ForwardMessage", &request);
    report(scene, response->message->name);
}

/* The message that the third party gets. */
static char *forward_case(struct erase_scene *scene, const char *name)
{
    Casework__Cases__V1__ForwardCaseRequest request = CASEWORK__CASES__V1__FORWARD_CASE_REQUEST__INIT;
    request.name = desk_text(name);
    request.target_case = CASEWORK__CASES__V1__FORWARD_CASE_REQUEST__TARGET_THIRD_PARTY;
    request.third_party = mark(scene, "%s@insurer.example");
    request.note = mark(scene, "All of %s");
    Casework__Cases__V1__ForwardCaseResponse *response = call_as_anna(scene, CASES, "ForwardCase", &request);
    report(scene, response->message->name);
    return response->message->name;
}

/* The contact's newest case was merged into somebody else's: that is where it writes now. */
static void receive_later(struct erase_scene *scene, const char *sender)
{
    Casework__Cases__V1__ReceiveMessageRequest request = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Attachment file = CASEWORK__CASES__V1__ATTACHMENT__INIT, *files[] = {&file};
    request.parent = desk_text(scene->channel);
    request.sender_address = desk_text(sender);
    request.body = mark(scene, "And what of %s?");
    request.external_id = mark(scene, "<%s@later>");
    request.attachments = files;
    request.n_attachments = 1;
    file.file_name = mark(scene, "later-%s.png");
    Casework__Cases__V1__ReceiveMessageResponse *response =
        scene_call(scene, CONNECTORS, "ReceiveMessage", &request);
    cr_assert_str_eq(response->case_->name, scene->other);
}

/* The source's messages join the target's; A's text stands in two cases then. */
static void merge(struct erase_scene *scene, const char *source, const char *target)
{
    Casework__Cases__V1__MergeCasesRequest request = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    request.source = desk_text(source);
    request.target = desk_text(target);
    scene_call(scene, CASES, "MergeCases", &request);
}

static void unmerge(struct erase_scene *scene, const char *source)
{
    Casework__Cases__V1__UnmergeCasesRequest request = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    request.name = desk_text(source);
    scene_call(scene, CASES, "UnmergeCases", &request);
}

/* From somebody else's case, into which A's texts have come, they go to a third party and on from there; then
 * the cases go apart. */
static void forward_from_elsewhere(struct erase_scene *scene, const char *source)
{
    merge(scene, source, scene->other);
    forward(scene, forward_case(scene, scene->other));
    unmerge(scene, source);
}

struct erase_scene scene_begin(void)
{
    static const char *const settings[] = {"LOG_LEVEL=debug", NULL};
    const struct suite_options options = {.settings = settings};
    struct erase_scene scene = {.s = suite_start(&options), .memory = arena_new(ERASE_SCENE_MEMORY)};
    scene.account = suite_create_account(scene.s, "acme", "UTC", scene.memory);
    suite_create_agent(scene.s, scene.account, "anna");
    scene_create_channel(&scene);
    return scene;
}

void scene_end(struct erase_scene *scene)
{
    arena_free(scene->memory);
    suite_stop(scene->s);
}

/* A contact with everything; and another one, who stays. */
Casework__Cases__V1__Conversation *scene_plant(struct erase_scene *scene)
{
    scene->plain = true;
    const char *other = scene_receive(scene, "keep@example.com", "keepme7x");
    scene->plain = false;
    const char *address = mark(scene, "%s@example.com");
    const char *first = scene_receive(scene, address, mark(scene, "It does not %s"));
    update_contact(scene, address);
    write_message(scene, first, 2, "anna", mark(scene, "Dear %s"), desk_text(""), desk_text(""));
    write_message(scene, first, 3, "anna", mark(scene, "%s is upset"), desk_text(""), desk_text(""));
    write_message(scene, first, 7, "anna", mark(scene, "How likely, %s?"), desk_text(""), desk_text(""));
    write_message(scene, first, 6, NULL, mark(scene, "System says %s"), desk_text(""), desk_text(""));
    write_message(scene, first, 5, NULL, mark(scene, "The lab about %s"), mark(scene, "%s@lab.example"),
                  mark(scene, "lab-%s"));
    write_message(scene, first, 1, NULL, long_body(scene), desk_text(""), desk_text(""));
    forward(scene, arena_printf(scene->memory, "%s/messages/1", first));
    const char *second = create_case(scene);
    Casework__Cases__V1__Conversation *imported = scene_conversation(scene, address);
    cr_assert_eq(scene_import(scene, imported)->conversations_imported, 1);
    const char *third = create_case(scene);
    merge(scene, third, other);
    scene->other = other;
    receive_later(scene, address);
    const char *fourth = create_case(scene);
    forward_from_elsewhere(scene, fourth);
    scene->cases[scene->case_count++] = first;
    scene->cases[scene->case_count++] = second;
    scene->cases[scene->case_count++] = third;
    scene->cases[scene->case_count++] = fourth;
    suite_step(scene->s, "ResolveCase", first, "anna");
    return imported;
}

/* --- what is asked of the scene ---------------------------------------------------------------------------
 */

pg_conn *scene_connect(struct erase_scene *scene, enum suite_service service)
{
    const struct pg_options options = {.url = suite_database(scene->s, service),
                                       .statement_timeout_us = CLOCK_MINUTE};
    pg_conn *conn = NULL;
    error err;
    cr_assert(pg_conn_open(&options, &conn, &err), "%s", err.detail);
    return conn;
}

char *scene_ask(struct erase_scene *scene, pg_conn *conn, const char *sql)
{
    const struct pg_statement statement = {.name = "ask", .sql = sql};
    pg_result *result = NULL;
    error err;
    cr_assert(pg_query(conn, &statement, NULL, 0, &result, &err), "%s: %s", sql, err.detail);
    char *answer = arena_strdup(scene->memory, pg_get_text(result, 0, 0));
    pg_result_free(result);
    return answer;
}

void scene_run(pg_conn *conn, const char *sql)
{
    error err;
    cr_assert(pg_run_script(conn, sql, clock_monotonic_us() + CLOCK_MINUTE, &err), "%s: %s", sql, err.detail);
}

uint64_t scene_search(struct erase_scene *scene, const char *word)
{
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = desk_text(scene->account);
    request.query = desk_text(word);
    request.min_position = suite_position(scene->s, scene->account);
    Casework__Search__V1__SearchCasesResponse *response = scene_call(scene, SEARCH, "SearchCases", &request);
    return (uint64_t)response->total_size;
}

char *scene_activity(struct erase_scene *scene)
{
    Casework__Report__V1__GetCaseActivityRequest request =
        CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    request.parent = desk_text(scene->account);
    request.period_case = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_DATE;
    request.date = desk_text("2026-03-02");
    request.min_position = suite_position(scene->s, scene->account);
    Casework__Report__V1__GetCaseActivityResponse *response =
        scene_call(scene, REPORTS, "GetCaseActivity", &request);
    char *rows = arena_strdup(scene->memory, "");
    for (size_t i = 0; i < response->n_rows; i++) {
        const Casework__Report__V1__CaseActivityRow *row = response->rows[i];
        rows = arena_printf(scene->memory, "%s%d/%d/%d/%d ", rows, (int)row->created, (int)row->pending,
                            (int)row->resolved, (int)row->deleted);
    }
    return rows;
}

void scene_await_erased(struct erase_scene *scene)
{
    int64_t until = clock_monotonic_us() + 30 * CLOCK_SECOND;
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    pg_conn *conn = scene_connect(scene, SUITE_CASE);
    while (strcmp(scene_ask(scene, conn, "SELECT count(*)::text FROM erasures"), "0") != 0) {
        cr_assert_lt(clock_monotonic_us(), until, "erased");
        nanosleep(&pause, NULL);
    }
    pg_conn_close(conn);
}

void scene_vacuum(struct erase_scene *scene)
{
    pg_conn *conn = scene_connect(scene, SUITE_CASE);
    scene_run(conn, "VACUUM FULL");
    scene_run(conn, "ANALYZE");
    pg_conn_close(conn);
}

void scene_erase(struct erase_scene *scene)
{
    Casework__Cases__V1__EraseContactRequest request = CASEWORK__CASES__V1__ERASE_CONTACT_REQUEST__INIT;
    request.name = desk_text(scene->contact);
    scene_call(scene, CONTACTS, "EraseContact", &request);
}
