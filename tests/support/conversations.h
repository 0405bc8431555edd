#ifndef CASEWORK_TESTS_SUPPORT_CONVERSATIONS_H
#define CASEWORK_TESTS_SUPPORT_CONVERSATIONS_H

/*
 * A file of conversations (JSON lines, spec of `casework import`) as a test reads it: apart from the
 * program's own reader, so that each judges the other.
 */

#include "tests/support/suite.h"

#include <jansson.h>
#include <stddef.h>

struct conversations {
    json_t **list; /* a line each */
    size_t count;
};

/* Never fails quietly. */
void conversations_read(const char *path, struct conversations *ret_conversations);
void conversations_release(struct conversations *conversations);

/* The account's id: lower case, after `prefix`. In `memory`. */
const char *conversation_account(const json_t *conversation, const char *prefix, arena *memory);

/* Adds the same conversations to a file, for accounts whose names begin with `prefix`. */
void conversations_append(const struct conversations *conversations, const char *path, const char *prefix);

/*
 * Compares what the case service has under the prefix with the file: every conversation one case, every
 * message there with its kind, time and text, numbered by time. Answers how many differ and says which.
 */
size_t conversations_compare(const struct conversations *conversations, suite *s, unsigned replica,
                             const char *prefix);

#endif
