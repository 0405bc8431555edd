#ifndef CASEWORK_TESTS_SUPPORT_TOGETHER_H
#define CASEWORK_TESTS_SUPPORT_TOGETHER_H

/*
 * Several calls that become one batch, in their order: the partitions are held while they come in, behind one
 * that waits for them already.
 */

#include "pg/pg.h"
#include "tests/support/case_desk.h"

#include <pthread.h>

/* On a thread of the client's; `response` NULL: an error. */
typedef void together_land(void *argument, const ProtobufCMessage *response, const error *err);

struct together {
    struct case_server *server;
    pg_conn *holder;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int under_way;
};

/* `ahead`: a case whose opening, by anna, is what waits. */
void together_begin(struct together *calls, struct case_server *server, const char *ahead);

/* The next call, by an agent or (NULL) a service; request, method and argument live until together_run
 * returns. Comes back when it waits behind those before it, or was refused. `land` NULL: an error ends the
 * test. */
void together_add(struct together *calls, const char *agent, const ProtobufCServiceDescriptor *service,
                  const char *method, const void *request, together_land *land, void *argument);

/* How many changes the first replica has taken in; and until it has taken in more than `before`. */
double together_taken_in(const struct case_server *server);
void together_await_more(const struct case_server *server, double before);

/* Lets them run, and waits for all. */
void together_run(struct together *calls);

#endif
