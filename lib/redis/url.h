#ifndef CASEWORK_REDIS_URL_H
#define CASEWORK_REDIS_URL_H

/*
 * Where a Redis is:
 *   redis://[[user]:password@]host[:port][/db]     host a name, an IPv4 address or [IPv6]; port 6379, db 0 by
 * default unix:///path/to/socket[?db=n] User and password may be percent-encoded (RFC 3986).
 */

#include "base/error.h"

#include <stdbool.h>

enum { REDIS_URL_TEXT = 256 };

struct redis_address {
    bool is_unix;
    char host[REDIS_URL_TEXT]; /* or the socket's path */
    int port;                  /* 0 for a socket */
    int db;
    char user[REDIS_URL_TEXT]; /* "" for none */
    char password[REDIS_URL_TEXT];
};

/* INVALID_ARGUMENT for anything else; the message never repeats the password. */
bool redis_url_parse(const char *url, struct redis_address *ret_address, error *err)
    __attribute__((warn_unused_result));

#endif
