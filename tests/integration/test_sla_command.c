/* `casework sla …` with policies in files: what it prints can be changed and given back. */

#include "base/clock.h"
#include "tests/support/target_scene.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
