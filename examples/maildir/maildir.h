#ifndef CASEWORK_EXAMPLES_MAILDIR_MAILDIR_H
#define CASEWORK_EXAMPLES_MAILDIR_MAILDIR_H

/* Folders of mails (https://cr.yp.to/proto/maildir.html): tmp, new and cur. */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { MAILDIR_PATH_MAX = 1024 };

/* Makes the folder with its three parts, where they are missing. */
bool maildir_make(const char *maildir, error *err) __attribute__((warn_unused_result));

/* "maildir/part/name". */
void maildir_path(const char *maildir, const char *part, const char *name, char ret_path[MAILDIR_PATH_MAX]);

/* Calls `take` with the name of each file in new, in the order of names; until it says false. */
void maildir_walk(const char *maildir, bool (*take)(void *argument, const char *name), void *argument);

/* Moves a mail; durable afterwards. */
bool maildir_move(const char *from, const char *to, error *err) __attribute__((warn_unused_result));

/* Puts a small file in the place of another one, durably and as a whole. */
bool maildir_replace_file(const char *path, const char *text, error *err) __attribute__((warn_unused_result));

/* What has been created or moved in the folder of that file is durable afterwards. */
bool maildir_sync_folder(const char *path, error *err) __attribute__((warn_unused_result));

#endif
