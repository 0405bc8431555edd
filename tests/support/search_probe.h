#ifndef CASEWORK_TESTS_SUPPORT_SEARCH_PROBE_H
#define CASEWORK_TESTS_SUPPORT_SEARCH_PROBE_H

/* Goes through everything that is done with a section, for blocks that may be damaged. */

#include <stdbool.h>
#include <stddef.h>

/*
 * Gives the block the right magic, version, size and checksum, and if it opens asks it every kind of query,
 * looks cases up and merges it with itself. True if it opened. Changes the block; it is aligned to eight.
 */
bool search_probe(unsigned char *data, size_t size);

#endif
