#include "bench/support/stored_index.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 512 };

static void must(bool done, const error *err)
{
    if (done)
        return;
    fprintf(stderr, "search: %s\n", err->message);
    exit(EXIT_FAILURE);
}

void stored_index_init(struct stored_index *stored, const char *directory, uint64_t cases)
{
    *stored = (struct stored_index){.options = {.directory = directory,
                                                .shards = 1,
                                                .interval_us = CLOCK_DAY,
                                                .bytes = INT64_MAX,
                                                .erasure_us = CLOCK_DAY},
                                    .cases = cases,
                                    .positions = {.epoch = "bench"}};
    stored->corpus = search_corpus_new(SEARCH_CORPUS_SEED, SEARCH_CORPUS_SMALL_ACCOUNTS);
}

void stored_index_open(struct stored_index *stored)
{
    error err = {0};
    must(search_index_new(&stored->index, &err), &err);
    must(search_store_open(&stored->options, stored->index, &stored->store, &err), &err);
}

void stored_index_close(struct stored_index *stored)
{
    search_store_stop(stored->store);
    search_index_free(stored->index);
    search_store_free(stored->store);
}

static void apply(struct stored_index *stored, const char *account, const struct search_change *changes,
                  size_t count)
{
    error err = {0};
    must(count == 0 || search_index_apply(stored->index, account, changes, count, &err), &err);
}

void stored_index_file(struct stored_index *stored, uint64_t from, uint64_t to)
{
    struct search_corpus_case *cases = calloc(BATCH, sizeof *cases);
    struct search_change *changes = calloc(BATCH, sizeof *changes);
    size_t count = 0;
    for (uint64_t i = from; cases && changes && i < to; i++) {
        struct search_corpus_case *c = &cases[count];
        search_corpus_make(stored->corpus, i, c);
        struct search_change change = {.number = c->document.number, .document = &c->document};
        if (strcmp(c->account, SEARCH_CORPUS_BIG_ACCOUNT) != 0) {
            apply(stored, c->account, &change, 1);
            continue;
        }
        changes[count++] = change;
        if (count == BATCH) {
            apply(stored, SEARCH_CORPUS_BIG_ACCOUNT, changes, count);
            count = 0;
        }
    }
    apply(stored, SEARCH_CORPUS_BIG_ACCOUNT, changes, count);
    free(changes);
    free(cases);
}

double stored_index_checkpoint(struct stored_index *stored)
{
    error err = {0};
    stored->positions.at[0]++;
    search_index_set_positions(stored->index, &stored->positions);
    int64_t begun_us = clock_monotonic_us();
    must(search_store_checkpoint(stored->store, &err), &err);
    return (double)(clock_monotonic_us() - begun_us) / 1000;
}
