/* base/log.h: one JSON object a line. */

#include "base/log.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static json_t *last_line(void)
{
    char text[8192];
    FILE *f = cr_get_redirected_stderr();
    size_t length = fread(text, 1, sizeof text - 1, f);
    text[length] = '\0';
    cr_assert_eq(strcspn(text, "\n") + 1, length, "one line");
    json_t *line = json_loads(text, 0, NULL);
    cr_assert_not_null(line, "not JSON: %s", text);
    return line;
}

Test(log, a_line_is_json_whatever_is_in_it)
{
    cr_redirect_stderr();
    log_init("case", LOG_LEVEL_INFO);
    log_debug("not this one");
    log_info("re\"quest\n", LOG_TEXT("rpc.method", "Get\tCase"), LOG_NUMBER("duration_us", -5));
    json_t *line = last_line();
    cr_assert_str_eq(json_string_value(json_object_get(line, "service")), "case");
    cr_assert_str_eq(json_string_value(json_object_get(line, "level")), "info");
    cr_assert_str_eq(json_string_value(json_object_get(line, "msg")), "re\"quest\n");
    cr_assert_str_eq(json_string_value(json_object_get(line, "rpc.method")), "Get\tCase");
    cr_assert_eq(json_integer_value(json_object_get(line, "duration_us")), -5);
    cr_assert_not_null(json_object_get(line, "time"));
    json_decref(line);
}

Test(log, levels)
{
    enum log_level level = LOG_LEVEL_OFF;
    cr_assert(log_level_parse("warn", &level));
    cr_assert_eq(level, LOG_LEVEL_WARN);
    cr_assert_not(log_level_parse("loud", &level));
    cr_assert_eq(level, LOG_LEVEL_WARN);
    log_init("case", LOG_LEVEL_WARN);
    cr_assert_not(log_enabled(LOG_LEVEL_INFO));
    cr_assert(log_enabled(LOG_LEVEL_WARN));
    cr_assert(log_enabled(LOG_LEVEL_ERROR));
}
