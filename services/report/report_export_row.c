#include "report/report_export_row.h"

#include "base/clock.h"
#include "casework/cases/v1/case.pb-c.h"
#include "rpc/wire.h"

#include <stdio.h>
#include <string.h>

/* --- plain values ----------------------------------------------------------------------------------------
 */

static void put_number(bytes *to, int64_t number)
{
    char text[24];
    size_t at = sizeof text;
    uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do {
        text[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (number < 0)
        text[--at] = '-';
    bytes_append(to, text + at, sizeof text - at);
}

/* Seconds, with no more decimals than it takes. */
static void put_seconds(bytes *to, int64_t duration_us)
{
    int64_t whole = duration_us / CLOCK_SECOND;
    int64_t rest = duration_us % CLOCK_SECOND;
    put_number(to, whole);
    if (rest <= 0)
        return;
    char decimals[7];
    for (int i = 5; i >= 0; i--, rest /= 10)
        decimals[i] = (char)('0' + rest % 10);
    size_t length = 6;
    while (decimals[length - 1] == '0')
        length--;
    bytes_append_char(to, '.');
    bytes_append(to, decimals, length);
}

static void put_time(bytes *to, int64_t time_us)
{
    char text[CLOCK_TEXT_SIZE];
    bytes_append_text(to, clock_format(time_us, text));
}

static void put_name(bytes *to, const char *account, const char *collection, const char *id)
{
    bytes_append_text(to, "accounts/");
    bytes_append_text(to, account);
    bytes_append_char(to, '/');
    bytes_append_text(to, collection);
    bytes_append_char(to, '/');
    bytes_append_text(to, id);
}

static void put_case(bytes *to, const char *account, int64_t case_id)
{
    put_name(to, account, "cases", "");
    put_number(to, case_id);
}

static const char *state_name(enum report_status status)
{
    const ProtobufCEnumValue *value =
        protobuf_c_enum_descriptor_get_value(&casework__cases__v1__case_status__descriptor, (int)status);
    return value != NULL ? value->name : "";
}

/* --- CSV -------------------------------------------------------------------------------------------------
 */

/*
 * What spreadsheets run, by what a cell starts with (OWASP, CSV injection): = + - @, tab and line breaks, and
 * the full-width forms of the signs, which some of them take for the same.
 */
static bool is_formula(const char *text)
{
    static const char *const wide[] = {"\uff1d", "\uff0b", "\uff0d", "\uff20"};
    if (text[0] != '\0' && strchr("=+-@\t\r\n", text[0]) != NULL)
        return true;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        if (strncmp(text, wide[i], 3) == 0)
            return true;
    }
    return false;
}

/* With every quote doubled. */
static void put_quoted(bytes *to, const char *text, size_t length)
{
    const char *end = text + length, *quote;
    while ((quote = memchr(text, '"', (size_t)(end - text))) != NULL) {
        bytes_append(to, text, (size_t)(quote - text + 1));
        bytes_append_char(to, '"');
        text = quote + 1;
    }
    bytes_append(to, text, (size_t)(end - text));
}

void report_file_cell(bytes *to, const char *text)
{
    const char *mark = is_formula(text) ? "'" : "";
    /* semicolons and tabs too: where a spreadsheet splits at them, quotes still hold the cell together */
    if (text[strcspn(text, "\",;\t\r\n")] == '\0') {
        bytes_append_text(to, mark);
        bytes_append_text(to, text);
        return;
    }
    bytes_append_char(to, '"');
    bytes_append_text(to, mark);
    put_quoted(to, text, strlen(text));
    bytes_append_char(to, '"');
}

/* Names hold nothing that would have to be quoted but what is put between them. */
static void put_agents_cell(bytes *to, const char *account, const struct report_texts *agents)
{
    if (agents->count > 1)
        bytes_append_char(to, '"');
    for (size_t i = 0; i < agents->count; i++) {
        if (i > 0)
            bytes_append_char(to, ';');
        put_name(to, account, "agents", agents->items[i]);
    }
    if (agents->count > 1)
        bytes_append_char(to, '"');
}

/* A part of a list: what separates its parts is marked where it is text. */
static void put_part(bytes *to, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("\\:;", *text) != NULL)
            bytes_append_char(to, '\\');
        bytes_append_char(to, *text);
    }
}

static void put_classifications_cell(bytes *to, const struct report_facts *facts)
{
    if (facts->class_groups.count == 0)
        return;
    bytes list;
    bytes_init(&list, to->cap);
    for (size_t i = 0; i < facts->class_groups.count; i++) {
        if (i > 0)
            bytes_append_text(&list, "; ");
        put_part(&list, facts->class_groups.items[i]);
        bytes_append_text(&list, ": ");
        put_part(&list, facts->class_values.items[i]);
    }
    to->failed = to->failed || list.failed;
    report_file_cell(to, bytes_text(&list));
    bytes_release(&list);
}

static void put_csv(bytes *to, const char *account, const struct report_table_row *row)
{
    const struct report_engagement *e = &row->engagement;
    put_case(to, account, row->case_id);
    bytes_append_char(to, ',');
    report_file_cell(to, e->facts.channel_address);
    bytes_append_char(to, ',');
    report_file_cell(to, e->facts.network);
    bytes_append_char(to, ',');
    put_time(to, e->opened);
    bytes_append_char(to, ',');
    if (e->closed != REPORT_NOT_CLOSED)
        put_time(to, e->closed);
    bytes_append_char(to, ',');
    if (e->last_agent[0] != '\0')
        put_name(to, account, "agents", e->last_agent);
    bytes_append_char(to, ',');
    put_seconds(to, e->first_reply);
    bytes_append_char(to, ',');
    put_seconds(to, e->resolution);
    bytes_append_char(to, ',');
    put_agents_cell(to, account, &e->agents);
    bytes_append_char(to, ',');
    put_number(to, (int64_t)e->agents.count);
    bytes_append_char(to, ',');
    put_number(to, e->interactions);
    bytes_append_text(to, e->nps_sent ? ",true," : ",false,");
    bytes_append_text(to, state_name(e->facts.status));
    bytes_append_char(to, ',');
    put_classifications_cell(to, &e->facts);
}

/* --- JSON ------------------------------------------------------------------------------------------------
 */

static void put_key(bytes *to, const char *key)
{
    bytes_append_text(to, ",\"");
    bytes_append_text(to, key);
    bytes_append_text(to, "\":");
}

static void put_text_field(bytes *to, const char *key, const char *text)
{
    put_key(to, key);
    bytes_append_json(to, text);
}

/* Of our own making: with nothing to escape. */
static void put_time_field(bytes *to, const char *key, int64_t time_us)
{
    put_key(to, key);
    bytes_append_char(to, '"');
    put_time(to, time_us);
    bytes_append_char(to, '"');
}

static void put_number_field(bytes *to, const char *key, int64_t number)
{
    put_key(to, key);
    put_number(to, number);
}

static void put_seconds_field(bytes *to, const char *key, int64_t duration_us)
{
    put_key(to, key);
    put_seconds(to, duration_us);
}

static void put_bool_field(bytes *to, const char *key, bool value)
{
    put_key(to, key);
    bytes_append_text(to, value ? "true" : "false");
}

static void put_agent(bytes *to, const char *account, const char *agent)
{
    bytes_append_char(to, '"');
    if (agent[0] != '\0')
        put_name(to, account, "agents", agent);
    bytes_append_char(to, '"');
}

static void put_agents_field(bytes *to, const char *account, const struct report_texts *agents)
{
    put_key(to, "agents");
    bytes_append_char(to, '[');
    for (size_t i = 0; i < agents->count; i++) {
        if (i > 0)
            bytes_append_char(to, ',');
        put_agent(to, account, agents->items[i]);
    }
    bytes_append_char(to, ']');
}

static void put_classifications_field(bytes *to, const struct report_facts *facts)
{
    put_key(to, "classifications");
    bytes_append_char(to, '[');
    for (size_t i = 0; i < facts->class_groups.count; i++) {
        bytes_append_text(to, i > 0 ? ",{\"group\":" : "{\"group\":");
        bytes_append_json(to, facts->class_groups.items[i]);
        put_text_field(to, "value", facts->class_values.items[i]);
        bytes_append_char(to, '}');
    }
    bytes_append_char(to, ']');
}

static void put_json(bytes *to, const char *account, const struct report_table_row *row)
{
    const struct report_engagement *e = &row->engagement;
    bytes_append_text(to, "{\"case\":\"");
    put_case(to, account, row->case_id);
    bytes_append_char(to, '"');
    put_text_field(to, "channel_address", e->facts.channel_address);
    put_text_field(to, "network", e->facts.network);
    put_time_field(to, "open_time", e->opened);
    if (e->closed != REPORT_NOT_CLOSED) {
        put_time_field(to, "close_time", e->closed);
    } else {
        put_key(to, "close_time");
        bytes_append_text(to, "null");
    }
    put_key(to, "last_agent");
    put_agent(to, account, e->last_agent);
    put_seconds_field(to, "first_reply_duration", e->first_reply);
    put_seconds_field(to, "resolution_duration", e->resolution);
    put_agents_field(to, account, &e->agents);
    put_number_field(to, "agents_involved", (int64_t)e->agents.count);
    put_number_field(to, "agent_interactions", e->interactions);
    put_bool_field(to, "nps_sent", e->nps_sent);
    put_text_field(to, "state", state_name(e->facts.status));
    put_classifications_field(to, &e->facts);
}

/* --- messages --------------------------------------------------------------------------------------------
 */

static void put_enum_field(bytes *to, const char *key, const ProtobufCEnumDescriptor *type, int value)
{
    const ProtobufCEnumValue *named = protobuf_c_enum_descriptor_get_value(type, value);
    put_text_field(to, key, named != NULL ? named->name : "");
}

static void put_wire_time_field(bytes *to, const char *key, const Google__Protobuf__Timestamp *time)
{
    int64_t time_us;
    if (time != NULL && wire_time_us(time, &time_us))
        put_time_field(to, key, time_us);
}

static void put_attachments_field(bytes *to, const Casework__Cases__V1__Message *message)
{
    put_key(to, "attachments");
    bytes_append_char(to, '[');
    for (size_t i = 0; i < message->n_attachments; i++) {
        const Casework__Cases__V1__Attachment *attachment = message->attachments[i];
        bytes_append_text(to, i > 0 ? ",{\"file_name\":" : "{\"file_name\":");
        bytes_append_json(to, attachment->file_name);
        put_text_field(to, "content_type", attachment->content_type);
        put_number_field(to, "size", attachment->size);
        put_text_field(to, "uri", attachment->uri);
        bytes_append_char(to, '}');
    }
    bytes_append_char(to, ']');
}

static void put_message(bytes *to, const Casework__Cases__V1__Message *message)
{
    bytes_append_text(to, "{\"name\":");
    bytes_append_json(to, message->name);
    put_number_field(to, "number", message->number);
    put_enum_field(to, "kind", &casework__cases__v1__message_kind__descriptor, (int)message->kind);
    put_bool_field(to, "automatic", message->automatic);
    put_text_field(to, "author", message->author);
    put_text_field(to, "body", message->body);
    put_wire_time_field(to, "send_time", message->send_time);
    put_wire_time_field(to, "create_time", message->create_time);
    put_enum_field(to, "state", &casework__cases__v1__message_state__descriptor, (int)message->state);
    put_bool_field(to, "redacted", message->redacted);
    put_text_field(to, "external_id", message->external_id);
    put_attachments_field(to, message);
    put_enum_field(to, "delivery", &casework__cases__v1__delivery__descriptor, (int)message->delivery);
    put_text_field(to, "third_party", message->third_party);
    put_text_field(to, "delivery_failure", message->delivery_failure);
    put_text_field(to, "merged_from", message->merged_from);
    bytes_append_char(to, '}');
}

void report_file_message(const struct report_file *file, const Casework__Cases__V1__Message *message,
                         bool first, bytes *scratch)
{
    if (!first)
        bytes_append_char(file->to, ',');
    if (file->format != REPORT_FORMAT_CSV) {
        put_message(file->to, message);
        return;
    }
    bytes_clear(scratch);
    put_message(scratch, message);
    put_quoted(file->to, bytes_text(scratch), scratch->length);
    file->to->failed = file->to->failed || scratch->failed;
}

/* --- rows ------------------------------------------------------------------------------------------------
 */

void report_file_head(const struct report_file *file)
{
    if (file->format != REPORT_FORMAT_CSV)
        return;
    bytes_append_text(file->to, "case,channel_address,network,open_time,close_time,last_agent,"
                                "first_reply_duration,resolution_duration,agents,agents_involved,"
                                "agent_interactions,nps_sent,state,classifications");
    bytes_append_text(file->to, file->with_messages ? ",messages\r\n" : "\r\n");
}

void report_file_begin_row(const struct report_file *file, const char *account,
                           const struct report_table_row *row)
{
    if (file->format == REPORT_FORMAT_CSV) {
        put_csv(file->to, account, row);
        bytes_append_text(file->to, file->with_messages ? ",\"[" : "");
    } else {
        put_json(file->to, account, row);
        bytes_append_text(file->to, file->with_messages ? ",\"messages\":[" : "");
    }
}

void report_file_end_row(const struct report_file *file)
{
    if (file->format == REPORT_FORMAT_CSV)
        bytes_append_text(file->to, file->with_messages ? "]\"\r\n" : "\r\n");
    else
        bytes_append_text(file->to, file->with_messages ? "]}\n" : "}\n");
}
