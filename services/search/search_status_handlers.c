/* GetIndexStatus. */

#include "search/search_handlers.h"

#include "base/clock.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/page.h"
#include "rpc/wire.h"
#include "search/search_lag.h"
#include "search/search_presence.h"
#include "search/search_rights.h"

#include <stdlib.h>
#include <string.h>

typedef Casework__Search__V1__GetIndexStatusRequest wire_request;
typedef Casework__Search__V1__GetIndexStatusResponse wire_response;
typedef Casework__Search__V1__AccountIndexStatus wire_account;

/* For one call to the case service, of two; and to another shard. */
#define LAG_TIMEOUT CLOCK_SECOND
#define SHARD_TIMEOUT (5 * CLOCK_SECOND)

/* A status being answered, on the handler's stack. */
struct status {
    struct search_service *service;
    rpc_call *call;
    const wire_request *request;
    arena *memory;
    const char *account; /* NULL: all */
    struct rpc_page page;
    struct feed_positions positions;
    wire_response response;
    error err;
};

static wire_account *translate(const struct status *status, const struct search_account_status *account)
{
    wire_account *wire = arena_alloc(status->memory, sizeof *wire);
    if (!wire)
        return NULL;
    casework__search__v1__account_index_status__init(wire);
    wire->account = arena_printf(status->memory, "accounts/%s", account->account);
    wire->indexed_position = search_index_position(status->service->index, account->account);
    wire->cases = (int64_t)account->cases;
    wire->words = (int64_t)account->words;
    wire->postings = (int64_t)account->postings;
    wire->rebuilding = account->rebuilding;
    wire->size_bytes = (int64_t)account->bytes;
    return wire->account ? wire : NULL;
}

static bool out_of_memory(struct status *status)
{
    return error_set(&status->err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the answer does not fit");
}

static bool fill_accounts(struct status *status)
{
    struct search_account_status *accounts;
    size_t count, size = (size_t)status->page.size;
    wire_response *response = &status->response;
    response->accounts = arena_calloc(status->memory, size, sizeof(wire_account *));
    if (!response->accounts)
        return out_of_memory(status);
    if (!search_index_status(status->service->index, status->account, status->memory, &accounts, &count,
                             &status->err))
        return false;
    for (size_t i = 0; i < count; i++) {
        response->total_cases += (int64_t)accounts[i].cases;
        response->total_size_bytes += (int64_t)accounts[i].bytes;
        if (status->page.after && strcmp(accounts[i].account, status->page.key.text) <= 0)
            continue;
        if (response->n_accounts < size) {
            response->accounts[response->n_accounts] = translate(status, &accounts[i]);
            if (!response->accounts[response->n_accounts++])
                return out_of_memory(status);
        } else if (!*response->next_page_token) {
            const struct rpc_page_key key = {.text = accounts[i - 1].account};
            response->next_page_token = rpc_page_seal(status->memory, &status->request->base, NULL, &key);
            if (!response->next_page_token)
                return out_of_memory(status);
        }
    }
    return true;
}

/* In the partitions concerned, by the suite's clock. A case service that does not answer is lag as well. */
static bool fill_lag(struct status *status, int64_t timeout_us)
{
    struct search_lag lag;
    struct search_service *service = status->service;
    uint64_t partitions = service->shards.partitions;
    int64_t age_us;
    if (status->account) { /* what holds back its neighbours does not concern it */
        int partition = feed_partition(status->account);
        partitions = UINT64_C(1) << partition;
        status->positions.at[partition] = search_index_position(service->index, status->account);
    }
    if (search_lag_measure(service->cases, &status->positions, partitions, timeout_us, status->memory, &lag,
                           &status->err)) {
        status->response.lag_events = lag.events;
        age_us = search_lag_age(&lag, suite_clock_now_us(service->clock));
    } else if (!search_lag_recall(&service->lag, &status->response.lag_events, &age_us)) {
        return false;
    }
    status->response.lag_duration = wire_duration(status->memory, age_us);
    return status->response.lag_duration || out_of_memory(status);
}

/* --- all accounts: what the other shards say of theirs ------------------------------------------------ */

static int compare_accounts(const void *a, const void *b)
{
    const wire_account *const *left = a, *const *right = b;
    return strcmp((*left)->account, (*right)->account);
}

/* The first of both; behind the last one the next page begins. */
static bool merge_accounts(struct status *status, const wire_response *theirs)
{
    wire_response *ours = &status->response;
    size_t size = (size_t)status->page.size, count = ours->n_accounts + theirs->n_accounts;
    wire_account **merged = arena_calloc(status->memory, count + 1, sizeof(wire_account *));
    if (!merged)
        return out_of_memory(status);
    for (size_t i = 0; i < count; i++)
        merged[i] = i < ours->n_accounts ? ours->accounts[i] : theirs->accounts[i - ours->n_accounts];
    qsort(merged, count, sizeof(wire_account *), compare_accounts);
    bool more = count > size || *ours->next_page_token || *theirs->next_page_token;
    ours->accounts = merged;
    ours->n_accounts = count < size ? count : size;
    if (more) {
        const struct rpc_page_key key = {.text = merged[ours->n_accounts - 1]->account + strlen("accounts/")};
        ours->next_page_token = rpc_page_seal(status->memory, &status->request->base, NULL, &key);
    }
    return !more || ours->next_page_token || out_of_memory(status);
}

static bool add_shard(struct status *status, rpc_channel *target)
{
    const struct rpc_client_options options = search_shards_options(status->call, SHARD_TIMEOUT);
    ProtobufCMessage *message;
    if (!rpc_client_call(target, &casework__search__v1__search_service__descriptor, "GetIndexStatus",
                         &status->request->base, &options, status->memory, &message, &status->err))
        return false;
    const wire_response *theirs = (const wire_response *)message;
    wire_response *ours = &status->response;
    int64_t our_lag_us = 0, their_lag_us = 0;
    if (ours->lag_duration && theirs->lag_duration && wire_duration_us(ours->lag_duration, &our_lag_us) &&
        wire_duration_us(theirs->lag_duration, &their_lag_us) && their_lag_us > our_lag_us)
        ours->lag_duration = theirs->lag_duration;
    ours->lag_events += theirs->lag_events;
    ours->total_cases += theirs->total_cases;
    ours->total_size_bytes += theirs->total_size_bytes;
    return merge_accounts(status, theirs);
}

static bool add_shards(struct status *status)
{
    const struct search_shards *shards = &status->service->shards;
    bool done = true;
    for (int i = 0; done && !status->account && i < shards->count; i++)
        if (shards->targets[i] && !search_shards_is_forwarded(status->call))
            done = add_shard(status, shards->targets[i]);
    return done;
}

static bool read_request(struct status *status)
{
    if (!rpc_name_accounts(status->memory, status->request->parent, "parent", &status->account, &status->err))
        return false;
    if (!*status->account)
        status->account = NULL;
    return search_rights_all(status->call, status->account, &status->err) &&
           rpc_page_open(status->memory, &status->request->base, NULL, &rpc_page_sizes_usual, &status->page,
                         &status->err);
}

static void get_index_status(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct status status = {.service = context,
                            .call = call,
                            .request = (const wire_request *)message,
                            .memory = rpc_call_arena(call),
                            .response = CASEWORK__SEARCH__V1__GET_INDEX_STATUS_RESPONSE__INIT};
    int64_t left = rpc_call_deadline_us(call) - clock_monotonic_us();
    int64_t timeout_us = left > 4 * LAG_TIMEOUT ? LAG_TIMEOUT : left > 4 ? left / 4 : 1;
    search_index_positions(status.service->index, &status.positions);
    status.response.epoch = status.positions.epoch;
    bool done = read_request(&status);
    if (done && status.account &&
        search_shards_forward(&status.service->shards, call, "GetIndexStatus", message, status.account))
        return;
    if (done &&
        (!status.account || search_presence_check(status.service, status.account, rpc_call_deadline_us(call),
                                                  status.memory, &status.err)) &&
        fill_lag(&status, timeout_us) && fill_accounts(&status) && add_shards(&status))
        rpc_call_reply(call, &status.response.base);
    else
        rpc_call_fail(call, &status.err);
}

const struct rpc_method search_status_methods[] = {
    {.service = &casework__search__v1__search_service__descriptor,
     .name = "GetIndexStatus",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_AGENT | RPC_ROLE_ADMIN | RPC_ROLE_SERVICE,
     .resource = "parent",
     .unary = get_index_status},
    {.service = NULL},
};
