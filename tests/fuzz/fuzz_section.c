/* Any bytes as a section of the search index: what opens can be searched and merged without harm. */
#include "tests/support/search_probe.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Aligned, and exactly as large, so that a sanitizer sees a read beyond it. */
    unsigned char *copy = size ? malloc(size) : NULL;
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    search_probe(copy, size);
    free(copy);
    return 0;
}
