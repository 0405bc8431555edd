/* The lines of exports: CSV cell by cell, JSON, messages. */

#include "base/clock.h"
#include "report/report_export_row.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void expect_cell(const char *text, const char *expected)
{
    bytes to;
    bytes_init(&to, 1 << 20);
    report_file_cell(&to, text);
    cr_expect_str_eq(bytes_text(&to), expected);
    bytes_release(&to);
}

Test(report_export, cells_are_quoted_where_need_be)
{
    expect_cell("", "");
    expect_cell("plain text", "plain text");
    expect_cell("a,b", "\"a,b\"");
    expect_cell("a;b", "\"a;b\"");
    expect_cell("say \"hi\"", "\"say \"\"hi\"\"\"");
    expect_cell("\"", "\"\"\"\"");
    expect_cell("two\r\nlines", "\"two\r\nlines\"");
    expect_cell("two\nlines", "\"two\nlines\"");
    expect_cell("Zo\xc3\xab \xf0\x9f\x98\x80", "Zo\xc3\xab \xf0\x9f\x98\x80");
    expect_cell("it's 'so'", "it's 'so'");
}

Test(report_export, formulas_are_marked)
{
    expect_cell("=1+1", "'=1+1");
    expect_cell("+31 20 555", "'+31 20 555");
    expect_cell("-1", "'-1");
    expect_cell("@SUM(A1)", "'@SUM(A1)");
    expect_cell("\t=1", "\"'\t=1\"");
    expect_cell("\r=1", "\"'\r=1\"");
    expect_cell("\n=1", "\"'\n=1\"");
    expect_cell("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"");
    expect_cell("\xef\xbc\x9d"
                "1",
                "'\xef\xbc\x9d"
                "1");
    expect_cell("\xef\xbc\x8b"
                "1",
                "'\xef\xbc\x8b"
                "1");
    expect_cell("\xef\xbc\x8d"
                "1",
                "'\xef\xbc\x8d"
                "1");
    expect_cell("\xef\xbc\xa0"
                "1",
                "'\xef\xbc\xa0"
                "1");
    expect_cell("1=1", "1=1"); /* only at the beginning */
    expect_cell(" =1", " =1");
}

Test(report_export, a_long_cell_is_whole)
{
    enum { LENGTH = 300000 };
    char *text = malloc(LENGTH + 1);
    memset(text, '"', LENGTH);
    text[LENGTH] = '\0';
    bytes to;
    bytes_init(&to, 1 << 20);
    report_file_cell(&to, text);
    cr_expect_not(to.failed);
    cr_expect_eq(to.length, (size_t)2 * LENGTH + 2);
    bytes_release(&to);
    free(text);
}

static const char *agents[] = {"ann", "bob"};
static const char *groups[] = {"=topic", "a:b;c\\d"};
static const char *values[] = {"Repair", "\"x\""};

static struct report_table_row row_of_two(void)
{
    struct report_table_row row = {
        .case_id = 42,
        .engagement = {.facts = {.status = REPORT_STATUS_CLOSED,
                                 .network = "@net",
                                 .channel_address = "+31,20",
                                 .class_groups = {groups, 2},
                                 .class_values = {values, 2}},
                       .closed = REPORT_NOT_CLOSED,
                       .first_reply = 90 * CLOCK_SECOND + 50000,
                       .resolution = CLOCK_HOUR + 1,
                       .interactions = 3,
                       .agents = {agents, 2},
                       .last_agent = "bob",
                       .nps_sent = true},
    };
    cr_assert(clock_parse("2026-03-02T09:00:00.25Z", &row.engagement.opened));
    return row;
}

Test(report_export, a_row_of_csv_has_every_column)
{
    struct report_table_row row = row_of_two();
    bytes to;
    bytes_init(&to, 1 << 20);
    const struct report_file file = {.format = REPORT_FORMAT_CSV, .to = &to};
    report_file_head(&file);
    report_file_begin_row(&file, "acme", &row);
    report_file_end_row(&file);
    cr_expect_str_eq(bytes_text(&to),
                     "case,channel_address,network,open_time,close_time,last_agent,first_reply_duration,"
                     "resolution_duration,agents,agents_involved,agent_interactions,nps_sent,state,"
                     "classifications\r\n"
                     "accounts/acme/cases/42,\"'+31,20\",'@net,2026-03-02T09:00:00.250Z,,"
                     "accounts/acme/agents/bob,90.05,3600.000001,"
                     "\"accounts/acme/agents/ann;accounts/acme/agents/bob\",2,3,true,CASE_STATUS_CLOSED,"
                     "\"'=topic: Repair; a\\:b\\;c\\\\d: \"\"x\"\"\"\r\n");
    bytes_release(&to);
}

static Casework__Cases__V1__Message nasty_message(void)
{
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    message.name = (char *)"accounts/acme/cases/42/messages/1";
    message.number = 1;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.author = (char *)"accounts/acme/contacts/zoe";
    message.body = (char *)"=1+1,\"quoted\"\r\nnext\tline \\ \x01 \xe2\x80\xa8 end";
    return message;
}

Test(report_export, a_row_of_json_is_an_object_with_every_field)
{
    struct report_table_row row = row_of_two();
    Casework__Cases__V1__Message message = nasty_message();
    bytes to, scratch;
    bytes_init(&to, 1 << 20);
    bytes_init(&scratch, 1 << 20);
    const struct report_file file = {.format = REPORT_FORMAT_JSON_LINES, .with_messages = true, .to = &to};
    report_file_head(&file);
    report_file_begin_row(&file, "acme", &row);
    report_file_message(&file, &message, true, &scratch);
    report_file_message(&file, &message, false, &scratch);
    report_file_end_row(&file);
    cr_expect_eq(strchr(bytes_text(&to), '\n'), bytes_text(&to) + to.length - 1, "one line");
    json_error_t why;
    json_t *object = json_loads(bytes_text(&to), JSON_REJECT_DUPLICATES, &why);
    cr_assert_not_null(object, "%s", why.text);
    cr_expect_eq(json_object_size(object), 15);
    cr_expect_str_eq(json_string_value(json_object_get(object, "channel_address")), "+31,20");
    cr_expect(json_is_null(json_object_get(object, "close_time")));
    cr_expect_float_eq(json_number_value(json_object_get(object, "first_reply_duration")), 90.05, 1e-9);
    cr_expect_eq(json_array_size(json_object_get(object, "agents")), 2);
    json_t *class = json_array_get(json_object_get(object, "classifications"), 1);
    cr_expect_str_eq(json_string_value(json_object_get(class, "group")), groups[1]);
    json_t *messages = json_object_get(object, "messages");
    cr_assert_eq(json_array_size(messages), 2);
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(messages, 1), "body")), message.body);
    json_decref(object);
    bytes_release(&to);
    bytes_release(&scratch);
}
