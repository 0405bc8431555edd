/* Real conversations through the running services: what search finds is what reading every case gives. */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "tests/support/search_judge.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define SEARCH (&casework__search__v1__search_service__descriptor)

enum { ACCOUNTS_MAX = 64, PRESENT_WORDS = 200, ABSENT_WORDS = 50 };

struct world {
    suite *suite;
    arena *memory;
    struct search_judge accounts[ACCOUNTS_MAX];
    size_t count, cases;
};

static void read_everything(struct world *world)
{
    Casework__Cases__V1__ListAccountsRequest request = CASEWORK__CASES__V1__LIST_ACCOUNTS_REQUEST__INIT;
    request.page_size = ACCOUNTS_MAX;
    const Casework__Cases__V1__ListAccountsResponse *response =
        suite_call(world->suite, &casework__cases__v1__account_service__descriptor, "ListAccounts", &request,
                   world->memory);
    for (size_t i = 0; i < response->n_accounts; i++) {
        struct search_judge *account = &world->accounts[world->count++];
        search_judge_read(world->suite, response->accounts[i]->name, 0, world->memory, account);
        world->cases += account->count;
    }
}

static size_t ask(struct world *world, const struct search_judge *account, const char *text)
{
    size_t count;
    const char *difference = search_judge_ask_in_all_orders(world->suite, account, text, &count);
    cr_assert_null(difference, "%s", difference);
    return count;
}

static void ask_for_words(struct world *world, int present, int absent)
{
    size_t found = 0;
    for (int i = 0; i < present; i++) {
        const struct search_judge *account = &world->accounts[(size_t)rand() % world->count];
        char word[SEARCH_JUDGE_WORD_SIZE], other[SEARCH_JUDGE_WORD_SIZE],
            both[2 * SEARCH_JUDGE_WORD_SIZE + 1];
        search_judge_pick_word(account, word);
        search_judge_pick_word(account, other);
        snprintf(both, sizeof both, "%s %s", word, other);
        found += ask(world, account, word);
        ask(world, account, both);
    }
    cr_assert_gt(found, (size_t)present);
    for (int i = 0; i < absent; i++) {
        char word[SEARCH_JUDGE_WORD_SIZE];
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

/* Nobody has heard of it. */
static void expect_not_found(struct world *world, const char *method, const ProtobufCMessage *request)
{
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    ProtobufCMessage *message;
    rpc_stream *stream;
    error err;
    cr_assert(rpc_stream_open(suite_channel(world->suite, SUITE_SEARCH, 0), SEARCH, method, &options, &stream,
                              &err));
    if (rpc_stream_write(stream, request))
        rpc_stream_close_send(stream);
    cr_assert_eq(rpc_stream_read(stream, CLOCK_MINUTE, world->memory, &message, &err), RPC_READ_FAILED);
    cr_assert_eq(err.code, STATUS_NOT_FOUND, "%s: %s", method, err.message);
    rpc_stream_free(stream);
}

static void expect_no_stranger(struct world *world)
{
    Casework__Search__V1__CheckIndexRequest check = CASEWORK__SEARCH__V1__CHECK_INDEX_REQUEST__INIT;
    Casework__Search__V1__RebuildIndexRequest rebuild = CASEWORK__SEARCH__V1__REBUILD_INDEX_REQUEST__INIT;
    check.parent = rebuild.parent = (char *)"accounts/stranger";
    expect_not_found(world, "CheckIndex", &check.base);
    expect_not_found(world, "RebuildIndex", &rebuild.base);
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
    expect_no_stranger(&world);
    rebuild_all(&world);
    ask_for_words(&world, PRESENT_WORDS / 4, ABSENT_WORDS / 4);

    for (size_t i = 0; i < world.count; i++)
        search_judge_release(&world.accounts[i]);
    suite_stop(world.suite);
    arena_free(world.memory);
}
