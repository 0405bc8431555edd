/* Real conversations through the running services: what search finds is what reading every case gives. */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/plain_search.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES(name) (&casework__cases__v1__##name##__descriptor)
#define SEARCH (&casework__search__v1__search_service__descriptor)

typedef Casework__Search__V1__SearchCasesRequest search_request;
typedef Casework__Search__V1__SearchCasesResponse search_response;

enum { ACCOUNTS_MAX = 64, FIRST_MESSAGES = 30, PRESENT_WORDS = 200, ABSENT_WORDS = 50, WORD_SIZE = 200 };

/* What has been read of one account, by the methods that clients read with. */
struct account {
    const char *name;
    int64_t position;
    struct plain_reader *reader;
    struct search_document *documents; /* in the world's arena */
    size_t count;
};

struct world {
    suite *suite;
    arena *memory;
    struct account accounts[ACCOUNTS_MAX];
    size_t count, cases;
};

static const char *last_segment(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : "";
}

/* --- reading everything ------------------------------------------------------------------------------- */

struct texts {
    struct search_text *items;
    size_t count;
};

static void add_text(struct texts *texts, enum search_field field, const char *text)
{
    texts->items[texts->count++] = (struct search_text){field, text};
}

static void read_contact(struct world *world, const char *name, struct texts *texts)
{
    if (!*name)
        return;
    Casework__Cases__V1__GetContactRequest request = CASEWORK__CASES__V1__GET_CONTACT_REQUEST__INIT;
    request.name = (char *)name;
    const Casework__Cases__V1__GetContactResponse *response =
        suite_call(world->suite, CASES(contact_service), "GetContact", &request, world->memory);
    const Casework__Cases__V1__Contact *contact = response->contact;
    add_text(texts, SEARCH_FIELD_CONTACT_NAME, contact->display_name);
    add_text(texts, SEARCH_FIELD_CONTACT_NOTE, contact->note);
    for (size_t i = 0; i < contact->n_emails; i++)
        add_text(texts, SEARCH_FIELD_CONTACT_EMAIL, contact->emails[i]);
    for (size_t i = 0; i < contact->n_phones; i++)
        add_text(texts, SEARCH_FIELD_CONTACT_PHONE, contact->phones[i]);
}

static void read_messages(struct world *world, const char *name, struct texts *texts)
{
    Casework__Cases__V1__ListMessagesRequest request = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    request.parent = (char *)name;
    request.page_size = 1000;
    const Casework__Cases__V1__ListMessagesResponse *response =
        suite_call(world->suite, CASES(message_service), "ListMessages", &request, world->memory);
    cr_assert_str_eq(response->next_page_token, "");
    int counting = 0;
    for (size_t i = 0; i < response->n_messages && counting < FIRST_MESSAGES; i++) {
        const Casework__Cases__V1__Message *message = response->messages[i];
        if (message->kind == CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_SYSTEM || message->redacted)
            continue;
        add_text(texts, SEARCH_FIELD_MESSAGE, message->body);
        counting++;
    }
}

static void read_case(struct world *world, const Casework__Cases__V1__Case *c,
                      struct search_document *document)
{
    enum { CONTACT_TEXTS = 64 };
    struct texts texts = {.items =
                              arena_calloc(world->memory, 2 + CONTACT_TEXTS + c->n_labels + FIRST_MESSAGES,
                                           sizeof(struct search_text))};
    *document = (struct search_document){.number = strtoll(last_segment(c->name), NULL, 10),
                                         .status = (int)c->status,
                                         .subject = c->subject,
                                         .owner = last_segment(c->owner),
                                         .channel = last_segment(c->channel),
                                         .contact = last_segment(c->contact),
                                         .labels = (const char *const *)c->labels,
                                         .label_count = c->n_labels,
                                         .need_reply = c->need_reply};
    cr_assert(wire_time_us(c->update_time, &document->update_time_us));
    add_text(&texts, SEARCH_FIELD_SUBJECT, c->subject);
    add_text(&texts, SEARCH_FIELD_CASE_ID, last_segment(c->name));
    for (size_t i = 0; i < c->n_labels; i++)
        add_text(&texts, SEARCH_FIELD_LABEL, c->labels[i]);
    read_contact(world, c->contact, &texts);
    read_messages(world, c->name, &texts);
    document->texts = texts.items;
    document->text_count = texts.count;
}

static void read_account(struct world *world, struct account *account)
{
    account->reader = plain_reader_new();
    account->position = suite_position(world->suite, account->name);
    Casework__Cases__V1__ListCasesRequest request = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    request.parent = (char *)account->name;
    request.page_size = 1000;
    const Casework__Cases__V1__ListCasesResponse *response =
        suite_call(world->suite, CASES(case_service), "ListCases", &request, world->memory);
    cr_assert_str_eq(response->next_page_token, "");
    account->documents = arena_calloc(world->memory, response->n_cases + 1, sizeof *account->documents);
    account->count = response->n_cases;
    for (size_t i = 0; i < account->count; i++) {
        read_case(world, response->cases[i], &account->documents[i]);
        plain_reader_put(account->reader, &account->documents[i]);
    }
    world->cases += account->count;
}

static void read_everything(struct world *world)
{
    Casework__Cases__V1__ListAccountsRequest request = CASEWORK__CASES__V1__LIST_ACCOUNTS_REQUEST__INIT;
    request.page_size = ACCOUNTS_MAX;
    const Casework__Cases__V1__ListAccountsResponse *response =
        suite_call(world->suite, CASES(account_service), "ListAccounts", &request, world->memory);
    for (size_t i = 0; i < response->n_accounts; i++) {
        struct account *account = &world->accounts[world->count++];
        account->name = response->accounts[i]->name;
        read_account(world, account);
    }
}

/* --- asking both -------------------------------------------------------------------------------------- */

static void expect_result(const struct account *account, const Casework__Search__V1__SearchResult *result,
                          const struct plain_result *expected, const struct plain_answer *answer)
{
    char name[160];
    snprintf(name, sizeof name, "%s/cases/%lld", account->name, (long long)expected->number);
    cr_assert_str_eq(result->case_, name);
    size_t at = 0;
    for (size_t word = 0; word < answer->word_count; word++)
        for (unsigned field = 1; field <= 8; field++) {
            if (!(expected->fields[word] >> (field - 1) & 1))
                continue;
            cr_assert_lt(at, result->n_matches);
            cr_assert_str_eq(result->matches[at]->word, answer->words[word]);
            cr_assert_eq((unsigned)result->matches[at]->field, field);
            at++;
        }
    cr_assert_eq(at, result->n_matches);
}

/* All pages put together are what the plain reader finds. How many there are. */
static size_t expect_same(struct world *world, const struct account *account, const struct plain_query *plain,
                          const char *order_by, int page_size)
{
    struct plain_answer expected;
    plain_reader_find(account->reader, plain, &expected);
    search_request request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = (char *)account->name;
    request.query = (char *)plain->text;
    request.order_by = (char *)order_by;
    request.page_size = page_size;
    request.min_position = account->position;
    size_t seen = 0;
    arena *memory = arena_new(64 << 20);
    do {
        const search_response *response = suite_call(world->suite, SEARCH, "SearchCases", &request, memory);
        cr_assert_eq((size_t)response->total_size, expected.count, "«%s» in %s: %d, not %zu", plain->text,
                     account->name, response->total_size, expected.count);
        cr_assert_eq(response->n_query_words, expected.word_count);
        cr_assert_geq(response->indexed_position, account->position);
        for (size_t i = 0; i < response->n_results; i++)
            expect_result(account, response->results[i], &expected.results[seen++], &expected);
        request.page_token = response->next_page_token;
    } while (*request.page_token);
    cr_assert_eq(seen, expected.count);
    arena_free(memory);
    plain_answer_release(&expected);
    return seen;
}

static size_t ask(struct world *world, const struct account *account, const char *text)
{
    static const char *const order_by[] = {"",       "update_time", "subject", "subject desc",
                                           "status", "status desc"};
    static const char orders[] = "uusstt";
    static const bool descending[] = {true, false, false, true, false, true};
    size_t order = (size_t)rand() % 6;
    const struct plain_query query = {.text = text, .order = orders[order], .descending = descending[order]};
    return expect_same(world, account, &query, order_by[order], 1 + rand() % 60);
}

/* A piece of some text of the account between spaces, as it was written: one word, several, or none. */
static void pick_word(const struct account *account, char word[WORD_SIZE])
{
    for (;;) {
        const struct search_document *document = &account->documents[(size_t)rand() % account->count];
        const char *text = document->texts[(size_t)rand() % document->text_count].text;
        size_t length = strlen(text);
        if (length == 0)
            continue;
        text += (size_t)rand() % length;
        text += strcspn(text, " \n");
        text += strspn(text, " \n");
        size_t size = strcspn(text, " \n");
        if (size == 0 || size >= WORD_SIZE)
            continue;
        memcpy(word, text, size);
        word[size] = '\0';
        return;
    }
}

static void ask_for_words(struct world *world, int present, int absent)
{
    size_t found = 0;
    for (int i = 0; i < present; i++) {
        const struct account *account = &world->accounts[(size_t)rand() % world->count];
        char word[WORD_SIZE], other[WORD_SIZE], both[2 * WORD_SIZE + 1];
        pick_word(account, word);
        pick_word(account, other);
        snprintf(both, sizeof both, "%s %s", word, other);
        size_t one = ask(world, account, word), two = ask(world, account, both);
        cr_assert(two <= one || one == 0, "«%s» finds %zu, «%s» %zu", word, one, both, two);
        found += one;
    }
    cr_assert_gt(found, (size_t)present);
    for (int i = 0; i < absent; i++) {
        char word[WORD_SIZE];
        snprintf(word, sizeof word, "absent%dword", rand());
        cr_assert_eq(ask(world, &world->accounts[(size_t)i % world->count], word), 0);
    }
}

/* Reads a job's stream to its end; the last message. */
static const ProtobufCMessage *run_job(struct world *world, const char *method,
                                       const ProtobufCMessage *request, size_t *ret_count)
{
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    const ProtobufCMessage *last = NULL;
    ProtobufCMessage *message;
    rpc_stream *stream;
    error err;
    cr_assert(rpc_stream_open(suite_channel(world->suite, SUITE_SEARCH, 0), SEARCH, method, &options, &stream,
                              &err));
    cr_assert(rpc_stream_write(stream, request));
    rpc_stream_close_send(stream);
    enum rpc_read read;
    for (*ret_count = 0;
         (read = rpc_stream_read(stream, CLOCK_MINUTE, world->memory, &message, &err)) == RPC_READ_MESSAGE;
         ++*ret_count)
        last = message;
    cr_assert_eq(read, RPC_READ_END, "%s: %s", method, err.message);
    rpc_stream_free(stream);
    return last;
}

static void expect_no_difference(struct world *world)
{
    Casework__Search__V1__CheckIndexRequest request = CASEWORK__SEARCH__V1__CHECK_INDEX_REQUEST__INIT;
    request.parent = (char *)"accounts/-";
    size_t items;
    const Casework__Search__V1__CheckIndexResponse *last =
        (const Casework__Search__V1__CheckIndexResponse *)run_job(world, "CheckIndex", &request.base, &items);
    cr_assert_eq(items, 1);
    cr_assert_eq(last->summary->cases_checked, (int64_t)world->cases);
}

static void rebuild_all(struct world *world)
{
    Casework__Search__V1__RebuildIndexRequest request = CASEWORK__SEARCH__V1__REBUILD_INDEX_REQUEST__INIT;
    request.parent = (char *)"accounts/-";
    size_t items;
    const Casework__Search__V1__RebuildIndexResponse *last =
        (const Casework__Search__V1__RebuildIndexResponse *)run_job(world, "RebuildIndex", &request.base,
                                                                    &items);
    cr_assert(last->done);
    cr_assert_eq(last->cases_done, (int64_t)world->cases);
}

Test(search, real_conversations_as_a_plain_reader_finds_them, .timeout = 600)
{
    const char *path = suite_conversations();
    struct world world = {.suite = suite_start(NULL), .memory = arena_new((size_t)1 << 30)};
    const char *const import[] = {"import", path, NULL};
    char *output = NULL;
    int status = suite_run(world.suite, import, &output);
    cr_assert_eq(status, 0, "%s", output);
    free(output);
    read_everything(&world);
    cr_assert_eq(world.count, 24);
    cr_assert_eq(world.cases, 503);

    srand(503);
    ask_for_words(&world, PRESENT_WORDS, ABSENT_WORDS);
    pid_t former = suite_kill(world.suite, SUITE_SEARCH, 0);
    suite_await_restart(world.suite, SUITE_SEARCH, 0, former);
    ask_for_words(&world, PRESENT_WORDS / 4, ABSENT_WORDS / 4);
    expect_no_difference(&world);
    rebuild_all(&world);
    ask_for_words(&world, PRESENT_WORDS / 4, ABSENT_WORDS / 4);

    for (size_t i = 0; i < world.count; i++)
        plain_reader_free(world.accounts[i].reader);
    suite_stop(world.suite);
    arena_free(world.memory);
}
