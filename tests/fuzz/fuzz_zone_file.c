/* A file of the time zone database: what is read of any bytes is in order and within its bounds, or nothing.
 */
#include "calendar/zone_file.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define END INT64_C(16725225600) /* 2500 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct zone_changes changes;
    uint8_t *bytes = malloc(size ? size : 1);
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    if (zone_file_parse(bytes, size, END, &changes)) {
        must(changes.count <= ZONE_FILE_CHANGES_MAX);
        for (size_t i = 0; i < changes.count; i++) {
            must(changes.at[i] < END && (i == 0 || changes.at[i] > changes.at[i - 1]));
            must(changes.offsets[i] != changes.offsets[i + 1]);
            must(changes.offsets[i] > -90000 && changes.offsets[i] < 93600);
        }
    }
    free(bytes);
    return 0;
}
