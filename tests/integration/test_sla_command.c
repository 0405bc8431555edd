/* `casework sla …`: policies in files, which it prints so that they can be changed and given back; watching,
 * checking and rebuilding. */

#include "base/clock.h"
#include "casework/cases/v1/case.pb-c.h"
#include "feed/partition.h"
#include "tests/support/sla_desk.h"
#include "tests/support/target_scene.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* Names as in the JSON mapping of proto3 or as in the contract, values as people write them or as --json
 * does. */
static const char policy[] =
    "{\"closing\": {\"afterResolvedDuration\": \"3600.500000000s\"},"
    " \"targets\": [{\"kind\": \"first-reply\", \"target_duration\": \"1.5h\", \"inBusinessHours\": true,"
    "                \"labels\": [\"urgent\", \"vip\"], \"warnPercent\": 50},"
    "               {\"kind\": \"TIMER_KIND_RESOLUTION\", \"targetDuration\": \"20h\", "
    "\"pauseWhilePending\": "
    "true}],"
    " \"calendar\": {\"timeZone\": \"Europe/Berlin\", \"hours\": [{\"day\": \"monday\", \"opens\": \"09:00\","
    "                \"closes\": \"17:00\"}], \"holidays\": [{\"date\": \"2026-12-25\", \"displayName\": "
    "null}]}}";

static const char *write_file(const char *name, const char *text)
{
    const char *path = arena_printf(scene.memory, "%s/%s", suite_directory(scene.suite), name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    cr_assert_eq(fclose(file), 0);
    return path;
}

static int set_from(const char *path)
{
    return suite_run(scene.suite,
                     (const char *const[]){"sla", "set", "acme", "--policy", path, "--json", NULL}, NULL);
}

static const Casework__Sla__V1__SlaPolicy *stored(void)
{
    Casework__Sla__V1__GetPolicyRequest request = CASEWORK__SLA__V1__GET_POLICY_REQUEST__INIT;
    request.name = (char *)"accounts/acme/slaPolicy";
    const Casework__Sla__V1__GetPolicyResponse *response =
        suite_call(scene.suite, SLA, "GetPolicy", &request, scene.memory);
    return response->policy;
}

static void check_as_written(const Casework__Sla__V1__SlaPolicy *now)
{
    cr_assert_eq(now->closing->after_resolved_duration->seconds, 3600);
    cr_assert_eq(now->closing->after_resolved_duration->nanos, 500000000);
    cr_assert_eq(now->n_targets, 2);
    cr_assert_eq(now->targets[0]->kind, KIND(FIRST_REPLY));
    cr_assert_eq(now->targets[0]->target_duration->seconds, 5400);
    cr_assert(now->targets[0]->in_business_hours);
    cr_assert_eq(now->targets[0]->warn_percent, 50);
    cr_assert_eq(now->targets[0]->n_labels, 2);
    cr_assert_str_eq(now->targets[0]->labels[1], "vip");
    cr_assert_eq(now->targets[1]->kind, KIND(RESOLUTION));
    cr_assert(now->targets[1]->pause_while_pending);
    cr_assert_str_eq(now->calendar->time_zone, "Europe/Berlin");
    cr_assert_str_eq(now->calendar->hours[0]->closes, "17:00");
    cr_assert_str_eq(now->calendar->holidays[0]->date, "2026-12-25");
}

Test(sla_command, a_policy_from_a_file)
{
    target_begin();
    target_new_case();
    const char *path = write_file("policy.json", policy);
    json_t *told =
        suite_run_json(scene.suite, (const char *const[]){"sla", "preview", "acme", "--policy", path, NULL});
    cr_assert_str_eq(json_string_value(json_object_get(json_object_get(told, "effect"), "timersAdded")), "1");
    json_decref(told);
    cr_assert_eq(stored()->n_targets, 0, "a preview changes nothing");
    cr_assert_eq(set_from(path), 0);
    check_as_written(stored());

    char *printed;
    cr_assert_eq(
        suite_run(scene.suite, (const char *const[]){"sla", "policy", "acme", "--json", NULL}, &printed), 0);
    cr_assert_eq(set_from(write_file("printed.json", printed)), 0, "what is printed can be given back");
    check_as_written(stored());
    cr_assert_eq(set_from(write_file("printed.json", printed)), 1, "but not over a later change");
    free(printed);

    cr_assert_eq(set_from(write_file("none.json", "{\"targets\": []}")), 0);
    cr_assert_eq(stored()->n_targets, 0, "an empty list takes them away");
    cr_assert_not_null(stored()->calendar, "what the file does not have stays");
    target_end();
}

Test(sla_command, a_deadline)
{
    target_begin();
    const char *path = write_file("policy.json", policy);
    /* Monday, 10:00 in Berlin. */
    json_t *told =
        suite_run_json(scene.suite, (const char *const[]){"sla", "deadline", "acme", "first-reply", "--label",
                                                          "vip", "--policy", path, NULL});
    cr_assert_str_eq(json_string_value(json_object_get(told, "dueTime")), "2026-03-02T10:30:00Z");
    json_decref(told);
    target_end();
}

Test(sla_command, files_that_hold_no_policy_change_nothing)
{
    static const char *const files[] = {"",
                                        "[]",
                                        "{",
                                        "{\"targets\": {}}",
                                        "{\"closing\": []}",
                                        "{\"targets\": [1.5]}",
                                        "{\"nobody\": 1}",
                                        "{\"targets\": [{\"kind\": \"tea\"}]}",
                                        "{\"targets\": [{\"kind\": \"resolution\", \"n\": 1}]}",
                                        "{\"closing\": {\"afterResolvedDuration\": \"soon\"}}",
                                        "{\"closing\": 5}",
                                        "{\"targets\": [[]]}",
                                        "{\"targets\": [], \"targets\": []}"};
    target_begin();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        cr_expect_eq(set_from(write_file("bad.json", files[i])), 1, "%s", files[i]);
    cr_expect_eq(set_from("/nowhere/policy.json"), 1);
    cr_assert_str_eq(stored()->etag, "0");
    target_end();
}

/* --- checking and rebuilding ---------------------------------------------------------------------- */

/* Its exit status; what it has written must have each of the words, which NULL ends. */
static int run_with_words(const char *const *arguments, const char *const *words)
{
    char *output;
    int status = suite_run(scene.suite, arguments, &output);
    for (; *words; words++)
        cr_assert(strstr(output, *words), "\"%s\" is missing in:\n%s", *words, output);
    free(output);
    return status;
}

#define RUN(...) ((const char *const[]){"sla", __VA_ARGS__, NULL})
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The last line of what --json writes. */
static json_t *last_line(const char *const *arguments, int expected_status)
{
    char *output;
    json_error_t why;
    cr_assert_eq(suite_run(scene.suite, arguments, &output), expected_status, "%s", output);
    size_t length = strlen(output);
    cr_assert_gt(length, 0);
    output[length - 1] = '\0';
    char *line = strrchr(output, '\n');
    json_t *last = json_loads(line ? line + 1 : output, 0, &why);
    cr_assert_not_null(last, "%s", output);
    free(output);
    return last;
}

static const char *text_at(const json_t *object, const char *member, const char *field)
{
    return json_string_value(json_object_get(member ? json_object_get(object, member) : object, field));
}

Test(sla_command, a_check_tells_each_difference_and_a_rebuild_ends_them)
{
    target_begin();
    const char *lost = sla_desk_resolved(scene.suite, scene.account, scene.memory);
    sla_desk_resolved(scene.suite, scene.account, scene.memory);
    suite_advance(scene.suite, CLOCK_HOUR);
    cr_assert_eq(run_with_words(RUN("check", "acme"), WORDS("2 cases with 2 timers compared, 0 differences")),
                 0);

    char *bucket = arena_printf(scene.memory, "casework:{b%02d}:timers", feed_partition("acme"));
    char *member = arena_printf(scene.memory, "acme/1/r%lld",
                                (long long)suite_case(scene.suite, lost, scene.memory)->change_version);
    cr_assert(sla_desk_redis(scene.suite, "ZREM", bucket, member, NULL));
    cr_assert(sla_desk_redis(scene.suite, "ZADD", bucket, "4000000000000000", "acme/9/r1"));
    cr_assert_eq(run_with_words(RUN("check", "acme"),
                                WORDS("SHOULD BE DUE", "missing   acme/1", "2026-03-05 09:00:00",
                                      "surplus   acme/9", "2096-10-02 07:06:40", "2 differences")),
                 3);
    cr_assert_eq(run_with_words(RUN("check", "-"), WORDS("missing", "surplus")), 3, "all accounts");
    json_t *summary = last_line(RUN("check", "acme", "--json"), 3);
    cr_assert_str_eq(text_at(summary, "summary", "differences"), "2");
    json_decref(summary);

    json_t *done = last_line(RUN("rebuild", "acme", "--json"), 0);
    cr_assert(json_is_true(json_object_get(done, "done")));
    cr_assert_str_eq(text_at(done, NULL, "timersRemoved"), "1");
    json_decref(done);
    cr_assert_eq(run_with_words(RUN("rebuild", "-"), WORDS("2 cases, 2 timers written")), 0);
    cr_assert_eq(run_with_words(RUN("check", "acme"), WORDS("0 differences")), 0);

    cr_assert_eq(suite_run(scene.suite, RUN("check", "nobody"), NULL), 1);
    cr_assert_eq(suite_run(scene.suite, RUN("rebuild", "nobody"), NULL), 1);
    cr_assert_eq(suite_run(scene.suite, RUN("check"), NULL), 2);
    cr_assert_eq(suite_run(scene.suite, RUN("rebuild", "acme", "more"), NULL), 2);
    target_end();
}

/* --- watching ------------------------------------------------------------------------------------- */

struct written {
    const char *path, *words;
};

static bool is_written(void *context)
{
    const struct written *wanted = context;
    static char text[64 * 1024];
    FILE *file = fopen(wanted->path, "r");
    if (!file)
        return false;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return strstr(text, wanted->words) != NULL;
}

static void await_written(const char *path, const char *words)
{
    sla_desk_await(is_written, &(struct written){path, words}, CLOCK_MINUTE, words);
}

/* What somebody who interrupts it does. */
static void interrupt(process *watching)
{
    int status = 0;
    process_signal(watching, SIGINT);
    cr_assert(process_wait(watching, clock_monotonic_us() + CLOCK_MINUTE, &status));
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    process_free(watching);
}

/* The resume token of the watch's first line. */
static const char *first_token(const char *path)
{
    json_error_t why;
    json_t *first = json_load_file(path, JSON_DISABLE_EOF_CHECK, &why);
    cr_assert_not_null(first, "%s", why.text);
    const char *token = arena_strdup(scene.memory, text_at(first, NULL, "resumeToken"));
    json_decref(first);
    return token;
}

Test(sla_command, a_watch)
{
    target_begin();
    char *lines = arena_printf(scene.memory, "%s/watch.json", suite_directory(scene.suite));
    char *table = arena_printf(scene.memory, "%s/watch.txt", suite_directory(scene.suite));
    process *watching =
        suite_begin_into(scene.suite, RUN("watch", "acme", "--kind", "first-reply", "--json"), lines);
    await_written(lines, "resumeToken");
    sla_desk_targets(scene.suite, scene.account);
    target_new_case();
    suite_advance(scene.suite, 2 * CLOCK_HOUR);
    await_written(lines, "\"TIMER_STEP_BREACHED\"");
    interrupt(watching);
    watching = suite_begin_into(
        scene.suite, RUN("watch", "acme", "--kind", "first-reply", "--resume-token", first_token(lines)),
        table);
    await_written(table, "2026-03-02 09:48:00  warned    first-reply  acme/1");
    await_written(table, "2026-03-02 10:00:00  breached  first-reply  acme/1");
    interrupt(watching);
    cr_assert_eq(suite_run(scene.suite, RUN("watch", "nobody"), NULL), 1);
    cr_assert_eq(suite_run(scene.suite, RUN("watch", "acme", "--kind", "tea"), NULL), 1);
    target_end();
}
