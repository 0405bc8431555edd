/* Clients that mean harm, over loopback: what they do ends with an error or with their connection, and others
 * are served. */

#include "base/bytes.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "grpc/testing/test.pb-c.h"
#include "tests/support/raw_http2.h"
#include "tests/support/rpc_loopback.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#define SERVICE &grpc__testing__test_service__descriptor
#define PATH "/grpc.testing.TestService/"
#define ALL (RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE)

/* Sanitizers keep what was freed. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

enum { MEBIBYTE = 1 << 20 };

static struct rpc_loopback loopback;
static arena *memory;
static atomic_int received, calls_done;

/* --- what is served --- */

static void empty(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)message, (void)context;
    rpc_call_reply_packed(call, "", 0);
}

static void take(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)message, (void)context;
    atomic_fetch_add(&received, 1);
    rpc_call_read_next(call);
}

static void answer(rpc_call *call, void *context)
{
    (void)context;
    rpc_call_reply_packed(call, "", 0);
}

static void done(rpc_call *call, void *context)
{
    (void)call, (void)context;
    atomic_fetch_add(&calls_done, 1);
}

static const struct rpc_stream_handlers counting = {
    .on_message = take, .on_half_close = answer, .on_done = done};

static const struct rpc_method methods[] = {
    {.service = SERVICE, .name = "EmptyCall", .roles = ALL, .any_account = true, .unary = empty},
    {.service = SERVICE,
     .name = "StreamingInputCall",
     .roles = ALL,
     .any_account = true,
     .stream = &counting},
    {.service = NULL},
};

static void set_up(void)
{
    memory = arena_new(16 * MEBIBYTE);
    rpc_loopback_start(&loopback, methods, NULL, NULL, NULL);
}

static void tear_down(void)
{
    rpc_loopback_stop(&loopback);
    arena_free(memory);
}

TestSuite(rpc_hostile, .init = set_up, .fini = tear_down, .timeout = 60);

/* --- helpers --- */

static enum status_code call(const char *session, bool no_retry, error *ret_err)
{
    const struct rpc_client_options options = {
        .timeout_us = 10000000, .no_retry = no_retry, .session = session};
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    ProtobufCMessage *response;
    ret_err->code = STATUS_OK;
    return rpc_client_call(loopback.channel, SERVICE, "EmptyCall", &request.base, &options, memory, &response,
                           ret_err)
               ? STATUS_OK
               : ret_err->code;
}

static void expect_served(void)
{
    error err;
    cr_assert_eq(call(NULL, false, &err), STATUS_OK, "%s", err.message);
}

/* Within a few seconds. */
static bool is_sent_away(int fd)
{
    bool open = true;
    for (int i = 0; i < 5000 && (open = raw_swallow(fd)); i++)
        usleep(1000);
    return !open;
}

static void wait_for(const atomic_int *value, int wanted)
{
    for (int i = 0; i < 10000 && atomic_load(value) < wanted; i++)
        usleep(1000);
    cr_assert_geq(atomic_load(value), wanted);
}

static long resident_bytes(void)
{
    char line[128];
    FILE *file = fopen("/proc/self/statm", "re");
    cr_assert_not_null(file);
    cr_assert_not_null(fgets(line, sizeof line, file));
    fclose(file);
    return strtol(strchr(line, ' '), NULL, 10) * sysconf(_SC_PAGESIZE);
}

static int connect_raw(void)
{
    int fd = raw_connect(rpc_server_port(loopback.server));
    cr_assert_geq(fd, 0);
    return fd;
}

/* --- tests --- */

static void flood_with_resets(int streams)
{
    static const uint8_t cancel[] = {0, 0, 0, 8};
    int fd = connect_raw(), sent = 0;
    for (bool open = true; sent < streams && open; sent++) {
        uint32_t stream = (uint32_t)(2 * sent + 1);
        open = raw_call(fd, stream, sent % 2 ? PATH "EmptyCall" : PATH "StreamingInputCall") &&
               raw_frame(fd, RAW_RST_STREAM, 0, stream, cancel, sizeof cancel) && raw_swallow(fd);
        if (sent % 1000 == 0)
            expect_served();
    }
    cr_assert_gt(sent, streams / 10);
    expect_served();
    close(fd);
}

static bool is_idle(void)
{
    bytes text;
    bytes_init(&text, 1 << 20);
    cr_assert(metrics_write(&text));
    bool idle = true;
    char *rest = NULL;
    for (char *line = strtok_r((char *)text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (strncmp(line, "rpc_server_active_calls", strlen("rpc_server_active_calls")) == 0)
            idle = idle && strcmp(strrchr(line, ' '), " 0") == 0;
    bytes_release(&text);
    return idle;
}

/* "Rapid reset": calls that are taken back at once. What waits is given back: eight floods, one after the
 * other, need no more than one. */
Test(rpc_hostile, a_flood_of_resets)
{
    enum { FLOODS = 8, STREAMS = 1500, CALL_BYTES = 48 * 1024 };
    long before = resident_bytes();
    for (int i = 0; i < FLOODS; i++) {
        flood_with_resets(STREAMS);
        /* Seen once: more of the flood may still come out of the connection's buffers. */
        bool idle = false;
        for (int tries = 0; tries < 20000 && !(idle = is_idle()); tries++)
            usleep(1000);
        cr_assert(idle);
    }
    long more = resident_bytes() - before;
    cr_assert(IS_SANITIZED || more < (long)STREAMS * CALL_BYTES, "%ld", more);
}

/* As many small messages as one window holds (RFC 9113 section 6.9.2: 65,535 bytes), then more than that, as
 * fast as they can be written: either the client overruns a window, or the service keeps up with it. */
Test(rpc_hostile, a_flood_of_messages)
{
    enum { MESSAGES = 13000, EACH = 5, IN_FRAME = 1000, FRAMES = IS_SANITIZED ? 10 : 20000 };
    static const uint8_t zeros[EACH * IN_FRAME]; /* messages of no bytes */
    int fd = connect_raw();
    cr_assert(raw_call(fd, 1, PATH "StreamingInputCall"));
    for (int i = 0; i < MESSAGES / IN_FRAME; i++)
        cr_assert(raw_frame(fd, RAW_DATA, 0, 1, zeros, sizeof zeros));
    wait_for(&received, MESSAGES);
    expect_served();
    int frames = 0;
    while (frames < FRAMES && raw_frame(fd, RAW_DATA, 0, 1, zeros, sizeof zeros))
        frames++;
    bool open = frames == FRAMES;
    for (int i = 0; i < 30000 && open && atomic_load(&received) < MESSAGES + FRAMES * IN_FRAME; i++) {
        open = raw_swallow(fd);
        usleep(1000);
    }
    cr_assert(!open || atomic_load(&received) >= MESSAGES + FRAMES * IN_FRAME,
              "a client that overruns every window goes on, and has not been kept up with");
    close(fd);
    wait_for(&calls_done, 1);
    expect_served();
}

Test(rpc_hostile, a_flood_of_pings)
{
    static const uint8_t opaque[8];
    int fd = connect_raw();
    bool open = true;
    for (int i = 0; i < 100000 && open; i++)
        open = raw_frame(fd, RAW_PING, 0, 0, opaque, sizeof opaque) && (i % 100 > 0 || raw_swallow(fd));
    cr_assert(!open || is_sent_away(fd), "a client that pings on and on goes on");
    expect_served();
    close(fd);
}

Test(rpc_hostile, large_headers)
{
    error err;
    char *session = arena_calloc(memory, 1, MEBIBYTE + 1);
    memset(session, 'x', 9000); /* below the limit of 16 KiB */
    cr_expect_eq(call(session, true, &err), STATUS_OK, "%s", err.message);
    memset(session, 'x', 20000);
    cr_expect_eq(call(session, true, &err), STATUS_RESOURCE_EXHAUSTED, "%s", err.message);
    memset(session, 'x', MEBIBYTE);
    cr_expect_neq(call(session, true, &err), STATUS_OK);
    expect_served();
}

/* What this process has needed at the most so far. */
static long peak_bytes(void)
{
    char line[128];
    long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "re");
    cr_assert_not_null(file);
    while (kilobytes == 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, "VmHWM:", 6) == 0)
            kilobytes = strtol(line + 6, NULL, 10);
    }
    fclose(file);
    cr_assert_gt(kilobytes, 0);
    return kilobytes * 1024;
}

/* gRPC's five bytes and `size` zeros, as gzip makes them of it. Returns the length of all. */
static size_t press_zeros(size_t size, uint8_t *message, size_t room)
{
    enum { GZIP = 15 + 16 };
    static uint8_t zeros[MEBIBYTE];
    z_stream z = {.next_out = message + 5, .avail_out = (uInt)(room - 5)};
    cr_assert_eq(deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY), Z_OK);
    for (size_t done = 0; done < size; done += sizeof zeros) {
        z.next_in = zeros;
        z.avail_in = sizeof zeros;
        bool is_last = done + sizeof zeros >= size;
        cr_assert_eq(deflate(&z, is_last ? Z_FINISH : Z_NO_FLUSH), is_last ? Z_STREAM_END : Z_OK);
    }
    size_t length = z.total_out;
    deflateEnd(&z);
    const uint8_t head[] = {1, 0, (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length};
    memcpy(message, head, sizeof head);
    return 5 + length;
}

/* A few kilobytes that would become many megabytes before anybody asks who has sent them. */
Test(rpc_hostile, a_compressed_message_is_not_blown_up)
{
    enum { BLOWN_UP = 48 * MEBIBYTE, FRAME = 16000 };
    static uint8_t message[60000]; /* fits into the first window */
    size_t length = press_zeros(BLOWN_UP, message, sizeof message);
    expect_served();
    long before = peak_bytes();
    int fd = connect_raw();
    cr_assert(raw_call_with(fd, 1, PATH "StreamingInputCall", "grpc-encoding", "gzip"));
    for (size_t at = 0; at < length; at += FRAME)
        cr_assert(raw_frame(fd, RAW_DATA, 0, 1, message + at, length - at < FRAME ? length - at : FRAME));
    cr_assert(raw_frame(fd, RAW_DATA, RAW_END_STREAM, 1, NULL, 0));
    wait_for(&calls_done, 1);
    expect_served();
    cr_assert_eq(atomic_load(&received), 0);
    cr_assert_lt(peak_bytes() - before, BLOWN_UP / 2);
    close(fd);
}

Test(rpc_hostile, what_is_no_http2)
{
    static const char *const openings[] = {"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
                                           "\x16\x03\x01"};
    static const uint8_t block[] = {0x82, 0xff, 0xff, 0xff,
                                    0xff, 0xff, 0xff}; /* an index beyond all tables */
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        int fd = connect_raw();
        (void)!write(fd, openings[i], strlen(openings[i]));
        close(fd);
        expect_served();
    }
    int fd = connect_raw();
    cr_assert(raw_frame(fd, RAW_HEADERS, RAW_END_HEADERS, 1, block, sizeof block));
    cr_expect(raw_frame(fd, RAW_DATA, RAW_END_STREAM, 77, block,
                        sizeof block)); /* a stream that was never opened */
    expect_served();
    close(fd);
}

/* --- no file descriptors left --- */

static atomic_int lost;

static void count_lost(void)
{
    atomic_fetch_add(&lost, 1);
}

/* Connections that were there go on; that no new ones are taken is told. */
Test(rpc_hostile, file_descriptors_run_out)
{
    expect_served();
    rpc_watch_core(count_lost);
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(limit.rlim_cur, limit.rlim_max, "the server raises the limit when it starts");
    int fd = dup(STDIN_FILENO); /* the lowest free one */
    cr_assert_geq(fd, 0);
    close(fd);
    const struct rlimit none = {.rlim_cur = (rlim_t)fd + 1, .rlim_max = limit.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int client = connect_raw(); /* takes the last one */
    wait_for(&lost, 1);
    expect_served();
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close(client);
}

/* The connection is well, and the client has room for nothing: the answer would wait for ever. */
Test(rpc_hostile, who_does_not_take_the_end_of_a_stream_is_cut_off)
{
    const struct rpc_server_options options = {.end_patience_us = CLOCK_SECOND / 5};
    rpc_loopback_stop(&loopback);
    rpc_loopback_start(&loopback, methods, NULL, &options, NULL);
    int fd = raw_connect_window(rpc_server_port(loopback.server), 0);
    int64_t begun = clock_monotonic_us();
    cr_assert_geq(fd, 0);
    cr_assert(raw_call(fd, 1, PATH "StreamingInputCall"));
    cr_assert(raw_frame(fd, RAW_DATA, RAW_END_STREAM, 1, NULL, 0));
    wait_for(&calls_done, 1);
    cr_assert_geq(clock_monotonic_us() - begun, options.end_patience_us);
    cr_assert(raw_swallow(fd), "only the stream is");
    expect_served();
    close(fd);
}

/* However long the stream has been idle: pings that are answered are no data. */
Test(rpc_hostile, who_answers_no_more_is_cut_off)
{
    enum { IDLE_PINGS = 5 };
    const struct rpc_server_options options = {.silence_us = CLOCK_SECOND / 5};
    rpc_loopback_stop(&loopback);
    rpc_loopback_start(&loopback, methods, NULL, &options, NULL);
    int fd = raw_connect(rpc_server_port(loopback.server));
    cr_assert_geq(fd, 0);
    cr_assert(raw_call(fd, 1, PATH "StreamingInputCall"));
    for (int i = 0; i < IDLE_PINGS; i++)
        cr_assert(raw_answer_ping(fd), "ping %d", i);
    cr_assert_eq(atomic_load(&calls_done), 0);
    wait_for(&calls_done, 1);
    expect_served();
    close(fd);
}
