/*
 * Our service as a side of the search benchmark: SearchCases over gRPC with a token, total and matches
 * always. What changes are messages added by the case service.
 *
 *     search_peer_service accounts            prints "ord account partition" of the corpus's accounts
 *     search_peer_service query|mixed … as bench/support/search_peer.h says; PLACE is SEARCH,CASE,KEYS: two
 * targets and the directory of keys
 */

#include "base/clock.h"
#include "bench/support/search_corpus.h"
#include "bench/support/search_peer.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "feed/partition.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARENT = 64, QUERY_MAX = 4096, MEMORY = 64 << 20, WIRE_PAGE_MAX = 990 };

#define TIMEOUT (30 * CLOCK_SECOND)

static rpc_channel *search_channel, *case_channel;
static arena *memory, *change_memory;

static bool failed(const char *what, const error *err)
{
    fprintf(stderr, "service: %s: %s %s\n", what, status_code_name(err->code), err->message);
    return false;
}

static bool connect_one(char *target, const char *keys, rpc_channel **ret_channel)
{
    error err = {.code = STATUS_OK};
    const struct rpc_channel_options options = {.target = target, .key_directory = keys, .subject = "bench"};
    return rpc_channel_new(&options, ret_channel, &err) || failed(target, &err);
}

static bool open_service(const char *place, bool fresh)
{
    char *rest, *copy = strdup(place);
    char *search = copy ? strtok_r(copy, ",", &rest) : NULL;
    char *cases = search ? strtok_r(NULL, ",", &rest) : NULL;
    char *keys = cases ? strtok_r(NULL, ",", &rest) : NULL;
    memory = arena_new(MEMORY);
    change_memory = arena_new(MEMORY);
    bool done = !fresh && keys && memory && change_memory && connect_one(search, keys, &search_channel) &&
                connect_one(cases, keys, &case_channel);
    free(copy);
    return done;
}

static void close_service(void)
{
    rpc_channel_free(search_channel);
    rpc_channel_free(case_channel);
    arena_free(memory);
    arena_free(change_memory);
}

/* --- queries --- */

static void write_query(const struct search_peer_query *from, char text[QUERY_MAX], char parent[PARENT])
{
    char account[SEARCH_CORPUS_ACCOUNT_SIZE];
    size_t at = 0;
    search_corpus_account((int)strtol(from->terms[0], NULL, 10), account);
    snprintf(parent, PARENT, "accounts/%s", account);
    for (size_t i = 0; i < from->term_count && at < QUERY_MAX; i++)
        at += (size_t)snprintf(text + at, QUERY_MAX - at, "%s ", strchr(from->terms[i], ':') + 1);
}

static bool take_results(const Casework__Search__V1__SearchCasesResponse *response,
                         struct search_peer_answer *answer)
{
    for (size_t i = 0; i < response->n_results; i++) {
        const char *number = strrchr(response->results[i]->case_, '/');
        if (!number || answer->count == SEARCH_PEER_LIMIT_MAX)
            return false;
        answer->documents[answer->count++] = strtoll(number + 1, NULL, 10) - 1;
    }
    answer->total = (uint64_t)response->total_size;
    return true;
}

/* More than a page holds is asked for page by page: the far page's cursor. */
static bool query(const struct search_peer_query *from, struct search_peer_answer *ret_answer)
{
    static const char *const orders[] = {[SEARCH_PEER_NEWEST] = "update_time desc",
                                         [SEARCH_PEER_SUBJECT] = "subject",
                                         [SEARCH_PEER_STATUS] = "status"};
    char text[QUERY_MAX], parent[PARENT];
    const struct rpc_client_options options = {.timeout_us = TIMEOUT};
    Google__Protobuf__Timestamp before = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    error err = {.code = STATUS_OK};
    write_query(from, text, parent);
    request.parent = parent;
    request.query = text;
    request.order_by = (char *)orders[from->order];
    size_t limit = from->limit ? from->limit : 1;
    request.page_size = (int32_t)(limit < WIRE_PAGE_MAX ? limit : WIRE_PAGE_MAX);
    if (from->before < INT64_MAX) {
        before.seconds = search_corpus_time_us((uint64_t)from->before) / CLOCK_SECOND;
        request.end_time = &before;
    }
    ret_answer->count = 0;
    do {
        ProtobufCMessage *message;
        if (ret_answer->count == 0)
            arena_clear(memory);
        if (!rpc_client_call(search_channel, &casework__search__v1__search_service__descriptor, "SearchCases",
                             &request.base, &options, memory, &message, &err))
            return failed("SearchCases", &err);
        const Casework__Search__V1__SearchCasesResponse *response = (const void *)message;
        if (!take_results(response, ret_answer))
            return false;
        request.page_token = response->next_page_token;
    } while (ret_answer->count < limit && *request.page_token);
    if (from->limit == 0)
        ret_answer->count = 0;
    return true;
}

static bool ask_health(void)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = TIMEOUT};
    ProtobufCMessage *response;
    error err = {.code = STATUS_OK};
    arena_clear(memory);
    return rpc_client_call(search_channel, &grpc__health__v1__health__descriptor, "Check", &request.base,
                           &options, memory, &response, &err) ||
           failed("Check", &err);
}

/* --- changes --- */

static bool replace(int64_t document, const struct search_peer_case *now)
{
    (void)document;
    char account[SEARCH_CORPUS_ACCOUNT_SIZE], parent[PARENT], request_id[40];
    static int64_t calls;
    ProtobufCMessage *response;
    error err = {.code = STATUS_OK};
    const struct rpc_client_options options = {.timeout_us = TIMEOUT};
    if (!now)
        return true;
    search_corpus_account(now->account, account);
    snprintf(parent, sizeof parent, "accounts/%s/cases/%" PRId64, account, now->number);
    snprintf(request_id, sizeof request_id, "%016" PRIx64 "%016" PRIx64, (uint64_t)clock_real_us(),
             (uint64_t)++calls);
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    message.kind =
        CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER; /* which opens closed cases again */
    message.body = (char *)"Thank you. It prints again, but only every other page.";
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    request.parent = parent;
    request.message = &message;
    request.request_id = request_id;
    arena_clear(change_memory);
    return rpc_client_call(case_channel, &casework__cases__v1__message_service__descriptor, "AddMessage",
                           &request.base, &options, change_memory, &response, &err) ||
           failed("AddMessage", &err);
}

static bool nothing(void)
{
    return true;
}

static int64_t none(void)
{
    return 0;
}

static int print_accounts(void)
{
    for (int i = 0; i <= SEARCH_CORPUS_SMALL_ACCOUNTS; i++) {
        char account[SEARCH_CORPUS_ACCOUNT_SIZE];
        search_corpus_account(i, account);
        printf("%d\t%s\t%d\n", i, account, feed_partition(account));
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct search_peer peer = {.name = "service",
                                     .open = open_service,
                                     .query = query,
                                     .begin = nothing,
                                     .replace = replace,
                                     .commit = nothing,
                                     .index_bytes = none,
                                     .total_bytes = none,
                                     .nothing = ask_health,
                                     .close = close_service};
    if (argc == 2 && strcmp(argv[1], "accounts") == 0)
        return print_accounts();
    if (argc > 1 && (strcmp(argv[1], "query") == 0 || strcmp(argv[1], "mixed") == 0))
        return search_driver_main(&peer, argc, argv);
    fprintf(stderr, "usage: see the head of bench/search_peer_service.c\n");
    return 2;
}
