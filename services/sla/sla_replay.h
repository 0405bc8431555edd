#ifndef CASEWORK_SLA_REPLAY_H
#define CASEWORK_SLA_REPLAY_H

/* The case service's feed and snapshots as far as one question needs them; beside the consumer that arms
 * timers. */

#include "base/error.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "feed/partition.h"
#include "rpc/client.h"

#include <stdbool.h>
#include <stdint.h>

/* What is read, and for whom. */
struct sla_replay {
    rpc_channel *cases;
    const char *account; /* "": all */
    uint64_t partitions; /* bit p: partition p */
    /* Asked at least once a second: stop reading, with CANCELLED. May be NULL. */
    bool (*is_over)(void *context);
    void *context;
};

/* True if `at` has come to `upto` in each partition that is read. */
bool sla_replay_reached(const struct sla_replay *history, const struct feed_positions *at,
                        const struct feed_positions *upto);

/*
 * Events behind `at` until that has come to `upto`, in order. `at` moves with each event, before it is handed
 * over, and with the heads that the feed tells. FAILED_PRECONDITION, EPOCH_CHANGED: there is no such history.
 */
typedef bool sla_replay_event(void *context, const Casework__Cases__V1__Event *event, error *err);
bool sla_replay_read(const struct sla_replay *history, struct feed_positions *at,
                     const struct feed_positions *upto, sla_replay_event *event, void *context, error *err)
    __attribute__((warn_unused_result));

/* The cases as they are, part by part; *ret_at: as of where each partition was read, and its epoch. */
typedef bool sla_replay_part(void *context, const Casework__Cases__V1__StreamSnapshotResponse *part,
                             error *err);
bool sla_replay_snapshot(const struct sla_replay *history, struct feed_positions *ret_at,
                         sla_replay_part *part, void *context, error *err)
    __attribute__((warn_unused_result));

#endif
