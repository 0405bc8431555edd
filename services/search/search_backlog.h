#ifndef CASEWORK_SEARCH_BACKLOG_H
#define CASEWORK_SEARCH_BACKLOG_H

/*
 * Work that one event makes for so many cases that it would hold up the feed: it is done beside the feed, on
 * a thread of its own, a slice at a time, the accounts in turn. Until it is done the account counts as
 * complete up to before the event (search_index_hold), also for whoever resumes after a restart.
 * Thread-safe.
 */

#include "rpc/client.h"
#include "search/search_index.h"

typedef struct search_backlog search_backlog;

/* `progress` runs whenever an account is held back less. All arguments must outlive it. */
bool search_backlog_new(rpc_channel *cases, search_index *index, void (*progress)(void *context),
                        void *context, search_backlog **ret_backlog, error *err)
    __attribute__((warn_unused_result));
void search_backlog_quit(search_backlog *backlog); /* asks it to stop, and waits for nothing */
void search_backlog_stop(search_backlog *backlog); /* `progress` runs no more once it returns */
void search_backlog_free(search_backlog *backlog); /* stops; takes NULL */

/*
 * These cases are to be read as of the event at `position` or later. Before the account's position comes to
 * it, in the order of the feed; once more for the same event does nothing. False when too much waits: the
 * caller does it itself.
 */
bool search_backlog_add(search_backlog *backlog, const char *account, int64_t position,
                        const int64_t *numbers, size_t count);

/* Once this returns, nothing of the account (NULL: of any) that was added before is filed. */
void search_backlog_forget(search_backlog *backlog, const char *account);

/* Cases that wait. */
size_t search_backlog_cases(search_backlog *backlog);

#endif
