#include "bench/support/search_measure.h"
#include "bench/support/search_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool build(const struct search_peer *peer, const char *place, const char *data)
{
    struct search_data_reader *reader = search_data_open(data, "cases.tsv");
    struct search_data_case line;
    struct search_terms terms = {0};
    bool done = reader && peer->open(place, true);
    int64_t start = search_now_ns(), count = 0, cpu = search_cpu_us(peer);
    while (done && (peer->add_newest_first ? search_data_previous : search_data_next)(reader, &line)) {
        struct search_peer_case added = {line.document,
                                         line.number,
                                         line.status,
                                         line.subject,
                                         search_terms_of(&terms, line.account, line.words),
                                         line.account,
                                         line.words};
        done = peer->add(&added);
        count++;
    }
    done = done && count == search_data_count(reader) && peer->finish();
    if (done) {
        search_print_head(peer, "build", "build");
        printf(", \"cases\": %lld, \"seconds\": %.2f, \"cpu_us\": %.2f, \"index_bytes\": %lld, "
               "\"total_bytes\": %lld}\n",
               (long long)count, (double)(search_now_ns() - start) / 1e9,
               (double)(search_cpu_us(peer) - cpu) / (double)count, (long long)peer->index_bytes(),
               (long long)peer->total_bytes());
        peer->close();
    }
    search_data_close(reader);
    free(terms.text);
    return done;
}

/* --- queries --- */

/* What is asked with which of the corpus's sets of words. */
struct class
{
    const char *name, *set;
    enum search_peer_order order;
    bool page, total, far;
};

static const struct class classes[] = {
    {"rare", "rare", SEARCH_PEER_NEWEST, true, false, false},
    {"frequent", "frequent", SEARCH_PEER_NEWEST, true, false, false},
    {"freq_freq", "freq_freq", SEARCH_PEER_NEWEST, true, false, false},
    {"freq_rare", "freq_rare", SEARCH_PEER_NEWEST, true, false, false},
    {"disjoint", "disjoint", SEARCH_PEER_NEWEST, true, false, false},
    {"absent", "absent", SEARCH_PEER_NEWEST, true, false, false},
    {"five_words", "five_words", SEARCH_PEER_NEWEST, true, false, false},
    {"count", "freq_freq", SEARCH_PEER_NEWEST, false, true, false},
    {"page_and_total", "freq_freq", SEARCH_PEER_NEWEST, true, true, false},
    {"by_subject", "freq_freq", SEARCH_PEER_SUBJECT, true, false, false},
    {"by_status", "freq_freq", SEARCH_PEER_STATUS, true, false, false},
    {"far_page", "frequent", SEARCH_PEER_NEWEST, true, false, true},
    {"small_accounts", "small", SEARCH_PEER_NEWEST, true, false, false},
};
enum { CLASSES = sizeof classes / sizeof *classes };

static struct search_peer_answer answer;

/* The far page is the 100th where there are as many, the 10th of a small corpus. The cursor is the last
 * document of the page before. */
static bool go_far(const struct search_peer *peer, struct search_peer_query *query, int64_t cases)
{
    size_t offset = (cases >= 100000 ? 99 : 9) * (size_t)SEARCH_PEER_PAGE;
    struct search_peer_query all = *query;
    all.limit = offset;
    if (!peer->query(&all, &answer))
        return false;
    query->offset = offset;
    query->before = answer.count == offset ? answer.documents[offset - 1] : 0;
    return true;
}

static bool prepare(const struct search_peer *peer, const struct class *class,
                    const struct search_queries *all, int64_t cases, struct search_peer_query *queries,
                    size_t *ret_count)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->names[i], class->set) != 0)
            continue;
        queries[count] = all->queries[i];
        queries[count].order = class->order;
        queries[count].limit = class->page ? SEARCH_PEER_PAGE : 0;
        queries[count].total = class->total;
        if (class->far && !go_far(peer, &queries[count], cases))
            return false;
        count++;
    }
    *ret_count = count;
    return count > 0;
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * UINT64_C(0x100000001b3);
}

/* One pass that warms up, and shows that all sides answer the same. */
static bool pass(const struct search_peer *peer, const struct search_peer_query *queries, size_t count,
                 struct search_samples *samples, uint64_t *ret_sum, uint64_t *ret_found)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325), found = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t start = search_now_ns();
        if (!peer->query(&queries[i], &answer))
            return false;
        search_samples_add(samples, search_now_ns() - start);
        for (size_t j = 0; queries[i].limit && j < answer.count; j++)
            sum = mix(sum, (uint64_t)answer.documents[j]);
        sum = mix(sum, queries[i].total ? answer.total : 0);
        found += queries[i].total ? answer.total : answer.count;
    }
    *ret_sum = sum;
    *ret_found = found;
    return true;
}

/* Until the time is over. Where one pass takes longer than that, it is what was measured. */
static bool repeat(const struct search_peer *peer, const struct search_peer_query *queries, size_t count,
                   int64_t ns, struct search_samples *samples)
{
    int64_t start = search_now_ns(), end = start + ns;
    search_samples_clear(samples);
    for (size_t i = 0; start < end || i < count; i++) {
        if (!peer->query(&queries[i % count], &answer))
            return false;
        int64_t now = search_now_ns();
        search_samples_add(samples, now - start);
        start = now;
    }
    return true;
}

static bool measure_class(const struct search_peer *peer, const struct class *class,
                          const struct search_queries *all, int64_t cases, double seconds)
{
    static struct search_peer_query queries[SEARCH_QUERIES_MAX];
    struct search_samples *samples = search_samples_new();
    size_t count;
    uint64_t sum, found;
    if (!samples || !prepare(peer, class, all, cases, queries, &count))
        return false;
    int64_t start = search_now_ns(), ns = (int64_t)(seconds * 1e9);
    if (!pass(peer, queries, count, samples, &sum, &found) ||
        (search_now_ns() - start < 4 * ns && !repeat(peer, queries, count, ns, samples)))
        return false;
    search_print_head(peer, "query", class->name);
    search_samples_print(samples);
    printf(", \"queries\": %zu, \"found\": %.1f, \"sum\": \"%016llx\"}\n", count,
           (double)found / (double)count, (unsigned long long)sum);
    search_samples_free(samples);
    return true;
}

/* What the way there and back takes. */
static bool measure_floor(const struct search_peer *peer, double seconds)
{
    struct search_samples *samples = peer->nothing ? search_samples_new() : NULL;
    if (!samples)
        return !peer->nothing;
    int64_t start = search_now_ns(), end = start + (int64_t)(seconds * 1e9);
    while (start < end) {
        if (!peer->nothing())
            return false;
        int64_t now = search_now_ns();
        search_samples_add(samples, now - start);
        start = now;
    }
    search_print_head(peer, "query", "floor");
    search_samples_print(samples);
    printf("}\n");
    search_samples_free(samples);
    return true;
}

static bool query(const struct search_peer *peer, const char *place, const char *data, double seconds)
{
    struct search_queries all;
    struct search_data_reader *reader = search_data_open(data, "cases.tsv");
    if (!reader || !search_queries_read(data, &all))
        return false;
    int64_t cases = search_data_count(reader), start = search_now_ns();
    search_data_close(reader);
    if (!peer->open(place, false) || !peer->query(&all.queries[0], &answer))
        return false;
    double first = (double)(search_now_ns() - start) / 1e9;
    for (size_t i = 0; i < CLASSES; i++)
        if (!measure_class(peer, &classes[i], &all, cases, seconds))
            return false;
    if (!measure_floor(peer, seconds))
        return false;
    search_print_head(peer, "query", "open");
    printf(", \"cases\": %lld, \"first_answer_seconds\": %.4f, \"resident_kb\": %lld, \"index_bytes\": %lld, "
           "\"total_bytes\": %lld}\n",
           (long long)cases, first, (long long)search_resident_kb(), (long long)peer->index_bytes(),
           (long long)peer->total_bytes());
    peer->close();
    return true;
}

static int usage(void)
{
    fprintf(stderr, "usage: see bench/support/search_peer.h\n");
    return 2;
}

int search_driver_main(const struct search_peer *peer, int argc, char **argv)
{
    bool done;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 4 && strcmp(argv[1], "build") == 0)
        done = build(peer, argv[2], argv[3]);
    else if (argc == 5 && strcmp(argv[1], "query") == 0)
        done = query(peer, argv[2], argv[3], strtod(argv[4], NULL));
    else if (argc == 5 && strcmp(argv[1], "update") == 0)
        done = search_changes_update(peer, argv[2], argv[3], strtoll(argv[4], NULL, 10));
    else if (argc == 6 && strcmp(argv[1], "mixed") == 0)
        done = search_changes_mixed(peer, argv[2], argv[3], strtod(argv[4], NULL), strtod(argv[5], NULL));
    else
        return usage();
    if (!done)
        fprintf(stderr, "%s: %s failed\n", peer->name, argv[1]);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
