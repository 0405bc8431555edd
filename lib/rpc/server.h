#ifndef CASEWORK_RPC_SERVER_H
#define CASEWORK_RPC_SERVER_H

/*
 * The server: handler tables over the gRPC C core. How a request flows: completion queue, method table,
 * interceptors (deadline, trace, authentication, account check, logging, metrics), decoding into the call's
 * arena with UTF-8 checked, handler.
 *
 * Method names, request and response types come from the protobuf-c service descriptors; whether a method
 * streams comes from the embedded descriptor set. A method of a known service without a row answers
 * UNIMPLEMENTED.
 */

#include "base/error.h"
#include "rpc/call.h"

#include <stddef.h>

/* Where a handler runs. */
enum rpc_run {
    RPC_RUN_INLINE, /* on the thread that polls: must not block */
    RPC_RUN_WORKER, /* on a worker of the bounded pool: may block on a database; a full queue answers
                       RESOURCE_EXHAUSTED */
};

/* Runs once; ends the call, now or later, from any thread. `request` lives in the call's arena. */
typedef void rpc_unary_handler(rpc_call *call, const ProtobufCMessage *request, void *context);

/*
 * Callbacks of a streaming call. Those of one call never overlap, and run where the row says (INLINE or
 * WORKER). A NULL one is skipped. on_message: server streaming: the one request. Client streaming and
 * bidirectional: each message (`message` lives until the callback returns); the next comes after
 * rpc_call_read_next. on_done: always the last one: whatever happened, the call is over; give up `state`
 * here. Comes after the handler's finish / fail / reply too, and also when the client cancelled (then the
 * handler need not finish). A client that takes neither what is queued nor the status is cut off after
 * `end_patience_us`: on_done comes so late then.
 */
struct rpc_stream_handlers {
    void (*on_open)(rpc_call *call, void *context);
    void (*on_message)(rpc_call *call, const ProtobufCMessage *message, void *context);
    void (*on_half_close)(rpc_call *call, void *context);
    void (*on_writable)(rpc_call *call, void *context);
    void (*on_done)(rpc_call *call, void *context);
};

struct rpc_method {
    const ProtobufCServiceDescriptor *service; /* NULL ends a table */
    const char *name;                          /* "GetCase" */
    enum rpc_run run;
    unsigned roles;       /* who may call: roles or'ed; 0: no token needed */
    const char *resource; /* request field with the resource name that the account check reads: "name",
                             "parent", "case.name"; NULL: not bound to an account (then only `*` tokens get
                             in, unless `any_account` is set) */
    bool any_account;     /* the handler checks the account itself */
    bool text_checked_by_handler; /* bad text does not end the call: the handler asks rpc_call_bad_text */
    bool brief;   /* unary, and answered soon whether the client has cancelled or not: rpc_call_is_cancelled
                     knows of the deadline only, and no thread is woken to tell it more */
    bool endless; /* a stream that ends only when somebody ends it: with UNAVAILABLE as soon as the server
                     drains, with UNAUTHENTICATED when the client's token expires */
    bool outlives_token; /* … but for this one: what it does was allowed at its start, and has an end */
    rpc_unary_handler *unary;
    const struct rpc_stream_handlers *stream;
};

struct rpc_server_options {
    const char *address; /* "0.0.0.0:7001"; port 0: any free port. Without keys only loopback is accepted */
    const char *key_directory; /* JWT keys; NULL or "": no authentication, every caller is a service for all
                                  accounts */
    const char *tls_certificate_file, *tls_key_file, *tls_client_ca_file; /* PEM; NULL or "": none */
    unsigned queues;                                                      /* completion queues, 0: 1 */
    unsigned threads_per_queue;                                           /* 0: 2 */
    unsigned workers;                                                     /* 0: 8 */
    unsigned worker_queue;    /* waiting requests at the most, 0: 1024 */
    size_t message_bytes_max; /* received; 0: 4 MiB */
    size_t answer_bytes_max;  /* sent, each message; 0: 64 MiB, which is what our own clients take */
    size_t call_bytes_max;    /* arena cap of one call; 0: 64 MiB */
    unsigned streams_max;     /* concurrent streams a connection, 0: 1000 */
    unsigned write_queue;     /* queued messages of one stream, 0: 64; and 1 MiB */
    unsigned requests;        /* posted on a queue beyond one for each method, 0: 64 */
    int64_t drain_us;         /* grace at shutdown, 0: 10 s */
    int64_t end_patience_us;  /* how long a stream that was ended may make no way towards its end, 0: 60 s */
    int64_t silence_us;       /* a connection that is silent for so long is asked, and closed when it gives no
                                 answer       for as long again; 0: 10 s */
    const void *descriptor_set; /* FileDescriptorSet with everything served: streaming flags and reflection */
    size_t descriptor_set_size;
};

typedef struct rpc_server rpc_server;

/* Adds the rows of `methods` (kept, not copied; ended by service NULL) with the context their handlers get.
 * Before start. */
bool rpc_server_new(const struct rpc_server_options *options, rpc_server **ret_server, error *err)
    __attribute__((warn_unused_result));
bool rpc_server_add(rpc_server *server, const struct rpc_method *methods, void *context, error *err)
    __attribute__((warn_unused_result));

/*
 * Accounts that are to answer as if they did not exist, whoever asks: called with the id (not terminated) in
 * each resource that a request names in its row's field, from any thread; must not block. Before start.
 */
typedef bool rpc_account_hidden(void *context, const char *account, size_t length);
void rpc_server_hide_accounts(rpc_server *server, rpc_account_hidden *hidden, void *context);

/* Binds and serves. Health and reflection are added by the layer. Health is NOT_SERVING until set. */
bool rpc_server_start(rpc_server *server, error *err) __attribute__((warn_unused_result));

/* The bound port. */
int rpc_server_port(const rpc_server *server);

/* Health of the whole server ("") and of every service in the tables. */
void rpc_server_set_serving(rpc_server *server, bool serving);

/*
 * Graceful end: health NOT_SERVING, no new calls, grace for running ones, cancel the rest, join all threads.
 * Calls kept by handlers have got their on_done when it returns. Then free.
 */
void rpc_server_drain(rpc_server *server);
void rpc_server_free(rpc_server *server); /* takes NULL; drains first if need be */

/* Runs `task` on the server's worker pool; false if its queue is full. For handlers that continue a stream by
 * themselves. */
bool rpc_server_run(rpc_server *server, void (*task)(void *argument), void *argument);

/*
 * From here on what the core has to say goes to our log. `lost` is called when a listener has stopped to take
 * connections, which gRPC 1.51 does for good when file descriptors run out (EMFILE). It runs on any thread,
 * with locks of the core held: all that it can do is to see to it that the program ends.
 */
typedef void rpc_listener_lost(void);
void rpc_watch_core(rpc_listener_lost *lost);

/* Blocks SIGTERM and SIGINT in the calling thread and all later ones; call first thing in main. */
void rpc_signals_block(void);

/* Waits for SIGTERM or SIGINT; returns its number. */
int rpc_signals_wait(void);

#endif
