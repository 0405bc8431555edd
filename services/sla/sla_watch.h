#ifndef CASEWORK_SLA_WATCH_H
#define CASEWORK_SLA_WATCH_H

/*
 * WatchTimers. With the first watch a consumer of its own begins to follow the feed: what a watch tells
 * depends on nothing but the feed, so that it goes on while Redis is away. The last steps are kept in memory
 * for all watches together; a watch that was resumed behind them reads the feed by itself until it has come
 * to them, and one that falls behind them is ended.
 */

#include "base/error.h"
#include "rpc/server.h"
#include "sla/sla_parts.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct sla_watches sla_watches;

/* `parts` must outlive it. `patience_us`: how long a watch may take nothing while there is something for it.
 */
bool sla_watches_new(const struct sla_parts *parts, int64_t patience_us, sla_watches **ret_watches,
                     error *err) __attribute__((warn_unused_result));

/* After the server has drained: all watches have ended. Takes NULL. */
void sla_watches_free(sla_watches *watches);

extern const struct rpc_method sla_watch_methods[]; /* WatchTimers; context: the sla_watches */

#endif
