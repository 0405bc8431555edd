#ifndef CASEWORK_TESTS_SUPPORT_SEARCH_WORLD_H
#define CASEWORK_TESTS_SUPPORT_SEARCH_WORLD_H

/* The search service on the cases of one account, "acme", which live in the test's memory. */

#include "casework/search/v1/search_service.pb-c.h"
#include "tests/support/search_server.h"

#include <pthread.h>
#include <stdatomic.h>

typedef Casework__Search__V1__SearchCasesRequest world_request;
typedef Casework__Search__V1__SearchCasesResponse world_response;

enum { CASES_MAX = 64 };

/* The cases as the case service has them. */
struct world_case {
    bool there;
    const char *subject, *body, *label;
    int status;
    int64_t update_time_us;
    int reads; /* after which it is gone; 0: it stays */
};

struct search_world {
    pthread_mutex_t lock;
    struct world_case cases[CASES_MAX];
    const char *contact_name; /* of all cases; NULL: no contact */
    bool closed;              /* nothing is read until it is not */
    pthread_cond_t opened;
    atomic_size_t reads; /* of cases, so far */
    bool drop;           /* the account goes while one of its cases is read */
    struct search_server server;
    atomic_int caught_up;
};

void world_begin(struct search_world *world);
void world_end(struct search_world *world);

/* What search_server_start is given: counts. */
void world_caught_up(void *context);

/* Changes a case and tells of it; answers the position. */
int64_t world_set(struct search_world *world, int64_t number, struct world_case c);
int64_t world_set_text(struct search_world *world, int64_t number, const char *subject, const char *body);

world_request world_ask(const char *query, int64_t position);

/* NULL: it failed, world->server.err says why. */
world_response *world_search_within(struct search_world *world, const world_request *request,
                                    int64_t timeout_us);

/* Of one that must be answered. */
world_response *world_search(struct search_world *world, const world_request *request);
int world_total(struct search_world *world, const char *query, int64_t position);

#endif
