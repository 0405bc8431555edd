#ifndef CASEWORK_SEARCH_MERGER_H
#define CASEWORK_SEARCH_MERGER_H

/*
 * A thread that merges sections of accounts, at a limited rate: at once what is due, and when nothing has
 * changed for a while also what makes few sections of many.
 */

#include "search/search_account.h"

typedef struct search_merger search_merger;

bool search_merger_new(search_merger **ret_merger, error *err) __attribute__((warn_unused_result));

/* Gives up what it is at. Accounts may go only after that. Takes NULL. */
void search_merger_free(search_merger *merger);

/* The account has changed; `due`: something is to be merged at once. */
void search_merger_add(search_merger *merger, struct search_account *account, bool due);

/* Waits until nothing is left to merge: for tests and measurements. Without a limit to the rate meanwhile. */
void search_merger_finish(search_merger *merger);

#endif
