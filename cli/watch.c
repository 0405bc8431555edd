#include "cli/watch.h"

#include "base/clock.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "cli/command.h"
#include "cli/field.h"
#include "cli/print.h"
#include "cli/programs.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef Casework__Cases__V1__StreamEventsRequest events_request;
typedef Casework__Cases__V1__StreamEventsResponse events_response;
typedef Casework__Cases__V1__GetPositionResponse position_response;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static void show_event(const struct session *session, arena *memory, const Casework__Cases__V1__Event *event)
{
    if (session->json) {
        print_json(stdout, &event->base);
        return;
    }
    char when[CLOCK_TEXT_SIZE] = "";
    if (event->event_time)
        clock_format(event->event_time->seconds * CLOCK_SECOND, when);
    const char *kind =
        field_enum_word(memory, &casework__cases__v1__event_kind__descriptor, (int)event->kind);
    const char *status = event->case_facts
                             ? field_enum_word(memory, &casework__cases__v1__case_status__descriptor,
                                               (int)event->case_facts->status)
                             : "";
    printf("%8" PRId64 "  %s  %-22s %-40s %s\n", event->position, when, kind ? kind : "",
           *event->case_ ? event->case_ : event->resource, status ? status : "");
}

/* Where the feed stands now, so that the watch shows what comes from here on. */
static bool start_here(struct session *session, rpc_channel *channel, events_request *request, error *err)
{
    Casework__Cases__V1__GetPositionRequest ask = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    ask.parent = request->parent;
    ProtobufCMessage *answer;
    struct rpc_client_options options = session_call_options(session);
    if (!rpc_client_call(channel, &casework__cases__v1__event_service__descriptor, "GetPosition", &ask.base,
                         &options, session->memory, &answer, err))
        return false;
    position_response *position = (position_response *)answer;
    request->after = position->positions;
    request->n_after = position->n_positions;
    request->epoch = position->epoch;
    return true;
}

static void show_events(void *context, const struct session *session, arena *memory,
                        const ProtobufCMessage *message)
{
    (void)context;
    const events_response *response = (const events_response *)message;
    for (size_t i = 0; i < response->n_events; i++)
        show_event(session, memory, response->events[i]);
}

/* Until it ends or somebody interrupts. */
static bool show_stream(struct session *session, const struct watch *watch, rpc_stream *stream, error *err)
{
    arena *memory = arena_new(64u << 20);
    bool going = memory != NULL;
    bool ended = false;
    while (going && !ended && !interrupted) {
        ProtobufCMessage *message;
        arena_clear(memory);
        switch (rpc_stream_read(stream, CLOCK_SECOND / 5, memory, &message, err)) {
        case RPC_READ_MESSAGE:
            watch->show(watch->context, session, memory, message);
            fflush(stdout);
            break;
        case RPC_READ_TIMEOUT:
            break;
        case RPC_READ_END:
            ended = true;
            break;
        case RPC_READ_FAILED:
            going = false;
        }
    }
    arena_free(memory);
    return memory ? going : error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
}

bool watch_stream(struct session *session, const struct watch *watch, const ProtobufCMessage *request,
                  error *err)
{
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    rpc_channel *channel;
    rpc_stream *stream = NULL;
    struct rpc_client_options options = session_call_options(session);
    options.timeout_us = INT64_MAX;
    if (!session_channel(session, watch->target, &channel, err) ||
        !rpc_stream_open(channel, watch->service, watch->method, &options, &stream, err))
        return false;
    if (rpc_stream_write(stream, request))
        rpc_stream_close_send(stream);
    bool done = show_stream(session, watch, stream, err);
    rpc_stream_free(stream);
    return done;
}

int watch_run(struct session *session, const struct command *command, int argc, char **argv, watch_show *show,
              void *context)
{
    const struct watch watch = {command->target, command->service, command->method, show, context};
    int status = 0;
    error err;
    const ProtobufCMessage *request = command_request(session, command, argc, argv, &status);
    if (!request)
        return status;
    return watch_stream(session, &watch, request, &err) ? 0 : command_fail(&err);
}

int program_watch(struct session *session, int argc, char **argv)
{
    bool from_start = argc == 3 && strcmp(argv[2], "--from-start") == 0;
    if (argc != 2 && !from_start)
        return watch_cases(session, argc, argv);
    static const struct watch watch = {
        .target = TARGET_CASE,
        .service = &casework__cases__v1__event_service__descriptor,
        .method = "StreamEvents",
        .show = show_events,
    };
    error err;
    rpc_channel *channel;
    events_request request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    request.parent = (char *)(uintptr_t)command_expand(session->memory, WORD_ACCOUNT, argv[1], "");
    bool done = session_channel(session, TARGET_CASE, &channel, &err) &&
                (from_start || start_here(session, channel, &request, &err)) &&
                watch_stream(session, &watch, &request.base, &err);
    return done ? 0 : command_fail(&err);
}
