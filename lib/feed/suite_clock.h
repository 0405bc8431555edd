#ifndef CASEWORK_FEED_SUITE_CLOCK_H
#define CASEWORK_FEED_SUITE_CLOCK_H

/*
 * The suite's one clock as search, SLA and report see it. Without a manual clock it is real time. With one it
 * is the value that the case service keeps: fetched at start, then set by ClockService.Settle as the case
 * service moves it.
 */

#include "base/error.h"
#include "feed/partition.h"
#include "rpc/client.h"
#include "rpc/server.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct suite_clock suite_clock;

bool suite_clock_new(rpc_channel *cases, bool manual, suite_clock **ret_clock, error *err)
    __attribute__((warn_unused_result));
void suite_clock_free(suite_clock *clock);

int64_t suite_clock_now_us(const suite_clock *clock);
bool suite_clock_is_manual(const suite_clock *clock);

/*
 * For a manual clock only; with the real one there is no such service. Adds ClockService to a server:
 * GetTime, SetTime and AdvanceTime are forwarded to the case service; Settle sets the local clock, then calls
 * `settle` on a worker: it returns when everything due at `now_us` has been done and the feed has been
 * applied up to `heads`, and says the next due time (INT64_MAX: none).
 */
typedef bool suite_clock_settle(void *context, int64_t now_us, const struct feed_positions *heads,
                                int64_t deadline_us, int64_t *ret_next_due_us, error *err);
bool suite_clock_serve(suite_clock *clock, rpc_server *server, suite_clock_settle *settle, void *context,
                       error *err) __attribute__((warn_unused_result));

#endif
