#ifndef CASEWORK_BASE_METRICS_H
#define CASEWORK_BASE_METRICS_H

/*
 * Metrics in the Prometheus text format, served over HTTP at /metrics. Metrics are registered at start and
 * live as long as the program; updating one takes a relaxed atomic add in the thread's shard (thread_shard.h)
 * and no lock. Names follow Prometheus conventions (unit suffix, _total).
 */

#include "base/bytes.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct metrics_counter metrics_counter;
typedef struct metrics_gauge metrics_gauge;
typedef struct metrics_histogram metrics_histogram;

/* `labels` is "" or `method="GetCase",code="OK"`; the same name and labels again give the same metric. Texts
 * are copied. */
metrics_counter *metrics_counter_get(const char *name, const char *help, const char *labels);
metrics_gauge *metrics_gauge_get(const char *name, const char *help, const char *labels);

/* Observed in microseconds, exported in seconds with buckets from 100 us to 100 s. */
metrics_histogram *metrics_histogram_get(const char *name, const char *help, const char *labels);

void metrics_add(metrics_counter *counter, int64_t amount);
/* A gauge is either set, by one thread at a time, or added to. */
void metrics_set(metrics_gauge *gauge, int64_t value);
void metrics_gauge_add(metrics_gauge *gauge, int64_t amount);
void metrics_observe(metrics_histogram *histogram, int64_t duration_us);
int64_t metrics_counter_value(const metrics_counter *counter);

/* Appends all of them as text; false when the buffer's cap was reached. */
bool metrics_write(bytes *text);

typedef struct metrics_server metrics_server;

/* Serves /metrics on host:port (port 0: any free one, told in ret_port). */
bool metrics_server_new(const char *host, uint16_t port, metrics_server **ret_server, uint16_t *ret_port,
                        error *err) __attribute__((warn_unused_result));
void metrics_server_free(metrics_server *server); /* takes NULL */

#endif
