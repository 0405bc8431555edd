#include "redis/subscriber.h"

#include "base/clock.h"
#include "base/log.h"
#include "redis/connect.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    CHANNEL_SIZE = 64,
    RETRY_MS = 500,
    SILENCE_MS = 10000, /* then it is asked for a sign of life; after as much again it counts as lost */
};

struct redis_subscriber {
    struct redis_target target;
    char channel[CHANNEL_SIZE];
    void (*heard)(void *context, const void *data, size_t length);
    void *context;
    pthread_t thread;
    int stop; /* eventfd: readable once the thread is to end */
};

enum wait { WAIT_READABLE, WAIT_SILENT, WAIT_STOP };

static enum wait wait_for(const redis_subscriber *s, int fd, int pause_ms)
{
    struct pollfd p[2] = {{.fd = s->stop, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    int ready = poll(p, 2, pause_ms);
    if (ready > 0 && p[0].revents)
        return WAIT_STOP;
    return ready == 0 ? WAIT_SILENT : WAIT_READABLE;
}

/* "message", channel, what was published; all else is answers to our own commands. */
static void pass_on(const redis_subscriber *s, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
        return;
    const redisReply *kind = reply->element[0], *data = reply->element[2];
    if (kind->type == REDIS_REPLY_STRING && strcmp(kind->str, "message") == 0 &&
        data->type == REDIS_REPLY_STRING)
        s->heard(s->context, data->str, data->len);
}

/* False: the connection is lost. */
static bool take_all(const redis_subscriber *s, redisContext *context)
{
    void *reply = NULL;
    if (redisBufferRead(context) != REDIS_OK)
        return false;
    while (redisGetReplyFromReader(context, &reply) == REDIS_OK) {
        if (!reply)
            return true;
        pass_on(s, reply);
        freeReplyObject(reply);
    }
    return false;
}

static bool ask_for_life(redisContext *context)
{
    int written = 0;
    if (redisAppendCommand(context, "PING") != REDIS_OK)
        return false;
    while (!written) {
        if (redisBufferWrite(context, &written) != REDIS_OK)
            return false;
    }
    return true;
}

/* False: it is time to stop. */
static bool listen_until_lost(const redis_subscriber *s, redisContext *context)
{
    bool asked = false;
    for (;;) {
        enum wait wait = wait_for(s, context->fd, SILENCE_MS);
        if (wait == WAIT_STOP)
            return false;
        if (wait == WAIT_READABLE && !take_all(s, context))
            return true;
        if (wait == WAIT_SILENT && (asked || !ask_for_life(context)))
            return true;
        asked = wait == WAIT_SILENT;
    }
}

static void *run(void *argument)
{
    redis_subscriber *s = argument;
    bool failing = false, going_on = true;
    pthread_setname_np(pthread_self(), "subscriber");
    while (going_on) {
        redisContext *context = NULL;
        error err;
        const char *subscribe[] = {"SUBSCRIBE", s->channel};
        bool good = redis_connect(&s->target, &context, &err) && redis_ask(context, 2, subscribe, &err);
        if (!good && !failing)
            log_warn("nothing is heard from Redis", LOG_TEXT("error", err.message),
                     LOG_TEXT("detail", err.detail));
        failing = !good;
        going_on = !good || listen_until_lost(s, context);
        if (context)
            redisFree(context);
        going_on = going_on && wait_for(s, -1, RETRY_MS) != WAIT_STOP;
    }
    return NULL;
}

bool redis_subscriber_new(const struct redis_options *options, const char *channel,
                          void (*heard)(void *context, const void *data, size_t length), void *context,
                          redis_subscriber **ret_subscriber, error *err)
{
    struct redis_target target;
    if (!redis_target_init(&target, options, err))
        return false;
    redis_subscriber *s = calloc(1, sizeof *s);
    if (!s)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    s->target = target;
    s->heard = heard;
    s->context = context;
    snprintf(s->channel, sizeof s->channel, "%s", channel);
    s->stop = eventfd(0, EFD_CLOEXEC);
    if (s->stop < 0 || pthread_create(&s->thread, NULL, run, s) != 0) {
        if (s->stop >= 0)
            close(s->stop);
        free(s);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "cannot start a thread");
    }
    *ret_subscriber = s;
    return true;
}

void redis_subscriber_free(redis_subscriber *s)
{
    if (!s)
        return;
    eventfd_write(s->stop, 1);
    pthread_join(s->thread, NULL);
    close(s->stop);
    free(s);
}
