/*
 * The rules of the case service and the model of them, driven by the same generated commands:
 * CASEWORK_MODEL_COMMANDS says how many, CASEWORK_MODEL_SEED repeats one sequence.
 */

#include "case/case_rules.h"
#include "tests/support/case_model.h"
#include "tests/support/case_script.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)MODEL_FIELD_SUBJECT == CASE_FIELD_SUBJECT &&
                   (int)MODEL_FIELD_LABELS == CASE_FIELD_LABELS &&
                   (int)MODEL_FIELD_PRIORITY == CASE_FIELD_PRIORITY &&
                   (int)MODEL_FIELD_ATTRIBUTES == CASE_FIELD_ATTRIBUTES,
               "the model's fields are the rules'");

#define START INT64_C(1772442000000000)

enum { SCRIPT_LENGTH = 250, CASES_MAX = 24, USUALLY = 100000, PATIENCE = 2000 };

/* What a store would keep of a case. */
struct stored_case {
    struct case_record record;
    struct message_record messages[MODEL_MESSAGES_MAX];
};

/* Rules and model side by side. */
struct bench {
    arena *memory; /* of one script */
    struct model_setting setting;
    struct model_case expected[CASES_MAX];
    struct stored_case stored[CASES_MAX];
    struct script_case known[CASES_MAX];
    size_t case_count;
    size_t commands, refusals;
    bool tell;
    char complaint[512];
};

static const char *const contacts[] = {"", "jo", "al", "kim"};

static bool complain(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool complain(struct bench *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(b->complaint, sizeof b->complaint, format, arguments);
    va_end(arguments);
    return false;
}

/* --- from numbers to texts and back ------------------------------------------------------------------------
 */

static struct text_list texts_of(struct bench *b, const struct model_list *list, const char *const *all)
{
    struct text_list texts = {arena_calloc(b->memory, MODEL_LIST_MAX, sizeof(char *)), list->count};
    for (int i = 0; i < list->count; i++)
        texts.items[i] = all[list->items[i]];
    return texts;
}

static struct text_list class_pairs(struct bench *b, const struct model_list *list)
{
    struct text_list pairs = {arena_calloc(b->memory, 2 * MODEL_LIST_MAX, sizeof(char *)),
                              2 * (size_t)list->count};
    for (int i = 0; i < list->count; i++) {
        pairs.items[2 * i] = script_classes[list->items[i]][0];
        pairs.items[2 * i + 1] = script_classes[list->items[i]][1];
    }
    return pairs;
}

static struct text_list attribute_pairs(struct bench *b, const uint8_t *attributes)
{
    struct text_list pairs = {arena_calloc(b->memory, 2 * MODEL_ATTRIBUTES, sizeof(char *)), 0};
    for (int i = 0; i < MODEL_ATTRIBUTES; i++) {
        if (!attributes[i])
            continue;
        pairs.items[pairs.count++] = script_keys[i];
        pairs.items[pairs.count++] = script_values[attributes[i]];
    }
    return pairs;
}

static struct model_list numbers_of(const struct text_list *texts, const char *const *all, int count)
{
    struct model_list list = {0};
    for (size_t i = 0; i < texts->count; i++)
        list.items[list.count++] = (uint8_t)script_place(texts->items[i], all, count);
    return list;
}

static struct model_list classes_of(const struct text_list *pairs)
{
    struct model_list list = {0};
    for (size_t i = 0; i + 1 < pairs->count; i += 2) {
        list.items[list.count++] = (uint8_t)script_class_of(pairs->items[i], pairs->items[i + 1]);
    }
    return list;
}

static struct model_facts facts_of(const struct case_record *record)
{
    struct model_facts facts = {
        .status = record->status,
        .status_before_delete = record->status_before_delete,
        .owner = script_place(record->owner, script_agents, MODEL_AGENTS + 1),
        .contact = script_place(record->contact, contacts, 4),
        .channel = script_place(record->channel, script_channels, 3),
        .involved = numbers_of(&record->involved, script_agents, MODEL_AGENTS + 1),
        .labels = numbers_of(&record->labels, script_labels, MODEL_LABELS + 1),
        .classes = classes_of(&record->classifications),
        .priority = record->priority,
        .subject = script_subject_of(record->subject),
        .need_reply = record->need_reply,
        .all_closed =
            record->messages_assigned + record->messages_in_progress + record->messages_responded == 0,
        .message_count = record->message_count,
        .version = record->version,
        .change_version = record->change_version,
        .activity_version = record->activity_version,
        .change_time = record->change_time,
        .activity_time = record->activity_time,
        .create_time = record->create_time,
        .update_time = record->update_time,
        .status_time = record->status_time,
        .open_time = record->open_time,
        .resolve_time = record->resolve_time,
        .close_time = record->close_time,
        .delete_time = record->delete_time,
        .first_reply_time = record->first_reply_time,
        .first_customer_time = record->customer_time,
        .waiting_since_time = record->waiting_since,
        .merged_into = record->merged_into,
    };
    for (size_t i = 0; i + 1 < record->attributes.count; i += 2)
        facts.attributes[script_place(record->attributes.items[i], script_keys, 3)] =
            (uint8_t)script_place(record->attributes.items[i + 1], script_values, 4);
    return facts;
}

/* --- the same command as an act ----------------------------------------------------------------------------
 */

static struct case_act message_act(const struct model_command *command)
{
    return (struct case_act){
        .kind = CASE_ACT_ADD_MESSAGE,
        .expected_version = command->verb == MODEL_CREATE ? 0 : command->expected_version,
        .add = {.message = {.account = "acme",
                            .kind = command->kind,
                            .automatic = command->automatic,
                            .send_time = command->sent,
                            .author = "",
                            .third_party = "",
                            .external_id = "",
                            .delivery_failure = "",
                            .body = "text"},
                .then = command->then},
    };
}

/* What is written for it is put together elsewhere: here it is just a text. */
static struct case_act forward_act(struct bench *b, const struct stored_case *stored,
                                   const struct model_command *command)
{
    struct case_act act = {.kind = CASE_ACT_FORWARD, .expected_version = command->expected_version};
    struct message_record text = {.account = "acme",
                                  .kind = command->agent ? MESSAGE_KIND_NOTE : MESSAGE_KIND_TO_THIRD_PARTY,
                                  .author = "",
                                  .third_party = command->agent ? "" : "lab@example.org",
                                  .external_id = "",
                                  .delivery_failure = "",
                                  .body = "text"};
    if (command->verb == MODEL_FORWARD_MESSAGE)
        act.forward.message = &stored->messages[command->message - 1];
    act.forward.agent = script_agents[command->agent];
    if (!command->agent || command->note)
        act.forward.text = arena_memdup(b->memory, &text, sizeof text);
    return act;
}

static const enum case_act_kind act_kinds[MODEL_VERBS] = {
    [MODEL_OPEN] = CASE_ACT_OPEN,
    [MODEL_MARK_PENDING] = CASE_ACT_MARK_PENDING,
    [MODEL_RESOLVE] = CASE_ACT_RESOLVE,
    [MODEL_REOPEN] = CASE_ACT_REOPEN,
    [MODEL_CLOSE] = CASE_ACT_CLOSE,
    [MODEL_DELETE] = CASE_ACT_DELETE,
    [MODEL_UNDELETE] = CASE_ACT_UNDELETE,
    [MODEL_ASSIGN] = CASE_ACT_ASSIGN,
    [MODEL_UPDATE] = CASE_ACT_UPDATE,
    [MODEL_CLASSIFY] = CASE_ACT_CLASSIFY,
    [MODEL_DECLASSIFY] = CASE_ACT_DECLASSIFY,
    [MODEL_SET_STATE] = CASE_ACT_SET_MESSAGE_STATE,
    [MODEL_LABEL] = CASE_ACT_ADD_LABELS,
    [MODEL_UNLABEL] = CASE_ACT_REMOVE_LABELS,
};

static struct case_act act_of(struct bench *b, const struct stored_case *stored,
                              const struct model_command *command)
{
    struct case_act act = {.kind = act_kinds[command->verb], .expected_version = command->expected_version};
    if (command->verb == MODEL_ADD_MESSAGE)
        return message_act(command);
    if (command->verb == MODEL_FORWARD_CASE || command->verb == MODEL_FORWARD_MESSAGE)
        return forward_act(b, stored, command);
    if (command->verb == MODEL_LABEL || command->verb == MODEL_UNLABEL)
        act.labels = texts_of(b, &command->labels, script_labels);
    if (command->verb == MODEL_CLOSE) {
        act.close.rule = command->rule;
        act.close.basis_version = command->basis_version;
        act.close.due_time = command->due_time;
    } else if (command->verb == MODEL_ASSIGN) {
        act.owner = script_agents[command->owner];
    } else if (command->verb == MODEL_UPDATE) {
        act.update.fields = command->fields;
        act.update.subject = act.update.subject_key = script_subject(command->subject);
        act.update.labels = texts_of(b, &command->labels, script_labels);
        act.update.priority = command->priority;
        act.update.attributes = attribute_pairs(b, command->attributes);
    } else if (command->verb == MODEL_CLASSIFY || command->verb == MODEL_DECLASSIFY) {
        act.classifications = class_pairs(b, &command->classes);
    } else if (command->verb == MODEL_SET_STATE) {
        const struct message_record *message = &stored->messages[command->message - 1];
        act.set_state.number = command->message;
        act.set_state.kind = message->kind;
        act.set_state.state = message->state;
        act.set_state.to = command->state;
    }
    return act;
}

static bool create(struct bench *b, const struct case_context *context, const struct model_command *command,
                   struct case_change *change, error *err)
{
    struct case_record template = {
        .account = "acme",
        .id = command->number,
        .owner = script_agents[command->owner],
        .contact = contacts[command->contact],
        .channel = script_channels[command->channel],
        .network = "email",
        .channel_address = "help@acme.example",
        .external_id = "",
        .lock_agent = "",
        .lock_session = "",
        .priority = command->priority,
        .subject = script_subject(command->subject),
        .subject_key = script_subject(command->subject),
        .labels = texts_of(b, &command->labels, script_labels),
        .classifications = class_pairs(b, &command->classes),
        .attributes = attribute_pairs(b, command->attributes),
    };
    struct case_act message = message_act(command);
    return case_rules_create(context, &template, change, err) &&
           (!command->has_message || case_rules_apply(context, &message, change, err));
}

static bool apply(struct bench *b, struct stored_case *stored, const struct model_command *command,
                  struct case_change *change, error *err)
{
    static const char *const machines[] = {"", "", "gateway", "sla", ""};
    const char *id = command->actor.kind == ACTOR_KIND_AGENT ? script_agents[command->actor.agent]
                                                             : machines[command->actor.kind];
    struct case_context context = {.memory = b->memory,
                                   .now = b->setting.now,
                                   .actor = {command->actor.kind, id, "", ""},
                                   .reopen_resolved = b->setting.reopen_resolved};
    if (command->verb == MODEL_CREATE)
        return create(b, &context, command, change, err);
    struct case_act act = act_of(b, stored, command);
    case_change_begin(change, &stored->record);
    return case_rules_apply(&context, &act, change, err);
}

/* As the store does it; which also sets the time of storing, that rules do not know. */
static void keep(struct stored_case *stored, const struct case_change *change)
{
    int32_t there = change->after.message_count - (int32_t)change->message_count;
    for (int32_t i = 0; i < there; i++) {
        struct message_record *message = &stored->messages[i];
        if (message->state != MESSAGE_STATE_NONE && message->state < change->raise_to)
            message->state = change->raise_to;
    }
    if (change->set_number && change->set_number <= there)
        stored->messages[change->set_number - 1].state = change->set_state;
    for (size_t i = 0; i < change->message_count; i++)
        stored->messages[change->messages[i].number - 1] = change->messages[i];
    stored->record = change->after;
}

/* --- comparing ---------------------------------------------------------------------------------------------
 */

static bool compare_messages(struct bench *b, const struct model_case *expected,
                             const struct stored_case *stored)
{
    int assigned = 0, in_progress = 0, responded = 0, first = 0;
    for (int i = 0; i < expected->facts.message_count; i++) {
        const struct model_message *should = &expected->messages[i];
        const struct message_record *is = &stored->messages[i];
        if (is->number != i + 1 || is->kind != should->kind || is->state != should->state ||
            is->delivery != should->delivery || is->automatic != should->automatic ||
            is->send_time != should->send_time)
            return complain(b, "message %d: kind %d state %d delivery %d sent %lld, should be %d %d %d %lld",
                            is->number, (int)is->kind, (int)is->state, (int)is->delivery,
                            (long long)is->send_time, (int)should->kind, (int)should->state,
                            (int)should->delivery, (long long)should->send_time);
        assigned += is->state == MESSAGE_STATE_ASSIGNED;
        in_progress += is->state == MESSAGE_STATE_IN_PROGRESS;
        responded += is->state == MESSAGE_STATE_RESPONDED;
        if (!first && is->state != MESSAGE_STATE_NONE && is->state != MESSAGE_STATE_CLOSED)
            first = i + 1;
    }
    const struct case_record *record = &stored->record;
    if (record->messages_assigned != assigned || record->messages_in_progress != in_progress ||
        record->messages_responded != responded)
        return complain(b, "messages are miscounted: %d %d %d, should be %d %d %d", record->messages_assigned,
                        record->messages_in_progress, record->messages_responded, assigned, in_progress,
                        responded);
    if ((first != 0) != (record->first_open_message != 0) || record->first_open_message > first)
        return complain(b, "the first open message is %d, no more than %d", first,
                        record->first_open_message);
    return true;
}

static bool compare_events(struct bench *b, const struct model_answer *answer,
                           const struct case_change *change)
{
    for (size_t i = 0; i < change->event_count || i < (size_t)answer->event_count; i++) {
        int should = i < (size_t)answer->event_count ? (int)answer->events[i].kind : 0;
        int is = i < change->event_count ? (int)change->events[i].kind : 0;
        if (should != is)
            return complain(b, "event %zu is of kind %d, should be %d", i, is, should);
        const struct case_event *found = &change->events[i];
        const struct model_event *expected = &answer->events[i];
        struct model_facts facts = facts_of(found->facts);
        const char *difference = model_facts_differ(&expected->facts, &facts);
        if (difference)
            return complain(b, "facts of event %zu of kind %d: %s", i, is, difference);
        if (found->previous_status != expected->previous_status)
            return complain(b, "event %zu: previous status %d, should be %d", i, (int)found->previous_status,
                            (int)expected->previous_status);
        if ((found->message ? found->message->number : 0) != expected->message)
            return complain(b, "event %zu: message %d, should be %d", i,
                            found->message ? found->message->number : 0, expected->message);
        char agent[24] = "";
        if (expected->agent)
            snprintf(agent, sizeof agent, "agents/%s", script_agents[expected->agent]);
        if (strcmp(found->resource, agent) != 0)
            return complain(b, "event %zu is about '%s', should be about '%s'", i, found->resource, agent);
        if (found->time != b->setting.now)
            return complain(b, "event %zu has another time", i);
    }
    return true;
}

static bool compare(struct bench *b, const struct model_case *expected, const struct model_answer *answer,
                    const struct stored_case *stored, const struct case_change *change, bool taken,
                    const error *err)
{
    enum status_code code = taken ? STATUS_OK : err->code;
    if (code != answer->code || (!taken && strcmp(err->reason, answer->reason) != 0))
        return complain(b, "answered %s %s, should be %s %s", status_code_name(code),
                        taken ? "" : err->reason, status_code_name(answer->code), answer->reason);
    if (!taken)
        return true;
    if (!compare_events(b, answer, change))
        return false;
    struct model_facts facts = facts_of(&stored->record);
    const char *difference = model_facts_differ(&expected->facts, &facts);
    return difference ? complain(b, "%s", difference) : compare_messages(b, expected, stored);
}

/* --- running -----------------------------------------------------------------------------------------------
 */

static void learn(struct bench *b, size_t place)
{
    const struct model_facts *facts = &b->expected[place].facts;
    b->known[place] = (struct script_case){
        (int64_t)place + 1,   facts->version,          facts->change_version,   facts->activity_version,
        facts->message_count, b->expected[place].last, facts->merged_into != 0, 0};
}

static void tell(struct bench *b, const struct model_command *command)
{
    if (!b->tell)
        return;
    fputs("    ", stderr);
    model_command_print(command, stderr);
    fputc('\n', stderr);
}

static bool run_step(struct bench *b, uint64_t step)
{
    struct script_view view = {.now = b->setting.now,
                               .reopen_resolved = b->setting.reopen_resolved,
                               .cases = b->known,
                               .case_count = b->case_count,
                               .case_max = CASES_MAX};
    struct model_command command;
    struct model_answer answer;
    struct case_change change;
    error err = {0};
    if (b->case_count == CASES_MAX)
        view.case_max = 0;
    script_command(step, &view, &command);
    if (command.verb == MODEL_CREATE && b->case_count == CASES_MAX)
        return true;
    tell(b, &command);
    b->commands++;
    if (command.verb == MODEL_SETTING) {
        b->setting.reopen_resolved = command.setting;
        return true;
    }
    size_t place = command.verb == MODEL_CREATE ? b->case_count : (size_t)command.number - 1;
    struct model_case *expected = &b->expected[place];
    struct stored_case *stored = &b->stored[place];
    expected->number = command.number = (int64_t)place + 1;
    case_model_apply(&b->setting, expected, &command, &answer);
    bool taken = apply(b, stored, &command, &change, &err);
    if (taken)
        keep(stored, &change);
    else
        b->refusals++;
    if (!compare(b, expected, &answer, stored, &change, taken, &err))
        return false;
    if (taken && command.verb == MODEL_CREATE)
        b->case_count++;
    learn(b, place);
    return true;
}

static size_t run_script(void *context, const uint64_t *steps, size_t length, bool telling)
{
    struct bench *b = context;
    arena_clear(b->memory);
    b->setting = (struct model_setting){.now = START};
    b->case_count = 0;
    b->tell = telling;
    for (size_t i = 0; i < length; i++) {
        uint64_t random = steps[i];
        b->setting.now += script_pick(&random, 20) ? script_pick(&random, 60000000)
                                                   : (int64_t)script_pick(&random, 90) * 3600 * 1000000;
        if (!run_step(b, steps[i])) {
            if (telling)
                fprintf(stderr, "  %s\n", b->complaint);
            return i + 1;
        }
    }
    return 0;
}

Test(case_model, rules_and_model_agree, .timeout = 600)
{
    struct bench *b = calloc(1, sizeof *b);
    size_t commands = script_commands(USUALLY);
    uint64_t seed = script_seed();
    cr_assert_not_null(b);
    b->memory = arena_new(256 * 1024 * 1024);
    fprintf(stderr, "case_model: from CASEWORK_MODEL_SEED=%llu\n", (unsigned long long)seed);
    for (; b->commands < commands; seed++)
        cr_assert(script_try(seed, SCRIPT_LENGTH, run_script, b, PATIENCE), "%s", b->complaint);
    cr_assert_gt(b->refusals * 50, b->commands, "refusals are tried too");
    arena_free(b->memory);
    free(b);
}
