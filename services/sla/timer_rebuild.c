#include "feed/partition.h"
#include "sla/timer_names.h"
#include "sla/timer_scripts.h"
#include "sla/timer_store.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a rebuilder that makes no progress keeps others from taking over, in milliseconds of real time. */
enum { REBUILD_LOCK_MS = 10000, SCAN_COUNT = 1000 };

static void add_shards(redis_batch *batch, const struct timer *timers, size_t count)
{
    struct timer_names names;
    for (size_t i = 0; i < count; i++) {
        timer_names_of(&timers[i], &names);
        redis_batch_text(batch, names.shard);
    }
}

/* {base, field, value, due} of a timer; due 0 as ''. */
static void add_timer(redis_batch *batch, const struct timer *timer, bool drop)
{
    struct timer_names names;
    timer_names_of(timer, &names);
    redis_batch_text(batch, names.base);
    redis_batch_text(batch, names.field);
    redis_batch_text(batch, names.value);
    if (drop)
        redis_batch_text(batch, "");
    else
        redis_batch_number(batch, timer->due_us);
}

/* --- a changed policy ----------------------------------------------------------------------------- */

bool timer_store_fence(timer_store *store, const struct timer_policy_version *policy,
                       enum timer_outcome *ret_outcome, error *err)
{
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    redis_batch_script(batch, &timer_scripts_get()->fence, 1);
    timer_batch_key(batch, feed_partition(policy->account), "timers");
    redis_batch_text(batch, policy->account);
    redis_batch_number(batch, policy->version);
    bool ok = redis_client_run(store->client, batch, err);
    if (ok)
        *ret_outcome = timer_outcome_parse(redis_reply_text(redis_batch_reply(batch, 0)));
    redis_batch_free(batch);
    return ok;
}

bool timer_store_fences(timer_store *store, struct timer_policy_version *policies, size_t count, error *err)
{
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    for (size_t i = 0; i < count; i++) {
        char mark[TIMER_ACCOUNT_SIZE + 16];
        snprintf(mark, sizeof mark, "!policy/%s", policies[i].account);
        redis_batch_command(batch, "ZSCORE");
        timer_batch_key(batch, feed_partition(policies[i].account), "timers");
        redis_batch_text(batch, mark);
    }
    bool ok = redis_client_run(store->client, batch, err);
    for (size_t i = 0; ok && i < count; i++)
        policies[i].version = -redis_reply_number(redis_batch_reply(batch, i));
    redis_batch_free(batch);
    return ok;
}

static bool rearm(timer_store *store, const struct timer_policy_version *policy, int64_t position,
                  const struct timer *timers, size_t count, bool drop, struct timer_rearmed *ret_rearmed,
                  error *err)
{
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    redis_batch_script(batch, &timer_scripts_get()->rearm, 1 + (int64_t)count);
    timer_batch_key(batch, feed_partition(policy->account), "timers");
    add_shards(batch, timers, count);
    redis_batch_text(batch, policy->account);
    redis_batch_number(batch, policy->version);
    redis_batch_number(batch, position);
    for (size_t i = 0; i < count; i++)
        add_timer(batch, &timers[i], drop);
    bool ok = redis_client_run(store->client, batch, err);
    if (ok) {
        const redis_reply *reply = redis_batch_reply(batch, 0);
        *ret_rearmed = (struct timer_rearmed){
            .outcome = timer_outcome_parse(redis_reply_text(redis_reply_at(reply, 0))),
            .moved = (size_t)redis_reply_number(redis_reply_at(reply, 1)),
            .added = (size_t)redis_reply_number(redis_reply_at(reply, 2)),
            .refused = (size_t)redis_reply_number(redis_reply_at(reply, 3)),
        };
    }
    redis_batch_free(batch);
    return ok;
}

bool timer_store_rearm(timer_store *store, const struct timer_policy_version *policy, int64_t position,
                       const struct timer *timers, size_t count, struct timer_rearmed *ret_rearmed,
                       error *err)
{
    return rearm(store, policy, position, timers, count, false, ret_rearmed, err);
}

bool timer_store_drop(timer_store *store, const struct timer_policy_version *policy,
                      const struct timer *timers, size_t count, enum timer_outcome *ret_outcome, error *err)
{
    struct timer_rearmed rearmed;
    if (!rearm(store, policy, 0, timers, count, true, &rearmed, err))
        return false;
    *ret_outcome = rearmed.outcome;
    return true;
}

/* --- going through a bucket ----------------------------------------------------------------------- */

/* The next step of a scan over the account's members. *cursor: Redis' own, 0 at the end. */
static bool scan_next(timer_store *store, redis_batch *batch, const char *account, int64_t *cursor,
                      struct timer **timers, size_t *ret_count, error *err)
{
    char pattern[TIMER_ACCOUNT_SIZE + 4];
    snprintf(pattern, sizeof pattern, "%s/*", account);
    redis_batch_clear(batch);
    redis_batch_command(batch, "ZSCAN");
    timer_batch_key(batch, feed_partition(account), "timers");
    redis_batch_number(batch, *cursor);
    redis_batch_text(batch, "MATCH");
    redis_batch_text(batch, pattern);
    redis_batch_text(batch, "COUNT");
    redis_batch_number(batch, SCAN_COUNT);
    if (!redis_client_run(store->client, batch, err))
        return false;
    const redis_reply *reply = redis_batch_reply(batch, 0);
    const redis_reply *members = redis_reply_at(reply, 1);
    size_t pairs = redis_reply_count(members) / 2;
    struct timer *grown = realloc(*timers, (pairs + 1) * sizeof *grown);
    if (!grown)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    *timers = grown;
    size_t count = 0;
    for (size_t i = 0; i < pairs; i++)
        if (timer_member_parse(redis_reply_text(redis_reply_at(members, 2 * i)), &grown[count]))
            grown[count++].due_us = 0;
    *cursor = redis_reply_number(redis_reply_at(reply, 0));
    *ret_count = count;
    return true;
}

bool timer_store_scan(timer_store *store, const char *account, timer_scan_step *step, void *context,
                      error *err)
{
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    struct timer *timers = NULL;
    size_t count = 0;
    int64_t cursor = 0;
    bool ok;
    do
        ok = scan_next(store, batch, account, &cursor, &timers, &count, err) &&
             (count == 0 || step(context, timers, count, err));
    while (ok && cursor != 0);
    free(timers);
    redis_batch_free(batch);
    return ok;
}

struct drop_rules {
    timer_store *store;
    const struct timer_policy_version *policy;
    enum sla_rule keep;
    bool keep_targets;
    enum timer_outcome outcome;
};

static bool drop_rules_step(void *context, const struct timer *timers, size_t count, error *err)
{
    struct drop_rules *drop = context;
    struct timer *others = calloc(count, sizeof *others);
    if (!others)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    size_t other_count = 0;
    for (size_t i = 0; i < count; i++)
        if (timers[i].rule != drop->keep && !(drop->keep_targets && timers[i].rule == SLA_RULE_TARGETS))
            others[other_count++] = timers[i];
    struct timer_rearmed rearmed = {.outcome = TIMER_APPLIED};
    bool ok = other_count == 0 || drop->outcome != TIMER_APPLIED ||
              rearm(drop->store, drop->policy, 0, others, other_count, true, &rearmed, err);
    free(others);
    if (ok && rearmed.outcome != TIMER_APPLIED)
        drop->outcome = rearmed.outcome;
    return ok;
}

bool timer_store_drop_other_rules(timer_store *store, const struct timer_policy_version *policy,
                                  enum sla_rule keep, bool keep_targets, enum timer_outcome *ret_outcome,
                                  error *err)
{
    struct drop_rules drop = {.store = store,
                              .policy = policy,
                              .keep = keep,
                              .keep_targets = keep_targets,
                              .outcome = TIMER_APPLIED};
    if (!timer_store_scan(store, policy->account, drop_rules_step, &drop, err))
        return false;
    *ret_outcome = drop.outcome;
    return true;
}

/* --- rebuilding ----------------------------------------------------------------------------------- */

/* The bucket of a slots' key, "casework:{b07}:v:…"; -1 for another key. */
static int bucket_of_shard(const char *key)
{
    static const char before[] = "casework:{b";
    static const char after[] = "}:v:";
    const char *digits = key + sizeof before - 1;
    if (strncmp(key, before, sizeof before - 1) != 0 || !isdigit((unsigned char)digits[0]) ||
        !isdigit((unsigned char)digits[1]) || strncmp(digits + 2, after, sizeof after - 1) != 0)
        return -1;
    int bucket = (digits[0] - '0') * 10 + (digits[1] - '0');
    return bucket < TIMER_BUCKETS ? bucket : -1;
}

/* Of the keys found, the slots of these buckets. */
static bool unlink_found(timer_store *store, const redis_reply *keys, uint64_t buckets, error *err)
{
    redis_batch *unlinks = timer_batch_new(err);
    if (!unlinks)
        return false;
    for (size_t i = 0; i < redis_reply_count(keys); i++) {
        const char *key = redis_reply_text(redis_reply_at(keys, i));
        int bucket = bucket_of_shard(key);
        if (bucket < 0 || !(buckets >> bucket & 1))
            continue;
        redis_batch_command(unlinks, "UNLINK");
        redis_batch_text(unlinks, key);
    }
    bool ok = redis_client_run(store->client, unlinks, err);
    redis_batch_free(unlinks);
    return ok;
}

static bool unlink_at(timer_store *store, int node, redis_batch *batch, uint64_t buckets, error *err)
{
    int64_t cursor = 0;
    do {
        redis_batch_clear(batch);
        redis_batch_command(batch, "SCAN");
        redis_batch_number(batch, cursor);
        redis_batch_text(batch, "MATCH");
        redis_batch_text(batch, "casework:{b*}:v:*");
        redis_batch_text(batch, "COUNT");
        redis_batch_number(batch, SCAN_COUNT);
        if (!redis_client_run_at(store->client, node, batch, err))
            return false;
        const redis_reply *reply = redis_batch_reply(batch, 0);
        cursor = redis_reply_number(redis_reply_at(reply, 0));
        if (!unlink_found(store, redis_reply_at(reply, 1), buckets, err))
            return false;
    } while (cursor != 0);
    return true;
}

/* Slots whose timers are gone. */
static bool unlink_shards(timer_store *store, redis_batch *batch, uint64_t buckets, error *err)
{
    int nodes = 0;
    bool ok = redis_client_nodes(store->client, &nodes, err);
    for (int node = 0; ok && node < nodes; node++)
        ok = unlink_at(store, node, batch, buckets, err);
    return ok;
}

bool timer_store_rebuild_begin(timer_store *store, uint64_t buckets, const char *token, uint64_t *ret_begun,
                               error *err)
{
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        if (!(buckets >> b & 1))
            continue;
        redis_batch_script(batch, &timer_scripts_get()->begin, 2);
        timer_batch_key(batch, b, "timers");
        timer_batch_key(batch, b, "rebuild");
        redis_batch_text(batch, token);
        redis_batch_number(batch, REBUILD_LOCK_MS);
    }
    uint64_t begun = 0;
    bool ok = redis_client_run(store->client, batch, err);
    size_t index = 0;
    for (int b = 0; ok && b < TIMER_BUCKETS; b++)
        if (buckets >> b & 1 &&
            timer_outcome_parse(redis_reply_text(redis_batch_reply(batch, index++))) == TIMER_APPLIED)
            begun |= UINT64_C(1) << b;
    ok = ok && (!begun || unlink_shards(store, batch, begun, err));
    redis_batch_free(batch);
    if (ok)
        *ret_begun = begun;
    return ok;
}

static bool is_of_bucket(const struct timer *timer, int bucket)
{
    return feed_partition(timer->account) == bucket;
}

static void add_insert(redis_batch *batch, int bucket, const char *token, const struct timer *timers,
                       size_t count)
{
    size_t own = 0;
    for (size_t i = 0; i < count; i++)
        own += is_of_bucket(&timers[i], bucket);
    redis_batch_script(batch, &timer_scripts_get()->insert, 2 + (int64_t)own);
    timer_batch_key(batch, bucket, "timers");
    timer_batch_key(batch, bucket, "rebuild");
    for (size_t i = 0; i < count; i++)
        if (is_of_bucket(&timers[i], bucket))
            add_shards(batch, &timers[i], 1);
    redis_batch_text(batch, token);
    redis_batch_number(batch, REBUILD_LOCK_MS);
    for (size_t i = 0; i < count; i++)
        if (is_of_bucket(&timers[i], bucket))
            add_timer(batch, &timers[i], false);
}

bool timer_store_rebuild_insert(timer_store *store, uint64_t buckets, const char *token,
                                const struct timer *timers, size_t count, enum timer_outcome *ret_outcome,
                                error *err)
{
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    for (int b = 0; b < TIMER_BUCKETS; b++)
        if (buckets >> b & 1)
            add_insert(batch, b, token, timers, count);
    bool ok = redis_client_run(store->client, batch, err);
    enum timer_outcome outcome = TIMER_APPLIED;
    for (size_t i = 0; ok && i < redis_batch_count(batch); i++)
        if (timer_outcome_parse(redis_reply_text(redis_batch_reply(batch, i))) != TIMER_APPLIED)
            outcome = TIMER_LOST;
    redis_batch_free(batch);
    if (ok)
        *ret_outcome = outcome;
    return ok;
}

bool timer_store_rebuild_finish(timer_store *store, int bucket, const char *token, const char *epoch,
                                int64_t position, const struct timer_policy_version *policies,
                                size_t policy_count, enum timer_outcome *ret_outcome, error *err)
{
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    char mark[TIMER_EPOCH_SIZE];
    snprintf(mark, sizeof mark, "%s", epoch);
    redis_batch_script(batch, &timer_scripts_get()->finish, 2);
    timer_batch_key(batch, bucket, "timers");
    timer_batch_key(batch, bucket, "rebuild");
    redis_batch_text(batch, token);
    redis_batch_text(batch, mark);
    redis_batch_number(batch, -(position + 1));
    for (size_t i = 0; i < policy_count; i++) {
        redis_batch_text(batch, policies[i].account);
        redis_batch_number(batch, policies[i].version);
    }
    bool ok = redis_client_run(store->client, batch, err);
    if (ok)
        *ret_outcome = timer_outcome_parse(redis_reply_text(redis_batch_reply(batch, 0)));
    redis_batch_free(batch);
    return ok;
}
