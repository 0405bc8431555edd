#ifndef CASEWORK_SEARCH_ALIVE_H
#define CASEWORK_SEARCH_ALIVE_H

/*
 * Which documents of a section are alive: a bitmap in chunks, copied when something dies, so that readers of
 * the old one never see it change. Shared by counting references; chunks are shared between copies. NULL
 * stands for a bitmap of which nothing has died.
 */

#include "search/search_section.h"

#include <stdatomic.h>

struct search_alive_chunk {
    atomic_uint references;
    uint32_t words;
    uint64_t bits[];
};

struct search_alive {
    atomic_uint references;
    uint32_t documents, live;
    uint32_t chunk_count;
    struct search_alive_chunk *chunks[]; /* NULL: all alive */
};

/* A copy that is nobody else's yet. `alive` may be NULL. NULL without memory. */
struct search_alive *search_alive_copy(const struct search_alive *alive, uint32_t documents);

struct search_alive *search_alive_ref(struct search_alive *alive); /* takes NULL */
void search_alive_unref(struct search_alive *alive);               /* takes NULL */

/* A document that is alive dies. Of a copy that is nobody else's. False without memory. */
bool search_alive_kill(struct search_alive *alive, uint32_t document) __attribute__((warn_unused_result));

/*
 * Sets a chunk of a bitmap that is nobody else's, in which nothing has died so far. False without memory,
 * when there is no such chunk, or when it has not so many words or documents.
 */
bool search_alive_set(struct search_alive *alive, uint32_t chunk, const uint64_t *bits, uint32_t words)
    __attribute__((warn_unused_result));

/* The bits of one chunk; NULL: all alive. */
static inline const uint64_t *search_alive_bits(const struct search_alive *alive, uint32_t chunk)
{
    return alive && alive->chunks[chunk] ? alive->chunks[chunk]->bits : NULL;
}

static inline bool search_alive_has(const struct search_alive *alive, uint32_t document)
{
    const uint64_t *bits = search_alive_bits(alive, document >> SEARCH_CHUNK_BITS);
    return !bits || (bits[document % SEARCH_CHUNK_SIZE / 64] >> document % 64 & 1);
}

static inline uint32_t search_alive_count(const struct search_alive *alive, uint32_t documents)
{
    return alive ? alive->live : documents;
}

#endif
