#include "report/report_keys.h"

#include "feed/partition.h"

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

struct report_account_columns report_keys_add(pg_params *params)
{
    struct report_account_columns columns;
    columns.partition = pg_add_array(params, PG_INT2);
    columns.account = pg_add_array(params, PG_TEXT);
    return columns;
}

void report_keys_put(const struct report_account_columns *columns, const char *account)
{
    pg_put_int(columns->partition, feed_partition(account));
    pg_put_text(columns->account, account);
}
