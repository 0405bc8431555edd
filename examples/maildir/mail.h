#ifndef CASEWORK_EXAMPLES_MAILDIR_MAIL_H
#define CASEWORK_EXAMPLES_MAILDIR_MAIL_H

/*
 * Mails as text (RFC 5322, MIME): taken apart and put together by GMime, which nothing outside mail_read.c
 * and mail_write.c knows of.
 */

#include "base/arena.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void mail_init(void); /* once, before anything else here */

struct mail_file {
    char *name, *content_type;
    int64_t size; /* bytes, as encoded in the mail */
};

/* Texts are valid UTF-8, never NULL, no longer than the case service takes them. */
struct mail {
    char *from_address, *from_name, *subject, *body;
    char *id;          /* Message-ID without its brackets; made from the content when there is none */
    char **references; /* In-Reply-To and References, without brackets */
    size_t reference_count;
    int64_t time_us;         /* Date; 0: none */
    bool automatic;          /* Auto-Submitted (RFC 3834) says that no person wrote it */
    struct mail_file *files; /* everything that is not the text */
    size_t file_count;
};

/* In `memory`. INVALID_ARGUMENT: it is no mail, or nobody has sent it. */
bool mail_read(const char *path, arena *memory, struct mail *ret_mail, error *err)
    __attribute__((warn_unused_result));

struct mail_out {
    const char *from, *to, *subject, *body;
    char *const *cc; /* who gets a copy */
    size_t cc_count;
    const char *id, *reference; /* without brackets */
    int64_t time_us;
    bool automatic;
};

/* Writes it to a new file, durably; a file that is there is written over. */
bool mail_write(const struct mail_out *mail, const char *path, error *err)
    __attribute__((warn_unused_result));

#endif
