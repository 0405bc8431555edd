/* The schedule against a private Redis: what a timer survives, and what it must not. */

#include "base/clock.h"
#include "feed/partition.h"
#include "sla/timer_store.h"
#include "tests/support/redis_server.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNT "acme"
#define LEASE (10 * CLOCK_SECOND)

static embedded_redis *redis;
static timer_store *store;
static redis_client *client;
static int bucket;

static void rebuild_all(int64_t position)
{
    enum timer_outcome outcome;
    uint64_t begun;
    error err;
    cr_assert(timer_store_rebuild_begin(store, UINT64_MAX, "test", &begun, &err), "%s", err.detail);
    cr_assert_eq(begun, UINT64_MAX);
    for (int b = 0; b < TIMER_BUCKETS; b++) {
        cr_assert(timer_store_rebuild_finish(store, b, "test", "epoch-1", position, NULL, 0, &outcome, &err));
        cr_assert_eq(outcome, TIMER_APPLIED);
    }
}

static void set_up(void)
{
    error err;
    redis = redis_server_start(false, NULL);
    struct redis_options options = {.url = embedded_redis_url(redis)};
    cr_assert(timer_store_new(&options, &store, &err), "%s", err.message);
    cr_assert(redis_client_new(&options, &client, &err), "%s", err.message);
    bucket = feed_partition(ACCOUNT);
    rebuild_all(0);
}

static void tear_down(void)
{
    timer_store_free(store);
    redis_client_free(client);
    embedded_redis_free(redis);
}

TestSuite(sla_timers, .init = set_up, .fini = tear_down);

static struct timer timer_of(int64_t case_id, int64_t version, int64_t due_us)
{
    return (struct timer){.account = ACCOUNT,
                          .case_id = case_id,
                          .rule = SLA_RULE_RESOLVED,
                          .version = version,
                          .due_us = due_us};
}

static enum timer_outcome apply_at(int64_t from, const struct timer_change *change, int64_t policy_version)
{
    struct timer_policy_version policy = {.account = ACCOUNT, .version = policy_version};
    struct timer_apply apply = {
        .bucket = bucket,
        .from = from,
        .to = change->position,
        .policies = &policy,
        .policy_count = 1,
        .changes = change,
        .change_count = 1,
    };
    error err;
    cr_assert(timer_store_apply(store, &apply, 1, &err), "%s %s", err.message, err.detail);
    return apply.outcome;
}

static enum timer_outcome arm(int64_t position, struct timer timer)
{
    struct timer_change change = {.timer = timer, .armed = true, .position = position};
    return apply_at(position - 1, &change, 0);
}

static enum timer_outcome disarm(int64_t position, int64_t case_id)
{
    struct timer_change change = {.timer = timer_of(case_id, 0, 0), .position = position};
    return apply_at(position - 1, &change, 0);
}

static struct timer_claim claim(int64_t now_us, int64_t lease_us)
{
    static struct timer_claim claims[TIMER_BUCKETS];
    error err;
    cr_assert(timer_store_claim(store, UINT64_C(1) << bucket, now_us, lease_us, 100, claims, &err), "%s %s",
              err.message, err.detail);
    return claims[bucket];
}

/* The due times that a claim gives, as text, and lets the claim go. */
static const char *claimed(int64_t now_us, int64_t lease_us)
{
    static char text[200];
    struct timer_claim got = claim(now_us, lease_us);
    text[0] = '\0';
    for (size_t i = 0; i < got.count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%ld/%ld@%ld", i ? " " : "",
                 (long)got.timers[i].case_id, (long)got.timers[i].version, (long)got.timers[i].due_us);
    timer_claim_release(&got);
    return text;
}

static int64_t count_timers(void)
{
    int64_t count;
    error err;
    cr_assert(timer_store_count(store, &count, &err));
    return count;
}

static void settle(struct timer timer, int64_t retry_us)
{
    struct timer_settlement settlement = {.timer = timer, .retry_us = retry_us};
    error err;
    cr_assert(timer_store_settle(store, &settlement, 1, &err), "%s", err.detail);
}

Test(sla_timers, come_due_in_order_and_not_before)
{
    cr_assert_eq(arm(1, timer_of(40, 3, 2000)), TIMER_APPLIED);
    cr_assert_eq(arm(2, timer_of(41, 1, 1000)), TIMER_APPLIED);
    struct timer_claim none = claim(999, LEASE);
    cr_assert_eq(none.count, 0);
    cr_assert_eq(none.next_due_us, 1000);
    cr_assert_eq(none.position, 2);
    cr_assert_str_eq(claimed(2000, LEASE), "41/1@1000 40/3@2000");
    cr_assert_str_eq(claimed(2000, LEASE), "", "claimed timers are held back");
}

Test(sla_timers, microseconds_are_exact)
{
    int64_t due = INT64_C(1795305599123457);
    cr_assert_eq(arm(1, timer_of(1, 1, due)), TIMER_APPLIED);
    cr_assert_eq(claim(due - 1, LEASE).next_due_us, due);
    struct timer_claim got = claim(due, LEASE);
    cr_assert_eq(got.count, 1);
    cr_assert_eq(got.timers[0].due_us, due);
    cr_assert_eq(got.next_due_us, due + LEASE);
    timer_claim_release(&got);
}

/* Redis writes so large scores as 2.534023007999999e+17. */
Test(sla_timers, deadlines_of_far_years_are_read_back)
{
    const int64_t due = INT64_C(253402300799999968);
    struct timer timer = timer_of(1, 1, due);
    struct timer_place place;
    struct timer_cursor cursor = {0};
    int64_t score;
    size_t count;
    bool found, end;
    error err;
    cr_assert_eq(arm(1, timer), TIMER_APPLIED);
    cr_assert(timer_store_first(store, &score, &err));
    cr_assert_eq(score, due);
    cr_assert(timer_store_look(store, &timer, 1, &place, &err));
    cr_assert(place.is_there && place.is_current);
    cr_assert_eq(place.due_us, due);
    timer.due_us = 0;
    cr_assert(timer_store_get(store, ACCOUNT, 1, &timer, &found, &err));
    cr_assert(found);
    cr_assert_eq(timer.due_us, due);
    cr_assert(
        timer_store_page(store, bucket, ACCOUNT, INT64_MAX, &cursor, &timer, &score, 1, &count, &end, &err));
    cr_assert_eq(count, 1);
    cr_assert_eq(score, due);
    cr_assert_str_eq(claimed(due, LEASE), "1/1@253402300799999968");
}

Test(sla_timers, there_is_one_timer_a_case)
{
    cr_assert_eq(arm(1, timer_of(7, 1, 1000)), TIMER_APPLIED);
    cr_assert_eq(arm(2, timer_of(7, 2, 5000)), TIMER_APPLIED);
    cr_assert_eq(count_timers(), 1);
    cr_assert_str_eq(claimed(4999, LEASE), "");
    cr_assert_eq(disarm(3, 7), TIMER_APPLIED);
    cr_assert_eq(count_timers(), 0);
}

Test(sla_timers, a_lease_that_runs_out_gives_the_timer_back_with_its_own_deadline)
{
    arm(1, timer_of(7, 1, 1000));
    cr_assert_str_eq(claimed(1500, LEASE), "7/1@1000");
    cr_assert_str_eq(claimed(1500 + LEASE - 1, LEASE), "");
    cr_assert_str_eq(claimed(1500 + LEASE, LEASE), "7/1@1000");
}

Test(sla_timers, a_timer_that_is_done_is_gone)
{
    arm(1, timer_of(7, 1, 1000));
    claimed(1500, LEASE);
    settle(timer_of(7, 1, 1000), 0);
    cr_assert_eq(count_timers(), 0);
    settle(timer_of(7, 1, 1000), 0);
}

Test(sla_timers, what_is_armed_while_the_old_version_fires_stays)
{
    arm(1, timer_of(7, 1, 1000));
    claimed(1500, LEASE);
    arm(2, timer_of(7, 2, 9000));
    settle(timer_of(7, 1, 1000), 0);
    cr_assert_eq(count_timers(), 1);
    cr_assert_str_eq(claimed(9000, LEASE), "7/2@9000");
    settle(timer_of(7, 1, 1000), 1);
    cr_assert_str_eq(claimed(9000, LEASE), "", "an old version's retry moves nothing");
}

Test(sla_timers, a_timer_that_was_early_comes_again)
{
    arm(1, timer_of(7, 1, 1000));
    claimed(1000, LEASE);
    settle(timer_of(7, 1, 1000), 1200);
    cr_assert_str_eq(claimed(1199, LEASE), "");
    cr_assert_str_eq(claimed(1200, LEASE), "7/1@1000");
}

Test(sla_timers, the_same_state_again_does_not_break_a_lease)
{
    arm(1, timer_of(7, 1, 1000));
    claimed(1000, LEASE);
    arm(2, timer_of(7, 1, 1000));
    cr_assert_str_eq(claimed(1000, LEASE), "");
}

Test(sla_timers, events_that_were_applied_change_nothing_again)
{
    arm(1, timer_of(7, 1, 1000));
    arm(2, timer_of(7, 2, 2000));
    disarm(3, 7);
    cr_assert_eq(arm(2, timer_of(7, 2, 2000)), TIMER_APPLIED, "a late repetition is passed over");
    cr_assert_eq(count_timers(), 0);
}

Test(sla_timers, an_older_version_never_replaces_a_newer_one)
{
    arm(1, timer_of(7, 10, 9000));
    arm(2, timer_of(7, 9, 1000));
    cr_assert_str_eq(claimed(8999, LEASE), "");
    cr_assert_str_eq(claimed(9000, LEASE), "7/10@9000");
}

Test(sla_timers, without_a_lease_a_claim_changes_nothing)
{
    arm(1, timer_of(7, 1, 1000));
    cr_assert_str_eq(claimed(1000, 0), "7/1@1000");
    cr_assert_str_eq(claimed(1000, 0), "7/1@1000");
    settle(timer_of(7, 1, 1000), 0);
    cr_assert_str_eq(claimed(1000, 0), "");
}

static void send(const char *command, const char *key)
{
    redis_batch *batch = redis_batch_new();
    error err;
    redis_batch_command(batch, command);
    if (key)
        redis_batch_text(batch, key);
    cr_assert(redis_client_run(client, batch, &err), "%s", err.detail);
    redis_batch_free(batch);
}

Test(sla_timers, an_emptied_bucket_is_noticed)
{
    arm(1, timer_of(7, 1, 1000));
    send("FLUSHALL", NULL);
    cr_assert_eq(arm(2, timer_of(8, 1, 1000)), TIMER_LOST);
    cr_assert_eq(claim(1000, LEASE).position, -1);
    struct timer_bucket buckets[TIMER_BUCKETS];
    error err;
    cr_assert(timer_store_status(store, buckets, &err));
    cr_assert_eq(buckets[bucket].position, -1);
}

Test(sla_timers, a_bucket_that_went_back_is_noticed)
{
    arm(1, timer_of(7, 1, 1000));
    struct timer_change change = {.timer = timer_of(7, 9, 1000), .armed = true, .position = 9};
    cr_assert_eq(apply_at(5, &change, 0), TIMER_BEHIND);
    struct timer_bucket buckets[TIMER_BUCKETS];
    error err;
    cr_assert(timer_store_status(store, buckets, &err));
    cr_assert_eq(buckets[bucket].position, 1);
    cr_assert_str_eq(buckets[bucket].epoch, "epoch-1");
}

Test(sla_timers, a_rebuild_fires_while_it_goes_on)
{
    enum timer_outcome outcome;
    uint64_t begun;
    error err;
    arm(1, timer_of(1, 1, 1000));
    cr_assert(timer_store_rebuild_begin(store, UINT64_C(1) << bucket, "one", &begun, &err));
    cr_assert_eq(begun, UINT64_C(1) << bucket);
    cr_assert(timer_store_rebuild_begin(store, UINT64_C(1) << bucket, "two", &begun, &err));
    cr_assert_eq(begun, 0, "one rebuilds at a time");
    cr_assert_eq(arm(2, timer_of(2, 1, 1000)), TIMER_LOST);
    struct timer timer = timer_of(7, 5, 500);
    cr_assert(timer_store_rebuild_insert(store, UINT64_C(1) << bucket, "one", &timer, 1, &outcome, &err));
    cr_assert_eq(outcome, TIMER_APPLIED);
    cr_assert_str_eq(claimed(1000, LEASE), "7/5@500");
    cr_assert(timer_store_rebuild_insert(store, UINT64_C(1) << bucket, "two", &timer, 1, &outcome, &err));
    cr_assert_eq(outcome, TIMER_LOST);
    cr_assert(timer_store_rebuild_finish(store, bucket, "two", "epoch-2", 9, NULL, 0, &outcome, &err));
    cr_assert_eq(outcome, TIMER_LOST);
    cr_assert(timer_store_rebuild_finish(store, bucket, "one", "epoch-2", 4, NULL, 0, &outcome, &err));
    cr_assert_eq(outcome, TIMER_APPLIED);
    cr_assert_eq(arm(5, timer_of(8, 1, 1000)), TIMER_APPLIED);
    cr_assert_eq(count_timers(), 2);
}

static int64_t lock_left_ms(int of_bucket)
{
    redis_batch *batch = redis_batch_new();
    char key[64];
    error err;
    snprintf(key, sizeof key, "casework:{b%02d}:rebuild", of_bucket);
    redis_batch_command(batch, "PTTL");
    redis_batch_text(batch, key);
    cr_assert(redis_client_run(client, batch, &err), "%s", err.detail);
    int64_t left_ms = redis_reply_number(redis_batch_reply(batch, 0));
    redis_batch_free(batch);
    return left_ms;
}

static void stretch_lock(int of_bucket)
{
    redis_batch *batch = redis_batch_new();
    char key[64];
    error err;
    snprintf(key, sizeof key, "casework:{b%02d}:rebuild", of_bucket);
    redis_batch_command(batch, "EXPIRE");
    redis_batch_text(batch, key);
    redis_batch_number(batch, 1000);
    cr_assert(redis_client_run(client, batch, &err), "%s", err.detail);
    redis_batch_free(batch);
}

/* A long rebuild keeps buckets too that it has no timers for. */
Test(sla_timers, a_rebuild_that_comes_on_keeps_all_its_buckets)
{
    const int other = (bucket + 1) % TIMER_BUCKETS;
    const uint64_t both = UINT64_C(1) << bucket | UINT64_C(1) << other;
    struct timer timer = timer_of(7, 5, 500);
    enum timer_outcome outcome;
    uint64_t begun;
    error err;
    cr_assert(timer_store_rebuild_begin(store, both, "one", &begun, &err));
    cr_assert_eq(begun, both);
    stretch_lock(bucket);
    stretch_lock(other);
    cr_assert_gt(lock_left_ms(other), 20000, "so that a renewal shows");
    cr_assert(timer_store_rebuild_insert(store, both, "one", &timer, 1, &outcome, &err));
    cr_assert_eq(outcome, TIMER_APPLIED);
    cr_assert(lock_left_ms(bucket) > 0 && lock_left_ms(bucket) <= 10000);
    cr_assert(lock_left_ms(other) > 0 && lock_left_ms(other) <= 10000);
    stretch_lock(other);
    cr_assert(timer_store_rebuild_insert(store, both, "one", NULL, 0, &outcome, &err));
    cr_assert_eq(outcome, TIMER_APPLIED);
    cr_assert_leq(lock_left_ms(other), 10000, "renewed without any timer");
}

Test(sla_timers, slots_of_a_lost_bucket_do_not_hinder_the_rebuild)
{
    enum timer_outcome outcome;
    uint64_t begun;
    error err;
    char key[64];
    arm(1, timer_of(7, 100, 1000));
    snprintf(key, sizeof key, "casework:{b%02d}:timers", bucket);
    send("DEL", key);
    cr_assert(timer_store_rebuild_begin(store, UINT64_C(1) << bucket, "one", &begun, &err));
    struct timer timer = timer_of(7, 5, 500);
    cr_assert(timer_store_rebuild_insert(store, UINT64_C(1) << bucket, "one", &timer, 1, &outcome, &err));
    cr_assert(timer_store_rebuild_finish(store, bucket, "one", "epoch-1", 4, NULL, 0, &outcome, &err));
    cr_assert_str_eq(claimed(1000, LEASE), "7/5@500");
}

Test(sla_timers, a_changed_policy_moves_what_runs)
{
    struct timer_policy_version policy = {.account = ACCOUNT, .version = 1};
    enum timer_outcome outcome;
    struct timer_rearmed rearmed;
    error err;
    arm(1, timer_of(7, 1, 1000));
    cr_assert(timer_store_fence(store, &policy, &outcome, &err));
    cr_assert_eq(outcome, TIMER_APPLIED);
    cr_assert_eq(arm(2, timer_of(8, 1, 1000)), TIMER_POLICY, "worked out under the old policy");
    struct timer timers[] = {timer_of(7, 1, 300), timer_of(8, 1, 300)};
    cr_assert(timer_store_rearm(store, &policy, 0, timers, 2, &rearmed, &err));
    cr_assert_eq(rearmed.moved, 1);
    cr_assert_eq(rearmed.refused, 1, "not known, and the bucket has moved since");
    cr_assert(timer_store_rearm(store, &policy, 1, timers, 2, &rearmed, &err));
    cr_assert_eq(rearmed.added, 1);
    cr_assert_eq(rearmed.refused, 0);
    cr_assert_str_eq(claimed(300, LEASE), "7/1@300 8/1@300");
    policy.version = 0;
    cr_assert(timer_store_rearm(store, &policy, 1, timers, 2, &rearmed, &err));
    cr_assert_eq(rearmed.outcome, TIMER_POLICY);
}

Test(sla_timers, a_changed_rule_takes_the_other_rules_timers_away)
{
    struct timer_policy_version policy = {.account = ACCOUNT, .version = 1};
    enum timer_outcome outcome;
    error err;
    for (int i = 1; i <= 40; i++)
        arm(i, timer_of(i, 1, 1000));
    cr_assert(timer_store_drop_other_rules(store, &policy, SLA_RULE_RESOLVED, false, &outcome, &err));
    cr_assert_eq(count_timers(), 40);
    cr_assert(timer_store_drop_other_rules(store, &policy, SLA_RULE_INACTIVE, false, &outcome, &err));
    cr_assert_eq(count_timers(), 0);
}

Test(sla_timers, a_deleted_account_leaves_nothing)
{
    struct timer_policy_version policy = {.account = ACCOUNT, .version = 3};
    enum timer_outcome outcome;
    error err;
    cr_assert(timer_store_fence(store, &policy, &outcome, &err));
    struct timer_change forget = {.timer = timer_of(0, 0, 0), .forget_policy = true, .position = 1};
    struct timer_apply apply = {.bucket = bucket, .from = 0, .to = 1, .changes = &forget, .change_count = 1};
    cr_assert(timer_store_apply(store, &apply, 1, &err));
    cr_assert_eq(apply.outcome, TIMER_APPLIED);
    cr_assert_eq(arm(2, timer_of(1, 1, 1000)), TIMER_APPLIED, "the next account of that id starts anew");
}

Test(sla_timers, one_event_may_take_several_parts)
{
    struct timer_change changes[2];
    struct timer_policy_version policy = {.account = ACCOUNT};
    error err;
    arm(1, timer_of(1, 1, 1000));
    arm(2, timer_of(2, 1, 1000));
    for (int i = 0; i < 2; i++)
        changes[i] = (struct timer_change){.timer = timer_of(i + 1, 0, 0), .position = 3};
    struct timer_apply apply = {
        .bucket = bucket, .from = 2, .to = 2, .policies = &policy, .changes = changes, .change_count = 1};
    cr_assert(timer_store_apply(store, &apply, 1, &err), "%s", err.message);
    cr_assert_eq(apply.outcome, TIMER_APPLIED);
    cr_assert_eq(count_timers(), 1, "done, and the bucket stays where it is");
    apply.to = 3;
    apply.changes = changes + 1;
    cr_assert(timer_store_apply(store, &apply, 1, &err), "%s", err.message);
    cr_assert_eq(apply.outcome, TIMER_APPLIED);
    cr_assert_eq(count_timers(), 0);
    arm(4, timer_of(1, 2, 1000));
    apply.to = apply.from;
    apply.changes = changes;
    cr_assert(timer_store_apply(store, &apply, 1, &err), "%s", err.message);
    cr_assert_eq(apply.outcome, TIMER_APPLIED);
    cr_assert_eq(count_timers(), 1, "who comes late takes nothing away");
}

Test(sla_timers, are_found_by_case_and_by_deadline)
{
    struct timer timer;
    bool found;
    error err;
    for (int i = 1; i <= 250; i++)
        arm(i, timer_of(i, 1, 1000 + i / 100));
    cr_assert(timer_store_get(store, ACCOUNT, 7, &timer, &found, &err));
    cr_assert(found);
    cr_assert_eq(timer.due_us, 1000);
    claimed(1000, LEASE);
    cr_assert(timer_store_get(store, ACCOUNT, 7, &timer, &found, &err));
    cr_assert(found);
    cr_assert_eq(timer.due_us, 1000, "claimed, and still due when it was");
    cr_assert(timer_store_get(store, ACCOUNT, 251, &timer, &found, &err));
    cr_assert_not(found);

    struct timer_cursor cursor = {0};
    struct timer page[33];
    int64_t scores[33];
    bool seen[251] = {false};
    bool end = false;
    size_t total = 0;
    while (!end) {
        size_t count;
        cr_assert(timer_store_page(store, bucket, ACCOUNT, INT64_MAX, &cursor, page, scores, 33, &count, &end,
                                   &err));
        for (size_t i = 0; i < count; i++) {
            cr_assert_not(seen[page[i].case_id]);
            seen[page[i].case_id] = true;
        }
        total += count;
    }
    cr_assert_eq(total, 250);
}
