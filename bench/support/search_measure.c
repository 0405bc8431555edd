#include "bench/support/search_measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { SAMPLES_MAX = 1000000, TERM_MAX = 300 };

struct search_samples {
    size_t count;
    int32_t ns[SAMPLES_MAX]; /* up to 2 s: what is longer counts as that */
};

int64_t search_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t search_resident_kb(void)
{
    char line[256];
    long long kb = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = strtoll(line + 6, NULL, 10);
    if (file)
        fclose(file);
    return kb;
}

static int64_t time_us(const struct timeval *time)
{
    return (int64_t)time->tv_sec * 1000000 + time->tv_usec;
}

int64_t search_cpu_us(const struct search_peer *peer)
{
    struct rusage usage;
    if (peer->cpu_us)
        return peer->cpu_us();
    getrusage(RUSAGE_SELF, &usage);
    return time_us(&usage.ru_utime) + time_us(&usage.ru_stime);
}

/* --- samples --- */

struct search_samples *search_samples_new(void)
{
    return calloc(1, sizeof(struct search_samples));
}

void search_samples_free(struct search_samples *samples)
{
    free(samples);
}

void search_samples_clear(struct search_samples *samples)
{
    samples->count = 0;
}

void search_samples_add(struct search_samples *samples, int64_t ns)
{
    samples->ns[samples->count++ % SAMPLES_MAX] = ns < INT32_MAX ? (int32_t)ns : INT32_MAX;
}

static int compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

void search_samples_print(struct search_samples *samples)
{
    size_t kept = samples->count < SAMPLES_MAX ? samples->count : SAMPLES_MAX;
    qsort(samples->ns, kept, sizeof *samples->ns, compare);
    double p50 = kept ? samples->ns[(kept - 1) / 2] : 0, p99 = kept ? samples->ns[(kept - 1) * 99 / 100] : 0;
    printf(", \"p50_us\": %.3f, \"p99_us\": %.3f, \"calls\": %zu", p50 / 1000, p99 / 1000, samples->count);
}

void search_print_head(const struct search_peer *peer, const char *phase, const char *name)
{
    printf("{\"peer\": \"%s\", \"phase\": \"%s\", \"class\": \"%s\"", peer->name, phase, name);
}

/* --- terms --- */

const char *search_terms_of(struct search_terms *terms, int account, const char *words)
{
    char prefix[16];
    size_t length = strlen(words), spaces = 1;
    for (const char *at = words; (at = strchr(at, ' ')); at++)
        spaces++;
    size_t prefix_length = (size_t)snprintf(prefix, sizeof prefix, "%d:", account);
    size_t needed = length + spaces * prefix_length + 1;
    if (needed > terms->size) {
        free(terms->text);
        terms->text = malloc(2 * needed);
        terms->size = terms->text ? 2 * needed : 0;
        if (!terms->text)
            abort();
    }
    char *to = terms->text;
    for (const char *from = words; from;) {
        const char *end = strchrnul(from, ' ');
        to = mempcpy(mempcpy(to, prefix, prefix_length), from, (size_t)(end - from));
        *to++ = *end;
        from = *end ? end + 1 : NULL;
    }
    return terms->text;
}

static bool make_query(const struct search_data_query *from, struct search_peer_query *ret_query)
{
    const char **terms = calloc(from->word_count, sizeof *terms);
    for (size_t i = 0; terms && i < from->word_count; i++) {
        char term[TERM_MAX];
        snprintf(term, sizeof term, "%d:%s", from->account, from->words[i]);
        terms[i] = strdup(term);
        if (!terms[i])
            return false;
    }
    *ret_query = (struct search_peer_query){
        .terms = terms, .term_count = from->word_count, .limit = SEARCH_PEER_PAGE, .before = INT64_MAX};
    return terms != NULL;
}

bool search_queries_read(const char *data, struct search_queries *ret_queries)
{
    size_t count = 0;
    struct search_data_query *lines = search_data_queries(data, &count);
    if (!lines || count == 0 || count > SEARCH_QUERIES_MAX)
        return false;
    ret_queries->count = count;
    for (size_t i = 0; i < count; i++) {
        ret_queries->names[i] = lines[i].name;
        if (!make_query(&lines[i], &ret_queries->queries[i]))
            return false;
    }
    return true;
}
