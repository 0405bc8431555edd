/*
 * ExportEngagements. A thread of its own reads the table page by page within one transaction, so that the
 * file is the table of one moment however long it takes, and waits for its client when that has enough. What
 * is held at any time: a page of rows, a page of one case's messages, and what the call's queue holds.
 */

#include "base/clock.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "report/report_call.h"
#include "report/report_export_row.h"
#include "report/report_methods.h"
#include "report/report_wire.h"

#include <stdlib.h>

typedef Casework__Report__V1__ExportEngagementsRequest wire_request;
typedef Casework__Cases__V1__ListMessagesResponse messages_page;

enum {
    PAGE_ROWS = 1000,
    PAGE_ROWS_WITH_MESSAGES = 50,
    PAGE_MEMORY_MAX = 64 << 20,
    PAGE_MESSAGES = 200, /* fewer where their bodies are large */
    PART_BYTES = 64 * 1024,
    BUFFER_BYTES_MAX = 32 << 20, /* a message of 1 MiB takes up to 12 when everything in it is escaped */
};

#define MESSAGES_TIMEOUT_US (10 * CLOCK_SECOND)

struct export
{
    struct rpc_job job; /* first */
    struct report_service *service;
    struct report_call call;
    struct report_range range;
    struct report_file file;
    /* Of the thread: */
    arena *rows, *messages; /* a page's; a page of messages' */
    bytes buffer, scratch;
    int64_t position;
};

static struct export *export_of(struct rpc_job *job)
{
    return (struct export *)job;
}

static bool out_of_memory(struct export *export)
{
    return error_set(&export->call.err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY",
                     "no memory for the export");
}

/* --- writing ---------------------------------------------------------------------------------------------
 */

static bool write_part(struct export *export, const unsigned char *data, size_t length)
{
    Casework__Report__V1__ExportEngagementsResponse part =
        CASEWORK__REPORT__V1__EXPORT_ENGAGEMENTS_RESPONSE__INIT;
    part.data.data = (unsigned char *)data;
    part.data.len = length;
    part.position = export->position;
    return rpc_job_write(&export->job, &part.base, export->service->patience_us, &export->call.err);
}

/* All that is in the buffer. */
static bool flush(struct export *export)
{
    bytes *buffer = &export->buffer;
    if (buffer->failed)
        return out_of_memory(export);
    for (size_t at = 0; at < buffer->length; at += PART_BYTES) {
        size_t left = buffer->length - at;
        if (!write_part(export, buffer->data + at, left < PART_BYTES ? left : PART_BYTES))
            return false;
    }
    bytes_clear(buffer);
    return true;
}

static bool flush_full(struct export *export)
{
    return (export->buffer.length < PART_BYTES && !export->buffer.failed) || flush(export);
}

/* --- messages --------------------------------------------------------------------------------------------
 */

static bool read_messages(struct export *export, const char *name, const char *token,
                          const messages_page **ret_page)
{
    Casework__Cases__V1__ListMessagesRequest request = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    request.parent = (char *)name;
    request.view = CASEWORK__CASES__V1__MESSAGE_VIEW__MESSAGE_VIEW_AGENT;
    request.page_size = PAGE_MESSAGES;
    request.page_token = (char *)token;
    const struct rpc_client_options options = {.timeout_us = MESSAGES_TIMEOUT_US,
                                               .traceparent = rpc_call_traceparent(export->job.call)};
    ProtobufCMessage *response;
    if (!rpc_client_call(export->service->cases, &casework__cases__v1__message_service__descriptor,
                         "ListMessages", &request.base, &options, export->messages, &response,
                         &export->call.err))
        return false;
    *ret_page = (const messages_page *)response;
    return true;
}

/* `memory` is the rows': the token must outlive the page that it came with. */
static bool write_messages(struct export *export, arena *memory, int64_t case_id)
{
    const char *token = "";
    const char *name =
        arena_printf(memory, "accounts/%s/cases/%lld", export->range.account, (long long)case_id);
    bool first = true;
    do {
        const messages_page *page;
        arena_clear(export->messages);
        if (name == NULL || token == NULL)
            return out_of_memory(export);
        if (!read_messages(export, name, token, &page))
            return false;
        for (size_t i = 0; i < page->n_messages; i++) {
            report_file_message(&export->file, page->messages[i], first, &export->scratch);
            first = false;
            if (!flush_full(export))
                return false;
        }
        token = arena_strdup(memory, page->next_page_token);
    } while (token == NULL || token[0] != '\0');
    return true;
}

/* --- rows ------------------------------------------------------------------------------------------------
 */

static bool write_row(struct export *export, const struct report_table_row *row)
{
    report_file_begin_row(&export->file, export->range.account, row);
    if (export->file.with_messages && !write_messages(export, export->rows, row->case_id))
        return false;
    report_file_end_row(&export->file);
    return flush_full(export);
}

/* The first page tells the position. A file without rows has its head, or nothing, and tells it too. */
static bool start_file(struct export *export, const struct report_table *found)
{
    export->position = found->position;
    if (!report_call_complete(&export->call, found->position))
        return false;
    report_file_head(&export->file);
    return found->count > 0 || export->buffer.length > 0 || write_part(export, NULL, 0);
}

static bool write_rows(struct export *export, report_reading *reading)
{
    static const struct report_filter all = {
        .agent = "", .channel = "", .label = "", .class_group = "", .class_value = ""};
    struct report_table_page page = {
        .order = export->range.by_opening ? REPORT_ORDER_OPENING : REPORT_ORDER_CLOSING,
        .descending = true,
        .size = export->file.with_messages ? PAGE_ROWS_WITH_MESSAGES : PAGE_ROWS,
    };
    struct report_table found;
    do {
        arena_clear(export->rows);
        if (!report_reading_page(reading, &export->range, &all, &page, export->rows, &found,
                                 &export->call.err) ||
            (!page.after && !start_file(export, &found)))
            return false;
        for (size_t i = 0; i < found.count; i++) {
            if (!write_row(export, &found.rows[i]))
                return false;
        }
        if (found.count > 0) {
            page.after = true;
            page.after_value = found.rows[found.count - 1].value;
            page.after_case = found.rows[found.count - 1].case_id;
        }
    } while (found.count == (size_t)page.size);
    return flush(export);
}

/* --- the thread ------------------------------------------------------------------------------------------
 */

static bool write_file(struct export *export)
{
    const calendar_zone *zone; /* is not needed, but the account must be there */
    report_reading *reading;
    if (!report_call_wait(&export->call, &export->job) ||
        !report_call_zone(&export->call, "", INT64_MAX, &zone) ||
        !report_reading_begin(export->service->store, 0, &reading, &export->call.err))
        return false;
    bool written = write_rows(export, reading);
    report_reading_end(reading);
    return written;
}

static void run(struct rpc_job *job)
{
    struct export *export = export_of(job);
    export->rows = arena_new(PAGE_MEMORY_MAX);
    export->messages = arena_new(PAGE_MEMORY_MAX);
    bytes_init(&export->buffer, BUFFER_BYTES_MAX);
    bytes_init(&export->scratch, BUFFER_BYTES_MAX);
    export->file.to = &export->buffer;
    bool written =
        export->rows != NULL && export->messages != NULL ? write_file(export) : out_of_memory(export);
    bytes_release(&export->buffer);
    bytes_release(&export->scratch);
    arena_free(export->rows);
    arena_free(export->messages);
    if (written)
        rpc_call_finish(job->call);
    else
        report_call_fail(&export->call);
}

/* --- the call --------------------------------------------------------------------------------------------
 */

static bool read_request(struct export *export)
{
    struct report_call *call = &export->call;
    const wire_request *request = (const wire_request *)call->request;
    if (!report_call_read(call, request->parent, request->min_position) ||
        !report_wire_range(call->account, request->start_time, request->end_time, request->by, &export->range,
                           &call->err))
        return false;
    export->file.with_messages = request->include_messages;
    switch (request->format) {
    case CASEWORK__REPORT__V1__EXPORT_FORMAT__EXPORT_FORMAT_UNSPECIFIED:
    case CASEWORK__REPORT__V1__EXPORT_FORMAT__EXPORT_FORMAT_CSV:
        export->file.format = REPORT_FORMAT_CSV;
        return true;
    case CASEWORK__REPORT__V1__EXPORT_FORMAT__EXPORT_FORMAT_JSON_LINES:
        export->file.format = REPORT_FORMAT_JSON_LINES;
        return true;
    default:
        return error_bad_field(&call->err, "format", "not a format of exports");
    }
}

static void release(struct rpc_job *job)
{
    free(export_of(job));
}

static void on_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct export *export = calloc(1, sizeof *export);
    if (export == NULL) {
        rpc_call_fail_memory(call);
        return;
    }
    export->service = context;
    report_call_init(&export->call, call, message, context);
    rpc_job_init(&export->job, call, release);
    rpc_call_set_state(call, &export->job); /* on_done gives it up, whatever happens now */
    if (!read_request(export) ||
        !rpc_job_start(&export->job, &export->service->exports, run, &export->call.err))
        report_call_fail(&export->call);
}

static void on_writable(rpc_call *call, void *context)
{
    (void)context;
    if (rpc_call_state(call) != NULL)
        rpc_job_on_writable(rpc_call_state(call));
}

static void on_done(rpc_call *call, void *context)
{
    (void)context;
    if (rpc_call_state(call) != NULL)
        rpc_job_on_done(rpc_call_state(call));
}

const struct rpc_stream_handlers report_stream_export = {
    .on_message = on_message, .on_writable = on_writable, .on_done = on_done};
