/* casework-maildir: an example of a channel's connector. README.md says how it is used. */

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "examples/maildir/connector.h"
#include "examples/maildir/mail.h"
#include "examples/maildir/maildir.h"
#include "rpc/server.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct settings {
    const char *target, *token_path;
};

/* It becomes part of file names. */
static bool is_domain(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
    return length > 0 && text[length] == '\0';
}

/* Where the channel is; waits for a service that is still starting. */
static bool find_channel(struct connector *connector, error *err)
{
    const struct rpc_client_options options = {.timeout_us = 30 * CLOCK_SECOND};
    Casework__Cases__V1__GetChannelRequest request = CASEWORK__CASES__V1__GET_CHANNEL_REQUEST__INIT;
    ProtobufCMessage *message;
    arena *memory = arena_new(1024 * 1024);
    request.name = (char *)(uintptr_t)connector->channel;
    bool found =
        memory != NULL && rpc_client_call(connector->rpc, &casework__cases__v1__channel_service__descriptor,
                                          "GetChannel", &request.base, &options, memory, &message, err);
    if (found) {
        const Casework__Cases__V1__Channel *channel =
            ((const Casework__Cases__V1__GetChannelResponse *)(const void *)message)->channel;
        snprintf(connector->address, sizeof connector->address, "%s", channel->address);
        const char *at = strrchr(connector->address, '@');
        connector->domain = at == NULL ? "" : at + 1;
        found = (strcmp(channel->network, "email") == 0 && is_domain(connector->domain)) ||
                error_set(err, STATUS_INVALID_ARGUMENT, "", "CHANNEL: has no e-mail address");
        sscanf(connector->channel, "accounts/%63[^/]", connector->account);
    }
    arena_free(memory);
    return found;
}

/* Two at once would send everything twice. The lock lasts as long as the program. */
static bool lock_state(const struct connector *connector, error *err)
{
    char path[MAILDIR_PATH_MAX];
    snprintf(path, sizeof path, "%s.lock", connector->state_file);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, STATUS_UNAVAILABLE, "", "%s: %s", path, strerror(errno));
    return flock(fd, LOCK_EX | LOCK_NB) == 0 ||
           error_set(err, STATUS_FAILED_PRECONDITION, "", "another connector works with this state file");
}

static bool run(struct connector *connector, const struct settings *settings, error *err)
{
    const struct rpc_channel_options to = {
        .target = settings->target,
        .token_file = settings->token_path[0] == '\0' ? NULL : settings->token_path,
    };
    pthread_t in, out;
    if (!lock_state(connector, err) || !maildir_make(connector->inbox, err) ||
        !maildir_make(connector->outbox, err) || !rpc_channel_new(&to, &connector->rpc, err) ||
        !find_channel(connector, err))
        return false;
    if (pthread_create(&in, NULL, connector_take_in, connector) != 0)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "no thread");
    bool sends = pthread_create(&out, NULL, connector_send_out, connector) == 0;
    if (sends) {
        log_info("connected", LOG_TEXT("channel", connector->channel),
                 LOG_TEXT("address", connector->address));
        rpc_signals_wait();
    }
    atomic_store(&connector->stopping, true);
    pthread_join(in, NULL);
    if (sends)
        pthread_join(out, NULL);
    return sends || error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "no thread");
}

int main(int argc, char **argv)
{
    static struct connector connector;
    static struct settings settings;
    const struct config_option options[] = {
        {.env = "CASE_TARGET",
         .help = "the case service",
         .fallback = "127.0.0.1:7001",
         .value = &settings.target},
        {.env = "TOKEN_PATH",
         .help = "file with the connector's token; empty: none",
         .fallback = "",
         .value = &settings.token_path},
        {.env = "CHANNEL", .help = "accounts/{account}/channels/{channel}", .value = &connector.channel},
        {.env = "INBOX", .help = "maildir with the mails that have come", .value = &connector.inbox},
        {.env = "OUTBOX", .help = "maildir for the mails to be sent", .value = &connector.outbox},
        {.env = "STATE_PATH", .help = "file that says how far it is", .value = &connector.state_file},
        {.env = "POLL_INTERVAL",
         .help = "how often to look for new mails",
         .fallback = "1s",
         .type = CONFIG_DURATION,
         .minimum = 1000,
         .maximum = CLOCK_HOUR,
         .value = &connector.poll_us},
        {.env = NULL},
    };
    error err = {0};
    enum config_outcome outcome = config_read("casework-maildir", "mails into cases, and replies into mails",
                                              options, argc, argv, &err);
    if (outcome == CONFIG_EXIT)
        return EXIT_SUCCESS;
    rpc_signals_block();
    log_init("maildir", LOG_LEVEL_INFO);
    mail_init();
    bool done = outcome == CONFIG_RUN && run(&connector, &settings, &err);
    if (!done)
        log_error("cannot run", LOG_TEXT("error", err.message), LOG_TEXT("detail", err.detail));
    rpc_channel_free(connector.rpc);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
