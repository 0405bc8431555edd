#include "tests/support/rpc_loopback.h"

#include "conformance_descriptor_set.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void rpc_loopback_start(struct rpc_loopback *loopback, const struct rpc_method *methods, void *context,
                        const struct rpc_server_options *options, const char *token)
{
    struct rpc_server_options own = options ? *options : (struct rpc_server_options){.drain_us = 2000000};
    error err;
    own.address = "127.0.0.1:0";
    own.descriptor_set = conformance_descriptor_set;
    own.descriptor_set_size = conformance_descriptor_set_size;
    cr_assert(rpc_server_new(&own, &loopback->server, &err), "%s", err.message);
    cr_assert(rpc_server_add(loopback->server, methods, context, &err), "%s", err.message);
    cr_assert(rpc_server_start(loopback->server, &err), "%s", err.message);
    rpc_server_set_serving(loopback->server, true);
    snprintf(loopback->target, sizeof loopback->target, "127.0.0.1:%d", rpc_server_port(loopback->server));
    loopback->channel = rpc_loopback_channel(loopback, token);
}

rpc_channel *rpc_loopback_channel(const struct rpc_loopback *loopback, const char *token)
{
    struct rpc_channel_options options = {.target = loopback->target, .token = token};
    rpc_channel *channel;
    error err;
    cr_assert(rpc_channel_new(&options, &channel, &err), "%s", err.message);
    return channel;
}

void rpc_loopback_stop(struct rpc_loopback *loopback)
{
    rpc_channel_free(loopback->channel);
    rpc_server_free(loopback->server);
}

void rpc_folder_make(char path[64])
{
    snprintf(path, 64, "/tmp/casework-rpc-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
}

void rpc_folder_remove(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder && (entry = readdir(folder)))
        (void)unlinkat(dirfd(folder), entry->d_name, 0); /* refuses "." and ".." */
    if (folder)
        closedir(folder);
    rmdir(path);
}

void rpc_folder_write(const char *folder, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}
