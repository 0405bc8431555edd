/*
 * Generated histories through the running services: whatever happens to cases, and whoever is killed
 * meanwhile, what search finds is what reading every case gives. CASEWORK_SEARCH_ROUNDS runs more of them,
 * CASEWORK_SEARCH_SEED the same one again.
 */

#include "base/clock.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/search_judge.h"
#include "tests/support/search_steps.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SEARCH (&casework__search__v1__search_service__descriptor)

typedef Casework__Search__V1__SearchCasesRequest search_request;
typedef Casework__Search__V1__SearchCasesResponse search_response;

enum { ROUNDS = 4, STEPS = 40, QUERIES = 12 };

struct world {
    suite *suite;
    arena *memory; /* cleared for each round */
    struct search_steps steps;
    size_t found;
};

/* --- judging ------------------------------------------------------------------------------------------ */

static const search_response *search(struct world *world, const char *account, const char *text)
{
    search_request request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = (char *)account;
    request.query = (char *)text;
    request.page_size = 1000;
    return suite_call(world->suite, SEARCH, "SearchCases", &request, world->memory);
}

static bool is_same(const search_response *one, const search_response *other)
{
    if (one->total_size != other->total_size || one->n_results != other->n_results)
        return false;
    for (size_t i = 0; i < one->n_results; i++)
        if (strcmp(one->results[i]->case_, other->results[i]->case_) != 0)
            return false;
    return true;
}

static char *flip_case(struct world *world, const char *text)
{
    char *flipped = arena_strdup(world->memory, text);
    for (char *c = flipped; *c; c++)
        if (isascii(*c) && rand() % 2)
            *c = (char)(islower(*c) ? toupper(*c) : tolower(*c));
    return flipped;
}

static char *swap_separators(struct world *world, const char *text)
{
    static const char separators[] = "'`+-!()^[]\"{}~?|&/\\.,;: \t\n";
    char *swapped = arena_strdup(world->memory, text);
    for (char *c = swapped; *c; c++)
        if (strchr(separators, *c))
            *c = separators[(size_t)rand() % (sizeof separators - 1)];
    return swapped;
}

/* What must not make a difference does not; a word more never finds more; nobody sees another's. */
static void expect_laws(struct world *world, const struct search_steps_account *account)
{
    const char *one = search_steps_pick_word(), *other = search_steps_pick_word();
    const char *both = arena_printf(world->memory, "%s %s", one, other);
    const search_response *found = search(world, account->name, both);
    cr_assert(is_same(found, search(world, account->name, flip_case(world, both))), "case of «%s»", both);
    cr_assert(is_same(found, search(world, account->name, swap_separators(world, both))),
              "separators of «%s»", both);
    cr_assert(is_same(found, search(world, account->name, arena_printf(world->memory, "%s %s", other, one))),
              "order of «%s»", both);
    cr_assert_leq(found->total_size, search(world, account->name, one)->total_size, "«%s»", both);
    cr_assert_leq(found->total_size, search(world, account->name, other)->total_size, "«%s»", both);
    for (int i = 0; i < SEARCH_STEPS_ACCOUNTS; i++)
        if (&world->steps.accounts[i] != account)
            cr_assert_eq(search(world, account->name, world->steps.accounts[i].secret)->total_size, 0);
}

static const char *ask_some(struct world *world, const struct search_judge *judge)
{
    char text[2 * SEARCH_JUDGE_WORD_SIZE + 1], word[SEARCH_JUDGE_WORD_SIZE];
    const char *difference = NULL;
    for (int i = 0; i < QUERIES && !difference; i++) {
        size_t count;
        search_judge_pick_word(judge, word);
        snprintf(text, sizeof text, "%s%s%s", i % 2 ? search_steps_pick_word() : word, i % 3 ? "" : " ",
                 i % 3 ? "" : search_steps_pick_word());
        difference = search_judge_ask(world->suite, judge, text, &count);
        world->found += count;
    }
    return difference;
}

/* The index compared with the case service by the service itself: what differs, in words; NULL: nothing. */
static const char *check_itself(struct world *world, const char *account)
{
    Casework__Search__V1__CheckIndexRequest request = CASEWORK__SEARCH__V1__CHECK_INDEX_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    const char *told = NULL;
    ProtobufCMessage *message;
    rpc_stream *stream;
    enum rpc_read read;
    error err = {0};
    request.parent = (char *)account;
    cr_assert(rpc_stream_open(suite_channel(world->suite, SUITE_SEARCH, 0), SEARCH, "CheckIndex", &options,
                              &stream, &err));
    if (rpc_stream_write(stream, &request.base))
        rpc_stream_close_send(stream);
    while ((read = rpc_stream_read(stream, CLOCK_MINUTE, world->memory, &message, &err)) ==
           RPC_READ_MESSAGE) {
        const Casework__Search__V1__CheckIndexResponse *item =
            (const Casework__Search__V1__CheckIndexResponse *)message;
        if (item->item_case == CASEWORK__SEARCH__V1__CHECK_INDEX_RESPONSE__ITEM_DIFFERENCE)
            told = arena_printf(world->memory, "%s: kind %d, field %d, missing «%s», surplus «%s»",
                                item->difference->case_, (int)item->difference->kind,
                                (int)item->difference->field,
                                item->difference->n_missing_words ? item->difference->missing_words[0] : "",
                                item->difference->n_surplus_words ? item->difference->surplus_words[0] : "");
    }
    cr_assert_eq(read, RPC_READ_END, "%s", err.message);
    rpc_stream_free(stream);
    return told;
}

/* Erasures go on in the background: a difference counts when nothing has changed meanwhile. */
static void expect_same(struct world *world, const struct search_steps_account *account)
{
    enum { TRIES = 50 };
    for (int i = 0; i < TRIES; i++) {
        struct search_judge judge;
        search_judge_read(world->suite, account->name, account->cases, world->memory, &judge);
        const char *difference = judge.count ? ask_some(world, &judge) : NULL;
        int64_t read = judge.position;
        search_judge_release(&judge);
        if (!difference)
            return;
        const char *told = check_itself(world, account->name);
        cr_assert_neq(read, suite_position(world->suite, account->name), "%s; the check says: %s", difference,
                      told ? told : "no difference");
    }
    cr_assert_fail("%s never rests", account->name);
}

/* --- faults ------------------------------------------------------------------------------------------- */

static void kill_one(struct world *world, enum suite_service service)
{
    pid_t former = suite_kill(world->suite, service, 0);
    for (int i = 0; i < 3 && service == SUITE_SEARCH; i++)
        search_steps_take_some(&world->steps);
    suite_await_restart(world->suite, service, 0, former);
}

static const search_response *search_from(struct world *world, const char *account, int64_t position)
{
    search_request request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = (char *)account;
    request.query = (char *)"contract";
    request.min_position = position;
    return suite_call(world->suite, SEARCH, "SearchCases", &request, world->memory);
}

static int64_t lag_of(struct world *world, const char *account, int64_t *ret_events)
{
    Casework__Search__V1__GetIndexStatusRequest request =
        CASEWORK__SEARCH__V1__GET_INDEX_STATUS_REQUEST__INIT;
    int64_t lag_us = -1;
    request.parent = (char *)account;
    const Casework__Search__V1__GetIndexStatusResponse *status =
        suite_call(world->suite, SEARCH, "GetIndexStatus", &request, world->memory);
    cr_assert(wire_duration_us(status->lag_duration, &lag_us));
    *ret_events = status->lag_events;
    return lag_us;
}

/* Who asks for more than there is waits in vain, and no longer than it said. */
static void expect_late(struct world *world, const char *account, int64_t position)
{
    search_request request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = CLOCK_SECOND / 5};
    ProtobufCMessage *response;
    error err;
    int64_t begun_us = clock_monotonic_us();
    request.parent = (char *)account;
    request.query = (char *)"contract";
    request.min_position = position;
    cr_assert_not(rpc_client_call(suite_channel(world->suite, SUITE_SEARCH, 0), SEARCH, "SearchCases",
                                  &request.base, &options, world->memory, &response, &err));
    cr_assert_eq(err.code, STATUS_DEADLINE_EXCEEDED, "%s", err.message);
    cr_assert_lt(clock_monotonic_us() - begun_us, 30 * CLOCK_SECOND);
}

/* The case service stands still: nothing new comes, which shows as lag, and heals by itself. */
static void stop_feed(struct world *world, struct search_steps_account *account)
{
    int64_t position = suite_position(world->suite, account->name), events, lag_us;
    search_from(world, account->name, position);
    pid_t pid = suite_pid(world->suite, SUITE_CASE, 0);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    int64_t stopped_us = clock_monotonic_us();
    expect_late(world, account->name, position + 1000);
    cr_assert_geq(search_from(world, account->name, position)->indexed_position, position);
    lag_us = lag_of(world, account->name, &events);
    cr_assert_geq(lag_us, CLOCK_SECOND / 2, "a feed that stands still is no lag");
    cr_assert_leq(lag_us, clock_monotonic_us() - stopped_us + 10 * CLOCK_SECOND);
    cr_assert_eq(kill(pid, SIGCONT), 0);
    while (!search_steps_add_case(&world->steps, account) && account->cases < SEARCH_STEPS_CASES_MAX)
        continue;
    position = suite_position(world->suite, account->name);
    cr_assert_geq(search_from(world, account->name, position)->indexed_position, position);
    /* Erasures go on, with events of their own. */
    int64_t until = clock_monotonic_us() + CLOCK_MINUTE;
    for (events = 1; events != 0;) {
        cr_assert_lt(clock_monotonic_us(), until, "%lld events are left", (long long)events);
        lag_of(world, account->name, &events);
    }
}

static void go_wrong(struct world *world, int round)
{
    switch (round % 4) {
    case 1:
        kill_one(world, SUITE_SEARCH);
        break;
    case 2:
        stop_feed(world, &world->steps.accounts[rand() % SEARCH_STEPS_ACCOUNTS]);
        break;
    case 3:
        kill_one(world, SUITE_CASE);
        break;
    default:
        break;
    }
}

static long setting(const char *name, long usually)
{
    const char *value = getenv(name);
    return value ? strtol(value, NULL, 10) : usually;
}

/* Every seventh response of the feed is told once more after it was filed, and what is filed comes late. */
#define AGAIN "CASEWORK_INJECT=search_follower.filed=drop%7"

static void go_through(const char *const *settings, long rounds)
{
    long seed = setting("CASEWORK_SEARCH_SEED", (long)time(NULL));
    const struct suite_options options = {.settings = settings};
    fprintf(stderr, "CASEWORK_SEARCH_SEED=%ld\n", seed);
    srand((unsigned)seed);
    struct world world = {.suite = suite_start(&options), .memory = arena_new((size_t)1 << 30)};
    search_steps_begin(&world.steps, world.suite, world.memory);
    search_steps_take_all(&world.steps);
    for (int round = 0; round < rounds; round++) {
        arena_clear(world.memory);
        for (int i = 0; i < STEPS; i++) {
            if (i == STEPS / 2)
                go_wrong(&world, round);
            search_steps_take_some(&world.steps);
        }
        for (int i = 0; i < SEARCH_STEPS_ACCOUNTS; i++) {
            expect_same(&world, &world.steps.accounts[i]);
            expect_laws(&world, &world.steps.accounts[i]);
            const char *told = check_itself(&world, world.steps.accounts[i].name);
            cr_assert_null(told, "%s", told);
        }
    }
    search_steps_tell(&world.steps);
    cr_assert_gt(world.found, (size_t)rounds, "hardly anything was found");
    suite_stop(world.suite);
    arena_free(world.memory);
}

Test(search_history, what_is_found_is_what_is_there, .timeout = 3600)
{
    go_through((const char *const[]){AGAIN, NULL}, setting("CASEWORK_SEARCH_ROUNDS", ROUNDS));
}

Test(search_history, what_is_found_from_files_is_what_is_there, .timeout = 3600)
{
    char directory[] = "/tmp/casework-history-XXXXXX", files[64];
    cr_assert(mkdtemp(directory));
    snprintf(files, sizeof files, "SEARCH_DATA_DIRECTORY=%s/index", directory);
    go_through((const char *const[]){AGAIN, files, "SEARCH_CHECKPOINT_INTERVAL=50ms",
                                     "SEARCH_ERASURE_INTERVAL=200ms", NULL},
               setting("CASEWORK_SEARCH_ROUNDS", ROUNDS));
    process_remove_tree(directory);
}
