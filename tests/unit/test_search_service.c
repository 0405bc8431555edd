/* The search service against a feed without a database: what comes in by events goes out by SearchCases. */

#include "base/clock.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/search_server.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

typedef Casework__Search__V1__SearchCasesRequest wire_request;
typedef Casework__Search__V1__SearchCasesResponse wire_response;
typedef Casework__Cases__V1__Document wire_document;

enum { CASES_MAX = 64 };

/* The cases as the case service has them. */
struct fake_case {
    bool there;
    const char *subject, *body, *label;
    int status;
    int64_t update_time_us;
    int reads; /* after which it is gone; 0: it stays */
};

struct world {
    pthread_mutex_t lock;
    struct fake_case cases[CASES_MAX];
    const char *contact_name; /* of all cases; NULL: no contact */
    bool closed;              /* nothing is read until it is not */
    pthread_cond_t opened;
    bool drop; /* the account goes while one of its cases is read */
    struct search_server server;
    atomic_int caught_up;
};

static void read_case(void *context, arena *memory, const char *account, int64_t number,
                      wire_document *document)
{
    struct world *world = context;
    (void)account;
    pthread_mutex_lock(&world->lock);
    while (world->closed)
        pthread_cond_wait(&world->opened, &world->lock);
    struct fake_case *now = &world->cases[number % CASES_MAX];
    const struct fake_case c = *now;
    if (now->reads > 0 && --now->reads == 0)
        now->there = false;
    const char *contact_name = world->contact_name;
    bool drop = world->drop;
    pthread_mutex_unlock(&world->lock);
    if (drop)
        search_index_drop(world->server.service.index, "acme");
    if (!c.there)
        return;
    document->state = CASEWORK__CASES__V1__DOCUMENT_STATE__DOCUMENT_STATE_LIVE;
    document->subject = (char *)c.subject;
    document->status = (Casework__Cases__V1__CaseStatus)c.status;
    document->owner = (char *)"accounts/acme/agents/ann";
    document->channel = (char *)"accounts/acme/channels/mail";
    document->update_time = wire_timestamp(memory, c.update_time_us);
    document->labels = arena_calloc(memory, 1, sizeof(char *));
    document->labels[0] = (char *)c.label;
    document->n_labels = c.label != NULL;
    if (contact_name) {
        document->contact = (char *)"accounts/acme/contacts/k1";
        document->contact_display_name = (char *)contact_name;
    }
    Casework__Cases__V1__DocumentMessage *message = arena_alloc(memory, sizeof *message);
    casework__cases__v1__document_message__init(message);
    message->body = (char *)c.body;
    document->messages = arena_calloc(memory, 1, sizeof(Casework__Cases__V1__DocumentMessage *));
    document->messages[0] = message;
    document->n_messages = 1;
}

static void caught_up(void *context)
{
    atomic_fetch_add(&((struct world *)context)->caught_up, 1);
}

static void begin(struct world *world)
{
    memset(world, 0, sizeof *world);
    pthread_mutex_init(&world->lock, NULL);
    pthread_cond_init(&world->opened, NULL);
    search_server_begin(&world->server, read_case, world);
    search_server_start(&world->server, caught_up, world);
}

static void end(struct world *world)
{
    search_server_end(&world->server);
    pthread_cond_destroy(&world->opened);
    pthread_mutex_destroy(&world->lock);
}

/* Changes a case and tells of it. */
static int64_t set(struct world *world, int64_t number, struct fake_case c)
{
    pthread_mutex_lock(&world->lock);
    world->cases[number] = c;
    pthread_mutex_unlock(&world->lock);
    return fake_events_add(world->server.events, "acme", number,
                           CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_UPDATED, NULL);
}

static int64_t set_text(struct world *world, int64_t number, const char *subject, const char *body)
{
    return set(world, number,
               (struct fake_case){.there = true,
                                  .subject = subject,
                                  .body = body,
                                  .status = 2,
                                  .update_time_us = number * CLOCK_SECOND});
}

static wire_request ask(const char *query, int64_t position)
{
    wire_request request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = (char *)"accounts/acme";
    request.query = (char *)query;
    request.min_position = position;
    return request;
}

/* NULL: it failed, world->server.err says why. */
static wire_response *search_within(struct world *world, const wire_request *request, int64_t timeout_us)
{
    const struct rpc_client_options options = {.timeout_us = timeout_us};
    ProtobufCMessage *response;
    world->server.err = (error){0};
    if (!rpc_client_call(world->server.channel, &casework__search__v1__search_service__descriptor,
                         "SearchCases", &request->base, &options, world->server.memory, &response,
                         &world->server.err))
        return NULL;
    return (wire_response *)response;
}

static wire_response *search(struct world *world, const wire_request *request)
{
    wire_response *response = search_within(world, request, 20 * CLOCK_SECOND);
    cr_assert(response, "%s: %s", status_code_name(world->server.err.code), world->server.err.message);
    return response;
}

static int total(struct world *world, const char *query, int64_t position)
{
    wire_request request = ask(query, position);
    return search(world, &request)->total_size;
}

static void expect_refusal(struct world *world, const wire_request *request, const char *field)
{
    cr_assert_null(search_within(world, request, 20 * CLOCK_SECOND));
    cr_assert_eq(world->server.err.code, STATUS_INVALID_ARGUMENT, "%s", field);
    cr_assert_eq(world->server.err.violation_count, 1);
    cr_assert_str_eq(world->server.err.violations[0].key, field);
}

Test(search_service, answers_what_a_write_has_just_told, .timeout = 60)
{
    struct world world;
    begin(&world);
    for (int64_t i = 1; i <= 20; i++) {
        const char *text = arena_printf(world.server.memory, "word%lld", (long long)i);
        int64_t position = set_text(&world, i, "subject", text);
        cr_assert_eq(total(&world, text, position), 1);
        cr_assert_eq(total(&world, "subject", 0), i);
    }
    end(&world);
}

Test(search_service, tells_what_matched_where, .timeout = 60)
{
    struct world world;
    begin(&world);
    world.contact_name = "Needed Straße";
    int64_t position = set(&world, 1,
                           (struct fake_case){.there = true,
                                              .subject = "The contract",
                                              .body = "contract, again",
                                              .label = "Contract Needed",
                                              .status = 3,
                                              .update_time_us = 1700000000123456});
    wire_request request = ask("STRASSE contract! contract", position);
    const wire_response *response = search(&world, &request);
    cr_assert_eq(response->n_query_words, 2);
    cr_assert_str_eq(response->query_words[0], "strasse");
    cr_assert_str_eq(response->query_words[1], "contract");
    cr_assert_eq(response->total_size, 1);
    cr_assert_eq(response->indexed_position, position);
    cr_assert_str_eq(response->next_page_token, "");
    const Casework__Search__V1__SearchResult *result = response->results[0];
    cr_assert_str_eq(result->case_, "accounts/acme/cases/1");
    cr_assert_str_eq(result->subject, "The contract");
    cr_assert_str_eq(result->owner, "accounts/acme/agents/ann");
    cr_assert_eq((int)result->status, 3);
    cr_assert_eq(result->update_time->seconds, 1700000000);
    cr_assert_eq(result->update_time->nanos, 123456000);
    const struct {
        const char *word;
        int field;
    } expected[] = {{"strasse", 3}, {"contract", 1}, {"contract", 7}, {"contract", 8}};
    cr_assert_eq(result->n_matches, 4);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_str_eq(result->matches[i]->word, expected[i].word);
        cr_assert_eq((int)result->matches[i]->field, expected[i].field);
    }
    request = ask("contract", 0);
    Casework__Search__V1__SearchField fields[] = {3, 7};
    request.fields = fields;
    request.n_fields = 2;
    response = search(&world, &request);
    cr_assert_eq(response->results[0]->n_matches, 1);
    end(&world);
}

Test(search_service, a_query_without_words_finds_nothing_and_says_so, .timeout = 60)
{
    struct world world;
    begin(&world);
    wire_request request = ask(" .,- ", set_text(&world, 1, "a", "b"));
    const wire_response *response = search(&world, &request);
    cr_assert_eq(response->n_query_words, 0);
    cr_assert_eq(response->total_size, 0);
    cr_assert_eq(response->n_results, 0);
    end(&world);
}

Test(search_service, pages_put_together_are_the_whole, .timeout = 60)
{
    struct world world;
    begin(&world);
    int64_t position = 0;
    for (int64_t i = 1; i < CASES_MAX; i++)
        position = set_text(&world, i, "page", "text");
    const char *const orders[] = {"", "update_time", "subject desc", "status"};
    for (size_t order = 0; order < 4; order++) {
        bool descending = order % 2 == 0;
        int64_t expected = descending ? CASES_MAX - 1 : 1;
        wire_request request = ask("page", position);
        request.order_by = (char *)orders[order];
        request.page_size = 10;
        int pages = 0;
        do {
            const wire_response *response = search(&world, &request);
            cr_assert_eq(response->total_size, CASES_MAX - 1);
            for (size_t i = 0; i < response->n_results; i++, expected += descending ? -1 : 1) {
                char name[64];
                snprintf(name, sizeof name, "accounts/acme/cases/%lld", (long long)expected);
                cr_assert_str_eq(response->results[i]->case_, name);
            }
            request.page_token = response->next_page_token;
            pages++;
        } while (*request.page_token);
        cr_assert_eq(pages, 7);
    }
    end(&world);
}

Test(search_service, refuses_what_makes_no_sense, .timeout = 60)
{
    struct world world;
    begin(&world);
    int64_t position = set_text(&world, 1, "a", "b");
    set_text(&world, 2, "a", "b");
    static char long_query[SEARCH_QUERY_BYTES_MAX + 2];
    memset(long_query, 'x', sizeof long_query - 1);
    wire_request request = ask(long_query, 0);
    expect_refusal(&world, &request, "query");
    request = ask("a", -1);
    expect_refusal(&world, &request, "min_position");
    request = ask("a", 0);
    request.order_by = (char *)"number";
    expect_refusal(&world, &request, "order_by");
    request = ask("a", 0);
    request.page_size = -1;
    expect_refusal(&world, &request, "page_size");
    request = ask("a", 0);
    request.owner = (char *)"accounts/beta/agents/ann";
    cr_assert_null(search_within(&world, &request, 20 * CLOCK_SECOND));
    cr_assert_eq(world.server.err.code, STATUS_NOT_FOUND, "another account's");
    request = ask("a", 0);
    request.parent = (char *)"accounts/-";
    expect_refusal(&world, &request, "parent");
    request = ask("a", 0);
    static char long_label[5000];
    memset(long_label, 'x', sizeof long_label - 1);
    request.label = long_label;
    expect_refusal(&world, &request, "label");
    Casework__Search__V1__SearchField field = 0;
    request = ask("a", 0);
    request.fields = &field;
    request.n_fields = 1;
    expect_refusal(&world, &request, "fields");

    request = ask("a", position);
    request.page_size = 1;
    char *token = search(&world, &request)->next_page_token;
    request.page_token = token;
    cr_assert_eq(search(&world, &request)->n_results, 1);
    request.query = (char *)"b";
    expect_refusal(&world, &request, "page_token");
    cr_assert_str_eq(world.server.err.reason, "INVALID_PAGE_TOKEN");
    request.query = (char *)"a";
    token[3] = token[3] == 'A' ? 'B' : 'A';
    expect_refusal(&world, &request, "page_token");
    end(&world);
}

Test(search_service, waits_for_a_position_within_the_deadline, .timeout = 60)
{
    struct world world;
    begin(&world);
    int64_t position = set_text(&world, 1, "a", "b");
    cr_assert_eq(total(&world, "a", position), 1);
    wire_request request = ask("a", position + 1);
    cr_assert_null(search_within(&world, &request, 200000));
    cr_assert_eq(world.server.err.code, STATUS_DEADLINE_EXCEEDED);
    end(&world);
}

Test(search_service, a_stopped_feed_is_lag_and_never_a_wrong_answer, .timeout = 60)
{
    struct world world;
    begin(&world);
    cr_assert_eq(total(&world, "a", set_text(&world, 1, "a", "b")), 1);
    search_follower_stop(world.server.service.follower);
    int64_t position = set_text(&world, 2, "a", "b"), told_us = clock_monotonic_us();
    wire_request request = ask("a", position);
    cr_assert_null(search_within(&world, &request, CLOCK_SECOND));
    cr_assert_eq(total(&world, "a", 0), 1);

    Casework__Search__V1__GetIndexStatusRequest status = CASEWORK__SEARCH__V1__GET_INDEX_STATUS_REQUEST__INIT;
    status.parent = (char *)"accounts/acme";
    const struct rpc_client_options options = {.timeout_us = 20 * CLOCK_SECOND};
    ProtobufCMessage *message;
    cr_assert(rpc_client_call(world.server.channel, &casework__search__v1__search_service__descriptor,
                              "GetIndexStatus", &status.base, &options, world.server.memory, &message,
                              &world.server.err));
    const Casework__Search__V1__GetIndexStatusResponse *answer =
        (const Casework__Search__V1__GetIndexStatusResponse *)message;
    cr_assert_eq(answer->lag_events, 1);
    int64_t lag_us = 0;
    cr_assert(wire_duration_us(answer->lag_duration, &lag_us));
    cr_assert_gt(lag_us, 0);
    cr_assert_leq(lag_us, clock_monotonic_us() - told_us + CLOCK_SECOND);
    cr_assert_eq(answer->n_accounts, 1);
    cr_assert_eq(answer->total_cases, 1);
    cr_assert_eq(answer->accounts[0]->indexed_position, position - 1);
    cr_assert_eq(answer->accounts[0]->words, 3);
    cr_assert_eq(answer->accounts[0]->postings, 3);
    cr_assert_str_eq(answer->epoch, "first");
    end(&world);
}

Test(search_service, a_renamed_contact_is_found_in_all_its_cases, .timeout = 60)
{
    struct world world;
    begin(&world);
    world.contact_name = "Old";
    int64_t position = 0;
    for (int64_t i = 1; i < CASES_MAX; i++)
        position = set_text(&world, i, "a", "b");
    cr_assert_eq(total(&world, "old", position), CASES_MAX - 1);
    pthread_mutex_lock(&world.lock);
    world.contact_name = "New";
    pthread_mutex_unlock(&world.lock);
    position = fake_events_add(world.server.events, "acme", 0,
                               CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CONTACT_UPDATED,
                               "accounts/acme/contacts/k1");
    cr_assert_eq(total(&world, "new", position), CASES_MAX - 1);
    cr_assert_eq(total(&world, "old", position), 0);
    end(&world);
}

Test(search_service, follows_deletions_breaks_and_restored_databases, .timeout = 60)
{
    struct world world;
    begin(&world);
    int64_t position =
        set(&world, 1, (struct fake_case){.there = true, .subject = "a", .body = "", .status = 6});
    cr_assert_eq(total(&world, "a", position), 0);
    wire_request request = ask("a", 0);
    Casework__Cases__V1__CaseStatus deleted = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_DELETED;
    request.statuses = &deleted;
    request.n_statuses = 1;
    cr_assert_eq(search(&world, &request)->total_size, 1);

    fake_events_break(world.server.events);
    set_text(&world, 2, "a", "");
    position = set(&world, 1, (struct fake_case){.there = false});
    cr_assert_eq(total(&world, "a", position), 1);

    position = fake_events_add(world.server.events, "acme", 0,
                               CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_ACCOUNT_DELETED, NULL);
    cr_assert_eq(total(&world, "a", position), 0);

    set_text(&world, 3, "restored", "");
    fake_events_restore(world.server.events, "second");
    position = set_text(&world, 4, "restored", "");
    request = ask("restored", position);
    const wire_response *response = search(&world, &request);
    while (response->total_size != 1 || response->indexed_position != 1)
        response = search(&world, &request);
    cr_assert_str_eq(response->results[0]->case_, "accounts/acme/cases/4");
    cr_assert_eq(world.caught_up, 1);
    end(&world);
}

/* A new index reads each case about once, however many events tell of it. */
Test(search_service, a_case_with_many_events_is_read_once, .timeout = 60)
{
    struct world world;
    begin(&world);
    struct feed_positions heads = {.at = {0}};
    for (int i = 0; i < 500; i++)
        heads.at[feed_partition("acme")] = set_text(&world, 1 + i % 5, "a", "b");
    cr_assert_eq(total(&world, "a", heads.at[feed_partition("acme")]), 5);
    size_t before = fake_events_documents_read(world.server.events);
    search_index *index;
    search_follower *follower;
    cr_assert(search_index_new(&index, &world.server.err));
    cr_assert(search_follower_new(world.server.service.cases, index, UINT64_MAX, caught_up, &world, &follower,
                                  &world.server.err));
    cr_assert(feed_consumer_wait(search_follower_consumer(follower), &heads,
                                 clock_monotonic_us() + 20 * CLOCK_SECOND, &world.server.err));
    cr_assert_leq(fake_events_documents_read(world.server.events) - before, 10);
    search_follower_free(follower);
    search_index_free(index);
    end(&world);
}

/* --- rebuilding and checking -------------------------------------------------------------------------- */

struct told {
    int items, different;
    Casework__Search__V1__CheckIndexResponse__Difference *first; /* in the world's memory */
    int64_t checked, done;
    bool finished;
};

static rpc_stream *open_job(struct world *world, const char *method, const ProtobufCMessage *request)
{
    const struct rpc_client_options options = {.timeout_us = 30 * CLOCK_SECOND};
    rpc_stream *stream;
    cr_assert(rpc_stream_open(world->server.channel, &casework__search__v1__search_service__descriptor,
                              method, &options, &stream, &world->server.err));
    cr_assert(rpc_stream_write(stream, request));
    rpc_stream_close_send(stream);
    return stream;
}

static struct told check(struct world *world, const char *parent)
{
    Casework__Search__V1__CheckIndexRequest request = CASEWORK__SEARCH__V1__CHECK_INDEX_REQUEST__INIT;
    request.parent = (char *)parent;
    rpc_stream *stream = open_job(world, "CheckIndex", &request.base);
    struct told told = {0};
    ProtobufCMessage *message;
    enum rpc_read read;
    while ((read = rpc_stream_read(stream, 20 * CLOCK_SECOND, world->server.memory, &message,
                                   &world->server.err)) == RPC_READ_MESSAGE) {
        const Casework__Search__V1__CheckIndexResponse *item =
            (Casework__Search__V1__CheckIndexResponse *)message;
        cr_assert_not(told.finished);
        if (item->item_case == CASEWORK__SEARCH__V1__CHECK_INDEX_RESPONSE__ITEM_SUMMARY) {
            told.checked = item->summary->cases_checked;
            told.different = (int)item->summary->cases_different;
            told.finished = true;
            continue;
        }
        told.first = told.first ? told.first : item->difference;
        told.items++;
    }
    cr_assert_eq(read, RPC_READ_END, "%s", world->server.err.message);
    cr_assert(told.finished);
    rpc_stream_free(stream);
    return told;
}

static struct told rebuild(struct world *world, const char *parent)
{
    Casework__Search__V1__RebuildIndexRequest request = CASEWORK__SEARCH__V1__REBUILD_INDEX_REQUEST__INIT;
    request.parent = (char *)parent;
    rpc_stream *stream = open_job(world, "RebuildIndex", &request.base);
    struct told told = {0};
    ProtobufCMessage *message;
    enum rpc_read read;
    while ((read = rpc_stream_read(stream, 20 * CLOCK_SECOND, world->server.memory, &message,
                                   &world->server.err)) == RPC_READ_MESSAGE) {
        const Casework__Search__V1__RebuildIndexResponse *progress =
            (Casework__Search__V1__RebuildIndexResponse *)message;
        cr_assert_not(told.finished);
        cr_assert_leq(progress->cases_done, progress->cases_total);
        told.done = progress->cases_done;
        told.finished = progress->done;
    }
    cr_assert_eq(read, RPC_READ_END, "%s", world->server.err.message);
    cr_assert(told.finished);
    rpc_stream_free(stream);
    return told;
}

/* Changes a case and tells nobody. */
static void spoil(struct world *world, int64_t number, struct fake_case c)
{
    pthread_mutex_lock(&world->lock);
    world->cases[number] = c;
    pthread_mutex_unlock(&world->lock);
}

Test(search_service, a_check_finds_every_difference_and_a_rebuild_mends_it, .timeout = 60)
{
    struct world world;
    begin(&world);
    int64_t position = 0;
    for (int64_t i = 1; i <= 40; i++)
        position = set_text(&world, i, "subject", "body of text");
    cr_assert_eq(total(&world, "subject", position), 40);
    struct told told = check(&world, "accounts/acme");
    cr_assert_eq(told.checked, 40);
    cr_assert_eq(told.items, 0);

    spoil(&world, 7,
          (struct fake_case){.there = true,
                             .subject = "subject",
                             .body = "body of evidence",
                             .status = 2,
                             .update_time_us = 7 * CLOCK_SECOND});
    told = check(&world, "accounts/acme");
    cr_assert_eq(told.different, 1);
    cr_assert_eq(told.items, 1);
    cr_assert_str_eq(told.first->case_, "accounts/acme/cases/7");
    cr_assert_eq((int)told.first->kind, 3);
    cr_assert_eq((int)told.first->field, SEARCH_FIELD_MESSAGE);
    cr_assert_eq(told.first->n_missing_words, 1);
    cr_assert_str_eq(told.first->missing_words[0], "evidence");
    cr_assert_eq(told.first->n_surplus_words, 1);
    cr_assert_str_eq(told.first->surplus_words[0], "text");

    spoil(&world, 8, (struct fake_case){.there = false});
    spoil(&world, 9,
          (struct fake_case){.there = true,
                             .subject = "subject",
                             .body = "body of text",
                             .status = 3,
                             .update_time_us = 9 * CLOCK_SECOND});
    told = check(&world, "accounts/-");
    cr_assert_eq(told.different, 3);
    cr_assert_eq(told.items, 3);

    cr_assert_eq(rebuild(&world, "accounts/acme").done, 40);
    cr_assert_eq(total(&world, "evidence", 0), 1);
    cr_assert_eq(total(&world, "subject", 0), 39);
    cr_assert_eq(check(&world, "accounts/-").items, 0);
    cr_assert_eq(rebuild(&world, "accounts/-").done, 40);
    cr_assert_eq(total(&world, "subject", 0), 39);
    end(&world);
}

Test(search_service, what_goes_while_it_is_checked_is_no_difference, .timeout = 60)
{
    struct world world;
    begin(&world);
    cr_assert_eq(total(&world, "subject", set_text(&world, 1, "subject", "body")), 1);
    const struct search_change gone = {.number = 1};
    cr_assert(search_index_apply(world.server.service.index, "acme", &gone, 1, &world.server.err));
    struct told told = check(&world, "accounts/acme");
    cr_assert_eq(told.items, 1);
    cr_assert_eq((int)told.first->kind, 1);
    spoil(&world, 1,
          (struct fake_case){.there = true, .subject = "subject", .body = "body", .status = 2, .reads = 1});
    cr_assert_eq(check(&world, "accounts/acme").items, 0);
    end(&world);
}

Test(search_service, an_account_that_goes_does_not_end_the_rebuild_of_all, .timeout = 60)
{
    struct world world;
    begin(&world);
    cr_assert_eq(total(&world, "subject", set_text(&world, 1, "subject", "body")), 1);
    pthread_mutex_lock(&world.lock);
    world.drop = true;
    pthread_mutex_unlock(&world.lock);
    rebuild(&world, "accounts/-");
    end(&world);
}

/* Reading a case takes until the gate is open: whoever rebuilds is held up in the middle. */
static void set_gate(struct world *world, bool closed)
{
    pthread_mutex_lock(&world->lock);
    world->closed = closed;
    pthread_cond_broadcast(&world->opened);
    pthread_mutex_unlock(&world->lock);
}

static bool is_rebuilding(struct world *world)
{
    struct search_account_status *accounts;
    size_t count;
    cr_assert(search_index_status(world->server.service.index, "acme", world->server.memory, &accounts,
                                  &count, &world->server.err));
    return count > 0 && accounts[0].rebuilding;
}

static void await_rebuilding(struct world *world, bool rebuilding)
{
    int64_t until = clock_monotonic_us() + 20 * CLOCK_SECOND;
    while (is_rebuilding(world) != rebuilding)
        cr_assert_lt(clock_monotonic_us(), until);
}

/* How a rebuild ends that cannot begin. */
static void expect_no_rebuild(struct world *world, const char *reason)
{
    Casework__Search__V1__RebuildIndexRequest request = CASEWORK__SEARCH__V1__REBUILD_INDEX_REQUEST__INIT;
    request.parent = (char *)"accounts/acme";
    rpc_stream *stream = open_job(world, "RebuildIndex", &request.base);
    ProtobufCMessage *message;
    cr_assert_eq(
        rpc_stream_read(stream, 20 * CLOCK_SECOND, world->server.memory, &message, &world->server.err),
        RPC_READ_FAILED);
    cr_assert_str_eq(world->server.err.reason, reason);
    rpc_stream_free(stream);
}

Test(search_service, a_rebuild_is_alone_and_may_be_given_up, .timeout = 60)
{
    struct world world;
    begin(&world);
    Casework__Search__V1__RebuildIndexRequest request = CASEWORK__SEARCH__V1__REBUILD_INDEX_REQUEST__INIT;
    request.parent = (char *)"accounts/acme";
    cr_assert_eq(total(&world, "subject", set_text(&world, 1, "subject", "body")), 1);
    set_gate(&world, true);
    rpc_stream *first = open_job(&world, "RebuildIndex", &request.base);
    await_rebuilding(&world, true);
    expect_no_rebuild(&world, "REBUILD_RUNNING");
    cr_assert_eq(total(&world, "subject", 0), 1, "it serves meanwhile");
    rpc_stream_cancel(first);
    rpc_stream_free(first);
    set_gate(&world, false);
    await_rebuilding(&world, false);
    cr_assert_eq(total(&world, "subject", 0), 1);
    cr_assert_eq(rebuild(&world, "accounts/acme").done, 1);
    cr_assert_eq(check(&world, "accounts/acme").items, 0);
    end(&world);
}

struct writer {
    struct world *world;
    atomic_bool stop;
    int64_t last;
};

static void *keep_writing(void *argument)
{
    struct writer *writer = argument;
    for (int64_t i = 0; !atomic_load(&writer->stop) && i < 2000; i++)
        writer->last = set_text(writer->world, 1 + i % 40, i % 2 ? "odd" : "even", "body");
    return NULL;
}

/* Searches, writes, rebuilds and checks at once: nothing is lost, and no difference is told that is none. */
Test(search_service, is_rebuilt_and_checked_while_it_serves, .timeout = 60)
{
    struct world world;
    begin(&world);
    struct writer writer = {.world = &world};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, keep_writing, &writer), 0);
    for (int i = 0; i < 5; i++) {
        rebuild(&world, "accounts/acme");
        total(&world, "body", 0);
        rebuild(&world, "accounts/-");
    }
    atomic_store(&writer.stop, true);
    pthread_join(thread, NULL);
    cr_assert_eq(total(&world, "body", writer.last), 40);
    cr_assert_eq(check(&world, "accounts/acme").items, 0);
    end(&world);
}
