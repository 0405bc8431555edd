#ifndef CASEWORK_CASE_WATCH_FILTER_H
#define CASEWORK_CASE_WATCH_FILTER_H

/*
 * What a watch is about, and whether a case with given facts belongs to it: the folders of case_list.h,
 * decided from the facts that events carry. Pure.
 */

#include "case/case_list.h"
#include "casework/cases/v1/event.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Recent is cut by time: a case is in while its key (first opened, number) is above the cut's. As time goes
 * by the cut moves, and cases drop out one after the other in the order of their keys.
 */
struct watch_cut {
    int64_t open_time, case_id;
};

/* Names as facts have them, "accounts/acme/agents/anna"; NULL: any. */
struct watch_filter {
    int64_t case_id;         /* one case, whatever becomes of it; 0: a folder */
    enum case_folder folder; /* never an unspecified one */
    const char *agent;       /* whose folder; NULL where it needs none */
    const char *owner, *contact, *channel;
    const char *const *labels;
    size_t label_count;
    const char *group, *value; /* classification */
};

bool watch_filter_matches(const struct watch_filter *filter, const struct watch_cut *cut, int64_t case_id,
                          const Casework__Cases__V1__CaseFacts *facts);

/* When the case was first opened; 0: never. */
int64_t watch_open_time(const Casework__Cases__V1__CaseFacts *facts);

#endif
