#ifndef CASEWORK_SLA_HISTORY_H
#define CASEWORK_SLA_HISTORY_H

/* What happened in cases, as the case service tells it: what their targets are worked out from. */

#include "base/arena.h"
#include "base/error.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "rpc/client.h"
#include "sla/sla_targets.h"
#include "sla/sla_terms.h"
#include "sla/timer_store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sla_case {
    int64_t case_id;
    int64_t version; /* of the case */
    int64_t update_time_us;
    struct sla_history history;
};

/* {0} at the start; release when done. */
struct sla_case_page {
    arena *memory;
    struct sla_case *cases;
    size_t count;
};

/* Up to 1,000 cases of the account; those that do not exist are left out. Deadline: monotonic. */
bool sla_history_named(rpc_channel *cases, const char *account, const int64_t *ids, size_t count,
                       int64_t deadline_us, struct sla_case_page *ret_page, error *err)
    __attribute__((warn_unused_result));
void sla_case_page_release(struct sla_case_page *page);

/* A walk over all cases of an account in which targets may run, or over the closed ones. */
struct sla_case_walk {
    const char *account;
    int64_t
        closed_since_us; /* not 0: closed ones last changed from then on, in the order of update_time_us */
    char *page_token;    /* owned; NULL at the start */
    bool end;
};

/* A failed call leaves the walk where it was. */
bool sla_case_walk_next(struct sla_case_walk *walk, rpc_channel *cases, int64_t deadline_us,
                        struct sla_case_page *ret_page, error *err) __attribute__((warn_unused_result));
void sla_case_walk_release(struct sla_case_walk *walk);

/* The first case of an answer, for who asked for one; *ret_found false: it does not exist. False: memory is
 * out. */
bool sla_history_first(const Casework__Cases__V1__ListTargetFactsResponse *response, arena *memory,
                       struct sla_case *ret_case, bool *ret_found) __attribute__((warn_unused_result));

/* The timer of the schedule for the next step of a case's targets; false: there is none. */
bool sla_history_timer(const sla_terms *terms, const char *account, const struct sla_case *one,
                       int64_t now_us, struct timer *ret_timer);

#endif
