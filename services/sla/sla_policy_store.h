#ifndef CASEWORK_SLA_POLICY_STORE_H
#define CASEWORK_SLA_POLICY_STORE_H

/*
 * The accounts' policies: in PostgreSQL (db/sla), and a copy of them in memory that every event is looked up
 * in. The copy may be old; the schedule refuses what was worked out under an outdated policy (timer_store.h),
 * and then it is read again.
 *
 * Thread-safe. Deadlines are on the monotonic clock.
 */

#include "base/error.h"
#include "pg/pg.h"
#include "sla/sla_rules.h"
#include "sla/sla_terms.h"
#include "sla/timer_store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number of the last migration in db/sla. */
enum { SLA_SCHEMA_VERSION = 5 };

typedef struct sla_policies sla_policies;

/* The pool must outlive it. Nothing is read yet. */
bool sla_policies_new(pg_pool *pool, sla_policies **ret_policies, error *err)
    __attribute__((warn_unused_result));
void sla_policies_free(sla_policies *policies); /* takes NULL */

/* Reads all of them into the copy. */
bool sla_policies_reload(sla_policies *policies, error *err) __attribute__((warn_unused_result));

/* From the copy; the default for an account that is not in it. */
struct sla_policy sla_policies_get(sla_policies *policies, const char *account);

/*
 * The account's targets, from the copy; NULL: it has none. The caller releases them.
 */
sla_terms *sla_policies_terms(sla_policies *policies, const char *account);

/*
 * Targets and calendar as they were given, from the copy, in a policy that is otherwise empty. NULL: the
 * arena is full.
 */
Casework__Sla__V1__SlaPolicy *sla_policies_wire(sla_policies *policies, const char *account, arena *memory);

struct sla_policy_row {
    char account[TIMER_ACCOUNT_SIZE];
    struct sla_policy policy;
    int64_t applied_version;
    int64_t update_time_us; /* 0: never changed */
    /* Closed cases last changed before that have all steps of their targets recorded; with targets never 0.
     */
    int64_t settled_time_us;
};

/* All rows of the copy, in no order; *ret_rows is the caller's to free. */
bool sla_policies_all(sla_policies *policies, struct sla_policy_row **ret_rows, size_t *ret_count, error *err)
    __attribute__((warn_unused_result));

/* By the copy, all running timers stand under the newest versions. */
bool sla_policies_at_work(sla_policies *policies);

/* From PostgreSQL. *ret_found false: the account has the default, which *ret_row then holds. */
bool sla_policies_read(sla_policies *policies, const char *account, int64_t deadline_us,
                       struct sla_policy_row *ret_row, bool *ret_found, error *err)
    __attribute__((warn_unused_result));

/* What a policy does to running timers. */
struct sla_effect {
    int64_t moved, added, removed;
    int64_t closing, breached; /* at once */
};

/* What changes; what is not set stays as it is. */
struct sla_policy_update {
    const char *account;
    bool set_closing, set_targets, set_calendar;
    const Casework__Sla__V1__SlaPolicy *wire; /* targets and calendar; checked */
    const char *time_zone;                    /* the account's */
    enum sla_rule rule;
    int64_t duration_us;
    int64_t now_us;           /* business time */
    int64_t expected_version; /* -1: any; else ABORTED, ETAG_MISMATCH if it is another */
    struct sla_effect effect; /* kept with the request id */
    const char *request_id;   /* "": none */
    const void *fingerprint;  /* of the request */
    size_t fingerprint_length;
};

/* What an update is answered with beside the policy, however often it is asked for. */
struct sla_policy_answer {
    struct sla_effect effect;
    int64_t position; /* of the account, that the timers stood at when it was at work; 0: not yet */
};

/*
 * Stores a policy under the next version. A request id seen before with the same fingerprint changes nothing
 * and has the answer from then; with another one: INVALID_ARGUMENT, REQUEST_ID_REUSED. *ret_row: the policy
 * as it is now.
 */
bool sla_policies_update(sla_policies *policies, const struct sla_policy_update *update, int64_t deadline_us,
                         struct sla_policy_row *ret_row, struct sla_policy_answer *ret_answer, error *err)
    __attribute__((warn_unused_result));

/* Keeps the position for the answer to the update's request id; who was first is kept, and what *position
 * then has. */
bool sla_policies_keep_position(sla_policies *policies, const struct sla_policy_update *update,
                                int64_t deadline_us, int64_t *position, error *err)
    __attribute__((warn_unused_result));

/* The policy that an update would lead to, with the since-times of its targets. */
bool sla_policies_merged(sla_policies *policies, const struct sla_policy_update *update, arena *memory,
                         Casework__Sla__V1__SlaPolicy **ret_wire, int64_t ret_since_us[SLA_TERMS_TARGETS_MAX],
                         error *err) __attribute__((warn_unused_result));

/* The account lies in another zone now: a policy whose calendar names none changes with it, unless that is
 * known already (*ret_changed). */
bool sla_policies_set_zone(sla_policies *policies, const char *account, const char *time_zone,
                           bool *ret_changed, error *err) __attribute__((warn_unused_result));

/* All running timers of the account stand under that version. */
bool sla_policies_mark_applied(sla_policies *policies, const char *account, int64_t version, error *err)
    __attribute__((warn_unused_result));

/* Moves the row's settled_time on to that; never back. */
bool sla_policies_settle(sla_policies *policies, const char *account, int64_t settled_time_us, error *err)
    __attribute__((warn_unused_result));

/* The account was deleted at that business time. A policy set since then belongs to a new account of the same
 * id. */
bool sla_policies_delete(sla_policies *policies, const char *account, int64_t delete_time_us, error *err)
    __attribute__((warn_unused_result));

#endif
