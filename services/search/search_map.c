#include "search/search_map.h"

#include <stdlib.h>

enum { FIRST_SIZE = 64 };

void search_map_release(struct search_map *map)
{
    free(map->entries);
    *map = (struct search_map){0};
}

static uint32_t home_of(int64_t key, uint32_t size)
{
    uint64_t hash = (uint64_t)key * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 32) & (size - 1);
}

static struct search_map_entry *entry_of(struct search_map_entry *entries, uint32_t size, int64_t key)
{
    uint32_t at = home_of(key, size);
    while (entries[at].value != SEARCH_MAP_NONE && entries[at].key != key)
        at = (at + 1) & (size - 1);
    return &entries[at];
}

uint32_t search_map_get(const struct search_map *map, int64_t key)
{
    return map->size ? entry_of(map->entries, map->size, key)->value : SEARCH_MAP_NONE;
}

bool search_map_reserve(struct search_map *map)
{
    if (map->count + 1 <= map->size / 4 * 3)
        return true;
    uint32_t size = map->size ? map->size * 2 : FIRST_SIZE;
    struct search_map_entry *entries = reallocarray(NULL, size, sizeof *entries);
    if (!entries)
        return false;
    for (uint32_t i = 0; i < size; i++)
        entries[i] = (struct search_map_entry){.value = SEARCH_MAP_NONE};
    for (uint32_t i = 0; i < map->size; i++)
        if (map->entries[i].value != SEARCH_MAP_NONE)
            *entry_of(entries, size, map->entries[i].key) = map->entries[i];
    free(map->entries);
    map->entries = entries;
    map->size = size;
    return true;
}

void search_map_put(struct search_map *map, int64_t key, uint32_t value)
{
    struct search_map_entry *entry = entry_of(map->entries, map->size, key);
    map->count += entry->value == SEARCH_MAP_NONE;
    *entry = (struct search_map_entry){key, value};
}

void search_map_remove(struct search_map *map, int64_t key)
{
    if (search_map_get(map, key) == SEARCH_MAP_NONE)
        return;
    uint32_t mask = map->size - 1;
    uint32_t hole = (uint32_t)(entry_of(map->entries, map->size, key) - map->entries);
    for (uint32_t at = (hole + 1) & mask; map->entries[at].value != SEARCH_MAP_NONE; at = (at + 1) & mask) {
        uint32_t home = home_of(map->entries[at].key, map->size);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        map->entries[hole] = map->entries[at];
        hole = at;
    }
    map->entries[hole].value = SEARCH_MAP_NONE;
    map->count--;
}
