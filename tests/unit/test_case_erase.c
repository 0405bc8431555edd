/* What goes with redaction and erasure, and who is gone. */

#include "case/case_erase.h"
#include "case/case_gone.h"
#include "case/case_rules.h"

#include <criterion/criterion.h>
#include <string.h>

static struct message_record message(const char *author)
{
    static const struct attachment files[] = {{"a.png", "image/png", "s3://a", 7},
                                              {"b.txt", "text/plain", "s3://b", 9}};
    return (struct message_record){
        .account = "acme",
        .case_id = 4,
        .number = 2,
        .kind = MESSAGE_KIND_AGENT,
        .delivery = DELIVERY_QUEUED,
        .author = author,
        .third_party = "lab@example.net",
        .external_id = "e1",
        .delivery_failure = "no route",
        .body = "secret",
        .attachments = files,
        .attachment_count = 2,
    };
}

Test(case_erase, redaction_takes_texts_and_places)
{
    arena *memory = arena_new(1 << 16);
    struct message_record record = message("accounts/acme/agents/anna");
    cr_assert(message_redact(memory, &record));
    cr_assert(record.redacted);
    cr_assert_str_eq(record.body, "");
    cr_assert_eq(record.attachment_count, 2);
    cr_assert_str_eq(record.attachments[1].file_name, "");
    cr_assert_str_eq(record.attachments[1].uri, "");
    cr_assert_str_eq(record.attachments[1].content_type, "text/plain");
    cr_assert_eq(record.attachments[1].size, 9);
    cr_assert_str_eq(record.external_id, "e1");
    cr_assert_str_eq(record.author, "accounts/acme/agents/anna");
    cr_assert_eq((int)record.delivery, DELIVERY_FAILED);
    cr_assert_str_eq(record.delivery_failure, CASE_DELIVERY_REDACTED);
    arena_free(memory);
}

Test(case_erase, what_was_sent_stays_sent)
{
    arena *memory = arena_new(1 << 16);
    struct message_record record = message("");
    record.delivery = DELIVERY_SENT;
    cr_assert(message_redact(memory, &record));
    cr_assert_eq((int)record.delivery, DELIVERY_SENT);
    cr_assert_str_eq(record.delivery_failure, "");
    arena_free(memory);
}

Test(case_erase, erasure_leaves_no_word_of_anybody)
{
    static const struct {
        const char *author, *left;
    } authors[] = {
        {"accounts/acme/agents/anna", "accounts/acme/agents/anna"},
        {"accounts/acme/contacts/jo-1", "accounts/acme/contacts/jo-1"},
        {"lab@example.net", ""},
        {"accounts/acme", ""},
        {"accounts/acme/agents/", ""},
        {"accounts/acme/agents/Jo Smith", ""},
        {"accounts/acme/cases/4", ""},
        {"accounts/acme/agents/anna/more", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof authors / sizeof authors[0]; i++) {
        struct message_record record = message(authors[i].author);
        message_erase_texts(&record);
        cr_assert_str_eq(record.author, authors[i].left, "%s", authors[i].author);
        cr_assert(record.redacted);
        cr_assert_str_eq(record.body, "");
        cr_assert_str_eq(record.third_party, "");
        cr_assert_str_eq(record.external_id, "");
        cr_assert_eq(record.attachment_count, 0);
        cr_assert_eq((int)record.delivery, DELIVERY_FAILED);
    }
}

/* --- the rules --- */

static struct case_record stored(enum case_status status)
{
    return (struct case_record){
        .account = "acme",
        .id = 4,
        .status = status,
        .message_count = 2,
        .version = 5,
        .change_version = 3,
        .activity_version = 2,
        .update_time = 100,
        .lock_agent = "bob",
        .lock_session = "s1",
        .owner = "",
        .contact = "jo",
        .channel = "desk",
        .network = "chat",
        .channel_address = "desk",
        .external_id = "conv",
        .subject = "secret",
        .subject_key = "secret",
    };
}

static bool apply(arena *memory, const struct case_act *act, const struct case_record *before,
                  struct case_change *change, error *err)
{
    const struct case_context context = {
        .memory = memory, .now = 500, .actor = {ACTOR_KIND_AGENT, "anna", "", ""}};
    case_change_begin(change, before);
    return case_rules_apply(&context, act, change, err);
}

Test(case_erase, nothing_holds_it_up_and_no_timer_counts_it)
{
    arena *memory = arena_new(1 << 20);
    struct message_record record = message("");
    for (int status = CASE_STATUS_NEW; status <= CASE_STATUS_DELETED; status++) {
        for (int merged = 0; merged < 2; merged++) {
            struct case_record before = stored((enum case_status)status);
            before.merged_into = merged ? 9 : 0;
            struct case_act redact = {.kind = CASE_ACT_REDACT_MESSAGE}, erase = {.kind = CASE_ACT_ERASE};
            redact.redacted = &record;
            erase.erased = "jo";
            struct case_change change;
            error err;
            cr_assert(apply(memory, &redact, &before, &change, &err), "%d: %s", status, err.message);
            cr_assert_eq(change.event_count, 1);
            cr_assert_eq((int)change.events[0].kind, EVENT_KIND_MESSAGE_REDACTED);
            cr_assert_eq(change.after.version, 6);
            cr_assert_eq(change.after.change_version, 3);
            cr_assert_eq(change.after.activity_version, 2);
            cr_assert_eq((int)change.after.status, status);
            cr_assert(apply(memory, &erase, &before, &change, &err), "%d: %s", status, err.message);
            cr_assert_eq((int)change.events[0].kind, EVENT_KIND_CONTACT_ERASED);
            cr_assert_str_eq(change.events[0].resource, "contacts/jo");
            cr_assert_eq(change.after.change_version, 3);
            cr_assert(change.after.erased);
            cr_assert_str_eq(change.after.subject, "");
            cr_assert_str_eq(change.after.subject_key, "");
            cr_assert_str_eq(change.after.external_id, "");
        }
    }
    arena_free(memory);
}

Test(case_erase, of_another_contact_a_case_tells_only)
{
    arena *memory = arena_new(1 << 20);
    struct case_record before = stored(CASE_STATUS_OPEN);
    struct case_act erase = {.kind = CASE_ACT_ERASE};
    erase.erased = "di";
    struct case_change change;
    error err;
    cr_assert(apply(memory, &erase, &before, &change, &err));
    cr_assert_eq(change.event_count, 1);
    cr_assert_str_eq(change.after.subject, "secret");
    cr_assert_not(change.after.erased);
    arena_free(memory);
}

Test(case_erase, an_erased_case_takes_no_texts)
{
    arena *memory = arena_new(1 << 20);
    for (int done = 0; done < 2; done++) {
        struct case_record before = stored(CASE_STATUS_OPEN);
        before.lock_agent = before.lock_session = "";
        before.erased = done == 1;
        before.being_erased = done == 0;
        struct case_act add = {.kind = CASE_ACT_ADD_MESSAGE}, update = {.kind = CASE_ACT_UPDATE};
        struct case_change change;
        error err;
        add.add.message = message("accounts/acme/agents/anna");
        cr_assert_not(apply(memory, &add, &before, &change, &err));
        cr_assert_str_eq(err.reason, "CONTACT_ERASED");
        update.update.fields = CASE_FIELD_SUBJECT;
        update.update.subject = update.update.subject_key = "again";
        cr_assert_not(apply(memory, &update, &before, &change, &err));
        cr_assert_str_eq(err.reason, "CONTACT_ERASED");
        update.update.fields = CASE_FIELD_PRIORITY;
        update.update.priority = 3;
        cr_assert(apply(memory, &update, &before, &change, &err), "%s", err.message);
    }
    arena_free(memory);
}

/* --- who is gone --- */

Test(case_erase, gone_accounts_are_known_by_their_whole_name)
{
    case_gone *gone = NULL;
    error err;
    cr_assert(case_gone_new(&gone, &err));
    cr_assert_not(case_gone_has(gone, "acme", 4));
    case_gone_set(gone, "acme", true);
    case_gone_set(gone, "acme", true);
    cr_assert(case_gone_has(gone, "acme/cases/1", 4));
    cr_assert_not(case_gone_has(gone, "acme2", 5));
    cr_assert_not(case_gone_has(gone, "acm", 3));
    case_gone_set(gone, "acme", false);
    cr_assert_not(case_gone_has(gone, "acme", 4));
    case_gone_free(gone);
}

Test(case_erase, an_old_list_of_the_gone_takes_nothing_back)
{
    case_gone *gone = NULL;
    error err;
    cr_assert(case_gone_new(&gone, &err));
    unsigned generation = case_gone_generation(gone);
    case_gone_set(gone, "acme", true);
    case_gone_replace(gone, generation, NULL, 0);
    cr_assert(case_gone_has(gone, "acme", 4), "deleted after the list was asked for");
    const char *const list[] = {"other"};
    case_gone_replace(gone, case_gone_generation(gone), list, 1);
    cr_assert_not(case_gone_has(gone, "acme", 4));
    cr_assert(case_gone_has(gone, "other", 5));
    case_gone_replace(gone, case_gone_generation(gone), NULL, 0);
    cr_assert_not(case_gone_has(gone, "other", 5));
    case_gone_free(gone);
}
