/*
 * How soon a stored index of search answers again: search_restart DIRECTORY [CASES]
 *
 * Files CASES cases (a million unless told) of the search corpus into an index in the directory, which must
 * not be there, and opens it anew several times. Prints one JSON object: time of checkpoints, and from
 * nothing to the first answer, in milliseconds.
 */

#include "base/clock.h"
#include "bench/support/stored_index.h"
#include "embedded/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 5, UPDATES = 2000 };

static void must(bool done, const error *err)
{
    if (done)
        return;
    fprintf(stderr, "search_restart: %s\n", err->message);
    exit(EXIT_FAILURE);
}

static uint64_t ask(struct stored_index *bench)
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

static void restart(struct stored_index *bench, int round)
{
    int64_t begin = clock_monotonic_us();
    stored_index_open(bench);
    int64_t opened = clock_monotonic_us();
    uint64_t total = ask(bench);
    int64_t answered = clock_monotonic_us();
    printf("%s{\"open_ms\": %.1f, \"first_answer_ms\": %.1f, \"total\": %" PRIu64 "}", round ? ", " : "",
           (double)(opened - begin) / 1000, (double)(answered - begin) / 1000, total);
    stored_index_close(bench);
}

int main(int argc, char **argv)
{
    struct stored_index bench;
    if (argc < 2)
        return EXIT_FAILURE;
    stored_index_init(&bench, argv[1], argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000);
    stored_index_open(&bench);
    stored_index_file(&bench, 0, bench.cases);
    search_index_settle(bench.index);
    printf("{\"cases\": %" PRIu64 ", \"first_checkpoint_ms\": %.1f", bench.cases,
           stored_index_checkpoint(&bench));
    stored_index_file(&bench, 0, UPDATES); /* read again: newer ones take their place */
    printf(", \"checkpoint_of_%d_changes_ms\": %.1f, \"restarts\": [", UPDATES,
           stored_index_checkpoint(&bench));
    stored_index_close(&bench);
    for (int round = 0; round < ROUNDS; round++)
        restart(&bench, round);
    printf("]}\n");
    search_corpus_free(bench.corpus);
    process_remove_tree(argv[1]);
    return EXIT_SUCCESS;
}
