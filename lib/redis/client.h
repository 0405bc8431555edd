#ifndef CASEWORK_REDIS_CLIENT_H
#define CASEWORK_REDIS_CLIENT_H

/*
 * A connection to Redis that takes batches: commands are put together as argument vectors (no command text is
 * ever parsed from a string), sent in one go, and their replies read in order.
 *
 * Every wait is bounded: by connect_timeout_us for connecting, by command_timeout_us for each read and write.
 * A lost connection is made again when the next batch comes, not before a backoff (50 ms doubling to 2 s) has
 * passed since the last attempt failed; until then batches fail at once. What cannot be reached, is loading,
 * read-only, out of memory or failing over is UNAVAILABLE, a command that Redis refuses for another reason is
 * INTERNAL.
 *
 * When a connection that was good before turns out to be gone, the batch is sent once more on a new one. A
 * batch must therefore be safe to run twice.
 *
 * With sentinels each new connection leads to the master of the day; who is no master any more refuses, is
 * UNAVAILABLE, and is left. With a cluster a batch is split by slots, and each part goes to its node; MOVED
 * and ASK are followed, and a slot on its way is waited for no longer than one command may take. Commands of
 * a batch that go to different nodes are not in order with each other. (Redis Sentinel: "Guidelines for Redis
 * clients"; Redis Cluster specification.)
 *
 * Thread-safe: one batch at a time goes over a client. SIGPIPE is ignored by the process from the first
 * client on, unless it has a handler.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_options {
    const char *url;            /* see redis/url.h */
    int64_t connect_timeout_us; /* 0: 1 s */
    int64_t command_timeout_us; /* 0: 2 s */
};

typedef struct redis_client redis_client;

/* Checks the options; connects with the first batch. */
bool redis_client_new(const struct redis_options *options, redis_client **ret_client, error *err)
    __attribute__((warn_unused_result));
void redis_client_free(redis_client *client); /* takes NULL; no batch may be under way */

/* A Lua script, run by its SHA-1 and loaded where it is not known (Redis 2.6, EVALSHA, NOSCRIPT). */
struct redis_script {
    const char *source;
    char sha1[41]; /* filled by redis_script_init */
};

/* Once before first use; the same again does no harm, but not from two threads at once. */
void redis_script_init(struct redis_script *script);

typedef struct redis_batch redis_batch;

/* A batch belongs to one thread. NULL when memory is out. Later failures of memory show when the batch is
 * run. */
redis_batch *redis_batch_new(void);
void redis_batch_free(redis_batch *batch);  /* takes NULL */
void redis_batch_clear(redis_batch *batch); /* forgets commands and replies */

/* The next command, by its name; the arguments follow. Texts are copied. */
void redis_batch_command(redis_batch *batch, const char *name);
/* A call of `script` (which must outlive the batch) with `key_count` keys, which are the first arguments that
 * follow. */
void redis_batch_script(redis_batch *batch, const struct redis_script *script, int64_t key_count);
void redis_batch_text(redis_batch *batch, const char *text);
void redis_batch_bytes(redis_batch *batch, const void *data, size_t length);
void redis_batch_number(redis_batch *batch, int64_t number);

/* Commands in the batch. */
size_t redis_batch_count(const redis_batch *batch);

/*
 * Sends the batch and reads all replies. False when Redis could not be asked (some commands may have been
 * done all the same), or when it refused a command: then err tells the first refusal, and the replies are
 * there. An empty batch does nothing.
 */
bool redis_client_run(redis_client *client, redis_batch *batch, error *err)
    __attribute__((warn_unused_result));

/*
 * Commands that have no key, and have to be given to every node that holds data: how many there are (1 unless
 * it is a cluster), and a batch for one of them, by number. Nodes come and go; then it is UNAVAILABLE, or
 * some are asked twice.
 */
bool redis_client_nodes(redis_client *client, int *ret_count, error *err) __attribute__((warn_unused_result));
bool redis_client_run_at(redis_client *client, int node, redis_batch *batch, error *err)
    __attribute__((warn_unused_result));

/* A reply; owned by its batch until the batch is cleared, run again or freed. */
typedef struct redisReply redis_reply;

/* The reply to the command of that index. NULL before a successful run. */
const redis_reply *redis_batch_reply(const redis_batch *batch, size_t index);

bool redis_reply_is_nil(const redis_reply *reply); /* also true for NULL */
/* Text of a string or status reply, NUL-terminated; "" for another kind. */
const char *redis_reply_text(const redis_reply *reply);
size_t redis_reply_length(const redis_reply *reply);
/* Of an integer reply, or of a string that holds a whole number; 0 for anything else. */
int64_t redis_reply_number(const redis_reply *reply);
/* Members of an array, 0 for another kind; `at` gives NULL beyond the end. */
size_t redis_reply_count(const redis_reply *reply);
const redis_reply *redis_reply_at(const redis_reply *reply, size_t index);

#endif
