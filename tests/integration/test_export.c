/* ExportEngagements: the table as a file, of any size, for readers of any pace. */

#include "base/clock.h"
#include "pg/pg.h"
#include "tests/support/activity.h"
#include "tests/support/export.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(export, .timeout = 240);

/* --- rows ------------------------------------------------------------------------------------------------
 */

static const char *text_of(const json_t *row, const char *field)
{
    const char *text = json_string_value(json_object_get(row, field));
    cr_assert_not_null(text, "%s", field);
    return text;
}

static void expect_time(const char *text, const Google__Protobuf__Timestamp *time)
{
    char expected[CLOCK_TEXT_SIZE] = "";
    if (time != NULL)
        clock_format(activity_time(time), expected);
    cr_expect_str_eq(text, expected);
}

static void expect_seconds(double seconds, const Google__Protobuf__Duration *duration)
{
    cr_expect_float_eq(seconds, (double)shop_duration(duration) / CLOCK_SECOND, 1e-7);
}

/* The text as the file has it: with the mark where it would be a formula. */
static const char *marked(const struct shop *d, const char *text)
{
    bool formula = text[0] != '\0' && strchr("=+-@\t\r\n", text[0]) != NULL;
    return arena_printf(d->memory, "%s%s", formula ? "'" : "", text);
}

static void expect_cells(const struct shop *d, const json_t *row, const engagement *expected)
{
    const char *agents = "", *classes = "";
    for (size_t i = 0; i < expected->n_agents; i++)
        agents = arena_printf(d->memory, "%s%s%s", agents, i == 0 ? "" : ";", expected->agents[i]);
    for (size_t i = 0; i < expected->n_classifications; i++)
        classes = arena_printf(d->memory, "%s%s%s: %s", classes, i == 0 ? "" : "; ",
                               expected->classifications[i]->group, expected->classifications[i]->value);
    cr_expect_str_eq(text_of(row, "case"), expected->case_);
    cr_expect_str_eq(text_of(row, "channel_address"), marked(d, expected->channel_address));
    cr_expect_str_eq(text_of(row, "network"), marked(d, expected->network));
    expect_time(text_of(row, "open_time"), expected->open_time);
    expect_time(text_of(row, "close_time"), expected->close_time);
    cr_expect_str_eq(text_of(row, "last_agent"), expected->last_agent);
    expect_seconds(strtod(text_of(row, "first_reply_duration"), NULL), expected->first_reply_duration);
    expect_seconds(strtod(text_of(row, "resolution_duration"), NULL), expected->resolution_duration);
    cr_expect_str_eq(text_of(row, "agents"), agents);
    cr_expect_eq(strtol(text_of(row, "agents_involved"), NULL, 10), expected->agents_involved);
    cr_expect_eq(strtol(text_of(row, "agent_interactions"), NULL, 10), expected->agent_interactions);
    cr_expect_str_eq(text_of(row, "nps_sent"), expected->nps_sent ? "true" : "false");
    cr_expect_str_eq(
        text_of(row, "state"),
        protobuf_c_enum_descriptor_get_value(&casework__cases__v1__case_status__descriptor, expected->state)
            ->name);
    cr_expect_str_eq(text_of(row, "classifications"), marked(d, classes));
}

static void expect_object(const json_t *row, const engagement *expected)
{
    const json_t *closed = json_object_get(row, "close_time");
    cr_expect_str_eq(text_of(row, "case"), expected->case_);
    cr_expect_str_eq(text_of(row, "channel_address"), expected->channel_address);
    cr_expect_str_eq(text_of(row, "network"), expected->network);
    expect_time(text_of(row, "open_time"), expected->open_time);
    expect_time(json_is_null(closed) ? "" : json_string_value(closed), expected->close_time);
    cr_expect_str_eq(text_of(row, "last_agent"), expected->last_agent);
    expect_seconds(json_number_value(json_object_get(row, "first_reply_duration")),
                   expected->first_reply_duration);
    expect_seconds(json_number_value(json_object_get(row, "resolution_duration")),
                   expected->resolution_duration);
    const json_t *agents = json_object_get(row, "agents"), *classes = json_object_get(row, "classifications");
    cr_assert_eq(json_array_size(agents), expected->n_agents);
    for (size_t i = 0; i < expected->n_agents; i++)
        cr_expect_str_eq(json_string_value(json_array_get(agents, i)), expected->agents[i]);
    cr_expect_eq(json_integer_value(json_object_get(row, "agent_interactions")),
                 expected->agent_interactions);
    cr_expect_eq(json_is_true(json_object_get(row, "nps_sent")), expected->nps_sent);
    cr_assert_eq(json_array_size(classes), expected->n_classifications);
    for (size_t i = 0; i < expected->n_classifications; i++) {
        cr_expect_str_eq(text_of(json_array_get(classes, i), "group"), expected->classifications[i]->group);
        cr_expect_str_eq(text_of(json_array_get(classes, i), "value"), expected->classifications[i]->value);
    }
}

/* Open and closed ones, replies by several agents, surveys, classifications that would be formulas. */
static void live(struct shop *d)
{
    for (int i = 0; i < 12; i++) {
        const char *name = shop_case(d);
        suite_advance(d->suite, (i + 1) * CLOCK_MINUTE + i * 1234567);
        shop_write(d, name, i % 3 == 0 ? "ann" : "bob");
        if (i % 2 == 0)
            shop_write(d, name, "cid");
        if (i % 4 == 0)
            shop_write(d, name, "survey");
        if (i % 5 == 0)
            shop_classify(d, name, "=topic", "say \"hi\", now", true);
        if (i % 3 == 1)
            shop_classify(d, name, "reason", "Zo\xc3\xab", true);
        if (i < 8)
            suite_step(d->suite, "ResolveCase", name, "ann");
    }
    shop_case(d); /* without a reply: no engagement */
    suite_advance(d->suite, 80 * CLOCK_HOUR);
}

static void expect_as_listed(struct shop *d, int by, const Google__Protobuf__Timestamp *start)
{
    table_request ask = shop_ask(d);
    ask.by = (Casework__Report__V1__EngagementTime)by;
    ask.start_time = (Google__Protobuf__Timestamp *)start;
    const table_page *page = shop_table(d, &ask);
    for (int format = EXPORT_CSV; format <= EXPORT_JSON_LINES; format++) {
        export_request request = export_ask(d, format);
        request.by = ask.by;
        request.start_time = ask.start_time;
        bytes file = export_file(d, &request);
        json_t *rows = format == EXPORT_CSV ? export_python(d, &file) : export_lines(&file);
        cr_assert_eq(json_array_size(rows), page->n_engagements);
        for (size_t i = 0; i < page->n_engagements; i++) {
            if (format == EXPORT_CSV)
                expect_cells(d, json_array_get(rows, i), page->engagements[i]);
            else
                expect_object(json_array_get(rows, i), page->engagements[i]);
        }
        json_decref(rows);
        bytes_release(&file);
    }
}

Test(export, has_the_rows_that_the_table_has)
{
    struct shop d = shop_begin("UTC", NULL);
    expect_as_listed(&d, 0, NULL); /* a head and no rows */
    live(&d);
    expect_as_listed(&d, 0, NULL);
    expect_as_listed(&d, 2, NULL);
    Google__Protobuf__Timestamp start = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    start.seconds = activity_instant("2026-03-02T09:20:00Z") / CLOCK_SECOND;
    expect_as_listed(&d, 2, &start);
    expect_as_listed(&d, 1, &start);
    shop_end(&d);
}

/* --- messages --------------------------------------------------------------------------------------------
 */

static const char *const nasty[] = {
    "=cmd|' /C calc'!A0", "two\r\nlines, \"quoted\"; and\ttabs",
    "\xef\xbc\x9d\x31+1", "\x01\x1f \\ / \xe2\x80\xa8 \xf0\x9f\x98\x80",
    "{\"json\": [1, 2]}",
};
enum { NASTY = sizeof nasty / sizeof *nasty, MANY = 450 };

static void expect_messages(const json_t *messages)
{
    cr_assert_eq(json_array_size(messages), 2 + NASTY + MANY);
    cr_expect_str_eq(text_of(json_array_get(messages, 0), "body"), "It leaks.");
    cr_expect_str_eq(text_of(json_array_get(messages, 0), "kind"), "MESSAGE_KIND_CUSTOMER");
    cr_expect_str_eq(text_of(json_array_get(messages, 1), "author"), "accounts/acme/agents/ann");
    for (size_t i = 0; i < NASTY; i++)
        cr_expect_str_eq(text_of(json_array_get(messages, 2 + i), "body"), nasty[i]);
    for (size_t i = 0; i < 2 + NASTY + MANY; i++)
        cr_expect_eq(json_integer_value(json_object_get(json_array_get(messages, i), "number")),
                     (json_int_t)i + 1);
    cr_expect_str_eq(text_of(json_array_get(messages, 1 + NASTY + MANY), "kind"), "MESSAGE_KIND_NOTE");
}

/* More than a page of them, notes too. */
Test(export, brings_every_message_as_it_is)
{
    struct shop d = shop_begin("UTC", NULL);
    const char *name = shop_case(&d);
    shop_write(&d, name, "ann");
    for (int i = 0; i < NASTY; i++)
        suite_write(d.suite, name, CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER, NULL, nasty[i]);
    for (int i = 0; i < MANY; i++)
        shop_write(&d, name, "note");
    const char *other = shop_case(&d);
    shop_write(&d, other, "bob");

    for (int format = EXPORT_CSV; format <= EXPORT_JSON_LINES; format++) {
        export_request request = export_ask(&d, format);
        request.include_messages = true;
        bytes file = export_file(&d, &request);
        json_t *rows = format == EXPORT_CSV ? export_python(&d, &file) : export_lines(&file);
        cr_assert_eq(json_array_size(rows), 2);
        size_t at = strcmp(text_of(json_array_get(rows, 0), "case"), name) == 0 ? 0 : 1;
        json_t *messages = json_object_get(json_array_get(rows, at), "messages");
        messages =
            format == EXPORT_CSV ? json_loads(json_string_value(messages), 0, NULL) : json_incref(messages);
        expect_messages(messages);
        json_decref(messages);
        json_decref(rows);
        bytes_release(&file);
    }
    shop_end(&d);
}

/* --- size and pace ---------------------------------------------------------------------------------------
 */

static long resident_kb(pid_t pid, const char *what)
{
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *status = fopen(path, "r");
    cr_assert_not_null(status);
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, what, strlen(what)) == 0)
            kb = strtol(line + strlen(what) + 1, NULL, 10);
    }
    fclose(status);
    return kb;
}

/* With sanitizers memory says little. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROWS = 5000, GROWTH_MAX_KB = 1024 * 1024 };
#else
enum { ROWS = 200000, GROWTH_MAX_KB = 32 * 1024 };
#endif

/* The table is emptied once the file has begun. */
Test(export, takes_the_same_memory_however_long_and_is_of_one_moment)
{
    struct shop d = shop_begin("UTC", NULL);
    export_fill(&d, 1000);
    export_request request = export_ask(&d, EXPORT_CSV);
    bytes file = export_file(&d, &request); /* what a first export leaves behind */
    bytes_release(&file);

    const struct pg_options options = {.url = suite_database(d.suite, SUITE_REPORT),
                                       .statement_timeout_us = CLOCK_MINUTE};
    pg_conn *conn;
    error err = {0};
    cr_assert(pg_conn_open(&options, &conn, &err));
    cr_assert(pg_run_script(conn, "DELETE FROM report_engagements", 0, &err), "%s", err.detail);
    export_fill(&d, ROWS);
    pid_t report = suite_pid(d.suite, SUITE_REPORT, 0);
    long before = resident_kb(report, "VmRSS:");

    int64_t position = 0;
    bytes_init(&file, 256 << 20);
    rpc_stream *stream = export_open(&d, NULL, &request);
    ProtobufCMessage *first;
    cr_assert_eq(rpc_stream_read(stream, CLOCK_MINUTE, d.memory, &first, &err), RPC_READ_MESSAGE);
    cr_assert(
        bytes_append(&file, ((const export_part *)first)->data.data, ((const export_part *)first)->data.len));
    cr_assert(
        pg_run_script(conn, "DELETE FROM report_engagements", clock_monotonic_us() + CLOCK_MINUTE, &err),
        "%s", err.detail);
    pg_conn_close(conn);
    cr_assert(export_read(stream, &file, &position, &err), "%s", err.message);
    rpc_stream_free(stream);

    size_t lines = 0;
    for (const char *at = bytes_text(&file); (at = strstr(at, "\r\n")) != NULL; at += 2)
        lines++;
    cr_expect_eq(lines, (size_t)ROWS + 1);
    cr_expect_lt(resident_kb(report, "VmHWM:") - before, GROWTH_MAX_KB);
    bytes_release(&file);
    shop_end(&d);
}

Test(export, ends_a_reader_that_takes_nothing)
{
    static const char *const settings[] = {"STREAM_PATIENCE_SECONDS=1", NULL};
    struct shop d = shop_begin("UTC", &(struct suite_options){.settings = settings});
    export_fill(&d, 100000); /* some 25 MB */
    export_request request = export_ask(&d, EXPORT_CSV);
    rpc_stream *slow = export_open(&d, NULL, &request);
    const struct pg_options options = {.url = suite_database(d.suite, SUITE_REPORT)};
    static const struct pg_statement count = {
        .name = "count_long_reads",
        .sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'casework-report'"
               " AND state <> 'idle' AND query LIKE '%report_engagements%'",
    };
    pg_conn *conn;
    pg_result *result;
    error err = {0};
    cr_assert(pg_conn_open(&options, &conn, &err));
    /* it begins, is held back, and is given up; who misses that looks again when it must be over */
    int64_t until = clock_monotonic_us() + CLOCK_MINUTE, open;
    bool begun = false;
    do {
        cr_assert(pg_query(conn, &count, NULL, 0, &result, &err), "%s", err.detail);
        open = pg_get_int(result, 0, 0);
        pg_result_free(result);
        begun = begun || open > 0;
    } while ((!begun || open > 0) && clock_monotonic_us() < until);
    cr_assert_eq(open, 0);
    pg_conn_close(conn);
    int64_t position;
    cr_assert_not(export_read(slow, NULL, &position, &err));
    cr_expect_eq(err.code, STATUS_RESOURCE_EXHAUSTED, "%s", err.message);
    cr_expect_str_eq(err.reason, "SLOW_READER");
    rpc_stream_free(slow);
    shop_end(&d);
}

/* --- refusals --------------------------------------------------------------------------------------------
 */

static void expect_refused(const struct shop *d, rpc_channel *channel, const export_request *request,
                           enum status_code code, const char *field)
{
    rpc_stream *stream = export_open(d, channel, request);
    int64_t position;
    error err = {0};
    cr_assert_not(export_read(stream, NULL, &position, &err));
    cr_expect_eq(err.code, code, "%s", err.message);
    if (field != NULL)
        cr_expect_str_eq(err.violations[0].key, field);
    rpc_stream_free(stream);
}

static void expect_stranger_refused(const struct shop *d, enum rpc_role role, const char *account,
                                    enum status_code code)
{
    const struct rpc_token_claims claims = {.account = account,
                                            .role = role,
                                            .agent = role == RPC_ROLE_AGENT ? "eve" : NULL,
                                            .ttl_us = CLOCK_HOUR};
    char *token = suite_token(d->suite, &claims);
    rpc_channel *channel = suite_channel_as(d->suite, SUITE_REPORT, token);
    export_request request = export_ask(d, EXPORT_CSV);
    expect_refused(d, channel, &request, code, NULL);
    rpc_channel_free(channel);
    free(token);
}

Test(export, what_cannot_be_exported_is_refused)
{
    struct shop d = shop_begin("UTC", NULL);
    const export_request whole = export_ask(&d, EXPORT_CSV);
    export_request request = whole;
    request.format = (Casework__Report__V1__ExportFormat)9;
    expect_refused(&d, NULL, &request, STATUS_INVALID_ARGUMENT, "format");
    request = whole;
    request.by = (Casework__Report__V1__EngagementTime)9;
    expect_refused(&d, NULL, &request, STATUS_INVALID_ARGUMENT, "by");
    request = whole;
    request.min_position = -1;
    expect_refused(&d, NULL, &request, STATUS_INVALID_ARGUMENT, "min_position");
    Google__Protobuf__Timestamp early = GOOGLE__PROTOBUF__TIMESTAMP__INIT, none = early;
    none.nanos = -1;
    request = whole;
    request.start_time = request.end_time = &early;
    expect_refused(&d, NULL, &request, STATUS_INVALID_ARGUMENT, "end_time");
    request.start_time = &none;
    expect_refused(&d, NULL, &request, STATUS_INVALID_ARGUMENT, "start_time");
    request = whole;
    request.parent = (char *)"acme";
    expect_refused(&d, NULL, &request, STATUS_INVALID_ARGUMENT, "parent");
    request.parent = (char *)"accounts/nobody";
    request.min_position = 0;
    expect_refused(&d, NULL, &request, STATUS_NOT_FOUND, NULL);
    expect_stranger_refused(&d, RPC_ROLE_AGENT, "other", STATUS_NOT_FOUND);
    expect_stranger_refused(&d, RPC_ROLE_CONNECTOR, "acme", STATUS_PERMISSION_DENIED);

    /* a position that does not come within the call's time */
    request = whole;
    request.min_position += 1000;
    const struct rpc_client_options options = {.timeout_us = CLOCK_SECOND / 2};
    rpc_stream *stream;
    ProtobufCMessage *part;
    error err = {0};
    cr_assert(rpc_stream_open(suite_channel(d.suite, SUITE_REPORT, 0),
                              &casework__report__v1__report_service__descriptor, "ExportEngagements",
                              &options, &stream, &err));
    cr_assert(rpc_stream_write(stream, &request.base));
    rpc_stream_close_send(stream);
    cr_assert_eq(rpc_stream_read(stream, 20 * CLOCK_SECOND, d.memory, &part, &err), RPC_READ_FAILED);
    cr_expect_eq(err.code, STATUS_DEADLINE_EXCEEDED);
    rpc_stream_free(stream);
    shop_end(&d);
}

/* --- the command -----------------------------------------------------------------------------------------
 */

static char *content(const char *path)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    char *text = NULL;
    size_t size = 0;
    cr_assert_geq(getdelim(&text, &size, '\0', file), 0);
    fclose(file);
    return text;
}

Test(export, the_command_leaves_a_whole_file_or_none)
{
    struct shop d = shop_begin("UTC", NULL);
    shop_write(&d, shop_case(&d), "ann");
    export_request request = export_ask(&d, EXPORT_CSV);
    bytes file = export_file(&d, &request);
    const char *csv = arena_printf(d.memory, "%s/table.csv", suite_directory(d.suite));
    const char *svg = arena_printf(d.memory, "%s/chart.svg", suite_directory(d.suite));
    cr_assert_eq(
        suite_run(d.suite, (const char *const[]){"report", "engagements", "acme", "--csv", csv, NULL}, NULL),
        0);
    char *text = content(csv);
    cr_expect_str_eq(text, bytes_text(&file));
    free(text);
    cr_expect_eq(suite_run(d.suite,
                           (const char *const[]){"report", "engagements", "nobody", "--csv", csv, NULL},
                           NULL),
                 1);
    text = content(csv);
    cr_expect_str_eq(text, bytes_text(&file), "what was there stays");
    free(text);
    cr_assert_eq(
        suite_run(d.suite, (const char *const[]){"report", "activity", "acme", "--svg", svg, NULL}, NULL), 0);
    text = content(svg);
    cr_expect_not_null(strstr(text, "</svg>"));
    free(text);
    cr_expect_eq(suite_run(d.suite, (const char *const[]){"report", "activity", "acme", "--svg", NULL}, NULL),
                 2);
    bytes_release(&file);
    shop_end(&d);
}
