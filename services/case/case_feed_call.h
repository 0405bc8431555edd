#ifndef CASEWORK_CASE_FEED_CALL_H
#define CASEWORK_CASE_FEED_CALL_H

/*
 * A streaming call that is fed by a reader of the feed. It lives until the call is over and no run is going
 * on. First member of its owner's struct, which comes from calloc and goes with it.
 */

#include "case/case_feed.h"
#include "rpc/call.h"

struct case_feed_call {
    struct case_feed_reader reader; /* first: the feed knows the call by it */
    rpc_call *call;
    _Atomic int references;
    _Atomic bool over;
};

/* Becomes the call's state, and runs. */
void case_feed_call_begin(struct case_feed_call *stream, rpc_call *call, case_feed *feed,
                          void (*run)(struct case_feed_reader *reader));

/* Nothing is to be written any more. */
bool case_feed_call_is_over(const struct case_feed_call *stream);

/* Ends the call by an error. */
void case_feed_call_fail(struct case_feed_call *stream, const error *err);

/* Of the call's on_done: gives the stream up, if it has begun. */
void case_feed_call_done(rpc_call *call);

#endif
