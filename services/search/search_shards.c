#include "search/search_shards.h"

#include "base/clock.h"
#include "casework/search/v1/search_service.pb-c.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORWARDED "casework-forwarded"

/* For calls without a deadline. */
#define FORWARD_MAX CLOCK_MINUTE

/* A number from `from` to `to`, up to the character `end`; -1: none. */
static int read_number(const char **at, long from, long to, char end)
{
    char *rest;
    long number = isdigit((unsigned char)**at) ? strtol(*at, &rest, 10) : -1;
    if (number < from || number > to || *rest != end)
        return -1;
    *at = rest + 1;
    return (int)number;
}

static bool read_shard(struct search_shards *shards, const char *text, error *err)
{
    const char *at = text;
    shards->index = read_number(&at, 0, FEED_PARTITIONS - 1, '/');
    shards->count = shards->index < 0 ? -1 : read_number(&at, shards->index + 1, FEED_PARTITIONS, '\0');
    if (shards->count < 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "", "SEARCH_SHARD: not i/n with 0 <= i < n <= %d: %s",
                         FEED_PARTITIONS, text);
    for (int i = shards->index; i < FEED_PARTITIONS; i += shards->count)
        shards->partitions |= UINT64_C(1) << i;
    return true;
}

static bool open_target(struct search_shards *shards, const struct rpc_host *host, int index,
                        const char *target, size_t length, error *err)
{
    char text[256];
    if (index >= shards->count || length >= sizeof text)
        return error_set(err, STATUS_INVALID_ARGUMENT, "",
                         "SEARCH_SHARD_TARGETS: more targets than shards, or one too long");
    snprintf(text, sizeof text, "%.*s", (int)length, target);
    return index == shards->index || rpc_host_channel(host, text, &shards->targets[index], err);
}

bool search_shards_open(struct search_shards *shards, const struct rpc_host *host, const char *shard,
                        const char *targets, error *err)
{
    if (!read_shard(shards, shard, err))
        return false;
    int count = 0;
    for (const char *at = targets + strspn(targets, " "); *at; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        if (!open_target(shards, host, count++, at, length, err))
            return false;
        at += length;
    }
    return count == shards->count || shards->count == 1 ||
           error_set(err, STATUS_INVALID_ARGUMENT, "", "SEARCH_SHARD_TARGETS: %d targets for %d shards",
                     count, shards->count);
}

void search_shards_close(struct search_shards *shards)
{
    for (int i = 0; i < FEED_PARTITIONS; i++)
        rpc_channel_free(shards->targets[i]);
}

rpc_channel *search_shards_target(const struct search_shards *shards, const char *account)
{
    return shards->targets[feed_partition(account) % shards->count];
}

bool search_shards_is_forwarded(const rpc_call *call)
{
    return rpc_call_metadata(call, FORWARDED) != NULL;
}

bool search_shards_mismatch(const char *account, error *err)
{
    return error_set(err, STATUS_FAILED_PRECONDITION, "SHARD_MISMATCH",
                     "the shards do not agree on where account %s is", account);
}

static void answer(void *argument, const ProtobufCMessage *response, const error *err)
{
    rpc_call *call = argument;
    if (response)
        rpc_call_reply(call, response);
    else
        rpc_call_fail(call, err);
}

struct rpc_client_options search_shards_options(const rpc_call *call, int64_t longest_us)
{
    int64_t deadline_us = rpc_call_deadline_us(call);
    int64_t left_us = deadline_us == INT64_MAX ? longest_us : deadline_us - clock_monotonic_us();
    return (struct rpc_client_options){.timeout_us = left_us < 1            ? 1
                                                     : left_us < longest_us ? left_us
                                                                            : longest_us,
                                       .traceparent = rpc_call_traceparent(call),
                                       .forwarded = true};
}

bool search_shards_forward(const struct search_shards *shards, rpc_call *call, const char *method,
                           const ProtobufCMessage *request, const char *account)
{
    rpc_channel *target = search_shards_target(shards, account);
    if (!target)
        return false;
    if (search_shards_is_forwarded(call)) {
        error err;
        search_shards_mismatch(account, &err);
        rpc_call_fail(call, &err);
        return true;
    }
    const struct rpc_client_options options = search_shards_options(call, FORWARD_MAX);
    rpc_client_call_async(target, &casework__search__v1__search_service__descriptor, method, request,
                          &options, answer, call);
    return true;
}
