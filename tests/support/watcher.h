#ifndef CASEWORK_TESTS_SUPPORT_WATCHER_H
#define CASEWORK_TESTS_SUPPORT_WATCHER_H

/*
 * A client of WatchCases that keeps a copy of what it watches, and takes nothing for granted: a case must not
 * enter twice, nor change or leave without having entered, and versions of a case and positions only grow.
 */

#include "base/error.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "rpc/client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WATCHER_CASES_MAX = 20000, WATCHER_TOKEN_MAX = 512 };

struct watcher {
    Casework__Cases__V1__WatchCasesRequest request; /* its texts are the owner's, but for the token */
    const char *agent;                              /* on whose behalf; NULL: nobody's */
    rpc_stream *stream;
    arena *memory;                       /* of the last item */
    int64_t versions[WATCHER_CASES_MAX]; /* of the cases in the copy, by number; 0: not in */
    size_t count;
    bool complete; /* the snapshot is */
    int64_t position;
    int64_t items, cuts;
    char token[WATCHER_TOKEN_MAX];
    char failure[256]; /* what was wrong; "": nothing */
};

struct watcher *watcher_new(const Casework__Cases__V1__WatchCasesRequest *request);
void watcher_free(struct watcher *w);

/* Begins, or goes on behind the last item that was read. */
void watcher_open(struct watcher *w, rpc_channel *channel);

/* Cuts the stream, whatever is under way. */
void watcher_cut(struct watcher *w);

/* Reads an item into the copy. RPC_READ_FAILED also when something was wrong with it: see `failure`. */
enum rpc_read watcher_read(struct watcher *w, int64_t timeout_us,
                           const Casework__Cases__V1__WatchCasesResponse **ret_item, error *err);

#endif
