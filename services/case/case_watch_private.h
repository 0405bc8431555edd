#ifndef CASEWORK_CASE_WATCH_PRIVATE_H
#define CASEWORK_CASE_WATCH_PRIVATE_H

/*
 * Watches from the inside. Each partition with watches has a shelf. The shelf reads what happens in the
 * watched accounts of its partition once for all, and hands it to the watches that are `live`: those that
 * have come to where the shelf stands. A watch that has just begun, was resumed, or could not write, catches
 * up by reads of its own, and is live again when it has reached the shelf.
 */

#include "case/case_feed.h"
#include "case/case_list.h"
#include "case/case_resume.h"
#include "case/case_watch.h"
#include "case/case_watch_filter.h"
#include "case/case_watch_read.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum watch_state {
    WATCH_CATCHING_UP, /* by runs of its own */
    WATCH_BLOCKED,     /* likewise, once there is room in the call's queue */
    WATCH_LIVE,        /* gets what its shelf reads */
    WATCH_OVER,
};

/* The watches of one account. */
struct watch_group {
    struct watch_group *next, *previous; /* the shelf's */
    struct watch *watches;
    unsigned count, recent; /* watches, and those of Recent */
    uint64_t round;         /* the last of the shelf's rounds that read for this account */
    int64_t next_due;       /* business time at which a case may leave Recent; 0: to be found out */
    char account[64];
};

struct watch_shelf {
    struct case_feed_reader reader; /* first: the feed knows the shelf by it */
    case_watches *watches;
    int partition;
    pthread_mutex_t lock; /* of what follows, and of the watches' state */
    struct watch_group *groups;
    uint64_t round;
    _Atomic unsigned count, waiting, recent; /* watches; those that are not live; those of Recent */
    _Atomic int64_t position;                /* where the live ones stand */
    _Atomic int64_t looked_us;
    _Atomic unsigned generation; /* of the feed */
};

struct watch {
    struct case_feed_reader reader; /* first: for runs of its own; not attached to the feed */
    struct watch_shelf *shelf;
    struct watch_group *group;
    struct watch *next, *previous; /* the group's */
    rpc_call *call;
    _Atomic int references;
    enum watch_state state;
    struct watch_cursor cursor; /* of the own runs, or while live of the shelf */
    bool greet;                 /* once it is live, say so: nothing else might come for long */
    unsigned generation;
    _Atomic int64_t written_us;
    struct case_list_query query; /* texts are the call's */
    struct watch_filter filter;
    const char *binding;   /* of the resume token */
    int64_t account_begin; /* the position of its first event */
    char epoch[FEED_EPOCH_SIZE];
};

struct case_watches {
    case_feed *feed;
    const struct case_reader *reader;
    int64_t patience_us;
    _Atomic unsigned count;
    struct watch_shelf shelves[FEED_PARTITIONS];
};

/* --- the shelf: case_watch.c --- */

/* Puts a watch on its shelf, catching up. False: too many, or no memory. */
bool watch_shelf_add(struct watch_shelf *shelf, struct watch *watch, error *err)
    __attribute__((warn_unused_result));
void watch_shelf_remove(struct watch *watch);

/* The watch stands at its cursor: makes it live if the shelf is not ahead of it. */
bool watch_shelf_join(struct watch *watch);

/* Up to where the watch can read now. */
int64_t watch_shelf_goal(struct watch *watch);

/* The call's queue is full; there is room in it again. */
void watch_shelf_block(struct watch *watch);
void watch_shelf_unblock(struct watch *watch);

/* --- one watch: case_watch_stream.c --- */

/*
 * Tells what a change means to a watch, and moves its cursor behind it. False: there is no room in the call's
 * queue, and the cursor stays.
 */
bool watch_tell_change(struct watch *watch, const struct watch_change *change);
/* The same for a case that leaves Recent, unless the watch's cut has passed it. */
bool watch_tell_expiry(struct watch *watch, const struct watch_expiry *expiry);
/* A newer token and nothing else. */
bool watch_tell_place(struct watch *watch);

/* Whether time alone takes cases out of it. */
bool watch_is_of_recent(const struct watch *watch);

/* Ends it with an error. */
void watch_end(struct watch *watch, const error *err);

extern const struct rpc_stream_handlers case_watch_handlers;

#endif
