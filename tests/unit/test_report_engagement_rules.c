/* report/report_engagement_rules.h, event by event. */

#include "report/report_engagement_rules.h"

#include <criterion/criterion.h>

static arena *memory;
static struct report_engagement state;

static void setup(void)
{
    memory = arena_new(1 << 20);
    state = (struct report_engagement){0};
}

static void teardown(void)
{
    arena_free(memory);
}

TestSuite(report_engagement_rules, .init = setup, .fini = teardown);

static void say(enum report_message_kind kind, const char *agent, int64_t time)
{
    const struct report_message message = {.kind = kind, .agent = agent, .send_time = time};
    const struct report_change change = {.facts = state.facts, .message = &message};
    struct report_change first = change;
    if (!state.known)
        first.facts.status = REPORT_STATUS_NEW;
    cr_assert(report_engagement_rules_apply(&state, &first, memory));
}

static void turn(enum report_status status, int64_t time)
{
    struct report_change change = {.facts = state.facts};
    change.facts.status = status;
    change.facts.status_time = time;
    cr_assert(report_engagement_rules_apply(&state, &change, memory));
}

static void expect_spans(const int64_t *expected, size_t count)
{
    int64_t *spans;
    size_t found;
    cr_assert(report_engagement_spans(&state, memory, &spans, &found));
    cr_assert_eq(found, count, "%zu numbers", found);
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(spans[i], expected[i], "number %zu: %lld", i, (long long)spans[i]);
}

Test(report_engagement_rules, closing_and_reopening_go_on_with_the_same_engagement)
{
    say(REPORT_MESSAGE_CUSTOMER, "", 100);
    expect_spans(NULL, 0);
    say(REPORT_MESSAGE_AGENT, "ann", 150);
    turn(REPORT_STATUS_CLOSED, 200);
    cr_expect_eq(state.closed, 200);
    turn(REPORT_STATUS_OPEN, 300);
    cr_expect_eq(state.closed, REPORT_NOT_CLOSED);
    expect_spans((const int64_t[]){100, 200, 300}, 3);
    say(REPORT_MESSAGE_AGENT, "bob", 400);
    turn(REPORT_STATUS_CLOSED, 500);
    expect_spans((const int64_t[]){100, 200, 300, 500}, 4);
    cr_expect_eq(state.first_reply, 50);
    cr_expect_eq(state.resolution, 300);
    cr_expect_eq(state.agents.count, 2);
}

Test(report_engagement_rules, deleting_and_undeleting_leave_a_closing)
{
    say(REPORT_MESSAGE_CUSTOMER, "", 100);
    say(REPORT_MESSAGE_AGENT, "ann", 150);
    turn(REPORT_STATUS_DELETED, 160);
    cr_expect_eq(state.closed, REPORT_NOT_CLOSED);
    turn(REPORT_STATUS_OPEN, 170);
    turn(REPORT_STATUS_CLOSED, 200);
    turn(REPORT_STATUS_DELETED, 300);
    turn(REPORT_STATUS_CLOSED, 400);
    cr_expect_eq(state.closed, 200);
    expect_spans((const int64_t[]){100, 160, 170, 200}, 4);
}

Test(report_engagement_rules, time_does_not_run_back)
{
    say(REPORT_MESSAGE_AGENT, "ann", 500);
    say(REPORT_MESSAGE_CUSTOMER, "", 100);
    cr_expect_eq(state.opened, 500);
    say(REPORT_MESSAGE_AGENT, "bob", 90);
    cr_expect_eq(state.first_reply, 0);
    cr_expect_eq(state.interactions, 1);
    cr_expect_str_eq(state.last_agent, "bob");
}

Test(report_engagement_rules, what_is_opened_and_closed_at_once_was_open_then)
{
    say(REPORT_MESSAGE_CUSTOMER, "", 100);
    say(REPORT_MESSAGE_AGENT, "ann", 100);
    turn(REPORT_STATUS_CLOSED, 100);
    expect_spans((const int64_t[]){100, 101}, 2);
}

Test(report_engagement_rules, a_merged_case_is_none_and_a_closed_one_without_a_reply_counts)
{
    say(REPORT_MESSAGE_CUSTOMER, "", 100);
    cr_expect_not(report_engagement_counts(&state));
    turn(REPORT_STATUS_CLOSED, 200);
    cr_expect(report_engagement_counts(&state));
    cr_expect_not(report_engagement_is_one(&state));
    turn(REPORT_STATUS_OPEN, 300);
    say(REPORT_MESSAGE_AGENT, "ann", 310);
    cr_expect(report_engagement_is_one(&state));
    struct report_change merge = {.facts = state.facts};
    merge.facts.merged = true;
    cr_assert(report_engagement_rules_apply(&state, &merge, memory));
    cr_expect_not(report_engagement_counts(&state));
    merge.facts.merged = false;
    merge.anew = true; /* its own event of the undoing: the conversation is what it was */
    cr_assert(report_engagement_rules_apply(&state, &merge, memory));
    cr_expect(report_engagement_is_one(&state));
    cr_expect_eq(state.interactions, 1);
}
