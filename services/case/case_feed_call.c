#include "case/case_feed_call.h"

#include <stdatomic.h>
#include <stdlib.h>

static void ref(struct case_feed_reader *reader)
{
    atomic_fetch_add(&((struct case_feed_call *)reader)->references, 1);
}

static void unref(struct case_feed_reader *reader)
{
    struct case_feed_call *stream = (struct case_feed_call *)reader;
    if (atomic_fetch_sub(&stream->references, 1) > 1)
        return;
    rpc_call_unref(stream->call);
    free(stream);
}

void case_feed_call_begin(struct case_feed_call *stream, rpc_call *call, case_feed *feed,
                          void (*run)(struct case_feed_reader *reader))
{
    stream->call = call;
    rpc_call_ref(call);
    stream->references = 1; /* the call's; given up when it is done */
    stream->reader.run = run;
    stream->reader.ref = ref;
    stream->reader.unref = unref;
    rpc_call_set_state(call, stream);
    case_feed_attach(feed, &stream->reader);
}

bool case_feed_call_is_over(const struct case_feed_call *stream)
{
    return atomic_load(&stream->over) || rpc_call_is_cancelled(stream->call);
}

void case_feed_call_fail(struct case_feed_call *stream, const error *err)
{
    atomic_store(&stream->over, true);
    rpc_call_fail(stream->call, err);
}

void case_feed_call_done(rpc_call *call)
{
    struct case_feed_call *stream = rpc_call_state(call);
    if (!stream)
        return;
    atomic_store(&stream->over, true);
    case_feed_detach(&stream->reader);
    unref(&stream->reader);
}
