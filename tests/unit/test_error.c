/* base/error.h */

#include "base/error.h"

#include <criterion/criterion.h>
#include <string.h>

Test(error, is_filled_whole)
{
    error err;
    memset(&err, 0xff, sizeof err);
    cr_assert_not(error_set(&err, STATUS_NOT_FOUND, "CASE_NOT_FOUND", "no case %d", 5));
    cr_assert_eq(err.code, STATUS_NOT_FOUND);
    cr_assert_str_eq(err.reason, "CASE_NOT_FOUND");
    cr_assert_str_eq(err.message, "no case 5");
    cr_assert_str_eq(err.detail, "");
    cr_assert_eq(err.info_count + err.violation_count, 0);
    cr_assert_not(error_set(NULL, STATUS_NOT_FOUND, "", "nobody listens"));
}

Test(error, field_violations)
{
    error err;
    cr_assert_not(error_bad_field(&err, "case.subject", "longer than %d bytes", 998));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    cr_assert_eq(err.violation_count, 1);
    cr_assert_str_eq(err.violations[0].key, "case.subject");
    cr_assert_str_eq(err.violations[0].value, "longer than 998 bytes");
}

Test(error, info_is_bounded)
{
    error err;
    error_set(&err, STATUS_FAILED_PRECONDITION, "CASE_LOCKED", "locked");
    for (int i = 0; i < 10; i++)
        error_add_info(&err, "holder", "ann");
    error_add_detail(&err, "%s", "for us");
    cr_assert_eq(err.info_count, ERROR_INFO_MAX);
    cr_assert_str_eq(err.info[3].value, "ann");
    cr_assert_str_eq(err.detail, "for us");
}

Test(error, long_texts_are_cut_between_characters)
{
    char text[600];
    error err;
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "é", 2);
    text[598] = '\0';
    error_set(&err, STATUS_INTERNAL, "", "x%s", text);
    size_t length = strlen(err.message);
    cr_assert_lt(length, sizeof err.message);
    cr_assert_eq(length % 2, 1, "half a character at the end");
}

Test(error, names)
{
    cr_assert_str_eq(status_code_name(STATUS_OK), "OK");
    cr_assert_str_eq(status_code_name(STATUS_UNAUTHENTICATED), "UNAUTHENTICATED");
    cr_assert_str_eq(status_code_name((enum status_code)99), "UNKNOWN");
}
