#include "report/report_keys.h"

#include <stdlib.h>
#include <string.h>

size_t report_keys_unique(void *base, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    if (count == 0)
        return 0;
    qsort(base, count, size, compare);
    char *items = base;
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        if (compare(items + i * size, items + (kept - 1) * size) != 0)
            memmove(items + kept++ * size, items + i * size, size);
    }
    return kept;
}
