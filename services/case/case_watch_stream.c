/* One watch: its request, its items, and how it catches up. */

#include "base/clock.h"
#include "base/log.h"
#include "case/case_row.h"
#include "case/case_watch_private.h"
#include "case/case_wire.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "feed/partition.h"
#include "rpc/call.h"
#include "rpc/name.h"
#include "rpc/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Casework__Cases__V1__WatchCasesRequest watch_request;
typedef Casework__Cases__V1__WatchCasesResponse watch_response;

enum {
    SNAPSHOT_ROWS = 500, /* of one part */
    STEPS_A_RUN = 32,    /* then others get the worker */
    MEMORY_MAX = 64 * 1024 * 1024,
    ITEM_MEMORY = 4 * 1024,
};

#define READ_TIMEOUT_US (10 * CLOCK_SECOND)

static const struct pg_statement watch_account = {
    .name = "watch_account",
    .sql = "SELECT " ACCOUNT_BEGIN " FROM accounts WHERE partition = $1 AND account = $2",
};

/* One case with the head of its partition, in one statement and so of one moment. */
static const struct pg_statement watch_case = {
    .name = "watch_case",
    .sql = "SELECT " CASE_COLUMNS ", h.head FROM (SELECT head FROM partitions WHERE partition = $1::int2) h"
           " LEFT JOIN cases c ON c.partition = $1 AND c.account = $2::text AND c.id = $3::int8",
};

enum { COLUMN_CASE = 2, COLUMN_HEAD = CASE_COLUMN_COUNT };

static struct watch *watch_of(struct case_feed_reader *reader)
{
    return (struct watch *)reader;
}

static void watch_ref(struct case_feed_reader *reader)
{
    atomic_fetch_add(&watch_of(reader)->references, 1);
}

static void watch_unref(struct case_feed_reader *reader)
{
    struct watch *watch = watch_of(reader);
    if (atomic_fetch_sub(&watch->references, 1) > 1)
        return;
    rpc_call_unref(watch->call);
    free(watch);
}

void watch_end(struct watch *watch, const error *err)
{
    rpc_call_fail(watch->call, err);
}

/* --- resume tokens --- */

static char *token_seal(const struct watch *watch, const struct watch_cursor *cursor, arena *memory)
{
    struct watch_token token = {.cursor = *cursor, .account_begin = watch->account_begin};
    memcpy(token.epoch, watch->epoch, sizeof token.epoch);
    return resume_watch_seal(memory, &token, watch->binding);
}

static bool token_open(const char *token, const char *binding, arena *memory, struct watch_token *ret_token,
                       error *err)
{
    if (resume_watch_open(memory, token, binding, ret_token))
        return true;
    error_bad_field(err, "resume_token", "no resume token of this service for these arguments");
    strncpy(err->reason, "INVALID_RESUME_TOKEN", sizeof err->reason - 1);
    return false;
}

/* --- items --- */

/* False: there is no room; the cursor has not moved. A call that is over takes everything. */
static bool send_item(struct watch *watch, watch_response *item, const struct watch_cursor *cursor)
{
    arena *memory = arena_new(ITEM_MEMORY);
    item->resume_token = memory ? token_seal(watch, cursor, memory) : NULL;
    item->position = cursor->position;
    bool room = false;
    if (item->resume_token)
        room = rpc_call_write(watch->call, &item->base) != RPC_WRITE_FULL;
    arena_free(memory);
    if (room) {
        watch->cursor = *cursor;
        watch->written_us = clock_monotonic_us();
    }
    return room;
}

static bool is_in(const struct watch *watch, int64_t case_id, const Casework__Cases__V1__CaseFacts *facts)
{
    return facts && watch_filter_matches(&watch->filter, &watch->cursor.cut, case_id, facts);
}

static void end_without_account(struct watch *watch)
{
    error err;
    error_set(&err, STATUS_NOT_FOUND, "NOT_FOUND", "the account was deleted");
    watch_end(watch, &err);
}

static bool send_leave(struct watch *watch, int64_t case_id, const struct watch_cursor *cursor)
{
    char name[128];
    snprintf(name, sizeof name, "accounts/%s/cases/%lld", watch->query.account, (long long)case_id);
    watch_response item = CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__INIT;
    item.item_case = CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_LEAVE;
    item.leave = name;
    return send_item(watch, &item, cursor);
}

static bool send_case(struct watch *watch, bool was_in, Casework__Cases__V1__Case *found,
                      const struct watch_cursor *cursor)
{
    watch_response item = CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__INIT;
    item.item_case = was_in ? CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_CHANGE
                            : CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_ENTER;
    *(was_in ? &item.change : &item.enter) = found;
    return send_item(watch, &item, cursor);
}

bool watch_tell_change(struct watch *watch, const struct watch_change *change)
{
    struct watch_cursor cursor = watch->cursor;
    cursor.position = change->position;
    if (change->case_id == 0) {
        end_without_account(watch);
        return true;
    }
    bool told = change->case_id <= cursor.snapshot;
    bool was_in = told && is_in(watch, change->case_id, change->before);
    bool now_in = told && is_in(watch, change->case_id, change->after);
    if (now_in && change->item)
        return send_case(watch, was_in, change->item, &cursor);
    if (was_in && !now_in)
        return send_leave(watch, change->case_id, &cursor);
    watch->cursor = cursor;
    return true;
}

bool watch_tell_expiry(struct watch *watch, const struct watch_expiry *expiry)
{
    struct watch_cursor cursor = watch->cursor;
    if (!is_in(watch, expiry->case_id, expiry->facts))
        return true;
    cursor.cut = (struct watch_cut){expiry->open_time, expiry->case_id};
    return send_leave(watch, expiry->case_id, &cursor);
}

bool watch_tell_place(struct watch *watch)
{
    watch_response item = CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__INIT;
    struct watch_cursor cursor = watch->cursor;
    return send_item(watch, &item, &cursor);
}

/* --- catching up --- */

enum step { STEP_DONE, STEP_BLOCKED, STEP_FAILED, STEP_LIVE };

static pg_pool *pool_of(const struct watch *watch)
{
    return case_feed_pool(watch->shelf->watches->feed);
}

/* Tells what lies between cursor and `upto`, as far as one read goes. */
static enum step tell_range(struct watch *watch, int64_t upto, arena *memory, error *err)
{
    const struct watch_range range = {.partition = watch->shelf->partition,
                                      .after = watch->cursor.position,
                                      .upto = upto,
                                      .accounts = &watch->query.account,
                                      .account_count = 1,
                                      .case_id = watch->filter.case_id};
    struct watch_changes changes = {0};
    if (!watch_read_changes(pool_of(watch), &range, memory, &changes, err))
        return STEP_FAILED;
    bool room = true;
    for (size_t i = 0; i < changes.count && room; i++)
        room = watch_tell_change(watch, &changes.list[i]);
    if (room)
        watch->cursor.position = changes.upto;
    watch_changes_release(&changes);
    return room ? STEP_DONE : STEP_BLOCKED;
}

/* The cases behind those that were in the snapshot so far, with the head of that moment. */
static bool read_part(const struct watch *watch, arena *memory, pg_result **ret_result, error *err)
{
    const struct pg_statement *statement = &watch_case;
    pg_params params;
    pg_params_init(&params, memory);
    if (watch->filter.case_id) {
        pg_add_int2(&params, watch->shelf->partition);
        pg_add_text(&params, watch->query.account);
        pg_add_int8(&params, watch->filter.case_id);
    } else {
        statement = case_list_snapshot(&watch->query, watch->cursor.snapshot, SNAPSHOT_ROWS,
                                       watch->shelf->partition, &params);
    }
    return pg_pool_query(pool_of(watch), statement, &params, clock_monotonic_us() + READ_TIMEOUT_US,
                         ret_result, err);
}

static bool no_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for the snapshot");
}

/* As many of the rows as there is room for in one item. */
static bool fill_part(const pg_result *result, arena *memory,
                      Casework__Cases__V1__WatchCasesResponse__Snapshot *part, int64_t *last, error *err)
{
    int rows = pg_rows(result);
    struct rpc_room room = {0};
    part->complete = rows < SNAPSHOT_ROWS;
    part->cases = arena_calloc(memory, (size_t)rows + 1, sizeof(void *));
    if (!part->cases)
        return no_memory(err);
    for (int row = 0; row < rows && !pg_is_null(result, row, COLUMN_CASE); row++) {
        struct case_record record;
        if (!case_row_read(result, row, memory, &record, err))
            return false;
        Casework__Cases__V1__Case *item = case_wire(memory, &record);
        if (!item)
            return no_memory(err);
        if (!rpc_room_take(&room, &item->base)) {
            part->complete = false;
            break;
        }
        part->cases[part->n_cases++] = item;
        *last = record.id;
    }
    return true;
}

static enum step tell_part(struct watch *watch, const pg_result *result, arena *memory, error *err)
{
    watch_response item = CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__INIT;
    Casework__Cases__V1__WatchCasesResponse__Snapshot part =
        CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__SNAPSHOT__INIT;
    struct watch_cursor cursor = watch->cursor;
    if (!fill_part(result, memory, &part, &cursor.snapshot, err))
        return STEP_FAILED;
    if (watch->filter.case_id && part.n_cases == 0) {
        error_set(err, STATUS_NOT_FOUND, "NOT_FOUND", "the case does not exist");
        watch_end(watch, err);
        return STEP_LIVE;
    }
    cursor.position = pg_get_int(result, 0, COLUMN_HEAD);
    part.complete = part.complete || watch->filter.case_id;
    if (part.complete)
        cursor.snapshot = INT64_MAX;
    item.item_case = CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_SNAPSHOT;
    item.snapshot = &part;
    if (!send_item(watch, &item, &cursor))
        return STEP_BLOCKED;
    watch->greet = false;
    return STEP_DONE;
}

/*
 * A part of the snapshot is of the moment it is read in. What happened since the last part to the cases told
 * already comes before it, so that the client's copy is of that moment too.
 */
static enum step next_part(struct watch *watch, arena *memory, error *err)
{
    pg_result *result;
    if (!read_part(watch, memory, &result, err))
        return STEP_FAILED;
    int64_t head = pg_get_int(result, 0, COLUMN_HEAD);
    enum step step = STEP_DONE;
    while (watch->cursor.snapshot > 0 && watch->cursor.position < head && step == STEP_DONE)
        step = tell_range(watch, head, memory, err);
    if (step == STEP_DONE)
        step = tell_part(watch, result, memory, err);
    pg_result_free(result);
    return step;
}

static enum step next_step(struct watch *watch, arena *memory, error *err)
{
    if (watch->cursor.snapshot != INT64_MAX)
        return next_part(watch, memory, err);
    int64_t goal = watch_shelf_goal(watch);
    if (goal > watch->cursor.position)
        return tell_range(watch, goal, memory, err);
    if (watch->greet) {
        if (!watch_tell_place(watch))
            return STEP_BLOCKED;
        watch->greet = false;
    }
    return watch_shelf_join(watch) ? STEP_LIVE : STEP_DONE;
}

static bool may_run(struct watch *watch)
{
    pthread_mutex_lock(&watch->shelf->lock);
    if (watch->state == WATCH_BLOCKED)
        watch->state = WATCH_CATCHING_UP;
    bool may = watch->state == WATCH_CATCHING_UP;
    pthread_mutex_unlock(&watch->shelf->lock);
    return may && !rpc_call_is_cancelled(watch->call);
}

static void run(struct case_feed_reader *reader)
{
    struct watch *watch = watch_of(reader);
    error err;
    if (!may_run(watch))
        return;
    if (!case_feed_check_generation(reader->feed, watch->generation, &err)) {
        watch_end(watch, &err);
        return;
    }
    arena *memory = arena_new(MEMORY_MAX);
    enum step step = memory ? STEP_DONE : STEP_FAILED;
    for (int steps = 0; step == STEP_DONE && steps < STEPS_A_RUN; steps++) {
        if (rpc_call_is_cancelled(watch->call))
            break;
        arena_clear(memory);
        step = next_step(watch, memory, &err);
    }
    if (step == STEP_FAILED && memory)
        log_warn("a watch cannot go on", LOG_TEXT("error", err.message), LOG_TEXT("detail", err.detail));
    arena_free(memory);
    if (step == STEP_BLOCKED)
        watch_shelf_block(watch);
    else if (step == STEP_DONE)
        case_feed_wake(reader);
}

/* --- the request --- */

/* The fields that a watch has in common with a list are checked as a list's. */
static bool take_folder(struct case_read *read, const watch_request *request, struct watch *watch)
{
    Casework__Cases__V1__ListCasesRequest list = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    list.parent = request->parent;
    list.folder = request->target_case == CASEWORK__CASES__V1__WATCH_CASES_REQUEST__TARGET_FOLDER
                      ? request->folder
                      : CASEWORK__CASES__V1__FOLDER__FOLDER_ALL;
    list.agent = request->agent;
    list.owner = request->owner;
    list.contact = request->contact;
    list.channel = request->channel;
    list.labels = request->labels;
    list.n_labels = request->n_labels;
    list.classification = request->classification;
    if (!case_list_take(read, &list, &watch->query))
        return false;
    return case_list_settle_owner(&watch->query) ||
           error_bad_field(&read->err, "owner", "no case of this owner can be in this folder");
}

static bool take_case(struct case_read *read, const watch_request *request, struct watch *watch)
{
    const char *account;
    if (!rpc_name_case(read->memory, request->case_, "case", &account, &watch->filter.case_id, &read->err))
        return false;
    if (strcmp(account, watch->query.account) != 0)
        return rpc_error_not_found(&read->err, request->case_);
    if (*request->owner || *request->contact || *request->channel || request->n_labels > 0 ||
        request->classification)
        return error_bad_field(&read->err, "case", "is watched without filters");
    return true;
}

static bool name_filter(struct case_read *read, const char *account, const char *collection, const char *id,
                        const char **ret_name)
{
    *ret_name = id ? case_wire_name(read->memory, account, collection, id) : NULL;
    return !id || *ret_name ||
           error_set(&read->err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                     "the request needs too much memory");
}

static bool take_filter(struct case_read *read, struct watch *watch)
{
    const struct case_list_query *query = &watch->query;
    struct watch_filter *filter = &watch->filter;
    filter->folder = query->folder;
    filter->labels = query->labels;
    filter->label_count = query->label_count;
    filter->group = query->group;
    filter->value = query->value;
    return name_filter(read, query->account, "agents", query->agent, &filter->agent) &&
           name_filter(read, query->account, "agents", query->owner, &filter->owner) &&
           name_filter(read, query->account, "contacts", query->contact, &filter->contact) &&
           name_filter(read, query->account, "channels", query->channel, &filter->channel);
}

static bool take_target(struct case_read *read, const watch_request *request, struct watch *watch)
{
    if (!take_folder(read, request, watch))
        return false;
    if (request->target_case == CASEWORK__CASES__V1__WATCH_CASES_REQUEST__TARGET_CASE &&
        !take_case(read, request, watch))
        return false;
    if (request->target_case == CASEWORK__CASES__V1__WATCH_CASES_REQUEST__TARGET__NOT_SET)
        return error_bad_field(&read->err, "target", "folder or case is required");
    return take_filter(read, watch);
}

static bool take_account(struct case_read *read, const watch_request *request, struct watch *watch)
{
    case_read_add_account(read, watch->query.account);
    if (!case_read_run(read, &watch_account))
        return false;
    if (pg_rows(read->result) == 0)
        return rpc_error_not_found(&read->err, request->parent);
    watch->account_begin = pg_get_int(read->result, 0, 0);
    return true;
}

bool watch_is_of_recent(const struct watch *watch)
{
    return !watch->filter.case_id && watch->filter.folder == FOLDER_RECENT;
}

static bool begin_snapshot(struct case_read *read, struct watch *watch)
{
    if (!watch_is_of_recent(watch))
        return true;
    if (!case_list_recent_since(read, &watch->query.opened_since))
        return false;
    watch->cursor.cut = (struct watch_cut){watch->query.opened_since - 1, INT64_MAX};
    return true;
}

static bool goes_on(const struct watch *watch, case_feed *feed)
{
    return watch->cursor.position <= case_feed_head(feed, feed_partition(watch->query.account));
}

/* A token of another history leads nowhere; one of another replica may only be ahead of what is known here.
 */
static bool resume(struct case_read *read, case_feed *feed, const char *token, struct watch *watch)
{
    struct watch_token payload;
    if (!token_open(token, watch->binding, read->memory, &payload, &read->err))
        return false;
    watch->cursor = payload.cursor;
    if (watch_is_of_recent(watch))
        watch->query.opened_since = watch->cursor.cut.open_time + 1; /* for the rest of a snapshot */
    watch->greet = true;
    bool same = strcmp(payload.epoch, watch->epoch) == 0 && payload.account_begin == watch->account_begin;
    if (same && !goes_on(watch, feed) &&
        !case_feed_refresh(feed, clock_monotonic_us() + READ_TIMEOUT_US, &read->err))
        return false;
    if (same && goes_on(watch, feed))
        return true;
    return error_set(&read->err, STATUS_FAILED_PRECONDITION, "EPOCH_CHANGED",
                     "the account's history has begun anew: begin with a snapshot");
}

static bool watch_fill(struct case_read *read, const watch_request *request, case_feed *feed,
                       struct watch *watch)
{
    static const char *const token_field[] = {"resume_token", NULL};
    watch->generation = case_feed_generation(feed);
    case_feed_epoch(feed, watch->epoch);
    if (!take_target(read, request, watch) || !take_account(read, request, watch))
        return false;
    watch->binding = rpc_request_binding(read->memory, &request->base, token_field, watch->query.agent);
    if (!watch->binding)
        return false;
    return *request->resume_token ? resume(read, feed, request->resume_token, watch)
                                  : begin_snapshot(read, watch);
}

static struct watch *watch_new(rpc_call *call, case_feed *feed)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->call = call;
    rpc_call_ref(call);
    watch->references = 1; /* the call's; given up in on_done */
    watch->written_us = clock_monotonic_us();
    watch->reader =
        (struct case_feed_reader){.feed = feed, .run = run, .ref = watch_ref, .unref = watch_unref};
    return watch;
}

static void on_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    case_watches *watches = context;
    struct case_read read;
    struct watch *watch = watch_new(call, watches->feed);
    if (!watch) {
        rpc_call_fail_memory(call);
        return;
    }
    case_read_begin(&read, call, watches->reader);
    bool good = watch_fill(&read, (const void *)message, watches->feed, watch) &&
                watch_shelf_add(&watches->shelves[feed_partition(watch->query.account)], watch, &read.err);
    case_read_release(&read);
    if (good) {
        rpc_call_set_state(call, watch);
        case_feed_wake(&watch->reader);
        return;
    }
    if (read.err.code == STATUS_OK)
        rpc_call_fail_memory(call);
    else
        rpc_call_fail(call, &read.err);
    watch_unref(&watch->reader);
}

static void on_writable(rpc_call *call, void *context)
{
    (void)context;
    if (rpc_call_state(call))
        watch_shelf_unblock(rpc_call_state(call));
}

static void on_done(rpc_call *call, void *context)
{
    (void)context;
    struct watch *watch = rpc_call_state(call);
    if (!watch)
        return;
    watch_shelf_remove(watch);
    watch_unref(&watch->reader);
}

const struct rpc_stream_handlers case_watch_handlers = {
    .on_message = on_message, .on_writable = on_writable, .on_done = on_done};
