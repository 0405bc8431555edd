#ifndef CASEWORK_RPC_FILES_H
#define CASEWORK_RPC_FILES_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* The whole of a small file, NUL-terminated; the caller frees it. Beyond `max` bytes it is refused. */
bool file_read(const char *path, size_t max, char **ret_text, size_t *ret_length, error *err)
    __attribute__((warn_unused_result));

#endif
