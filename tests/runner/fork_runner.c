/*
 * Runs Criterion tests without Criterion's own runner, for ThreadSanitizer builds: the runner hands memory to
 * its workers at addresses that ThreadSanitizer reserves, and dies before the first test.
 *
 * Tests are compiled as ever; this file has the main() and stands in for the functions through which a test
 * talks to the runner (the rest of libcriterion still serves). One fork per test from a process with a single
 * thread, one after the other. It understands --filter PATTERN, --timeout SECONDS, init, fini, signal,
 * exit_code, timeout, disabled and parameters, and prints the same summary line.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What the linker makes of Criterion's sections; a program without TestSuite() has no cr_sts. */
extern struct criterion_test *__start_cr_tst[] __attribute__((weak));
extern struct criterion_test *__stop_cr_tst[] __attribute__((weak));
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak));
extern struct criterion_suite *__stop_cr_sts[] __attribute__((weak));

enum { STATUS_FAILED = 90, STATUS_SKIPPED = 91 };
enum outcome { OUTCOME_PASS, OUTCOME_FAIL, OUTCOME_CRASH, OUTCOME_SKIP };

/* State of the forked process. */
static const struct criterion_test *current_test;
static const struct criterion_test_extra_data *current_suite;
static void *current_param;
static jmp_buf abort_point;
static volatile bool failed;

static struct {
    const char *filter;
    double timeout;
    unsigned passing, failing, crashing;
} run;

/* --- what tests call ----------------------------------------------------------------------------------- */

void criterion_internal_test_setup(void)
{
    if (current_suite && current_suite->init)
        current_suite->init();
    if (current_test->data->init)
        current_test->data->init();
}

void criterion_internal_test_main(void (*fn)(void))
{
    if (setjmp(abort_point) != 0)
        return;
    if (current_param)
        ((void (*)(void *))(void *)fn)(current_param);
    else
        fn();
}

void criterion_internal_test_teardown(void)
{
    if (current_test->data->fini)
        current_test->data->fini();
    if (current_suite && current_suite->fini)
        current_suite->fini();
}

void criterion_send_assert(struct criterion_assert_stats *stats)
{
    if (!stats->passed)
        fprintf(stderr, "[----] %s:%u: %s\n", stats->file, stats->line, stats->message);
}

void cri_asserts_passed_incr(void)
{
}

void criterion_continue_test(void)
{
    failed = true;
}

void criterion_abort_test(void)
{
    failed = true;
    longjmp(abort_point, 1);
}

void criterion_skip_test(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    _exit(STATUS_SKIPPED);
}

void criterion_test_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    _exit(STATUS_FAILED);
}

/* --- running one ---------------------------------------------------------------------------------------- */

static const struct criterion_test_extra_data *find_suite(const char *name)
{
    for (struct criterion_suite **suite = __start_cr_sts; suite < __stop_cr_sts; suite++) {
        if (*suite && strcmp((*suite)->name, name) == 0)
            return (*suite)->data;
    }
    return NULL;
}

static void run_in_child(void)
{
    setpgid(0, 0);
    current_test->test();
    fflush(NULL);
    /* exit(), not _exit(): ThreadSanitizer turns its reports into a status there. */
    exit(failed ? STATUS_FAILED : current_test->data->exit_code);
}

/* Waits for the child and kills its process group when the time is up. Returns the status of waitpid. */
static int wait_for(pid_t pid, double seconds, bool *ret_timed_out)
{
    struct timespec started, now, pause = {.tv_nsec = 5000000};
    clock_gettime(CLOCK_MONOTONIC, &started);
    int status = 0;
    *ret_timed_out = false;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        double elapsed =
            difftime(now.tv_sec, started.tv_sec) + 1e-9 * (double)(now.tv_nsec - started.tv_nsec);
        if (seconds > 0 && elapsed > seconds && !*ret_timed_out) {
            *ret_timed_out = true;
            kill(-pid, SIGKILL);
            kill(pid, SIGKILL);
        }
        nanosleep(&pause, NULL);
    }
    return status;
}

static enum outcome judge(int status, bool timed_out)
{
    const struct criterion_test_extra_data *data = current_test->data;
    if (timed_out)
        return OUTCOME_CRASH;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == data->signal ? OUTCOME_PASS : OUTCOME_CRASH;
    if (WEXITSTATUS(status) == STATUS_SKIPPED)
        return OUTCOME_SKIP;
    if (data->signal != 0 || WEXITSTATUS(status) != data->exit_code)
        return OUTCOME_FAIL;
    return OUTCOME_PASS;
}

static void run_one(void *param)
{
    double timeout = current_test->data->timeout > 0 ? current_test->data->timeout : run.timeout;
    current_param = param;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        run_in_child();

    bool timed_out = false;
    enum outcome outcome = OUTCOME_CRASH;
    if (pid > 0) {
        int status = wait_for(pid, timeout, &timed_out);
        outcome = judge(status, timed_out);
    }
    switch (outcome) {
    case OUTCOME_PASS:
        run.passing++;
        break;
    case OUTCOME_FAIL:
        run.failing++;
        fprintf(stderr, "[FAIL] %s::%s\n", current_test->category, current_test->name);
        break;
    case OUTCOME_CRASH:
        /* As in Criterion's summary, a crash is a failure too. */
        run.failing++;
        run.crashing++;
        fprintf(stderr, "[FAIL] %s::%s: %s\n", current_test->category, current_test->name,
                timed_out ? "timed out" : "CRASH!");
        break;
    case OUTCOME_SKIP:
        fprintf(stderr, "[SKIP] %s::%s\n", current_test->category, current_test->name);
        break;
    }
}

static void run_test(const struct criterion_test *test)
{
    current_test = test;
    current_suite = find_suite(test->category);
    if (test->data->disabled || (current_suite && current_suite->disabled))
        return;

    char name[512];
    snprintf(name, sizeof name, "%s/%s", test->category, test->name);
    if (run.filter && fnmatch(run.filter, name, 0) != 0)
        return;

    if (test->data->kind_ != CR_TEST_PARAMETERIZED) {
        run_one(NULL);
        return;
    }
    struct criterion_test_params params = test->data->param_();
    for (size_t i = 0; i < params.length; i++)
        run_one((char *)params.params + i * params.size);
    if (params.cleanup)
        params.cleanup(&params);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc)
            run.filter = argv[++i];
        else if (strcmp(argv[i], "--timeout") == 0 && i + 1 < argc)
            run.timeout = strtod(argv[++i], NULL);
    }

    for (struct criterion_test **test = __start_cr_tst; test < __stop_cr_tst; test++) {
        if (*test)
            run_test(*test);
    }

    fprintf(stderr, "[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: %u\n",
            run.passing + run.failing, run.passing, run.failing, run.crashing);
    return run.failing > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
