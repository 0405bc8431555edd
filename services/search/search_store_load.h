#ifndef CASEWORK_SEARCH_STORE_LOAD_H
#define CASEWORK_SEARCH_STORE_LOAD_H

/* Reading a data directory at start. */

#include "search/search_files.h"
#include "search/search_index.h"

/* The places that a manifest names; each has a use for it. */
struct search_listed {
    struct search_place **places; /* owned */
    size_t count;
};

void search_listed_release(struct search_listed *listed);

/* See search_store_open. What is not known of afterwards is taken out of the directory. */
bool search_store_load(search_files *files, uint32_t shard, uint32_t shards, search_index *index,
                       struct search_listed *ret_listed, error *err) __attribute__((warn_unused_result));

#endif
