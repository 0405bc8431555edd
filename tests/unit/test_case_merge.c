/* Merging cases and undoing it: the rules alone. */

#include "case/case_rules_merge.h"
#include "case/case_watch_filter.h"

#include <criterion/criterion.h>
#include <string.h>

#define T0 INT64_C(1000000000000000)
#define MINUTE INT64_C(60000000)
#define NOW (T0 + 1000 * MINUTE)

static arena *memory;

static void setup(void)
{
    memory = arena_new(64 * 1024 * 1024);
}

static void teardown(void)
{
    arena_free(memory);
}

TestSuite(case_merge_rules, .init = setup, .fini = teardown);

static struct case_context context_of(const char *agent)
{
    struct actor actor = {agent[0] == '\0' ? ACTOR_KIND_SERVICE : ACTOR_KIND_AGENT, agent, "", ""};
    return (struct case_context){.memory = memory, .now = NOW, .actor = actor};
}

static struct case_record record_of(int64_t id, enum case_status status)
{
    return (struct case_record){
        .account = "acme",
        .id = id,
        .status = status,
        .create_time = T0,
        .update_time = T0,
        .status_time = T0,
        .change_time = T0,
        .activity_time = T0,
        .version = 5,
        .change_version = 4,
        .activity_version = 3,
        .owner = "",
        .contact = "jo",
        .channel = "mail",
        .network = "email",
        .channel_address = "help@acme.example",
        .external_id = "",
        .lock_agent = "",
        .lock_session = "",
        .subject = "",
        .subject_key = "",
    };
}

/* Messages of a case: c customer, a agent (anna), n note; a minute apart from `start` on. The record is
 * brought up to date. */
static struct case_conversation conversation_of(struct case_record *record, const char *kinds, int64_t start)
{
    size_t count = strlen(kinds);
    struct message_record *items = arena_calloc(memory, count + 1, sizeof *items);
    for (size_t i = 0; i < count; i++) {
        enum message_kind kind = kinds[i] == 'c'   ? MESSAGE_KIND_CUSTOMER
                                 : kinds[i] == 'a' ? MESSAGE_KIND_AGENT
                                                   : MESSAGE_KIND_NOTE;
        items[i] = (struct message_record){
            .account = "acme",
            .case_id = record->id,
            .number = (int32_t)i + 1,
            .kind = kind,
            .state = kind == MESSAGE_KIND_CUSTOMER ? MESSAGE_STATE_ASSIGNED : MESSAGE_STATE_NONE,
            .send_time = start + (int64_t)i * MINUTE,
            .create_time = start + (int64_t)i * MINUTE,
            .author =
                kind == MESSAGE_KIND_CUSTOMER ? "accounts/acme/contacts/jo" : "accounts/acme/agents/anna",
            .third_party = "",
            .external_id = "",
            .delivery_failure = "",
            .body = "",
        };
    }
    struct case_conversation conversation = {items, count};
    error err;
    cr_assert(case_rules_recount(memory, &conversation, false, record, &err));
    return conversation;
}

static struct case_merge_change merge(const char *agent, const struct case_record *source,
                                      const struct case_record *target, struct case_conversation of_source,
                                      struct case_conversation of_target)
{
    struct case_context context = context_of(agent);
    struct case_merge_change change = {0};
    error err;
    cr_assert(case_rules_merge(&context, source, 0, target, 0, &of_source, &of_target, &change, &err), "%s",
              err.message);
    return change;
}

static error refused(const struct case_record *source, const struct case_record *target)
{
    struct case_context context = context_of("anna");
    struct case_conversation nothing = {0};
    struct case_merge_change change;
    error err = {0};
    cr_assert_not(case_rules_merge(&context, source, 0, target, 0, &nothing, &nothing, &change, &err));
    return err;
}

Test(case_merge_rules, messages_join_behind_the_last_number_and_the_case_reads_by_time)
{
    struct case_record source = record_of(3, CASE_STATUS_OPEN), target = record_of(7, CASE_STATUS_OPEN);
    struct case_conversation of_source = conversation_of(&source, "cca", T0);
    struct case_conversation of_target = conversation_of(&target, "c", T0 + 100 * MINUTE);
    struct case_merge_change change = merge("", &source, &target, of_source, of_target);
    const struct case_record *after = &change.target.after;
    cr_assert_eq(after->message_count, 4);
    cr_assert_eq(after->messages_left, 0);
    cr_assert_eq(change.copy_count, 3);
    cr_assert_eq(change.copies[0].number, 2);
    cr_assert_eq(change.copies[2].number, 4);
    cr_assert_eq(change.copies[2].merged_from, 3);
    cr_assert_eq(change.copies[2].origin_case, 3);
    cr_assert_eq(change.copies[2].origin_number, 3);
    cr_assert_eq(after->customer_time, T0);
    cr_assert_eq(after->customer_number, 2);
    cr_assert_eq(after->first_reply_time, T0 + 2 * MINUTE);
    cr_assert_eq(after->waiting_since, T0 + 100 * MINUTE);
    cr_assert_eq(after->waiting_number, 1);
    cr_assert(after->need_reply);
    cr_assert_eq(after->messages_assigned, 3);
    cr_assert_eq(after->first_open_message, 1);
    cr_assert_eq(after->change_version, 5);
    cr_assert_eq(after->activity_version, 4);
    cr_assert_eq(after->change_time, NOW);
    cr_assert_eq(change.source.after.merged_into, 7);
    cr_assert_eq(change.source.after.message_count, 3);
    cr_assert_eq(change.source.events[0].kind, EVENT_KIND_CASES_MERGED);
    cr_assert_eq(change.source.events[0].related_case, 7);
    cr_assert_eq(change.source.events[0].moved_count, 3);
    cr_assert_eq(change.source.events[0].moved[2].number, 3);
    cr_assert_eq(change.target.events[0].related_case, 3);
    cr_assert_eq(change.target.events[0].moved[2].number, 4);
    cr_assert_eq(change.target.events[0].facts->message_count, 4);
}

Test(case_merge_rules, what_came_later_by_time_decides_who_wrote_last)
{
    struct case_record source = record_of(3, CASE_STATUS_OPEN), target = record_of(7, CASE_STATUS_OPEN);
    struct case_conversation of_source = conversation_of(&source, "c", T0);
    struct case_conversation of_target = conversation_of(&target, "ca", T0 + 100 * MINUTE);
    struct case_merge_change change = merge("", &source, &target, of_source, of_target);
    cr_assert_not(change.target.after.need_reply);
    cr_assert_eq(change.target.after.waiting_since, 0);
}

Test(case_merge_rules, an_agent_opens_the_target_and_leaves_the_source_as_it_was)
{
    struct case_record source = record_of(3, CASE_STATUS_NEW), target = record_of(7, CASE_STATUS_NEW);
    struct case_conversation of_source = conversation_of(&source, "c", T0);
    struct case_conversation of_target = conversation_of(&target, "c", T0);
    struct case_merge_change change = merge("anna", &source, &target, of_source, of_target);
    cr_assert_eq(change.target.after.status, CASE_STATUS_OPEN);
    cr_assert_str_eq(change.target.after.owner, "anna");
    cr_assert_eq(change.target.after.messages_in_progress, 1); /* its own, by the opening */
    cr_assert_eq(change.target.after.messages_assigned, 1);
    cr_assert_eq(change.source.after.status, CASE_STATUS_NEW);
    cr_assert_str_eq(change.source.after.owner, "");
    cr_assert_eq(change.source.event_count, 1);
    cr_assert_eq(change.target.event_count, 2);
}

Test(case_merge_rules, a_merge_into_the_same_target_again_does_nothing)
{
    struct case_record source = record_of(3, CASE_STATUS_OPEN), target = record_of(7, CASE_STATUS_OPEN);
    source.merged_into = 7;
    struct case_conversation nothing = {0};
    struct case_merge_change change = merge("anna", &source, &target, nothing, nothing);
    cr_assert_eq(change.source.event_count, 0);
    cr_assert_eq(change.target.event_count, 0);
}

Test(case_merge_rules, what_cannot_be_merged_is_refused_with_the_reason)
{
    struct case_record fine = record_of(3, CASE_STATUS_OPEN), other = record_of(7, CASE_STATUS_OPEN);
    struct case_record merged = record_of(8, CASE_STATUS_OPEN), gone = record_of(9, CASE_STATUS_DELETED);
    struct case_record closed = record_of(10, CASE_STATUS_CLOSED);
    merged.merged_into = 4;
    error err = refused(&merged, &fine);
    cr_assert_str_eq(err.reason, "CASE_MERGED");
    cr_assert_str_eq(err.info[0].key, "target");
    cr_assert_str_eq(err.info[0].value, "accounts/acme/cases/4");
    cr_assert_str_eq(refused(&fine, &merged).reason, "CASE_MERGED");
    cr_assert_str_eq(refused(&gone, &fine).reason, "CASE_DELETED");
    cr_assert_str_eq(refused(&fine, &gone).reason, "CASE_DELETED");
    cr_assert_str_eq(refused(&fine, &closed).reason, "CASE_CLOSED");
    struct case_conversation nothing = {0};
    merge("anna", &closed, &fine, nothing, nothing); /* an old conversation may join */
    other.lock_agent = "bob";
    other.lock_session = "s1";
    cr_assert_str_eq(refused(&fine, &other).reason, "CASE_LOCKED");
    cr_assert_str_eq(refused(&other, &fine).reason, "CASE_LOCKED");
}

Test(case_merge_rules, too_large_a_conversation_is_refused)
{
    struct case_record source = record_of(3, CASE_STATUS_OPEN), target = record_of(7, CASE_STATUS_OPEN);
    struct message_record *many = arena_calloc(memory, CASE_MERGE_MESSAGES_MAX + 1, sizeof *many);
    struct case_conversation of_source = {many, CASE_MERGE_MESSAGES_MAX + 1}, nothing = {0};
    struct case_context context = context_of("");
    struct case_merge_change change;
    error err = {0};
    cr_assert_not(case_rules_merge(&context, &source, 0, &target, 0, &of_source, &nothing, &change, &err));
    cr_assert_str_eq(err.reason, "CASE_TOO_LARGE");
}

Test(case_merge_rules, etags_of_both_are_compared)
{
    struct case_record source = record_of(3, CASE_STATUS_OPEN), target = record_of(7, CASE_STATUS_OPEN);
    struct case_conversation nothing = {0};
    struct case_context context = context_of("anna");
    struct case_merge_change change;
    error err = {0};
    cr_assert_not(case_rules_merge(&context, &source, 4, &target, 0, &nothing, &nothing, &change, &err));
    cr_assert_str_eq(err.reason, "ETAG_MISMATCH");
    cr_assert_not(case_rules_merge(&context, &source, 5, &target, 4, &nothing, &nothing, &change, &err));
    cr_assert_str_eq(err.reason, "ETAG_MISMATCH");
    cr_assert(case_rules_merge(&context, &source, 5, &target, 5, &nothing, &nothing, &change, &err));
}

/* --- undoing ----------------------------------------------------------------------------------------------
 */

static struct case_conversation with_copies(struct case_conversation own,
                                            const struct case_merge_change *change, const char *later,
                                            const char *author)
{
    size_t count = own.count + change->copy_count + strlen(later);
    struct message_record *items = arena_calloc(memory, count + 1, sizeof *items);
    memcpy(items, own.items, own.count * sizeof *items);
    memcpy(items + own.count, change->copies, change->copy_count * sizeof *items);
    for (size_t i = own.count + change->copy_count; i < count; i++) {
        bool customer = later[i - own.count - change->copy_count] == 'c';
        items[i] = own.items[0];
        items[i].number = (int32_t)i + 1;
        items[i].kind = customer ? MESSAGE_KIND_CUSTOMER : MESSAGE_KIND_AGENT;
        items[i].state = customer ? MESSAGE_STATE_ASSIGNED : MESSAGE_STATE_NONE;
        items[i].author = author;
        items[i].send_time = NOW + (int64_t)i * MINUTE;
    }
    return (struct case_conversation){items, count};
}

static struct case_merge_change unmerge(const struct case_merge_change *done,
                                        struct case_conversation of_source,
                                        struct case_conversation of_target, struct case_merge *other)
{
    struct case_context context = context_of("anna");
    struct case_merge own = done->merge;
    struct case_merge *merges[] = {&own, other};
    struct case_merge_change change = {0};
    error err;
    cr_assert(case_rules_unmerge(&context, &done->source.after, 0, &done->target.after, &of_source,
                                 &of_target, merges, other == NULL ? 1 : 2, &change, &err),
              "%s", err.message);
    return change;
}

/* Everything that has to come back. */
static void assert_restored(const struct case_record *after, const struct case_record *before)
{
    cr_assert_eq(after->merged_into, 0);
    cr_assert_eq(after->status, before->status);
    cr_assert_eq(after->message_count, before->message_count);
    cr_assert_eq(after->messages_left, before->messages_left);
    cr_assert_eq(after->messages_assigned, before->messages_assigned);
    cr_assert_eq(after->messages_in_progress, before->messages_in_progress);
    cr_assert_eq(after->messages_responded, before->messages_responded);
    cr_assert_eq(after->first_open_message, before->first_open_message);
    cr_assert_eq(after->customer_time, before->customer_time);
    cr_assert_eq(after->waiting_since, before->waiting_since);
    cr_assert_eq(after->first_reply_time, before->first_reply_time);
    cr_assert_eq(after->last_send_time, before->last_send_time);
    cr_assert_eq(after->need_reply, before->need_reply);
    cr_assert_eq(after->involved.count, before->involved.count);
    cr_assert_gt(after->version, before->version);
    cr_assert_gt(after->change_version, before->change_version);
}

Test(case_merge_rules, undoing_restores_both)
{
    struct case_record source = record_of(3, CASE_STATUS_RESOLVED), target = record_of(7, CASE_STATUS_OPEN);
    const char *helpers[] = {"bob"};
    source.owner = "anna";
    source.involved = (struct text_list){helpers, 1};
    target.owner = "eve";
    struct case_conversation of_source = conversation_of(&source, "cacn", T0 + 5 * MINUTE);
    struct case_conversation of_target = conversation_of(&target, "cnc", T0);
    struct case_merge_change done = merge("eve", &source, &target, of_source, of_target);
    cr_assert_eq(done.target.after.involved.count, 2);
    struct case_merge_change undone = unmerge(&done, of_source, with_copies(of_target, &done, "", ""), NULL);
    assert_restored(&undone.source.after, &source);
    assert_restored(&undone.target.after, &target);
    cr_assert_eq(undone.source.after.change_time, NOW, "the close timer starts anew");
    cr_assert_eq(undone.target.events[0].kind, EVENT_KIND_CASES_UNMERGED);
    cr_assert_eq(undone.target.events[0].moved_count, 4);
    cr_assert_eq(undone.target.events[0].moved[0].number, 4);
    cr_assert_eq(undone.source.events[0].moved[0].number, 1);
}

Test(case_merge_rules, what_came_later_stays_with_its_number)
{
    struct case_record source = record_of(3, CASE_STATUS_OPEN), target = record_of(7, CASE_STATUS_OPEN);
    source.owner = "anna";
    target.owner = "eve";
    struct case_conversation of_source = conversation_of(&source, "cc", T0);
    struct case_conversation of_target = conversation_of(&target, "c", T0);
    struct case_merge_change done = merge("eve", &source, &target, of_source, of_target);
    struct case_conversation all = with_copies(of_target, &done, "ca", "accounts/acme/agents/anna");
    struct case_merge_change undone = unmerge(&done, of_source, all, NULL);
    const struct case_record *after = &undone.target.after;
    cr_assert_eq(after->message_count, 3);
    cr_assert_eq(after->messages_left, 2);
    cr_assert_eq(case_last_number(after), 5);
    cr_assert_eq(after->involved.count, 1, "anna has replied herself");
    cr_assert_not(after->need_reply);
}

Test(case_merge_rules, another_merge_keeps_its_agents_and_the_order_by_time)
{
    struct case_record source = record_of(3, CASE_STATUS_OPEN), target = record_of(7, CASE_STATUS_OPEN);
    source.owner = "anna";
    target.owner = "eve";
    struct case_conversation of_source = conversation_of(&source, "c", T0);
    struct case_conversation of_target = conversation_of(&target, "c", T0);
    struct case_merge_change done = merge("eve", &source, &target, of_source, of_target);
    const char *agents[] = {"anna"};
    struct case_merge other = {.source = 4, .target = 7, .agents = {agents, 1}};
    struct case_merge_change undone =
        unmerge(&done, of_source, with_copies(of_target, &done, "", ""), &other);
    cr_assert_eq(undone.target.after.involved.count, 1);
    cr_assert_eq(other.added.count, 1, "the other merge answers for her now");
}

Test(case_merge_rules, what_is_not_merged_or_has_moved_on_cannot_be_undone)
{
    struct case_record source = record_of(3, CASE_STATUS_OPEN), target = record_of(7, CASE_STATUS_OPEN);
    struct case_conversation nothing = {0};
    struct case_context context = context_of("anna");
    struct case_merge_change change;
    struct case_merge merge_done = {.source = 3, .target = 7}, *merges[] = {&merge_done};
    error err = {0};
    cr_assert_not(
        case_rules_unmerge(&context, &source, 0, &source, &nothing, &nothing, merges, 0, &change, &err));
    cr_assert_str_eq(err.reason, "NOT_MERGED");
    source.merged_into = 7;
    target.merged_into = 9;
    cr_assert_not(
        case_rules_unmerge(&context, &source, 0, &target, &nothing, &nothing, merges, 1, &change, &err));
    cr_assert_str_eq(err.reason, "CASE_MERGED");
    target.merged_into = 0;
    target.status = CASE_STATUS_DELETED;
    cr_assert_not(
        case_rules_unmerge(&context, &source, 0, &target, &nothing, &nothing, merges, 1, &change, &err));
    cr_assert_str_eq(err.reason, "CASE_DELETED");
    cr_assert_not(
        case_rules_unmerge(&context, &source, 4, &target, &nothing, &nothing, merges, 1, &change, &err));
    cr_assert_str_eq(err.reason, "ETAG_MISMATCH");
}

/* --- a merged case ----------------------------------------------------------------------------------------
 */

Test(case_merge_rules, a_merged_case_takes_no_change)
{
    struct case_record merged = record_of(3, CASE_STATUS_RESOLVED);
    merged.merged_into = 7;
    struct case_context context = context_of("anna");
    for (int kind = CASE_ACT_OPEN; kind <= CASE_ACT_RECORD_TIMER_STEP; kind++) {
        struct case_act act = {.kind = (enum case_act_kind)kind};
        if (kind == CASE_ACT_REPORT_DELIVERY)
            continue; /* what was to be sent is sent all the same */
        struct case_change change;
        error err = {0};
        case_change_begin(&change, &merged);
        bool done = case_rules_apply(&context, &act, &change, &err);
        cr_assert_eq(done, kind == CASE_ACT_OPEN, "act %d", kind);
        cr_assert_eq(change.event_count, 0);
        if (!done)
            cr_assert_str_eq(err.reason, "CASE_MERGED");
    }
}

Test(case_merge_rules, a_merged_case_is_in_no_folder_that_is_watched)
{
    Casework__Cases__V1__CaseFacts facts = CASEWORK__CASES__V1__CASE_FACTS__INIT;
    const struct watch_cut cut = {0};
    facts.status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_OPEN;
    struct watch_filter filter = {.folder = FOLDER_OPEN};
    cr_assert(watch_filter_matches(&filter, &cut, 3, &facts));
    facts.merged_into = (char *)(uintptr_t) "accounts/acme/cases/7";
    cr_assert_not(watch_filter_matches(&filter, &cut, 3, &facts));
    filter.folder = FOLDER_ALL;
    cr_assert_not(watch_filter_matches(&filter, &cut, 3, &facts));
    filter.case_id = 3;
    cr_assert(watch_filter_matches(&filter, &cut, 3, &facts));
}

/* --- timer steps ------------------------------------------------------------------------------------------
 */

static error record_step(struct case_record record, enum timer_kind kind, enum timer_step_kind step,
                         int64_t basis, int64_t due, int64_t reply, struct case_change *ret_change)
{
    struct case_context context = context_of("");
    struct case_act act = {.kind = CASE_ACT_RECORD_TIMER_STEP};
    act.timer.step = (struct timer_step){kind, step, basis, due, 0};
    act.timer.reply_time = reply;
    error err = {0};
    case_change_begin(ret_change, &record);
    cr_assert_eq(case_rules_apply(&context, &act, ret_change, &err), err.code == STATUS_OK);
    return err;
}

Test(case_merge_rules, timer_steps_are_taken_while_they_are_true)
{
    struct case_record record = record_of(3, CASE_STATUS_OPEN);
    conversation_of(&record, "cac", T0); /* 3 waits since T0 + 2 minutes */
    struct case_change change;
    const int64_t due = T0 + 10 * MINUTE;
    error err = record_step(record, TIMER_KIND_NEXT_REPLY, TIMER_STEP_WARNED, 3, due, 0, &change);
    cr_assert_eq(err.code, STATUS_OK);
    cr_assert_eq(change.events[0].kind, EVENT_KIND_TIMER_STEP);
    cr_assert_eq(change.events[0].time, NOW);
    cr_assert_eq(change.after.update_time, T0, "nobody has changed the case");
    cr_assert_eq(change.after.version, record.version + 1);
    cr_assert_eq(change.after.change_version, record.change_version);
    err = record_step(record, TIMER_KIND_NEXT_REPLY, TIMER_STEP_WARNED, 3, NOW + 1, 0, &change);
    cr_assert_str_eq(err.reason, "NOT_DUE");
    err = record_step(record, TIMER_KIND_NEXT_REPLY, TIMER_STEP_MET, 3, due, 0, &change);
    cr_assert_str_eq(err.reason, "NOT_DUE");
    err = record_step(record, TIMER_KIND_NEXT_REPLY, TIMER_STEP_WARNED, 2, due, 0, &change);
    cr_assert_str_eq(err.reason, "STALE_VERSION");
    cr_assert_eq(err.code, STATUS_ABORTED);
    /* 1 was replied to at T0 + 1 minute */
    const int64_t reply = T0 + MINUTE;
    err = record_step(record, TIMER_KIND_FIRST_REPLY, TIMER_STEP_WARNED, 1, T0, reply, &change);
    cr_assert_str_eq(err.reason, "STALE_VERSION");
    err = record_step(record, TIMER_KIND_FIRST_REPLY, TIMER_STEP_BREACHED, 1, due, reply, &change);
    cr_assert_str_eq(err.reason, "STALE_VERSION", "replied in time");
    err = record_step(record, TIMER_KIND_FIRST_REPLY, TIMER_STEP_BREACHED, 1, T0, reply, &change);
    cr_assert_eq(err.code, STATUS_OK, "replied too late");
    err = record_step(record, TIMER_KIND_FIRST_REPLY, TIMER_STEP_MET, 1, due, reply, &change);
    cr_assert_eq(err.code, STATUS_OK);
    err = record_step(record, TIMER_KIND_FIRST_REPLY, TIMER_STEP_MET, 2, due, reply, &change);
    cr_assert_str_eq(err.reason, "STALE_VERSION");
    err = record_step(record, TIMER_KIND_CLOSE, TIMER_STEP_WARNED, record.change_version, due, 0, &change);
    cr_assert_eq(err.code, STATUS_OK);
    err = record_step(record, TIMER_KIND_CLOSE, TIMER_STEP_WARNED, 99, due, 0, &change);
    cr_assert_str_eq(err.reason, "STALE_VERSION");
    err = record_step(record, TIMER_KIND_RESOLUTION, TIMER_STEP_BREACHED, 1, due, 0, &change);
    cr_assert_eq(err.code, STATUS_OK);
    err = record_step(record, TIMER_KIND_RESOLUTION, TIMER_STEP_BREACHED, 3, due, 0, &change);
    cr_assert_str_eq(err.reason, "STALE_VERSION");
}

/* --- labels -----------------------------------------------------------------------------------------------
 */

Test(case_merge_rules, labels_are_put_on_once_and_taken_off)
{
    struct case_record record = record_of(3, CASE_STATUS_OPEN);
    const char *has[] = {"vip", "late"}, *more[] = {"late", "paid"};
    record.labels = (struct text_list){has, 2};
    struct case_context context = context_of("anna");
    struct case_act act = {.kind = CASE_ACT_ADD_LABELS, .labels = {more, 2}};
    struct case_change change;
    error err;
    case_change_begin(&change, &record);
    cr_assert(case_rules_apply(&context, &act, &change, &err));
    cr_assert_eq(change.after.labels.count, 3);
    cr_assert_str_eq(change.after.labels.items[2], "paid");
    cr_assert_str_eq(change.events[0].changed_fields[0], "labels");
    case_change_begin(&change, &change.after);
    cr_assert(case_rules_apply(&context, &act, &change, &err));
    cr_assert_eq(change.event_count, 0);
    act.kind = CASE_ACT_REMOVE_LABELS;
    cr_assert(case_rules_apply(&context, &act, &change, &err));
    cr_assert_eq(change.after.labels.count, 1);
    cr_assert_str_eq(change.after.labels.items[0], "vip");
}

Test(case_merge_rules, a_case_has_no_more_labels_than_allowed)
{
    struct case_record record = record_of(3, CASE_STATUS_OPEN);
    const char **has = arena_calloc(memory, CASE_LABELS_MAX, sizeof *has), *more[] = {"one too many"};
    for (int i = 0; i < CASE_LABELS_MAX; i++)
        has[i] = arena_printf(memory, "label %d", i);
    record.labels = (struct text_list){has, CASE_LABELS_MAX};
    struct case_context context = context_of("anna");
    struct case_act act = {.kind = CASE_ACT_ADD_LABELS, .labels = {more, 1}};
    struct case_change change;
    error err;
    case_change_begin(&change, &record);
    cr_assert_not(case_rules_apply(&context, &act, &change, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
}
