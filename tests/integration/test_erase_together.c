/*
 * Texts are taken away at the very moment in which they are forwarded, merged or written: all of it is one
 * batch, in whatever order it came in.
 */

#include "base/clock.h"
#include "tests/support/erase_desk.h"
#include "tests/support/together.h"

#include <criterion/criterion.h>
#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS_MAX = 6 };

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(erase_together, .init = setup, .fini = teardown, .timeout = 120);

/* --- what the tests do ------------------------------------------------------------------------------------
 */

/* Kay's first message has the word; Jo's case is where it goes. */
static const char *kay, *jo, *contact;
static int rounds;

static void begin(void)
{
    const char *sender = arena_printf(server.memory, "kay%d@example.com", ++rounds);
    Casework__Cases__V1__ReceiveMessageResponse *first =
        desk_receive(&server, "mail", sender, sender, "secretword");
    kay = first->case_->name;
    contact = first->case_->contact;
    sender = arena_printf(server.memory, "jo%d@example.com", rounds);
    jo = desk_receive(&server, "mail", sender, sender, "plain")->case_->name;
}

struct call {
    const ProtobufCServiceDescriptor *service;
    const char *method;
    const void *request;
    bool done;
    bool tells; /* the answer has the word */
    int64_t position;
};

static const char *message_of(const char *case_name, char digit)
{
    return arena_printf(server.memory, "%s/messages/%c", case_name, digit);
}

/*
 * A word says what is done: "k" Kay's case is forwarded, "k1" its message 1; "j", "j2" likewise of Jo's; "+"
 * Kay's case is merged into Jo's, "-" that is undone.
 */
static struct call call_of(const char *word)
{
    const char *name = word[0] == 'k' ? kay : jo;
    if (word[0] == '+') {
        Casework__Cases__V1__MergeCasesRequest *merge = arena_alloc(server.memory, sizeof *merge);
        casework__cases__v1__merge_cases_request__init(merge);
        merge->source = desk_text(kay);
        merge->target = desk_text(jo);
        return (struct call){.service = DESK_CASES, .method = "MergeCases", .request = merge};
    }
    if (word[0] == '-') {
        Casework__Cases__V1__UnmergeCasesRequest *unmerge = arena_alloc(server.memory, sizeof *unmerge);
        casework__cases__v1__unmerge_cases_request__init(unmerge);
        unmerge->name = desk_text(kay);
        return (struct call){.service = DESK_CASES, .method = "UnmergeCases", .request = unmerge};
    }
    if (word[1] == '\0')
        return (struct call){.service = DESK_CASES,
                             .method = "ForwardCase",
                             .request = desk_forward_case(&server, name, NULL, "lab@example.net", "")};
    return (struct call){
        .service = DESK_MESSAGES,
        .method = "ForwardMessage",
        .request = desk_forward_message(&server, message_of(name, word[1]), NULL, "lab@example.net", "")};
}

static struct call call_redact(const char *message)
{
    Casework__Cases__V1__RedactMessageRequest *request = arena_alloc(server.memory, sizeof *request);
    casework__cases__v1__redact_message_request__init(request);
    request->name = desk_text(message);
    return (struct call){.service = DESK_MESSAGES, .method = "RedactMessage", .request = request};
}

static struct call call_erase(void)
{
    Casework__Cases__V1__EraseContactRequest *request = arena_alloc(server.memory, sizeof *request);
    casework__cases__v1__erase_contact_request__init(request);
    request->name = desk_text(contact);
    return (struct call){.service = DESK_CONTACTS, .method = "EraseContact", .request = request};
}

static bool has_word(const uint8_t *bytes, size_t size)
{
    static const char word[] = "secretword";
    for (size_t i = 0; i + strlen(word) <= size; i++) {
        if (memcmp(bytes + i, word, strlen(word)) == 0)
            return true;
    }
    return false;
}

static void land(void *argument, const ProtobufCMessage *response, const error *err)
{
    struct call *call = argument;
    (void)err; /* what cannot be done any more is refused */
    if (response == NULL)
        return;
    const ProtobufCFieldDescriptor *position =
        protobuf_c_message_descriptor_get_field_by_name(response->descriptor, "position");
    size_t size = protobuf_c_message_get_packed_size(response);
    uint8_t *packed = malloc(size + 1);
    protobuf_c_message_pack(response, packed);
    call->tells = has_word(packed, size);
    free(packed);
    memcpy(&call->position, (const char *)response + position->offset, sizeof call->position);
    call->done = true;
}

/* The words' calls as one batch, and `taking` as the one at `place`. */
static void run_together(const char *words, struct call taking, size_t place, const char *what)
{
    struct call calls[CALLS_MAX + 1];
    struct together together;
    size_t count = 0;
    char *all = arena_strdup(server.memory, words), *left = NULL;
    for (char *word = strtok_r(all, " ", &left); word != NULL; word = strtok_r(NULL, " ", &left)) {
        if (count == place)
            calls[count++] = taking;
        calls[count++] = call_of(word);
    }
    if (count == place)
        calls[count++] = taking;
    together_begin(&together, &server,
                   desk_receive(&server, "mail", "ahead@example.com", what, "plain")->case_->name);
    for (size_t i = 0; i < count; i++)
        together_add(&together, i == place ? NULL : "anna", calls[i].service, calls[i].method,
                     calls[i].request, land, &calls[i]);
    together_run(&together);
    cr_assert(calls[place].done, "%s", what);
    for (size_t i = 0; i < count; i++)
        cr_expect(!calls[i].tells || calls[i].position <= calls[place].position,
                  "%s: what comes later tells nothing", what);
}

static void run_before(const char *words)
{
    char *all = arena_strdup(server.memory, words), *left = NULL;
    for (char *word = strtok_r(all, " ", &left); word != NULL; word = strtok_r(NULL, " ", &left)) {
        struct call call = call_of(word);
        desk_call(&server, call.method[0] == 'F' ? "anna" : "", call.service, call.method, call.request);
    }
}

static int with_word(const char *case_name)
{
    int count = 0;
    Casework__Cases__V1__ListMessagesResponse *list = desk_list(&server, case_name, 1);
    for (size_t i = 0; i < list->n_messages; i++)
        count += strstr(list->messages[i]->body, "secretword") != NULL;
    return count;
}

static int64_t stored_with_word(void)
{
    return desk_count(&server, "SELECT count(*) FROM messages WHERE body LIKE '%secretword%'");
}

/* What was done before, and what is done at the same time. */
struct scene {
    const char *before, *together;
};

static const struct scene scenes[] = {
    {"", "k1 k"},          /* forwarded */
    {"k1", "k2"},          /* a forward that was stored */
    {"", "k1 k2 k3"},      /* a forward of this batch, and one of that */
    {"k1", "k2 k3 k4"},    /* deeper */
    {"+", "j2 j"},         /* a copy */
    {"k1 +", "j3 j"},      /* a copy of a forward */
    {"k1 + -", "k2 +"},    /* merged again */
    {"k1", "k2 + j2 j3"},  /* copies of this batch */
    {"k1", "k2 + j4 - k"}, /* which leave again */
    {"+ j2 -", "j3 +"},    /* a forward of a copy that has left */
};

enum { SCENES = sizeof scenes / sizeof scenes[0] };

/* --- redaction --------------------------------------------------------------------------------------------
 */

static size_t count_words(const char *words)
{
    size_t count = words[0] != '\0';
    for (; *words != '\0'; words++)
        count += *words == ' ';
    return count;
}

/* The redaction before all, behind all, and in their middle. */
Test(erase_together, a_redaction_finds_what_is_forwarded_at_the_same_time)
{
    for (size_t i = 0; i < SCENES; i++) {
        size_t last = count_words(scenes[i].together);
        for (size_t place = 0; place <= last; place += last > 1 ? (last + 1) / 2 : 1) {
            const char *what = arena_printf(server.memory, "redaction at %zu of '%s' behind '%s'", place,
                                            scenes[i].together, scenes[i].before);
            begin();
            run_before(scenes[i].before);
            run_together(scenes[i].together, call_redact(message_of(kay, '1')), place, what);
            cr_expect_eq(with_word(kay) + with_word(jo), 0, "%s", what);
            cr_expect_eq(stored_with_word(), 0, "%s: stored", what);
        }
    }
}

/* By the name of a copy, and of one that is being made: nobody knows of that yet. */
Test(erase_together, a_redaction_of_a_copy)
{
    begin();
    run_before("k1 +");
    run_together("j3 k2", call_redact(message_of(jo, '2')), 2, "a copy");
    cr_expect_eq(with_word(kay) + with_word(jo), 0);
    cr_expect_eq(stored_with_word(), 0);
}

Test(erase_together, a_redaction_of_a_forward_leaves_what_was_forwarded)
{
    begin();
    run_before("k1");
    run_together("k2 k1", call_redact(message_of(kay, '2')), 2, "a forward");
    cr_expect_eq(with_word(kay), 2, "the message, and its second forward");
}

/* --- erasure ----------------------------------------------------------------------------------------------
 */

Test(erase_together, an_erasure_finds_what_is_forwarded_at_the_same_time)
{
    for (size_t i = 0; i < SCENES; i++) {
        size_t last = count_words(scenes[i].together);
        for (size_t place = 0; place <= last; place += last) {
            const char *what = arena_printf(server.memory, "erasure at %zu of '%s' behind '%s'", place,
                                            scenes[i].together, scenes[i].before);
            begin();
            run_before(scenes[i].before);
            run_together(scenes[i].together, call_erase(), place, what);
            cr_expect_eq(with_word(kay) + with_word(jo), 0, "%s", what);
        }
    }
    desk_await_erased(&server);
    cr_expect_eq(stored_with_word(), 0);
}

static void expect_no_ids(void)
{
    desk_await_erased(&server);
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM external_ids e JOIN cases c ON c.partition ="
                                     " e.partition AND c.account = e.account AND c.id = e.case_id"
                                     " WHERE c.erased AND e.external_id NOT LIKE 'sha256:%'"),
                 0);
    cr_expect_eq(stored_with_word(), 0);
}

/* What comes in with it keeps no id in clear, either. */
Test(erase_together, external_ids_of_what_comes_in_at_the_same_time)
{
    for (size_t place = 0; place <= 1; place++) {
        Casework__Cases__V1__ReceiveMessageRequest request =
            CASEWORK__CASES__V1__RECEIVE_MESSAGE_REQUEST__INIT;
        struct together together;
        struct call calls[2];
        begin();
        request.parent = desk_text("accounts/acme/channels/mail");
        request.sender_address = arena_printf(server.memory, "kay%d@example.com", rounds);
        request.external_id = arena_printf(server.memory, "plainid-%d", rounds);
        request.body = desk_text("secretword");
        calls[place] = call_erase();
        calls[1 - place] = (struct call){DESK_CONNECTORS, "ReceiveMessage", &request, false, false, 0};
        together_begin(&together, &server,
                       desk_receive(&server, "mail", "ahead@example.com",
                                    arena_printf(server.memory, "ahead-%d", rounds), "plain")
                           ->case_->name);
        for (size_t i = 0; i < 2; i++)
            together_add(&together, NULL, calls[i].service, calls[i].method, calls[i].request, land,
                         &calls[i]);
        together_run(&together);
        cr_assert(calls[0].done && calls[1].done);
    }
    expect_no_ids();
}

static void *import(void *argument)
{
    Casework__Cases__V1__ImportConversationsRequest *items[] = {argument};
    struct case_server own = server;
    own.memory = arena_new(1 << 20); /* that of the others is the main thread's */
    cr_assert_not_null(own.memory);
    cr_expect_eq(case_server_import(&own, items, 1)->conversations_imported, 1);
    arena_free(own.memory);
    return NULL;
}

Test(erase_together, external_ids_of_what_is_imported_at_the_same_time)
{
    Casework__Cases__V1__ImportConversationsRequest *item;
    struct together together;
    struct call erase;
    pthread_t thread;
    begin();
    item = case_server_conversation(&server, "acme", "plainid", "secretword", "ca",
                                    CASE_SERVER_START_US - CLOCK_DAY);
    item->conversation->network = desk_text("email");
    item->conversation->contact->n_emails = 1;
    item->conversation->contact->emails = arena_alloc(server.memory, sizeof(char *));
    item->conversation->contact->emails[0] = arena_printf(server.memory, "kay%d@example.com", rounds);
    erase = call_erase();
    together_begin(&together, &server,
                   desk_receive(&server, "mail", "ahead@example.com", "ahead", "plain")->case_->name);
    double before = together_taken_in(&server);
    cr_assert_eq(pthread_create(&thread, NULL, import, item), 0);
    together_await_more(&server, before);
    together_add(&together, NULL, erase.service, erase.method, erase.request, land, &erase);
    together_run(&together);
    pthread_join(thread, NULL);
    cr_assert(erase.done);
    expect_no_ids();
    cr_expect_eq(desk_count(&server, "SELECT count(*) FROM external_ids WHERE channel = ''"), 1);
}
