#ifndef CASEWORK_CASE_BATCH_H
#define CASEWORK_CASE_BATCH_H

/*
 * What the lanes do with a batch of commands: gather what they need, read it set-based under the partition's
 * lock, run them one after the other on an overlay in memory, write what has changed set-based.
 */

#include "case/case_command.h"
#include "pg/lane.h"

#include <stdbool.h>
#include <stdint.h>

struct case_known;

struct case_batch_context {
    struct case_known *known;
    /* Called on a lane's thread after a commit that wrote events: the partition's feed now ends at `head`.
     * May be NULL. */
    void (*moved)(void *argument, unsigned partition, int64_t head);
    /* Likewise: an account was created, or deleted; a contact (`account` NULL) is to be erased. May be NULL.
     */
    void (*erased)(void *argument, const char *account, bool is_gone);
    void *argument;
};

/* With a struct case_batch_context as context. */
extern const struct pg_lane_ops case_batch_ops_real;   /* business time is the database's clock */
extern const struct pg_lane_ops case_batch_ops_manual; /* business time is the clock that tests move */

#endif
