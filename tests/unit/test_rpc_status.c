/* rpc/status_details.h */

#include "rpc/status_details.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(rpc_status, an_error_comes_back_whole)
{
    error err, back;
    unsigned char data[STATUS_DETAILS_SIZE];
    error_bad_field(&err, "case.subject", "is too long");
    error_add_info(&err, "limit", "998");
    error_add_info(&err, "length", "1200");
    err.retry_after_us = 1500000;
    size_t length = status_details_encode(&err, data);
    cr_assert_gt(length, 0);
    error_set(&back, err.code, "", "%s", err.message);
    status_details_decode(data, length, &back);
    cr_assert_str_eq(back.reason, "INVALID_FIELD");
    cr_assert_eq(back.info_count, 2);
    cr_assert_str_eq(back.info[0].key, "limit");
    cr_assert_str_eq(back.info[0].value, "998");
    cr_assert_eq(back.violation_count, 1);
    cr_assert_str_eq(back.violations[0].key, "case.subject");
    cr_assert_str_eq(back.violations[0].value, "is too long");
    cr_assert_eq(back.retry_after_us, 1500000);
}

Test(rpc_status, the_largest_error_fits)
{
    error err, back;
    unsigned char data[STATUS_DETAILS_SIZE];
    char text[512];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    error_bad_field(&err, text, "%s", text);
    for (int i = 0; i < ERROR_INFO_MAX; i++)
        error_add_info(&err, text, text);
    for (; err.violation_count < ERROR_VIOLATIONS_MAX; err.violation_count++)
        err.violations[err.violation_count] = err.violations[0];
    err.retry_after_us = INT64_C(315576000000000000);
    size_t length = status_details_encode(&err, data);
    error_set(&back, err.code, "", "%s", err.message);
    status_details_decode(data, length, &back);
    cr_assert_eq(back.info_count, ERROR_INFO_MAX);
    cr_assert_eq(back.violation_count, ERROR_VIOLATIONS_MAX);
    cr_assert_eq(back.retry_after_us, err.retry_after_us);
}

Test(rpc_status, no_error_is_without_a_reason)
{
    error err;
    unsigned char data[STATUS_DETAILS_SIZE];
    error_set(&err, STATUS_CANCELLED, "", "gone");
    size_t length = status_details_encode(&err, data);
    status_details_decode("\xff\xff\xff", 3, &err);
    cr_assert_str_eq(err.reason, "");
    status_details_decode(data, length, &err);
    cr_assert_str_eq(err.reason, "CANCELLED");
}

/* What a client is told to wait. */
static int64_t told_to_wait(enum status_code code, const char *reason, int64_t own_us)
{
    error err, back = {.code = code};
    unsigned char data[STATUS_DETAILS_SIZE];
    error_set(&err, code, reason, "a message");
    err.retry_after_us = own_us;
    status_details_decode(data, status_details_encode(&err, data), &back);
    cr_assert_str_eq(back.reason, *reason ? reason : status_code_name(code));
    return back.retry_after_us;
}

Test(rpc_status, where_waiting_helps_the_client_hears_how_long)
{
    cr_assert_gt(told_to_wait(STATUS_UNAVAILABLE, "DATABASE_UNAVAILABLE", 0), 0);
    cr_assert_gt(told_to_wait(STATUS_UNAVAILABLE, "", 0), 0);
    cr_assert_gt(told_to_wait(STATUS_RESOURCE_EXHAUSTED, "BUSY", 0), 0);
    cr_assert_gt(told_to_wait(STATUS_RESOURCE_EXHAUSTED, "SERVER_BUSY", 0), 0);
    cr_assert_gt(told_to_wait(STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS", 0), 0);
    cr_assert_gt(told_to_wait(STATUS_ABORTED, "CONFLICT", 0), 0);
    cr_assert_eq(told_to_wait(STATUS_UNAVAILABLE, "ACCOUNT_BEING_DELETED", 1000000), 1000000);
}

Test(rpc_status, where_waiting_does_not_help_nothing_is_said_of_it)
{
    cr_assert_eq(told_to_wait(STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_TABS", 0), 0);
    cr_assert_eq(told_to_wait(STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", 0), 0);
    cr_assert_eq(told_to_wait(STATUS_RESOURCE_EXHAUSTED, "SLOW_READER", 0), 0);
    cr_assert_eq(told_to_wait(STATUS_ABORTED, "ETAG_MISMATCH", 0), 0);
    cr_assert_eq(told_to_wait(STATUS_ABORTED, "NOT_SETTLED", 0), 0);
    cr_assert_eq(told_to_wait(STATUS_FAILED_PRECONDITION, "CASE_LOCKED", 0), 0);
    cr_assert_eq(told_to_wait(STATUS_INVALID_ARGUMENT, "BUSY", 0), 0);
}
