#include "examples/maildir/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool failed(const char *path, error *err)
{
    return error_set(err, STATUS_UNAVAILABLE, "DISK", "%.150s: %s", path, strerror(errno));
}

void maildir_path(const char *maildir, const char *part, const char *name, char ret_path[MAILDIR_PATH_MAX])
{
    snprintf(ret_path, MAILDIR_PATH_MAX, "%s/%s/%s", maildir, part, name);
}

bool maildir_make(const char *maildir, error *err)
{
    static const char *const parts[] = {"", "tmp", "new", "cur"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char path[MAILDIR_PATH_MAX];
        maildir_path(maildir, parts[i], "", path);
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return failed(path, err);
    }
    return true;
}

static int is_mail(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

void maildir_walk(const char *maildir, bool (*take)(void *argument, const char *name), void *argument)
{
    char path[MAILDIR_PATH_MAX];
    struct dirent **entries;
    maildir_path(maildir, "new", "", path);
    int count = scandir(path, &entries, is_mail, alphasort);
    bool go_on = true;
    for (int i = 0; i < count; i++) {
        go_on = go_on && take(argument, entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

bool maildir_sync_folder(const char *path, error *err)
{
    char folder[MAILDIR_PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        *slash = '\0';
    int fd = open(slash == NULL ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return failed(folder, err);
    bool synced = fsync(fd) == 0;
    close(fd);
    return synced || failed(folder, err);
}

bool maildir_move(const char *from, const char *to, error *err)
{
    return (rename(from, to) == 0 || failed(from, err)) && maildir_sync_folder(to, err);
}

bool maildir_replace_file(const char *path, const char *text, error *err)
{
    char fresh[MAILDIR_PATH_MAX];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed(fresh, err);
    ssize_t length = (ssize_t)strlen(text);
    bool written = write(fd, text, (size_t)length) == length && fsync(fd) == 0;
    written = close(fd) == 0 && written;
    return (written || failed(fresh, err)) && maildir_move(fresh, path, err);
}
