#include "tests/support/redis_group.h"

#include "base/clock.h"
#include "embedded/port.h"
#include "embedded/process.h"
#include "tests/support/redis_server.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 16384, PORT_TEXT = 8, URL_SIZE = 160, PATH_SIZE = 64 };

#define WAIT_US (20 * CLOCK_SECOND)

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "private Redis servers: %s\n", what);
    abort();
}

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

static redisContext *connect_to(uint16_t port)
{
    const struct timeval timeout = {.tv_sec = 5};
    redisContext *context = redisConnectWithTimeout("127.0.0.1", port, timeout);
    if (!context || context->err || redisSetTimeout(context, timeout) != REDIS_OK)
        give_up("cannot connect");
    return context;
}

/* One command at a port; the caller frees the reply, which is never an error. */
static redisReply *ask(uint16_t port, const char *format, ...)
{
    va_list arguments;
    redisContext *context = connect_to(port);
    va_start(arguments, format);
    redisReply *reply = redisvCommand(context, format, arguments);
    va_end(arguments);
    if (!reply)
        give_up(context->errstr);
    if (reply->type == REDIS_REPLY_ERROR) {
        fprintf(stderr, "%s: ", format);
        give_up(reply->str);
    }
    redisFree(context);
    return reply;
}

static bool says(uint16_t port, const char *command, const char *text)
{
    redisReply *reply = ask(port, command);
    bool found = reply->str && strstr(reply->str, text);
    freeReplyObject(reply);
    return found;
}

static void await_saying(uint16_t port, const char *command, const char *text)
{
    int64_t until_us = clock_monotonic_us() + WAIT_US;
    while (!says(port, command, text)) {
        if (clock_monotonic_us() >= until_us)
            give_up(text);
        pause_briefly();
    }
}

static embedded_redis *start_at(uint16_t port, const char *const *settings)
{
    const struct embedded_redis_options options = {.port = port, .settings = settings};
    embedded_redis *redis;
    error err;
    if (!embedded_redis_start(&options, &redis, &err))
        give_up(err.message);
    return redis;
}

/* --- sentinel ------------------------------------------------------------------------------------- */

struct redis_watched {
    embedded_redis *servers[2];
    uint16_t ports[2], sentinel_port;
    process *sentinel;
    char directory[PATH_SIZE];
    char url[URL_SIZE];
};

static void write_settings(const struct redis_watched *w, const char *path)
{
    FILE *f = fopen(path, "we");
    if (!f || fprintf(f,
                      "port %u\nbind 127.0.0.1\ndir %s\nlogfile %s/sentinel.log\n"
                      "sentinel monitor timers 127.0.0.1 %u 1\nsentinel down-after-milliseconds timers 300\n"
                      "sentinel failover-timeout timers 1000\n",
                      w->sentinel_port, w->directory, w->directory, w->ports[0]) < 0)
        give_up("no settings for the sentinel");
    fclose(f);
}

static void start_sentinel(struct redis_watched *w)
{
    char path[PATH_SIZE + 16];
    error err;
    snprintf(w->directory, sizeof w->directory, "/tmp/casework-sentinel-XXXXXX");
    if (!mkdtemp(w->directory))
        give_up("no directory in /tmp");
    w->sentinel_port = port_reserve();
    snprintf(path, sizeof path, "%s/sentinel.conf", w->directory);
    write_settings(w, path);
    const char *const argv[] = {"redis-server", path, "--sentinel", NULL};
    if (!process_start(&(struct process_options){.argv = argv, .death_signal = SIGKILL}, &w->sentinel, &err))
        give_up(err.message);
    for (int64_t until_us = clock_monotonic_us() + WAIT_US;; pause_briefly()) {
        redisContext *context = redisConnect("127.0.0.1", w->sentinel_port);
        bool up = context && !context->err;
        redisFree(context);
        if (up)
            break;
        if (clock_monotonic_us() >= until_us)
            give_up("the sentinel does not start");
    }
}

redis_watched *redis_watched_start(void)
{
    redis_watched *w = calloc(1, sizeof *w);
    char port[PORT_TEXT];
    w->ports[0] = port_reserve();
    w->servers[0] = start_at(w->ports[0], (const char *const[]){"--repl-diskless-sync-delay", "0", NULL});
    w->ports[1] = port_reserve();
    snprintf(port, sizeof port, "%u", w->ports[0]);
    w->servers[1] = start_at(w->ports[1], (const char *const[]){"--replicaof", "127.0.0.1", port,
                                                                "--repl-diskless-sync-delay", "0", NULL});
    await_saying(w->ports[1], "INFO replication", "master_link_status:up");
    start_sentinel(w);
    await_saying(w->sentinel_port, "INFO sentinel", "status=ok,address");
    await_saying(w->sentinel_port, "INFO sentinel", "slaves=1");
    snprintf(w->url, sizeof w->url, "redis+sentinel://127.0.0.1:%u,127.0.0.1:%u/timers", port_reserve(),
             w->sentinel_port);
    return w;
}

void redis_watched_free(redis_watched *w)
{
    if (!w)
        return;
    process_stop(w->sentinel, SIGKILL, WAIT_US);
    process_free(w->sentinel);
    embedded_redis_free(w->servers[0]);
    embedded_redis_free(w->servers[1]);
    process_remove_tree(w->directory);
    free(w);
}

const char *redis_watched_url(const redis_watched *w)
{
    return w->url;
}

int redis_watched_master(redis_watched *w)
{
    redisReply *reply = ask(w->sentinel_port, "SENTINEL GET-MASTER-ADDR-BY-NAME timers");
    if (reply->elements != 2)
        give_up("the sentinel knows no master");
    int which = strtol(reply->element[1]->str, NULL, 10) == w->ports[1];
    freeReplyObject(reply);
    return which;
}

embedded_redis *redis_watched_server(redis_watched *w, int which)
{
    return w->servers[which];
}

static void await_other(redis_watched *w, int former)
{
    for (int64_t until_us = clock_monotonic_us() + WAIT_US; redis_watched_master(w) == former;
         pause_briefly())
        if (clock_monotonic_us() >= until_us)
            give_up("the sentinel does not fail over");
    await_saying(w->ports[!former], "INFO replication", "role:master");
}

void redis_watched_switch(redis_watched *w)
{
    int former = redis_watched_master(w);
    redisContext *context = connect_to(w->sentinel_port);
    bool begun = false;
    for (int64_t until_us = clock_monotonic_us() + WAIT_US; !begun; pause_briefly()) {
        redisReply *reply =
            redisCommand(context, "SENTINEL FAILOVER timers"); /* refused while it knows little */
        begun = reply && reply->type == REDIS_REPLY_STATUS;
        if (!begun && clock_monotonic_us() >= until_us)
            give_up(reply ? reply->str : context->errstr);
        freeReplyObject(reply);
    }
    redisFree(context);
    await_other(w, former);
}

void redis_watched_kill_master(redis_watched *w)
{
    int former = redis_watched_master(w);
    embedded_redis_stop(w->servers[former], true);
    await_other(w, former);
}

/* --- cluster -------------------------------------------------------------------------------------- */

struct redis_cluster_group {
    embedded_redis *servers[REDIS_CLUSTER_NODES];
    uint16_t ports[REDIS_CLUSTER_NODES], buses[REDIS_CLUSTER_NODES];
    char ids[REDIS_CLUSTER_NODES][48];
    char url[URL_SIZE];
};

static void start_node(redis_cluster_group *g, int node)
{
    char bus[PORT_TEXT];
    g->buses[node] = port_reserve();
    g->ports[node] = port_reserve();
    snprintf(bus, sizeof bus, "%u", g->buses[node]);
    g->servers[node] =
        start_at(g->ports[node], (const char *const[]){"--cluster-enabled", "yes", "--cluster-node-timeout",
                                                       "2000", "--cluster-port", bus,
                                                       "--cluster-allow-replica-migration", "no", NULL});
    redisReply *id = ask(g->ports[node], "CLUSTER MYID");
    snprintf(g->ids[node], sizeof g->ids[node], "%s", id->str);
    freeReplyObject(id);
    freeReplyObject(ask(g->ports[node], "CLUSTER ADDSLOTSRANGE %d %d", node * SLOTS / REDIS_CLUSTER_NODES,
                        (node + 1) * SLOTS / REDIS_CLUSTER_NODES - 1));
    freeReplyObject(ask(g->ports[node], "CLUSTER SET-CONFIG-EPOCH %d", node + 1));
}

redis_cluster_group *redis_cluster_start(void)
{
    redis_cluster_group *g = calloc(1, sizeof *g);
    for (int node = 0; node < REDIS_CLUSTER_NODES; node++)
        start_node(g, node);
    for (int node = 1; node < REDIS_CLUSTER_NODES; node++)
        freeReplyObject(ask(g->ports[0], "CLUSTER MEET 127.0.0.1 %d %d", g->ports[node], g->buses[node]));
    for (int node = 0; node < REDIS_CLUSTER_NODES; node++) {
        await_saying(g->ports[node], "CLUSTER INFO", "cluster_state:ok");
        await_saying(g->ports[node], "CLUSTER INFO", "cluster_known_nodes:3");
    }
    snprintf(g->url, sizeof g->url, "redis+cluster://127.0.0.1:%u", g->ports[1]);
    return g;
}

void redis_cluster_group_free(redis_cluster_group *g)
{
    if (!g)
        return;
    for (int node = 0; node < REDIS_CLUSTER_NODES; node++)
        embedded_redis_free(g->servers[node]);
    free(g);
}

const char *redis_cluster_url(const redis_cluster_group *g)
{
    return g->url;
}

embedded_redis *redis_cluster_server(redis_cluster_group *g, int node)
{
    return g->servers[node];
}

int redis_cluster_owner(redis_cluster_group *g, int slot)
{
    redisReply *slots = ask(g->ports[0], "CLUSTER SLOTS");
    int owner = -1;
    for (size_t i = 0; i < slots->elements; i++) {
        const redisReply *range = slots->element[i];
        if (slot < range->element[0]->integer || slot > range->element[1]->integer)
            continue;
        for (int node = 0; node < REDIS_CLUSTER_NODES; node++)
            if (range->element[2]->element[1]->integer == g->ports[node])
                owner = node;
    }
    freeReplyObject(slots);
    if (owner < 0)
        give_up("nobody serves the slot");
    return owner;
}

/* Moves the next keys; how many. */
static int move_keys(redis_cluster_group *g, int slot, int from, int to, int most)
{
    redisReply *keys = ask(g->ports[from], "CLUSTER GETKEYSINSLOT %d %d", slot, most);
    int moved = (int)keys->elements;
    for (size_t i = 0; i < keys->elements; i++)
        freeReplyObject(ask(g->ports[from], "MIGRATE 127.0.0.1 %d %b 0 5000", g->ports[to],
                            keys->element[i]->str, keys->element[i]->len));
    freeReplyObject(keys);
    return moved;
}

int redis_cluster_move(redis_cluster_group *g, int slot, int to, void (*half)(void *context), void *context)
{
    int from = redis_cluster_owner(g, slot);
    int total = 0;
    freeReplyObject(ask(g->ports[to], "CLUSTER SETSLOT %d IMPORTING %s", slot, g->ids[from]));
    freeReplyObject(ask(g->ports[from], "CLUSTER SETSLOT %d MIGRATING %s", slot, g->ids[to]));
    redisReply *count = ask(g->ports[from], "CLUSTER COUNTKEYSINSLOT %d", slot);
    int first = (int)(count->integer / 2);
    freeReplyObject(count);
    if (first > 0)
        total += move_keys(g, slot, from, to, first);
    if (half)
        half(context);
    for (int moved = 1; moved > 0; total += moved)
        moved = move_keys(g, slot, from, to, 100);
    freeReplyObject(ask(g->ports[to], "CLUSTER SETSLOT %d NODE %s", slot, g->ids[to]));
    for (int node = 0; node < REDIS_CLUSTER_NODES; node++)
        freeReplyObject(ask(g->ports[node], "CLUSTER SETSLOT %d NODE %s", slot, g->ids[to]));
    return total;
}
