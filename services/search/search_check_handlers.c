/* CheckIndex: every case as it is filed, compared with the case service. */

#include "base/clock.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "search/search_job.h"
#include "search/search_reader.h"

#include <time.h>

typedef Casework__Search__V1__CheckIndexResponse wire_item;
typedef Casework__Search__V1__CheckIndexResponse__Difference wire_difference;

/* How long the index may take to come to the position as of which a case was read. */
#define CATCH_UP (30 * CLOCK_SECOND)

/* How often a case is read again that is filed as of a later position than it was read at: one that is
 * written in all the time needs a moment between two changes. The first rounds come at once. */
enum { ROUNDS = 5, MOVING_ROUNDS = 300 };

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* The check of one account. */
struct check {
    struct search_job *job;
    struct search_words words;
    struct search_case *again; /* changed while they were compared */
    size_t again_count;
    int round; /* from 1 */
};

static bool send_difference(struct check *check, wire_difference *difference, error *err)
{
    wire_item item = CASEWORK__SEARCH__V1__CHECK_INDEX_RESPONSE__INIT;
    item.item_case = CASEWORK__SEARCH__V1__CHECK_INDEX_RESPONSE__ITEM_DIFFERENCE;
    item.difference = difference;
    return search_job_send(check->job, &item.base, err);
}

static bool report_field(struct check *check, const wire_difference *common, int index,
                         const struct search_field_difference *field, error *err)
{
    if (field->missing_count + field->surplus_count == 0)
        return true;
    wire_difference difference = *common;
    difference.field = (Casework__Search__V1__SearchField)(index + 1);
    difference.missing_words = (char **)field->missing;
    difference.n_missing_words = field->missing_count;
    difference.surplus_words = (char **)field->surplus;
    difference.n_surplus_words = field->surplus_count;
    return send_difference(check, &difference, err);
}

/* One item for values or presence, and one for each field whose words differ. */
static bool report(struct check *check, const char *account, int64_t number,
                   const struct search_document *document, const struct search_comparison *comparison,
                   arena *memory, error *err)
{
    wire_difference common = CASEWORK__SEARCH__V1__CHECK_INDEX_RESPONSE__DIFFERENCE__INIT;
    common.case_ = arena_printf(memory, "accounts/%s/cases/%lld", account, (long long)number);
    if (!common.case_)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to tell a difference");
    check->job->different++;
    common.kind = CASEWORK__SEARCH__V1__INDEX_DIFFERENCE_KIND__INDEX_DIFFERENCE_KIND_CHANGED;
    if (!document)
        common.kind = CASEWORK__SEARCH__V1__INDEX_DIFFERENCE_KIND__INDEX_DIFFERENCE_KIND_SURPLUS;
    else if (!comparison->present)
        common.kind = CASEWORK__SEARCH__V1__INDEX_DIFFERENCE_KIND__INDEX_DIFFERENCE_KIND_MISSING;
    bool done = true;
    if (!document || !comparison->present || comparison->value_count > 0) {
        wire_difference difference = common;
        difference.changed_values = (char **)comparison->values;
        difference.n_changed_values = comparison->value_count;
        done = send_difference(check, &difference, err);
    }
    for (int i = 0; done && i < SEARCH_COMPARE_FIELDS; i++)
        done = report_field(check, &common, i, &comparison->fields[i], err);
    return done;
}

static bool compare(struct check *check, const char *account, int64_t number,
                    const struct search_document *document, arena *memory,
                    struct search_comparison *ret_comparison, error *err)
{
    return (!document || search_words_collect(&check->words, document, err)) &&
           search_index_compare(check->job->service->index, account, number, document, &check->words, memory,
                                ret_comparison, err);
}

/* The index may still have to come to what was just read: only what differs after that is a difference. */
static bool catch_up(const struct check *check, const char *account, int64_t position, error *err)
{
    return feed_consumer_wait_account(search_follower_consumer(check->job->service->follower), account,
                                      position, clock_monotonic_us() + CATCH_UP, err);
}

static bool check_case(struct check *check, const char *account, const struct search_change *read,
                       arena *memory, error *err)
{
    const struct search_document *document = read->document;
    struct search_comparison comparison;
    if (!compare(check, account, read->number, document, memory, &comparison, err))
        return false;
    if (!comparison.different)
        return true;
    if (!catch_up(check, account, read->position, err) ||
        !compare(check, account, read->number, document, memory, &comparison, err))
        return false;
    if (!comparison.different)
        return true;
    /* What is not filed may have gone since it was read, with its account. */
    bool absent = !document || !comparison.present;
    if (absent ? check->round < ROUNDS
               : comparison.position > document->position && check->round < MOVING_ROUNDS) {
        check->again[check->again_count++] = (struct search_case){account, read->number};
        return true;
    }
    return report(check, account, read->number, document, &comparison, memory, err);
}

static bool take(void *context, const char *account, const struct search_change *changes, size_t count,
                 error *err)
{
    enum { CASE_BYTES_MAX = 64 << 20 };
    struct check *check = context;
    if (!search_job_goes_on(check->job, err))
        return false;
    arena *memory = arena_new(CASE_BYTES_MAX);
    bool done =
        memory || error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to compare a case");
    for (size_t i = 0; done && i < count; i++) {
        arena_clear(memory);
        done = check_case(check, account, &changes[i], memory, err);
    }
    arena_free(memory);
    return done;
}

/* The names that `take` is given die with its batch: what is to be read again is named by the job's own
 * account. */
static void keep_names(struct check *check, const char *account)
{
    for (size_t i = 0; i < check->again_count; i++)
        check->again[i].account = account;
}

static bool check_account(struct search_job *job, const char *account, error *err)
{
    struct check check = {.job = job};
    struct search_case *cases;
    size_t count;
    if (!search_job_cases(job, account, &cases, &count, err))
        return false;
    check.again = arena_calloc(job->memory, count + 1, sizeof *check.again);
    if (!check.again)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for a list of cases");
    job->done += (int64_t)count;
    search_words_init(&check.words);
    bool done = true;
    for (int round = 1; done && count > 0; round++) {
        check.round = round;
        if (round > ROUNDS)
            pause_briefly();
        done = search_reader_read(job->service->cases, cases, count, SEARCH_READER_RETRY, job->memory, take,
                                  &check, err);
        keep_names(&check, account);
        cases = check.again; /* read from its beginning while it is written from its beginning: names are made
                                first */
        count = check.again_count;
        check.again_count = 0;
    }
    search_words_release(&check.words);
    return done;
}

static bool relay(struct search_job *job, const ProtobufCMessage *message, error *err)
{
    const wire_item *item = (const wire_item *)message;
    if (item->item_case != CASEWORK__SEARCH__V1__CHECK_INDEX_RESPONSE__ITEM_SUMMARY)
        return search_job_send(job, message, err);
    job->done += item->summary->cases_checked;
    job->different += item->summary->cases_different;
    job->position = item->summary->indexed_position;
    return true;
}

static bool end(struct search_job *job, error *err)
{
    Casework__Search__V1__CheckIndexResponse__Summary summary =
        CASEWORK__SEARCH__V1__CHECK_INDEX_RESPONSE__SUMMARY__INIT;
    wire_item item = CASEWORK__SEARCH__V1__CHECK_INDEX_RESPONSE__INIT;
    summary.cases_checked = job->done;
    summary.cases_different = job->different;
    summary.indexed_position = job->position;
    item.item_case = CASEWORK__SEARCH__V1__CHECK_INDEX_RESPONSE__ITEM_SUMMARY;
    item.summary = &summary;
    return search_job_send(job, &item.base, err);
}

static void check_index(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    static const struct search_job_kind kind = {"CheckIndex", check_account, relay, end};
    search_job_start(call, message, ((const Casework__Search__V1__CheckIndexRequest *)message)->parent,
                     context, &kind);
}

static const struct rpc_stream_handlers handlers = {
    .on_message = check_index, .on_writable = search_job_writable, .on_done = search_job_done};

const struct rpc_method search_check_methods[] = {
    {.service = &casework__search__v1__search_service__descriptor,
     .name = "CheckIndex",
     .run = RPC_RUN_INLINE,
     .roles = RPC_ROLE_ADMIN | RPC_ROLE_SERVICE,
     .resource = "parent",
     .endless = true,
     .outlives_token = true,
     .stream = &handlers},
    {.service = NULL},
};
