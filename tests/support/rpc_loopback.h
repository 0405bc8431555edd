#ifndef CASEWORK_TESTS_SUPPORT_RPC_LOOPBACK_H
#define CASEWORK_TESTS_SUPPORT_RPC_LOOPBACK_H

/* A server and a channel to it in one process. What cannot be started fails the test. */

#include "rpc/client.h"
#include "rpc/server.h"

struct rpc_loopback {
    rpc_server *server;
    rpc_channel *channel;
    char target[64];
};

/*
 * Serves `methods` on a free loopback port. `options` may be NULL; its address and descriptor set are set
 * here (the conformance services'). `token` is the channel's, NULL for none.
 */
void rpc_loopback_start(struct rpc_loopback *loopback, const struct rpc_method *methods, void *context,
                        const struct rpc_server_options *options, const char *token);
void rpc_loopback_stop(struct rpc_loopback *loopback);

/* One more channel to the same server; the caller frees it. */
rpc_channel *rpc_loopback_channel(const struct rpc_loopback *loopback, const char *token);

/* A folder of its own under the temporary one, for keys and the like; removed by rpc_folder_remove. */
void rpc_folder_make(char path[64]);
void rpc_folder_remove(const char *path);
void rpc_folder_write(const char *folder, const char *name, const char *text);

#endif
