#ifndef CASEWORK_TESTS_SUPPORT_LOCK_CLIENT_H
#define CASEWORK_TESTS_SUPPORT_LOCK_CLIENT_H

/*
 * An agent's client that does this and that, in a thread of its own: opens and closes tabs, writes at any
 * replica under its session, breaks its stream and resumes it elsewhere in time or too late, logs out. It
 * notes what it was told (lock_history.h).
 */

#include "tests/support/case_replicas.h"
#include "tests/support/lock_history.h"
#include "tests/support/session_client.h"

#include <pthread.h>
#include <stdatomic.h>

enum { LOCK_CASES = 3 };

/* What the clients share. */
struct lock_bench {
    struct case_replicas *replicas;
    const char *account;
    const char *cases[LOCK_CASES];
    int64_t grace_us;
    atomic_bool over;
    atomic_int writes; /* the last one's number */
};

struct lock_client {
    struct lock_bench *bench;
    char agent[LOCK_NAME_SIZE];
    atomic_bool calm; /* does not leave by itself for now */
    uint64_t random;
    struct lock_history notes; /* to be read and released when it has ended */
    char strange[320];         /* an answer that nobody should get; "": none */

    pthread_mutex_t lock; /* of what follows, which others may look at */
    char session[LOCK_NAME_SIZE];
    int replica; /* where its stream is; -1: nowhere */

    /* The thread's own. */
    pthread_t thread;
    struct session_client stream;
    bool fresh; /* the stream began the session */
    char token[512];
    int64_t stream_us;
    int64_t asked_us[LOCK_CASES]; /* for a tab, the earliest that is not answered */
    int asked[LOCK_CASES];
    int64_t granted[LOCK_CASES]; /* the last it was told of, 0 when it has been told that it lost it */
};

/* `bench`, `agent` and `random` are set, everything else is 0. */
void lock_client_start(struct lock_client *c);
void lock_client_join(struct lock_client *c);

#endif
