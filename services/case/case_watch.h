#ifndef CASEWORK_CASE_WATCH_H
#define CASEWORK_CASE_WATCH_H

/* WatchCases. docs/case.md says how watches work. */

#include "base/error.h"
#include "case/case_feed.h"
#include "case/case_read.h"
#include "rpc/server.h"

#include <stdbool.h>

typedef struct case_watches case_watches;

/*
 * Feed and reader must outlive it. `patience_us`: how long a watch may take nothing while there is something
 * for it.
 */
bool case_watches_new(case_feed *feed, const struct case_reader *reader, int64_t patience_us,
                      case_watches **ret_watches, error *err) __attribute__((warn_unused_result));

/* After the server has drained: all watches have ended. Takes NULL. */
void case_watches_free(case_watches *watches);

/* WatchCases; context: the case_watches. */
extern const struct rpc_method case_watch_methods[];

#endif
