#include "search/search_catalogue.h"

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "rpc/name.h"

#define PAGE_TIMEOUT (30 * CLOCK_SECOND)
#define SNAPSHOT_TIMEOUT (10 * CLOCK_MINUTE)

enum { ACCOUNTS_PAGE = 1000, PART_BYTES_MAX = 64 << 20 };

typedef Casework__Cases__V1__StreamSnapshotResponse wire_part;

bool search_catalogue_accounts(rpc_channel *cases, struct search_list *list, arena *memory, error *err)
{
    Casework__Cases__V1__ListAccountsRequest request = CASEWORK__CASES__V1__LIST_ACCOUNTS_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = PAGE_TIMEOUT};
    request.page_size = ACCOUNTS_PAGE;
    do {
        ProtobufCMessage *message;
        if (!rpc_client_call(cases, &casework__cases__v1__account_service__descriptor, "ListAccounts",
                             &request.base, &options, memory, &message, err))
            return false;
        const Casework__Cases__V1__ListAccountsResponse *page =
            (Casework__Cases__V1__ListAccountsResponse *)message;
        for (size_t i = 0; i < page->n_accounts; i++) {
            const char *account;
            if (!rpc_name_account(memory, page->accounts[i]->name, "name", &account, err) ||
                !search_list_add(list, account, 0, memory, err))
                return false;
        }
        request.page_token = page->next_page_token;
    } while (*request.page_token);
    return true;
}

static bool add_part(const wire_part *part, const char *account, struct search_list *list, arena *part_memory,
                     arena *memory, error *err)
{
    for (size_t i = 0; i < part->n_cases; i++) {
        const char *same;
        int64_t number;
        if (!rpc_name_case(part_memory, part->cases[i]->name, "name", &same, &number, err) ||
            !search_list_add(list, account, number, memory, err))
            return false;
    }
    return true;
}

static bool read_parts(rpc_stream *stream, const char *account, struct search_list *list, arena *part_memory,
                       arena *memory, error *err)
{
    for (;;) {
        ProtobufCMessage *message;
        arena_clear(part_memory);
        switch (rpc_stream_read(stream, PAGE_TIMEOUT, part_memory, &message, err)) {
        case RPC_READ_MESSAGE:
            if (!add_part((const wire_part *)message, account, list, part_memory, memory, err))
                return false;
            break;
        case RPC_READ_END:
            return true;
        case RPC_READ_TIMEOUT:
            return error_set(err, STATUS_UNAVAILABLE, "", "the snapshot has fallen silent");
        case RPC_READ_FAILED:
            return false;
        }
    }
}

bool search_catalogue_cases(rpc_channel *cases, const char *account, struct search_list *list, arena *memory,
                            error *err)
{
    Casework__Cases__V1__StreamSnapshotRequest request = CASEWORK__CASES__V1__STREAM_SNAPSHOT_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = SNAPSHOT_TIMEOUT};
    rpc_stream *stream = NULL;
    request.parent = arena_printf(memory, "accounts/%s", account);
    arena *part_memory = request.parent ? arena_new(PART_BYTES_MAX) : NULL;
    bool done = part_memory ||
                error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for a list of cases");
    done = done && rpc_stream_open(cases, &casework__cases__v1__event_service__descriptor, "StreamSnapshot",
                                   &options, &stream, err);
    if (done && rpc_stream_write(stream, &request.base))
        rpc_stream_close_send(stream);
    done = done && read_parts(stream, account, list, part_memory, memory, err);
    rpc_stream_free(stream);
    arena_free(part_memory);
    return done;
}
