#ifndef CASEWORK_SEARCH_MANIFEST_H
#define CASEWORK_SEARCH_MANIFEST_H

/*
 * The manifest of a data directory: which sections, in which files, make up the index, what is alive in them,
 * and up to which positions of the feed they are complete. docs/search.md says how it is kept.
 */

#include "feed/partition.h"
#include "search/search_alive.h"
#include "search/search_block.h"

enum { SEARCH_MANIFEST_VERSION = 1, SEARCH_ACCOUNT_SIZE = 64 };

struct search_manifest_section {
    uint64_t file, offset, size; /* the file's number; bytes */
    uint64_t checksum;           /* search_section_checksum */
    uint32_t documents;
    struct search_alive *alive; /* owned, unlike the rest; NULL: all */
};

struct search_manifest_account {
    char id[SEARCH_ACCOUNT_SIZE];
    bool erased;    /* what has died is to leave the files: search_index_mark_erased */
    uint32_t count; /* of its sections, which follow those of the account before */
};

struct search_manifest {
    struct feed_positions positions;
    uint32_t shard, shards;
    struct search_manifest_account *accounts; /* owned; in order of their ids */
    struct search_manifest_section *sections; /* owned */
    uint32_t account_count, section_count;
};

void search_manifest_release(struct search_manifest *manifest);

/* Appends its bytes. */
bool search_manifest_encode(const struct search_manifest *manifest, struct search_buffer *buffer, error *err)
    __attribute__((warn_unused_result));

/*
 * Believes nothing. DATA_LOSS when the bytes are damaged, FAILED_PRECONDITION when another version wrote
 * them. Where sections are, and what is in them, is for others to check.
 */
bool search_manifest_decode(const void *data, size_t size, struct search_manifest *ret_manifest, error *err)
    __attribute__((warn_unused_result));

#endif
