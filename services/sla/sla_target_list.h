#ifndef CASEWORK_SLA_TARGET_LIST_H
#define CASEWORK_SLA_TARGET_LIST_H

/* The timers of an account's targets, for lists: worked out from the truth, as the schedule holds only when
 * to look. */

#include "base/error.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "sla/sla_parts.h"
#include "sla/sla_targets.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct target_timer {
    char account[TIMER_ACCOUNT_SIZE];
    int64_t case_id;
    struct sla_timer timer;
    int64_t score_us; /* the deadline; INT64_MAX: stands still */
};

/* {0} at the start. */
struct target_list {
    struct target_timer *items;
    size_t count, size;
};

/*
 * Adds what the request's kinds and states ask for, due from start_us to until_us; timers that stand still
 * only where both bounds are open (0, INT64_MAX).
 */
bool target_list_add(struct target_list *list, const struct sla_parts *parts, const char *account,
                     const Casework__Sla__V1__ListTimersRequest *request, int64_t start_us, int64_t until_us,
                     int64_t deadline_us, error *err) __attribute__((warn_unused_result));
void target_list_release(struct target_list *list);

/* Does the request ask for that kind in that state? */
bool target_list_wants(const Casework__Sla__V1__ListTimersRequest *request, enum sla_kind kind,
                       enum sla_state state);

#endif
