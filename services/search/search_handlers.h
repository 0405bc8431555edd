#ifndef CASEWORK_SEARCH_HANDLERS_H
#define CASEWORK_SEARCH_HANDLERS_H

/* casework.search.v1.SearchService: from wire to index and back. */

#include "feed/suite_clock.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "search/search_follower.h"
#include "search/search_index.h"
#include "search/search_lag.h"
#include "search/search_shards.h"

/* What the handlers need: their context. All of it outlives the server. */
struct search_service {
    search_index *index;
    search_follower *follower;
    struct search_shards shards;
    rpc_channel *cases;
    suite_clock *clock;
    rpc_server *server; /* on whose workers a search goes on that had to wait */
    struct search_lag_memory lag;
};

extern const struct rpc_method search_methods[];
extern const struct rpc_method search_status_methods[];
extern const struct rpc_method search_rebuild_methods[];
extern const struct rpc_method search_check_methods[];

/* All of them. Before the server starts. */
bool search_handlers_add(struct search_service *service, error *err) __attribute__((warn_unused_result));

#endif
