#ifndef CASEWORK_TESTS_SUPPORT_REDIS_GROUP_H
#define CASEWORK_TESTS_SUPPORT_REDIS_GROUP_H

/* Private Redis servers that belong together, gone when the test is over. What fails here ends the test. */

#include "embedded/embedded_redis.h"

#include <stdbool.h>
#include <stdint.h>

/* --- a master, a replica, and a sentinel that watches them --------------------------------------- */

typedef struct redis_watched redis_watched;

/* The replica has all and the sentinel knows both when this returns. */
redis_watched *redis_watched_start(void);
void redis_watched_free(redis_watched *watched);

/* "redis+sentinel://…", a dead sentinel named first. */
const char *redis_watched_url(const redis_watched *watched);

/* Which of the two (0, 1) the sentinel calls the master. */
int redis_watched_master(redis_watched *watched);
embedded_redis *redis_watched_server(redis_watched *watched, int which);

/* Has the sentinel change master and replica, both alive; or kills the master. Returns when it has. */
void redis_watched_switch(redis_watched *watched);
void redis_watched_kill_master(redis_watched *watched);

/* --- a cluster of three -------------------------------------------------------------------------- */

enum { REDIS_CLUSTER_NODES = 3 };

typedef struct redis_cluster_group redis_cluster_group;

/* Serves all slots when this returns. */
redis_cluster_group *redis_cluster_start(void);
void redis_cluster_group_free(redis_cluster_group *group);

/* "redis+cluster://…", with one node. */
const char *redis_cluster_url(const redis_cluster_group *group);
embedded_redis *redis_cluster_server(redis_cluster_group *group, int node);

/* Who serves the slot. */
int redis_cluster_owner(redis_cluster_group *group, int slot);

/*
 * Moves a slot, key by key, as redis-cli does: `half` is called when half of its keys have gone (NULL: not).
 * Returns how many keys went.
 */
int redis_cluster_move(redis_cluster_group *group, int slot, int to, void (*half)(void *context),
                       void *context);

#endif
