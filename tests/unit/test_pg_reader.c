/* pg/reader.h against a private server: groups, failures, deadlines, lost connections, bounds. */

#include "base/clock.h"
#include "pg/reader.h"
#include "tests/support/pg_server.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static embedded_pg *server;
static arena *memory;
static struct pg_options options;

static const struct pg_statement twice = {.name = "twice", .sql = "SELECT 2 * $1::int8", .quick = true};
static const struct pg_statement inverse = {.name = "inverse", .sql = "SELECT 100 / $1::int8", .quick = true};
static const struct pg_statement sleeping = {.name = "sleeping",
                                             .sql = "SELECT $1::int8 FROM pg_sleep($1::int8 / 1000.0)"};
static const struct pg_statement quick_sleeping = {
    .name = "quick_sleeping", .sql = "SELECT $1::int8 FROM pg_sleep($1::int8 / 1000.0)", .quick = true};
static const struct pg_statement backend = {.name = "backend", .sql = "SELECT pg_backend_pid(), $1::int8"};
static const struct pg_statement kill_others = {
    .name = "kill_others",
    .sql = "SELECT count(pg_terminate_backend(pid)), $1::int8 FROM pg_stat_activity"
           " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"};

static void set_up(void)
{
    server = pg_server_start(false, NULL);
    options = (struct pg_options){.url = embedded_pg_url(server), .statement_timeout_us = 2 * CLOCK_SECOND};
    memory = arena_new(64 << 20);
}

static void tear_down(void)
{
    arena_free(memory);
    embedded_pg_free(server);
}

TestSuite(pg_reader, .init = set_up, .fini = tear_down, .timeout = 60);

static pg_reader *reader_of(unsigned size)
{
    pg_reader *reader;
    error err;
    cr_assert(pg_reader_new(&options, size, &reader, &err), "%s", err.message);
    return reader;
}

/* --- reads that are waited for */

struct lookup {
    struct pg_read read;
    pg_params params;
    int64_t value, end_us;
    error err;
    bool unwanted;
    bool over;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;

static void done(struct pg_read *read, pg_result *result, const error *err)
{
    struct lookup *lookup = (struct lookup *)read; /* its first member */
    pthread_mutex_lock(&lock);
    cr_assert_not(lookup->over, "told twice");
    cr_assert_eq(result == NULL, err != NULL);
    if (result)
        lookup->value = pg_get_int(result, 0, 0);
    else
        lookup->err = *err;
    lookup->end_us = clock_monotonic_us();
    lookup->over = true;
    pg_result_free(result);
    pthread_cond_broadcast(&told);
    pthread_mutex_unlock(&lock);
}

static bool is_wanted(const struct pg_read *read)
{
    return !((const struct lookup *)read)->unwanted;
}

static struct lookup *lookup_new(const struct pg_statement *statement, int64_t argument)
{
    struct lookup *lookup = arena_calloc(memory, 1, sizeof *lookup);
    cr_assert(lookup);
    pg_params_init(&lookup->params, memory);
    pg_add_int8(&lookup->params, argument);
    lookup->read = (struct pg_read){
        .statement = statement, .params = &lookup->params, .done = done, .is_wanted = is_wanted};
    return lookup;
}

static struct lookup *ask(pg_reader *reader, const struct pg_statement *statement, int64_t argument)
{
    struct lookup *lookup = lookup_new(statement, argument);
    pg_reader_submit(reader, &lookup->read);
    return lookup;
}

static bool is_over(const struct lookup *lookup)
{
    pthread_mutex_lock(&lock);
    bool over = lookup->over;
    pthread_mutex_unlock(&lock);
    return over;
}

static struct lookup *await(struct lookup *lookup)
{
    pthread_mutex_lock(&lock);
    while (!lookup->over)
        pthread_cond_wait(&told, &lock); /* the suite's time limit bounds it */
    pthread_mutex_unlock(&lock);
    return lookup;
}

static int64_t value_of(struct lookup *lookup)
{
    await(lookup);
    cr_assert_eq(lookup->err.code, STATUS_OK, "%s: %s", lookup->err.message, lookup->err.detail);
    return lookup->value;
}

static enum status_code code_of(struct lookup *lookup)
{
    return await(lookup)->err.code;
}

/* --- what is read */

struct asker {
    pg_reader *reader;
    int64_t base;
    pthread_t thread;
    arena *memory;
};

enum { ASKED = 2000, ASKERS = 3, IN_FLIGHT = 50 };

static void *ask_many(void *argument)
{
    struct asker *asker = argument;
    struct lookup *lookups = arena_calloc(asker->memory, IN_FLIGHT, sizeof *lookups);
    cr_assert(lookups);
    for (int64_t i = 0; i < ASKED; i++) {
        struct lookup *l = &lookups[i % IN_FLIGHT];
        if (i >= IN_FLIGHT)
            cr_assert_eq(value_of(l), 2 * (asker->base + i - IN_FLIGHT));
        memset(l, 0, sizeof *l);
        pg_params_init(&l->params, asker->memory);
        pg_add_int8(&l->params, asker->base + i);
        l->read = (struct pg_read){.statement = &twice, .params = &l->params, .done = done};
        pg_reader_submit(asker->reader, &l->read);
    }
    for (int i = 0; i < IN_FLIGHT; i++)
        value_of(&lookups[i]);
    return NULL;
}

Test(pg_reader, everybody_gets_the_own_answer)
{
    pg_reader *reader = reader_of(3);
    struct asker askers[ASKERS];
    for (int i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){.reader = reader, .base = i * 1000000, .memory = arena_new(16 << 20)};
        pthread_create(&askers[i].thread, NULL, ask_many, &askers[i]);
    }
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(askers[i].thread, NULL);
        arena_free(askers[i].memory);
    }
    pg_reader_free(reader);
}

/* One connection, and it is at work: what comes meanwhile goes out together. */
Test(pg_reader, a_failure_is_one_reads)
{
    pg_reader *reader = reader_of(1);
    struct lookup *lookups[30];
    struct lookup *first = ask(reader, &sleeping, 100);
    for (int i = 0; i < 30; i++)
        lookups[i] = ask(reader, &inverse, i % 10);
    value_of(first);
    for (int i = 0; i < 30; i++) {
        if (i % 10 == 0)
            cr_assert_eq(code_of(lookups[i]), STATUS_INTERNAL, "%s", lookups[i]->err.message);
        else
            cr_assert_eq(value_of(lookups[i]), 100 / (i % 10));
    }
    pg_reader_free(reader);
}

Test(pg_reader, slow_statements_do_not_hold_up_quick_ones)
{
    pg_reader *reader = reader_of(3);
    struct lookup *slow[6];
    value_of(ask(reader, &twice, 1));
    for (int i = 0; i < 6; i++)
        slow[i] = ask(reader, &sleeping, 400);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(value_of(ask(reader, &twice, i)), 2 * i);
    for (int i = 0; i < 6; i++)
        cr_assert(!is_over(slow[i]));
    for (int i = 0; i < 6; i++)
        cr_assert_eq(value_of(slow[i]), 400);
    pg_reader_free(reader);
}

/* Statements that are quick usually take long at once: others go on beside them. */
Test(pg_reader, a_quick_statement_that_is_slow_holds_up_only_its_group)
{
    pg_reader *reader = reader_of(4);
    struct lookup *a = ask(reader, &quick_sleeping, 1000), *b;
    while (!is_over(a) && code_of(ask(reader, &twice, 1)) == STATUS_OK && clock_monotonic_us() % 7)
        ;
    b = ask(reader, &quick_sleeping, 1000);
    int64_t start = clock_monotonic_us();
    struct lookup *c = ask(reader, &twice, 21);
    cr_assert_eq(value_of(c), 42);
    cr_assert_lt(c->end_us - start, 500000);
    value_of(a);
    value_of(b);
    pg_reader_free(reader);
}

Test(pg_reader, large_parameters_and_results_pass)
{
    static const struct pg_statement echo = {
        .name = "echo", .sql = "SELECT length($1::text || repeat($1::text, 1)), $1::text", .quick = true};
    enum { LENGTH = 8 << 20 };
    pg_reader *reader = reader_of(1);
    char *text = arena_alloc(memory, LENGTH + 1);
    cr_assert(text);
    memset(text, 'x', LENGTH);
    text[LENGTH] = '\0';
    struct lookup *lookups[2];
    for (int i = 0; i < 2; i++) {
        lookups[i] = lookup_new(&echo, 0);
        pg_params_init(&lookups[i]->params, memory);
        pg_add_text(&lookups[i]->params, text);
        pg_reader_submit(reader, &lookups[i]->read);
    }
    for (int i = 0; i < 2; i++)
        cr_assert_eq(value_of(lookups[i]), 2 * LENGTH);
    pg_reader_free(reader);
}

/* --- time and bounds */

Test(pg_reader, a_deadline_ends_the_wait_and_not_the_connection)
{
    pg_reader *reader = reader_of(1);
    int64_t pid = value_of(ask(reader, &backend, 0)), start = clock_monotonic_us();
    struct lookup *late = lookup_new(&sleeping, 700), *queued = lookup_new(&twice, 1);
    late->read.deadline_us = start + 100000;
    queued->read.deadline_us = start + 150000;
    pg_reader_submit(reader, &late->read);
    pg_reader_submit(reader, &queued->read);
    cr_assert_eq(code_of(late), STATUS_DEADLINE_EXCEEDED);
    cr_assert_eq(code_of(queued), STATUS_DEADLINE_EXCEEDED);
    cr_assert_geq(late->end_us, start + 100000);
    cr_assert_lt(queued->end_us, start + 600000);
    cr_assert_eq(value_of(ask(reader, &backend, 0)), pid);
    pg_reader_free(reader);
}

Test(pg_reader, the_server_ends_what_takes_too_long)
{
    options.statement_timeout_us = 200000;
    pg_reader *reader = reader_of(1);
    struct lookup *slow = ask(reader, &sleeping, 5000), *other = ask(reader, &twice, 4);
    cr_assert_eq(code_of(slow), STATUS_DEADLINE_EXCEEDED, "%s", slow->err.detail);
    cr_assert_eq(value_of(other), 8);
    pg_reader_free(reader);
}

Test(pg_reader, a_server_that_stands_still_is_left)
{
    options.statement_timeout_us = 100000;
    pg_reader *reader = reader_of(1);
    pid_t pid = (pid_t)value_of(ask(reader, &backend, 0));
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    struct lookup *stuck = ask(reader, &twice, 1);
    cr_assert_eq(code_of(stuck), STATUS_DEADLINE_EXCEEDED, "%s", stuck->err.detail);
    cr_assert_neq(value_of(ask(reader, &backend, 0)), pid);
    kill(pid, SIGCONT);
    pg_reader_free(reader);
}

Test(pg_reader, too_many_are_refused_and_what_nobody_wants_is_not_run)
{
    enum { MANY = 1100 };
    pg_reader *reader = reader_of(1);
    struct lookup **lookups = arena_calloc(memory, MANY, sizeof(struct lookup *));
    cr_assert(lookups);
    value_of(ask(reader, &twice, 1));
    struct lookup *first = ask(reader, &sleeping, 300);
    int refused = 0, unwanted = 0;
    for (int i = 0; i < MANY; i++) {
        lookups[i] = lookup_new(&twice, i);
        lookups[i]->unwanted = i % 3 == 0;
        pg_reader_submit(reader, &lookups[i]->read);
    }
    value_of(first);
    for (int i = 0; i < MANY; i++) {
        enum status_code code = code_of(lookups[i]);
        refused += code == STATUS_RESOURCE_EXHAUSTED;
        unwanted += code == STATUS_CANCELLED;
        cr_assert(code != STATUS_OK || (lookups[i]->value == 2 * i && i % 3 != 0));
    }
    cr_assert_eq(refused, MANY - 1024);
    cr_assert_eq(unwanted, (1024 + 2) / 3);
    pg_reader_free(reader);
}

Test(pg_reader, parameters_that_do_not_fit_are_refused)
{
    pg_reader *reader = reader_of(1);
    struct lookup *bad = lookup_new(&twice, 1);
    pg_add_int2(&bad->params, 1 << 20);
    pg_reader_submit(reader, &bad->read);
    cr_assert_eq(code_of(bad), STATUS_RESOURCE_EXHAUSTED);
    pg_reader_free(reader);
}

/* --- lost connections */

Test(pg_reader, what_a_lost_connection_had_in_flight_is_read_again)
{
    pg_reader *reader = reader_of(3);
    struct lookup *lookups[2];
    for (int round = 0; round < 2; round++) /* so that both connections have served before */
        for (int i = 0; i < 2; i++)
            lookups[i] = ask(reader, &sleeping, 200 + i);
    value_of(lookups[0]);
    value_of(lookups[1]);
    for (int i = 0; i < 2; i++)
        lookups[i] = ask(reader, &sleeping, 300 + i);
    pg_conn *other;
    error err = {0};
    cr_assert(pg_conn_open(&options, &other, &err), "%s", err.detail);
    pg_params params;
    pg_params_init(&params, memory);
    pg_add_int8(&params, 0);
    cr_assert(pg_query(other, &kill_others, &params, 0, NULL, &err), "%s", err.detail);
    pg_conn_close(other);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(value_of(lookups[i]), 300 + i);
    pg_reader_free(reader);
}

Test(pg_reader, a_server_that_is_down_is_told_and_one_that_is_back_is_found)
{
    pg_reader *reader = reader_of(2);
    error err = {0};
    value_of(ask(reader, &twice, 1));
    embedded_pg_stop(server, EMBEDDED_PG_IMMEDIATE);
    cr_assert_eq(code_of(ask(reader, &twice, 1)), STATUS_UNAVAILABLE);
    cr_assert_eq(code_of(ask(reader, &sleeping, 1)), STATUS_UNAVAILABLE);
    cr_assert(embedded_pg_restart(server, &err), "%s", err.message);
    cr_assert_eq(value_of(ask(reader, &twice, 5)), 10);
    pg_reader_free(reader);
}
