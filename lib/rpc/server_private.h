#ifndef CASEWORK_RPC_SERVER_PRIVATE_H
#define CASEWORK_RPC_SERVER_PRIVATE_H

/* What the server's files share: the layout of servers, methods and calls. Not for handlers. */

#include "base/metrics.h"
#include "rpc/core.h"
#include "rpc/server.h"
#include "rpc/worker_pool.h"

#include <pthread.h>
#include <stdatomic.h>

enum { RESOURCE_DEPTH_MAX = 4, STATUS_CODE_COUNT = 17 };

struct auth;
struct descriptor_set;
struct rpc_stream_state;

/* Counters of one method; those of codes are made when a code first occurs. */
struct method_metrics {
    _Atomic(metrics_counter *) calls[STATUS_CODE_COUNT];
    metrics_histogram *duration;
    metrics_gauge *in_flight;
    char labels[256];
    char fields[256]; /* of the log line: service and method */
};

/* A row of a handler table with what is derived from the descriptors. */
struct method {
    const struct rpc_method *row;
    void *context;
    const ProtobufCMethodDescriptor *descriptor;
    char *path; /* "/casework.cases.v1.CaseService/GetCase", owned */
    bool client_streams, server_streams;
    bool quiet;       /* health and reflection: logged at debug, and no account check */
    void *registered; /* the core's handle */
    unsigned resource_depth;
    const ProtobufCFieldDescriptor *resource[RESOURCE_DEPTH_MAX]; /* steps of row->resource */
    struct method_metrics metrics;
};

/* The requests that are posted on a queue for a method. */
struct supply {
    struct queue *queue;
    struct method *method; /* NULL: calls of methods that are not registered */
    atomic_uint calls;     /* that came, wraps around */
    atomic_uint slots;
};

/* One request posted to the core: where the next call of a method on a queue will show up. */
struct slot {
    struct tag tag;
    struct slot *next; /* in queue->slots */
    struct supply *supply;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload;
    grpc_call_details details; /* of unregistered methods */
};

struct queue {
    rpc_server *server;
    grpc_completion_queue *core;
    struct supply *supplies;      /* one for each method, and one for unknown ones */
    _Atomic(struct slot *) slots; /* all of them, to be freed at the end */
    atomic_uint spare_slots;      /* that methods may still get beyond their first */
};

struct rpc_server {
    struct rpc_server_options options;
    grpc_server *core;
    struct queue *queues;
    pthread_t *threads;
    unsigned thread_count;
    struct method **methods;
    size_t method_count;
    struct method unknown; /* for calls of unregistered methods: metrics only */
    struct worker_pool *workers;
    struct auth *auth;          /* NULL: no keys, everybody is a service for all accounts */
    rpc_account_hidden *hidden; /* NULL: no account is */
    void *hidden_context;
    struct descriptor_set *descriptors;
    struct health *health;
    int port;
    bool started, drained;
    pthread_t patrol; /* looks after streams that have no end, or whose end is not taken */
    bool patrolled;
    struct tag shutdown_tag;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool stopping, core_down;
    struct rpc_call *endless; /* open streams of endless methods */
    struct rpc_call *ending;  /* streams that their handlers have ended and whose clients may not know yet */
    struct rpc_call *expired; /* were endless: their tokens have expired, and they are about to be ended */
    int64_t patrol_us;        /* clock_monotonic_us: when the patrol looks next */

    atomic_size_t calls; /* alive */
};

struct call_metadata {
    struct call_metadata *next;
    grpc_slice key, value;
};

/* See server_call.c for who holds the references. */
struct rpc_call {
    rpc_server *server;
    struct method *method;
    grpc_call *core;
    atomic_int refs;
    atomic_bool close_started; /* RECV_CLOSE was handed to the core */
    atomic_bool cancelled;
    atomic_bool ended; /* by the handler */
    int cancelled_by_core;
    struct tag close_tag, answer_tag;
    struct worker_task task;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload; /* a unary request, until it is unpacked */
    arena *memory;
    error *bad_text; /* of the message last unpacked, for methods that check text themselves; else NULL */
    struct rpc_caller caller;
    int64_t expires_us; /* clock_real_us: until then its token is good; INT64_MAX without one */
    char traceparent[56];
    int64_t start_us, deadline_us;
    _Atomic int code; /* what was answered */
    struct call_metadata *initial, *trailing;
    struct rpc_stream_state *stream; /* NULL for unary calls */
    void *state;
    struct rpc_call *previous, *next, **list; /* one of the server's; NULL: in none */
    int64_t ended_us;                         /* when it joined `ending` */
};

/* server_call.c; polling threads call begin and end around their work */
void call_thread_begin(void);
void call_thread_end(void);
struct rpc_call *call_new(rpc_server *server, struct method *method, struct slot *slot);
void call_ref(struct rpc_call *call);
void call_unref(struct rpc_call *call);
void call_start_close(struct rpc_call *call);
bool call_unpack(struct rpc_call *call, grpc_byte_buffer *payload, arena *memory,
                 ProtobufCMessage **ret_message, error *err);
bool call_take_ended(struct rpc_call *call);
size_t call_metadata_fill(const struct call_metadata *list, grpc_metadata *entries, size_t max);

/* answer.c: the last operation of every call. `status` must live until the batch was started. */
enum { CALL_METADATA_MAX = 16 };
struct answer_status {
    grpc_slice message, details;
    grpc_metadata trailing[CALL_METADATA_MAX + 1];
};
void answer_status_fill(struct rpc_call *call, const error *err, struct answer_status *status, grpc_op *op);
void answer_status_release(struct answer_status *status);
void error_set_busy(error *err);

/* server_unary.c */
void unary_accept(struct rpc_call *call);
void unary_refuse_unknown(struct rpc_call *call);
void unary_answer(struct rpc_call *call, grpc_byte_buffer *message, const error *err);

/* server_stream.c */
bool stream_init(struct rpc_call *call);
void stream_accept(struct rpc_call *call);
void stream_finish(struct rpc_call *call, grpc_byte_buffer *message, const error *err);
void stream_free(struct rpc_stream_state *stream);
int64_t stream_waiting_us(const struct rpc_call *call);
enum rpc_write stream_room(struct rpc_call *call);
enum rpc_write stream_write(struct rpc_call *call, grpc_byte_buffer *message);

/* server_patrol.c */
bool streams_join_endless(struct rpc_call *call, error *err);
void streams_join_ending(struct rpc_call *call); /* before on_done can be on its way */
void streams_leave(struct rpc_call *call);
void streams_stop_endless(rpc_server *server);
bool streams_patrol_start(rpc_server *server);
void streams_patrol_stop(rpc_server *server); /* once the server is stopping */

/* server_queue.c */
bool queues_start(rpc_server *server, error *err);
void queues_stop(rpc_server *server);
void queue_free(struct queue *queue); /* what it holds; after queues_stop */

/* server_methods.c */
bool methods_add(rpc_server *server, const struct rpc_method *rows, void *context, bool quiet, error *err);
void methods_free(rpc_server *server);

/* interceptors.c */
bool intercept_open(struct rpc_call *call, error *err);
bool intercept_message(struct rpc_call *call, const ProtobufCMessage *message, bool first, error *err);

/* server_log.c */
void method_metrics_init(struct method_metrics *metrics, const char *service, const char *method);
void call_count_start(struct rpc_call *call);
void call_count_end(struct rpc_call *call);
void call_count_slow_reader(const struct rpc_call *call); /* at once, however late the client hears of it */
void call_log_failure(const struct rpc_call *call, const error *err);

/* server_health.c, server_reflection.c */
struct health *health_new(rpc_server *server);
bool health_add(rpc_server *server, error *err);
void health_set(rpc_server *server, bool serving);
void health_free(struct health *health);
bool reflection_add(rpc_server *server, error *err);

#endif
