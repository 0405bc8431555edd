/* RebuildIndex. */

#include "casework/search/v1/search_service.pb-c.h"
#include "search/search_job.h"
#include "search/search_reader.h"

typedef Casework__Search__V1__RebuildIndexResponse wire_progress;

enum { TELL_EVERY = 200 };

/* Of one account. */
struct rebuild {
    struct search_job *job;
    uint64_t build;
};

static bool tell(struct search_job *job, bool done, error *err)
{
    wire_progress progress = CASEWORK__SEARCH__V1__REBUILD_INDEX_RESPONSE__INIT;
    progress.cases_done = job->done;
    progress.cases_total = job->total;
    progress.done = done;
    if (done)
        progress.indexed_position = job->position;
    return search_job_send(job, &progress.base, err);
}

static bool build(void *context, const char *account, const struct search_change *changes, size_t count,
                  error *err)
{
    const struct rebuild *rebuild = context;
    struct search_job *job = rebuild->job;
    if (!search_job_goes_on(job, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (changes[i].document &&
            !search_index_build_put(job->service->index, account, rebuild->build, changes[i].document, err))
            return false;
        if (++job->done % TELL_EVERY == 0 && !tell(job, false, err))
            return false;
    }
    return true;
}

/* What happens to the account while it is built goes into both, so that nothing is missed between reading and
 * exchange. */
static bool rebuild_account(struct search_job *job, const char *account, error *err)
{
    struct rebuild rebuild = {.job = job};
    struct search_case *cases;
    size_t count;
    if (!search_index_build_begin(job->service->index, account, &rebuild.build, err))
        return false;
    bool done = search_job_cases(job, account, &cases, &count, err);
    if (done) {
        job->total += (int64_t)count;
        done = search_reader_read(job->service->cases, cases, count, SEARCH_READER_RETRY, job->memory, build,
                                  &rebuild, err);
    }
    error unused; /* what has failed already is told */
    return search_index_build_end(job->service->index, account, rebuild.build, done, done ? err : &unused) &&
           done;
}

static bool relay(struct search_job *job, const ProtobufCMessage *message, error *err)
{
    const wire_progress *theirs = (const wire_progress *)message;
    if (theirs->done) {
        job->done += theirs->cases_done;
        job->total += theirs->cases_total;
        job->position = theirs->indexed_position;
        return true;
    }
    wire_progress progress = CASEWORK__SEARCH__V1__REBUILD_INDEX_RESPONSE__INIT;
    progress.cases_done = job->done + theirs->cases_done;
    progress.cases_total = job->total + theirs->cases_total;
    return search_job_send(job, &progress.base, err);
}

static bool end(struct search_job *job, error *err)
{
    return tell(job, true, err);
}

static void rebuild_index(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    static const struct search_job_kind kind = {"RebuildIndex", rebuild_account, relay, end};
    search_job_start(call, message, ((const Casework__Search__V1__RebuildIndexRequest *)message)->parent,
                     context, &kind);
}

static const struct rpc_stream_handlers handlers = {
    .on_message = rebuild_index, .on_writable = search_job_writable, .on_done = search_job_done};

const struct rpc_method search_rebuild_methods[] = {
    {.service = &casework__search__v1__search_service__descriptor,
     .name = "RebuildIndex",
     .run = RPC_RUN_INLINE,
     .roles = RPC_ROLE_ADMIN | RPC_ROLE_SERVICE,
     .resource = "parent",
     .endless = true,
     .outlives_token = true,
     .stream = &handlers},
    {.service = NULL},
};
