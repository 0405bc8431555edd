/*
 * How soon a stored index of search answers again: search_restart DIRECTORY [CASES]
 *
 * Files CASES cases (a million unless told) of the search corpus into an index in the directory, which must
 * not be there, and opens it anew several times. Prints one JSON object: time of checkpoints, and from
 * nothing to the first answer, in milliseconds.
 */

#include "base/clock.h"
#include "bench/support/search_corpus.h"
#include "embedded/process.h"
#include "search/search_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 512, ROUNDS = 5, UPDATES = 2000 };

struct bench {
    struct search_store_options options;
    struct search_corpus *corpus;
    uint64_t cases;
    search_index *index;
    search_store *store;
};

static void must(bool done, const error *err)
{
    if (done)
        return;
    fprintf(stderr, "search_restart: %s\n", err->message);
    exit(EXIT_FAILURE);
}

/* Each account's cases of so many ordinals become one batch. */
static void file(struct bench *bench, uint64_t from, uint64_t to)
{
    struct search_corpus_case *cases = calloc(BATCH, sizeof *cases);
    struct search_change *changes = calloc(BATCH, sizeof *changes);
    size_t count = 0;
    error err;
    for (uint64_t i = from; i < to; i++) {
        struct search_corpus_case *c = &cases[count];
        search_corpus_make(bench->corpus, i, c);
        struct search_change change = {.number = c->document.number, .document = &c->document};
        bool big = strcmp(c->account, SEARCH_CORPUS_BIG_ACCOUNT) == 0;
        if (!big) {
            must(search_index_apply(bench->index, c->account, &change, 1, &err), &err);
            continue;
        }
        changes[count++] = change;
        if (count == BATCH) {
            must(search_index_apply(bench->index, SEARCH_CORPUS_BIG_ACCOUNT, changes, count, &err), &err);
            count = 0;
        }
    }
    if (count > 0)
        must(search_index_apply(bench->index, SEARCH_CORPUS_BIG_ACCOUNT, changes, count, &err), &err);
    free(changes);
    free(cases);
}

static void open_index(struct bench *bench)
{
    error err = {0};
    must(search_index_new(&bench->index, &err), &err);
    must(search_store_open(&bench->options, bench->index, &bench->store, &err), &err);
}

static void close_index(struct bench *bench)
{
    search_store_stop(bench->store);
    search_index_free(bench->index);
    search_store_free(bench->store);
}

static double checkpoint(struct bench *bench)
{
    static int64_t position;
    struct feed_positions positions = {.epoch = "bench"};
    error err = {0};
    positions.at[0] = ++position;
    search_index_set_positions(bench->index, &positions);
    int64_t begin = clock_monotonic_us();
    must(search_store_checkpoint(bench->store, &err), &err);
    return (double)(clock_monotonic_us() - begin) / 1000;
}

static uint64_t ask(struct bench *bench)
{
    char text[SEARCH_CORPUS_QUERY_SIZE];
    struct search_query query = {.fields = SEARCH_FIELDS_ALL,
                                 .statuses = ~SEARCH_STATUS_BIT(SEARCH_STATUS_DELETED),
                                 .start_time_us = INT64_MIN,
                                 .end_time_us = INT64_MAX,
                                 .descending = true,
                                 .limit = 10};
    struct search_answer answer;
    arena *memory = arena_new(1 << 20);
    error err = {0};
    search_corpus_query(bench->corpus, SEARCH_CORPUS_FREQUENT_FREQUENT, 0, bench->cases, text);
    must(search_query_words(text, memory, &query.words, &query.word_count, &err), &err);
    must(search_index_query(bench->index, SEARCH_CORPUS_BIG_ACCOUNT, &query, memory, &answer, &err), &err);
    uint64_t total = answer.total;
    search_answer_release(&answer);
    arena_free(memory);
    return total;
}

static void restart(struct bench *bench, int round)
{
    int64_t begin = clock_monotonic_us();
    open_index(bench);
    int64_t opened = clock_monotonic_us();
    uint64_t total = ask(bench);
    int64_t answered = clock_monotonic_us();
    printf("%s{\"open_ms\": %.1f, \"first_answer_ms\": %.1f, \"total\": %" PRIu64 "}", round ? ", " : "",
           (double)(opened - begin) / 1000, (double)(answered - begin) / 1000, total);
    close_index(bench);
}

int main(int argc, char **argv)
{
    struct bench bench = {.cases = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000};
    if (argc < 2)
        return EXIT_FAILURE;
    bench.options = (struct search_store_options){.directory = argv[1],
                                                  .shards = 1,
                                                  .interval_us = CLOCK_DAY,
                                                  .bytes = INT64_MAX,
                                                  .erasure_us = CLOCK_DAY};
    bench.corpus = search_corpus_new(SEARCH_CORPUS_SEED, SEARCH_CORPUS_SMALL_ACCOUNTS);
    open_index(&bench);
    file(&bench, 0, bench.cases);
    search_index_settle(bench.index);
    printf("{\"cases\": %" PRIu64 ", \"first_checkpoint_ms\": %.1f", bench.cases, checkpoint(&bench));
    file(&bench, 0, UPDATES); /* read again: newer ones take their place */
    printf(", \"checkpoint_of_%d_changes_ms\": %.1f, \"restarts\": [", UPDATES, checkpoint(&bench));
    close_index(&bench);
    for (int round = 0; round < ROUNDS; round++)
        restart(&bench, round);
    printf("]}\n");
    search_corpus_free(bench.corpus);
    process_remove_tree(argv[1]);
    return EXIT_SUCCESS;
}
