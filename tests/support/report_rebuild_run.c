#include "tests/support/report_rebuild_run.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t report_rebuild_begin(suite *s, const char *mode, const char *inject)
{
    enum { ENVIRONMENT = 10 };
    char keys[512], target[256], database[512], program[512];
    const char *bin = getenv("CASEWORK_BIN");
    json_error_t bad;
    json_t *ready = json_load_file(suite_ready_file(s), 0, &bad);
    cr_assert_not_null(ready);
    snprintf(keys, sizeof keys, "AUTH_KEY_DIRECTORY=%s",
             json_string_value(json_object_get(ready, "key_directory")));
    snprintf(target, sizeof target, "CASE_TARGET=%s", suite_address(s, SUITE_CASE, 0));
    snprintf(database, sizeof database, "DATABASE_URL=%s", suite_database(s, SUITE_REPORT));
    snprintf(program, sizeof program, "%s/casework-report", bin);
    json_decref(ready);
    pid_t pid = fork();
    if (pid == 0) {
        char faults[256], wanted[64];
        snprintf(faults, sizeof faults, "CASEWORK_INJECT=%s", inject);
        snprintf(wanted, sizeof wanted, "--rebuild=%s", mode);
        char *environment[ENVIRONMENT] = {keys, target, database, faults};
        size_t count = 4;
        for (char **own = environ; *own && count < ENVIRONMENT - 1; own++)
            if (strstr(*own, "SAN_OPTIONS=")) /* of the sanitizers */
                environment[count++] = *own;
        char *const arguments[] = {program, wanted, NULL};
        execve(program, arguments, environment);
        _exit(127);
    }
    return pid;
}

int report_rebuild_end(pid_t rebuild)
{
    int status = 0;
    cr_assert_eq(waitpid(rebuild, &status, 0), rebuild);
    return status;
}

int report_rebuild_run(suite *s, const char *mode, const char *inject)
{
    return report_rebuild_end(report_rebuild_begin(s, mode, inject));
}
