#ifndef CASEWORK_CLI_WATCH_H
#define CASEWORK_CLI_WATCH_H

/* What `casework watch` and its like are made of: streams, shown as they come. */

#include "base/arena.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/session.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* Shows one message of a stream; `memory` is cleared afterwards. */
typedef void watch_show(void *context, const struct session *session, arena *memory,
                        const ProtobufCMessage *message);

/* A method that streams, and who shows what it answers. */
struct watch {
    enum session_target target;
    const ProtobufCServiceDescriptor *service;
    const char *method;
    watch_show *show;
    void *context;
};

/* Streams until the service ends it or somebody interrupts. */
bool watch_stream(struct session *session, const struct watch *watch, const ProtobufCMessage *request,
                  error *err) __attribute__((warn_unused_result));

/* The same for the words of a command; answers the exit status. */
int watch_run(struct session *session, const struct command *command, int argc, char **argv, watch_show *show,
              void *context);

/* The words of `casework watch ACCOUNT --folder …`; answers the exit status. */
int watch_cases(struct session *session, int argc, char **argv);

#endif
