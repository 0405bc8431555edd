#ifndef CASEWORK_BENCH_SUPPORT_STORED_INDEX_H
#define CASEWORK_BENCH_SUPPORT_STORED_INDEX_H

/* An index of the search corpus in files, made by the engine in process. What fails ends the program. */

#include "bench/support/search_corpus.h"
#include "search/search_store.h"

struct stored_index {
    struct search_store_options options;
    struct search_corpus *corpus;
    uint64_t cases;
    search_index *index;
    search_store *store;
    struct feed_positions positions; /* as of the last checkpoint */
};

/* `directory` must outlive it. It writes when it is told to only. */
void stored_index_init(struct stored_index *stored, const char *directory, uint64_t cases);

void stored_index_open(struct stored_index *stored);
void stored_index_close(struct stored_index *stored);

/* Files the cases with ordinals in [from, to): those of the big account in batches, the others one by one. */
void stored_index_file(struct stored_index *stored, uint64_t from, uint64_t to);

/* How long it took, in milliseconds. */
double stored_index_checkpoint(struct stored_index *stored);

#endif
