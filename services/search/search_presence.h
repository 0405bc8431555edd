#ifndef CASEWORK_SEARCH_PRESENCE_H
#define CASEWORK_SEARCH_PRESENCE_H

/* Accounts that the index has no case of: is there such an account at all? */

#include "search/search_handlers.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * False, with NOT_FOUND, when the index knows no case of the account and the case service no such account.
 * The case service is asked only then, and is not waited for when it does not answer: search works without
 * it.
 */
bool search_presence_check(const struct search_service *service, const char *account, int64_t deadline_us,
                           arena *memory, error *err) __attribute__((warn_unused_result));

#endif
