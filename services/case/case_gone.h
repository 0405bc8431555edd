#ifndef CASEWORK_CASE_GONE_H
#define CASEWORK_CASE_GONE_H

/*
 * Accounts that were deleted and whose rows are still in the tables: known to every call, so that none of
 * those rows is answered any more. Exact for what this replica has deleted and created; what others do is
 * known a second later (case_eraser.h). Writes need no such list: they look for the account's row.
 */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct case_gone case_gone;

bool case_gone_new(case_gone **ret_gone, error *err) __attribute__((warn_unused_result));
void case_gone_free(case_gone *gone); /* takes NULL */

/* The account was deleted here, or created. */
void case_gone_set(case_gone *gone, const char *account, bool is_gone);

/*
 * What the database says is gone, unless something was set here since `generation` was asked for: the list
 * may be older than that then.
 */
unsigned case_gone_generation(case_gone *gone);
void case_gone_replace(case_gone *gone, unsigned generation, const char *const *accounts, size_t count);

/* For rpc_server_hide_accounts. */
bool case_gone_has(void *gone, const char *account, size_t length);

#endif
