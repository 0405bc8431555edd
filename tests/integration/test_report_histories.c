/*
 * What must hold of every report whatever happens: numbers stay once they are locked, a week that the service
 * has not seen comes to the same, and so do thousands of cases. CASEWORK_REPORT_CASES=4000 takes so many,
 * CASEWORK_REPORT_STEPS=3000 goes on longer with them, CASEWORK_REPORT_SEED=… (printed) the same again.
 */

#include "base/clock.h"
#include "pg/pg.h"
#include "tests/support/report_story.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

TestSuite(report_histories, .timeout = 86400);

enum { ANY = 30, STEPS = 100, CASES = 1000 };

static void step(const struct report_story *s, const char *method, const char *name)
{
    (void)suite_step(s->shop.suite, method, name, "ann");
}

/* --- locked numbers --------------------------------------------------------------------------------------
 */

/* All that may happen to a case, each certain to happen. */
static void change_everything(struct report_story *s, const char *const *names, size_t contact)
{
    struct shop *d = &s->shop;
    step(s, "UndeleteCase", names[0]);
    shop_write(d, names[0], "customer");
    step(s, "ResolveCase", names[0]);
    step(s, "ResolveCase", names[1]);
    step(s, "ReopenCase", names[1]);
    step(s, "DeleteCase", names[1]);
    step(s, "UndeleteCase", names[1]);
    step(s, "DeleteCase", names[2]);
    shop_merge(d, names[3], names[1]);
    shop_merge(d, names[4], names[0]);
    shop_unmerge(d, names[4]);
    step(s, "DeleteCase", names[4]);
    report_story_erase_contact(s, contact);
    report_story_change_settings(s);
}

Test(report_histories, merged_undone_erased_and_deleted_cases_keep_locked_numbers)
{
    /* where they stand while their periods last; the last one's customer can be erased */
    static const char *const methods[] = {"DeleteCase", "MarkCasePending", "ResolveCase", NULL,
                                          NULL,         "ResolveCase"};
    enum { OLD = sizeof methods / sizeof methods[0] };
    const struct suite_options options = {.clock = "manual=2026-03-25T09:07:00Z"};
    struct report_story *s = report_story_begin("Europe/Amsterdam", &options, report_story_seed());
    for (size_t i = 0; i < OLD; i++) {
        const char *name = i == OLD - 1 ? report_story_case_of_contact(s) : report_story_case(s);
        shop_write(&s->shop, name, "ann");
        if (methods[i] != NULL)
            step(s, methods[i], name);
        suite_advance(s->shop.suite, 7 * CLOCK_HOUR);
    }
    s->spared = s->count;
    report_story_go_on(s, ANY);
    suite_advance(s->shop.suite, 12 * CLOCK_DAY); /* no period is longer than five */
    report_story_compare(s);
    cr_assert_geq(s->activity.locked_count, 2, "days are locked by now");
    change_everything(s, s->names, OLD);
    report_story_go_on(s, ANY);
    report_story_compare(s);
    report_story_end(s);
}

/* --- a week's backlog ------------------------------------------------------------------------------------
 */

/* Keeps the report's tables as they are, all of one moment. */
static const char keep_tables[] =
    "DO $$ DECLARE t text; BEGIN"
    " LOCK TABLE public.report_partitions IN ACCESS EXCLUSIVE MODE; CREATE SCHEMA kept;"
    " FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'report\\_%'"
    " LOOP EXECUTE format('CREATE TABLE kept.%I AS TABLE public.%I', t, t); END LOOP; END $$";

/* Puts them back. Nobody reads positions before it is committed. */
static const char put_back[] =
    "DO $$ DECLARE t text; BEGIN"
    " LOCK TABLE public.report_partitions IN ACCESS EXCLUSIVE MODE;"
    " FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'kept' LOOP"
    " EXECUTE format('TRUNCATE public.%I', t);"
    " EXECUTE format('INSERT INTO public.%I SELECT * FROM kept.%I', t, t); END LOOP; END $$";

static pg_conn *open_database(const struct report_story *s)
{
    const struct pg_options options = {.url = suite_database(s->shop.suite, SUITE_REPORT)};
    pg_conn *conn;
    error err = {0};
    cr_assert(pg_conn_open(&options, &conn, &err), "%s (%s)", err.message, err.detail);
    return conn;
}

static void keep_what_is_counted(const struct report_story *s)
{
    pg_conn *conn = open_database(s);
    error err = {0};
    cr_assert(pg_run_script(conn, keep_tables, 0, &err), "%s (%s)", err.message, err.detail);
    pg_conn_close(conn);
}

/*
 * Leaves the report service as if it had been stopped when its tables were kept, and starts it. It cannot be
 * stopped in earnest, since the clock waits for it; but all that outlives a process is in its tables.
 */
static void start_from_what_was_kept(const struct report_story *s)
{
    pid_t former[SUITE_REPLICAS_MAX];
    pg_conn *conn = open_database(s);
    error err = {0};
    cr_assert(pg_begin(conn, 0, &err) && pg_run_script(conn, put_back, 0, &err), "%s (%s)", err.message,
              err.detail);
    for (unsigned i = 0; i < s->replicas; i++)
        former[i] = suite_kill(s->shop.suite, SUITE_REPORT, i);
    cr_assert(pg_commit(conn, 0, &err), "%s (%s)", err.message, err.detail);
    pg_conn_close(conn);
    for (unsigned i = 0; i < s->replicas; i++)
        suite_await_restart(s->shop.suite, SUITE_REPORT, i, former[i]);
}

/* What becomes of each case. */
enum week_case {
    REOPENED,
    LOCKED_PENDING,
    DELETED_AND_BACK,
    DELETED_LATE,
    MERGED,
    TARGET,
    ERASED,
    WEEK_CASES
};

/* Answers them; all that there are by then are left alone by random steps. */
static const char *const *before_the_week(struct report_story *s)
{
    const char *const *names = s->names + s->count;
    for (size_t i = 0; i < WEEK_CASES; i++) {
        const char *name = i == ERASED ? report_story_case_of_contact(s) : report_story_case(s);
        shop_write(&s->shop, name, "bob");
    }
    s->spared = s->count;
    step(s, "ResolveCase", names[REOPENED]);
    step(s, "MarkCasePending", names[LOCKED_PENDING]);
    step(s, "ResolveCase", names[DELETED_AND_BACK]);
    step(s, "ResolveCase", names[DELETED_LATE]);
    return names;
}

static void within_the_period(struct report_story *s, const char *const *names)
{
    step(s, "ReopenCase", names[REOPENED]);
    step(s, "DeleteCase", names[DELETED_AND_BACK]);
    shop_merge(&s->shop, names[MERGED], names[TARGET]);
    shop_write_at(&s->shop, names[REOPENED], "customer", suite_now_us(s->shop.suite) - 5 * CLOCK_HOUR, false);
    report_story_change_settings(s);
}

static void after_the_period(struct report_story *s, const char *const *names)
{
    step(s, "ResolveCase", names[LOCKED_PENDING]);
    step(s, "UndeleteCase", names[DELETED_AND_BACK]);
    step(s, "DeleteCase", names[DELETED_LATE]);
    shop_unmerge(&s->shop, names[MERGED]);
    report_story_erase_contact(s, (size_t)(names - s->names) + ERASED + 1);
    report_story_come_and_go(s);
}

/* Two replicas: each event of the week is told to both. Daylight saving ends within it. */
Test(report_histories, a_weeks_backlog_comes_to_the_same_as_a_rebuild)
{
    const struct suite_options options = {.clock = "manual=2026-10-22T09:07:00Z", .replicas = 2};
    struct report_story *s = report_story_begin("Europe/Amsterdam", &options, report_story_seed());
    report_story_go_on(s, ANY);
    const char *const *names = before_the_week(s);
    int64_t stopped = suite_now_us(s->shop.suite);
    keep_what_is_counted(s);
    within_the_period(s, names);
    report_story_go_on(s, ANY);
    report_story_go_to(s, stopped + 5 * CLOCK_DAY);
    after_the_period(s, names);
    report_story_go_on(s, ANY);
    report_story_go_to(s, stopped + 9 * CLOCK_DAY);
    report_story_compare(s);
    start_from_what_was_kept(s);
    report_story_compare(s);
    report_story_end(s);
}

/* --- thousands of cases ----------------------------------------------------------------------------------
 */

/* A line's own numbers, the same for the same seed. */
static unsigned next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*seed >> 33);
}

static json_t *time_text(int64_t time_us)
{
    char text[CLOCK_TEXT_SIZE];
    return json_string(clock_format(time_us, text));
}

static json_t *some_messages(uint64_t *seed, int64_t *time)
{
    static const char *const authors[][2] = {{"customer", "Carla"}, {"agent", "Ann"}, {"agent", "Bob"},
                                             {"customer", "Carla"}, {"agent", "Cid"}, {"note", "Ann"}};
    json_t *list = json_array();
    for (size_t count = 1 + next_random(seed) % 6; count > 0; count--) {
        const char *const *author = authors[next_random(seed) % (sizeof authors / sizeof authors[0])];
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:s}", "from", author[0], "name", author[1],
                                              "at", time_text(*time), "text", "Well, then."));
        *time += (1 + next_random(seed) % 900) * CLOCK_MINUTE / 3;
    }
    return list;
}

/* One of the fourteen months before the last days; resolved, pending or neither. */
static json_t *some_conversation(uint64_t *seed, int64_t now, size_t number)
{
    static const char *const labels[] = {"VIP", "Contract", "ärger"};
    char id[32];
    int64_t time = now - (int64_t)(20 + next_random(seed) % (420 * 24)) * CLOCK_HOUR - 4 * CLOCK_DAY;
    json_t *messages = some_messages(seed, &time), *marks = json_array();
    unsigned what = next_random(seed) % 10;
    snprintf(id, sizeof id, "line-%zu", number);
    if (number % 3 != 0)
        json_array_append_new(marks, json_string(labels[next_random(seed) % 3]));
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:{s:s}, s:s, s:o, s:o}", "external_id", id, "account", "acme", "channel",
                  "email", "contact", "name", id, "subject", "Kettle", "messages", messages, "labels", marks);
    if (what < 8) {
        json_object_set_new(line, "status", json_string(what < 7 ? "resolved" : "pending"));
        json_object_set_new(line, "status_at", time_text(time));
    }
    return line;
}

/* The file that `casework import` reads. */
static const char *write_conversations(const struct report_story *s, size_t count)
{
    const char *path = arena_printf(s->shop.memory, "%s/cases.jsonl", suite_directory(s->shop.suite));
    FILE *file = fopen(path, "w");
    uint64_t seed = s->seed;
    int64_t now = suite_now_us(s->shop.suite);
    cr_assert_not_null(file, "%s", path);
    for (size_t i = 0; i < count; i++) {
        json_t *line = some_conversation(&seed, now, i);
        cr_assert_not_null(line);
        cr_assert_eq(json_dumpf(line, file, JSON_COMPACT), 0);
        fputc('\n', file);
        json_decref(line);
    }
    cr_assert_eq(fclose(file), 0);
    return path;
}

static void import(struct report_story *s, size_t count)
{
    const char *path = write_conversations(s, count);
    cr_assert_eq(suite_run(s->shop.suite, (const char *const[]){"import", path, NULL}, NULL), 0);
    for (; s->count < count; s->count++)
        s->names[s->count] = arena_printf(s->shop.memory, "%s/cases/%zu", s->shop.account, s->count + 1);
}

/* Over three changes of daylight saving in the account's zone; then its life goes on. */
Test(report_histories, thousands_of_cases_of_a_year)
{
    const struct suite_options options = {.clock = "manual=2026-11-20T09:07:00Z"};
    struct report_story *s = report_story_begin("America/New_York", &options, report_story_seed());
    import(s, report_story_number("CASEWORK_REPORT_CASES", CASES));
    suite_advance(s->shop.suite, 4 * CLOCK_DAY); /* what was resolved closes */
    report_story_go_on(s, report_story_number("CASEWORK_REPORT_STEPS", STEPS));
    report_story_compare(s);
    report_story_end(s);
}
