/* Who gets in, and what bad input gets: its code, and nothing else happens. */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "google/protobuf/empty.pb-c.h"
#include "tests/support/suite.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MEMORY = 16 * 1024 * 1024 };

#define CASES &casework__cases__v1__case_service__descriptor

/* --- one call, and the code it gets --- */

static enum status_code call_for(rpc_channel *channel, const char *agent,
                                 const ProtobufCServiceDescriptor *service, const char *method,
                                 const void *request, error *ret_err)
{
    const struct rpc_client_options options = {
        .timeout_us = 20 * CLOCK_SECOND, .no_retry = true, .agent = agent};
    ProtobufCMessage *response;
    arena *memory = arena_new(MEMORY);
    *ret_err = (error){0};
    bool good = rpc_client_call(channel, service, method, request, &options, memory, &response, ret_err);
    arena_free(memory);
    return good ? STATUS_OK : ret_err->code;
}

static enum status_code call(rpc_channel *channel, const ProtobufCServiceDescriptor *service,
                             const char *method, const void *request, error *ret_err)
{
    return call_for(channel, NULL, service, method, request, ret_err);
}

/* Reads one thing of the account from each of the four services. */
static enum status_code read_something(suite *s, enum suite_service service, const char *token,
                                       const char *account, error *ret_err)
{
    Casework__Cases__V1__GetAccountRequest get = CASEWORK__CASES__V1__GET_ACCOUNT_REQUEST__INIT;
    Casework__Search__V1__SearchCasesRequest search = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    Casework__Sla__V1__ListTimersRequest timers = CASEWORK__SLA__V1__LIST_TIMERS_REQUEST__INIT;
    Casework__Report__V1__GetCaseActivityRequest activity =
        CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    const struct {
        const ProtobufCServiceDescriptor *descriptor;
        const char *method;
        const void *request;
    } reads[SUITE_SERVICES] = {
        {&casework__cases__v1__account_service__descriptor, "GetAccount", &get},
        {&casework__search__v1__search_service__descriptor, "SearchCases", &search},
        {&casework__sla__v1__sla_service__descriptor, "ListTimers", &timers},
        {&casework__report__v1__report_service__descriptor, "GetCaseActivity", &activity},
    };
    get.name = search.parent = timers.parent = activity.parent = (char *)account;
    search.query = (char *)"secret";
    rpc_channel *channel = suite_channel_as(s, service, token);
    enum status_code code =
        call(channel, reads[service].descriptor, reads[service].method, reads[service].request, ret_err);
    rpc_channel_free(channel);
    return code;
}

static void expect_everywhere(suite *s, const char *token, const char *account, enum status_code code)
{
    for (enum suite_service service = SUITE_CASE; service < SUITE_SERVICES; service++) {
        error err;
        enum status_code got = read_something(s, service, token, account, &err);
        cr_expect_eq(got, code, "service %d, %s: %s instead of %s (%s)", service, account,
                     status_code_name(got), status_code_name(code), err.message);
    }
}

/* --- tokens --- */

static char *with_changed_end(const char *token)
{
    char *changed = strdup(token);
    size_t at = strlen(changed) - 10;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    return changed;
}

static char *foreign_token(const struct rpc_token_claims *claims)
{
    char directory[] = "/tmp/casework-keys-XXXXXX", path[64];
    char *token = NULL;
    error err;
    cr_assert_not_null(mkdtemp(directory));
    cr_assert(rpc_keys_generate(directory, &err) && rpc_token_make(directory, claims, &token, &err));
    snprintf(path, sizeof path, "%s/casework.secret", directory);
    unlink(path);
    rmdir(directory);
    return token;
}

Test(security, only_a_good_token_of_the_account_gets_in)
{
    suite *s = suite_start(NULL);
    arena *memory = arena_new(MEMORY);
    const struct rpc_token_claims ours = {
        .account = "acme", .role = RPC_ROLE_AGENT, .agent = "ann", .ttl_us = CLOCK_HOUR};
    struct rpc_token_claims expired = ours, everywhere = ours;
    const char *account = suite_create_account(s, "acme", "UTC", memory);
    const char *other = suite_create_account(s, "other", "UTC", memory);
    suite_create_agent(s, account, "ann");
    expired.ttl_us = -CLOCK_HOUR;
    everywhere.account = "*"; /* only platform services are let into all accounts */
    char *good = suite_token(s, &ours), *late = suite_token(s, &expired), *star = suite_token(s, &everywhere);
    char *forged = foreign_token(&ours), *changed = with_changed_end(good);
    /* {"alg":"none","typ":"JWT"} . {"sub":"x","account":"*","role":"service","exp":4102444800} . */
    const char *unsigned_token =
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0."
        "eyJzdWIiOiJ4IiwiYWNjb3VudCI6IioiLCJyb2xlIjoic2VydmljZSIsImV4cCI6NDEwMjQ0NDgwMH0.";
    suite_advance(s, 0);

    expect_everywhere(s, good, account, STATUS_OK);
    expect_everywhere(s, NULL, account, STATUS_UNAUTHENTICATED);
    expect_everywhere(s, "not.a.token", account, STATUS_UNAUTHENTICATED);
    expect_everywhere(s, late, account, STATUS_UNAUTHENTICATED);
    expect_everywhere(s, forged, account, STATUS_UNAUTHENTICATED);
    expect_everywhere(s, changed, account, STATUS_UNAUTHENTICATED);
    expect_everywhere(s, unsigned_token, account, STATUS_UNAUTHENTICATED);
    expect_everywhere(s, star, account, STATUS_UNAUTHENTICATED);
    expect_everywhere(s, good, other, STATUS_NOT_FOUND);
    free(good);
    free(late);
    free(star);
    free(forged);
    free(changed);
    arena_free(memory);
    suite_stop(s);
}

/* Another account's resource and one that is nowhere must not be told apart. */
static void expect_same_refusal(suite *s, const char *token, const char *theirs, const char *nowhere)
{
    for (enum suite_service service = SUITE_CASE; service < SUITE_SERVICES; service++) {
        error one, two;
        cr_expect_eq(read_something(s, service, token, theirs, &one), STATUS_NOT_FOUND);
        cr_expect_eq(read_something(s, service, token, nowhere, &two), STATUS_NOT_FOUND);
        cr_expect_str_eq(one.reason, two.reason, "service %d", service);
        cr_expect_eq(strlen(one.message), strlen(two.message), "service %d: \"%s\" and \"%s\"", service,
                     one.message, two.message);
    }
}

Test(security, another_account_looks_like_none)
{
    suite *s = suite_start(NULL);
    arena *memory = arena_new(MEMORY);
    const struct rpc_token_claims ours = {
        .account = "acme", .role = RPC_ROLE_ADMIN, .agent = "ann", .ttl_us = CLOCK_HOUR};
    suite_create_agent(s, suite_create_account(s, "acme", "UTC", memory), "ann");
    const char *theirs = suite_create_account(s, "other", "UTC", memory);
    const char *their_case = suite_create_case(s, theirs, "secret", "secret", memory, NULL);
    char *token = suite_token(s, &ours);
    suite_advance(s, 0);

    expect_same_refusal(s, token, theirs, "accounts/never");
    Casework__Cases__V1__DeleteCaseRequest request = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
    error err;
    rpc_channel *channel = suite_channel_as(s, SUITE_CASE, token);
    request.name = (char *)their_case;
    cr_expect_eq(call(channel, CASES, "DeleteCase", &request, &err), STATUS_NOT_FOUND);
    cr_expect_eq(suite_case(s, their_case, memory)->status,
                 CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_NEW);
    rpc_channel_free(channel);
    free(token);
    arena_free(memory);
    suite_stop(s);
}

Test(security, roles_bound_what_may_be_done)
{
    suite *s = suite_start(NULL);
    arena *memory = arena_new(MEMORY);
    const struct rpc_token_claims agent = {
        .account = "acme", .role = RPC_ROLE_AGENT, .agent = "ann", .ttl_us = CLOCK_HOUR};
    const char *account = suite_create_account(s, "acme", "UTC", memory);
    suite_create_agent(s, account, "ann");
    const char *name = suite_create_case(s, account, "Subject", "Body", memory, NULL);
    Casework__Cases__V1__CloseCaseRequest close = CASEWORK__CASES__V1__CLOSE_CASE_REQUEST__INIT;
    Casework__Cases__V1__CreateAccountRequest create = CASEWORK__CASES__V1__CREATE_ACCOUNT_REQUEST__INIT;
    Casework__Cases__V1__GetPositionRequest feed = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    error err;
    char *token = suite_token(s, &agent);
    rpc_channel *channel = suite_channel_as(s, SUITE_CASE, token);
    close.name = (char *)name;
    close.rule = CASEWORK__CASES__V1__DUE_RULE__DUE_RULE_RESOLVED;
    create.account_id = (char *)"mine";
    feed.parent = (char *)account;
    cr_expect_eq(call(channel, CASES, "CloseCase", &close, &err), STATUS_PERMISSION_DENIED);
    cr_expect_eq(
        call(channel, &casework__cases__v1__account_service__descriptor, "CreateAccount", &create, &err),
        STATUS_PERMISSION_DENIED);
    cr_expect_eq(call(channel, &casework__cases__v1__event_service__descriptor, "GetPosition", &feed, &err),
                 STATUS_PERMISSION_DENIED);
    rpc_channel_free(channel);
    free(token);
    arena_free(memory);
    suite_stop(s);
}

Test(security, a_service_acting_for_an_agent_has_that_agents_rights)
{
    suite *s = suite_start(NULL);
    arena *memory = arena_new(MEMORY);
    const char *account = suite_create_account(s, "acme", "UTC", memory);
    suite_create_agent(s, account, "ann");
    Casework__Cases__V1__GetAccountRequest get = CASEWORK__CASES__V1__GET_ACCOUNT_REQUEST__INIT;
    Casework__Cases__V1__GetPositionRequest feed = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    Casework__Sla__V1__SlaPolicy policy = CASEWORK__SLA__V1__SLA_POLICY__INIT;
    Casework__Sla__V1__UpdatePolicyRequest update = CASEWORK__SLA__V1__UPDATE_POLICY_REQUEST__INIT;
    error err;
    get.name = feed.parent = (char *)account;
    policy.name = (char *)"accounts/acme/slaPolicy";
    update.policy = &policy;
    rpc_channel *cases = suite_channel(s, SUITE_CASE, 0);
    rpc_channel *sla = suite_channel(s, SUITE_SLA, 0);
    cr_expect_eq(
        call_for(cases, "ann", &casework__cases__v1__account_service__descriptor, "GetAccount", &get, &err),
        STATUS_OK);
    cr_expect_eq(
        call_for(cases, "ann", &casework__cases__v1__event_service__descriptor, "GetPosition", &feed, &err),
        STATUS_PERMISSION_DENIED);
    cr_expect_eq(
        call_for(sla, "ann", &casework__sla__v1__sla_service__descriptor, "UpdatePolicy", &update, &err),
        STATUS_PERMISSION_DENIED);
    cr_expect_str_eq(err.reason, "NOT_AN_ADMIN");
    arena_free(memory);
    suite_stop(s);
}

/* The stream has something, and of that account only. */
static void expect_stream_of(rpc_channel *channel, const char *parent, const char *account, arena *memory)
{
    const struct rpc_client_options options = {.timeout_us = 20 * CLOCK_SECOND, .no_retry = true};
    Casework__Cases__V1__StreamEventsRequest request = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    bool caught_up = false;
    size_t count = 0;
    rpc_stream *stream;
    error err;
    request.parent = (char *)parent;
    cr_assert(rpc_stream_open(channel, &casework__cases__v1__event_service__descriptor, "StreamEvents",
                              &options, &stream, &err));
    cr_assert(rpc_stream_write(stream, &request.base));
    rpc_stream_close_send(stream);
    while (!caught_up) {
        ProtobufCMessage *message;
        cr_assert_eq(rpc_stream_read(stream, 20 * CLOCK_SECOND, memory, &message, &err), RPC_READ_MESSAGE);
        const Casework__Cases__V1__StreamEventsResponse *response = (const void *)message;
        for (size_t i = 0; i < response->n_events; i++, count++)
            cr_expect_str_eq(response->events[i]->account, account);
        caught_up = response->caught_up;
    }
    cr_expect_gt(count, 0);
    rpc_stream_free(stream);
}

Test(security, a_service_of_one_account_hears_of_that_one)
{
    suite *s = suite_start(NULL);
    arena *memory = arena_new(MEMORY);
    const struct rpc_token_claims service = {
        .account = "acme", .role = RPC_ROLE_SERVICE, .ttl_us = CLOCK_HOUR};
    const char *account = suite_create_account(s, "acme", "UTC", memory);
    const char *other = suite_create_account(s, "other", "UTC", memory);
    Casework__Cases__V1__GetPositionRequest feed = CASEWORK__CASES__V1__GET_POSITION_REQUEST__INIT;
    error err;
    char *token = suite_token(s, &service);
    rpc_channel *channel = suite_channel_as(s, SUITE_CASE, token);
    expect_stream_of(channel, "", account, memory);
    expect_stream_of(channel, "accounts/-", account, memory);
    expect_stream_of(channel, account, account, memory);
    feed.parent = (char *)other;
    cr_expect_eq(call(channel, &casework__cases__v1__event_service__descriptor, "GetPosition", &feed, &err),
                 STATUS_NOT_FOUND);
    rpc_channel_free(channel);
    free(token);
    arena_free(memory);
    suite_stop(s);
}

/* --- bad input --- */

/* Any bytes as a request: what a message does not know is sent as it is. The first byte is the tag's. */
static enum status_code send_bytes(suite *s, const ProtobufCServiceDescriptor *service, const char *method,
                                   const void *bytes, size_t length, error *ret_err)
{
    const unsigned char *data = bytes;
    ProtobufCMessageUnknownField rest = {.tag = data[0] >> 3u,
                                         .wire_type = (ProtobufCWireType)(data[0] & 7u),
                                         .len = length - 1,
                                         .data = (uint8_t *)data + 1};
    Google__Protobuf__Empty message = GOOGLE__PROTOBUF__EMPTY__INIT;
    message.base.n_unknown_fields = 1;
    message.base.unknown_fields = &rest;
    return call(suite_channel(s, SUITE_CASE, 0), service, method, &message, ret_err);
}

static void expect_invalid(suite *s, const char *method, const void *bytes, size_t length)
{
    error err;
    enum status_code code = send_bytes(s, CASES, method, bytes, length, &err);
    cr_expect_eq(code, STATUS_INVALID_ARGUMENT, "%s, %zu bytes: %s (%s)", method, length,
                 status_code_name(code), err.message);
}

/* "accounts/acme" with something in it that is no text. */
static void expect_text_refused(suite *s, const void *bad, size_t length)
{
    unsigned char bytes[64] = {10};
    bytes[1] = (unsigned char)(13 + length);
    memcpy(bytes + 2, "accounts/acme", 13);
    memcpy(bytes + 15, bad, length);
    expect_invalid(s, "GetCase", bytes, 15 + length);
}

/* A service as a client with another contract would see it. */
static enum status_code call_unknown(suite *s, const char *service_name, const char *method_name,
                                     error *ret_err)
{
    const ProtobufCMethodDescriptor methods[] = {
        {method_name, &google__protobuf__empty__descriptor, &google__protobuf__empty__descriptor}};
    const unsigned by_name[] = {0};
    const ProtobufCServiceDescriptor service = {.magic = PROTOBUF_C__SERVICE_DESCRIPTOR_MAGIC,
                                                .name = service_name,
                                                .short_name = service_name,
                                                .c_name = service_name,
                                                .package = "",
                                                .n_methods = 1,
                                                .methods = methods,
                                                .method_indices_by_name = by_name};
    Google__Protobuf__Empty request = GOOGLE__PROTOBUF__EMPTY__INIT;
    return call(suite_channel(s, SUITE_CASE, 0), &service, method_name, &request, ret_err);
}

static void send_bad_bytes(suite *s)
{
    static const unsigned char nested[] = {18, 4, 18, 10, 'x', 'x'}; /* longer inside than outside */
    expect_invalid(s, "GetCase", "\x0a\xff\xff\xff\xff\x0f", 6);     /* a length of 4 GB */
    expect_invalid(s, "GetCase", "\x0a\x20short", 7);                /* shorter than it says */
    expect_invalid(s, "CreateCase", nested, sizeof nested);
    expect_invalid(s, "GetCase", "\x0f\x01", 2); /* wire type 7 does not exist */
    expect_text_refused(s, "\xff\xfe", 2);
    expect_text_refused(s, "\xc0\x80", 2);         /* NUL in two bytes */
    expect_text_refused(s, "\xed\xa0\x80", 3);     /* half of a surrogate pair */
    expect_text_refused(s, "\xf5\x80\x80\x80", 4); /* beyond Unicode */
    expect_text_refused(s, "\0/cases/1", 9);
}

/* Messages in messages, far beyond what anybody means: as a case's unknown fields, and as groups. */
static void send_deep_bytes(suite *s)
{
    enum { LEVELS = 20000, HEAD_MAX = 5 };
    size_t size = LEVELS * (HEAD_MAX + 1), at = size;
    unsigned char *bytes = malloc(size);
    for (int level = 0; level < LEVELS; level++) {
        unsigned char head[HEAD_MAX + 1] = {18}; /* CreateCaseRequest.case, and so on all the way down */
        size_t length = 1;
        for (size_t inner = size - at; inner > 0 || length == 1; inner >>= 7)
            head[length++] = (unsigned char)((inner & 0x7f) | (inner > 0x7f ? 0x80 : 0));
        at -= length;
        memcpy(bytes + at, head, length);
    }
    expect_invalid(s, "CreateCase", bytes + at, size - at);
    memset(bytes, 3 << 3 | 3, size); /* the beginning of a group, again and again */
    expect_invalid(s, "CreateCase", bytes, size);
    free(bytes);
}

/* A good request that ends too early, wherever that may be. */
static void send_truncated(suite *s, const char *account)
{
    unsigned char bytes[512];
    char channel[64];
    Casework__Cases__V1__Case the_case = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    snprintf(channel, sizeof channel, "%s/channels/desk", account);
    request.parent = (char *)(uintptr_t)account;
    request.case_ = &the_case;
    the_case.channel = channel;
    size_t without = casework__cases__v1__create_case_request__get_packed_size(&request);
    request.first_message = &message;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.body = (char *)(uintptr_t) "It does not print.";
    size_t length = casework__cases__v1__create_case_request__pack(&request, bytes);
    cr_assert_leq(length, sizeof bytes);
    for (size_t cut = 1; cut < length; cut++) {
        if (cut != without) /* a case without a message is one */
            expect_invalid(s, "CreateCase", bytes, cut);
    }
}

static void send_too_much(suite *s, const char *account)
{
    enum { HUGE_SIZE = 6 * 1024 * 1024, LARGE_SIZE = 2 * 1024 * 1024 };
    Casework__Cases__V1__Case the_case = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    char channel[64];
    error err;
    char *body = malloc(HUGE_SIZE + 1);
    snprintf(channel, sizeof channel, "%s/channels/desk", account);
    memset(body, 'x', HUGE_SIZE);
    body[HUGE_SIZE] = '\0';
    request.parent = (char *)account;
    request.case_ = &the_case;
    the_case.channel = channel;
    request.first_message = &message;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.body = body;
    cr_expect_eq(call(suite_channel(s, SUITE_CASE, 0), CASES, "CreateCase", &request, &err),
                 STATUS_RESOURCE_EXHAUSTED, "more than a message may have: %s", err.message);
    body[LARGE_SIZE] = '\0';
    cr_expect_eq(call(suite_channel(s, SUITE_CASE, 0), CASES, "CreateCase", &request, &err),
                 STATUS_INVALID_ARGUMENT, "more than a body may have: %s", err.message);
    free(body);
}

Test(security, bad_input_gets_its_code_and_the_service_goes_on)
{
    suite *s = suite_start(NULL);
    arena *memory = arena_new(MEMORY);
    const char *account = suite_create_account(s, "acme", "UTC", memory);
    pid_t before = suite_pid(s, SUITE_CASE, 0);
    int64_t position = suite_position(s, account);
    error err;
    send_bad_bytes(s);
    send_deep_bytes(s);
    send_truncated(s, account);
    send_too_much(s, account);
    cr_expect_eq(call_unknown(s, "casework.cases.v1.CaseService", "StealCase", &err), STATUS_UNIMPLEMENTED);
    cr_expect_eq(call_unknown(s, "casework.cases.v1.NoService", "GetCase", &err), STATUS_UNIMPLEMENTED);
    cr_expect_eq(call_unknown(s, "", "", &err), STATUS_UNIMPLEMENTED);

    cr_expect_eq(suite_position(s, account), position, "bad input has changed something");
    suite_create_case(s, account, "Robert'); DROP TABLE cases;--", "=cmd|' /C calc'!A0", memory, NULL);
    cr_expect_gt(suite_position(s, account), position);
    cr_expect_eq(suite_pid(s, SUITE_CASE, 0), before, "the case service was started again");
    arena_free(memory);
    suite_stop(s);
}
