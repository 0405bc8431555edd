#include "tests/support/suite.h"

#include "base/clock.h"
#include "tests/support/suite_private.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT (3 * CLOCK_MINUTE) /* with sanitizers */
#define STOP_TIMEOUT CLOCK_MINUTE
#define RESTART_TIMEOUT CLOCK_MINUTE
#define RUN_TIMEOUT (5 * CLOCK_MINUTE)

enum { ARGUMENTS_MAX = 24, OUTPUT_MAX = 64 * 1024 * 1024 };

static const char *const names[SUITE_SERVICES] = {"case", "search", "sla", "report"};

const char *suite_service_name(enum suite_service service)
{
    return names[service];
}

/* What the services last said, so that a failure can be understood from the test's output alone. */
static void show_logs(const suite *s)
{
    char tail[2000], path[SUITE_PATH_SIZE + 32];
    process_log_tail(s->log_file, tail, sizeof tail);
    fprintf(stderr, "--- casework up\n%s\n", tail);
    for (int i = 0; i < SUITE_SERVICES; i++) {
        snprintf(path, sizeof path, "%s/%s-1.log", s->log_directory, names[i]);
        process_log_tail(path, tail, sizeof tail);
        fprintf(stderr, "--- %s\n%s\n", names[i], tail);
    }
}

_Noreturn void suite_give_up(const suite *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("suite: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\n", stderr);
    va_end(arguments);
    if (s)
        show_logs(s);
    abort();
}

void suite_pause(int64_t duration_us)
{
    nanosleep(&(struct timespec){.tv_sec = duration_us / CLOCK_SECOND,
                                 .tv_nsec = (long)(duration_us % CLOCK_SECOND * 1000)},
              NULL);
}

static json_t *read_ready_file(const suite *s)
{
    json_error_t why;
    return json_load_file(s->ready_file, 0, &why);
}

static void await_ready(suite *s)
{
    int64_t until = clock_monotonic_us() + START_TIMEOUT;
    while (!(s->ready = read_ready_file(s))) {
        if (!process_running(s->up))
            suite_give_up(s, "casework up has ended");
        if (clock_monotonic_us() >= until)
            suite_give_up(s, "casework up takes too long");
        suite_pause(CLOCK_SECOND / 50);
    }
}

static void choose_paths(suite *s)
{
    const char *programs = getenv("CASEWORK_BIN");
    error err;
    if (!process_make_scratch("casework-suite", s->directory, sizeof s->directory, &err))
        suite_give_up(NULL, "%s", err.message);
    snprintf(s->programs, sizeof s->programs, "%s", programs ? programs : "build/test/bin");
    snprintf(s->ready_file, sizeof s->ready_file, "%s/ready.json", s->directory);
    snprintf(s->log_file, sizeof s->log_file, "%s/up.log", s->directory);
    snprintf(s->log_directory, sizeof s->log_directory, "%s/log", s->directory);
}

suite *suite_start(const struct suite_options *options)
{
    static const struct suite_options plain;
    const struct suite_options *o = options ? options : &plain;
    char program[SUITE_PATH_SIZE + 16], replicas[16], template[64], data[SUITE_PATH_SIZE + 24];
    error err = {0};
    suite *s = calloc(1, sizeof *s);
    if (!s)
        suite_give_up(NULL, "out of memory");
    choose_paths(s);
    if (!process_make_directory("build/test-pg", &err))
        suite_give_up(s, "%s", err.message);
    snprintf(program, sizeof program, "%s/casework", s->programs);
    snprintf(replicas, sizeof replicas, "%u", o->replicas ? o->replicas : 1);
    snprintf(template, sizeof template, "build/test-pg/%u", geteuid()); /* shared with pg_server */
    snprintf(data, sizeof data, "%s%s", o->data_directory ? "--data-directory=" : "--ephemeral",
             o->data_directory ? o->data_directory : "");
    const char *const argv[] = {program,
                                "up",
                                data,
                                "--port",
                                "0",
                                "--clock",
                                o->clock ? o->clock : "manual=" SUITE_START,
                                "--ready-file",
                                s->ready_file,
                                "--log-directory",
                                s->log_directory,
                                "--template-directory",
                                template,
                                "--replicas",
                                replicas,
                                o->redis_url ? "--redis-url" : NULL,
                                o->redis_url,
                                NULL};
    if (!process_start(
            &(struct process_options){
                .argv = argv, .output_file = s->log_file, .settings = o->settings, .death_signal = SIGTERM},
            &s->up, &err))
        suite_give_up(s, "%s", err.message);
    await_ready(s);
    return s;
}

void suite_stop(suite *s)
{
    int status = 0;
    for (int i = 0; i < SUITE_SERVICES; i++)
        for (int r = 0; r < SUITE_REPLICAS_MAX; r++)
            rpc_channel_free(s->channels[i][r]);
    process_signal(s->up, SIGTERM);
    if (!process_wait(s->up, clock_monotonic_us() + STOP_TIMEOUT, &status))
        suite_give_up(s, "casework up does not stop");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        suite_give_up(s, "casework up ended with status %d", status);
    process_free(s->up);
    json_decref(s->ready);
    process_remove_tree(s->directory);
    free(s);
}

static const json_t *member(const suite *s, const json_t *ready, const char *key, enum suite_service service,
                            unsigned replica)
{
    const json_t *list = json_object_get(json_object_get(ready, key), names[service]);
    const json_t *found = json_array_get(list, replica);
    if (!found)
        suite_give_up(s, "the ready file has no %s of %s-%u", key, names[service], replica + 1);
    return found;
}

static pid_t read_pid(suite *s, enum suite_service service, unsigned replica)
{
    json_t *ready = read_ready_file(s);
    pid_t pid = ready ? (pid_t)json_integer_value(member(s, ready, "pids", service, replica)) : 0;
    json_decref(ready);
    return pid;
}

pid_t suite_pid(suite *s, enum suite_service service, unsigned replica)
{
    return read_pid(s, service, replica);
}

pid_t suite_redis_pid(suite *s)
{
    json_t *ready = read_ready_file(s);
    pid_t pid = (pid_t)json_integer_value(json_object_get(json_object_get(ready, "pids"), "redis"));
    json_decref(ready);
    return pid;
}

const char *suite_address(const suite *s, enum suite_service service, unsigned replica)
{
    return json_string_value(member(s, s->ready, "replicas", service, replica));
}

const char *suite_redis_url(const suite *s)
{
    return json_string_value(json_object_get(s->ready, "redis"));
}

const char *suite_database(const suite *s, enum suite_service service)
{
    return json_string_value(json_object_get(json_object_get(s->ready, "database"), names[service]));
}

const char *suite_ready_file(const suite *s)
{
    return s->ready_file;
}

pid_t suite_kill(suite *s, enum suite_service service, unsigned replica)
{
    pid_t pid = read_pid(s, service, replica);
    if (pid <= 0 || kill(pid, SIGKILL) != 0)
        suite_give_up(s, "%s-%u cannot be killed: it is not running", names[service], replica + 1);
    return pid;
}

const char *suite_directory(const suite *s)
{
    return s->directory;
}

static process *begin(suite *s, const char *const *arguments, const char *output)
{
    char program[SUITE_PATH_SIZE + 16];
    const char *argv[ARGUMENTS_MAX] = {program};
    size_t count = 1;
    process *p;
    error err;
    snprintf(program, sizeof program, "%s/casework", s->programs);
    for (size_t i = 0; count < ARGUMENTS_MAX - 3 && arguments[i]; i++)
        argv[count++] = arguments[i];
    argv[count++] = "--ready-file";
    argv[count++] = s->ready_file;
    if (!process_start(&(struct process_options){.argv = argv, .output_file = output}, &p, &err))
        suite_give_up(s, "%s", err.message);
    return p;
}

process *suite_begin(suite *s, const char *const *arguments)
{
    return begin(s, arguments, s->log_file);
}

process *suite_begin_into(suite *s, const char *const *arguments, const char *path)
{
    return begin(s, arguments, path);
}

static char *read_output(const suite *s, const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = calloc(1, OUTPUT_MAX);
    if (!f || !text || fread(text, 1, OUTPUT_MAX - 1, f) == OUTPUT_MAX - 1)
        suite_give_up(s, "cannot read %s", path);
    fclose(f);
    return text;
}

int suite_run(suite *s, const char *const *arguments, char **ret_output)
{
    char output[SUITE_PATH_SIZE];
    int status = 0;
    snprintf(output, sizeof output, "%s/output", s->directory);
    unlink(output);
    process *p = begin(s, arguments, output);
    if (!process_wait(p, clock_monotonic_us() + RUN_TIMEOUT, &status))
        suite_give_up(s, "casework %s takes too long", arguments[0]);
    process_free(p);
    if (ret_output)
        *ret_output = read_output(s, output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

json_t *suite_run_json(suite *s, const char *const *arguments)
{
    const char *all[ARGUMENTS_MAX];
    size_t count = 0;
    char *output;
    json_error_t why;
    for (; count < ARGUMENTS_MAX - 2 && arguments[count]; count++)
        all[count] = arguments[count];
    all[count++] = "--json";
    all[count] = NULL;
    int status = suite_run(s, all, &output);
    json_t *object = json_loads(output, JSON_DISABLE_EOF_CHECK, &why);
    if (status != 0 || !object)
        suite_give_up(s, "casework %s: status %d, %s\n%s", arguments[0], status, why.text, output);
    free(output);
    return object;
}

const char *suite_conversations(void)
{
    const char *path = getenv("CASEWORK_TEST_DATA");
    if (!path || !*path)
        path = "../shared/data/conversations.jsonl";
    if (access(path, R_OK) == 0)
        return path;
    cr_skip_test("%s is not there; CASEWORK_TEST_DATA names the conversations to test with", path);
    abort(); /* the test has ended */
}
