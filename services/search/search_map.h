#ifndef CASEWORK_SEARCH_MAP_H
#define CASEWORK_SEARCH_MAP_H

/* Case number → document number. Open addressing; not thread-safe. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEARCH_MAP_NONE UINT32_MAX

struct search_map_entry {
    int64_t key;
    uint32_t value; /* SEARCH_MAP_NONE: the slot is free */
};

struct search_map {
    struct search_map_entry *entries; /* owned; `size` of them, a power of two */
    uint32_t size, count;
};

void search_map_release(struct search_map *map);

/* SEARCH_MAP_NONE when the key is not there. */
uint32_t search_map_get(const struct search_map *map, int64_t key);

/* Room for one more, so that the next put cannot fail. */
bool search_map_reserve(struct search_map *map);
void search_map_put(struct search_map *map, int64_t key, uint32_t value);
void search_map_remove(struct search_map *map, int64_t key);

#endif
