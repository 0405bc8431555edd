#include "search/search_holds.h"

#include <string.h>

void search_holds_init(struct search_holds *holds)
{
    pthread_mutex_init(&holds->lock, NULL);
    holds->count = 0;
}

void search_holds_release(struct search_holds *holds)
{
    pthread_mutex_destroy(&holds->lock);
}

static struct search_hold *find(struct search_holds *holds, const char *account)
{
    for (size_t i = 0; i < holds->count; i++)
        if (strcmp(holds->holds[i].account, account) == 0)
            return &holds->holds[i];
    return NULL;
}

static struct search_hold *add(struct search_holds *holds, const char *account)
{
    size_t size = strlen(account) + 1;
    struct search_hold *hold = &holds->holds[holds->count];
    if (holds->count == SEARCH_HOLDS_MAX || size > sizeof hold->account)
        return NULL;
    holds->count++;
    memcpy(hold->account, account, size);
    hold->partition = feed_partition(account);
    return hold;
}

bool search_holds_set(struct search_holds *holds, const char *account, int64_t position)
{
    pthread_mutex_lock(&holds->lock);
    struct search_hold *hold = find(holds, account);
    bool done = true;
    if (position == INT64_MAX) {
        if (hold)
            *hold = holds->holds[--holds->count];
    } else if ((hold = hold ? hold : add(holds, account))) {
        hold->position = position;
    } else {
        done = false;
    }
    pthread_mutex_unlock(&holds->lock);
    return done;
}

int64_t search_holds_find(struct search_holds *holds, int partition, const char *account)
{
    int64_t least = INT64_MAX;
    pthread_mutex_lock(&holds->lock);
    for (size_t i = 0; i < holds->count; i++) {
        const struct search_hold *hold = &holds->holds[i];
        if (hold->partition == partition && hold->position < least &&
            (!account || strcmp(account, hold->account) == 0))
            least = hold->position;
    }
    pthread_mutex_unlock(&holds->lock);
    return least;
}

void search_holds_limit(struct search_holds *holds, struct feed_positions *positions)
{
    pthread_mutex_lock(&holds->lock);
    for (size_t i = 0; i < holds->count; i++) {
        const struct search_hold *hold = &holds->holds[i];
        if (positions->at[hold->partition] >= hold->position)
            positions->at[hold->partition] = hold->position - 1;
    }
    pthread_mutex_unlock(&holds->lock);
}
