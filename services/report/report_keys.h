#ifndef CASEWORK_REPORT_KEYS_H
#define CASEWORK_REPORT_KEYS_H

/* The keys of what a batch has to know and writes. */

#include "pg/pg.h"

#include <stddef.h>

/* Sorts and drops what is there twice; returns how many are left. */
size_t report_keys_unique(void *base, size_t count, size_t size, int (*compare)(const void *, const void *));

/* What every table's key begins with, as two parameters: partitions (int2[]) and accounts (text[]). */
struct report_account_columns {
    pg_array *partition, *account;
};

struct report_account_columns report_keys_add(pg_params *params);
void report_keys_put(const struct report_account_columns *columns, const char *account);

#endif
