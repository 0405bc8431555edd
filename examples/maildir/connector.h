#ifndef CASEWORK_EXAMPLES_MAILDIR_CONNECTOR_H
#define CASEWORK_EXAMPLES_MAILDIR_CONNECTOR_H

/* What both directions share: where the case service is, the channel, the folders, and when to stop. */

#include "rpc/client.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct connector {
    rpc_channel *rpc;
    const char *channel; /* accounts/acme/channels/mail */
    const char *inbox, *outbox, *state_file;
    int64_t poll_us;
    char account[64];   /* its id */
    char address[330];  /* the channel's own */
    const char *domain; /* of the address */
    _Atomic bool stopping;
};

/* Waits; false when it is time to stop. */
bool connector_wait(struct connector *connector, int64_t time_us);

/* Identifiers of the mails that we send: "casework.acme.7.3@acme.example" is message 3 of case 7, without the
 * 3 the case. */
void connector_mail_id(const struct connector *connector, const char *name, char *out, size_t size);

/* The resource name of the message that an identifier of ours stands for. False: it is none of ours. */
bool connector_message_of(const struct connector *connector, const char *mail_id, char *out, size_t size);

/* Threads, each with a struct connector as its argument; they return once it is stopping. */
void *connector_take_in(void *argument);
void *connector_send_out(void *argument);

#endif
