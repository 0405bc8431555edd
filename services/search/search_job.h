#ifndef CASEWORK_SEARCH_JOB_H
#define CASEWORK_SEARCH_JOB_H

/*
 * A server-streaming call that works on one account after the other, on a worker of the server, and tells of
 * it as it goes. At most SEARCH_JOBS_MAX at a time.
 */

#include "base/arena.h"
#include "rpc/server.h"
#include "search/search_handlers.h"
#include "search/search_list.h"

enum { SEARCH_JOBS_MAX = 2 };

struct search_job;

/* One account. False ends the job with err. */
typedef bool search_job_account(struct search_job *job, const char *account, error *err);

/* A message of the same job in another shard: passes on what concerns the client, and adds up the sums. */
typedef bool search_job_relay(struct search_job *job, const ProtobufCMessage *message, error *err);

/* When all accounts are done: the last message. */
typedef bool search_job_end(struct search_job *job, error *err);

struct search_job_kind {
    const char *method;
    search_job_account *work;
    search_job_relay *relay;
    search_job_end *end;
};

struct search_job {
    const struct search_service *service;
    const char *account;            /* the one that was asked for; NULL: all */
    arena *memory;                  /* cleared for each account */
    int64_t done, total, different; /* the job's own counts */
    int64_t position;               /* of the account that was asked for, as of the end; 0: all accounts */
};

/*
 * Starts on the request's parent: accounts of this shard are worked on here, those of others there. What
 * `kind` names runs on another thread. Ends the call, now or later.
 */
void search_job_start(rpc_call *call, const ProtobufCMessage *request, const char *parent,
                      const struct search_service *service, const struct search_job_kind *kind);

/* Sends a message; waits while the client is slow. False: the client is gone. */
bool search_job_send(struct search_job *job, const ProtobufCMessage *message, error *err)
    __attribute__((warn_unused_result));

/* Asked now and then by whoever works without sending. False: the client is gone, or this service stops. */
bool search_job_goes_on(struct search_job *job, error *err) __attribute__((warn_unused_result));

/* The callbacks of such a call, besides on_message. */
void search_job_writable(rpc_call *call, void *context);
void search_job_done(rpc_call *call, void *context);

/* All cases of an account: those that the case service has and those that the index has, each once, in order.
 */
bool search_job_cases(struct search_job *job, const char *account, struct search_case **ret_cases,
                      size_t *ret_count, error *err) __attribute__((warn_unused_result));

#endif
