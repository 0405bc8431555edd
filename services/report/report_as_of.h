#ifndef CASEWORK_REPORT_AS_OF_H
#define CASEWORK_REPORT_AS_OF_H

/* Reports of the past: as of an instant, or as of a position of the account, both inclusive. */

#include "google/protobuf/timestamp.pb-c.h"
#include "report/report_call.h"

struct report_as_of {
    bool by_time;
    int64_t time;     /* of by_time */
    int64_t position; /* INT64_MAX: as it is. With by_time known once report_as_of_find has been asked */
};

/* From what a request's oneof `as_of` holds; neither: as it is. The instant must not be in the future. */
bool report_as_of_read(struct report_call *call, const Google__Protobuf__Timestamp *time,
                       const int64_t *position, struct report_as_of *ret_as_of)
    __attribute__((warn_unused_result));

/*
 * Makes the call wait for all that it is about. As of an instant, that is up to the position which the feed
 * has come to when the instant is over; where nothing later is known here, the case service says what that
 * is.
 */
bool report_as_of_want(struct report_call *call, const struct report_as_of *as_of)
    __attribute__((warn_unused_result));

/* The position of the instant; in the answer, after the waiting. */
bool report_as_of_find(struct report_call *call, struct report_as_of *as_of)
    __attribute__((warn_unused_result));

#endif
