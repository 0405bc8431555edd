#ifndef CASEWORK_TESTS_SUPPORT_SEARCH_SERVER_H
#define CASEWORK_TESTS_SUPPORT_SEARCH_SERVER_H

/* The search service within the test's process, against a feed that the test writes. What cannot start fails
 * the test. */

#include "search/search_handlers.h"
#include "tests/support/fake_events.h"

struct search_server {
    fake_events *events;
    struct search_service service;
    rpc_channel *channel; /* to the service */
    arena *memory;        /* of answers */
    error err;
};

/* The feed alone; see fake_events_new. */
void search_server_begin(struct search_server *server, fake_document *document, void *context);

/* From now on the service follows the feed and serves. `caught_up` as in search_follower_new. */
void search_server_start(struct search_server *server, void (*caught_up)(void *context), void *context);

void search_server_end(struct search_server *server);

#endif
