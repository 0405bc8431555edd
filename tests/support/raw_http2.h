#ifndef CASEWORK_TESTS_SUPPORT_RAW_HTTP2_H
#define CASEWORK_TESTS_SUPPORT_RAW_HTTP2_H

/*
 * An HTTP/2 client (RFC 9113) that keeps to no rule it is not told to keep to: frames as the test wants them,
 * headers as plain literals (RFC 7541 section 6.2.2). Nothing is read unless asked for; writes have a time
 * limit.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum raw_frame { RAW_DATA = 0, RAW_HEADERS = 1, RAW_RST_STREAM = 3, RAW_SETTINGS = 4, RAW_PING = 6 };
enum { RAW_END_STREAM = 1, RAW_END_HEADERS = 4 };

/* A connection to 127.0.0.1 that has sent preface and settings. -1: refused. */
int raw_connect(int port);

/* False: the peer does not take it any more. */
bool raw_frame(int fd, enum raw_frame type, uint8_t flags, uint32_t stream, const void *data, size_t length);

/* The headers of a gRPC call of `path` ("/service/Method"). */
bool raw_call(int fd, uint32_t stream, const char *path);

/* Reads and forgets what is there; false: the peer has closed the connection. */
bool raw_swallow(int fd);

#endif
