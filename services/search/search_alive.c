#include "search/search_alive.h"

#include <stdlib.h>
#include <string.h>

static void unref_chunk(struct search_alive_chunk *chunk)
{
    if (chunk && atomic_fetch_sub_explicit(&chunk->references, 1, memory_order_acq_rel) == 1)
        free(chunk);
}

struct search_alive *search_alive_copy(const struct search_alive *alive, uint32_t documents)
{
    uint32_t chunks = (documents + SEARCH_CHUNK_SIZE - 1) / SEARCH_CHUNK_SIZE;
    struct search_alive *copy = calloc(1, sizeof *copy + chunks * sizeof(struct search_alive_chunk *));
    if (!copy)
        return NULL;
    atomic_init(&copy->references, 1);
    copy->documents = documents;
    copy->live = search_alive_count(alive, documents);
    copy->chunk_count = chunks;
    for (uint32_t i = 0; alive && i < chunks; i++) {
        copy->chunks[i] = alive->chunks[i];
        if (copy->chunks[i])
            atomic_fetch_add_explicit(&copy->chunks[i]->references, 1, memory_order_relaxed);
    }
    return copy;
}

struct search_alive *search_alive_ref(struct search_alive *alive)
{
    if (alive)
        atomic_fetch_add_explicit(&alive->references, 1, memory_order_relaxed);
    return alive;
}

void search_alive_unref(struct search_alive *alive)
{
    if (!alive || atomic_fetch_sub_explicit(&alive->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < alive->chunk_count; i++)
        unref_chunk(alive->chunks[i]);
    free(alive);
}

static struct search_alive_chunk *new_chunk(const struct search_alive *alive, uint32_t index)
{
    const struct search_alive_chunk *old = alive->chunks[index];
    uint32_t left = alive->documents - (index << SEARCH_CHUNK_BITS);
    uint32_t documents = left < SEARCH_CHUNK_SIZE ? left : SEARCH_CHUNK_SIZE, words = (documents + 63) / 64;
    struct search_alive_chunk *chunk = malloc(sizeof *chunk + words * sizeof *chunk->bits);
    if (!chunk)
        return NULL;
    atomic_init(&chunk->references, 1);
    chunk->words = words;
    if (old) {
        memcpy(chunk->bits, old->bits, words * sizeof *chunk->bits);
        return chunk;
    }
    memset(chunk->bits, 0xff, words * sizeof *chunk->bits);
    if (documents % 64)
        chunk->bits[words - 1] >>= 64 - documents % 64;
    return chunk;
}

bool search_alive_set(struct search_alive *alive, uint32_t chunk, const uint64_t *bits, uint32_t words)
{
    if (chunk >= alive->chunk_count || alive->chunks[chunk])
        return false;
    struct search_alive_chunk *made = new_chunk(alive, chunk);
    if (!made)
        return false;
    uint32_t dead = 0;
    bool fits = made->words == words;
    for (uint32_t i = 0; fits && i < words; i++) {
        fits = (bits[i] & ~made->bits[i]) == 0;
        dead += (uint32_t)__builtin_popcountll(made->bits[i] & ~bits[i]);
    }
    if (!fits) {
        free(made);
        return false;
    }
    memcpy(made->bits, bits, words * sizeof *bits);
    alive->chunks[chunk] = made;
    alive->live -= dead;
    return true;
}

bool search_alive_kill(struct search_alive *alive, uint32_t document)
{
    uint32_t index = document >> SEARCH_CHUNK_BITS;
    struct search_alive_chunk *chunk = alive->chunks[index];
    if (!chunk || atomic_load_explicit(&chunk->references, memory_order_acquire) > 1) {
        chunk = new_chunk(alive, index);
        if (!chunk)
            return false;
        unref_chunk(alive->chunks[index]);
        alive->chunks[index] = chunk;
    }
    chunk->bits[document % SEARCH_CHUNK_SIZE / 64] &= ~(UINT64_C(1) << document % 64);
    alive->live--;
    return true;
}
