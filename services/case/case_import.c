#include "case/case_import.h"

#include "base/clock.h"
#include "case/case_command.h"
#include "case/case_import_command.h"
#include "case/case_write.h"
#include "casework/cases/v1/import_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/utf8.h"
#include "rpc/wire.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    IN_FLIGHT_MAX = 256,
    REFUSALS_MAX = 10000,
    CONVERSATION_BYTES_MAX = 64 << 20, /* arena of one: a request is far smaller */
    REFUSALS_BYTES_MAX = 16 << 20,
    SUBMIT_TRIES = 2000,
    SUBMIT_PAUSE_MS = 5,
};

struct refusal {
    int64_t index;
    char *external_id;
    char reason[sizeof((error *)0)->reason];
    char message[sizeof((error *)0)->message + 128];
};

/* One call. Lives until the call and all its commands are done. */
struct import {
    rpc_call *call;
    struct case_importer *importer;
    char account[IMPORT_ID_MAX + 1]; /* of the item before */
    int64_t next_index;
    pthread_mutex_t lock; /* of what follows */
    int references;       /* the call's, and one for each command */
    unsigned in_flight;
    bool reading_held, half_closed, ended;
    int64_t imported, unchanged, messages, refused, position;
    struct refusal *refusals;
    size_t refusal_count, refusal_size;
};

/* A conversation on its way. In its own arena. */
struct item {
    struct case_command command; /* first: the lane knows the item by it */
    struct import *import;
    arena *memory;
    int64_t index;
};

static void import_unref(struct import *import)
{
    pthread_mutex_lock(&import->lock);
    bool last = --import->references == 0;
    pthread_mutex_unlock(&import->lock);
    if (!last)
        return;
    for (size_t i = 0; i < import->refusal_count; i++)
        free(import->refusals[i].external_id);
    free(import->refusals);
    pthread_mutex_destroy(&import->lock);
    rpc_call_unref(import->call);
    free(import);
}

/* --- refusals --- */

/* Can the client do something about it, in this conversation? Everything else is the service's trouble: the
 * call fails. */
static bool is_refusal(enum status_code code)
{
    return code == STATUS_INVALID_ARGUMENT || code == STATUS_NOT_FOUND || code == STATUS_ALREADY_EXISTS ||
           code == STATUS_PERMISSION_DENIED || code == STATUS_FAILED_PRECONDITION ||
           code == STATUS_OUT_OF_RANGE;
}

/* With the lock held. */
static void refuse(struct import *import, int64_t index, const char *external_id, const error *err)
{
    import->refused++;
    if (import->refusal_count == REFUSALS_MAX)
        return;
    if (import->refusal_count == import->refusal_size) {
        size_t size = import->refusal_size ? 2 * import->refusal_size : 16;
        struct refusal *more = reallocarray(import->refusals, size, sizeof *more);
        if (!more)
            return;
        import->refusals = more;
        import->refusal_size = size;
    }
    struct refusal *refusal = &import->refusals[import->refusal_count++];
    *refusal = (struct refusal){.index = index, .external_id = strdup(external_id)};
    memcpy(refusal->reason, err->reason, sizeof refusal->reason);
    if (!*refusal->reason)
        snprintf(refusal->reason, sizeof refusal->reason, "%s", status_code_name(err->code));
    if (err->violation_count > 0)
        snprintf(refusal->message, sizeof refusal->message, "%s %s", err->violations[0].key,
                 err->violations[0].value);
    else
        snprintf(refusal->message, sizeof refusal->message, "%s", err->message);
}

static int by_index(const void *left, const void *right)
{
    const struct refusal *a = left, *b = right;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* --- the end --- */

static Casework__Cases__V1__ImportRefusal *refusal_wire(arena *memory, const struct refusal *refusal)
{
    Casework__Cases__V1__ImportRefusal *out = arena_alloc(memory, sizeof *out);
    if (!out)
        return NULL;
    casework__cases__v1__import_refusal__init(out);
    out->index = refusal->index;
    if (refusal->external_id)
        out->external_id = refusal->external_id;
    out->reason = (char *)(uintptr_t)refusal->reason;
    out->message = (char *)(uintptr_t)refusal->message;
    return out;
}

static bool fill_refusals(struct import *import, arena *memory,
                          Casework__Cases__V1__ImportConversationsResponse *response)
{
    if (import->refusal_count > 0)
        qsort(import->refusals, import->refusal_count, sizeof *import->refusals, by_index);
    response->refusals = arena_calloc(memory, import->refusal_count + 1, sizeof(void *));
    if (!response->refusals)
        return false;
    for (size_t i = 0; i < import->refusal_count; i++) {
        response->refusals[i] = refusal_wire(memory, &import->refusals[i]);
        if (!response->refusals[i])
            return false;
        response->n_refusals++;
    }
    return true;
}

static void reply(struct import *import)
{
    Casework__Cases__V1__ImportConversationsResponse response =
        CASEWORK__CASES__V1__IMPORT_CONVERSATIONS_RESPONSE__INIT;
    response.conversations_imported = import->imported;
    response.conversations_unchanged = import->unchanged;
    response.messages_imported = import->messages;
    response.conversations_refused = import->refused;
    response.position = import->position;
    arena *memory = arena_new(REFUSALS_BYTES_MAX);
    if (memory && fill_refusals(import, memory, &response))
        rpc_call_reply(import->call, &response.base);
    else
        rpc_call_fail_memory(import->call);
    arena_free(memory);
}

/* Ends the call well once the client has sent all and all of it is done. Takes the lock away. */
static void unlock_and_end(struct import *import)
{
    bool over = import->half_closed && import->in_flight == 0 && !import->ended;
    import->ended = import->ended || over;
    pthread_mutex_unlock(&import->lock);
    if (over)
        reply(import);
}

static void fail(struct import *import, const error *err)
{
    pthread_mutex_lock(&import->lock);
    bool first = !import->ended;
    import->ended = true;
    pthread_mutex_unlock(&import->lock);
    if (first)
        rpc_call_fail(import->call, err);
}

/* --- one conversation --- */

/* With the lock held: books what became of a conversation. */
static void book(struct import *import, const struct item *item)
{
    const struct case_command *command = &item->command;
    if (command->lane.outcome.code != STATUS_OK) {
        refuse(import, item->index, command->import.external_id, &command->lane.outcome);
        return;
    }
    if (command->answer.created) {
        import->imported++;
        import->messages += (int64_t)command->import.message_count;
        import->position = command->answer.position;
    } else {
        import->unchanged++;
    }
}

/* On the lane's thread, after the commit. */
static void item_done(struct pg_command *lane)
{
    struct item *item = (struct item *)lane;
    struct import *import = item->import;
    const error *outcome = &lane->outcome;
    if (outcome->code != STATUS_OK && !is_refusal(outcome->code))
        fail(import, outcome);
    pthread_mutex_lock(&import->lock);
    if (outcome->code == STATUS_OK || is_refusal(outcome->code))
        book(import, item);
    import->in_flight--;
    bool read_on = import->reading_held && !import->ended;
    import->reading_held = import->reading_held && import->ended;
    unlock_and_end(import);
    if (read_on)
        rpc_call_read_next(import->call);
    arena_free(item->memory);
    import_unref(import);
}

/* A full lane empties itself: waits a little, on this worker, which holds the stream back. */
static bool submit(struct import *import, struct case_command *command, error *err)
{
    const struct timespec pause = {.tv_nsec = SUBMIT_PAUSE_MS * 1000000L};
    for (int tries = 0; !pg_lanes_submit(import->importer->lanes, &command->lane, err); tries++) {
        if (err->code != STATUS_RESOURCE_EXHAUSTED || tries == SUBMIT_TRIES ||
            rpc_call_is_cancelled(import->call))
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* What the lane needs must outlive this message of the stream: the conversation is copied. */
static const Casework__Cases__V1__Conversation *copy(arena *memory,
                                                     const Casework__Cases__V1__Conversation *given,
                                                     error *err)
{
    size_t length = protobuf_c_message_get_packed_size(&given->base);
    uint8_t *packed = malloc(length + 1);
    ProtobufCMessage *message = NULL;
    if (!packed)
        return NULL;
    protobuf_c_message_pack(&given->base, packed);
    bool copied = wire_unpack(given->base.descriptor, packed, length, memory, &message, err);
    free(packed);
    return copied ? (const Casework__Cases__V1__Conversation *)message : NULL;
}

static bool item_fill(struct item *item, const Casework__Cases__V1__ImportConversationsRequest *request,
                      error *err)
{
    struct import *import = item->import;
    const struct rpc_caller *caller = rpc_call_caller(import->call);
    struct case_command *command = &item->command;
    const char *account = arena_strdup(item->memory, import->account);
    const char *display_name = arena_strdup(item->memory, request->account_display_name);
    if (!account || !display_name)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for the conversation");
    if (!request->conversation)
        return error_bad_field(err, "conversation", "is required");
    const Casework__Cases__V1__Conversation *conversation = copy(item->memory, request->conversation, err);
    case_command_init(command, CASE_METHOD_IMPORT, account);
    if (!conversation || !import_conversation_take(item->memory, conversation, &command->import, err))
        return false;
    command->import.create_account = strcmp(caller->account, "*") == 0;
    command->import.account_display_name = display_name;
    command->actor = case_write_actor(import->call);
    command->agent_must_exist = command->actor.kind == ACTOR_KIND_AGENT;
    command->needs_admin = *caller->agent && caller->role == RPC_ROLE_SERVICE;
    command->lane.done = item_done;
    return true;
}

/* The conversation as a command. NULL: err says why. */
static struct item *item_new(struct import *import,
                             const Casework__Cases__V1__ImportConversationsRequest *request, error *err)
{
    arena *memory = arena_new(CONVERSATION_BYTES_MAX);
    struct item *item = memory ? arena_calloc(memory, 1, sizeof *item) : NULL;
    error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for the conversation");
    if (item) {
        item->import = import;
        item->memory = memory;
        item->index = import->next_index;
    }
    if (!item || !item_fill(item, request, err)) {
        arena_free(memory);
        return NULL;
    }
    return item;
}

/* Empty means the account before; a caller of one account gets to no other one. */
static bool take_account(struct import *import, const char *parent, error *err)
{
    const char *account = import->account, *own = rpc_call_caller(import->call)->account;
    if (*parent) {
        *import->account = '\0';
        arena *memory = arena_new(4096);
        bool named = memory && rpc_name_account(memory, parent, "parent", &account, err);
        if (named)
            snprintf(import->account, sizeof import->account, "%s", account);
        else if (!memory)
            error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "no memory for the conversation");
        arena_free(memory);
        if (!named)
            return false;
    }
    if (!*import->account)
        return error_bad_field(err, "parent", "is required in the first item");
    return strcmp(own, "*") == 0 || strcmp(own, import->account) == 0 || rpc_error_not_found(err, parent);
}

/*
 * Text that is none refuses its conversation. The account it names counts for those after it all the same,
 * unless it is the account's name that is bad: then they have none.
 */
static bool check_item_text(struct import *import, error *err)
{
    const error *bad = rpc_call_bad_text(import->call);
    if (!bad)
        return true;
    if (strcmp(bad->violations[0].key, "parent") == 0)
        *import->account = '\0';
    *err = *bad;
    snprintf(err->reason, sizeof err->reason, "INVALID_TEXT");
    return false;
}

/* What a refusal may name: "" where the id itself is bad. */
static const char *external_id_of(const Casework__Cases__V1__ImportConversationsRequest *request)
{
    const char *id = request->conversation ? request->conversation->external_id : "";
    return utf8_is_text(id, strlen(id)) ? id : "";
}

/* False: the call has ended. */
static bool take_item(struct import *import, const Casework__Cases__V1__ImportConversationsRequest *request)
{
    error err;
    struct item *item = NULL;
    bool named = take_account(import, request->parent, &err);
    if (check_item_text(import, &err) && named)
        item = item_new(import, request, &err);
    if (item) {
        pthread_mutex_lock(&import->lock);
        import->in_flight++;
        import->references++;
        pthread_mutex_unlock(&import->lock);
        if (submit(import, &item->command, &err))
            return true;
        arena_free(item->memory);
        pthread_mutex_lock(&import->lock);
        import->in_flight--;
        import->references--;
        pthread_mutex_unlock(&import->lock);
        fail(import, &err);
        return false;
    }
    if (!is_refusal(err.code)) {
        fail(import, &err);
        return false;
    }
    pthread_mutex_lock(&import->lock);
    refuse(import, import->next_index, external_id_of(request), &err);
    pthread_mutex_unlock(&import->lock);
    return true;
}

/* --- the stream --- */

static void on_open(rpc_call *call, void *context)
{
    struct import *import = calloc(1, sizeof *import);
    if (!import) {
        rpc_call_fail_memory(call);
        return;
    }
    import->call = call;
    import->importer = context;
    import->references = 1;
    pthread_mutex_init(&import->lock, NULL);
    rpc_call_ref(call);
    rpc_call_set_state(call, import);
}

static void on_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    struct import *import = rpc_call_state(call);
    if (!import || !take_item(import, (const void *)message))
        return;
    import->next_index++;
    pthread_mutex_lock(&import->lock);
    import->reading_held = import->in_flight >= IN_FLIGHT_MAX;
    bool read_on = !import->reading_held && !import->ended;
    pthread_mutex_unlock(&import->lock);
    if (read_on)
        rpc_call_read_next(call);
}

static void on_half_close(rpc_call *call, void *context)
{
    (void)context;
    struct import *import = rpc_call_state(call);
    if (!import)
        return;
    pthread_mutex_lock(&import->lock);
    import->half_closed = true;
    unlock_and_end(import);
}

static void on_done(rpc_call *call, void *context)
{
    (void)context;
    struct import *import = rpc_call_state(call);
    if (!import)
        return;
    pthread_mutex_lock(&import->lock);
    import->ended = true;
    pthread_mutex_unlock(&import->lock);
    import_unref(import);
}

static const struct rpc_stream_handlers handlers = {
    .on_open = on_open, .on_message = on_message, .on_half_close = on_half_close, .on_done = on_done};

const struct rpc_method case_import_methods[] = {
    {.service = &casework__cases__v1__import_service__descriptor,
     .name = "ImportConversations",
     .run = RPC_RUN_WORKER,
     .roles = RPC_ROLE_ADMIN | RPC_ROLE_SERVICE,
     .any_account = true, /* each item is checked: it may name its own */
     .text_checked_by_handler = true,
     .stream = &handlers},
    {0},
};
