/* What one event makes to do for many cases is done beside the feed: nothing else waits for it, and the
 * account says how far it is. */

#include "base/clock.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/search_server.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SEARCH (&casework__search__v1__search_service__descriptor)

typedef Casework__Search__V1__SearchCasesRequest wire_request;
typedef Casework__Search__V1__SearchCasesResponse wire_response;
typedef Casework__Search__V1__GetIndexStatusResponse wire_status;
typedef Casework__Cases__V1__Document wire_document;

enum { MANY = 700, FEW = 50, TEN_THOUSAND = 10000 };

#define WAIT_US (30 * CLOCK_SECOND)

struct world {
    pthread_mutex_t lock;
    const char *subject[TEN_THOUSAND + 1],
        *contact_name;  /* of all cases of acme; no subject: the case is not there */
    char neighbour[32]; /* an account in the same partition */
    int partition;
    size_t until_held; /* cases of acme that are read before no more than FEW can be read at once; 0: all */
    struct search_server server;
};

static void read_case(void *context, arena *memory, const char *account, int64_t number,
                      wire_document *document)
{
    struct world *world = context;
    bool acme = strcmp(account, "acme") == 0;
    pthread_mutex_lock(&world->lock);
    const char *subject = acme ? world->subject[number] : "neighbour", *contact_name = world->contact_name;
    bool held = acme && world->until_held && --world->until_held == 0;
    pthread_mutex_unlock(&world->lock);
    if (held)
        fake_events_refuse_above(world->server.events, FEW);
    if (!subject)
        return;
    document->state = CASEWORK__CASES__V1__DOCUMENT_STATE__DOCUMENT_STATE_LIVE;
    document->subject = (char *)subject;
    document->status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_OPEN;
    document->channel = (char *)"accounts/acme/channels/mail";
    document->update_time = wire_timestamp(memory, number * CLOCK_SECOND);
    if (acme) {
        document->contact = (char *)"accounts/acme/contacts/k1";
        document->contact_display_name = (char *)contact_name;
    }
}

static void caught_up(void *context)
{
    (void)context;
}

static void find_neighbour(struct world *world)
{
    world->partition = feed_partition("acme");
    for (int i = 0; !*world->neighbour || feed_partition(world->neighbour) != world->partition; i++)
        snprintf(world->neighbour, sizeof world->neighbour, "neighbour%d", i);
}

static int64_t tell(struct world *world, const char *account, int64_t number)
{
    return fake_events_add(world->server.events, account, number,
                           CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_UPDATED, NULL);
}

static int64_t set(struct world *world, int64_t number, const char *subject)
{
    pthread_mutex_lock(&world->lock);
    world->subject[number] = subject;
    pthread_mutex_unlock(&world->lock);
    return tell(world, "acme", number);
}

static int64_t rename_contact(struct world *world, const char *name)
{
    pthread_mutex_lock(&world->lock);
    world->contact_name = name;
    pthread_mutex_unlock(&world->lock);
    return fake_events_add(world->server.events, "acme", 0,
                           CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CONTACT_UPDATED,
                           "accounts/acme/contacts/k1");
}

static int64_t delete_account(struct world *world)
{
    pthread_mutex_lock(&world->lock);
    memset(world->subject, 0, sizeof world->subject);
    pthread_mutex_unlock(&world->lock);
    return fake_events_add(world->server.events, "acme", 0,
                           CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_ACCOUNT_DELETED, NULL);
}

static wire_response *search_in(struct world *world, const char *account, const char *query, int64_t position,
                                int64_t timeout_us)
{
    wire_request request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = timeout_us};
    ProtobufCMessage *response;
    request.parent = arena_printf(world->server.memory, "accounts/%s", account);
    request.query = (char *)query;
    request.page_size = 1; /* what counts is the total */
    request.min_position = position;
    world->server.err = (error){0};
    return rpc_client_call(world->server.channel, SEARCH, "SearchCases", &request.base, &options,
                           world->server.memory, &response, &world->server.err)
               ? (wire_response *)response
               : NULL;
}

static int total_in(struct world *world, const char *account, const char *query, int64_t position)
{
    const wire_response *response = search_in(world, account, query, position, 20 * CLOCK_SECOND);
    cr_assert(response, "%s: %s", status_code_name(world->server.err.code), world->server.err.message);
    cr_assert_geq(response->indexed_position, position);
    return response->total_size;
}

static int total(struct world *world, const char *query, int64_t position)
{
    return total_in(world, "acme", query, position);
}

static const wire_status *status(struct world *world, const char *account)
{
    Casework__Search__V1__GetIndexStatusRequest request =
        CASEWORK__SEARCH__V1__GET_INDEX_STATUS_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = 20 * CLOCK_SECOND};
    ProtobufCMessage *message;
    request.parent = arena_printf(world->server.memory, "accounts/%s", account);
    cr_assert(rpc_client_call(world->server.channel, SEARCH, "GetIndexStatus", &request.base, &options,
                              world->server.memory, &message, &world->server.err));
    return (const wire_status *)message;
}

/* A service that has all cases of acme. */
static int64_t begin_with(struct world *world, int64_t cases)
{
    int64_t position = 0;
    memset(world, 0, sizeof *world);
    find_neighbour(world);
    pthread_mutex_init(&world->lock, NULL);
    search_server_begin(&world->server, read_case, world);
    world->contact_name = "first";
    for (int64_t i = 1; i <= cases; i++)
        position = set(world, i, "plain");
    search_server_start(&world->server, caught_up, world);
    cr_assert_eq(total(world, "first", position), cases);
    return position;
}

/* No more than FEW of them can be read at once from now on. */
static int64_t begin(struct world *world)
{
    int64_t position = begin_with(world, MANY);
    fake_events_refuse_above(world->server.events, FEW);
    return position;
}

static void end(struct world *world)
{
    cr_assert_gt(fake_events_reads_refused(world->server.events), 0, "the backlog was never held up");
    search_server_end(&world->server);
    pthread_mutex_destroy(&world->lock);
}

static void await_refusal(struct world *world)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (fake_events_reads_refused(world->server.events) == 0 && clock_monotonic_us() < until)
        nanosleep(&pause, NULL);
    cr_assert_gt(fake_events_reads_refused(world->server.events), 0);
}

static int64_t resumed_from(struct world *world)
{
    struct feed_positions positions;
    search_index_positions(world->server.service.index, &positions);
    return positions.at[world->partition];
}

struct reader {
    struct world *world;
    int64_t position;
    int total;
};

static void *wait_for_it(void *argument)
{
    struct reader *reader = argument;
    reader->total = total(reader->world, "second", reader->position);
    return NULL;
}

Test(search_backlog, only_the_account_waits, .timeout = 60)
{
    struct world world;
    begin(&world);
    int64_t renamed = rename_contact(&world, "second");
    int64_t neighbour = tell(&world, world.neighbour, 1);
    int64_t changed = set(&world, 5, "changed");
    cr_assert_eq(total_in(&world, world.neighbour, "neighbour", neighbour), 1);
    cr_assert_eq(total_in(&world, world.neighbour, "neighbour", changed), 1, "the whole feed has been read");
    await_refusal(&world);

    const wire_response *response = search_in(&world, "acme", "changed second", 0, 20 * CLOCK_SECOND);
    cr_assert_eq(response->total_size, 1, "other changes of the account are not held up");
    cr_assert_eq(response->indexed_position, renamed - 1);
    cr_assert_eq(total(&world, "first", renamed - 1), MANY - 1);
    cr_assert_null(search_in(&world, "acme", "second", renamed, 100000));
    cr_assert_eq(world.server.err.code, STATUS_DEADLINE_EXCEEDED);
    cr_assert_null(search_in(&world, "acme", "second", changed, 100000));
    cr_assert_eq(world.server.err.code, STATUS_DEADLINE_EXCEEDED);

    const wire_status *acme = status(&world, "acme"), *other = status(&world, world.neighbour);
    cr_assert_eq(acme->accounts[0]->indexed_position, renamed - 1);
    cr_assert_eq(acme->lag_events, changed - renamed + 1);
    cr_assert_eq(other->accounts[0]->indexed_position, changed);
    cr_assert_eq(other->lag_events, 0);
    cr_assert_eq(status(&world, "-")->lag_events, changed - renamed + 1);
    cr_assert_eq(resumed_from(&world), renamed - 1);

    struct reader reader = {
        .world = &(struct world){.server = {.channel = world.server.channel, .memory = arena_new(1 << 20)}},
        .position = changed};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, wait_for_it, &reader), 0);
    fake_events_refuse_above(world.server.events, 0);
    pthread_join(thread, NULL);
    arena_free(reader.world->server.memory);
    cr_assert_eq(reader.total, MANY, "who waits is told");
    cr_assert_eq(total(&world, "first", changed), 0);
    cr_assert_eq(total(&world, "changed", changed), 1);
    cr_assert_eq(resumed_from(&world), changed);
    cr_assert_eq(status(&world, "acme")->lag_events, 0);
    end(&world);
}

Test(search_backlog, what_changes_meanwhile_comes_out_right, .timeout = 60)
{
    struct world world;
    begin(&world);
    int64_t first = rename_contact(&world, "second");
    await_refusal(&world);
    set(&world, 7, "seventh");
    set(&world, 8, NULL);
    int64_t second = rename_contact(&world, "third");
    int64_t last = set(&world, 9, "ninth");
    cr_assert_eq(total_in(&world, world.neighbour, "neighbour", last), 0);
    cr_assert_eq(resumed_from(&world), first - 1);
    fake_events_refuse_above(world.server.events, 0);
    cr_assert_eq(total(&world, "third", second), MANY - 1);
    cr_assert_eq(total(&world, "first", last), 0);
    cr_assert_eq(total(&world, "second", last), 0);
    cr_assert_eq(total(&world, "seventh third", last), 1);
    cr_assert_eq(total(&world, "ninth third", last), 1);
    cr_assert_eq(total(&world, "plain", last), MANY - 3);
    cr_assert_eq(resumed_from(&world), last);
    cr_assert_leq(fake_events_documents_read(world.server.events), 2 * MANY + 300,
                  "cases are read once for both");
    end(&world);
}

/* The neighbour's next case is found as soon as it was told, every case of acme under one name or the other.
 */
static void look_around(struct world *world, int64_t next)
{
    arena_clear(world->server.memory);
    int64_t position = tell(world, world->neighbour, next);
    cr_assert_eq(total_in(world, world->neighbour, "neighbour", position), next);
    cr_assert_eq(total(world, "plain", 0), TEN_THOUSAND);
}

/* A contact with ten thousand cases is renamed: as long as that takes, and whether it goes on or not. */
Test(search_backlog, ten_thousand_cases_hold_up_nobody, .timeout = 120)
{
    enum { HELD_ROUNDS = 20, ROUNDS_MAX = 100000 };
    struct world world;
    begin_with(&world, TEN_THOUSAND);
    search_follower *follower = world.server.service.follower;
    pthread_mutex_lock(&world.lock);
    world.until_held = TEN_THOUSAND / 2;
    pthread_mutex_unlock(&world.lock);
    int64_t renamed = rename_contact(&world, "second"), rounds = 0;
    await_refusal(&world);
    cr_assert_eq(total(&world, "first", renamed - 1) + total(&world, "second", 0), TEN_THOUSAND);
    cr_assert_gt(total(&world, "second", 0), TEN_THOUSAND / 4);
    while (rounds < HELD_ROUNDS)
        look_around(&world, ++rounds);
    size_t left = search_follower_backlog(follower);
    cr_assert(left > TEN_THOUSAND / 4 && left < TEN_THOUSAND, "%zu wait", left);
    cr_assert_null(search_in(&world, "acme", "second", renamed, 100000));

    fake_events_refuse_above(world.server.events, 0);
    while (search_follower_backlog(follower) > 0 && rounds < ROUNDS_MAX)
        look_around(&world, ++rounds);
    cr_assert_eq(total(&world, "second", renamed), TEN_THOUSAND);
    cr_assert_eq(total(&world, "first", renamed), 0);
    end(&world);
}

Test(search_backlog, ends_with_its_account, .timeout = 60)
{
    struct world world;
    begin(&world);
    int64_t renamed = rename_contact(&world, "second");
    await_refusal(&world);
    cr_assert_eq(resumed_from(&world), renamed - 1);
    int64_t gone = delete_account(&world);
    cr_assert_eq(total(&world, "plain", gone), 0, "nothing is left to wait for");
    int64_t again = set(&world, 3, "again");
    cr_assert_eq(total(&world, "again", again), 1);
    fake_events_refuse_above(world.server.events, 0);
    int64_t last = rename_contact(&world, "last");
    cr_assert_eq(total(&world, "last", last), 1);
    cr_assert_eq(total(&world, "plain", last), 0);
    cr_assert_eq(resumed_from(&world), last);
    end(&world);
}

Test(search_backlog, ends_with_its_database, .timeout = 60)
{
    struct world world;
    begin(&world);
    rename_contact(&world, "second");
    await_refusal(&world);
    pthread_mutex_lock(&world.lock);
    memset(world.subject, 0, sizeof world.subject);
    pthread_mutex_unlock(&world.lock);
    fake_events_restore(world.server.events, "restored");
    set(&world, 1, "restored");
    int64_t last = set(&world, 2, "restored");
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (clock_monotonic_us() < until) {
        const wire_response *response = search_in(&world, "acme", "restored", last, 20 * CLOCK_SECOND);
        if (response && response->total_size == 2 && response->indexed_position == last)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    cr_assert_eq(total(&world, "restored second", last), 2);
    cr_assert_eq(total(&world, "plain", last), 0);
    cr_assert_eq(resumed_from(&world), last);
    end(&world);
}

/* An index as it was written down while a backlog was worked off, taken up again. */
Test(search_backlog, is_found_again_after_a_restart, .timeout = 60)
{
    struct world world;
    int64_t begun = begin(&world);
    int64_t renamed = rename_contact(&world, "second");
    int64_t last = set(&world, 5, "changed");
    cr_assert_eq(total_in(&world, world.neighbour, "neighbour", last), 0);
    await_refusal(&world);
    struct feed_positions stored;
    search_index_positions(world.server.service.index, &stored);
    cr_assert_eq(stored.at[world.partition], renamed - 1);

    search_index *index;
    search_follower *follower;
    cr_assert(search_index_new(&index, &world.server.err));
    for (int64_t i = 1; i <= MANY; i++) {
        const struct search_text name = {SEARCH_FIELD_CONTACT_NAME, "first"};
        const struct search_document document = {.number = i,
                                                 .position = i == 5 ? last : begun,
                                                 .status = 1,
                                                 .subject = "plain",
                                                 .owner = "",
                                                 .channel = "mail",
                                                 .contact = "k1",
                                                 .texts = &name,
                                                 .text_count = i != 5};
        cr_assert(search_index_apply(index, "acme",
                                     &(struct search_change){.number = i, .document = &document}, 1,
                                     &world.server.err));
    }
    search_index_set_positions(index, &stored);
    fake_events_refuse_above(world.server.events, 0);
    cr_assert(search_follower_new(world.server.service.cases, index, UINT64_MAX, caught_up, NULL, &follower,
                                  &world.server.err));
    cr_assert(feed_consumer_wait_account(search_follower_consumer(follower), "acme", last,
                                         clock_monotonic_us() + 20 * CLOCK_SECOND, &world.server.err));
    struct search_query query = {.fields = SEARCH_FIELDS_ALL, .statuses = ~0U, .limit = 1};
    struct search_answer answer;
    query.start_time_us = INT64_MIN;
    query.end_time_us = INT64_MAX;
    cr_assert(search_query_words("second", world.server.memory, &query.words, &query.word_count,
                                 &world.server.err));
    cr_assert(search_index_query(index, "acme", &query, world.server.memory, &answer, &world.server.err));
    search_answer_release(&answer);
    cr_assert_eq(answer.total, MANY - 1, "the fifth was read later, without the name");
    search_follower_free(follower);
    search_index_free(index);
    end(&world);
}
