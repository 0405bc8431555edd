/* rpc/wire.h */

#include "google/rpc/status.pb-c.h"
#include "grpc/testing/messages.pb-c.h"
#include "rpc/utf8.h"
#include "rpc/wire.h"

#include <criterion/criterion.h>
#include <string.h>

#define SIMPLE &grpc__testing__simple_request__descriptor

static arena *memory;

static void make_memory(void)
{
    memory = arena_new(1 << 20);
}

static void free_memory(void)
{
    arena_free(memory);
}

TestSuite(rpc_wire, .init = make_memory, .fini = free_memory);

Test(rpc_wire, a_message_goes_both_ways)
{
    Grpc__Testing__EchoStatus status = GRPC__TESTING__ECHO_STATUS__INIT;
    Grpc__Testing__SimpleRequest request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    unsigned char data[256];
    status.code = 7;
    status.message = (char *)(uintptr_t) "Grüße, 世界 😈";
    request.response_status = &status;
    request.response_size = -3;
    size_t length = grpc__testing__simple_request__pack(&request, data);
    ProtobufCMessage *message;
    error err;
    cr_assert(wire_check_text(&request.base, &err));
    cr_assert(wire_unpack(SIMPLE, data, length, memory, &message, &err), "%s", err.message);
    const Grpc__Testing__SimpleRequest *back = (const void *)message;
    cr_assert_eq(back->response_size, -3);
    cr_assert_str_eq(back->response_status->message, status.message);
}

static void expect_bad(const void *data, size_t length, const char *field)
{
    ProtobufCMessage *message = NULL;
    error err = {.code = STATUS_OK};
    cr_assert_not(wire_unpack(SIMPLE, data, length, memory, &message, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    cr_assert_eq(err.violation_count, field ? 1 : 0);
    if (field)
        cr_assert_str_eq(err.violations[0].key, field);
}

Test(rpc_wire, what_is_no_message_is_refused)
{
    expect_bad("\x3a\x05\x12", 3, NULL);                                          /* longer than the bytes */
    expect_bad("\x10", 1, NULL);                                                  /* a tag without a value */
    expect_bad("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13, NULL); /* a varint without end */
    expect_bad("\x03\x04", 2, NULL);                                              /* groups */
    expect_bad("\x00\x00", 2, NULL);                                              /* field 0 */
    expect_bad("\x0f\x01", 2, NULL);                                              /* wire type 7 */
    expect_bad("\x3a\x04\x12\x02\xc3\x28", 6, "response_status.message");         /* no UTF-8 */
    expect_bad("\x3a\x05\x12\x03\xed\xa0\x80", 7, "response_status.message");     /* a surrogate */
    expect_bad("\x3a\x04\x12\x02\xc0\x80", 6, "response_status.message");         /* overlong */
    expect_bad("\x3a\x05\x12\x03\x61\x00\x62", 7, "response_status.message");     /* NUL */
}

Test(rpc_wire, a_full_arena_is_not_the_senders_fault_of_form)
{
    arena *small = arena_new(64);
    ProtobufCMessage *message;
    error err;
    cr_assert_not(wire_unpack(SIMPLE, "\x3a\x02\x08\x07", 4, small, &message, &err));
    cr_assert_eq(err.code, STATUS_RESOURCE_EXHAUSTED);
    arena_free(small);
}

Test(rpc_wire, unknown_fields_are_passed_over)
{
    ProtobufCMessage *message;
    error err;
    cr_assert(wire_unpack(SIMPLE, "\xfa\x7f\x03\xff\xff\xff\x10\x05", 8, memory, &message, &err), "%s",
              err.message);
    cr_assert_eq(((const Grpc__Testing__SimpleRequest *)(const void *)message)->response_size, 5);
}

Test(rpc_wire, text_to_be_sent_is_checked)
{
    Grpc__Testing__EchoStatus status = GRPC__TESTING__ECHO_STATUS__INIT;
    Grpc__Testing__SimpleRequest request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    error err;
    request.response_status = &status;
    status.message = (char *)(uintptr_t) "\xff";
    cr_assert_not(wire_check_text(&request.base, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
}

Test(rpc_wire, utf8_at_every_offset)
{
    char text[40];
    for (size_t at = 0; at < 32; at++) {
        memset(text, 'a', sizeof text);
        cr_assert(utf8_is_text(text, 32));
        memcpy(text + at, "\xc3\xa9", 2);
        cr_assert(utf8_is_text(text, 34));
        text[at + 1] = 'x';
        cr_assert_not(utf8_is_text(text, 34));
        text[at] = '\0';
        cr_assert_not(utf8_is_text(text, 34));
        cr_assert(utf8_is_text(text, at));
    }
}

Test(rpc_wire, times_and_their_ranges)
{
    const int64_t times[] = {1, -1, 1700000000123456, -62135596800000000, 253402300799999999};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        int64_t back;
        cr_assert(wire_time_us(wire_timestamp(memory, times[i]), &back));
        cr_assert_eq(back, times[i]);
    }
    int64_t value = 9;
    cr_assert_null(wire_timestamp(memory, 0));
    cr_assert(wire_time_us(NULL, &value));
    cr_assert_eq(value, 0);
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    time.nanos = -1;
    cr_assert_not(wire_time_us(&time, &value));
    time.nanos = 1000000000;
    cr_assert_not(wire_time_us(&time, &value));
    time.nanos = 0;
    time.seconds = INT64_C(253402300800);
    cr_assert_not(wire_time_us(&time, &value));
}

Test(rpc_wire, a_bound_is_rounded_up)
{
    static const struct {
        int64_t seconds;
        int32_t nanos;
        int64_t bound_us;
    } bounds[] = {
        {1700000000, 123456000, 1700000000123456},
        {1700000000, 123456001, 1700000000123457},
        {1700000000, 999999999, 1700000001000000},
        {-1, 999999999, 1},
        {-1, 999999000, -1},
        {-1, 999998001, -1},
        {0, 0, 1},
        {0, 1, 1},
    };
    int64_t bound_us = 9;
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        time.seconds = bounds[i].seconds;
        time.nanos = bounds[i].nanos;
        cr_assert(wire_bound_us(&time, &bound_us));
        cr_assert_eq(bound_us, bounds[i].bound_us, "%zu: %lld", i, (long long)bound_us);
    }
    Google__Protobuf__Timestamp bad = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    bad.nanos = 1000000000;
    bound_us = 9;
    cr_assert_not(wire_bound_us(&bad, &bound_us));
    cr_assert_eq(bound_us, 9);
    cr_assert(wire_bound_us(NULL, &bound_us));
    cr_assert_eq(bound_us, 0);
}

Test(rpc_wire, durations_and_their_ranges)
{
    int64_t value;
    cr_assert(wire_duration_us(wire_duration(memory, -1500000), &value));
    cr_assert_eq(value, -1500000);
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    duration.nanos = -1;
    cr_assert(wire_duration_us(&duration, &value));
    cr_assert_eq(value, -1, "less than nothing");
    duration.nanos = -1000;
    cr_assert(wire_duration_us(&duration, &value));
    cr_assert_eq(value, -1);
    duration.nanos = 1999;
    cr_assert(wire_duration_us(&duration, &value));
    cr_assert_eq(value, 1);
    duration.seconds = 1;
    duration.nanos = -1;
    cr_assert_not(wire_duration_us(&duration, &value));
    duration.seconds = INT64_C(315576000001);
    duration.nanos = 0;
    cr_assert_not(wire_duration_us(&duration, &value));
}

Test(rpc_wire, a_sealed_token_opens_only_as_it_was_made)
{
    const unsigned char payload[] = {0, 1, 2, 250, 251, 252, 253};
    char *token = wire_token_seal(memory, payload, sizeof payload, "list accounts/a 50");
    void *back;
    size_t length;
    cr_assert(wire_token_open(memory, token, "list accounts/a 50", &back, &length));
    cr_assert_eq(length, sizeof payload);
    cr_assert_arr_eq(back, payload, sizeof payload);
    cr_assert_not(wire_token_open(memory, token, "list accounts/b 50", &back, &length));
    for (size_t i = 0; token[i]; i++) {
        char kept = token[i];
        token[i] = kept == 'A' ? 'B' : 'A';
        cr_assert_not(wire_token_open(memory, token, "list accounts/a 50", &back, &length));
        token[i] = kept;
    }
    cr_assert_not(wire_token_open(memory, "", "", &back, &length));
    cr_assert_not(wire_token_open(memory, "no base64!", "", &back, &length));
    cr_assert(wire_token_open(memory, wire_token_seal(memory, "", 0, ""), "", &back, &length));
    cr_assert_eq(length, 0);
}

Test(rpc_wire, names_match_their_pattern)
{
    const char *parts[2];
    cr_assert(wire_name_parse(memory, "accounts/{}/cases/{}", "accounts/acme/cases/17", parts, 2));
    cr_assert_str_eq(parts[0], "acme");
    cr_assert_str_eq(parts[1], "17");
    cr_assert(wire_name_parse(memory, "accounts/{}", "accounts/-", parts, 1));
    cr_assert_str_eq(parts[0], "-");
    const char *wrong[] = {
        "",          "accounts/",      "accounts/acme/",        "accounts/Acme", "accounts/a b",
        "account/a", "accounts/a/b/c", "accounts/acme\xc3\xa9", "accounts/.a",   "/accounts/a"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_not(wire_name_parse(memory, "accounts/{}", wrong[i], parts, 1), "%s", wrong[i]);
}
