#ifndef CASEWORK_REPORT_KEYS_H
#define CASEWORK_REPORT_KEYS_H

/* The keys of what a batch has to know. */

#include <stddef.h>

/* Sorts and drops what is there twice; returns how many are left. */
size_t report_keys_unique(void *base, size_t count, size_t size, int (*compare)(const void *, const void *));

#endif
