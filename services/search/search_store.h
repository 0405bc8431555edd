#ifndef CASEWORK_SEARCH_STORE_H
#define CASEWORK_SEARCH_STORE_H

/*
 * Keeps the index in a data directory: one thread that writes what has changed to files, and the manifest
 * that says what they are good for. What was written is served from the files' mappings. docs/search.md tells
 * how.
 *
 *     search_store_open → the index follows the feed → search_store_stop → the index is freed →
 *     search_store_free
 */

#include "search/search_index.h"

typedef struct search_store search_store;

struct search_store_options {
    const char *directory;
    uint32_t shard, shards;
    int64_t interval_us; /* between checkpoints, when something has changed */
    int64_t bytes;       /* of new sections after which a checkpoint comes earlier */
    int64_t erasure_us;  /* after which what was erased leaves the files, at the latest */
};

/*
 * Fills the empty index with what the directory holds. What is damaged, or written by or for others, is left
 * out, and its positions with it, so that the feed tells it anew: that is logged and no failure.
 * FAILED_PRECONDITION, DATA_DIRECTORY, when the directory cannot be used.
 */
bool search_store_open(const struct search_store_options *options, search_index *index,
                       search_store **ret_store, error *err) __attribute__((warn_unused_result));

/* A checkpoint at once, by the caller's thread. False: it failed; the index goes on from memory. */
bool search_store_checkpoint(search_store *store, error *err) __attribute__((warn_unused_result));

/* Ends the thread, after a last checkpoint. Nothing may be filed any more. Takes NULL. */
void search_store_stop(search_store *store);

/* After the index: its blocks are in the files. Takes NULL. */
void search_store_free(search_store *store);

#endif
