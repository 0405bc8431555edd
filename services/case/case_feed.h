#ifndef CASEWORK_CASE_FEED_H
#define CASEWORK_CASE_FEED_H

/*
 * The feed as this replica serves it: the head of every partition as far as it is known here, and who has to
 * be woken when one moves. Heads come from our own commits at once, from other replicas' by NOTIFY, and from
 * a look at the database every second as a safety net. Everything up to a head that is known here is
 * committed, and visible to every later read.
 */

#include "base/error.h"
#include "feed/partition.h"
#include "pg/notify.h"
#include "pg/pg.h"
#include "rpc/server.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct case_feed case_feed;

struct case_feed_options {
    struct pg_options connection; /* for LISTEN and NOTIFY */
    pg_pool *pool;
    rpc_server *server; /* whose workers feed the streams */
    int64_t
        patience_us; /* how long the reader of a stream may take nothing while there is something for it */
};

/* Reads the heads, then starts listening. Texts in the options, pool and server must outlive the feed. */
bool case_feed_new(const struct case_feed_options *options, case_feed **ret_feed, error *err)
    __attribute__((warn_unused_result));

/* After the server has drained: all streams have ended. Takes NULL. */
void case_feed_free(case_feed *feed);

/* A lane has committed events up to `head`. From any thread, never blocks. */
void case_feed_committed(case_feed *feed, int partition, int64_t head);

/* The head of a partition as far as it is known here. */
int64_t case_feed_head(const case_feed *feed, int partition);

/* Business time as it was at the last look at the database, which comes every second. */
int64_t case_feed_time(const case_feed *feed);

/* Looks at the database now: heads, epoch and time. Runs on the caller's thread. */
bool case_feed_refresh(case_feed *feed, int64_t deadline_us, error *err) __attribute__((warn_unused_result));

/* The epoch, copied; and a number that changes with it. */
void case_feed_epoch(case_feed *feed, char ret_epoch[FEED_EPOCH_SIZE]);
unsigned case_feed_generation(const case_feed *feed);

pg_pool *case_feed_pool(const case_feed *feed);
rpc_server *case_feed_server(const case_feed *feed);
int64_t case_feed_patience(const case_feed *feed);

/*
 * Something that is run on a worker whenever a head may have moved, and at least once a second; never twice
 * at a time. Embedded by its owner.
 */
struct case_feed_reader {
    struct case_feed_reader *next, *previous; /* the feed's */
    case_feed *feed;
    int state; /* atomic */
    /*
     * Whether there is anything to run for; NULL: always. Asked with the feed locked: must not block, nor
     * call the feed but for its heads and time.
     */
    bool (*due)(struct case_feed_reader *reader);
    void (*run)(struct case_feed_reader *reader);
    /* A run is coming or going on: keeps the owner alive until unref. */
    void (*ref)(struct case_feed_reader *reader);
    void (*unref)(struct case_feed_reader *reader);
};

/* And runs it. A reader begins zeroed; one that is attached again may still be running. */
void case_feed_attach(case_feed *feed, struct case_feed_reader *reader);
void case_feed_detach(struct case_feed_reader *reader); /* a run may still be going on */
void case_feed_wake(struct case_feed_reader *reader);

/* Another epoch than that of `generation`: ends the call with FAILED_PRECONDITION. */
bool case_feed_check_generation(const case_feed *feed, unsigned generation, error *err)
    __attribute__((warn_unused_result));

/* StreamEvents, GetPosition and StreamSnapshot; context: the case_feed. */
extern const struct rpc_method case_feed_methods[];

#endif
