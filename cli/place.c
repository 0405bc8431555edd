#include "cli/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool fits(int written)
{
    return written > 0 && written < PLACE_SIZE;
}

bool place_programs(char ret_path[PLACE_SIZE])
{
    char path[PLACE_SIZE];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0 || length == sizeof path - 1)
        return false;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return false;
    *slash = '\0';
    snprintf(ret_path, PLACE_SIZE, "%s", path);
    return true;
}

bool place_find(const char *name, char ret_path[PLACE_SIZE])
{
    /* build/bin and build/FLAVOUR/bin lie in the source tree. */
    static const char *const above[] = {"../share/casework", "../..", "../../.."};
    char programs[PLACE_SIZE], path[PLACE_SIZE];
    if (!place_programs(programs))
        return false;
    for (size_t i = 0; i < sizeof above / sizeof *above; i++) {
        char *real;
        if (!fits(snprintf(path, sizeof path, "%s/%s/%s", programs, above[i], name)) ||
            !(real = realpath(path, NULL)))
            continue;
        bool short_enough = fits(snprintf(path, sizeof path, "%s", real));
        free(real);
        if (!short_enough)
            continue;
        memcpy(ret_path, path, sizeof path);
        return true;
    }
    return false;
}

bool place_data(char ret_path[PLACE_SIZE])
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (data && data[0] == '/')
        return fits(snprintf(ret_path, PLACE_SIZE, "%s/casework", data));
    if (geteuid() == 0)
        return fits(snprintf(ret_path, PLACE_SIZE, "/var/lib/casework"));
    return home && home[0] && fits(snprintf(ret_path, PLACE_SIZE, "%s/.local/share/casework", home));
}

bool place_ready_file(char ret_path[PLACE_SIZE])
{
    char data[PLACE_SIZE];
    return place_data(data) && fits(snprintf(ret_path, PLACE_SIZE, "%s/ready.json", data));
}
