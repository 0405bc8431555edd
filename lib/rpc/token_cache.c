#include "rpc/token_cache.h"

#include "base/thread_shard.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { PLACES = 256 };

/* One allocation: the struct, the token, then the caller's texts. */
struct entry {
    uint64_t hash;
    size_t length;
    struct token_facts facts;
    char token[];
};

/* What some of the threads have found good. A token that several of them meet is in several shards: checking
 * it once more is cheaper than meeting at a lock with every call. */
struct shard {
    alignas(CACHE_LINE) pthread_mutex_t lock;
    struct entry *places[PLACES];
};

struct token_cache {
    struct shard shards[THREAD_SHARDS];
};

struct token_cache *token_cache_new(void)
{
    struct token_cache *cache = aligned_alloc(CACHE_LINE, sizeof *cache);
    if (cache)
        memset(cache, 0, sizeof *cache);
    for (size_t i = 0; cache && i < THREAD_SHARDS; i++)
        pthread_mutex_init(&cache->shards[i].lock, NULL);
    return cache;
}

void token_cache_free(struct token_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < THREAD_SHARDS; i++) {
        for (size_t k = 0; k < PLACES; k++)
            free(cache->shards[i].places[k]);
        pthread_mutex_destroy(&cache->shards[i].lock);
    }
    free(cache);
}

static struct entry **place_of(struct shard *shard, uint64_t hash)
{
    return &shard->places[hash % PLACES];
}

bool token_caller_copy(const struct rpc_caller *from, arena *memory, struct rpc_caller *ret_caller)
{
    const char *subject = arena_strdup(memory, from->subject);
    const char *account = arena_strdup(memory, from->account);
    const char *agent = arena_strdup(memory, from->agent);
    if (!subject || !account || !agent)
        return false;
    ret_caller->role = from->role;
    ret_caller->subject = subject;
    ret_caller->account = account;
    ret_caller->agent = agent;
    return true;
}

bool token_cache_get(struct token_cache *cache, const char *token, size_t length, uint64_t fingerprint,
                     arena *memory, struct rpc_caller *ret_caller, int64_t *ret_expires_us)
{
    uint64_t hash = XXH3_64bits(token, length);
    struct shard *shard = &cache->shards[thread_shard()];
    bool found = false;
    pthread_mutex_lock(&shard->lock);
    const struct entry *e = *place_of(shard, hash);
    if (e && e->hash == hash && e->length == length && e->facts.fingerprint == fingerprint &&
        memcmp(e->token, token, length) == 0) {
        found = token_caller_copy(&e->facts.caller, memory, ret_caller);
        *ret_expires_us = e->facts.expires_us;
    }
    pthread_mutex_unlock(&shard->lock);
    return found;
}

static const char *append(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*at, text, size);
    *at += size;
    return copy;
}

void token_cache_put(struct token_cache *cache, const char *token, size_t length,
                     const struct token_facts *facts)
{
    const struct rpc_caller *caller = &facts->caller;
    uint64_t hash = XXH3_64bits(token, length);
    struct shard *shard = &cache->shards[thread_shard()];
    size_t texts = strlen(caller->subject) + strlen(caller->account) + strlen(caller->agent) + 3;
    struct entry *e = malloc(sizeof *e + length + texts);
    if (!e)
        return;
    e->hash = hash;
    e->length = length;
    e->facts = *facts;
    memcpy(e->token, token, length);
    char *at = e->token + length;
    e->facts.caller.subject = append(&at, caller->subject);
    e->facts.caller.account = append(&at, caller->account);
    e->facts.caller.agent = append(&at, caller->agent);
    pthread_mutex_lock(&shard->lock);
    struct entry **place = place_of(shard, hash);
    struct entry *old = *place;
    *place = e;
    pthread_mutex_unlock(&shard->lock);
    free(old);
}
