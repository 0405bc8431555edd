#ifndef CASEWORK_CASE_OUTGOING_H
#define CASEWORK_CASE_OUTGOING_H

/*
 * StreamOutgoing: what a channel's connector has to deliver, in the order of the commits that stored it,
 * pushed as soon as it is durable, whichever replica wrote it. A message is given until its delivery was
 * told; a redacted one never.
 */

#include "case/case_feed.h"

#include <stdint.h>

struct case_outgoing {
    case_feed *feed;
    int64_t patience_us; /* how long a reader may take nothing while there is something for it */
};

/* Context: a struct case_outgoing, which must outlive the server. */
extern const struct rpc_method case_outgoing_methods[];

#endif
