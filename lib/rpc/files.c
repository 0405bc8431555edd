#include "rpc/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool file_read(const char *path, size_t max, char **ret_text, size_t *ret_length, error *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(err, STATUS_FAILED_PRECONDITION, "UNREADABLE_FILE", "%s: %s", path, strerror(errno));
    char *text = malloc(max + 2);
    size_t length = text ? fread(text, 1, max + 1, file) : 0;
    bool bad = !text || ferror(file) || length > max;
    fclose(file);
    if (bad) {
        free(text);
        return error_set(err, STATUS_FAILED_PRECONDITION, "UNREADABLE_FILE",
                         "%s cannot be read, or is too large", path);
    }
    text[length] = '\0';
    *ret_text = text;
    if (ret_length)
        *ret_length = length;
    return true;
}
