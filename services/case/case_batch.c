#include "case/case_batch.h"

#include "base/clock.h"
#include "case/case_batch_run.h"
#include "case/case_known.h"
#include "case/case_overlay_session.h"
#include "case/case_store.h"
#include "feed/partition.h"
#include "rpc/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const struct method_ops *const methods[CASE_METHODS] = {
    [CASE_METHOD_CREATE_ACCOUNT] = &account_create_ops,
    [CASE_METHOD_UPDATE_ACCOUNT] = &account_update_ops,
    [CASE_METHOD_CREATE_AGENT] = &agent_create_ops,
    [CASE_METHOD_UPDATE_AGENT] = &agent_update_ops,
    [CASE_METHOD_CREATE_CONTACT] = &contact_create_ops,
    [CASE_METHOD_UPDATE_CONTACT] = &contact_update_ops,
    [CASE_METHOD_CREATE_CHANNEL] = &channel_create_ops,
    [CASE_METHOD_UPDATE_CHANNEL] = &channel_update_ops,
    [CASE_METHOD_CREATE_CASE] = &case_create_ops,
    [CASE_METHOD_CHANGE_CASE] = &case_change_ops,
    [CASE_METHOD_ADD_MESSAGE] = &message_add_ops,
    [CASE_METHOD_SET_MESSAGE_STATE] = &message_state_ops,
    [CASE_METHOD_RECEIVE_MESSAGE] = &message_receive_ops,
    [CASE_METHOD_IMPORT] = &conversation_import_ops,
    [CASE_METHOD_FORWARD] = &forward_ops,
    [CASE_METHOD_REPORT_DELIVERY] = &delivery_report_ops,
    [CASE_METHOD_MERGE] = &case_merge_ops,
    [CASE_METHOD_UNMERGE] = &case_unmerge_ops,
    [CASE_METHOD_CHANGE_MANY] = &case_many_ops,
    [CASE_METHOD_RECORD_TIMER_STEP] = &timer_step_ops,
    [CASE_METHOD_ATTACH_SESSION] = &session_attach_ops,
    [CASE_METHOD_DETACH_SESSION] = &session_detach_ops,
    [CASE_METHOD_END_SESSION] = &session_end_ops,
    [CASE_METHOD_EXPIRE_SESSION] = &session_end_ops,
    [CASE_METHOD_OPEN_TAB] = &tab_open_ops,
    [CASE_METHOD_CLOSE_TAB] = &tab_close_ops,
    [CASE_METHOD_BREAK_LOCK] = &lock_break_ops,
    [CASE_METHOD_REDACT_MESSAGE] = &message_redact_ops,
    [CASE_METHOD_ERASE_CONTACT] = &contact_erase_ops,
    [CASE_METHOD_ERASE_STEP] = &erase_step_ops,
    [CASE_METHOD_DELETE_ACCOUNT] = &account_delete_ops,
};

static method_follow *const follows[CASE_METHODS] = {
    [CASE_METHOD_CHANGE_CASE] = change_follow,      [CASE_METHOD_CHANGE_MANY] = many_follow,
    [CASE_METHOD_RECEIVE_MESSAGE] = receive_follow, [CASE_METHOD_UNMERGE] = unmerge_follow,
    [CASE_METHOD_REDACT_MESSAGE] = redact_follow,   [CASE_METHOD_ERASE_CONTACT] = erase_follow,
    [CASE_METHOD_ERASE_STEP] = erase_step_follow,   [CASE_METHOD_FORWARD] = forward_follow,
};

/* What the batch keeps between its two round trips. */
struct batch_state {
    struct overlay overlay;
    struct store_reads reads;
};

void case_command_init(struct case_command *command, enum case_method method, const char *account)
{
    *command = (struct case_command){
        .method = method,
        .account = account,
        .actor = {.id = "", .via = "", .session = ""},
        .request_id = "",
    };
    command->lane.partition = (unsigned)feed_partition(account);
}

static struct case_command *command_at(const pg_batch *batch, size_t index)
{
    return (struct case_command *)pg_batch_command(batch, index);
}

static void gather(struct overlay *overlay, const struct case_command *command)
{
    overlay_account(overlay, command->account);
    if (command->request_id[0] != '\0')
        overlay_request(overlay, command->account, command->request_id);
    if (command->actor.kind == ACTOR_KIND_AGENT)
        overlay_agent(overlay, command->account, command->actor.id);
    methods[command->method]->gather(overlay, command);
}

static bool batch_read(void *context, pg_batch *batch, error *err)
{
    const struct case_batch_context *own = context;
    arena *memory = pg_batch_memory(batch);
    struct batch_state *state = arena_calloc(memory, 1, sizeof *state);
    if (state == NULL || !overlay_init(&state->overlay, memory))
        return batch_out_of_memory(err);
    pg_batch_set_state(batch, state);
    for (size_t i = 0; i < pg_batch_count(batch); i++)
        gather(&state->overlay, command_at(batch, i));
    if (state->overlay.failed)
        return batch_out_of_memory(err);
    case_known_assume(own->known, &state->overlay);
    return case_store_ask(&state->overlay, &state->reads, batch, err);
}

/* Their requests remember the source as the resource. */
static bool is_merge(enum case_method method)
{
    return method == CASE_METHOD_MERGE || method == CASE_METHOD_UNMERGE;
}

static bool is_about_contact(enum case_method method)
{
    return method == CASE_METHOD_CREATE_CONTACT || method == CASE_METHOD_UPDATE_CONTACT ||
           method == CASE_METHOD_ERASE_CONTACT;
}

/* What repeated requests and known messages refer to is needed for their answers. */
static void follow_references(struct overlay *overlay)
{
    for (size_t i = 0; i < overlay->entries[ENTRY_REQUEST].count; i++) {
        const struct request_entry *request = overlay->entries[ENTRY_REQUEST].items[i];
        const char *account = request->entry.key.account;
        if (!request->entry.exists)
            continue;
        if (request->case_id != 0)
            overlay_case(overlay, account, request->case_id);
        if (request->number != 0)
            overlay_message(overlay, account, request->case_id, request->number);
        if (request->method == CASE_METHOD_CREATE_AGENT || request->method == CASE_METHOD_UPDATE_AGENT)
            overlay_agent(overlay, account, request->resource);
        if (is_about_contact(request->method))
            overlay_contact(overlay, account, request->resource);
        if (request->method == CASE_METHOD_CREATE_CHANNEL || request->method == CASE_METHOD_UPDATE_CHANNEL)
            overlay_channel(overlay, account, request->resource);
        if (is_merge(request->method))
            overlay_case(overlay, account, strtoll(request->resource, NULL, 10));
    }
    for (size_t i = 0; i < overlay->entries[ENTRY_EXTERNAL].count; i++) {
        const struct external_entry *external = overlay->entries[ENTRY_EXTERNAL].items[i];
        if (!external->entry.exists || external->number == 0)
            continue;
        overlay_case(overlay, external->entry.key.account, external->case_id);
        overlay_message(overlay, external->entry.key.account, external->case_id, external->number);
    }
}

/* From an agent to sessions, to their tabs and cases: not more than a few steps. */
static bool read_references(struct batch_state *state, pg_batch *batch, error *err)
{
    for (;;) {
        follow_references(&state->overlay);
        overlay_follow_sessions(&state->overlay);
        for (size_t i = 0; i < pg_batch_count(batch); i++) {
            const struct case_command *command = command_at(batch, i);
            if (follows[command->method] != NULL)
                follows[command->method](&state->overlay, command);
        }
        if (!case_store_is_curious(&state->overlay))
            return true;
        if (!case_store_ask(&state->overlay, &state->reads, batch, err) || !pg_batch_fetch(batch, err) ||
            !case_store_load(&state->overlay, &state->reads, batch, err))
            return false;
    }
}

/* A message read from the database follows what happens to its case. */
static void join_messages(struct overlay *overlay)
{
    for (size_t i = 0; i < overlay->entries[ENTRY_MESSAGE].count; i++) {
        struct message_entry *message = overlay->entries[ENTRY_MESSAGE].items[i];
        struct case_entry *owner =
            overlay_find(overlay, &(struct entry_key){ENTRY_CASE, message->entry.key.account, "", "",
                                                      message->entry.key.n, 0});
        if (owner == NULL || !message->entry.exists)
            continue;
        message->next = owner->messages;
        owner->messages = message;
    }
}

static bool check_caller(struct overlay *overlay, const struct case_command *command, error *err)
{
    if (command->actor.kind != ACTOR_KIND_AGENT)
        return true;
    const struct agent_entry *agent = overlay_agent(overlay, command->account, command->actor.id);
    if (agent == NULL)
        return batch_out_of_memory(err);
    if (!agent->entry.exists) {
        return !(command->agent_must_exist || command->needs_admin) ||
               error_set(err, STATUS_PERMISSION_DENIED, "AGENT_UNKNOWN", "there is no agent %s",
                         command->actor.id);
    }
    if (agent->record.disabled)
        return error_set(err, STATUS_PERMISSION_DENIED, "AGENT_DISABLED", "agent %s is disabled",
                         command->actor.id);
    if (command->needs_admin && agent->record.role != AGENT_ROLE_ADMIN)
        return error_set(err, STATUS_PERMISSION_DENIED, "NOT_AN_ADMIN", "agent %s is no admin",
                         command->actor.id);
    return true;
}

/* Does what there is to do without the account, too. */
static bool needs_no_account(const struct case_command *command)
{
    return command->method == CASE_METHOD_CREATE_ACCOUNT || command->method == CASE_METHOD_DELETE_ACCOUNT ||
           (command->method == CASE_METHOD_IMPORT && command->import.create_account);
}

/* What a request of ReceiveMessage remembers as the resource when it made a new case: times do not tell, a
 * case without a message may be as old as the first that comes. */
static const char made_case[] = "created";

/* The answer that an earlier request of that id got: the same resources as they are now. */
static bool answer_again(struct overlay *overlay, struct case_command *command,
                         const struct request_entry *request, error *err)
{
    if (request->method != command->method ||
        memcmp(request->fingerprint, command->fingerprint, sizeof request->fingerprint) != 0) {
        return batch_request_id_reused(err);
    }
    const char *account = command->account;
    struct case_answer *answer = &command->answer;
    answer->position = request->position;
    answer->repeated = true;
    answer->account = &overlay_account(overlay, account)->record;
    if (command->method == CASE_METHOD_CREATE_AGENT || command->method == CASE_METHOD_UPDATE_AGENT)
        answer->agent = &overlay_agent(overlay, account, request->resource)->record;
    if (is_about_contact(command->method))
        answer->contact = &overlay_contact(overlay, account, request->resource)->record;
    if (command->method == CASE_METHOD_CREATE_CHANNEL || command->method == CASE_METHOD_UPDATE_CHANNEL)
        answer->channel = &overlay_channel(overlay, account, request->resource)->record;
    if (is_merge(command->method) &&
        !batch_answer_merge(overlay, command, strtoll(request->resource, NULL, 10), err))
        return false;
    if (command->method == CASE_METHOD_CHANGE_MANY && !batch_answer_many(overlay, command, err))
        return false;
    if (request->case_id != 0 &&
        !batch_answer_case(overlay, command, overlay_case(overlay, account, request->case_id), err))
        return false;
    if (request->number == 0)
        return true;
    /* A copy goes when the merge that it came by is undone: what was done to it was done all the same. */
    const struct message_entry *message =
        overlay_message(overlay, account, request->case_id, request->number);
    if (message != NULL && !message->entry.exists)
        return true;
    if (!batch_answer_message(overlay, command, message, err))
        return false;
    if (command->method == CASE_METHOD_RECEIVE_MESSAGE)
        answer->created = strcmp(request->resource, made_case) == 0;
    return true;
}

static const char *source_text(struct overlay *overlay, int64_t id)
{
    const char *text = arena_printf(overlay->memory, "%lld", (long long)id);
    overlay->failed = overlay->failed || text == NULL;
    return text == NULL ? "" : text;
}

static void remember(struct overlay *overlay, const struct case_command *command,
                     struct request_entry *request)
{
    const struct case_answer *answer = &command->answer;
    bool made = command->method == CASE_METHOD_RECEIVE_MESSAGE && answer->created;
    request->entry.exists = request->entry.inserted = true;
    memcpy(request->fingerprint, command->fingerprint, sizeof request->fingerprint);
    request->method = command->method;
    request->resource = made                      ? made_case
                        : answer->agent != NULL   ? answer->agent->id
                        : answer->contact != NULL ? answer->contact->id
                        : answer->channel != NULL ? answer->channel->id
                        : answer->source != NULL  ? source_text(overlay, answer->source->id)
                                                  : "";
    request->case_id = answer->record == NULL ? 0 : answer->record->id;
    request->number = answer->message == NULL ? 0 : answer->message->number;
    request->position = overlay->feed->head;
}

static bool run(struct overlay *overlay, struct case_command *command, error *err)
{
    const struct account_entry *account = overlay_account(overlay, command->account);
    if (account == NULL)
        return batch_out_of_memory(err);
    if (!account->entry.exists && !needs_no_account(command))
        return batch_not_found(err, "accounts/%s", command->account);
    if (!check_caller(overlay, command, err))
        return false;
    struct request_entry *request = NULL;
    if (command->request_id[0] != '\0') {
        request = overlay_request(overlay, command->account, command->request_id);
        if (request == NULL)
            return batch_out_of_memory(err);
        if (request->entry.exists)
            return answer_again(overlay, command, request, err);
    }
    if (!methods[command->method]->run(overlay, command, err))
        return false;
    if (command->answer.position == 0)
        command->answer.position = overlay->feed->head;
    if (request != NULL && account->entry.exists)
        remember(overlay, command, request);
    return true;
}

static void read_feeds(struct overlay *overlay, const pg_result *locked)
{
    for (int row = 0; row < pg_rows(locked); row++) {
        struct overlay_feed *feed = &overlay->feeds[pg_get_int(locked, row, LOCK_PARTITION)];
        feed->head = feed->old_head = pg_get_int(locked, row, LOCK_HEAD);
        feed->now = pg_get_time(locked, row, LOCK_NOW);
    }
}

/* Other limits, such as that of an agent's sessions, refuse a command alone. */
static bool is_out_of_memory(const struct overlay *overlay, const error *refusal)
{
    return overlay->failed ||
           (refusal->code == STATUS_RESOURCE_EXHAUSTED && strcmp(refusal->reason, "REQUEST_TOO_LARGE") == 0);
}

/*
 * Commands of a batch were under way at the same time, so that any order of them will do. Whatever takes
 * texts away comes last: it knows of all that the batch has made of them, and nothing is answered afterwards.
 */
enum { TURNS = 3 };

static int turn_of(enum case_method method)
{
    return method == CASE_METHOD_ERASE_CONTACT ? 2 : method == CASE_METHOD_REDACT_MESSAGE ? 1 : 0;
}

static bool run_turn(struct overlay *overlay, pg_batch *batch, int turn, error *err)
{
    for (size_t i = 0; i < pg_batch_count(batch); i++) {
        struct case_command *command = command_at(batch, i);
        error refusal = {0};
        if (turn_of(command->method) != turn)
            continue;
        command->answer = (struct case_answer){0};
        overlay_enter(overlay, (int)command->lane.partition);
        if (!run(overlay, command, &refusal)) {
            if (overlay->apart) { /* the lane runs each of them again, alone */
                *err = refusal;
                return false;
            }
            if (is_out_of_memory(overlay, &refusal))
                return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                                 "the batch needs too much memory");
            command->lane.outcome = refusal;
        }
    }
    return true;
}

static bool decide(void *context, pg_batch *batch, error *err)
{
    const struct case_batch_context *own = context;
    struct batch_state *state = pg_batch_state(batch);
    struct overlay *overlay = &state->overlay;
    read_feeds(overlay, pg_batch_lock(batch));
    case_known_confirm(own->known, overlay, pg_batch_lock(batch));
    if (!case_store_load(overlay, &state->reads, batch, err) || !read_references(state, batch, err))
        return false;
    join_messages(overlay);
    for (int turn = 0; turn < TURNS; turn++) {
        if (!run_turn(overlay, batch, turn, err))
            return false;
    }
    for (size_t i = 0; i < pg_batch_count(batch); i++) {
        struct case_command *command = command_at(batch, i);
        if (command->prepare != NULL && command->lane.outcome.code == STATUS_OK)
            command->prepare(command);
    }
    return case_store_write(overlay, batch, err);
}

/* Whoever keeps answers back has to hear of it before the answer is sent. */
static void tell_erasures(const struct case_batch_context *own, const struct overlay *overlay)
{
    for (size_t i = 0; i < overlay->entries[ENTRY_ACCOUNT].count; i++) {
        const struct entry *account = overlay->entries[ENTRY_ACCOUNT].items[i];
        if (account->inserted && account->exists)
            own->erased(own->argument, account->key.account, false);
    }
    for (size_t i = 0; i < overlay->erasures.count; i++) {
        const struct erasure *erasure = overlay->erasures.items[i];
        own->erased(own->argument, erasure->contact[0] == '\0' ? erasure->account : NULL, true);
    }
}

static void finish(void *context, pg_batch *batch, bool committed)
{
    const struct case_batch_context *own = context;
    const struct batch_state *state = pg_batch_state(batch);
    if (!committed || state == NULL)
        return;
    case_known_keep(own->known, &state->overlay, pg_batch_lock(batch), pg_batch_mark(batch));
    if (own->erased != NULL)
        tell_erasures(own, &state->overlay);
    for (unsigned i = 0; own->moved != NULL && i < FEED_PARTITIONS; i++) {
        const struct overlay_feed *feed = &state->overlay.feeds[i];
        if (feed->head > feed->old_head)
            own->moved(own->argument, i, feed->head);
    }
}

const struct pg_lane_ops case_batch_ops_real = {.lock = &case_store_lock_real,
                                                .lock_free = &case_store_lock_free_real,
                                                .mark = &case_store_mark,
                                                .read = batch_read,
                                                .decide = decide,
                                                .finish = finish};
const struct pg_lane_ops case_batch_ops_manual = {.lock = &case_store_lock_manual,
                                                  .lock_free = &case_store_lock_free_manual,
                                                  .mark = &case_store_mark,
                                                  .read = batch_read,
                                                  .decide = decide,
                                                  .finish = finish};

/* --- what the methods share -------------------------------------------------------------------------------
 */

bool batch_not_found(error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char name[256];
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    return rpc_error_not_found(err, name);
}

bool batch_run_apart(struct overlay *overlay, error *err)
{
    overlay->apart = true;
    return error_set(err, STATUS_INTERNAL, "", "what was read has changed in the same batch");
}

bool batch_out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                     "the request needs too much memory");
}

bool batch_etag_mismatch(error *err)
{
    return error_set(err, STATUS_ABORTED, "ETAG_MISMATCH", "the resource has changed since");
}

bool batch_request_id_reused(error *err)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "REQUEST_ID_REUSED",
                     "request_id was used for another request within the last 24 hours");
}

char *batch_new_id(arena *memory)
{
    enum { LENGTH = 12 };
    static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
    unsigned char random[LENGTH];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return NULL;
    char id[LENGTH + 1] = {0};
    for (size_t i = 0; i < LENGTH; i++)
        id[i] = alphabet[random[i] % 32];
    return arena_strdup(memory, id);
}

bool batch_tell(struct overlay *overlay, const struct case_event *event, error *err)
{
    struct case_event *told = arena_memdup(overlay->memory, event, sizeof *told);
    if (told == NULL || !entry_list_add(overlay->memory, &overlay->events, told))
        return batch_out_of_memory(err);
    told->commit_time = overlay->now;
    told->partition = overlay->partition;
    told->position = ++overlay->feed->head;
    return true;
}

static size_t field_names(unsigned fields, const char *names[EVENT_FIELDS_MAX])
{
    static const char *const all[] = {"display_name",
                                      "time_zone",
                                      "reopen_resolved_on_customer_message",
                                      "report_lock_days",
                                      "session_grace_duration",
                                      "email",
                                      "role",
                                      "disabled",
                                      "emails",
                                      "phones",
                                      "handles",
                                      "note",
                                      "address"};
    size_t count = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0] && count < EVENT_FIELDS_MAX; i++) {
        if ((fields & 1U << i) != 0)
            names[count++] = all[i];
    }
    return count;
}

bool batch_tell_resource(struct overlay *overlay, const struct case_command *command, enum event_kind kind,
                         const char *collection, const char *id, unsigned fields, error *err)
{
    struct case_event event = {
        .kind = kind,
        .account = command->account,
        .time = overlay->now,
        .actor = command->actor,
        .previous_owner = "",
        .imported = command->method == CASE_METHOD_IMPORT,
        .resource = "",
    };
    event.changed_field_count = field_names(fields, event.changed_fields);
    if (collection[0] != '\0') {
        event.resource = arena_printf(overlay->memory, "%s/%s", collection, id);
        if (event.resource == NULL)
            return batch_out_of_memory(err);
    } else {
        event.account_facts =
            arena_memdup(overlay->memory, &overlay_account(overlay, command->account)->record,
                         sizeof *event.account_facts);
    }
    if (strcmp(collection, "channels") == 0) {
        event.channel_facts =
            arena_memdup(overlay->memory, &overlay_channel(overlay, command->account, id)->record,
                         sizeof *event.channel_facts);
    }
    return batch_tell(overlay, &event, err);
}
