/*
 * The real conversations, imported while two replicas of the report service are killed in turn: their reports
 * equal a rebuild from scratch and what the file says.
 */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "report/report_feed.h"
#include "tests/support/activity.h"
#include "tests/support/pg_server.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct importing {
    suite *suite;
    const char *path;
    atomic_bool done;
    int status;
};

static void *import(void *argument)
{
    struct importing *importing = argument;
    importing->status =
        suite_run(importing->suite, (const char *const[]){"import", importing->path, NULL}, NULL);
    atomic_store(&importing->done, true);
    return NULL;
}

/* Kills the replicas in turn, for as long as the import runs. */
static void import_under_fire(suite *s, const char *path)
{
    struct importing importing = {.suite = s, .path = path};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, import, &importing), 0);
    unsigned replica = 0;
    do {
        suite_await_restart(s, SUITE_REPORT, replica, suite_kill(s, SUITE_REPORT, replica));
        replica = 1 - replica;
    } while (!atomic_load(&importing.done));
    pthread_join(thread, NULL);
    cr_expect_eq(importing.status, 0);
}

/* What the file itself says: each conversation's account, and when its first message was sent. */
struct conversation {
    char account[64];
    int64_t create_time;
};

enum { CONVERSATIONS = 503 };

static void read_conversations(const char *path, struct conversation list[CONVERSATIONS])
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    for (int i = 0; i < CONVERSATIONS; i++) {
        json_t *line = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL);
        cr_assert_not_null(line, "conversation %d", i + 1);
        const char *account = json_string_value(json_object_get(line, "account"));
        const json_t *first = json_array_get(json_object_get(line, "messages"), 0);
        snprintf(list[i].account, sizeof list[i].account, "%s", account);
        for (char *c = list[i].account; *c != '\0'; c++)
            *c = (char)tolower((unsigned char)*c);
        list[i].create_time = activity_instant(json_string_value(json_object_get(first, "at")));
        json_decref(line);
    }
    fclose(file);
}

static int64_t created_in(const struct conversation list[CONVERSATIONS], const char *account,
                          const activity_row *row)
{
    int64_t count = 0;
    for (int i = 0; i < CONVERSATIONS; i++) {
        if (list[i].create_time >= activity_time(row->start_time) &&
            list[i].create_time < activity_time(row->end_time) && strcmp(list[i].account, account) == 0)
            count++;
    }
    return count;
}

static void nothing(void *context)
{
    (void)context;
}

struct rebuild {
    embedded_pg *pg;
    report_store *store;
    report_feed *feed;
};

/* The same feed from its beginning into tables of its own. */
static struct rebuild rebuild(suite *s, const struct feed_positions *heads)
{
    struct rebuild r = {.pg = pg_server_start(false, NULL)};
    pg_server_migrate(r.pg, "report");
    const struct report_store_options options = {
        .database_url = embedded_pg_url(r.pg), .readers = 2, .lanes = 2};
    error err = {0};
    cr_assert(report_store_new(&options, &r.store, &err), "%s", err.message);
    cr_assert(report_feed_new(suite_channel(s, SUITE_CASE, 0), r.store, nothing, NULL, NULL, &r.feed, &err),
              "%s", err.message);
    cr_assert(
        feed_consumer_wait(report_feed_consumer(r.feed), heads, clock_monotonic_us() + CLOCK_MINUTE, &err),
        "%s", err.message);
    return r;
}

static void end_rebuild(struct rebuild *r)
{
    report_feed_free(r->feed);
    report_store_free(r->store);
    embedded_pg_free(r->pg);
}

static struct feed_positions heads_of(suite *s, arena *memory)
{
    Casework__Cases__V1__GetPositionRequest request = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    request.parent = (char *)"accounts/-";
    const Casework__Cases__V1__GetPositionResponse *response =
        suite_call(s, &casework__cases__v1__event_service__descriptor, "GetPosition", &request, memory);
    struct feed_positions heads = {0};
    for (size_t i = 0; i < response->n_positions; i++)
        heads.at[response->positions[i]->partition] = response->positions[i]->position;
    return heads;
}

/* Ten years, day by day: the same in the rebuild's tables, in the file, and from either replica. Cases
 * created. */
static int64_t compare_account(suite *s, arena *memory, struct rebuild *r, const char *name,
                               const struct feed_positions *heads,
                               const struct conversation list[CONVERSATIONS])
{
    const char *account = name + strlen("accounts/");
    activity_request request = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    Casework__Report__V1__DateRange range = CASEWORK__REPORT__V1__DATE_RANGE__INIT;
    range.start_date = (char *)"2017-01-01";
    range.end_date = (char *)"2026-12-31";
    request.parent = (char *)name;
    request.period_case = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_RANGE;
    request.range = &range;
    request.min_position = heads->at[feed_partition(account)];
    struct report_period period;
    struct report_rows rows;
    int64_t created = 0, position;
    error err = {0};
    cr_assert(report_period_range(range.start_date, range.end_date, &period, &err));
    for (unsigned replica = 0; replica < 2; replica++) {
        const activity_report *found =
            suite_call_at(s, replica, &casework__report__v1__report_service__descriptor, "GetCaseActivity",
                          &request, memory);
        activity_check_sums(found);
        cr_assert(report_period_rows(&period, calendar_zone_get(found->time_zone), 0, memory, &rows, &err));
        struct report_counts *expected = arena_calloc(memory, rows.count, sizeof *expected);
        cr_assert(report_store_activity(r->store, account, &rows, INT64_MAX, 0, expected, &position, &err),
                  "%s", err.message);
        cr_assert_eq(found->n_rows, rows.count);
        for (size_t i = 0; i < rows.count; i++)
            activity_expect_row(found->rows[i], expected[i].created, expected[i].pending,
                                expected[i].resolved, expected[i].deleted);
        for (size_t i = 0; replica == 0 && i < rows.count; i++)
            cr_expect_eq(found->rows[i]->created, created_in(list, account, found->rows[i]));
        created = found->total->created;
    }
    return created;
}

Test(report_import, the_real_conversations_under_fire_equal_a_rebuild, .timeout = 300)
{
    const char *path = suite_conversations();
    suite *s = suite_start(&(struct suite_options){.replicas = 2});
    arena *memory = arena_new(256 << 20);
    import_under_fire(s, path);
    import_under_fire(s, path); /* again: without a second effect */
    struct feed_positions heads = heads_of(s, memory);
    struct rebuild r = rebuild(s, &heads);
    Casework__Cases__V1__ListAccountsRequest list = CASEWORK__CASES__V1__LIST_ACCOUNTS_REQUEST__INIT;
    list.page_size = 1000;
    const Casework__Cases__V1__ListAccountsResponse *accounts =
        suite_call(s, &casework__cases__v1__account_service__descriptor, "ListAccounts", &list, memory);
    static struct conversation conversations[CONVERSATIONS];
    read_conversations(path, conversations);
    int64_t created = 0;
    for (size_t i = 0; i < accounts->n_accounts; i++)
        created += compare_account(s, memory, &r, accounts->accounts[i]->name, &heads, conversations);
    cr_expect_eq(created, CONVERSATIONS);
    end_rebuild(&r);
    arena_free(memory);
    suite_stop(s);
}
