/*
 * Runs Criterion tests without Criterion's own runner, for sanitizer builds: the runner hands memory to its
 * workers at addresses that ThreadSanitizer reserves, and dies before the first test; and it starts the
 * program anew for each test, which under AddressSanitizer takes as long as most tests.
 *
 * Tests are compiled as ever; this file has the main() and stands in for the functions through which a test
 * talks to the runner (the rest of libcriterion still serves). One fork per test from a process with a single
 * thread, up to -jN at a time. It understands --filter PATTERN, --timeout SECONDS, init, fini, signal,
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

enum { JOBS_MAX = 16, SLOW = 10 /* seconds after which a test is named */ };

/* A test that runs in a child; pid 0: none. */
struct job {
    pid_t pid;
    const struct criterion_test *test;
    double timeout; /* seconds; 0: none */
    struct timespec started;
    bool timed_out;
};

static struct {
    const char *filter;
    double timeout;
    unsigned jobs, passing, failing, crashing;
    struct job running[JOBS_MAX];
} run = {.jobs = 1};

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
    /* A failed test is left in the midst of things: what it did not give back is no leak of its own. */
    if (failed)
        _exit(STATUS_FAILED);
    /* exit(), not _exit(): ThreadSanitizer turns its reports into a status there, LeakSanitizer looks. */
    exit(current_test->data->exit_code);
}

static enum outcome judge(const struct job *job, int status)
{
    const struct criterion_test_extra_data *data = job->test->data;
    if (job->timed_out)
        return OUTCOME_CRASH;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == data->signal ? OUTCOME_PASS : OUTCOME_CRASH;
    if (WEXITSTATUS(status) == STATUS_SKIPPED)
        return OUTCOME_SKIP;
    if (data->signal != 0 || WEXITSTATUS(status) != data->exit_code)
        return OUTCOME_FAIL;
    return OUTCOME_PASS;
}

static void count(const struct job *job, enum outcome outcome)
{
    const char *suite = job->test->category, *name = job->test->name;
    switch (outcome) {
    case OUTCOME_PASS:
        run.passing++;
        break;
    case OUTCOME_FAIL:
        run.failing++;
        fprintf(stderr, "[FAIL] %s::%s\n", suite, name);
        break;
    case OUTCOME_CRASH:
        /* As in Criterion's summary, a crash is a failure too. */
        run.failing++;
        run.crashing++;
        fprintf(stderr, "[FAIL] %s::%s: %s\n", suite, name, job->timed_out ? "timed out" : "CRASH!");
        break;
    case OUTCOME_SKIP:
        fprintf(stderr, "[SKIP] %s::%s\n", suite, name);
        break;
    }
}

static double elapsed(const struct job *job)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return difftime(now.tv_sec, job->started.tv_sec) + 1e-9 * (double)(now.tv_nsec - job->started.tv_nsec);
}

/* True once the job is over and counted. Kills its process group when its time is up. */
static bool look_after(struct job *job)
{
    int status = 0;
    if (waitpid(job->pid, &status, WNOHANG) != 0) {
        count(job, judge(job, status));
        if (elapsed(job) > SLOW)
            fprintf(stderr, "[SLOW] %s::%s: %.0f s\n", job->test->category, job->test->name, elapsed(job));
        job->pid = 0;
        return true;
    }
    if (job->timeout > 0 && elapsed(job) > job->timeout && !job->timed_out) {
        job->timed_out = true;
        kill(-job->pid, SIGKILL);
        kill(job->pid, SIGKILL);
    }
    return false;
}

/* Waits until fewer than `jobs` tests run; returns a free place. */
static struct job *wait_for_place(unsigned jobs)
{
    for (;;) {
        struct job *place = NULL;
        unsigned active = 0;
        for (unsigned i = 0; i < run.jobs; i++) {
            struct job *job = &run.running[i];
            if (job->pid == 0 || look_after(job))
                place = job;
            else
                active++;
        }
        if (active < jobs)
            return place;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

static void run_one(void *param)
{
    struct job *job = wait_for_place(run.jobs);
    current_param = param;
    fflush(NULL);
    *job =
        (struct job){.test = current_test,
                     .timeout = current_test->data->timeout > 0 ? current_test->data->timeout : run.timeout};
    clock_gettime(CLOCK_MONOTONIC, &job->started);
    job->pid = fork();
    if (job->pid == 0)
        run_in_child();
    if (job->pid < 0) {
        job->pid = 0;
        count(job, OUTCOME_CRASH);
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
    wait_for_place(1);
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
        else if (strncmp(argv[i], "-j", 2) == 0)
            run.jobs = (unsigned)strtoul(argv[i] + 2, NULL, 10);
    }
    if (run.jobs < 1 || run.jobs > JOBS_MAX)
        run.jobs = 1;

    for (struct criterion_test **test = __start_cr_tst; test < __stop_cr_tst; test++) {
        if (*test)
            run_test(*test);
    }
    wait_for_place(1);

    fprintf(stderr, "[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: %u\n",
            run.passing + run.failing, run.passing, run.failing, run.crashing);
    return run.failing > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
