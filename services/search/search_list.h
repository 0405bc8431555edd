#ifndef CASEWORK_SEARCH_LIST_H
#define CASEWORK_SEARCH_LIST_H

/* Lists of cases, or of accounts, in an arena. */

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct search_case {
    const char *account; /* its id */
    int64_t number;      /* 0 in a list of accounts */
};

struct search_list {
    struct search_case *cases;
    size_t count, size;
};

/* `account` is not copied. */
bool search_list_add(struct search_list *list, const char *account, int64_t number, arena *memory, error *err)
    __attribute__((warn_unused_result));

/* In order, each once. */
void search_list_sort(struct search_list *list);

/* Takes out all of an account. */
void search_list_remove_account(struct search_list *list, const char *account);

#endif
