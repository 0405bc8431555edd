#ifndef CASEWORK_REDIS_SUBSCRIBER_H
#define CASEWORK_REDIS_SUBSCRIBER_H

/*
 * Hears what is published on a channel (Redis pub/sub: at most once, nothing is kept for who is away), on a
 * thread and a connection of its own. A lost or silent connection is made again.
 */

#include "base/error.h"
#include "redis/client.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct redis_subscriber redis_subscriber;

/*
 * Checks the options and starts the thread; a Redis that cannot be reached is tried again every half second.
 * `heard` gets each message as it was published; it lives until the call returns. Texts are copied.
 */
bool redis_subscriber_new(const struct redis_options *options, const char *channel,
                          void (*heard)(void *context, const void *data, size_t length), void *context,
                          redis_subscriber **ret_subscriber, error *err) __attribute__((warn_unused_result));
void redis_subscriber_free(redis_subscriber *subscriber); /* stops and joins; takes NULL */

#endif
