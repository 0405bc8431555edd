/*
 * kill -9 of each service while conversations stream in and a client writes: nothing that was acknowledged is
 * lost, nothing happens twice, and what search, SLA and report say equals what they say after a rebuild from
 * nothing.
 */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "pg/pg.h"
#include "tests/support/answers.h"
#include "tests/support/conversations.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { COPIES = 4, WRITES_MAX = 20000, PAGE = 1000, MEMORY = 64 * 1024 * 1024 };

/* --- a client that writes, and remembers what it was told --- */

struct client {
    suite *s;
    const char *case_name;
    pthread_t thread;
    atomic_bool stop;
    int asked;
    bool acknowledged[WRITES_MAX]; /* the others are unknown: once or not at all */
};

static bool write_note(struct client *c, int number, arena *memory)
{
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = 2 * CLOCK_SECOND};
    ProtobufCMessage *response;
    error err;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.body = arena_printf(memory, "write %d", number);
    request.parent = (char *)c->case_name;
    request.message = &message;
    request.request_id = arena_printf(memory, "write-%d", number); /* so that a retry is the same write */
    return rpc_client_call(suite_channel(c->s, SUITE_CASE, 0),
                           &casework__cases__v1__message_service__descriptor, "AddMessage", &request.base,
                           &options, memory, &response, &err);
}

static void *write_on(void *argument)
{
    struct client *c = argument;
    while (!atomic_load(&c->stop) && c->asked < WRITES_MAX) {
        arena *memory = arena_new(1024 * 1024);
        c->acknowledged[c->asked] = write_note(c, c->asked, memory);
        c->asked++;
        arena_free(memory);
    }
    return NULL;
}

static void start_client(struct client *c)
{
    suite_channel(c->s, SUITE_CASE, 0); /* made here, used by the thread */
    cr_assert_eq(pthread_create(&c->thread, NULL, write_on, c), 0);
}

static void stop_client(struct client *c)
{
    atomic_store(&c->stop, true);
    pthread_join(c->thread, NULL);
}

static void count_writes(struct client *c, int *times)
{
    Casework__Cases__V1__ListMessagesRequest request = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    arena *memory = arena_new(MEMORY);
    int expected_number = 0;
    request.parent = (char *)c->case_name;
    request.page_size = PAGE;
    do {
        const Casework__Cases__V1__ListMessagesResponse *response = suite_call(
            c->s, &casework__cases__v1__message_service__descriptor, "ListMessages", &request, memory);
        for (size_t i = 0; i < response->n_messages; i++) {
            const char *body = response->messages[i]->body;
            cr_expect_eq(response->messages[i]->number, ++expected_number, "numbers have holes");
            if (strncmp(body, "write ", 6) == 0)
                times[strtoul(body + 6, NULL, 10) % WRITES_MAX]++;
        }
        request.page_token = response->next_page_token;
    } while (request.page_token[0]);
    arena_free(memory);
}

static void expect_writes(struct client *c)
{
    static int times[WRITES_MAX];
    int acknowledged = 0;
    count_writes(c, times);
    for (int i = 0; i < c->asked; i++) {
        acknowledged += c->acknowledged[i];
        cr_expect(times[i] <= 1, "write %d was done %d times", i, times[i]);
        cr_expect(!c->acknowledged[i] || times[i] == 1, "write %d was acknowledged and is lost", i);
    }
    cr_expect_gt(acknowledged, 0);
}

/* --- an import with a death in it --- */

static size_t count_accounts(suite *s)
{
    Casework__Cases__V1__ListAccountsRequest request = CASEWORK__CASES__V1__LIST_ACCOUNTS_REQUEST__INIT;
    arena *memory = arena_new(MEMORY);
    request.page_size = PAGE;
    const Casework__Cases__V1__ListAccountsResponse *response =
        suite_call(s, &casework__cases__v1__account_service__descriptor, "ListAccounts", &request, memory);
    size_t count = response->n_accounts;
    arena_free(memory);
    return count;
}

static void await_accounts(suite *s, size_t more_than)
{
    int64_t until = clock_monotonic_us() + 30 * CLOCK_SECOND;
    while (count_accounts(s) <= more_than) {
        cr_assert(clock_monotonic_us() < until, "the import does not begin");
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

static bool await_success(process *import)
{
    int status = 0;
    cr_assert(process_wait(import, clock_monotonic_us() + 2 * CLOCK_MINUTE, &status), "the import hangs");
    process_free(import);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Until it has gone through: what a person would do. */
static void import_again(suite *s, const char *const *import)
{
    for (int i = 0; i < 5; i++)
        if (await_success(suite_begin(s, import)))
            return;
    cr_assert_fail("the import fails for good");
}

static void prefix_of(enum suite_service service, int copy, char ret_prefix[16])
{
    snprintf(ret_prefix, 16, "%c%d-", "abcd"[service], copy);
}

static void import_and_kill(suite *s, const struct conversations *conversations, enum suite_service service)
{
    char path[256], prefix[16];
    snprintf(path, sizeof path, "%s/%d.jsonl", suite_directory(s), (int)service);
    for (int copy = 0; copy < COPIES; copy++) {
        prefix_of(service, copy, prefix);
        conversations_append(conversations, path, prefix);
    }
    const char *const import[] = {"import", path, NULL};
    size_t accounts = count_accounts(s);
    process *running = suite_begin(s, import);
    await_accounts(s, accounts + 3);
    pid_t former = suite_kill(s, service, 0);
    cr_assert(process_running(running), "the import was over before the service was killed");
    suite_await_restart(s, service, 0, former);
    bool good = await_success(running);
    cr_expect(good || service == SUITE_CASE, "the import needs only the case service");
    if (!good)
        import_again(s, import);
    for (int copy = 0; copy < COPIES; copy++) {
        prefix_of(service, copy, prefix);
        cr_expect_eq(conversations_compare(conversations, s, 0, prefix), 0);
    }
}

/* --- derived state against a rebuild --- */

static const char *const accounts[] = {"accounts/a0-google", "accounts/b1-mojangsupport",
                                       "accounts/c2-applesupport", "accounts/d3-rockstarsupport",
                                       "accounts/acme"};
static const char *const words[] = {"help", "account", "thanks", "the", "write"};

enum { ACCOUNTS = sizeof accounts / sizeof *accounts, WORDS = sizeof words / sizeof *words };

/* So that there are timers, some of them fired. */
static void resolve_some(suite *s)
{
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < ACCOUNTS - 1; i++) {
            char name[64];
            for (int number = 1; number <= 4; number++) {
                snprintf(name, sizeof name, "%s/cases/%d", accounts[i], round * 4 + number);
                suite_step(s, "ResolveCase", name, NULL);
            }
        }
        suite_advance(s, 40 * CLOCK_HOUR);
    }
}

static void forget_report(suite *s)
{
    static const char script[] =
        "TRUNCATE report_commits, report_accounts, report_cases, report_entries, report_sums;"
        "UPDATE report_partitions SET position = 0, epoch = ''";
    const struct pg_options options = {.url = suite_database(s, SUITE_REPORT)};
    pid_t former = suite_pid(s, SUITE_REPORT, 0);
    pg_conn *conn;
    error err;
    cr_assert_eq(kill(former, SIGSTOP), 0);
    cr_assert(pg_conn_open(&options, &conn, &err), "%s", err.message);
    cr_assert(pg_run_script(conn, script, 0, &err), "%s (%s)", err.message, err.detail);
    pg_conn_close(conn);
    suite_kill(s, SUITE_REPORT, 0);
    suite_await_restart(s, SUITE_REPORT, 0, former);
}

/* Search has its index in memory, Redis here keeps nothing over its death. */
static void rebuild_everything(suite *s)
{
    pid_t search = suite_kill(s, SUITE_SEARCH, 0);
    pid_t redis = suite_redis_pid(s);
    cr_assert_eq(kill(redis, SIGKILL), 0);
    forget_report(s);
    suite_await_restart(s, SUITE_SEARCH, 0, search);
    int64_t until = clock_monotonic_us() + 30 * CLOCK_SECOND;
    while (suite_redis_pid(s) == redis && clock_monotonic_us() < until)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    cr_assert_neq(suite_redis_pid(s), redis);
    suite_advance(s, 0); /* until all have caught up */
}

static void expect_equal_to_rebuild(suite *s)
{
    struct answers before, after;
    size_t found, timers, resolved;
    answers_collect(s, 0, accounts, ACCOUNTS, words, WORDS, &before);
    answers_weigh(&before, &found, &timers, &resolved);
    cr_expect_gt(found, 0);
    cr_expect_eq(timers, 4 * (ACCOUNTS - 1), "%zu timers", timers);
    cr_expect_eq(resolved, 8 * (ACCOUNTS - 1), "%zu resolved", resolved);
    rebuild_everything(s);
    answers_collect(s, 0, accounts, ACCOUNTS, words, WORDS, &after);
    cr_expect_eq(answers_compare(&before, &after), 0);
    answers_release(&before);
    answers_release(&after);
}

Test(suite_crash, kill_of_any_service_during_an_import_loses_nothing, .timeout = 280)
{
    const char *path = suite_conversations();
    static struct client client;
    struct conversations conversations;
    suite *s = suite_start(NULL);
    arena *memory = arena_new(MEMORY);
    client.s = s;
    client.case_name =
        suite_create_case(s, suite_create_account(s, "acme", "UTC", memory), "Writes", "write", memory, NULL);
    conversations_read(path, &conversations);
    start_client(&client);
    for (enum suite_service service = SUITE_CASE; service < SUITE_SERVICES; service++)
        import_and_kill(s, &conversations, service);
    stop_client(&client);
    expect_writes(&client);
    resolve_some(s);
    expect_equal_to_rebuild(s);
    conversations_release(&conversations);
    arena_free(memory);
    suite_stop(s);
}
