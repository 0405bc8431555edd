#ifndef CASEWORK_CASE_RESUME_H
#define CASEWORK_CASE_RESUME_H

/*
 * Resume tokens of sessions, outgoing messages and watches: what is sealed in them, and how it is read back.
 * The seal guards against mistakes; whoever means harm can make one. So whatever comes out of a token is
 * looked at as closely as any other input: what is answered true holds what its comments say.
 *
 * Tokens live in the arena given; NULL or false also when that is full.
 */

#include "base/arena.h"
#include "case/case_watch_filter.h"
#include "feed/partition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RESUME_SESSION_SIZE = 24, RESUME_SESSION_LENGTH = 16 };

/* A new session's id: lower-case letters and digits. False: no random numbers. */
bool resume_session_new(char id[RESUME_SESSION_SIZE]) __attribute__((warn_unused_result));

/* An id such as resume_session_new makes. */
char *resume_session_seal(arena *memory, const char *id, const char *binding);
bool resume_session_open(arena *memory, const char *token, const char *binding, char id[RESUME_SESSION_SIZE])
    __attribute__((warn_unused_result));

/* Up to where a watch has come. */
struct watch_cursor {
    int64_t position; /* 0 or more */
    int64_t snapshot; /* cases up to this number were in the snapshot; INT64_MAX: it is complete; 0 or more */
    struct watch_cut cut; /* both 0 or more, and the time below INT64_MAX */
};

struct watch_token {
    struct watch_cursor cursor;
    int64_t account_begin;       /* any */
    char epoch[FEED_EPOCH_SIZE]; /* any */
};

char *resume_watch_seal(arena *memory, const struct watch_token *from, const char *binding);
bool resume_watch_open(arena *memory, const char *token, const char *binding, struct watch_token *ret_token)
    __attribute__((warn_unused_result));

/* A place in an account's feed, 0 or more, and the history that it is of (any text). */
struct outgoing_token {
    int64_t after;
    int64_t account_begin; /* any */
    char epoch[FEED_EPOCH_SIZE];
};

char *resume_outgoing_seal(arena *memory, const struct outgoing_token *from, const char *binding);
bool resume_outgoing_open(arena *memory, const char *token, const char *binding,
                          struct outgoing_token *ret_token) __attribute__((warn_unused_result));

#endif
