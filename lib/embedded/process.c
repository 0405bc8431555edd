#include "embedded/process.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define POLL_INTERVAL (2 * CLOCK_SECOND / 1000)

struct process {
    pid_t pid;
    bool ended;
    int status;
};

/* Everything the child needs, made ready before the fork: after it only async-signal-safe calls are allowed.
 */
struct launch {
    const struct process_options *options;
    char **environment;
    bool change_user;
    uid_t uid;
    gid_t gid;
    pid_t parent;
    int report; /* gets errno when the program could not be started */
};

static char **environment_with(const char *const *settings)
{
    size_t ours = 0, more = 0;
    while (environ && environ[ours])
        ours++;
    while (settings && settings[more])
        more++;
    char **all = calloc(ours + more + 1, sizeof *all);
    if (!all)
        return NULL;
    size_t count = 0;
    for (size_t i = 0; i < more; i++)
        all[count++] = (char *)settings[i]; /* the first of a name wins in getenv */
    for (size_t i = 0; i < ours; i++) {
        size_t name = strcspn(environ[i], "=") + 1;
        bool replaced = false;
        for (size_t j = 0; j < more; j++)
            replaced |= strncmp(environ[i], settings[j], name) == 0;
        if (!replaced)
            all[count++] = environ[i];
    }
    return all;
}

static int become_user(const struct launch *l)
{
    if (!l->change_user)
        return 0;
    if (setgroups(0, NULL) != 0 || setgid(l->gid) != 0 || setuid(l->uid) != 0)
        return -1;
    return 0;
}

static int redirect_output(const char *file)
{
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        return -1;
    if (!file)
        return 0;
    int out = open(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (out < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
        return -1;
    return 0;
}

/* The parent's death is only told to a child that asked for it after its last change of user. */
static int follow_parent(const struct launch *l)
{
    int number = l->options->death_signal ? l->options->death_signal : SIGKILL;
    if (number < 0)
        return 0;
    if (prctl(PR_SET_PDEATHSIG, number) != 0)
        return -1;
    return getppid() == l->parent ? 0 : -1;
}

static _Noreturn void become_program(const struct launch *l)
{
    sigset_t none;
    sigemptyset(&none);
    setpgid(0, 0);
    int report = fcntl(l->report, F_DUPFD_CLOEXEC, 3);
    if (report >= 0 && redirect_output(l->options->output_file) == 0) {
        if (report > 3) {
            dup3(report, 3, O_CLOEXEC);
            report = 3;
        }
        close_range(4, ~0u, 0);
        for (int s = 1; s < NSIG; s++)
            signal(s, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (become_user(l) == 0 && (!l->options->directory || chdir(l->options->directory) == 0) &&
            follow_parent(l) == 0)
            execvpe(l->options->argv[0], (char *const *)l->options->argv, l->environment);
    }
    int why = errno;
    if (write(report, &why, sizeof why) < 0)
        _exit(126);
    _exit(127);
}

static bool find_user(struct launch *l, error *err)
{
    if (!l->options->user || geteuid() != 0)
        return true;
    const struct passwd *user = getpwnam(l->options->user);
    if (!user)
        return error_set(err, STATUS_FAILED_PRECONDITION, "NO_USER", "there is no user %s", l->options->user);
    l->change_user = true;
    l->uid = user->pw_uid;
    l->gid = user->pw_gid;
    return true;
}

static bool launch(struct launch *l, process **ret_process, error *err)
{
    int ends[2];
    int why = 0;
    process *p = calloc(1, sizeof *p);
    if (!p || pipe2(ends, O_CLOEXEC) != 0) {
        free(p);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "PROCESS", "cannot start %s", l->options->argv[0]);
    }
    l->report = ends[1];
    l->parent = getpid();
    p->pid = fork();
    if (p->pid == 0)
        become_program(l);
    close(ends[1]);
    /* The pipe closes by itself when the program has been started. */
    bool failed = p->pid < 0 || read(ends[0], &why, sizeof why) > 0;
    close(ends[0]);
    if (failed) {
        if (p->pid > 0)
            waitpid(p->pid, NULL, 0);
        free(p);
        return error_set(err, STATUS_FAILED_PRECONDITION, "PROCESS", "cannot start %s: %s",
                         l->options->argv[0], strerror(why ? why : errno));
    }
    *ret_process = p;
    return true;
}

bool process_start(const struct process_options *options, process **ret_process, error *err)
{
    struct launch l = {.options = options};
    if (!find_user(&l, err))
        return false;
    l.environment = environment_with(options->settings);
    if (!l.environment)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    bool good = launch(&l, ret_process, err);
    free(l.environment);
    return good;
}

pid_t process_pid(const process *p)
{
    return p->pid;
}

bool process_running(process *p)
{
    if (!p->ended && waitpid(p->pid, &p->status, WNOHANG) != 0)
        p->ended = true;
    return !p->ended;
}

bool process_wait(process *p, int64_t deadline_us, int *ret_status)
{
    while (process_running(p)) {
        if (clock_monotonic_us() >= deadline_us)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = POLL_INTERVAL * 1000}, NULL);
    }
    if (ret_status)
        *ret_status = p->status;
    return true;
}

void process_signal(process *p, int signal_number)
{
    if (process_running(p))
        kill(p->pid, signal_number);
}

void process_stop(process *p, int signal_number, int64_t grace_us)
{
    process_signal(p, signal_number);
    if (process_wait(p, clock_monotonic_us() + grace_us, NULL))
        return;
    process_signal(p, SIGKILL);
    process_wait(p, clock_monotonic_us() + 10 * CLOCK_SECOND, NULL);
}

void process_free(process *p)
{
    if (!p)
        return;
    process_stop(p, SIGKILL, CLOCK_SECOND);
    free(p);
}

bool process_run(const struct process_options *options, int64_t timeout_us, error *err)
{
    process *p;
    int status = 0;
    if (!process_start(options, &p, err))
        return false;
    bool ended = process_wait(p, clock_monotonic_us() + timeout_us, &status);
    process_free(p);
    if (ended && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    error_set(err, STATUS_FAILED_PRECONDITION, "PROCESS", "%s %s", options->argv[0],
              ended ? "failed" : "took too long");
    if (options->output_file) {
        char tail[200];
        process_log_tail(options->output_file, tail, sizeof tail);
        error_add_detail(err, "%s", tail);
    }
    return false;
}

/* Whatever the umask: a directory that the servers' users cannot pass would keep them from their own. */
static bool make_one(const char *path, mode_t mode, error *err)
{
    if (mkdir(path, mode) == 0 ? chmod(path, mode) == 0 : errno == EEXIST || errno == EISDIR)
        return true;
    return error_set(err, STATUS_FAILED_PRECONDITION, "PATH", "cannot make %s: %s", path, strerror(errno));
}

bool process_make_directory(const char *path, error *err)
{
    char part[4096];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        return error_set(err, STATUS_INVALID_ARGUMENT, "PATH", "not a usable path: %s", path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    for (size_t i = 1; i <= length; i++) {
        if (i < length && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (!make_one(part, i < length && geteuid() == 0 ? 0755 : 0700, err))
            return false;
    }
    return true;
}

bool process_make_scratch(const char *prefix, char *ret_path, size_t size, error *err)
{
    enum { PARENT_LIMIT = 32 };
    const char *parent = getenv("TMPDIR");
    if (!parent || parent[0] != '/' || strlen(parent) > PARENT_LIMIT)
        parent = "/tmp";
    int length = snprintf(ret_path, size, "%s/%s-XXXXXX", parent, prefix);
    if (length > 0 && (size_t)length < size && mkdtemp(ret_path))
        return true;
    ret_path[0] = '\0';
    return error_set(err, STATUS_FAILED_PRECONDITION, "PATH", "cannot make a directory in %s", parent);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    (void)remove(path); /* what cannot go must not keep the rest */
    return 0;
}

void process_remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void process_log_tail(const char *path, char *ret_text, size_t size)
{
    ret_text[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    off_t end = lseek(fd, 0, SEEK_END);
    off_t start = end > (off_t)size - 1 ? end - ((off_t)size - 1) : 0;
    ssize_t got = pread(fd, ret_text, size - 1, start);
    ret_text[got > 0 ? got : 0] = '\0';
    close(fd);
}
