/* The table of engagements over the whole product with a manual clock: what the behaviour says, to the
 * number. */

#include "base/clock.h"
#include "tests/support/activity.h"
#include "tests/support/engagements.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(engagements, .timeout = 240);

#define STATE(name) CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_##name

static void expect_agents(const engagement *e, const char *first, const char *second, const char *last)
{
    size_t count = second != NULL ? 2 : 1;
    cr_assert_eq(e->n_agents, count);
    cr_expect_eq(e->agents_involved, (int)count);
    cr_expect_str_eq(e->agents[0], first);
    if (second != NULL)
        cr_expect_str_eq(e->agents[1], second);
    cr_expect_str_eq(e->last_agent, last);
}

Test(engagements, every_column_from_the_first_message_to_the_closing)
{
    struct shop d = shop_begin("UTC", NULL);
    const char *name = shop_case(&d);
    shop_write_at(&d, name, "system", 0, false);
    shop_write_at(&d, name, "third", 0, false);
    shop_write_at(&d, name, "note", 0, false);
    shop_write_at(&d, name, "ann", 0, true); /* an auto-responder's */
    cr_expect_null(shop_engagement(&d, name), "nobody has replied");

    shop_go_to(&d, "2026-03-02T09:30:00Z");
    shop_write(&d, name, "ann");
    const engagement *e = shop_engagement(&d, name);
    cr_assert_not_null(e);
    cr_expect_str_eq(e->channel_address, "desk@acme.example");
    cr_expect_str_eq(e->network, "email");
    cr_expect_eq(shop_time(e->open_time), activity_instant("2026-03-02T09:00:00Z"));
    cr_expect_null(e->close_time);
    cr_expect_eq(shop_duration(e->first_reply_duration), 30 * CLOCK_MINUTE);
    cr_expect_eq(shop_duration(e->resolution_duration), 30 * CLOCK_MINUTE);
    cr_expect_eq(e->agent_interactions, 1);
    cr_expect_eq(e->state, STATE(OPEN));
    cr_expect_not(e->nps_sent);
    expect_agents(e, "accounts/acme/agents/ann", NULL, "accounts/acme/agents/ann");

    shop_write(&d, name, "customer");
    shop_go_to(&d, "2026-03-02T11:00:00Z");
    shop_write(&d, name, "bob");
    shop_write(&d, name, "survey");
    shop_classify(&d, name, "topic", "Delivery", true);
    shop_classify(&d, name, "sentiment", "angry", true);
    shop_classify(&d, name, "sentiment", "angry", false);
    suite_step(d.suite, "ResolveCase", name, "ann");
    e = shop_engagement(&d, name);
    cr_expect_eq(shop_duration(e->first_reply_duration), 30 * CLOCK_MINUTE);
    cr_expect_eq(shop_duration(e->resolution_duration), 120 * CLOCK_MINUTE);
    cr_expect_eq(e->agent_interactions, 2);
    cr_expect(e->nps_sent);
    cr_expect_eq(e->state, STATE(RESOLVED));
    expect_agents(e, "accounts/acme/agents/ann", "accounts/acme/agents/bob", "accounts/acme/agents/bob");
    cr_assert_eq(e->n_classifications, 1);
    cr_expect_str_eq(e->classifications[0]->group, "topic");
    cr_expect_str_eq(e->classifications[0]->value, "Delivery");

    /* 72 hours of inactivity are not in the resolution time. */
    shop_go_to(&d, "2026-03-06T12:00:00Z");
    e = shop_engagement(&d, name);
    cr_expect_eq(e->state, STATE(CLOSED));
    cr_expect_eq(shop_time(e->close_time), activity_instant("2026-03-05T11:00:00Z"));
    cr_expect_eq(shop_duration(e->resolution_duration), 120 * CLOCK_MINUTE);

    /* The customer again: the same engagement goes on. */
    shop_write(&d, name, "customer");
    e = shop_engagement(&d, name);
    cr_expect_eq(e->state, STATE(OPEN));
    cr_expect_null(e->close_time);
    cr_expect_eq(shop_time(e->open_time), activity_instant("2026-03-02T09:00:00Z"));
    shop_write(&d, name, "ann");
    e = shop_engagement(&d, name);
    cr_expect_eq(e->agent_interactions, 3);
    cr_expect_eq(shop_duration(e->resolution_duration), (4 * 24 + 3) * CLOCK_HOUR);
    expect_agents(e, "accounts/acme/agents/ann", "accounts/acme/agents/bob", "accounts/acme/agents/ann");
    shop_end(&d);
}

Test(engagements, what_an_agent_wrote_first_does_not_count)
{
    struct shop d = shop_begin("UTC", NULL);
    const char *name = shop_empty_case(&d);
    shop_write(&d, name, "ann");
    shop_write(&d, name, "bob");
    cr_expect_null(shop_engagement(&d, name));
    shop_go_to(&d, "2026-03-02T10:00:00Z");
    shop_write_at(&d, name, "customer", 0, true);
    shop_write(&d, name, "ann");
    cr_expect_null(shop_engagement(&d, name), "an automatic message is no customer's");
    shop_go_to(&d, "2026-03-02T12:00:00Z");
    shop_write(&d, name, "customer");
    cr_expect_null(shop_engagement(&d, name));
    shop_go_to(&d, "2026-03-02T12:20:00Z");
    shop_write(&d, name, "cid");
    const engagement *e = shop_engagement(&d, name);
    cr_assert_not_null(e);
    cr_expect_eq(shop_time(e->open_time), activity_instant("2026-03-02T12:00:00Z"));
    cr_expect_eq(shop_duration(e->first_reply_duration), 20 * CLOCK_MINUTE);
    cr_expect_eq(e->agent_interactions, 1);
    expect_agents(e, "accounts/acme/agents/cid", NULL, "accounts/acme/agents/cid");
    shop_end(&d);
}

Test(engagements, merging_joins_conversations_and_its_undoing_parts_them)
{
    struct shop d = shop_begin("UTC", NULL);
    const char *source = shop_case(&d);
    shop_write(&d, source, "ann");
    shop_go_to(&d, "2026-03-02T10:00:00Z");
    const char *target = shop_case(&d);
    shop_go_to(&d, "2026-03-02T10:30:00Z");
    shop_write(&d, target, "bob");
    shop_merge(&d, source, target);
    cr_expect_null(shop_engagement(&d, source), "its conversation is the target's");
    const engagement *e = shop_engagement(&d, target);
    cr_expect_eq(shop_time(e->open_time), activity_instant("2026-03-02T09:00:00Z"));
    cr_expect_eq(shop_duration(e->first_reply_duration), 0);
    cr_expect_eq(shop_duration(e->resolution_duration), 90 * CLOCK_MINUTE);
    cr_expect_eq(e->agent_interactions, 2);
    expect_agents(e, "accounts/acme/agents/ann", "accounts/acme/agents/bob", "accounts/acme/agents/bob");

    shop_write(&d, target, "cid"); /* stays */
    shop_unmerge(&d, source);
    e = shop_engagement(&d, source);
    cr_assert_not_null(e);
    cr_expect_eq(shop_time(e->open_time), activity_instant("2026-03-02T09:00:00Z"));
    cr_expect_eq(e->agent_interactions, 1);
    e = shop_engagement(&d, target);
    cr_expect_eq(shop_time(e->open_time), activity_instant("2026-03-02T10:00:00Z"));
    cr_expect_eq(shop_duration(e->first_reply_duration), 30 * CLOCK_MINUTE);
    cr_expect_eq(e->agent_interactions, 2);
    expect_agents(e, "accounts/acme/agents/bob", "accounts/acme/agents/cid", "accounts/acme/agents/cid");
    shop_end(&d);
}
