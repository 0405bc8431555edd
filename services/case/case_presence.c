#include "case/case_presence.h"

#include "base/log.h"
#include "redis/client.h"
#include "redis/subscriber.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char channel[] = "casework:presence";

enum { WAITING_MAX = 1024, HOST_SIZE = 24, BATCH_MAX = 256 };

struct case_presence {
    char host[HOST_SIZE];
    void (*heard)(void *context, const char *text);
    void *context;
    redis_client *client;
    redis_subscriber *subscriber;
    pthread_t sender;
    bool sending;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    char waiting[WAITING_MAX][PRESENCE_TEXT_MAX]; /* a ring */
    size_t first, count;
    bool stopping;
};

/* "host text"; our own come back to us too. */
static void take(void *context, const void *data, size_t length)
{
    case_presence *presence = context;
    char message[HOST_SIZE + PRESENCE_TEXT_MAX];
    size_t host = strlen(presence->host);
    if (length >= sizeof message || memchr(data, '\0', length))
        return;
    memcpy(message, data, length);
    message[length] = '\0';
    const char *text = strchr(message, ' ');
    if (!text || ((size_t)(text - message) == host && strncmp(message, presence->host, host) == 0))
        return;
    presence->heard(presence->context, text + 1);
}

/* Puts what waits into a batch. False: it is time to stop. */
static bool gather(case_presence *presence, redis_batch *batch)
{
    pthread_mutex_lock(&presence->lock);
    while (presence->count == 0 && !presence->stopping)
        pthread_cond_wait(&presence->wake, &presence->lock);
    bool going_on = !presence->stopping;
    for (size_t i = 0; going_on && i < BATCH_MAX && presence->count > 0; i++) {
        char message[HOST_SIZE + PRESENCE_TEXT_MAX];
        snprintf(message, sizeof message, "%s %s", presence->host, presence->waiting[presence->first]);
        presence->first = (presence->first + 1) % WAITING_MAX;
        presence->count--;
        redis_batch_command(batch, "PUBLISH");
        redis_batch_text(batch, channel);
        redis_batch_text(batch, message);
    }
    pthread_mutex_unlock(&presence->lock);
    return going_on;
}

static void *send_all(void *argument)
{
    case_presence *presence = argument;
    redis_batch *batch = redis_batch_new();
    bool failing = false;
    while (batch && gather(presence, batch)) {
        error err;
        bool good = redis_client_run(presence->client, batch, &err);
        if (!good && !failing)
            log_warn("presence stays within this replica", LOG_TEXT("error", err.message),
                     LOG_TEXT("detail", err.detail));
        failing = !good;
        redis_batch_clear(batch);
    }
    redis_batch_free(batch);
    return NULL;
}

bool case_presence_new(const char *redis_url, const char *host,
                       void (*heard)(void *context, const char *text), void *context,
                       case_presence **ret_presence, error *err)
{
    case_presence *presence = calloc(1, sizeof *presence);
    if (!presence)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for presence");
    snprintf(presence->host, sizeof presence->host, "%s", host);
    presence->heard = heard;
    presence->context = context;
    pthread_mutex_init(&presence->lock, NULL);
    pthread_cond_init(&presence->wake, NULL);
    const struct redis_options options = {.url = redis_url};
    bool good = redis_client_new(&options, &presence->client, err) &&
                redis_subscriber_new(&options, channel, take, presence, &presence->subscriber, err);
    if (good && pthread_create(&presence->sender, NULL, send_all, presence) != 0)
        good = error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_THREAD", "no thread for presence");
    presence->sending = good;
    if (good)
        *ret_presence = presence;
    else
        case_presence_free(presence);
    return good;
}

void case_presence_free(case_presence *presence)
{
    if (!presence)
        return;
    redis_subscriber_free(presence->subscriber);
    pthread_mutex_lock(&presence->lock);
    presence->stopping = true;
    pthread_cond_signal(&presence->wake);
    pthread_mutex_unlock(&presence->lock);
    if (presence->sending)
        pthread_join(presence->sender, NULL);
    redis_client_free(presence->client);
    pthread_cond_destroy(&presence->wake);
    pthread_mutex_destroy(&presence->lock);
    free(presence);
}

void case_presence_tell(case_presence *presence, const char *text)
{
    pthread_mutex_lock(&presence->lock);
    if (presence->count < WAITING_MAX) {
        size_t at = (presence->first + presence->count++) % WAITING_MAX;
        snprintf(presence->waiting[at], PRESENCE_TEXT_MAX, "%s", text);
        pthread_cond_signal(&presence->wake);
    }
    pthread_mutex_unlock(&presence->lock);
}
