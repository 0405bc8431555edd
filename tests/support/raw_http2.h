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
enum { RAW_END_STREAM = 1, RAW_END_HEADERS = 4, RAW_ACK = 1 };

/* A connection to 127.0.0.1 that has sent preface and settings. -1: refused. */
int raw_connect(int port);

/* The same, which takes no more than `window` bytes of each stream's messages: it never asks for more. */
int raw_connect_window(int port, uint32_t window);

/* False: the peer does not take it any more. */
bool raw_frame(int fd, enum raw_frame type, uint8_t flags, uint32_t stream, const void *data, size_t length);

/* The headers of a gRPC call of `path` ("/service/Method"). */
bool raw_call(int fd, uint32_t stream, const char *path);

/* The same by an agent, who is named by the metadata of a service. */
bool raw_call_as(int fd, uint32_t stream, const char *path, const char *agent);

/* The same with one header more; `value` may be NULL. */
bool raw_call_with(int fd, uint32_t stream, const char *path, const char *header, const char *value);

/* One message of the call, with gRPC's five bytes before it. Up to 16,000 bytes. */
bool raw_message(int fd, uint32_t stream, const void *data, size_t length);

/*
 * The next frame with data of that stream: up to `size` bytes of it (the rest is lost). 0: none has come
 * within a few seconds, or the peer has closed the connection. What else comes is passed over.
 */
size_t raw_read_data(int fd, uint32_t stream, void *data, size_t size);

/* Waits for the peer to ask whether somebody is there, and answers; what else comes is passed over. False: it
 * has not asked within a few seconds, or has closed the connection. */
bool raw_answer_ping(int fd);

/* Reads and forgets what is there; false: the peer has closed the connection. */
bool raw_swallow(int fd);

#endif
