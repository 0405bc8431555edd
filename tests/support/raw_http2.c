#include "tests/support/raw_http2.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WRITE_LIMIT_MS = 5000 };

bool raw_swallow(int fd)
{
    char buffer[65536];
    ssize_t got;
    while ((got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
        ;
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

/* Answers are swallowed on the way, so that neither side waits for the other. */
static bool write_all(int fd, const uint8_t *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        struct pollfd poll_fd = {.fd = fd, .events = POLLOUT | POLLIN};
        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
        } else if (sent == 0 || (errno != EAGAIN && errno != EWOULDBLOCK) ||
                   poll(&poll_fd, 1, WRITE_LIMIT_MS) <= 0 || !raw_swallow(fd)) {
            return false;
        }
    }
    return true;
}

bool raw_frame(int fd, enum raw_frame type, uint8_t flags, uint32_t stream, const void *data, size_t length)
{
    uint8_t frame[9 + 16384] = {
        (uint8_t)(length >> 16), (uint8_t)(length >> 8),  (uint8_t)length,        (uint8_t)type,  flags,
        (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    if (length > sizeof frame - 9)
        return false;
    if (length > 0)
        memcpy(frame + 9, data, length);
    return write_all(fd, frame, 9 + length);
}

int raw_connect(int port)
{
    return raw_connect_window(port, 65535);
}

int raw_connect_window(int port, uint32_t window)
{
    const uint8_t settings[] = {0,
                                4, /* the initial window size */
                                (uint8_t)(window >> 24),
                                (uint8_t)(window >> 16),
                                (uint8_t)(window >> 8),
                                (uint8_t)window};
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address) == 0 &&
        write_all(fd, (const uint8_t *)preface, sizeof preface - 1) &&
        raw_frame(fd, RAW_SETTINGS, 0, 0, settings, sizeof settings))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Names and values below 127 bytes. */
static size_t add_header(uint8_t *block, size_t at, const char *name, const char *value)
{
    const char *parts[] = {name, value};
    block[at++] = 0;
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(parts[i]);
        block[at++] = (uint8_t)length;
        memcpy(block + at, parts[i], length);
        at += length;
    }
    return at;
}

bool raw_call(int fd, uint32_t stream, const char *path)
{
    return raw_call_with(fd, stream, path, NULL, NULL);
}

bool raw_call_as(int fd, uint32_t stream, const char *path, const char *agent)
{
    return raw_call_with(fd, stream, path, "casework-agent", agent);
}

bool raw_call_with(int fd, uint32_t stream, const char *path, const char *header, const char *value)
{
    uint8_t block[512];
    size_t length = add_header(block, 0, ":method", "POST");
    length = add_header(block, length, ":scheme", "http");
    length = add_header(block, length, ":path", path);
    length = add_header(block, length, ":authority", "test");
    length = add_header(block, length, "content-type", "application/grpc");
    length = add_header(block, length, "te", "trailers");
    if (value)
        length = add_header(block, length, header, value);
    return raw_frame(fd, RAW_HEADERS, RAW_END_HEADERS, stream, block, length);
}

bool raw_message(int fd, uint32_t stream, const void *data, size_t length)
{
    uint8_t message[16384] = {0, (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8),
                              (uint8_t)length};
    if (length > sizeof message - 5)
        return false;
    memcpy(message + 5, data, length);
    return raw_frame(fd, RAW_DATA, 0, stream, message, 5 + length);
}

static bool read_all(int fd, uint8_t *data, size_t length)
{
    while (length > 0) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        ssize_t got = poll(&poll_fd, 1, WRITE_LIMIT_MS) > 0 ? recv(fd, data, length, MSG_DONTWAIT) : 0;
        if (got <= 0)
            return false;
        data += got;
        length -= (size_t)got;
    }
    return true;
}

/* The next frame's head and payload; SIZE_MAX: none has come in time, or a longer one than expected. */
static size_t read_frame(int fd, uint8_t head[9], uint8_t *payload, size_t size)
{
    if (!read_all(fd, head, 9))
        return SIZE_MAX;
    size_t length = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    return length <= size && read_all(fd, payload, length) ? length : SIZE_MAX;
}

size_t raw_read_data(int fd, uint32_t stream, void *data, size_t size)
{
    uint8_t head[9], payload[1 << 16];
    size_t length;
    while ((length = read_frame(fd, head, payload, sizeof payload)) != SIZE_MAX) {
        uint32_t of = (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
        if (head[3] != RAW_DATA || of != stream || length == 0)
            continue;
        length = length < size ? length : size;
        memcpy(data, payload, length);
        return length;
    }
    return 0;
}

bool raw_answer_ping(int fd)
{
    uint8_t head[9], payload[1 << 16];
    size_t length;
    while ((length = read_frame(fd, head, payload, sizeof payload)) != SIZE_MAX) {
        if (head[3] == RAW_PING && (head[4] & RAW_ACK) == 0)
            return raw_frame(fd, RAW_PING, RAW_ACK, 0, payload, length);
    }
    return false;
}
