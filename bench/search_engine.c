/*
 * The engine of search alone, in process: search_engine [CASES [SECONDS [CLASS]]]
 *
 * Files CASES cases (a million unless told) of the search corpus, asks the account that has most of them
 * queries of every class, changes cases, and prints one JSON object: the median and the 99th percentile of
 * each class in nanoseconds, CPU of updates, build rate, sizes.
 */

#include "base/clock.h"
#include "bench/support/search_corpus.h"
#include "bench/support/search_parts.h"
#include "search/search_index.h"
#include "search/search_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 512, SAMPLES_MAX = 200000, PAGE = 10, SMALL_ACCOUNTS = 1000, UPDATES = 2000 };

struct bench {
    struct search_corpus *corpus;
    search_index *index;
    arena *memory;
    uint64_t cases;
    double seconds; /* of each class of queries */
    uint64_t text_bytes;
};

static void must(bool done, const error *err)
{
    if (done)
        return;
    fprintf(stderr, "search_engine: %s\n", err->message);
    exit(EXIT_FAILURE);
}

static int64_t now_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static long resident_kb(void)
{
    char line[256] = "";
    FILE *file = fopen("/proc/self/statm", "r");
    const char *second = file && fgets(line, sizeof line, file) ? strchr(line, ' ') : NULL;
    if (file)
        fclose(file);
    return second ? strtol(second, NULL, 10) * 4 : 0;
}

/* --- building ----------------------------------------------------------------------------------------- */

/* Cases of one account that wait for their batch. */
struct pile {
    struct search_corpus_case *cases;
    struct search_change changes[BATCH];
    size_t count;
};

/* Cases in order, the big account's in batches, the others' as they come; the time is that of the index
 * alone. */
static double build(struct bench *bench)
{
    struct pile *pile = calloc(1, sizeof *pile);
    pile->cases = calloc(BATCH, sizeof *pile->cases);
    int64_t spent = 0;
    error err;
    for (uint64_t i = 0; i < bench->cases; i++) {
        struct search_corpus_case *c = &pile->cases[pile->count];
        search_corpus_make(bench->corpus, i, c);
        bench->text_bytes += c->text_bytes;
        struct search_change change = {.number = c->document.number, .document = &c->document};
        bool big = strcmp(c->account, SEARCH_CORPUS_BIG_ACCOUNT) == 0;
        if (big)
            pile->changes[pile->count++] = change;
        if (big && pile->count < BATCH && i + 1 < bench->cases)
            continue;
        int64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
        must(search_index_apply(bench->index, c->account, big ? pile->changes : &change,
                                big ? pile->count : 1, &err),
             &err);
        spent += now_ns(CLOCK_PROCESS_CPUTIME_ID) - start;
        pile->count = big ? 0 : pile->count;
    }
    if (pile->count > 0)
        must(search_index_apply(bench->index, SEARCH_CORPUS_BIG_ACCOUNT, pile->changes, pile->count, &err),
             &err);
    free(pile->cases);
    free(pile);
    int64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    search_index_settle(bench->index);
    spent += now_ns(CLOCK_PROCESS_CPUTIME_ID) - start;
    return (double)spent / 1e9;
}

/* --- queries ------------------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

struct variant {
    const char *name;
    enum search_corpus_class class;
    enum search_order order;
    bool total;
    int pages; /* asked for before the one that is measured */
    bool read; /* subjects, owners and matches of the results as well; else which cases they are */
};

static const struct variant variants[] = {
    {"rare", SEARCH_CORPUS_RARE, SEARCH_ORDER_UPDATE_TIME, false, 0, false},
    {"frequent", SEARCH_CORPUS_FREQUENT, SEARCH_ORDER_UPDATE_TIME, false, 0, false},
    {"frequent_frequent", SEARCH_CORPUS_FREQUENT_FREQUENT, SEARCH_ORDER_UPDATE_TIME, false, 0, false},
    {"frequent_rare", SEARCH_CORPUS_FREQUENT_RARE, SEARCH_ORDER_UPDATE_TIME, false, 0, false},
    {"disjoint", SEARCH_CORPUS_DISJOINT, SEARCH_ORDER_UPDATE_TIME, false, 0, false},
    {"absent", SEARCH_CORPUS_ABSENT, SEARCH_ORDER_UPDATE_TIME, false, 0, false},
    {"five_words", SEARCH_CORPUS_FIVE, SEARCH_ORDER_UPDATE_TIME, false, 0, false},
    {"frequent_read", SEARCH_CORPUS_FREQUENT, SEARCH_ORDER_UPDATE_TIME, false, 0, true},
    {"page_100", SEARCH_CORPUS_FREQUENT, SEARCH_ORDER_UPDATE_TIME, false, 99, false},
    {"by_subject", SEARCH_CORPUS_FREQUENT_FREQUENT, SEARCH_ORDER_SUBJECT, false, 0, false},
    {"by_status", SEARCH_CORPUS_FREQUENT_FREQUENT, SEARCH_ORDER_STATUS, false, 0, false},
    {"with_total_rare", SEARCH_CORPUS_RARE, SEARCH_ORDER_UPDATE_TIME, true, 0, false},
    {"with_total_frequent", SEARCH_CORPUS_FREQUENT, SEARCH_ORDER_UPDATE_TIME, true, 0, false},
    {"with_total_frequent_frequent", SEARCH_CORPUS_FREQUENT_FREQUENT, SEARCH_ORDER_UPDATE_TIME, true, 0,
     false},
    {"with_total_frequent_rare", SEARCH_CORPUS_FREQUENT_RARE, SEARCH_ORDER_UPDATE_TIME, true, 0, false},
    {"with_total_disjoint", SEARCH_CORPUS_DISJOINT, SEARCH_ORDER_UPDATE_TIME, true, 0, false},
    {"with_total_five_words", SEARCH_CORPUS_FIVE, SEARCH_ORDER_UPDATE_TIME, true, 0, false},
};

/* A query of the rotation, ready to be asked. */
struct prepared {
    arena *memory;
    struct search_query query;
    struct search_cursor after;
};

static void prepare(struct bench *bench, const struct variant *variant, unsigned turn,
                    struct prepared *prepared)
{
    char text[SEARCH_CORPUS_QUERY_SIZE];
    error err;
    prepared->memory = arena_new(1 << 20);
    prepared->query = (struct search_query){.fields = SEARCH_FIELDS_ALL,
                                            .statuses = ~SEARCH_STATUS_BIT(SEARCH_STATUS_DELETED),
                                            .start_time_us = INT64_MIN,
                                            .end_time_us = INT64_MAX,
                                            .order = variant->order,
                                            .descending = true,
                                            .limit = PAGE,
                                            .without_total = !variant->total};
    struct search_query *query = &prepared->query;
    search_corpus_query(bench->corpus, variant->class, turn, bench->cases, text);
    must(search_query_words(text, prepared->memory, &query->words, &query->word_count, &err), &err);
    for (int page = 0; page < variant->pages; page++) {
        struct search_answer answer;
        must(search_index_query(bench->index, SEARCH_CORPUS_BIG_ACCOUNT, query, prepared->memory, &answer,
                                &err),
             &err);
        search_answer_release(&answer);
        if (!answer.more)
            break;
        prepared->after = answer.last;
        query->after = &prepared->after;
    }
}

static bool ask(struct bench *bench, const struct variant *variant, const struct search_query *query,
                struct search_answer *ret_answer)
{
    error err;
    int64_t sum = 0;
    bool done =
        search_index_query(bench->index, SEARCH_CORPUS_BIG_ACCOUNT, query, bench->memory, ret_answer, &err) &&
        (!variant->read || search_answer_read(ret_answer, bench->memory));
    for (size_t i = 0; done && !variant->read && i < ret_answer->count; i++)
        sum += search_answer_number(ret_answer, i);
    if (done)
        search_answer_release(ret_answer);
    return done && sum >= 0;
}

static void measure(struct bench *bench, const struct variant *variant)
{
    static int64_t samples[SAMPLES_MAX];
    static struct prepared prepared[SEARCH_CORPUS_ROTATION];
    uint64_t found = 0, asked = 0;
    for (unsigned i = 0; i < SEARCH_CORPUS_ROTATION; i++)
        prepare(bench, variant, i, &prepared[i]);
    int64_t end = now_ns(CLOCK_MONOTONIC) + (int64_t)(bench->seconds * 1e9), clock_cost = INT64_MAX;
    for (int i = 0; i < 1000; i++) {
        int64_t start = now_ns(CLOCK_MONOTONIC), cost = now_ns(CLOCK_MONOTONIC) - start;
        clock_cost = cost < clock_cost ? cost : clock_cost;
    }
    for (unsigned turn = 0; now_ns(CLOCK_MONOTONIC) < end; turn++) {
        struct search_answer answer;
        arena_clear(bench->memory);
        int64_t start = now_ns(CLOCK_MONOTONIC);
        bool done = ask(bench, variant, &prepared[turn % SEARCH_CORPUS_ROTATION].query, &answer);
        int64_t took = now_ns(CLOCK_MONOTONIC) - start - clock_cost;
        must(done, &(error){.message = "a query failed"});
        found += variant->total ? answer.total : answer.count;
        asked++;
        if (turn >= SEARCH_CORPUS_ROTATION) /* the latest, when there are too many */
            samples[(turn - SEARCH_CORPUS_ROTATION) % SAMPLES_MAX] = took;
    }
    size_t count = asked > SEARCH_CORPUS_ROTATION ? asked - SEARCH_CORPUS_ROTATION : 0;
    count = count < SAMPLES_MAX ? count : SAMPLES_MAX;
    qsort(samples, count, sizeof *samples, compare);
    printf("  \"%s\": {\"p50_ns\": %" PRId64 ", \"p99_ns\": %" PRId64 ", \"found\": %.1f},\n", variant->name,
           count ? samples[count / 2] : 0, count ? samples[count * 99 / 100] : 0,
           (double)found / (double)asked);
    fflush(stdout);
    for (unsigned i = 0; i < SEARCH_CORPUS_ROTATION; i++)
        arena_free(prepared[i].memory);
}

/* --- updates ------------------------------------------------------------------------------------------ */

/* Changes cases of the big account one by one, as `alter` says; the CPU of all threads, merges too. */
static void update(struct bench *bench, const char *name,
                   void (*alter)(struct search_corpus_case *c, int64_t turn))
{
    struct search_corpus_case *c = calloc(1, sizeof *c);
    int64_t spent = 0;
    error err;
    for (int64_t turn = 0; turn < UPDATES; turn++) {
        uint64_t ordinal = (uint64_t)turn * 7919 % bench->cases;
        while (!search_corpus_is_big(bench->corpus, ordinal))
            ordinal = (ordinal + 1) % bench->cases;
        search_corpus_make(bench->corpus, ordinal, c);
        c->document.position = (int64_t)bench->cases + turn;
        c->document.update_time_us += (int64_t)bench->cases * 1000000 + turn;
        alter(c, turn);
        const struct search_change change = {.number = c->document.number, .document = &c->document};
        int64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
        must(search_index_apply(bench->index, SEARCH_CORPUS_BIG_ACCOUNT, &change, 1, &err), &err);
        spent += now_ns(CLOCK_PROCESS_CPUTIME_ID) - start;
    }
    printf("  \"update_%s_cpu_us\": %.1f,\n", name, (double)spent / 1e3 / UPDATES);
    free(c);
}

static void touch(struct search_corpus_case *c, int64_t turn)
{
    (void)c;
    (void)turn;
}

static void label(struct search_corpus_case *c, int64_t turn)
{
    c->labels[0] = turn % 2 ? "Followed Up" : "Waiting";
    c->document.label_count = 1;
    c->texts[c->document.text_count++] = (struct search_text){SEARCH_FIELD_LABEL, c->labels[0]};
}

static void message(struct search_corpus_case *c, int64_t turn)
{
    static const char *const bodies[] = {"Thank you for the quick answer, it works now.",
                                         "I have tried that twice already and it is still broken."};
    c->texts[c->document.text_count++] = (struct search_text){SEARCH_FIELD_MESSAGE, bodies[turn % 2]};
}

/* --- all ---------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    struct bench bench = {.cases = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000,
                          .seconds = argc > 2 ? strtod(argv[2], NULL) : 1};
    error err;
    bench.corpus = search_corpus_new(1, SMALL_ACCOUNTS);
    bench.memory = arena_new(8 << 20);
    if (!bench.corpus || !bench.memory || bench.cases == 0)
        return EXIT_FAILURE;
    must(search_index_new(&bench.index, &err), &err);
    long before = resident_kb();
    double seconds = build(&bench);
    long after = resident_kb();
    struct search_account_status *accounts;
    size_t count;
    uint64_t held = 0;
    must(search_index_status(bench.index, NULL, bench.memory, &accounts, &count, &err), &err);
    for (size_t i = 0; i < count; i++)
        held += accounts[i].bytes;
    double cases = (double)bench.cases, text = (double)bench.text_bytes;
    printf("{\n  \"cases\": %" PRIu64 ", \"text_mb\": %.1f, \"build_mb_per_cpu_s\": %.1f,\n", bench.cases,
           text / 1e6, text / 1e6 / seconds);
    printf("  \"index_share_of_text\": %.3f, \"index_bytes_per_case\": %.0f, \"resident_bytes_per_case\": "
           "%.0f,\n",
           (double)held / text, (double)held / cases, (double)(after - before) * 1024 / cases);
    search_parts_print(bench.index, stdout);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (argc <= 3 || strcmp(argv[3], variants[i].name) == 0)
            measure(&bench, &variants[i]);
    if (argc <= 3) {
        update(&bench, "touch", touch);
        update(&bench, "label", label);
        update(&bench, "message", message);
        search_index_settle(bench.index);
        measure(&bench, &(struct variant){"after_updates_frequent_frequent", SEARCH_CORPUS_FREQUENT_FREQUENT,
                                          SEARCH_ORDER_UPDATE_TIME, false, 0, false});
    }
    printf("  \"page\": %d\n}\n", PAGE);
    search_index_free(bench.index);
    search_corpus_free(bench.corpus);
    arena_free(bench.memory);
    return EXIT_SUCCESS;
}
