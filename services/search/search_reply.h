#ifndef CASEWORK_SEARCH_REPLY_H
#define CASEWORK_SEARCH_REPLY_H

/* SearchCasesResponse, straight from an answer of the index to the wire. */

#include "search/search_query.h"

struct search_reply {
    const char *account;
    const struct search_query *query;
    const struct search_answer *answer;
    const char *next_page_token; /* "": this was the last page */
    int64_t indexed_position;
};

/* In `memory`; false when that is full. */
bool search_reply_write(const struct search_reply *reply, arena *memory, const unsigned char **ret_data,
                        size_t *ret_length) __attribute__((warn_unused_result));

#endif
