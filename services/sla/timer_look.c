/* timer_store_look: how single timers stand in the schedule. */

#include "sla/timer_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_score_read(redis_batch *batch, const struct timer *timer)
{
    struct timer_names names;
    timer_names_of(timer, &names);
    char member[sizeof names.base + sizeof names.value];
    snprintf(member, sizeof member, "%s%s", names.base, names.value);
    redis_batch_command(batch, "ZSCORE");
    timer_batch_key(batch, names.bucket, "timers");
    redis_batch_text(batch, member);
}

/* What the slot holds is the timer, or another one. */
static void read_slot(const redis_reply *reply, const struct timer *timer, struct timer_place *place)
{
    struct timer slot = *timer;
    int64_t since = -1;
    if (!timer_slot_parse(redis_reply_text(reply), &slot, &since))
        return;
    if (slot.rule == timer->rule && slot.version == timer->version) {
        place->is_current = place->is_there;
        if (since >= 0)
            place->due_us = since;
        return;
    }
    place->has_other = true;
    place->other = slot;
    place->other.due_us = since;
}

static bool look_at_slots(timer_store *store, redis_batch *batch, const struct timer *timers, size_t count,
                          struct timer_place *places, error *err)
{
    struct timer_names names;
    for (size_t i = 0; i < count; i++) {
        add_score_read(batch, &timers[i]);
        timer_names_of(&timers[i], &names);
        redis_batch_command(batch, "HGET");
        redis_batch_text(batch, names.shard);
        redis_batch_text(batch, names.field);
    }
    if (!redis_client_run(store->client, batch, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        places[i] = (struct timer_place){.due_us = -1};
        places[i].is_there =
            timer_score_parse(redis_reply_text(redis_batch_reply(batch, 2 * i)), &places[i].due_us);
        read_slot(redis_batch_reply(batch, 2 * i + 1), &timers[i], &places[i]);
    }
    return true;
}

/* Those that the slots name instead: a slot without its member means nothing. */
static bool look_at_others(timer_store *store, redis_batch *batch, size_t count, struct timer_place *places,
                           error *err)
{
    redis_batch_clear(batch);
    for (size_t i = 0; i < count; i++)
        if (places[i].has_other)
            add_score_read(batch, &places[i].other);
    if (!redis_client_run(store->client, batch, err))
        return false;
    size_t index = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t score;
        if (!places[i].has_other)
            continue;
        places[i].has_other = timer_score_parse(redis_reply_text(redis_batch_reply(batch, index++)), &score);
        if (places[i].has_other && places[i].other.due_us < 0)
            places[i].other.due_us = score;
    }
    return true;
}

bool timer_store_look(timer_store *store, const struct timer *timers, size_t count,
                      struct timer_place *ret_places, error *err)
{
    redis_batch *batch = timer_batch_new(err);
    struct timer_place *places = calloc(count + 1, sizeof *places);
    bool ok =
        batch && (places || error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory"));
    ok = ok && look_at_slots(store, batch, timers, count, places, err) &&
         look_at_others(store, batch, count, places, err);
    if (ok && count > 0)
        memcpy(ret_places, places, count * sizeof *places);
    free(places);
    redis_batch_free(batch);
    return ok;
}
