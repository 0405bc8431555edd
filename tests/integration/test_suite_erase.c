/*
 * What was erased is gone: from every answer, from the feed, and from PostgreSQL's files. Each field that a
 * contact, a connector or a service fills for one gets a mark of its own, which is looked for before and
 * after.
 */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/connector_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "casework/cases/v1/import_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "pg/pg.h"
#include "rpc/wire.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define ACCOUNTS (&casework__cases__v1__account_service__descriptor)
#define CASES (&casework__cases__v1__case_service__descriptor)
#define CHANNELS (&casework__cases__v1__channel_service__descriptor)
#define CONNECTORS (&casework__cases__v1__connector_service__descriptor)
#define CONTACTS (&casework__cases__v1__contact_service__descriptor)
#define EVENTS (&casework__cases__v1__event_service__descriptor)
#define IMPORTS (&casework__cases__v1__import_service__descriptor)
#define MESSAGES (&casework__cases__v1__message_service__descriptor)
#define REPORTS (&casework__report__v1__report_service__descriptor)
#define SEARCH (&casework__search__v1__search_service__descriptor)
#define TIMERS (&casework__sla__v1__sla_service__descriptor)

enum { MEMORY = 64 << 20, MARKS_MAX = 64, LONG_BODY = 200 * 1024 };

/* Two digits, then this: never long enough to be compressed, and nothing else looks like it. */
static const char tail[] = "zq7x";

struct scene {
    suite *s;
    arena *memory;
    const char *account, *channel, *contact, *other;
    const char *cases[4];
    size_t case_count;
    unsigned marks;
    bool plain; /* texts get no marks for a while */
};

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

/* A new mark in a text: one %s. */
static char *mark(struct scene *scene, const char *format)
{
    char word[16];
    if (scene->plain)
        snprintf(word, sizeof word, "plain");
    else
        snprintf(word, sizeof word, "mk%02u%s", ++scene->marks, tail);
    const char *place = strstr(format, "%s");
    return arena_printf(scene->memory, "%.*s%s%s", (int)(place - format), format, word, place + 2);
}

static void *call(struct scene *scene, const ProtobufCServiceDescriptor *service, const char *method,
                  const void *request)
{
    return suite_call(scene->s, service, method, request, scene->memory);
}

/* --- everything that can be filled in ---------------------------------------------------------------------
 */

static const char *receive(struct scene *scene, const char *sender, const char *body)
{
    Casework__Cases__V1__ReceiveMessageRequest request = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Attachment file = CASEWORK__CASES__V1__ATTACHMENT__INIT, *files[] = {&file};
    request.parent = text(scene->channel);
    request.sender_address = text(sender);
    request.sender_display_name = mark(scene, "Jo %s");
    request.subject = mark(scene, "Printer %s");
    request.body = text(body);
    request.external_id = mark(scene, "<%s@mail>");
    request.attachments = files;
    request.n_attachments = 1;
    file.file_name = mark(scene, "%s.png");
    file.content_type = mark(scene, "image/%s");
    file.uri = mark(scene, "s3://files/%s");
    Casework__Cases__V1__ReceiveMessageResponse *response =
        call(scene, CONNECTORS, "ReceiveMessage", &request);
    scene->contact = response->case_->contact;
    return response->case_->name;
}

static void update_contact(struct scene *scene, const char *address)
{
    Casework__Cases__V1__UpdateContactRequest request = CASEWORK__CASES__V1__UPDATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__Contact contact = CASEWORK__CASES__V1__CONTACT__INIT;
    Casework__Cases__V1__ContactHandle handle = CASEWORK__CASES__V1__CONTACT_HANDLE__INIT,
                                       *handles[] = {&handle};
    char *emails[] = {text(address), mark(scene, "%s@example.org")}, *phones[] = {mark(scene, "%s 555 1234")};
    contact.name = text(scene->contact);
    contact.display_name = mark(scene, "Joanna %s");
    contact.emails = emails;
    contact.n_emails = 2;
    contact.phones = phones;
    contact.n_phones = 1;
    contact.handles = handles;
    contact.n_handles = 1;
    handle.network = text("chat");
    handle.address = mark(scene, "@%s");
    contact.note = mark(scene, "Prefers %s");
    request.contact = &contact;
    call(scene, CONTACTS, "UpdateContact", &request);
}

static void write_message(struct scene *scene, const char *parent, int kind, const char *agent, char *body,
                          char *author, char *external_id)
{
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    const struct rpc_client_options options = {.timeout_us = 30 * CLOCK_SECOND, .agent = agent};
    ProtobufCMessage *response;
    error err;
    request.parent = text(parent);
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
static char *long_body(struct scene *scene)
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

static const char *create_case(struct scene *scene)
{
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case record = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Message first = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__Case__AttributesEntry entry = CASEWORK__CASES__V1__CASE__ATTRIBUTES_ENTRY__INIT;
    Casework__Cases__V1__Case__AttributesEntry *entries[] = {&entry};
    request.parent = text(scene->account);
    request.case_ = &record;
    request.first_message = &first;
    record.channel = text(scene->channel);
    record.contact = text(scene->contact);
    record.subject = mark(scene, "Order %s");
    record.attributes = entries;
    record.n_attributes = 1;
    entry.key = mark(scene, "key-%s");
    entry.value = mark(scene, "value %s");
    first.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    first.body = mark(scene, "Where is %s?");
    first.external_id = mark(scene, "ext-%s");
    Casework__Cases__V1__CreateCaseResponse *response = call(scene, CASES, "CreateCase", &request);
    return response->case_->name;
}

static Casework__Cases__V1__ConversationMessage said(struct scene *scene, int kind, char *author,
                                                     int64_t ago_us)
{
    Casework__Cases__V1__ConversationMessage message = CASEWORK__CASES__V1__CONVERSATION_MESSAGE__INIT;
    message.kind = (Casework__Cases__V1__MessageKind)kind;
    message.author_name = author;
    message.send_time = wire_timestamp(scene->memory, suite_now_us(scene->s) - ago_us);
    message.body = mark(scene, "said %s");
    return message;
}

static Casework__Cases__V1__ImportConversationsResponse *import(
    struct scene *scene, Casework__Cases__V1__Conversation *conversation)
{
    Casework__Cases__V1__ImportConversationsRequest request =
        CASEWORK__CASES__V1__IMPORT_CONVERSATIONS_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = 30 * CLOCK_SECOND};
    rpc_stream *stream;
    ProtobufCMessage *response = NULL;
    error err;
    request.parent = text(scene->account);
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

static Casework__Cases__V1__Conversation *conversation(struct scene *scene, const char *address)
{
    Casework__Cases__V1__Conversation *out = arena_alloc(scene->memory, sizeof *out);
    Casework__Cases__V1__Contact *contact = arena_alloc(scene->memory, sizeof *contact);
    Casework__Cases__V1__ConversationMessage *messages = arena_calloc(scene->memory, 2, sizeof *messages);
    casework__cases__v1__conversation__init(out);
    casework__cases__v1__contact__init(contact);
    messages[0] = said(scene, 1, text("Jo"), 2 * CLOCK_HOUR);
    messages[1] = said(scene, 5, mark(scene, "%s@lab.example"), CLOCK_HOUR);
    out->external_id = mark(scene, "import-%s");
    out->network = text("email");
    out->subject = mark(scene, "Long ago %s");
    out->contact = contact;
    out->n_messages = 2;
    out->messages = arena_calloc(scene->memory, 2, sizeof(void *));
    out->messages[0] = &messages[0];
    out->messages[1] = &messages[1];
    contact->emails = arena_calloc(scene->memory, 1, sizeof(char *));
    contact->emails[0] = text(address);
    contact->n_emails = 1;
    return out;
}

static void create_channel(struct scene *scene)
{
    Casework__Cases__V1__CreateChannelRequest request = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    Casework__Cases__V1__Channel channel = CASEWORK__CASES__V1__CHANNEL__INIT;
    request.parent = text(scene->account);
    request.channel_id = text("mail");
    request.channel = &channel;
    channel.network = text("email");
    channel.address = text("help@acme.example");
    call(scene, CHANNELS, "CreateChannel", &request);
    scene->channel = arena_printf(scene->memory, "%s/channels/mail", scene->account);
}

static void forward(struct scene *scene, const char *message)
{
    Casework__Cases__V1__ForwardMessageRequest request = CASEWORK__CASES__V1__FORWARD_MESSAGE_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = 30 * CLOCK_SECOND, .agent = "anna"};
    ProtobufCMessage *response;
    error err;
    request.name = text(message);
    request.target_case = CASEWORK__CASES__V1__FORWARD_MESSAGE_REQUEST__TARGET_THIRD_PARTY;
    request.third_party = mark(scene, "%s@partner.example");
    request.note = mark(scene, "Please look at %s");
    cr_assert(rpc_client_call(suite_channel(scene->s, SUITE_CASE, 0), MESSAGES, "ForwardMessage",
                              &request.base, &options, scene->memory, &response, &err),
              "%s", err.message);
    const Casework__Cases__V1__Message *sent =
        ((Casework__Cases__V1__ForwardMessageResponse *)response)->message;
    Casework__Cases__V1__ReportDeliveryRequest report = CASEWORK__CASES__V1__REPORT_DELIVERY_REQUEST__INIT;
    report.name = sent->name;
    report.delivery = CASEWORK__CASES__V1__DELIVERY__DELIVERY_FAILED;
    report.failure = mark(scene, "no mailbox %s");
    report.external_id = mark(scene, "out-%s");
    call(scene, CONNECTORS, "ReportDelivery", &report);
}

/* The contact's newest case was merged into somebody else's: that is where it writes now. */
static void receive_later(struct scene *scene, const char *sender)
{
    Casework__Cases__V1__ReceiveMessageRequest request = CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Attachment file = CASEWORK__CASES__V1__ATTACHMENT__INIT, *files[] = {&file};
    request.parent = text(scene->channel);
    request.sender_address = text(sender);
    request.body = mark(scene, "And what of %s?");
    request.external_id = mark(scene, "<%s@later>");
    request.attachments = files;
    request.n_attachments = 1;
    file.file_name = mark(scene, "later-%s.png");
    Casework__Cases__V1__ReceiveMessageResponse *response =
        call(scene, CONNECTORS, "ReceiveMessage", &request);
    cr_assert_str_eq(response->case_->name, scene->other);
}

/* The source's messages join the target's; A's text stands in two cases then. */
static void merge(struct scene *scene, const char *source, const char *target)
{
    Casework__Cases__V1__MergeCasesRequest request = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    request.source = text(source);
    request.target = text(target);
    call(scene, CASES, "MergeCases", &request);
}

static struct scene begin(void)
{
    static const char *const settings[] = {"LOG_LEVEL=debug", NULL};
    const struct suite_options options = {.settings = settings};
    struct scene scene = {.s = suite_start(&options), .memory = arena_new(MEMORY)};
    scene.account = suite_create_account(scene.s, "acme", "UTC", scene.memory);
    suite_create_agent(scene.s, scene.account, "anna");
    create_channel(&scene);
    return scene;
}

static void end(struct scene *scene)
{
    arena_free(scene->memory);
    suite_stop(scene->s);
}

/* A contact with everything; and another one, who stays. */
static Casework__Cases__V1__Conversation *plant(struct scene *scene)
{
    scene->plain = true;
    const char *other = receive(scene, "keep@example.com", "keepme7x");
    scene->plain = false;
    const char *address = mark(scene, "%s@example.com");
    const char *first = receive(scene, address, mark(scene, "It does not %s"));
    update_contact(scene, address);
    write_message(scene, first, 2, "anna", mark(scene, "Dear %s"), text(""), text(""));
    write_message(scene, first, 3, "anna", mark(scene, "%s is upset"), text(""), text(""));
    write_message(scene, first, 7, "anna", mark(scene, "How likely, %s?"), text(""), text(""));
    write_message(scene, first, 6, NULL, mark(scene, "System says %s"), text(""), text(""));
    write_message(scene, first, 5, NULL, mark(scene, "The lab about %s"), mark(scene, "%s@lab.example"),
                  mark(scene, "lab-%s"));
    write_message(scene, first, 1, NULL, long_body(scene), text(""), text(""));
    forward(scene, arena_printf(scene->memory, "%s/messages/1", first));
    const char *second = create_case(scene);
    Casework__Cases__V1__Conversation *imported = conversation(scene, address);
    cr_assert_eq(import(scene, imported)->conversations_imported, 1);
    const char *third = create_case(scene);
    merge(scene, third, other);
    scene->other = other;
    receive_later(scene, address);
    scene->cases[scene->case_count++] = first;
    scene->cases[scene->case_count++] = second;
    scene->cases[scene->case_count++] = third;
    suite_step(scene->s, "ResolveCase", first, "anna");
    return imported;
}

/* --- where marks are looked for ---------------------------------------------------------------------------
 */

struct found {
    bool marks[MARKS_MAX + 1];
    size_t count;
    char place[512]; /* of the last one */
};

/* Notes the marks in some bytes. */
static void look(struct found *found, const char *data, size_t length, const char *place)
{
    const char *end = data + length, *at = data;
    while ((at = memmem(at, (size_t)(end - at), tail, strlen(tail))) != NULL) {
        unsigned number = at - data >= 2 ? (unsigned)((at[-2] - '0') * 10 + (at[-1] - '0')) : 0;
        if (number > 0 && number <= MARKS_MAX && !found->marks[number]) {
            found->marks[number] = true;
            found->count++;
        }
        snprintf(found->place, sizeof found->place, "%s", place);
        at += strlen(tail);
    }
}

static void look_into_file(struct found *found, const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return; /* a file that has just gone */
    enum { CHUNK = 1 << 20, OVERLAP = 16 };
    char *buffer = malloc(CHUNK + OVERLAP);
    size_t kept = 0, got;
    while ((got = fread(buffer + kept, 1, CHUNK, file)) > 0) {
        look(found, buffer, kept + got, path);
        size_t all = kept + got;
        kept = all < OVERLAP ? all : OVERLAP;
        memmove(buffer, buffer + all - kept, kept);
    }
    free(buffer);
    fclose(file);
}

static void look_into_folder(struct found *found, const char *path, const char *skipped)
{
    DIR *folder = opendir(path);
    cr_assert_not_null(folder, "%s", path);
    for (struct dirent *item; (item = readdir(folder)) != NULL;) {
        char inner[1024];
        struct stat status;
        if (item->d_name[0] == '.' || strcmp(item->d_name, skipped) == 0)
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, item->d_name);
        if (stat(inner, &status) != 0)
            continue;
        if (S_ISDIR(status.st_mode))
            look_into_folder(found, inner, skipped);
        else if (S_ISREG(status.st_mode))
            look_into_file(found, inner);
    }
    closedir(folder);
}

static pg_conn *connect_to(struct scene *scene, enum suite_service service)
{
    const struct pg_options options = {.url = suite_database(scene->s, service),
                                       .statement_timeout_us = CLOCK_MINUTE};
    pg_conn *conn = NULL;
    error err;
    cr_assert(pg_conn_open(&options, &conn, &err), "%s", err.detail);
    return conn;
}

static char *ask(struct scene *scene, pg_conn *conn, const char *sql)
{
    const struct pg_statement statement = {.name = "ask", .sql = sql};
    pg_result *result = NULL;
    error err;
    cr_assert(pg_query(conn, &statement, NULL, 0, &result, &err), "%s: %s", sql, err.detail);
    char *answer = arena_strdup(scene->memory, pg_get_text(result, 0, 0));
    pg_result_free(result);
    return answer;
}

static void run(pg_conn *conn, const char *sql)
{
    error err;
    cr_assert(pg_run_script(conn, sql, clock_monotonic_us() + CLOCK_MINUTE, &err), "%s: %s", sql, err.detail);
}

/* Everything PostgreSQL has written but its log of changes. */
static void look_at_disk(struct scene *scene, struct found *found)
{
    pg_conn *conn = connect_to(scene, SUITE_CASE);
    run(conn, "CHECKPOINT");
    look_into_folder(found, ask(scene, conn, "SELECT current_setting('data_directory')"), "pg_wal");
    pg_conn_close(conn);
}

/* Tables whose rows, as text and in hexadecimal, have a mark: of all three databases. */
static const char *tables_with_marks(struct scene *scene)
{
    static const char sql[] =
        "SELECT coalesce(string_agg(n.nspname || '.' || c.relname, ' '), '') FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'"
        " AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        " AND (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I.%I t"
        " WHERE t::text LIKE ''%%zq7x%%'' OR t::text LIKE ''%%'' || encode(''zq7x'', ''hex'') || ''%%''',"
        " n.nspname, c.relname), false, true, '')))[1]::text::bigint > 0";
    static const enum suite_service services[] = {SUITE_CASE, SUITE_SLA, SUITE_REPORT};
    const char *names = "";
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        pg_conn *conn = connect_to(scene, services[i]);
        names = arena_printf(scene->memory, "%s%s", names, ask(scene, conn, sql));
        pg_conn_close(conn);
    }
    return names;
}

static void look_at_message(struct found *found, const void *message, const char *place, arena *memory)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    unsigned char *packed = arena_alloc(memory, length + 1);
    protobuf_c_message_pack(message, packed);
    look(found, (const char *)packed, length, place);
}

static void look_at_case(struct scene *scene, struct found *found, const char *name)
{
    Casework__Cases__V1__GetCaseRequest get = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    Casework__Cases__V1__ListMessagesRequest list = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    Casework__Cases__V1__ListCaseEventsRequest events = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    Casework__Cases__V1__BatchGetDocumentsRequest documents =
        CASEWORK__CASES__V1__BATCH_GET_DOCUMENTS_REQUEST__INIT;
    char *names[] = {text(name)};
    get.name = list.parent = events.parent = text(name);
    documents.parent = text("accounts/-");
    documents.names = names;
    documents.n_names = 1;
    look_at_message(found, call(scene, CASES, "GetCase", &get), "GetCase", scene->memory);
    look_at_message(found, call(scene, MESSAGES, "ListMessages", &list), "ListMessages", scene->memory);
    look_at_message(found, call(scene, CASES, "ListCaseEvents", &events), "ListCaseEvents", scene->memory);
    look_at_message(found, call(scene, EVENTS, "BatchGetDocuments", &documents), "BatchGetDocuments",
                    scene->memory);
}

static void look_at_answers(struct scene *scene, struct found *found)
{
    Casework__Cases__V1__ListCasesRequest cases = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    Casework__Cases__V1__ListContactsRequest contacts = CASEWORK__CASES__V1__LIST_CONTACTS_REQUEST__INIT;
    Casework__Cases__V1__GetContactRequest contact = CASEWORK__CASES__V1__GET_CONTACT_REQUEST__INIT;
    cases.parent = contacts.parent = text(scene->account);
    cases.order_by = text("subject");
    contact.name = text(scene->contact);
    look_at_message(found, call(scene, CASES, "ListCases", &cases), "ListCases", scene->memory);
    look_at_message(found, call(scene, CONTACTS, "ListContacts", &contacts), "ListContacts", scene->memory);
    look_at_message(found, call(scene, CONTACTS, "GetContact", &contact), "GetContact", scene->memory);
    for (size_t i = 0; i < scene->case_count; i++)
        look_at_case(scene, found, scene->cases[i]);
    look_at_case(scene, found, scene->other);
}

/* The whole feed, or the snapshot. */
static void look_at_stream(struct scene *scene, struct found *found, const char *method)
{
    Casework__Cases__V1__StreamEventsRequest events = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    Casework__Cases__V1__StreamSnapshotRequest snapshot = CASEWORK__CASES__V1__STREAM_SNAPSHOT_REQUEST__INIT;
    bool is_feed = strcmp(method, "StreamEvents") == 0;
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    rpc_stream *stream;
    ProtobufCMessage *message;
    error err;
    events.parent = snapshot.parent = text(scene->account);
    cr_assert(
        rpc_stream_open(suite_channel(scene->s, SUITE_CASE, 0), EVENTS, method, &options, &stream, &err));
    cr_assert(rpc_stream_write(stream, is_feed ? &events.base : &snapshot.base));
    rpc_stream_close_send(stream);
    bool over = false;
    while (!over &&
           rpc_stream_read(stream, 30 * CLOCK_SECOND, scene->memory, &message, &err) == RPC_READ_MESSAGE) {
        look_at_message(found, message, method, scene->memory);
        over = is_feed && ((Casework__Cases__V1__StreamEventsResponse *)message)->caught_up;
    }
    rpc_stream_free(stream);
}

static uint64_t search(struct scene *scene, const char *word)
{
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = text(scene->account);
    request.query = text(word);
    request.min_position = suite_position(scene->s, scene->account);
    Casework__Search__V1__SearchCasesResponse *response = call(scene, SEARCH, "SearchCases", &request);
    return (uint64_t)response->total_size;
}

/* How many of the marks search finds. */
static size_t searchable(struct scene *scene)
{
    size_t count = 0;
    char word[16];
    for (unsigned i = 1; i <= scene->marks; i++) {
        snprintf(word, sizeof word, "mk%02u%s", i, tail);
        count += search(scene, word) > 0;
    }
    return count;
}

static char *activity(struct scene *scene)
{
    Casework__Report__V1__GetCaseActivityRequest request =
        CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    request.parent = text(scene->account);
    request.period_case = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_DATE;
    request.date = text("2026-03-02");
    request.min_position = suite_position(scene->s, scene->account);
    Casework__Report__V1__GetCaseActivityResponse *response =
        call(scene, REPORTS, "GetCaseActivity", &request);
    char *rows = arena_strdup(scene->memory, "");
    for (size_t i = 0; i < response->n_rows; i++) {
        const Casework__Report__V1__CaseActivityRow *row = response->rows[i];
        rows = arena_printf(scene->memory, "%s%d/%d/%d/%d ", rows, (int)row->created, (int)row->pending,
                            (int)row->resolved, (int)row->deleted);
    }
    return rows;
}

static void await_erased(struct scene *scene)
{
    int64_t until = clock_monotonic_us() + 30 * CLOCK_SECOND;
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    pg_conn *conn = connect_to(scene, SUITE_CASE);
    while (strcmp(ask(scene, conn, "SELECT count(*)::text FROM erasures"), "0") != 0) {
        cr_assert_lt(clock_monotonic_us(), until, "erased");
        nanosleep(&pause, NULL);
    }
    pg_conn_close(conn);
}

static void vacuum(struct scene *scene)
{
    pg_conn *conn = connect_to(scene, SUITE_CASE);
    run(conn, "VACUUM FULL");
    run(conn, "ANALYZE");
    pg_conn_close(conn);
}

static void erase(struct scene *scene)
{
    Casework__Cases__V1__EraseContactRequest request = CASEWORK__CASES__V1__ERASE_CONTACT_REQUEST__INIT;
    request.name = text(scene->contact);
    call(scene, CONTACTS, "EraseContact", &request);
}

/* --- the proof --------------------------------------------------------------------------------------------
 */

Test(suite_erase, no_byte_of_a_contact_is_left, .timeout = 240)
{
    struct scene scene = begin();
    Casework__Cases__V1__Conversation *imported = plant(&scene);
    const char *contact = scene.contact;
    struct found before = {0}, answered = {0}, left = {0}, disk = {0}, logs = {0};

    pg_conn *conn = connect_to(&scene, SUITE_CASE);
    run(conn, "ANALYZE"); /* statistics that have seen the texts */
    pg_conn_close(conn);
    look_at_disk(&scene, &before);
    cr_assert_eq(before.count, scene.marks, "the disk had %zu of %u marks", before.count, scene.marks);
    look_at_answers(&scene, &answered);
    cr_assert_gt(answered.count, (size_t)scene.marks - 8, "answers had %zu of %u marks", answered.count,
                 scene.marks);
    cr_assert_gt(searchable(&scene), 12);
    const char *report = activity(&scene);

    erase(&scene);
    scene.contact = contact;
    look_at_answers(&scene, &left);
    cr_expect_eq(left.count, 0, "at once: %s", left.place);
    cr_expect_eq(searchable(&scene), 0, "at once");
    await_erased(&scene);
    look_at_answers(&scene, &left);
    look_at_stream(&scene, &left, "StreamEvents");
    look_at_stream(&scene, &left, "StreamSnapshot");
    cr_expect_eq(left.count, 0, "afterwards: %s", left.place);
    cr_expect_eq(searchable(&scene), 0);
    cr_expect_str_eq(activity(&scene), report, "counts stay");
    cr_expect_eq(import(&scene, imported)->conversations_unchanged, 1);

    cr_expect_str_eq(tables_with_marks(&scene), "");
    vacuum(&scene);
    look_at_disk(&scene, &disk);
    for (unsigned i = 1; i <= scene.marks; i++)
        cr_expect_not(disk.marks[i], "mark %u is still on disk: %s", i, disk.place);
    look_into_folder(&logs, arena_printf(scene.memory, "%s/log", suite_directory(scene.s)), "none");
    cr_expect_eq(logs.count, 0, "logs: %s", logs.place);
    cr_expect_gt(search(&scene, "keepme7x"), 0, "others keep theirs");
    end(&scene);
}

/* --- whatever happens -------------------------------------------------------------------------------------
 */

enum { MANY = 1700 };

/* So many cases of one contact, all at once. */
static void import_many(struct scene *scene)
{
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    rpc_stream *stream;
    ProtobufCMessage *response = NULL;
    error err;
    cr_assert(rpc_stream_open(suite_channel(scene->s, SUITE_CASE, 0), IMPORTS, "ImportConversations",
                              &options, &stream, &err));
    Casework__Cases__V1__ImportConversationsRequest request =
        CASEWORK__CASES__V1__IMPORT_CONVERSATIONS_REQUEST__INIT;
    Casework__Cases__V1__Conversation *item = conversation(scene, "jo@example.com");
    request.parent = text(scene->account);
    request.conversation = item;
    item->n_messages = 1;
    item->subject = text("mk01zq7x");
    item->messages[0]->body = text("mk02zq7x");
    for (int i = 0; i < MANY; i++) {
        item->external_id = arena_printf(scene->memory, "import-%d", i);
        cr_assert(rpc_stream_write(stream, &request.base));
    }
    rpc_stream_close_send(stream);
    cr_assert_eq(rpc_stream_read(stream, CLOCK_MINUTE, scene->memory, &response, &err), RPC_READ_MESSAGE,
                 "%s", err.message);
    rpc_stream_free(stream);
    cr_assert_eq(((Casework__Cases__V1__ImportConversationsResponse *)response)->conversations_imported,
                 MANY);
}

static int64_t count(struct scene *scene, const char *sql)
{
    pg_conn *conn = connect_to(scene, SUITE_CASE);
    int64_t number = strtoll(ask(scene, conn, sql), NULL, 10);
    pg_conn_close(conn);
    return number;
}

Test(suite_erase, an_erasure_goes_on_whoever_is_killed, .timeout = 240)
{
    static const char *const settings[] = {"CASEWORK_INJECT=case_eraser.step=kill@25", NULL};
    const struct suite_options options = {.settings = settings};
    struct scene scene = {.s = suite_start(&options), .memory = arena_new(MEMORY)};
    scene.account = suite_create_account(scene.s, "acme", "UTC", scene.memory);
    create_channel(&scene);
    import_many(&scene);
    scene.marks = 2;
    cr_assert_eq(search(&scene, "mk01zq7x"), MANY);
    const char *report = activity(&scene);
    pid_t former = suite_pid(scene.s, SUITE_CASE, 0);
    Casework__Cases__V1__ListContactsRequest list = CASEWORK__CASES__V1__LIST_CONTACTS_REQUEST__INIT;
    list.parent = text(scene.account);
    Casework__Cases__V1__ListContactsResponse *contacts = call(&scene, CONTACTS, "ListContacts", &list);
    cr_assert_eq(contacts->n_contacts, 1);
    scene.contact = contacts->contacts[0]->name;
    erase(&scene);
    suite_await_restart(scene.s, SUITE_CASE, 0, former);
    await_erased(&scene);
    cr_expect_eq(count(&scene, "SELECT count(*)::text FROM cases WHERE erased AND subject = ''"), MANY);
    cr_expect_eq(count(&scene, "SELECT count(*)::text FROM messages WHERE body <> ''"), 0);
    cr_expect_eq(count(&scene, "SELECT count(*)::text FROM events WHERE kind = 24 AND case_id <> 0"), MANY,
                 "each case told once");
    cr_expect_eq(searchable(&scene), 0);
    cr_expect_str_eq(activity(&scene), report);

    former = suite_pid(scene.s, SUITE_CASE, 0);
    Casework__Cases__V1__DeleteAccountRequest request = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    request.name = text(scene.account);
    call(&scene, ACCOUNTS, "DeleteAccount", &request);
    suite_await_restart(scene.s, SUITE_CASE, 0, former);
    await_erased(&scene);
    cr_expect_eq(count(&scene, "SELECT count(*)::text FROM events WHERE account = 'acme'"), 1);
    cr_expect_eq(count(&scene, "SELECT count(*)::text FROM cases"), 0);
    end(&scene);
}

static bool fails_not_found(struct scene *scene, const ProtobufCServiceDescriptor *service,
                            const char *method, const ProtobufCMessage *request)
{
    ProtobufCMessage *response;
    error err;
    return !suite_try(scene->s, service, method, request, scene->memory, &response, &err) &&
           err.code == STATUS_NOT_FOUND;
}

/* Until all of them have come that far: whose account is gone cannot be asked. */
static void settle(struct scene *scene)
{
    suite_advance(scene->s, CLOCK_SECOND);
}

Test(suite_erase, a_deleted_account_is_gone_everywhere, .timeout = 240)
{
    struct scene scene = begin();
    const char *first = receive(&scene, "jo@example.com", "oldword");
    suite_step(scene.s, "ResolveCase", first, "anna");
    cr_assert_gt(search(&scene, "oldword"), 0);
    cr_assert_not_null(strstr(activity(&scene), "1/0/1/0"));
    Casework__Cases__V1__DeleteAccountRequest delete = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    delete.name = text(scene.account);
    call(&scene, ACCOUNTS, "DeleteAccount", &delete);
    settle(&scene);

    Casework__Search__V1__SearchCasesRequest found = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    Casework__Report__V1__GetCaseActivityRequest counted =
        CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    Casework__Sla__V1__ListCaseTimersRequest timers = CASEWORK__SLA__V1__LIST_CASE_TIMERS_REQUEST__INIT;
    found.parent = counted.parent = text(scene.account);
    found.query = text("oldword");
    timers.parent = text(first);
    cr_expect(fails_not_found(&scene, SEARCH, "SearchCases", &found.base));
    cr_expect(fails_not_found(&scene, REPORTS, "GetCaseActivity", &counted.base));
    cr_expect(fails_not_found(&scene, TIMERS, "ListCaseTimers", &timers.base));
    await_erased(&scene);

    scene.account = suite_create_account(scene.s, "acme", "UTC", scene.memory);
    suite_create_agent(scene.s, scene.account, "anna");
    create_channel(&scene);
    const char *next = receive(&scene, "jo@example.com", "newword");
    cr_expect_str_eq(next, first, "numbers begin anew");
    cr_expect_eq(search(&scene, "oldword"), 0);
    cr_expect_eq(search(&scene, "newword"), 1);
    cr_expect_not_null(strstr(activity(&scene), "1/0/0/0"), "the report begins anew: %s", activity(&scene));
    cr_expect_null(strstr(activity(&scene), "1/0/1/0"));
    suite_advance(scene.s, 100 * CLOCK_HOUR);
    cr_expect_eq((int)suite_case(scene.s, next, scene.memory)->status, 1,
                 "no timer of the former case closes it");
    end(&scene);
}
