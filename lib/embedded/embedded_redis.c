#include "embedded/embedded_redis.h"

#include "base/clock.h"
#include "embedded/process.h"

#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT (30 * CLOCK_SECOND)
#define STOP_TIMEOUT (10 * CLOCK_SECOND)

enum { PATH_SIZE = 512, SETTINGS_MAX = 16 };

struct embedded_redis {
    process *server;
    char place[64]; /* scratch: socket, log, and the data unless they are somewhere else */
    char data[PATH_SIZE];
    char log[PATH_SIZE];
    char socket[96];
    char url[128];
    const char *user; /* to drop to, NULL when we are not root */
    bool append_only;
    uint16_t port;
    char *settings[SETTINGS_MAX]; /* owned */
    size_t setting_count;
};

static const char *server_user(void)
{
    if (geteuid() != 0)
        return NULL;
    return getpwnam("redis") ? "redis" : "nobody";
}

static bool give_to_user(const char *path, const char *user, error *err)
{
    const struct passwd *pw = user ? getpwnam(user) : NULL;
    if (!user || (pw && chown(path, pw->pw_uid, pw->pw_gid) == 0))
        return true;
    return error_set(err, STATUS_FAILED_PRECONDITION, "PATH", "cannot give %s to %s", path, user);
}

/* "+PONG", and not "-LOADING" while it still reads its file. */
static bool answers(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char reply[16] = "";
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return false;
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 1}, sizeof(struct timeval));
    bool good = connect(s, (struct sockaddr *)&address, sizeof address) == 0 &&
                send(s, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && recv(s, reply, sizeof reply - 1, 0) > 0 &&
                strncmp(reply, "+PONG", 5) == 0;
    close(s);
    return good;
}

static bool await_ready(embedded_redis *redis, error *err)
{
    int64_t until = clock_monotonic_us() + START_TIMEOUT;
    while (process_running(redis->server) && clock_monotonic_us() < until) {
        if (answers(redis->socket))
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    char tail[200];
    process_log_tail(redis->log, tail, sizeof tail);
    error_set(err, STATUS_UNAVAILABLE, "NO_REDIS", "Redis does not start, see %s", redis->log);
    error_add_detail(err, "%s", tail);
    return false;
}

bool embedded_redis_restart(embedded_redis *redis, error *err)
{
    char port[8];
    if (redis->server)
        return true;
    snprintf(port, sizeof port, "%u", redis->port);
    const char *argv[24 + SETTINGS_MAX] = {"redis-server",
                                           "--port",
                                           port,
                                           "--bind",
                                           "127.0.0.1",
                                           "--unixsocket",
                                           redis->socket,
                                           "--dir",
                                           redis->data,
                                           "--save",
                                           "",
                                           "--appendonly",
                                           redis->append_only ? "yes" : "no",
                                           "--daemonize",
                                           "no"};
    size_t count = 15;
    for (size_t i = 0; i < redis->setting_count; i++)
        argv[count++] = redis->settings[i];
    argv[count] = NULL;
    const struct process_options options = {.argv = argv,
                                            .user = redis->user,
                                            .directory = redis->data,
                                            .output_file = redis->log,
                                            .death_signal = SIGTERM};
    unlink(redis->socket);
    if (!process_start(&options, &redis->server, err))
        return false;
    if (await_ready(redis, err))
        return true;
    process_free(redis->server);
    redis->server = NULL;
    return false;
}

static bool prepare(embedded_redis *redis, const struct embedded_redis_options *options, error *err)
{
    if (!process_make_scratch("casework-redis", redis->place, sizeof redis->place, err))
        return false;
    redis->user = server_user();
    redis->append_only = options->append_only;
    redis->port = options->port;
    snprintf(redis->data, sizeof redis->data, "%s",
             options->data_directory ? options->data_directory : redis->place);
    snprintf(redis->log, sizeof redis->log, "%s/redis.log", redis->place);
    snprintf(redis->socket, sizeof redis->socket, "%s/redis.sock", redis->place);
    snprintf(redis->url, sizeof redis->url, "unix://%s", redis->socket);
    for (size_t i = 0; options->settings && options->settings[i] && redis->setting_count < SETTINGS_MAX; i++)
        if ((redis->settings[redis->setting_count] = strdup(options->settings[i])))
            redis->setting_count++;
    return process_make_directory(redis->data, err) && give_to_user(redis->data, redis->user, err) &&
           give_to_user(redis->place, redis->user, err);
}

bool embedded_redis_start(const struct embedded_redis_options *options, embedded_redis **ret_redis,
                          error *err)
{
    embedded_redis *redis = calloc(1, sizeof *redis);
    if (!redis)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    if (!prepare(redis, options, err) || !embedded_redis_restart(redis, err)) {
        embedded_redis_free(redis);
        return false;
    }
    *ret_redis = redis;
    return true;
}

void embedded_redis_stop(embedded_redis *redis, bool crash)
{
    if (!redis->server)
        return;
    process_stop(redis->server, crash ? SIGKILL : SIGTERM, STOP_TIMEOUT);
    process_free(redis->server);
    redis->server = NULL;
}

void embedded_redis_free(embedded_redis *redis)
{
    if (!redis)
        return;
    embedded_redis_stop(redis, false);
    if (redis->place[0])
        process_remove_tree(redis->place);
    for (size_t i = 0; i < redis->setting_count; i++)
        free(redis->settings[i]);
    free(redis);
}

const char *embedded_redis_url(const embedded_redis *redis)
{
    return redis->url;
}

const char *embedded_redis_log_file(const embedded_redis *redis)
{
    return redis->log;
}

pid_t embedded_redis_pid(const embedded_redis *redis)
{
    return redis->server ? process_pid(redis->server) : 0;
}

bool embedded_redis_running(embedded_redis *redis)
{
    return redis->server && process_running(redis->server);
}
