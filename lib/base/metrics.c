#include "base/metrics.h"

#include "base/bytes.h"
#include "base/thread_shard.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Upper bounds in microseconds: 1, 2.5 and 5 of each power of ten from 100 us to 100 s. */
static const int64_t bounds_us[] = {100,     250,      500,      1000,     2500,     5000,    10000,
                                    25000,   50000,    100000,   250000,   500000,   1000000, 2500000,
                                    5000000, 10000000, 25000000, 50000000, 100000000};

enum { BOUNDS = sizeof bounds_us / sizeof *bounds_us };

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric {
    struct metric *next;
    enum metric_kind kind;
    char *name, *help, *labels;
};

/* The value is the sum of the shards. */
struct shard {
    alignas(CACHE_LINE) _Atomic int64_t value;
};

struct metrics_counter {
    struct metric metric;
    struct shard shards[THREAD_SHARDS];
};

struct metrics_gauge {
    struct metric metric;
    struct shard shards[THREAD_SHARDS];
};

struct histogram_shard {
    alignas(CACHE_LINE) _Atomic int64_t sum_us;
    _Atomic int64_t buckets[BOUNDS + 1]; /* the last one: beyond all bounds */
};

struct metrics_histogram {
    struct metric metric;
    struct histogram_shard shards[THREAD_SHARDS];
};

/* In the order of registration, those of one name together. They live as long as the program. */
static struct metric *metrics;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct metric *find(const char *name, const char *labels, struct metric **ret_last_of_name)
{
    for (struct metric *m = metrics; m; m = m->next) {
        if (strcmp(m->name, name) != 0)
            continue;
        *ret_last_of_name = m;
        if (strcmp(m->labels, labels) == 0)
            return m;
    }
    return NULL;
}

static struct metric *create(enum metric_kind kind, size_t size, const char *name, const char *help,
                             const char *labels)
{
    struct metric *m = aligned_alloc(CACHE_LINE, size);
    if (m) {
        memset(m, 0, size);
        m->kind = kind;
        m->name = strdup(name);
        m->help = strdup(help);
        m->labels = strdup(labels);
    }
    if (!m || !m->name || !m->help || !m->labels)
        abort(); /* a few bytes at start: there is nothing to go on with */
    return m;
}

static void *get(enum metric_kind kind, size_t size, const char *name, const char *help, const char *labels)
{
    struct metric *before = NULL;
    pthread_mutex_lock(&lock);
    struct metric *m = find(name, labels, &before);
    if (!m) {
        m = create(kind, size, name, help, labels);
        struct metric **at = before ? &before->next : &metrics;
        while (!before && *at)
            at = &(*at)->next;
        m->next = *at;
        *at = m;
    }
    pthread_mutex_unlock(&lock);
    return m;
}

metrics_counter *metrics_counter_get(const char *name, const char *help, const char *labels)
{
    return get(METRIC_COUNTER, sizeof(metrics_counter), name, help, labels);
}

metrics_gauge *metrics_gauge_get(const char *name, const char *help, const char *labels)
{
    return get(METRIC_GAUGE, sizeof(metrics_gauge), name, help, labels);
}

metrics_histogram *metrics_histogram_get(const char *name, const char *help, const char *labels)
{
    return get(METRIC_HISTOGRAM, sizeof(metrics_histogram), name, help, labels);
}

static void add_relaxed(_Atomic int64_t *value, int64_t amount)
{
    atomic_fetch_add_explicit(value, amount, memory_order_relaxed);
}

static int64_t sum(const struct shard *shards)
{
    int64_t value = 0;
    for (unsigned i = 0; i < THREAD_SHARDS; i++)
        value += atomic_load_explicit(&shards[i].value, memory_order_relaxed);
    return value;
}

void metrics_add(metrics_counter *counter, int64_t amount)
{
    add_relaxed(&counter->shards[thread_shard()].value, amount);
}

void metrics_set(metrics_gauge *gauge, int64_t value)
{
    for (unsigned i = 0; i < THREAD_SHARDS; i++)
        atomic_store_explicit(&gauge->shards[i].value, i == 0 ? value : 0, memory_order_relaxed);
}

void metrics_gauge_add(metrics_gauge *gauge, int64_t amount)
{
    add_relaxed(&gauge->shards[thread_shard()].value, amount);
}

void metrics_observe(metrics_histogram *histogram, int64_t duration_us)
{
    struct histogram_shard *shard = &histogram->shards[thread_shard()];
    unsigned i = 0;
    while (i < BOUNDS && duration_us > bounds_us[i])
        i++;
    add_relaxed(&shard->buckets[i], 1);
    add_relaxed(&shard->sum_us, duration_us);
}

int64_t metrics_counter_value(const metrics_counter *counter)
{
    return sum(counter->shards);
}

/* --- text --- */

static void write_value(bytes *text, const struct metric *m, int64_t value)
{
    if (m->labels[0])
        bytes_printf(text, "%s{%s} %lld\n", m->name, m->labels, (long long)value);
    else
        bytes_printf(text, "%s %lld\n", m->name, (long long)value);
}

static int64_t in_bucket(const metrics_histogram *h, unsigned bucket)
{
    int64_t count = 0;
    for (unsigned i = 0; i < THREAD_SHARDS; i++)
        count += atomic_load_explicit(&h->shards[i].buckets[bucket], memory_order_relaxed);
    return count;
}

static void write_histogram(bytes *text, const metrics_histogram *h)
{
    const struct metric *m = &h->metric;
    const char *comma = m->labels[0] ? "," : "";
    int64_t count = 0;
    for (unsigned i = 0; i < BOUNDS; i++) {
        count += in_bucket(h, i);
        bytes_printf(text, "%s_bucket{%s%sle=\"%g\"} %lld\n", m->name, m->labels, comma,
                     (double)bounds_us[i] / 1e6, (long long)count);
    }
    count += in_bucket(h, BOUNDS);
    int64_t total_us = 0;
    for (unsigned i = 0; i < THREAD_SHARDS; i++)
        total_us += atomic_load_explicit(&h->shards[i].sum_us, memory_order_relaxed);
    bytes_printf(text, "%s_bucket{%s%sle=\"+Inf\"} %lld\n", m->name, m->labels, comma, (long long)count);
    const char *open = m->labels[0] ? "{" : "", *close = m->labels[0] ? "}" : "";
    bytes_printf(text, "%s_sum%s%s%s %.6f\n", m->name, open, m->labels, close, (double)total_us / 1e6);
    bytes_printf(text, "%s_count%s%s%s %lld\n", m->name, open, m->labels, close, (long long)count);
}

static void write_metric(bytes *text, const struct metric *m)
{
    if (m->kind == METRIC_HISTOGRAM)
        write_histogram(text, (const metrics_histogram *)(const void *)m);
    else if (m->kind == METRIC_GAUGE)
        write_value(text, m, sum(((const metrics_gauge *)(const void *)m)->shards));
    else
        write_value(text, m, metrics_counter_value((const metrics_counter *)(const void *)m));
}

bool metrics_write(bytes *text)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    const char *last = "";
    pthread_mutex_lock(&lock);
    for (const struct metric *m = metrics; m; m = m->next) {
        if (strcmp(last, m->name) != 0)
            bytes_printf(text, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, kinds[m->kind]);
        last = m->name;
        write_metric(text, m);
    }
    pthread_mutex_unlock(&lock);
    return !text->failed;
}
