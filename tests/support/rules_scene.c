#include "tests/support/rules_scene.h"

#include <criterion/criterion.h>

enum { MEMORY_MAX = 16 << 20 };

arena *rules_memory;

void rules_setup(void)
{
    rules_memory = arena_new(MEMORY_MAX);
}

void rules_teardown(void)
{
    arena_free(rules_memory);
}

struct case_context rules_context(struct actor actor)
{
    return (struct case_context){.memory = rules_memory, .now = RULES_NOW, .actor = actor};
}

struct case_record rules_case(enum case_status status)
{
    struct case_record record = {
        .account = "acme",
        .id = 7,
        .status = status,
        .need_reply = true,
        .message_count = 1,
        .messages_assigned = 1,
        .first_open_message = 1,
        .create_time = RULES_T0,
        .update_time = RULES_T0,
        .status_time = RULES_T0,
        .customer_time = RULES_T0,
        .waiting_since = RULES_T0,
        .last_send_time = RULES_T0,
        .version = 5,
        .change_version = 4,
        .activity_version = 3,
        .change_time = RULES_T0,
        .activity_time = RULES_T0,
        .owner = "",
        .contact = "jo",
        .channel = "mail",
        .network = "email",
        .channel_address = "help@acme.example",
        .external_id = "",
        .lock_agent = "",
        .lock_session = "",
        .subject = "Printer",
        .subject_key = "printer",
    };
    if (status != CASE_STATUS_NEW)
        record.open_time = RULES_T0;
    if (status == CASE_STATUS_RESOLVED || status == CASE_STATUS_CLOSED)
        record.resolve_time = RULES_T0;
    if (status == CASE_STATUS_CLOSED)
        record.close_time = RULES_T0;
    if (status == CASE_STATUS_DELETED) {
        record.status_before_delete = CASE_STATUS_PENDING;
        record.delete_time = RULES_T0;
    }
    return record;
}

struct case_act rules_message(enum message_kind kind)
{
    return (struct case_act){
        .kind = CASE_ACT_ADD_MESSAGE,
        .add.message = {.kind = kind,
                        .author = "",
                        .third_party = "",
                        .external_id = "",
                        .delivery_failure = "",
                        .body = "text"},
    };
}

bool rules_try(const struct case_record *before, struct actor actor, const struct case_act *act,
               struct case_change *change, error *err)
{
    struct case_context context = rules_context(actor);
    case_change_begin(change, before);
    return case_rules_apply(&context, act, change, err);
}

struct case_change rules_done(const struct case_record *before, struct actor actor,
                              const struct case_act *act)
{
    struct case_change change;
    error err = {0};
    cr_assert(rules_try(before, actor, act, &change, &err), "%s: %s", err.reason, err.message);
    return change;
}

error rules_refusal(const struct case_record *before, struct actor actor, const struct case_act *act)
{
    struct case_change change;
    error err = {0};
    cr_assert_not(rules_try(before, actor, act, &change, &err));
    return err;
}
