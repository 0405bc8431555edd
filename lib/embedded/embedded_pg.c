#include "embedded/embedded_pg.h"

#include "base/clock.h"
#include "embedded/process.h"

#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT (60 * CLOCK_SECOND) /* recovery after a crash included */
#define INITDB_TIMEOUT (120 * CLOCK_SECOND)
#define STOP_TIMEOUT (30 * CLOCK_SECOND)

enum { PATH_SIZE = 512, SETTINGS_MAX = 24 };

struct embedded_pg {
    process *server;
    char programs[PATH_SIZE];
    char place[64]; /* scratch: socket, log, and the data unless they are somewhere else */
    char data[PATH_SIZE];
    char log[PATH_SIZE];
    char url[PATH_SIZE];
    const char *user; /* to drop to, NULL when we are not root */
    bool durable;
    uint16_t port;
    char *settings[SETTINGS_MAX]; /* owned */
    size_t setting_count;
};

bool embedded_pg_find_programs(char *ret_directory, size_t size, error *err)
{
    const char *set = getenv("PG_BINDIR");
    glob_t found = {.gl_pathc = 0};
    if (set) {
        snprintf(ret_directory, size, "%s", set);
        return true;
    }
    bool any = glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) == 0 && found.gl_pathc > 0;
    if (any) {
        const char *newest = found.gl_pathv[found.gl_pathc - 1];
        snprintf(ret_directory, size, "%.*s", (int)(strrchr(newest, '/') - newest), newest);
    }
    globfree(&found);
    if (!any)
        return error_set(
            err, STATUS_FAILED_PRECONDITION, "NO_POSTGRESQL",
            "PostgreSQL's server is not installed (Debian: postgresql); PG_BINDIR names its programs");
    return true;
}

static const char *server_user(void)
{
    if (geteuid() != 0)
        return NULL;
    return getpwnam("postgres") ? "postgres" : "nobody";
}

static bool has_cluster(const char *directory)
{
    char path[PATH_SIZE + 16];
    snprintf(path, sizeof path, "%s/PG_VERSION", directory);
    return access(path, F_OK) == 0;
}

static bool give_to_user(const char *path, const char *user, bool recursive, error *err)
{
    if (!user)
        return true;
    if (!recursive) {
        const struct passwd *pw = getpwnam(user);
        if (pw && chown(path, pw->pw_uid, pw->pw_gid) == 0)
            return true;
        return error_set(err, STATUS_FAILED_PRECONDITION, "PATH", "cannot give %s to %s", path, user);
    }
    const char *const argv[] = {"chown", "-R", user, path, NULL};
    return process_run(&(struct process_options){.argv = argv}, STOP_TIMEOUT, err);
}

static bool copy_tree(const char *from, const char *to, error *err)
{
    const char *const argv[] = {"cp", "-R", "--reflink=auto", from, to, NULL};
    return process_run(&(struct process_options){.argv = argv}, INITDB_TIMEOUT, err);
}

static bool run_initdb(const embedded_pg *pg, const char *directory, error *err)
{
    char program[PATH_SIZE + 16];
    snprintf(program, sizeof program, "%s/initdb", pg->programs);
    const char *const argv[] = {program,     "-D", directory, "-U",         "casework", "--auth=trust",
                                "--no-sync", "-E", "UTF8",    "--locale=C", NULL};
    return process_run(
        &(struct process_options){
            .argv = argv, .user = pg->user, .directory = "/tmp", .output_file = pg->log},
        INITDB_TIMEOUT, err);
}

/* The template appears under its name whole or not at all, whoever else is making it at the same time. */
static bool save_template(const embedded_pg *pg, const char *template, error *err)
{
    char unfinished[PATH_SIZE];
    snprintf(unfinished, sizeof unfinished, "%s.%d", template, (int)getpid());
    if (!copy_tree(pg->data, unfinished, err))
        return false;
    if (rename(unfinished, template) != 0)
        process_remove_tree(unfinished);
    return true;
}

static bool make_cluster(const embedded_pg *pg, const char *template, error *err)
{
    if (has_cluster(pg->data))
        return true;
    if (template && has_cluster(template)) {
        rmdir(pg->data); /* cp puts the tree inside a directory that is there */
        return copy_tree(template, pg->data, err) && give_to_user(pg->data, pg->user, true, err);
    }
    if (!process_make_directory(pg->data, err) || !give_to_user(pg->data, pg->user, false, err) ||
        !run_initdb(pg, pg->data, err))
        return false;
    return !template || save_template(pg, template, err);
}

/* The postmaster writes its state into the last line of its lock file (src/include/utils/pidfile.h). */
static bool is_ready(const embedded_pg *pg)
{
    char path[PATH_SIZE + 32], line[PATH_SIZE];
    bool ready = false;
    snprintf(path, sizeof path, "%s/postmaster.pid", pg->data);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    long pid = fgets(line, sizeof line, f) ? strtol(line, NULL, 10) : 0;
    while (fgets(line, sizeof line, f))
        ready = strncmp(line, "ready", 5) == 0;
    fclose(f);
    return ready && pid == process_pid(pg->server);
}

static bool await_ready(embedded_pg *pg, error *err)
{
    int64_t until = clock_monotonic_us() + START_TIMEOUT;
    while (process_running(pg->server) && clock_monotonic_us() < until) {
        if (is_ready(pg))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    char tail[200];
    process_log_tail(pg->log, tail, sizeof tail);
    error_set(err, STATUS_UNAVAILABLE, "NO_POSTGRESQL", "PostgreSQL does not start, see %s", pg->log);
    error_add_detail(err, "%s", tail);
    return false;
}

static bool start_once(embedded_pg *pg, error *err)
{
    char program[PATH_SIZE + 16];
    const char *argv[8 + 2 * SETTINGS_MAX];
    size_t count = 0;
    snprintf(program, sizeof program, "%s/postgres", pg->programs);
    argv[count++] = program;
    argv[count++] = "-D";
    argv[count++] = pg->data;
    for (size_t i = 0; i < pg->setting_count; i++) {
        argv[count++] = "-c";
        argv[count++] = pg->settings[i];
    }
    argv[count] = NULL;
    const struct process_options options = {.argv = argv,
                                            .user = pg->user,
                                            .directory = "/tmp",
                                            .output_file = pg->log,
                                            .death_signal = pg->durable ? SIGINT : SIGQUIT};
    if (!process_start(&options, &pg->server, err))
        return false;
    if (await_ready(pg, err))
        return true;
    process_free(pg->server);
    pg->server = NULL;
    return false;
}

/* After a crash of all its processes some may take a moment to be gone; the server refuses to start beside
 * them. */
static bool is_hindered_by_the_dying(const error *err)
{
    return strstr(err->detail, "is still in use") ||
           strstr(err->detail, "Terminate any old server processes");
}

bool embedded_pg_restart(embedded_pg *pg, error *err)
{
    error why = {.code = STATUS_OK};
    int64_t until = clock_monotonic_us() + STOP_TIMEOUT;
    while (!pg->server && !start_once(pg, &why)) {
        if (!is_hindered_by_the_dying(&why) || clock_monotonic_us() > until) {
            *err = why;
            return false;
        }
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    return true;
}

static void add_setting(embedded_pg *pg, const char *text)
{
    if (pg->setting_count < SETTINGS_MAX && (pg->settings[pg->setting_count] = strdup(text)))
        pg->setting_count++;
}

static void choose_settings(embedded_pg *pg, bool keeps_data, const char *const *more)
{
    char text[128];
    snprintf(text, sizeof text, "unix_socket_directories=%s", pg->place);
    add_setting(pg, text);
    snprintf(text, sizeof text, "port=%u", pg->port ? pg->port : 5432u);
    add_setting(pg, text);
    add_setting(pg, pg->port ? "listen_addresses=127.0.0.1" : "listen_addresses=");
    add_setting(pg, "log_timezone=UTC");
    add_setting(pg, "log_error_verbosity=terse"); /* the details of an error may quote a customer's address */
    add_setting(pg, "timezone=UTC");
    add_setting(pg, "max_connections=200");
    if (!keeps_data)
        add_setting(pg, "dynamic_shared_memory_type=mmap"); /* goes with the directory, whoever is killed */
    if (!pg->durable) {
        add_setting(pg, "fsync=off");
        add_setting(pg, "full_page_writes=off");
    }
    for (size_t i = 0; more && more[i]; i++)
        add_setting(pg, more[i]);
    snprintf(pg->url, sizeof pg->url, "postgresql:///postgres?host=%s&port=%u&user=casework", pg->place,
             pg->port ? pg->port : 5432u);
}

static bool prepare(embedded_pg *pg, const struct embedded_pg_options *options, error *err)
{
    if (!process_make_scratch("casework-pg", pg->place, sizeof pg->place, err))
        return false;
    pg->user = server_user();
    pg->durable = options->durable;
    pg->port = options->port;
    if (options->data_directory)
        snprintf(pg->data, sizeof pg->data, "%s", options->data_directory);
    else
        snprintf(pg->data, sizeof pg->data, "%s/data", pg->place);
    snprintf(pg->log, sizeof pg->log, "%s/postgresql.log", pg->place);
    choose_settings(pg, options->data_directory != NULL, options->settings);
    return embedded_pg_find_programs(pg->programs, sizeof pg->programs, err) &&
           give_to_user(pg->place, pg->user, false, err) &&
           make_cluster(pg, options->template_directory, err);
}

bool embedded_pg_start(const struct embedded_pg_options *options, embedded_pg **ret_pg, error *err)
{
    embedded_pg *pg = calloc(1, sizeof *pg);
    if (!pg)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    if (!prepare(pg, options, err) || !embedded_pg_restart(pg, err)) {
        embedded_pg_free(pg);
        return false;
    }
    *ret_pg = pg;
    return true;
}

/* Backends are in sessions of their own: each has to be killed by itself, found as a child of the postmaster.
 */
static void kill_all(pid_t postmaster)
{
    char path[64], line[4096];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)postmaster, (int)postmaster);
    kill(postmaster, SIGSTOP); /* no new ones while we look */
    FILE *f = fopen(path, "re");
    size_t length = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f)
        fclose(f);
    line[length] = '\0';
    char *rest = NULL;
    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        kill((pid_t)strtol(word, NULL, 10), SIGKILL);
    kill(postmaster, SIGKILL);
}

void embedded_pg_stop(embedded_pg *pg, enum embedded_pg_stop how)
{
    if (!pg->server)
        return;
    if (how == EMBEDDED_PG_KILL && process_running(pg->server))
        kill_all(process_pid(pg->server));
    process_stop(pg->server, how == EMBEDDED_PG_FAST ? SIGINT : SIGQUIT, STOP_TIMEOUT);
    process_free(pg->server);
    pg->server = NULL;
}

void embedded_pg_free(embedded_pg *pg)
{
    if (!pg)
        return;
    embedded_pg_stop(pg, EMBEDDED_PG_FAST);
    if (pg->place[0])
        process_remove_tree(pg->place);
    for (size_t i = 0; i < pg->setting_count; i++)
        free(pg->settings[i]);
    free(pg);
}

const char *embedded_pg_url(const embedded_pg *pg)
{
    return pg->url;
}

const char *embedded_pg_log_file(const embedded_pg *pg)
{
    return pg->log;
}

const char *embedded_pg_data_directory(const embedded_pg *pg)
{
    return pg->data;
}

pid_t embedded_pg_pid(const embedded_pg *pg)
{
    return pg->server ? process_pid(pg->server) : 0;
}

bool embedded_pg_running(embedded_pg *pg)
{
    return pg->server && process_running(pg->server);
}
