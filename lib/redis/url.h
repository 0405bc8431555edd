#ifndef CASEWORK_REDIS_URL_H
#define CASEWORK_REDIS_URL_H

/*
 * Where a Redis is:
 *   redis://[[user]:password@]host[:port][/db]     host a name, an IPv4 address or [IPv6]; port 6379, db 0 by
 *                                                  default
 *   unix:///path/to/socket[?db=n]
 *   redis+sentinel://[[user]:password@]host[:port][,host[:port]…]/master[/db]
 *                                                  sentinels (port 26379 by default) and the name that they
 *                                                  know the master by; user and password are the master's
 *   redis+cluster://[[user]:password@]host[:port][,host[:port]…]
 *                                                  some nodes of a Redis Cluster; the others are found
 * User and password may be percent-encoded (RFC 3986).
 */

#include "base/error.h"

#include <stdbool.h>

enum { REDIS_URL_TEXT = 256, REDIS_SEEDS_MAX = 8 };

enum redis_kind { REDIS_SINGLE, REDIS_SENTINEL, REDIS_CLUSTER };

struct redis_seed {
    char host[REDIS_URL_TEXT];
    int port;
};

struct redis_address {
    enum redis_kind kind;
    bool is_unix;
    char host[REDIS_URL_TEXT]; /* or the socket's path; "" where there are seeds */
    int port;                  /* 0 for a socket */
    int db;
    char user[REDIS_URL_TEXT]; /* "" for none */
    char password[REDIS_URL_TEXT];
    struct redis_seed seeds[REDIS_SEEDS_MAX]; /* sentinels, or nodes of a cluster */
    int seed_count;
    char master[REDIS_URL_TEXT];
};

/* INVALID_ARGUMENT for anything else; the message never repeats the password. */
bool redis_url_parse(const char *url, struct redis_address *ret_address, error *err)
    __attribute__((warn_unused_result));

#endif
