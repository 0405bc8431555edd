#ifndef CASEWORK_SLA_PREVIEW_H
#define CASEWORK_SLA_PREVIEW_H

/* What a policy would do to the timers that run under another one. Worked out from the truth; nothing is
 * changed. */

#include "base/error.h"
#include "sla/sla_parts.h"
#include "sla/sla_targets.h"
#include "sla/sla_terms.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A policy and its targets; NULL: none. */
struct sla_preview_policy {
    struct sla_policy policy;
    sla_terms *terms;
};

/* One timer, before and after; of a closing timer `basis` is the version of the rule's basis. */
struct sla_timer_change {
    int64_t case_id;
    enum sla_kind kind;
    bool has_before, has_after;
    struct sla_timer before, after;
};

struct sla_preview {
    struct sla_effect effect;
    struct sla_timer_change
        *changes; /* by the deadline there would be, else the one there is; then by case and kind */
    size_t count, size;
};

/* What is the same under both is not read. */
bool sla_preview_new(const struct sla_parts *parts, const char *account,
                     const struct sla_preview_policy *before, const struct sla_preview_policy *after,
                     int64_t deadline_us, struct sla_preview *ret_preview, error *err)
    __attribute__((warn_unused_result));
void sla_preview_release(struct sla_preview *preview);

/* What changes are ordered by, and where these are the same. */
int64_t sla_preview_due(const struct sla_timer_change *change);
int64_t sla_preview_place(const struct sla_timer_change *change);

#endif
