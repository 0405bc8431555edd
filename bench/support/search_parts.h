#ifndef CASEWORK_BENCH_SUPPORT_SEARCH_PARTS_H
#define CASEWORK_BENCH_SUPPORT_SEARCH_PARTS_H

/* What takes the bytes of an index of search. */

#include "search/search_index.h"

#include <stdio.h>

/* Prints one JSON object for the big account of the corpus and one for all others together: bytes of each
 * part of their sections, and of what the dictionary and the posting lists are made of. */
void search_parts_print(search_index *index, FILE *out);

#endif
