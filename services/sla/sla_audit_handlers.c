/* RebuildTimers and CheckTimers. */

#include "base/clock.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "rpc/name.h"
#include "sla/sla_audit.h"
#include "sla/sla_cases.h"
#include "sla/sla_handlers.h"
#include "sla/sla_wire.h"

#include <stdlib.h>

typedef Casework__Sla__V1__RebuildTimersResponse rebuild_response;
typedef Casework__Sla__V1__CheckTimersResponse check_response;
typedef Casework__Sla__V1__CheckTimersResponse__Difference wire_difference;
typedef Casework__Sla__V1__CheckTimersResponse__Summary wire_summary;

enum { ITEM_MEMORY = 16 * 1024 };

#define PATIENCE_US (60 * CLOCK_SECOND)
#define PROGRESS_US (CLOCK_SECOND / 2)

struct audit_job {
    struct rpc_job job; /* first */
    struct sla_service *service;
    const char *account; /* "": all */
    int64_t told_us;     /* monotonic: the last progress */
};

static struct audit_job *audit_job_of(struct rpc_job *job)
{
    return (struct audit_job *)job;
}

static bool is_over(void *context)
{
    return rpc_job_is_over(context);
}

static struct sla_audit audit_of(struct audit_job *job)
{
    return (struct sla_audit){
        .parts = &job->service->parts,
        .healer = job->service->healer,
        .account = job->account,
        .is_over = is_over,
        .context = job,
    };
}

static int64_t position_of(const struct audit_job *job, const struct sla_audit *audit)
{
    return *job->account ? audit->at.at[feed_partition(job->account)] : 0;
}

static void end_job(struct audit_job *job, bool ok, const error *err)
{
    if (ok)
        rpc_call_finish(job->job.call);
    else
        rpc_call_fail(job->job.call, err);
}

/* --- rebuilding ----------------------------------------------------------------------------------- */

static bool tell_progress(struct audit_job *job, const struct sla_audit *audit, bool done, error *err)
{
    rebuild_response response = CASEWORK__SLA__V1__REBUILD_TIMERS_RESPONSE__INIT;
    response.cases_done = audit->cases_done;
    response.cases_total = audit->cases_total;
    response.timers_written = audit->written;
    response.timers_removed = audit->removed;
    response.done = done;
    response.position = done ? position_of(job, audit) : 0;
    job->told_us = clock_monotonic_us();
    return rpc_job_write(&job->job, &response.base, PATIENCE_US, err);
}

static bool progress(void *context, const struct sla_audit *audit, error *err)
{
    struct audit_job *job = context;
    return clock_monotonic_us() - job->told_us < PROGRESS_US || tell_progress(job, audit, false, err);
}

static void run_rebuild(struct rpc_job *base)
{
    struct audit_job *job = audit_job_of(base);
    struct sla_audit audit = audit_of(job);
    error err = {0};
    audit.progress = progress;
    end_job(job,
            tell_progress(job, &audit, false, &err) && sla_audit_rebuild(&audit, &err) &&
                tell_progress(job, &audit, true, &err),
            &err);
}

/* --- checking ------------------------------------------------------------------------------------- */

static Casework__Sla__V1__TimerDifferenceKind kind_of(const struct timer *expected,
                                                      const struct timer *actual)
{
    if (!actual)
        return CASEWORK__SLA__V1__TIMER_DIFFERENCE_KIND__TIMER_DIFFERENCE_KIND_MISSING;
    return expected ? CASEWORK__SLA__V1__TIMER_DIFFERENCE_KIND__TIMER_DIFFERENCE_KIND_CHANGED
                    : CASEWORK__SLA__V1__TIMER_DIFFERENCE_KIND__TIMER_DIFFERENCE_KIND_SURPLUS;
}

static bool tell_difference(void *context, const struct timer *expected, const struct timer *actual,
                            error *err)
{
    struct audit_job *job = context;
    const struct sla_parts *parts = &job->service->parts;
    check_response response = CASEWORK__SLA__V1__CHECK_TIMERS_RESPONSE__INIT;
    wire_difference difference = CASEWORK__SLA__V1__CHECK_TIMERS_RESPONSE__DIFFERENCE__INIT;
    arena *memory = arena_new(ITEM_MEMORY);
    difference.kind = kind_of(expected, actual);
    if (memory && expected)
        difference.expected = sla_wire_timer(memory, parts, expected);
    if (memory && actual)
        difference.actual = sla_wire_timer(memory, parts, actual);
    response.item_case = CASEWORK__SLA__V1__CHECK_TIMERS_RESPONSE__ITEM_DIFFERENCE;
    response.difference = &difference;
    bool whole = (difference.expected || !expected) && (difference.actual || !actual);
    bool ok = memory && whole ? rpc_job_write(&job->job, &response.base, PATIENCE_US, err)
                              : error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    arena_free(memory);
    return ok;
}

static bool tell_summary(struct audit_job *job, const struct sla_audit *audit, error *err)
{
    check_response response = CASEWORK__SLA__V1__CHECK_TIMERS_RESPONSE__INIT;
    wire_summary summary = CASEWORK__SLA__V1__CHECK_TIMERS_RESPONSE__SUMMARY__INIT;
    summary.cases_checked = audit->cases_done;
    summary.timers_checked = audit->timers;
    summary.differences = audit->differences;
    summary.position = position_of(job, audit);
    response.item_case = CASEWORK__SLA__V1__CHECK_TIMERS_RESPONSE__ITEM_SUMMARY;
    response.summary = &summary;
    return rpc_job_write(&job->job, &response.base, PATIENCE_US, err);
}

static void run_check(struct rpc_job *base)
{
    struct audit_job *job = audit_job_of(base);
    struct sla_audit audit = audit_of(job);
    error err = {0};
    audit.differs = tell_difference;
    end_job(job, sla_audit_check(&audit, &err) && tell_summary(job, &audit, &err), &err);
}

/* --- the calls ------------------------------------------------------------------------------------ */

static void release(struct rpc_job *job)
{
    free(audit_job_of(job));
}

static bool take_parent(struct audit_job *job, const char *parent, error *err)
{
    rpc_call *call = job->job.call;
    int64_t deadline_us = rpc_call_deadline_us(call);
    bool exists = true;
    if (!rpc_name_accounts(rpc_call_arena(call), parent, "parent", &job->account, err) ||
        !sla_check_acting_agent(job->service, call, job->account, deadline_us, err) ||
        (*job->account &&
         !sla_cases_account_exists(job->service->parts.cases, job->account, deadline_us, &exists, err)))
        return false;
    return exists || rpc_error_not_found(err, parent);
}

static void begin(rpc_call *call, const char *parent, struct sla_service *service,
                  void (*run)(struct rpc_job *job))
{
    struct audit_job *job = calloc(1, sizeof *job);
    error err;
    if (!job) {
        rpc_call_fail_memory(call);
        return;
    }
    rpc_job_init(&job->job, call, release);
    job->service = service;
    rpc_call_set_state(call, job); /* on_done gives it up, whatever happens now */
    if (!take_parent(job, parent, &err) || !rpc_job_start(&job->job, &service->audits, run, &err))
        rpc_call_fail(call, &err);
}

static void rebuild_timers(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    begin(call, ((const Casework__Sla__V1__RebuildTimersRequest *)message)->parent, context, run_rebuild);
}

static void check_timers(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    begin(call, ((const Casework__Sla__V1__CheckTimersRequest *)message)->parent, context, run_check);
}

static void on_writable(rpc_call *call, void *context)
{
    (void)context;
    if (rpc_call_state(call))
        rpc_job_on_writable(rpc_call_state(call));
}

static void on_done(rpc_call *call, void *context)
{
    (void)context;
    if (rpc_call_state(call))
        rpc_job_on_done(rpc_call_state(call));
}

static const struct rpc_stream_handlers rebuild_handlers = {
    .on_message = rebuild_timers, .on_writable = on_writable, .on_done = on_done};
static const struct rpc_stream_handlers check_handlers = {
    .on_message = check_timers, .on_writable = on_writable, .on_done = on_done};

const struct rpc_method sla_audit_methods[] = {
    {.service = &casework__sla__v1__sla_service__descriptor,
     .name = "RebuildTimers",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_ADMIN | RPC_ROLE_SERVICE,
     .resource = "parent",
     .stream = &rebuild_handlers},
    {.service = &casework__sla__v1__sla_service__descriptor,
     .name = "CheckTimers",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_ADMIN | RPC_ROLE_SERVICE,
     .resource = "parent",
     .stream = &check_handlers},
    {.service = NULL},
};
