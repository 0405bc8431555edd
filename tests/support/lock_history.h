#ifndef CASEWORK_TESTS_SUPPORT_LOCK_HISTORY_H
#define CASEWORK_TESTS_SUPPORT_LOCK_HISTORY_H

/*
 * What clients were told of locks, with the times of one monotonic clock, against what the cases' histories
 * say: is there one order in which all of it can have happened? The order is given, by the positions of the
 * feed; so each observation needs only to fit into it between its start and its end (M. Herlihy, J. Wing,
 * "Linearizability: a correctness condition for concurrent objects", 1990). Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOCK_NAME_SIZE = 64, LOCK_COMPLAINT_SIZE = 320 };

enum lock_note_kind {
    LOCK_NOTE_GRANTED, /* the session was told that it holds; start: of its stream, end: when it read that */
    LOCK_NOTE_SEEN,    /* a tab_opened named the holder; start: when it was asked for */
    LOCK_NOTE_LOST,    /* the session was told that grant `token` is over */
    LOCK_NOTE_WRITE,   /* a message; start and end of the call */
    LOCK_NOTE_LEFT, /* the session gave its stream, tab or itself up, or its replica was stopped or killed */
};

enum lock_outcome { LOCK_WRITE_DONE, LOCK_WRITE_REFUSED, LOCK_WRITE_UNKNOWN };

/* How a session has left, or that it has been resumed. */
enum lock_leaving {
    LOCK_CAME_BACK,
    LOCK_LEFT_TAB,
    LOCK_LEFT_LOG_OUT,
    LOCK_LEFT_CUT,
    LOCK_LEFT_STOPPED,
    LOCK_LEFT_KILLED,
    LOCK_LEAVINGS
};

struct lock_note {
    enum lock_note_kind kind;
    int case_index;               /* of those tested; -1: all */
    char session[LOCK_NAME_SIZE]; /* the client's */
    char agent[LOCK_NAME_SIZE];   /* the client's; SEEN and a refused WRITE: the holder's */
    int64_t token;                /* GRANTED, SEEN, LOST */
    int64_t start_us, end_us;
    enum lock_outcome outcome;
    int write;        /* WRITE: its number, unique among all */
    int64_t position; /* WRITE: its place in the history; 0: it is not there */
    int64_t known;    /* a WRITE that is done: everything up to here is committed, as the answer said */
    enum lock_leaving leaving;
};

/* The holding of a case by one session. */
struct lock_tenure {
    int case_index;
    char session[LOCK_NAME_SIZE], agent[LOCK_NAME_SIZE];
    int64_t token;
    int64_t from, to; /* positions of the grant and of its end; INT64_MAX: holds still */
    bool broken;
};

struct lock_history {
    struct lock_note *notes; /* in no order */
    size_t note_count, note_size;
    struct lock_tenure *tenures; /* in the order of their grants */
    size_t tenure_count, tenure_size;
    char complaint[LOCK_COMPLAINT_SIZE]; /* what the events themselves do wrong; "": nothing */
};

void lock_history_note(struct lock_history *history, const struct lock_note *note);
void lock_history_release(struct lock_history *history);

/* The events of the cases, each case's in their order. */
void lock_history_granted(struct lock_history *history, int case_index, int64_t position, const char *session,
                          const char *agent, int64_t token);
void lock_history_ended(struct lock_history *history, int case_index, int64_t position, const char *session,
                        int64_t token, bool broken);

/* NULL: all can have happened so. Else what cannot, in the history's `complaint`. */
const char *lock_history_check(struct lock_history *history);

/* What the test has to have seen for its verdict to mean something. */
struct lock_counts {
    size_t tenures, broken, granted, seen, lost, done, refused, unknown, unknown_done;
    size_t passed_on[LOCK_LEAVINGS]; /* by how the holder had left when the next one was told */
};
struct lock_counts lock_history_count(const struct lock_history *history);

#endif
