/* TLS of server and client, and certificates of clients: rpc/credentials.h through rpc/server.h and
 * rpc/client.h */

#include "grpc/testing/test.pb-c.h"
#include "tests/support/rpc_loopback.h"
#include "tests/support/tls_files.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SERVICE &grpc__testing__test_service__descriptor
#define ALL (RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_CONNECTOR | RPC_ROLE_SERVICE)

static struct rpc_loopback loopback;
static char folder[64];
static arena *memory;

static void set_up(void)
{
    memory = arena_new(1 << 20);
    rpc_folder_make(folder);
    tls_files_make(folder);
}

static void tear_down(void)
{
    if (loopback.server)
        rpc_loopback_stop(&loopback);
    rpc_folder_remove(folder);
    arena_free(memory);
}

TestSuite(rpc_tls, .init = set_up, .fini = tear_down, .timeout = 60);

static const char *file(const char *name)
{
    return name ? arena_printf(memory, "%s/%s", folder, name) : NULL;
}

static void empty(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)message, (void)context;
    rpc_call_reply_packed(call, "", 0);
}

static const struct rpc_method methods[] = {
    {.service = SERVICE, .name = "EmptyCall", .roles = ALL, .any_account = true, .unary = empty},
    {.service = NULL},
};

static void serve(const char *client_ca)
{
    const struct rpc_server_options options = {.tls_certificate_file = file("server.pem"),
                                               .tls_key_file = file("server.key"),
                                               .tls_client_ca_file = file(client_ca),
                                               .drain_us = 2000000};
    rpc_loopback_start(&loopback, methods, NULL, &options, NULL);
}

/* What a call gets over a channel of its own that trusts `ca` (NULL: plain text) and shows `name`.pem, if
 * any. */
static enum status_code call_as(const char *ca, const char *name)
{
    const struct rpc_client_options soon = {.timeout_us = 10000000, .no_retry = true};
    const struct rpc_channel_options options = {
        .target = loopback.target,
        .tls_ca_file = file(ca),
        .tls_certificate_file = name ? file(arena_printf(memory, "%s.pem", name)) : NULL,
        .tls_key_file = name ? file(arena_printf(memory, "%s.key", name)) : NULL,
    };
    Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
    ProtobufCMessage *response;
    rpc_channel *channel;
    error err = {.code = STATUS_OK};
    cr_assert(rpc_channel_new(&options, &channel, &err), "%s", err.message);
    bool done = rpc_client_call(channel, SERVICE, "EmptyCall", &request.base, &soon, memory, &response, &err);
    rpc_channel_free(channel);
    return done ? STATUS_OK : err.code;
}

Test(rpc_tls, a_client_checks_who_the_server_is)
{
    serve(NULL);
    cr_expect_eq(call_as("trusted.pem", NULL), STATUS_OK);
    cr_expect_eq(call_as("other.pem", NULL), STATUS_UNAVAILABLE);
    cr_expect_eq(call_as(NULL, NULL), STATUS_UNAVAILABLE);
    /* nobody asked for it, so nobody minds who signed it */
    cr_expect_eq(call_as("trusted.pem", "other-client"), STATUS_OK);
}

Test(rpc_tls, a_server_checks_who_the_client_is)
{
    serve("trusted.pem");
    cr_expect_eq(call_as("trusted.pem", "client"), STATUS_OK);
    cr_expect_eq(call_as("trusted.pem", NULL), STATUS_UNAVAILABLE);
    cr_expect_eq(call_as("trusted.pem", "other-client"), STATUS_UNAVAILABLE);
    cr_expect_eq(call_as(NULL, NULL), STATUS_UNAVAILABLE);
    cr_expect_eq(call_as("trusted.pem", "client"), STATUS_OK);
}

/* The reason why a server with these files does not start. */
static const char *refused(const char *certificate, const char *key, const char *client_ca)
{
    const struct rpc_server_options options = {.address = "127.0.0.1:0",
                                               .tls_certificate_file = file(certificate),
                                               .tls_key_file = file(key),
                                               .tls_client_ca_file = file(client_ca)};
    rpc_server *server;
    error err = {.code = STATUS_OK};
    cr_assert(rpc_server_new(&options, &server, &err), "%s", err.message);
    bool started = rpc_server_start(server, &err);
    rpc_server_free(server);
    return started ? "started" : arena_strdup(memory, err.reason);
}

Test(rpc_tls, a_server_that_cannot_do_as_it_is_told_does_not_start)
{
    rpc_folder_write(folder, "garbage.pem", "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n");
    cr_expect_str_eq(refused("server.pem", NULL, NULL), "TLS_INCOMPLETE");
    cr_expect_str_eq(refused(NULL, "server.key", NULL), "TLS_INCOMPLETE");
    cr_expect_str_eq(refused(NULL, NULL, "trusted.pem"), "TLS_INCOMPLETE");
    cr_expect_str_neq(refused("absent.pem", "server.key", NULL), "started");
    cr_expect_str_neq(refused("garbage.pem", "server.key", NULL), "started");
    cr_expect_str_neq(refused("server.pem", "client.key", NULL), "started");
}

Test(rpc_tls, a_certificate_needs_its_key)
{
    const struct rpc_channel_options options = {.target = "127.0.0.1:1",
                                                .tls_ca_file = file("trusted.pem"),
                                                .tls_certificate_file = file("client.pem")};
    rpc_channel *channel;
    error err = {.code = STATUS_OK};
    cr_assert_not(rpc_channel_new(&options, &channel, &err));
    cr_assert_str_eq(err.reason, "TLS_INCOMPLETE");
}
