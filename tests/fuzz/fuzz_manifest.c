/* Any bytes as the manifest of a search index, with the right size, versions and checksum: what is read can
 * be written again and is the same then. */
#include "search/search_manifest.h"
#include "text/fold.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { CHECKSUM = 8, SIZE = 16, VERSIONS = 24 }; /* where they stand */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_and_write(const unsigned char *data, size_t size)
{
    struct search_manifest manifest, again;
    struct search_buffer buffer = {0};
    error err;
    if (!search_manifest_decode(data, size, &manifest, &err))
        return;
    if (search_manifest_encode(&manifest, &buffer, &err)) {
        if (!search_manifest_decode(buffer.data, buffer.length, &again, &err) ||
            again.account_count != manifest.account_count || again.section_count != manifest.section_count ||
            memcmp(&again.positions, &manifest.positions, sizeof again.positions) != 0)
            abort();
        search_manifest_release(&again);
    }
    search_buffer_release(&buffer);
    search_manifest_release(&manifest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t versions[] = {SEARCH_MANIFEST_VERSION, SEARCH_SECTION_VERSION, TEXT_VERSION};
    uint64_t length = size;
    /* Exactly as large, so that a sanitizer sees a read beyond it. */
    unsigned char *copy = size ? malloc(size) : NULL;
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    if (size >= VERSIONS + sizeof versions) {
        memcpy(copy + VERSIONS, versions, sizeof versions);
        memcpy(copy + SIZE, &length, sizeof length);
        uint64_t checksum = XXH3_64bits(copy + SIZE, size - SIZE);
        memcpy(copy + CHECKSUM, &checksum, sizeof checksum);
    }
    read_and_write(copy, size);
    free(copy);
    return 0;
}
