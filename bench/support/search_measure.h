#ifndef CASEWORK_BENCH_SEARCH_MEASURE_H
#define CASEWORK_BENCH_SEARCH_MEASURE_H

/* Parts of the search benchmark's driver: clocks, samples, the corpus's queries as peers take them. */

#include "bench/support/search_data.h"
#include "bench/support/search_peer.h"

int64_t search_now_ns(void); /* monotonic */
int64_t search_resident_kb(void);
int64_t search_cpu_us(const struct search_peer *peer); /* that of the process, unless the peer knows better */

struct search_samples; /* times, as many as there are; the last million is kept */
struct search_samples *search_samples_new(void);
void search_samples_free(struct search_samples *samples);
void search_samples_clear(struct search_samples *samples);
void search_samples_add(struct search_samples *samples, int64_t ns);
/* In the middle of an object of JSON: p50_us, p99_us, calls. */
void search_samples_print(struct search_samples *samples);

/* Begins a line: "{" and who, which part, which class. */
void search_print_head(const struct search_peer *peer, const char *phase, const char *name);

/* The words of a case as terms, in memory that is used again. */
struct search_terms {
    char *text;
    size_t size;
};
const char *search_terms_of(struct search_terms *terms, int account, const char *words);

enum { SEARCH_QUERIES_MAX = 4000 };

/* The queries of a page, newest first; until the program ends. */
struct search_queries {
    const char *names[SEARCH_QUERIES_MAX];
    struct search_peer_query queries[SEARCH_QUERIES_MAX];
    size_t count;
};
bool search_queries_read(const char *data, struct search_queries *ret_queries);

/* search_changes.c */
bool search_changes_update(const struct search_peer *peer, const char *place, const char *data,
                           int64_t count);
bool search_changes_mixed(const struct search_peer *peer, const char *place, const char *data, double seconds,
                          double rate);

#endif
