/* Tabs and locks: every sentence of the behaviour, then long generated histories against a plain model. */

#include "case/case_rules_lock.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOW INT64_C(1772442000000000)

static arena *memory;
static struct case_record record; /* the case as it is */
static struct case_tabs tabs;
static struct case_change change; /* of the last step */
static error failure;

static void setup(void)
{
    memory = arena_new(512 << 20);
    tabs = (struct case_tabs){0};
    record = (struct case_record){.account = "acme",
                                  .id = 7,
                                  .status = CASE_STATUS_OPEN,
                                  .create_time = NOW - 1000,
                                  .update_time = NOW - 1000,
                                  .change_time = NOW - 1000,
                                  .version = 3,
                                  .change_version = 2,
                                  .activity_version = 2,
                                  .lock_agent = "",
                                  .lock_session = "",
                                  .owner = "",
                                  .contact = "",
                                  .channel = "",
                                  .network = "",
                                  .channel_address = "",
                                  .external_id = "",
                                  .subject = "",
                                  .subject_key = ""};
}

static void teardown(void)
{
    arena_free(memory);
}

TestSuite(case_lock, .init = setup, .fini = teardown);

static struct case_context context_of(const char *agent, const char *session)
{
    return (struct case_context){
        .memory = memory,
        .now = NOW,
        .actor = {.kind = ACTOR_KIND_AGENT, .id = agent, .via = "", .session = session},
    };
}

static bool done(bool good)
{
    if (good)
        record = change.after;
    return good;
}

static bool open_tab(const char *agent, const char *session)
{
    struct case_context context = context_of(agent, session);
    case_change_begin(&change, &record);
    return done(case_rules_open_tab(&context, &tabs, session, &change, &failure));
}

static bool close_tab(const char *session)
{
    struct case_context context = context_of("anna", session);
    case_change_begin(&change, &record);
    return done(case_rules_close_tab(&context, &tabs, session, &change, &failure));
}

static bool break_lock(int64_t token)
{
    struct case_context context = context_of("boss", "");
    case_change_begin(&change, &record);
    return done(case_rules_break_lock(&context, &tabs, token, &change, &failure));
}

static bool act(struct case_context context, enum case_act_kind kind)
{
    const struct case_act wanted = {.kind = kind};
    case_change_begin(&change, &record);
    bool settles = kind == CASE_ACT_UNDELETE;
    return done(case_rules_apply(&context, &wanted, &change, &failure) &&
                (!settles || case_rules_settle_lock(&context, &tabs, &change, &failure)));
}

static void expect_holder(const char *session, int64_t token)
{
    cr_expect_str_eq(record.lock_session, session);
    cr_expect_eq(record.lock_token, token);
    cr_expect_eq(record.lock_time != 0, session[0] != '\0');
}

static void expect_event(size_t index, enum event_kind kind, const char *session, int64_t token)
{
    cr_assert_lt(index, change.event_count);
    const struct case_event *event = &change.events[index];
    cr_expect_eq(event->kind, kind, "event %zu is of kind %d", index, event->kind);
    cr_expect_str_eq(event->lock_session, session);
    cr_expect_eq(event->lock_token, token);
}

Test(case_lock, the_first_to_open_holds_it_and_the_others_wait_in_their_order)
{
    cr_assert(open_tab("anna", "a"));
    expect_holder("a", 1);
    expect_event(0, EVENT_KIND_LOCK_GRANTED, "a", 1);
    cr_assert(open_tab("bert", "b"));
    cr_assert(open_tab("cleo", "c"));
    cr_expect_eq(change.event_count, 0, "to wait is no change of the case");
    expect_holder("a", 1);
    cr_assert(close_tab("a"));
    expect_holder("b", 2);
    expect_event(0, EVENT_KIND_LOCK_RELEASED, "a", 1);
    expect_event(1, EVENT_KIND_LOCK_GRANTED, "b", 2);
    cr_assert(close_tab("b"));
    expect_holder("c", 3);
    cr_assert(close_tab("c"));
    expect_holder("", 3);
    cr_assert(open_tab("anna", "d"));
    expect_holder("d", 4);
}

Test(case_lock, opening_again_neither_loses_the_place_nor_takes_a_second_grant)
{
    cr_assert(open_tab("anna", "a") && open_tab("bert", "b") && open_tab("cleo", "c"));
    cr_assert(open_tab("bert", "b"));
    cr_assert(open_tab("anna", "a"));
    expect_holder("a", 1);
    cr_expect_eq(case_tabs_count(&tabs), 3);
    cr_assert(close_tab("a"));
    expect_holder("b", 2);
}

Test(case_lock, opening_a_new_case_opens_it_first)
{
    record.status = CASE_STATUS_NEW;
    cr_assert(open_tab("anna", "a"));
    cr_expect_eq(record.status, CASE_STATUS_OPEN);
    cr_expect_str_eq(record.owner, "anna");
    cr_assert_eq(change.event_count, 2);
    cr_expect_eq(change.events[0].kind, EVENT_KIND_CASE_OPENED);
    expect_event(1, EVENT_KIND_LOCK_GRANTED, "a", 1);
}

Test(case_lock, a_waiting_tab_that_closes_changes_nothing)
{
    cr_assert(open_tab("anna", "a") && open_tab("bert", "b"));
    cr_assert(close_tab("b"));
    cr_expect_eq(change.event_count, 0);
    cr_assert(close_tab("b"), "and once more");
    cr_assert(close_tab("a"));
    expect_holder("", 1);
}

Test(case_lock, a_broken_lock_goes_to_the_longest_waiting_other_session_and_the_former_waits_last)
{
    cr_assert(open_tab("anna", "a") && open_tab("bert", "b") && open_tab("cleo", "c"));
    cr_assert(break_lock(0));
    expect_event(0, EVENT_KIND_LOCK_BROKEN, "a", 1);
    expect_event(1, EVENT_KIND_LOCK_GRANTED, "b", 2);
    cr_assert(close_tab("b"));
    expect_holder("c", 3);
    cr_assert(close_tab("c"));
    expect_holder("a", 4);
}

Test(case_lock, a_broken_lock_that_nobody_waits_for_is_free_until_somebody_opens)
{
    cr_assert(open_tab("anna", "a") && break_lock(1));
    expect_holder("", 1);
    struct case_context boss = context_of("boss", "");
    cr_assert(act(boss, CASE_ACT_MARK_PENDING));
    cr_assert(open_tab("bert", "b"));
    expect_holder("b", 2);
    cr_assert(close_tab("b"));
    expect_holder("a", 3);
    cr_assert(break_lock(0) && open_tab("anna", "a"), "the former one asks again");
    expect_holder("a", 4);
}

Test(case_lock, another_grant_than_the_named_one_is_not_broken)
{
    cr_assert(open_tab("anna", "a") && open_tab("bert", "b") && close_tab("a"));
    cr_assert_not(break_lock(1));
    cr_expect_eq(failure.code, STATUS_FAILED_PRECONDITION);
    cr_expect_str_eq(failure.reason, "LOCK_CHANGED");
    expect_holder("b", 2);
    cr_assert(close_tab("b"));
    cr_assert(break_lock(0), "without a lock nothing happens");
    cr_expect_eq(change.event_count, 0);
}

static void expect_locked(struct case_context context, bool locked)
{
    for (enum case_act_kind kind = CASE_ACT_OPEN; kind <= CASE_ACT_SET_MESSAGE_STATE; kind++) {
        struct case_act wanted = {.kind = kind};
        struct case_change scratch;
        if (kind == CASE_ACT_ASSIGN)
            wanted.owner = "bert";
        else if (kind == CASE_ACT_ADD_MESSAGE)
            wanted.add.message = (struct message_record){.kind = MESSAGE_KIND_NOTE,
                                                         .author = "",
                                                         .third_party = "",
                                                         .external_id = "",
                                                         .delivery_failure = "",
                                                         .body = ""};
        failure = (error){0};
        case_change_begin(&scratch, &record);
        bool allowed = case_rules_apply(&context, &wanted, &scratch, &failure);
        bool refused = !allowed && strcmp(failure.reason, "CASE_LOCKED") == 0;
        cr_expect_eq(refused, locked && kind != CASE_ACT_OPEN, "act %d: %s", kind, failure.message);
        if (!refused)
            continue;
        cr_expect_eq(failure.code, STATUS_FAILED_PRECONDITION);
        cr_expect_str_eq(failure.info[0].key, "holder");
        cr_expect_str_eq(failure.info[0].value, "accounts/acme/agents/anna");
        cr_expect_str_eq(failure.info[1].value, "CASE_STATUS_OPEN");
    }
}

Test(case_lock, only_the_holder_writes_and_only_agents_are_held_up)
{
    expect_locked(context_of("bert", ""), false);
    expect_locked(context_of("bert", "unheard-of"), false);
    cr_assert(open_tab("anna", "a") && open_tab("bert", "b"));
    expect_locked(context_of("anna", ""), false);
    expect_locked(context_of("anna", "a"), false);
    expect_locked(context_of("anna", "another"), true);
    expect_locked(context_of("bert", ""), true);
    expect_locked(context_of("bert", "b"), true);
    expect_locked(context_of("bert", "a"), true);
    struct case_context other = context_of("bert", "");
    other.actor.via = "bot";
    expect_locked(other, true);
    other.imported = true;
    expect_locked(other, false);
    static const enum actor_kind free_ones[] = {ACTOR_KIND_CONNECTOR, ACTOR_KIND_SERVICE, ACTOR_KIND_SYSTEM};
    for (size_t i = 0; i < sizeof free_ones / sizeof free_ones[0]; i++) {
        struct case_context context = context_of("mail", "");
        context.actor.kind = free_ones[i];
        expect_locked(context, false);
    }
}

Test(case_lock, a_deleted_case_has_no_lock_and_comes_back_to_whoever_waits_longest)
{
    cr_assert(open_tab("anna", "a") && open_tab("bert", "b"));
    cr_assert(act(context_of("anna", "a"), CASE_ACT_DELETE));
    expect_holder("", 1);
    cr_expect_eq(change.events[0].kind, EVENT_KIND_CASE_DELETED);
    expect_event(1, EVENT_KIND_LOCK_RELEASED, "a", 1);
    cr_assert(open_tab("cleo", "c"));
    cr_expect_eq(change.event_count, 0, "readable only");
    cr_assert(close_tab("a"));
    cr_assert(act(context_of("cleo", "c"), CASE_ACT_UNDELETE));
    expect_holder("b", 2);
}

Test(case_lock, a_merged_case_has_no_lock)
{
    cr_assert(open_tab("anna", "a"));
    record.merged_into = 9;
    struct case_context context = context_of("anna", "a");
    case_change_begin(&change, &record);
    cr_assert(done(case_rules_settle_lock(&context, &tabs, &change, &failure)));
    expect_holder("", 1);
    cr_assert(open_tab("bert", "b"));
    expect_holder("", 1);
}

Test(case_lock, locks_restart_no_timer_and_move_no_list)
{
    struct case_record before = record;
    cr_assert(open_tab("anna", "a") && open_tab("bert", "b") && break_lock(0) && close_tab("b"));
    cr_expect_eq(record.change_version, before.change_version);
    cr_expect_eq(record.change_time, before.change_time);
    cr_expect_eq(record.activity_version, before.activity_version);
    cr_expect_eq(record.update_time, before.update_time);
    cr_expect_gt(record.version, before.version);
    cr_expect_eq(change.events[0].time, NOW, "though the events have their own time");
}

Test(case_lock, only_so_many_have_one_case_open)
{
    for (int i = 0; i < CASE_VIEWERS_MAX; i++)
        cr_assert(open_tab("anna", arena_printf(memory, "s%d", i)));
    cr_assert_not(open_tab("anna", "one-more"));
    cr_expect_eq(failure.code, STATUS_RESOURCE_EXHAUSTED);
    cr_expect_str_eq(failure.reason, "TOO_MANY_VIEWERS");
    cr_assert(open_tab("anna", "s3"));
}

/* --- generated histories ----------------------------------------------------------------------------------
 */

enum { SESSIONS = 6, STEPS = 4000 };

/* The queue as a plain list: sessions in the order in which they get the lock; the holder is not in it. */
struct model {
    int queue[SESSIONS];
    int count;
    int holder; /* -1: nobody */
    int64_t token;
    bool deleted;
};

static int place(const struct model *m, int session)
{
    for (int i = 0; i < m->count; i++) {
        if (m->queue[i] == session)
            return i;
    }
    return -1;
}

static void take_out(struct model *m, int at)
{
    m->count--;
    memmove(&m->queue[at], &m->queue[at + 1], (size_t)(m->count - at) * sizeof m->queue[0]);
}

static void hold(struct model *m, int at)
{
    m->holder = m->queue[at];
    m->token++;
    take_out(m, at);
}

static void model_open(struct model *m, int session)
{
    if (m->holder != session && place(m, session) < 0)
        m->queue[m->count++] = session;
    if (!m->deleted && m->holder < 0)
        hold(m, place(m, session));
}

static void model_close(struct model *m, int session)
{
    if (m->holder == session) {
        m->holder = -1;
        if (m->count > 0)
            hold(m, 0);
    } else if (place(m, session) >= 0) {
        take_out(m, place(m, session));
    }
}

static void model_break(struct model *m)
{
    int former = m->holder;
    if (former < 0)
        return;
    m->holder = -1;
    if (m->count > 0)
        hold(m, 0);
    m->queue[m->count++] = former;
}

/* A deleted holder goes on waiting where it stood: before all others. */
static void model_delete(struct model *m)
{
    m->deleted = true;
    if (m->holder < 0)
        return;
    memmove(&m->queue[1], &m->queue[0], (size_t)m->count * sizeof m->queue[0]);
    m->queue[0] = m->holder;
    m->count++;
    m->holder = -1;
}

static void model_undelete(struct model *m)
{
    m->deleted = false;
    if (m->holder < 0 && m->count > 0)
        hold(m, 0);
}

/* As if the batch had been stored and read again. */
static void store_and_read(void)
{
    size_t kept = 0;
    for (size_t i = 0; i < tabs.count; i++) {
        if (tabs.items[i].state == TAB_CLOSED)
            continue;
        tabs.items[kept] = tabs.items[i];
        tabs.items[kept++].state = TAB_STORED;
    }
    tabs.count = kept;
}

static void step(struct model *m, unsigned *seed)
{
    static const char *const names[SESSIONS] = {"s0", "s1", "s2", "s3", "s4", "s5"};
    int session = rand_r(seed) % SESSIONS, what = rand_r(seed) % 16;
    struct case_context system = {.memory = memory, .now = NOW, .actor = {ACTOR_KIND_SYSTEM, "", "", ""}};
    if (what < 6) {
        cr_assert(open_tab("anna", names[session]));
        model_open(m, session);
    } else if (what < 11) {
        cr_assert(close_tab(names[session]));
        model_close(m, session);
    } else if (what < 13) {
        cr_assert(break_lock(0));
        model_break(m);
    } else if (what == 13) {
        store_and_read();
    } else if (what == 14) {
        cr_assert(act(system, CASE_ACT_DELETE));
        model_delete(m);
    } else if (m->deleted) {
        cr_assert(act(system, CASE_ACT_UNDELETE));
        model_undelete(m);
    }
    cr_assert_str_eq(record.lock_session, m->holder < 0 ? "" : names[m->holder]);
    cr_assert_eq(record.lock_token, m->token);
    cr_assert_eq(case_tabs_count(&tabs), (size_t)m->count + (m->holder >= 0));
}

/* CASEWORK_SEED=n plays one again. */
Test(case_lock, generated_histories_do_what_a_plain_queue_does)
{
    const char *given = getenv("CASEWORK_SEED");
    unsigned first = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    fprintf(stderr, "seed %u\n", first);
    for (unsigned history = 0; history < 10; history++) {
        unsigned seed = first + history;
        struct model model = {.holder = -1};
        teardown();
        setup();
        for (int i = 0; i < STEPS; i++)
            step(&model, &seed);
    }
}
