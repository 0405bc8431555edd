#ifndef CASEWORK_SLA_TIMER_SCRIPTS_H
#define CASEWORK_SLA_TIMER_SCRIPTS_H

/* The Lua scripts behind timer_store.c: what must happen to one bucket as a whole. */

#include "redis/client.h"

/*
 * Each takes the bucket's sorted set as first key. A bucket without `!position` is lost: it answers LOST and
 * stays as it is, until it has been rebuilt.
 */
struct timer_scripts {
    struct redis_script status; /* answers { position or "", epoch or "" } */
    struct redis_script apply;  /* the feed's changes together with the position */
    struct redis_script claim;  /* what is due, leased */
    struct redis_script settle; /* what became of a claimed timer */
    struct redis_script rearm;  /* a changed policy's new deadlines */
    struct redis_script fence;  /* the version of an account's policy */
    struct redis_script begin;  /* of a rebuild */
    struct redis_script insert;
    struct redis_script finish;
};

/* The scripts, ready to run; thread-safe. */
const struct timer_scripts *timer_scripts_get(void);

#endif
