#include "case/case_row.h"

#include "case/case_erase.h"

#include <stdlib.h>

/* Reads a row's columns one after the other: the order is that of the column lists in the header. */
struct cursor {
    const pg_result *result;
    int row;
    int column;
    arena *memory;
    bool failed;
};

static int64_t next_int(struct cursor *c)
{
    return pg_get_int(c->result, c->row, c->column++);
}

static int32_t next_int32(struct cursor *c)
{
    return (int32_t)next_int(c);
}

static bool next_bool(struct cursor *c)
{
    return pg_get_bool(c->result, c->row, c->column++);
}

static int64_t next_time(struct cursor *c)
{
    return pg_get_time(c->result, c->row, c->column++);
}

static const char *next_text(struct cursor *c)
{
    return pg_get_text(c->result, c->row, c->column++);
}

static struct text_list next_list(struct cursor *c)
{
    struct text_list list = {0};
    if (!pg_get_text_array(c->result, c->row, c->column++, c->memory, &list.items, &list.count))
        c->failed = true;
    return list;
}

static bool done(const struct cursor *c, error *err)
{
    if (c->failed)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "RESPONSE_TOO_LARGE",
                         "the answer needs too much memory");
    return true;
}

void account_row_read(const pg_result *result, int row, struct account_record *ret_record)
{
    struct cursor c = {.result = result, .row = row};
    ret_record->partition = next_int32(&c);
    ret_record->id = next_text(&c);
    ret_record->display_name = next_text(&c);
    ret_record->time_zone = next_text(&c);
    ret_record->reopen_resolved = next_bool(&c);
    ret_record->report_lock_days = next_int32(&c);
    ret_record->session_grace_us = next_int(&c);
    ret_record->next_case = next_int(&c);
    ret_record->version = next_int(&c);
    ret_record->create_time = next_time(&c);
    ret_record->update_time = next_time(&c);
}

void agent_row_read(const pg_result *result, int row, struct agent_record *ret_record)
{
    struct cursor c = {.result = result, .row = row};
    ret_record->account = next_text(&c);
    ret_record->id = next_text(&c);
    ret_record->display_name = next_text(&c);
    ret_record->email = next_text(&c);
    ret_record->role = (enum agent_role)next_int(&c);
    ret_record->disabled = next_bool(&c);
    ret_record->version = next_int(&c);
    ret_record->create_time = next_time(&c);
    ret_record->update_time = next_time(&c);
}

void channel_row_read(const pg_result *result, int row, struct channel_record *ret_record)
{
    struct cursor c = {.result = result, .row = row};
    ret_record->account = next_text(&c);
    ret_record->id = next_text(&c);
    ret_record->network = next_text(&c);
    ret_record->address = next_text(&c);
    ret_record->version = next_int(&c);
    ret_record->create_time = next_time(&c);
    ret_record->update_time = next_time(&c);
}

bool contact_row_read(const pg_result *result, int row, arena *memory, struct contact_record *ret_record,
                      error *err)
{
    struct cursor c = {.result = result, .row = row, .memory = memory};
    struct contact_record r = {0};
    r.account = next_text(&c);
    r.id = next_text(&c);
    r.display_name = next_text(&c);
    r.emails = next_list(&c);
    r.phones = next_list(&c);
    r.handles = next_list(&c);
    r.note = next_text(&c);
    r.version = next_int(&c);
    r.create_time = next_time(&c);
    r.update_time = next_time(&c);
    r.erase_time = next_time(&c);
    if (!done(&c, err))
        return false;
    *ret_record = r;
    return true;
}

static void case_times(struct cursor *c, struct case_record *r)
{
    r->create_time = next_time(c);
    r->update_time = next_time(c);
    r->status_time = next_time(c);
    r->open_time = next_time(c);
    r->customer_time = next_time(c);
    r->waiting_since = next_time(c);
    r->first_reply_time = next_time(c);
    r->last_send_time = next_time(c);
    r->resolve_time = next_time(c);
    r->close_time = next_time(c);
    r->delete_time = next_time(c);
    r->change_time = next_time(c);
    r->activity_time = next_time(c);
}

static void case_texts(struct cursor *c, struct case_record *r)
{
    r->lock_agent = next_text(c);
    r->lock_session = next_text(c);
    r->owner = next_text(c);
    r->contact = next_text(c);
    r->channel = next_text(c);
    r->external_id = next_text(c);
    r->involved = next_list(c);
    r->labels = next_list(c);
    r->classifications = next_list(c);
    r->attributes = next_list(c);
    r->subject = next_text(c);
    r->subject_key = next_text(c);
    r->customer_number = next_int32(c);
    r->waiting_number = next_int32(c);
    r->messages_left = next_int32(c);
}

bool case_row_read(const pg_result *result, int row, arena *memory, struct case_record *ret_record,
                   error *err)
{
    struct cursor c = {.result = result, .row = row, .memory = memory};
    struct case_record r = {.network = "", .channel_address = ""};
    r.partition = next_int32(&c);
    r.account = next_text(&c);
    r.id = next_int(&c);
    r.status = case_row_status(next_int(&c));
    r.status_before_delete = (enum case_status)next_int(&c);
    r.need_reply = next_bool(&c);
    r.priority = next_int32(&c);
    r.message_count = next_int32(&c);
    r.messages_assigned = next_int32(&c);
    r.messages_in_progress = next_int32(&c);
    r.messages_responded = next_int32(&c);
    r.first_open_message = next_int32(&c);
    case_times(&c, &r);
    r.version = next_int(&c);
    r.change_version = next_int(&c);
    r.activity_version = next_int(&c);
    r.merged_into = next_int(&c);
    r.lock_token = next_int(&c);
    r.lock_time = next_time(&c);
    case_texts(&c, &r);
    r.erased = next_bool(&c);
    r.being_erased = next_bool(&c);
    if (r.erased || r.being_erased)
        case_erase_texts(&r);
    if (!done(&c, err))
        return false;
    *ret_record = r;
    return true;
}

/* Attachments are stored flat: file name, content type, size, uri, file name … */
static const struct attachment *attachments(struct cursor *c, size_t *ret_count)
{
    struct text_list flat = next_list(c);
    size_t count = flat.count / 4;
    struct attachment *list = count ? arena_calloc(c->memory, count, sizeof *list) : NULL;
    if (count && !list) {
        c->failed = true;
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        const char **field = flat.items + 4 * i;
        list[i] = (struct attachment){.file_name = field[0],
                                      .content_type = field[1],
                                      .size = strtoll(field[2], NULL, 10),
                                      .uri = field[3]};
    }
    *ret_count = count;
    return list;
}

bool message_row_read(const pg_result *result, int row, arena *memory, struct message_record *ret_record,
                      error *err)
{
    struct cursor c = {.result = result, .row = row, .memory = memory};
    struct message_record r = {0};
    r.account = next_text(&c);
    r.case_id = next_int(&c);
    r.number = next_int32(&c);
    r.kind = (enum message_kind)next_int(&c);
    r.state = (enum message_state)next_int(&c);
    r.delivery = (enum delivery_state)next_int(&c);
    r.automatic = next_bool(&c);
    r.redacted = next_bool(&c);
    r.send_time = next_time(&c);
    r.create_time = next_time(&c);
    r.author = next_text(&c);
    r.third_party = next_text(&c);
    r.external_id = next_text(&c);
    r.delivery_failure = next_text(&c);
    r.merged_from = next_int(&c);
    r.body = next_text(&c);
    r.attachments = attachments(&c, &r.attachment_count);
    r.origin_case = next_int(&c);
    r.origin_number = next_int32(&c);
    if (next_bool(&c))
        message_erase_texts(&r);
    if (!done(&c, err))
        return false;
    *ret_record = r;
    return true;
}
