#ifndef CASEWORK_REPORT_CALL_H
#define CASEWORK_REPORT_CALL_H

/*
 * What all methods have in common: an account, a position that the answer must be complete up to, and waiting
 * for it without holding a thread. A method's own call begins with this; it lives in the call's arena.
 */

#include "calendar/zone.h"
#include "report/report_handlers.h"
#include "rpc/call.h"
#include "rpc/job.h"

struct report_call;

/* What becomes of an answer, for methods that are made of another one; make NULL: it is sent. */
struct report_finish {
    bool (*make)(struct report_call *call, const ProtobufCMessage *answer, ProtobufCMessage **ret_response);
    const void *argument;
};

struct report_call {
    rpc_call *call;
    arena *memory;
    const struct report_service *service;
    const ProtobufCMessage *request;
    const char *account;
    int64_t wanted; /* the answer must be complete up to it */
    bool (*answer)(struct report_call *call, ProtobufCMessage **ret_response);
    error err;
    struct report_finish finish;
};

/* For calls that are not in the call's arena. */
void report_call_init(struct report_call *made, rpc_call *call, const ProtobufCMessage *request,
                      const struct report_service *service);

/* A call of so many bytes, zeroed but for its beginning. NULL: the rpc_call has been failed. */
void *report_call_new(rpc_call *call, const ProtobufCMessage *request, void *context, size_t size);

/* Takes `parent` and `min_position` apart. */
bool report_call_read(struct report_call *call, const char *parent, int64_t min_position)
    __attribute__((warn_unused_result));

/* Ends the call with its error. */
void report_call_fail(struct report_call *call);

/* Waits for the position, then sends what `answer` makes; false of that: err is set. */
void report_call_run(struct report_call *call,
                     bool (*answer)(struct report_call *call, ProtobufCMessage **ret_response));

/*
 * The same wait on the thread of a job, for calls that answer with a stream. False: the position was not
 * reached in time, or the call is over.
 */
bool report_call_wait(struct report_call *call, struct rpc_job *job) __attribute__((warn_unused_result));

/* Of the monotonic clock; 0: none. */
int64_t report_call_deadline(const struct report_call *call);

/* Whether what was read is complete enough; it is not when the database came back with less than it had. */
bool report_call_complete(struct report_call *call, int64_t position) __attribute__((warn_unused_result));

bool report_call_out_of_memory(struct report_call *call);

/* A question to the case service. */
bool report_call_ask(struct report_call *call, const ProtobufCServiceDescriptor *service, const char *method,
                     const ProtobufCMessage *request, ProtobufCMessage **ret_response)
    __attribute__((warn_unused_result));

/* "accounts/…" of the call's account; NULL: out of memory, err is set. */
char *report_call_account_name(struct report_call *call);

/*
 * The zone of that name, or where it is "" the account's as of the position (INT64_MAX: now). The account
 * must exist in either case: NOT_FOUND.
 */
bool report_call_zone(struct report_call *call, const char *name, int64_t position,
                      const calendar_zone **ret_zone) __attribute__((warn_unused_result));

#endif
