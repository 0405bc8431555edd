/* The rules of forwarding and delivery, the text that third parties get, and what can be an address. */

#include "case/case_address.h"
#include "case/case_forward_text.h"
#include "case/case_rules.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

#define T0 INT64_C(1772442000000000) /* 2026-03-02T09:00:00Z */

static arena *memory;

static void setup(void)
{
    memory = arena_new(64 * 1024 * 1024);
}

static void teardown(void)
{
    arena_free(memory);
}

TestSuite(case_forward_rules, .init = setup, .fini = teardown);

static const struct actor anna = {ACTOR_KIND_AGENT, "anna", "", ""};
static const struct actor service = {ACTOR_KIND_SERVICE, "platform", "", ""};

static struct case_record case_in(enum case_status status, const char *owner)
{
    return (struct case_record){
        .account = "acme",
        .id = 7,
        .status = status,
        .need_reply = true,
        .message_count = 1,
        .messages_assigned = 1,
        .first_open_message = 1,
        .create_time = T0,
        .update_time = T0,
        .version = 5,
        .owner = owner,
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
}

static struct message_record message_of(enum message_kind kind)
{
    return (struct message_record){
        .account = "acme",
        .case_id = 7,
        .number = 1,
        .kind = kind,
        .author = "",
        .third_party = "",
        .external_id = "",
        .delivery_failure = "",
        .body = "text",
        .send_time = T0,
    };
}

static bool apply(const struct case_record *before, struct actor actor, const struct case_act *act,
                  struct case_change *change, error *err)
{
    struct case_context context = {.memory = memory, .now = T0 + 1000000, .actor = actor};
    *err = (error){0};
    case_change_begin(change, before);
    return case_rules_apply(&context, act, change, err);
}

/* --- forwarding, in every status --------------------------------------------------------------------------
 */

static struct case_act to_agent(const struct message_record *message, const char *agent)
{
    return (struct case_act){.kind = CASE_ACT_FORWARD, .forward = {.message = message, .agent = agent}};
}

Test(case_forward_rules, every_status)
{
    struct message_record text = message_of(MESSAGE_KIND_TO_THIRD_PARTY);
    struct case_act act = {.kind = CASE_ACT_FORWARD, .forward = {.agent = "", .text = &text}};
    for (enum case_status status = CASE_STATUS_NEW; status <= CASE_STATUS_DELETED; status++) {
        struct case_record before = case_in(status, "");
        struct case_change change;
        error err;
        bool done = apply(&before, anna, &act, &change, &err);
        cr_assert_eq(done, status != CASE_STATUS_DELETED, "%s", case_status_name(status));
        if (!done) {
            cr_assert_str_eq(err.reason, "CASE_DELETED");
            continue;
        }
        bool is_new = status == CASE_STATUS_NEW;
        cr_assert_eq(change.after.status, is_new ? CASE_STATUS_OPEN : status);
        cr_assert_str_eq(change.after.owner, is_new ? "anna" : "", "only opening makes her the owner");
        cr_assert_eq(change.message_count, 1);
        cr_assert_eq(change.messages[0].delivery, DELIVERY_QUEUED);
        cr_assert(change.after.need_reply);
        cr_assert_eq(change.events[change.event_count - 1].kind, EVENT_KIND_CASE_FORWARDED);
    }
}

Test(case_forward_rules, a_merged_case_forwards_nothing)
{
    struct case_record before = case_in(CASE_STATUS_OPEN, "anna");
    before.merged_into = 9;
    struct case_act act = to_agent(NULL, "bob");
    struct case_change change;
    error err;
    cr_assert_not(apply(&before, anna, &act, &change, &err));
    cr_assert_str_eq(err.reason, "CASE_MERGED");
}

Test(case_forward_rules, a_service_opens_nothing)
{
    struct case_record before = case_in(CASE_STATUS_NEW, "");
    struct case_act act = to_agent(NULL, "bob");
    struct case_change change;
    error err;
    cr_assert(apply(&before, service, &act, &change, &err));
    cr_assert_eq(change.after.status, CASE_STATUS_NEW);
    cr_assert_str_eq(change.after.owner, "bob");
    cr_assert_eq(change.after.involved.count, 0, "nobody owned it before");
}

Test(case_forward_rules, the_owner_is_told_but_nothing_else_changes)
{
    struct case_record before = case_in(CASE_STATUS_OPEN, "bob");
    struct message_record message = message_of(MESSAGE_KIND_CUSTOMER);
    struct case_change change;
    error err;
    for (int i = 0; i < 2; i++) {
        struct case_act act = to_agent(i == 0 ? &message : NULL, "bob");
        cr_assert(apply(&before, anna, &act, &change, &err));
        cr_assert_eq(change.event_count, 1);
        cr_assert_str_eq(change.events[0].resource, "agents/bob");
        cr_assert_eq(change.after.version, before.version + 1);
        cr_assert_eq(change.after.change_version, before.change_version, "no change for the 72 hours");
        cr_assert_eq(change.after.activity_version, before.activity_version);
    }
}

Test(case_forward_rules, a_forwarded_message_is_activity_and_a_note_is_not)
{
    struct case_record before = case_in(CASE_STATUS_RESOLVED, "anna");
    struct message_record note = message_of(MESSAGE_KIND_NOTE), out = message_of(MESSAGE_KIND_TO_THIRD_PARTY);
    struct case_act act = to_agent(NULL, "anna");
    struct case_change change;
    error err;
    act.forward.text = &note;
    cr_assert(apply(&before, anna, &act, &change, &err));
    cr_assert_eq(change.after.activity_version, before.activity_version);
    cr_assert_gt(change.after.change_version, before.change_version);
    cr_assert_eq(change.messages[0].delivery, DELIVERY_NONE);
    act.forward.agent = "";
    act.forward.text = &out;
    cr_assert(apply(&before, anna, &act, &change, &err));
    cr_assert_gt(change.after.activity_version, before.activity_version);
}

/* --- deliveries -------------------------------------------------------------------------------------------
 */

Test(case_forward_rules, deliveries_by_state)
{
    enum { REFUSED = -1, NOTHING, CHANGED };
    static const int expected[4][2] = {
        [DELIVERY_NONE] = {REFUSED, REFUSED},
        [DELIVERY_QUEUED] = {CHANGED, CHANGED},
        [DELIVERY_SENT] = {NOTHING, REFUSED},
        [DELIVERY_FAILED] = {CHANGED, NOTHING},
    };
    for (enum delivery_state from = DELIVERY_NONE; from <= DELIVERY_FAILED; from++) {
        for (enum delivery_state to = DELIVERY_SENT; to <= DELIVERY_FAILED; to++) {
            struct case_record before = case_in(CASE_STATUS_DELETED, "anna");
            struct message_record message = message_of(MESSAGE_KIND_AGENT);
            message.delivery = from;
            struct case_act act = {.kind = CASE_ACT_REPORT_DELIVERY,
                                   .report = {&message, to, to == DELIVERY_FAILED ? "why" : "", "m1"}};
            struct case_change change;
            error err;
            int wanted = expected[from][to - DELIVERY_SENT];
            bool done = apply(&before, service, &act, &change, &err);
            cr_assert_eq(done, wanted != REFUSED, "%d to %d", from, to);
            if (!done) {
                cr_assert_str_eq(err.reason, from == DELIVERY_NONE ? "NOT_OUTGOING" : "ALREADY_SENT");
                continue;
            }
            cr_assert_eq(change.event_count, (size_t)wanted);
            cr_assert_eq(change.reported != NULL, wanted == CHANGED);
            if (wanted == CHANGED) {
                cr_assert_eq(change.reported->delivery, to);
                cr_assert_str_eq(change.reported->delivery_failure, to == DELIVERY_FAILED ? "why" : "");
                cr_assert_str_eq(change.reported->external_id, "m1");
                cr_assert_eq(change.after.status, CASE_STATUS_DELETED);
            }
        }
    }
}

/* --- the text ----------------------------------------------------------------------------------------------
 */

static struct transcript_line line_of(enum message_kind kind, const char *author, const char *body)
{
    struct transcript_line line = {.message = message_of(kind), .author = author};
    line.message.body = body;
    return line;
}

static char *filled(const char *unit, size_t size)
{
    size_t length = strlen(unit);
    char *text = arena_alloc(memory, size + 1);
    for (size_t i = 0; i < size; i++)
        text[i] = unit[i % length];
    text[size] = '\0';
    return text;
}

Test(case_forward_rules, names_where_they_are_known)
{
    struct transcript_line lines[] = {
        line_of(MESSAGE_KIND_SURVEY, "", "e"),    line_of(MESSAGE_KIND_AGENT, "", "d"),
        line_of(MESSAGE_KIND_CUSTOMER, "", "c"),  line_of(MESSAGE_KIND_SYSTEM, "", "b"),
        line_of(MESSAGE_KIND_AGENT, "Anna", "a"),
    };
    lines[2].message.redacted = true;
    cr_assert_str_eq(case_forward_text(memory, "", "Printer", lines, 5, false),
                     "---------- Forwarded conversation ----------\nSubject: Printer\n\n"
                     "From: Anna\nDate: 2026-03-02 09:00:00 UTC\n\na\n\n"
                     "From: System\nDate: 2026-03-02 09:00:00 UTC\n\nb\n\n"
                     "From: Customer\nDate: 2026-03-02 09:00:00 UTC\n\n[The text was removed.]\n\n"
                     "From: Support\nDate: 2026-03-02 09:00:00 UTC\n\nd\n\n"
                     "From: Support\nDate: 2026-03-02 09:00:00 UTC\n\ne\n");
    struct transcript_line third = line_of(MESSAGE_KIND_FROM_THIRD_PARTY, "", "x");
    third.message.third_party = "lab@example.net";
    cr_assert_not_null(
        strstr(case_forward_text(memory, "", NULL, &third, 1, false), "From: lab@example.net\n"));
    cr_assert_str_eq(case_forward_text(memory, "only this", "s", NULL, 0, false), "only this");
}

Test(case_forward_rules, never_more_than_a_body_and_always_whole_characters)
{
    for (size_t note = 0; note < 4; note++) {
        for (size_t over = 0; over < 6; over++) {
            struct transcript_line line = line_of(MESSAGE_KIND_CUSTOMER, "Jo",
                                                  filled("\xe2\x82\xac", CASE_BODY_MAX / 3 * 3 - over * 3));
            char *text = case_forward_text(memory, filled("n", note), NULL, &line, 1, false);
            size_t length = strlen(text);
            cr_assert_leq(length, CASE_BODY_MAX);
            cr_assert_geq(length, CASE_BODY_MAX - 8);
            const char *end = strstr(text, "\n[The rest was cut off.]");
            cr_assert_not_null(end);
            cr_assert_eq(memcmp(end - 3, "\xe2\x82\xac", 3), 0);
            arena_clear(memory);
        }
    }
}

Test(case_forward_rules, the_earliest_messages_are_left_out)
{
    enum { LINES = 5, BYTES = 300 * 1024 };
    struct transcript_line lines[LINES];
    for (int i = 0; i < LINES; i++)
        lines[i] = line_of(MESSAGE_KIND_CUSTOMER, "Jo", filled((const char[]){(char)('a' + i), '\0'}, BYTES));
    char *text = case_forward_text(memory, "note", "s", lines, LINES, false);
    cr_assert_leq(strlen(text), CASE_BODY_MAX);
    cr_assert_not_null(strstr(text, "[Earlier messages were left out.]"));
    cr_assert_null(strstr(text, "dddd"));
    cr_assert_not_null(strstr(text, "cccc"));
    cr_assert_lt(strstr(text, "cccc"), strstr(text, "aaaa"), "the latest comes last");
    cr_assert_null(strstr(case_forward_text(memory, "", "s", lines, 3, false), "left out"));
    cr_assert_not_null(strstr(case_forward_text(memory, "", "s", lines, 3, true), "left out"));
}

/* --- addresses ---------------------------------------------------------------------------------------------
 */

static bool is_good(const char *address, const char *network)
{
    error err = {0};
    bool good = address_check_third_party(address, network, "help@acme.example", "third_party", &err);
    cr_assert(good || err.code == STATUS_INVALID_ARGUMENT);
    return good;
}

Test(case_forward_rules, addresses_by_network)
{
    cr_assert(is_good("lab@example.net", "email"));
    cr_assert(is_good("j\xc3\xb6rg+x@b\xc3\xbc"
                      "cher.example",
                      "email"));
    cr_assert_not(is_good("lab", "email"));
    cr_assert_not(is_good("lab@", "email"));
    cr_assert_not(is_good("lab@.net", "email"));
    cr_assert_not(is_good("lab@example.", "email"));
    cr_assert_not(is_good("a@b@example.net", "email"));
    cr_assert_not(is_good("Lab <lab@example.net>", "email"));
    cr_assert_not(is_good("Help@Acme.Example", "email"));
    cr_assert(is_good("+31 (0)20-123.45/67", "phone"));
    cr_assert_not(is_good("call me", "phone"));
    cr_assert_not(is_good("12+34", "phone"));
    cr_assert_not(is_good("-", "phone"));
    cr_assert(is_good("@lab", "twitter"));
    cr_assert_not(is_good("lab ", "twitter"));
    cr_assert_not(is_good("\t", "twitter"));
    cr_assert_not(is_good("...", "twitter"));
    cr_assert_not(is_good("a\xe2\x80\xa8z", "twitter"));
}
