#include "sla/timer_store.h"

#include "feed/partition.h"
#include "sla/timer_names.h"
#include "sla/timer_scripts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool timer_store_new(const struct redis_options *options, timer_store **ret_store, error *err)
{
    timer_store *store = calloc(1, sizeof *store);
    if (!store)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    if (!redis_client_new(options, &store->client, err)) {
        free(store);
        return false;
    }
    *ret_store = store;
    return true;
}

void timer_store_free(timer_store *store)
{
    if (!store)
        return;
    redis_client_free(store->client);
    free(store);
}

/* --- the buckets' state --------------------------------------------------------------------------- */

static bool read_status(timer_store *store, redis_batch *batch, struct timer_bucket *ret_buckets, error *err)
{
    const struct timer_scripts *scripts = timer_scripts_get();
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        redis_batch_script(batch, &scripts->status, 1);
        timer_batch_key(batch, b, "timers");
    }
    if (!redis_client_run(store->client, batch, err))
        return false;
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        const redis_reply *reply = redis_batch_reply(batch, (size_t)b);
        struct timer_bucket *bucket = &ret_buckets[b];
        *bucket = (struct timer_bucket){.position = -1};
        const char *epoch = redis_reply_text(redis_reply_at(reply, 1));
        if (timer_number_parse(redis_reply_text(redis_reply_at(reply, 0)), &bucket->position))
            snprintf(bucket->epoch, sizeof bucket->epoch, "%s", epoch);
    }
    return true;
}

bool timer_store_status(timer_store *store, struct timer_bucket ret_buckets[TIMER_BUCKETS], error *err)
{
    redis_batch *batch = timer_batch_new(err);
    bool ok = batch && read_status(store, batch, ret_buckets, err);
    redis_batch_free(batch);
    return ok;
}

bool timer_store_count(timer_store *store, int64_t *ret_count, error *err)
{
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        redis_batch_command(batch, "ZCOUNT");
        timer_batch_key(batch, b, "timers");
        redis_batch_text(batch, "0");
        redis_batch_text(batch, "+inf");
    }
    bool ok = redis_client_run(store->client, batch, err);
    if (ok) {
        *ret_count = 0;
        for (size_t b = 0; b < TIMER_BUCKETS; b++)
            *ret_count += redis_reply_number(redis_batch_reply(batch, b));
    }
    redis_batch_free(batch);
    return ok;
}

bool timer_store_first(timer_store *store, int64_t *ret_score_us, error *err)
{
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        redis_batch_command(batch, "ZRANGEBYSCORE");
        timer_batch_key(batch, b, "timers");
        redis_batch_text(batch, "0");
        redis_batch_text(batch, "+inf");
        redis_batch_text(batch, "WITHSCORES");
        redis_batch_text(batch, "LIMIT");
        redis_batch_number(batch, 0);
        redis_batch_number(batch, 1);
    }
    bool ok = redis_client_run(store->client, batch, err);
    int64_t first_us = INT64_MAX;
    for (size_t b = 0; ok && b < TIMER_BUCKETS; b++) {
        const redis_reply *reply = redis_batch_reply(batch, b);
        int64_t score;
        if (timer_score_parse(redis_reply_text(redis_reply_at(reply, 1)), &score) && score < first_us)
            first_us = score;
    }
    redis_batch_free(batch);
    if (ok)
        *ret_score_us = first_us;
    return ok;
}

/* --- arming by the feed --------------------------------------------------------------------------- */

static void add_apply(redis_batch *batch, const struct timer_apply *apply)
{
    redis_batch_script(batch, &timer_scripts_get()->apply, 1 + (int64_t)apply->change_count);
    timer_batch_key(batch, apply->bucket, "timers");
    struct timer_names names;
    for (size_t i = 0; i < apply->change_count; i++) {
        timer_names_of(&apply->changes[i].timer, &names);
        redis_batch_text(batch, names.shard);
    }
    redis_batch_number(batch, apply->from);
    redis_batch_number(batch, apply->to);
    redis_batch_number(batch, -(apply->to + 1));
    redis_batch_number(batch, (int64_t)apply->policy_count);
    for (size_t i = 0; i < apply->policy_count; i++) {
        redis_batch_text(batch, apply->policies[i].account);
        redis_batch_number(batch, apply->policies[i].version);
    }
    for (size_t i = 0; i < apply->change_count; i++) {
        const struct timer_change *change = &apply->changes[i];
        timer_names_of(&change->timer, &names);
        redis_batch_number(batch, change->position);
        redis_batch_text(batch, change->forget_policy ? change->timer.account : names.base);
        redis_batch_text(batch, change->forget_policy ? "" : names.field);
        redis_batch_text(batch, change->armed ? names.value : "");
        redis_batch_number(batch, change->timer.due_us);
    }
}

bool timer_store_apply(timer_store *store, struct timer_apply *applies, size_t count, error *err)
{
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    for (size_t i = 0; i < count; i++)
        add_apply(batch, &applies[i]);
    bool ok = redis_client_run(store->client, batch, err);
    for (size_t i = 0; ok && i < count; i++)
        applies[i].outcome = timer_outcome_parse(redis_reply_text(redis_batch_reply(batch, i)));
    redis_batch_free(batch);
    return ok;
}

/* --- firing --------------------------------------------------------------------------------------- */

void timer_claim_release(struct timer_claim *claim)
{
    free(claim->timers);
    free(claim->policy_versions);
    *claim = (struct timer_claim){0};
}

enum { CLAIM_HEAD = 3, CLAIM_FIELDS = 5 };

static bool read_claim(const redis_reply *reply, struct timer_claim *claim, error *err)
{
    size_t members = redis_reply_count(reply);
    *claim = (struct timer_claim){.position = -1, .next_due_us = INT64_MAX};
    if (members < CLAIM_HEAD)
        return error_set(err, STATUS_INTERNAL, "BAD_CLAIM", "the timers' schedule cannot be read");
    timer_number_parse(redis_reply_text(redis_reply_at(reply, 0)), &claim->position);
    claim->now_us = redis_reply_number(redis_reply_at(reply, 1));
    timer_number_parse(redis_reply_text(redis_reply_at(reply, 2)), &claim->next_due_us);
    size_t count = (members - CLAIM_HEAD) / CLAIM_FIELDS;
    if (count == 0)
        return true;
    claim->timers = calloc(count, sizeof *claim->timers);
    claim->policy_versions = calloc(count, sizeof *claim->policy_versions);
    if (!claim->timers || !claim->policy_versions)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    for (size_t i = 0; i < count; i++) {
        size_t at = CLAIM_HEAD + i * CLAIM_FIELDS;
        struct timer *timer = &claim->timers[claim->count];
        snprintf(timer->account, sizeof timer->account, "%s", redis_reply_text(redis_reply_at(reply, at)));
        if (timer_number_parse(redis_reply_text(redis_reply_at(reply, at + 1)), &timer->case_id) &&
            timer_value_parse(redis_reply_text(redis_reply_at(reply, at + 2)), &timer->rule,
                              &timer->version) &&
            timer_number_parse(redis_reply_text(redis_reply_at(reply, at + 3)), &timer->due_us) &&
            timer_number_parse(redis_reply_text(redis_reply_at(reply, at + 4)),
                               &claim->policy_versions[claim->count]))
            claim->count++;
    }
    return true;
}

static void add_claim(redis_batch *batch, int bucket, int64_t now_us, int64_t lease_us, int limit)
{
    redis_batch_script(batch, &timer_scripts_get()->claim, 1);
    timer_batch_key(batch, bucket, "timers");
    redis_batch_number(batch, now_us);
    redis_batch_number(batch, lease_us);
    redis_batch_number(batch, limit);
    timer_batch_key(batch, bucket, "v:");
}

bool timer_store_claim(timer_store *store, uint64_t buckets, int64_t now_us, int64_t lease_us, int limit,
                       struct timer_claim ret_claims[TIMER_BUCKETS], error *err)
{
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    for (int b = 0; b < TIMER_BUCKETS; b++)
        if (buckets >> b & 1)
            add_claim(batch, b, now_us, lease_us, limit);
    struct timer_claim claims[TIMER_BUCKETS] = {0};
    bool ok = redis_client_run(store->client, batch, err);
    size_t index = 0;
    for (int b = 0; ok && b < TIMER_BUCKETS; b++)
        if (buckets >> b & 1)
            ok = read_claim(redis_batch_reply(batch, index++), &claims[b], err);
    redis_batch_free(batch);
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        if (ok)
            ret_claims[b] = claims[b];
        else
            timer_claim_release(&claims[b]);
    }
    return ok;
}

static void add_settlement(redis_batch *batch, const struct timer_settlement *settlement)
{
    struct timer_names names;
    timer_names_of(&settlement->timer, &names);
    redis_batch_script(batch, &timer_scripts_get()->settle, 2);
    timer_batch_key(batch, names.bucket, "timers");
    redis_batch_text(batch, names.shard);
    redis_batch_text(batch, names.base);
    redis_batch_text(batch, names.field);
    redis_batch_text(batch, names.value);
    if (settlement->retry_us)
        redis_batch_number(batch, settlement->retry_us);
    else
        redis_batch_text(batch, "");
}

bool timer_store_settle(timer_store *store, const struct timer_settlement *settlements, size_t count,
                        error *err)
{
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    for (size_t i = 0; i < count; i++)
        add_settlement(batch, &settlements[i]);
    bool ok = redis_client_run(store->client, batch, err);
    redis_batch_free(batch);
    return ok;
}

/* --- looking -------------------------------------------------------------------------------------- */

static void add_slot_read(redis_batch *batch, const struct timer_names *names)
{
    redis_batch_command(batch, "HGET");
    redis_batch_text(batch, names->shard);
    redis_batch_text(batch, names->field);
}

/* The score of the member that the slot names; -1 when there is none. */
static bool read_score(timer_store *store, redis_batch *batch, const struct timer *timer, int64_t *ret_score,
                       error *err)
{
    struct timer_names names;
    timer_names_of(timer, &names);
    char member[sizeof names.base + sizeof names.value];
    snprintf(member, sizeof member, "%s%s", names.base, names.value);
    redis_batch_clear(batch);
    redis_batch_command(batch, "ZSCORE");
    timer_batch_key(batch, names.bucket, "timers");
    redis_batch_text(batch, member);
    if (!redis_client_run(store->client, batch, err))
        return false;
    *ret_score = -1;
    (void)timer_score_parse(redis_reply_text(redis_batch_reply(batch, 0)), ret_score);
    return true;
}

bool timer_store_get(timer_store *store, const char *account, int64_t case_id, struct timer *ret_timer,
                     bool *ret_found, error *err)
{
    struct timer timer = {.case_id = case_id};
    struct timer_names names;
    snprintf(timer.account, sizeof timer.account, "%s", account);
    timer_names_of(&timer, &names);
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    add_slot_read(batch, &names);
    int64_t since = -1;
    int64_t score = -1;
    bool ok = redis_client_run(store->client, batch, err);
    bool found = ok && timer_slot_parse(redis_reply_text(redis_batch_reply(batch, 0)), &timer, &since);
    if (found)
        ok = read_score(store, batch, &timer, &score, err);
    redis_batch_free(batch);
    if (!ok)
        return false;
    *ret_found = found && score >= 0;
    if (*ret_found) {
        timer.due_us = since >= 0 ? since : score;
        *ret_timer = timer;
    }
    return true;
}

/* What a page is read for and into. */
struct page_read {
    int bucket;
    const char *account; /* NULL: all */
    int64_t until_us;
    struct timer_cursor cursor;
    struct timer *timers;
    int64_t *scores;
    size_t limit, count;
    int64_t skip; /* members at the cursor's score that were read before */
};

static bool read_chunk(timer_store *store, redis_batch *batch, const struct page_read *page, int64_t chunk,
                       error *err)
{
    redis_batch_clear(batch);
    redis_batch_command(batch, "ZRANGEBYSCORE");
    timer_batch_key(batch, page->bucket, "timers");
    redis_batch_number(batch, page->cursor.score_us);
    redis_batch_number(batch, page->until_us);
    redis_batch_text(batch, "WITHSCORES");
    redis_batch_text(batch, "LIMIT");
    redis_batch_number(batch, page->skip);
    redis_batch_number(batch, chunk);
    return redis_client_run(store->client, batch, err);
}

/* Takes a member that lies behind the cursor; moves the cursor to it. */
static void take_member(struct page_read *page, const char *member, int64_t score)
{
    bool same = score == page->cursor.score_us;
    page->skip = same ? page->skip + 1 : 1;
    if (same && strcmp(member, page->cursor.member) <= 0)
        return;
    page->cursor.score_us = score;
    snprintf(page->cursor.member, sizeof page->cursor.member, "%s", member);
    struct timer *timer = &page->timers[page->count];
    if (!timer_member_parse(member, timer) || (page->account && strcmp(page->account, timer->account) != 0))
        return;
    timer->due_us = score;
    page->scores[page->count++] = score;
}

/* Members after the cursor, and the cursor moved past them. */
static bool read_members(timer_store *store, redis_batch *batch, struct page_read *page, bool *ret_end,
                         error *err)
{
    size_t chunk = page->limit < 100 ? 100 : page->limit;
    size_t members, taken;
    do {
        if (!read_chunk(store, batch, page, (int64_t)chunk, err))
            return false;
        const redis_reply *reply = redis_batch_reply(batch, 0);
        members = redis_reply_count(reply) / 2;
        for (taken = 0; taken < members && page->count < page->limit; taken++) {
            int64_t score = 0;
            (void)timer_score_parse(redis_reply_text(redis_reply_at(reply, 2 * taken + 1)), &score);
            take_member(page, redis_reply_text(redis_reply_at(reply, 2 * taken)), score);
        }
    } while (page->count < page->limit && members == chunk);
    *ret_end = taken == members && members < chunk;
    return true;
}

/* Claimed timers get their own deadline back. */
static bool read_deadlines(timer_store *store, redis_batch *batch, struct timer *timers, size_t count,
                           error *err)
{
    redis_batch_clear(batch);
    struct timer_names names;
    for (size_t i = 0; i < count; i++) {
        timer_names_of(&timers[i], &names);
        add_slot_read(batch, &names);
    }
    if (!redis_client_run(store->client, batch, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct timer slot;
        int64_t since = -1;
        if (timer_slot_parse(redis_reply_text(redis_batch_reply(batch, i)), &slot, &since) && since >= 0 &&
            slot.rule == timers[i].rule && slot.version == timers[i].version)
            timers[i].due_us = since;
    }
    return true;
}

bool timer_store_page(timer_store *store, int bucket, const char *account, int64_t until_us,
                      struct timer_cursor *cursor, struct timer *ret_timers, int64_t *ret_scores,
                      size_t limit, size_t *ret_count, bool *ret_end, error *err)
{
    struct page_read page = {
        .bucket = bucket,
        .account = account,
        .until_us = until_us,
        .cursor = *cursor,
        .timers = ret_timers,
        .scores = ret_scores,
        .limit = limit,
    };
    redis_batch *batch = timer_batch_new(err);
    if (!batch)
        return false;
    bool ok = read_members(store, batch, &page, ret_end, err) &&
              read_deadlines(store, batch, ret_timers, page.count, err);
    redis_batch_free(batch);
    if (ok) {
        *cursor = page.cursor;
        *ret_count = page.count;
    }
    return ok;
}
