#ifndef CASEWORK_CLI_WATCH_H
#define CASEWORK_CLI_WATCH_H

/* What `casework watch` is made of: streams of the case service, shown as they come. */

#include "base/arena.h"
#include "base/error.h"
#include "cli/session.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* Shows one message of a stream; `memory` is cleared afterwards. */
typedef void watch_show(const struct session *session, arena *memory, const ProtobufCMessage *message);

/* Streams until the service ends it or somebody interrupts. */
bool watch_stream(struct session *session, const ProtobufCServiceDescriptor *service, const char *method,
                  const ProtobufCMessage *request, watch_show *show, error *err)
    __attribute__((warn_unused_result));

/* The words of `casework watch ACCOUNT --folder …`; answers the exit status. */
int watch_cases(struct session *session, int argc, char **argv);

#endif
