/* The checker of lock histories can fail: histories by hand, good ones and one of each kind that is not. */

#include "tests/support/lock_history.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct lock_history h;

static void teardown(void)
{
    lock_history_release(&h);
}

TestSuite(lock_check, .fini = teardown);

/* ann holds from 10 to 20, bob from 21 on. */
static void begin(void)
{
    lock_history_granted(&h, 0, 10, "s-ann", "ann", 1);
    lock_history_ended(&h, 0, 20, "s-ann", 1, false);
    lock_history_granted(&h, 0, 21, "s-bob", "bob", 2);
}

static struct lock_note noted(enum lock_note_kind kind, const char *agent, int64_t start_us, int64_t end_us)
{
    struct lock_note note = {.kind = kind, .start_us = start_us, .end_us = end_us};
    snprintf(note.agent, sizeof note.agent, "%s", agent);
    snprintf(note.session, sizeof note.session, "s-%s", agent);
    return note;
}

static void told(enum lock_note_kind kind, const char *agent, int64_t token, int64_t start_us, int64_t end_us)
{
    struct lock_note note = noted(kind, agent, start_us, end_us);
    note.token = token;
    lock_history_note(&h, &note);
}

static void wrote(const char *agent, int64_t position, int64_t start_us, int64_t end_us)
{
    struct lock_note note = noted(LOCK_NOTE_WRITE, agent, start_us, end_us);
    note.position = note.known = position;
    lock_history_note(&h, &note);
}

static void was_refused(const char *agent, const char *holder, int64_t start_us, int64_t end_us)
{
    struct lock_note note = noted(LOCK_NOTE_WRITE, agent, start_us, end_us);
    note.outcome = LOCK_WRITE_REFUSED;
    snprintf(note.agent, sizeof note.agent, "%s", holder);
    lock_history_note(&h, &note);
}

static void expect(const char *part)
{
    const char *complaint = lock_history_check(&h);
    if (!part) {
        cr_assert_null(complaint, "%s", complaint);
        return;
    }
    cr_assert(complaint && strstr(complaint, part), "%s: %s", part, complaint ? complaint : "no complaint");
}

Test(lock_check, what_can_have_happened_is_good)
{
    begin();
    told(LOCK_NOTE_GRANTED, "ann", 1, 100, 200);
    wrote("ann", 15, 210, 220);
    was_refused("bob", "ann", 230, 240);
    wrote("ann", 19, 300, 500);
    was_refused("ann", "bob", 400, 520);
    told(LOCK_NOTE_GRANTED, "bob", 2, 100, 410);
    told(LOCK_NOTE_LOST, "ann", 1, 100, 600);
    was_refused("ann", "bob", 700, 710);
    wrote("bob", 30, 700, 800);
    told(LOCK_NOTE_SEEN, "bob", 2, 810, 820);
    expect(NULL);
}

Test(lock_check, whoever_finds_nobody_holding_may_write)
{
    lock_history_granted(&h, 0, 10, "s-ann", "ann", 1);
    lock_history_ended(&h, 0, 20, "s-ann", 1, true);
    wrote("bob", 5, 100, 110);
    wrote("bob", 25, 200, 210);
    wrote("ann", 26, 220, 230);
    expect(NULL);
}

Test(lock_check, a_grant_number_that_does_not_grow)
{
    begin();
    lock_history_ended(&h, 0, 40, "s-bob", 2, true);
    lock_history_granted(&h, 0, 41, "s-ann", "ann", 2);
    expect("grant 2 after grant 2");
}

Test(lock_check, two_holders_by_the_events)
{
    begin();
    lock_history_granted(&h, 0, 41, "s-ann", "ann", 3);
    expect("while s-bob holds it");
}

Test(lock_check, cases_are_apart)
{
    begin();
    lock_history_granted(&h, 1, 42, "s-ann", "ann", 1);
    expect(NULL);
}

Test(lock_check, an_end_of_what_nobody_holds)
{
    begin();
    lock_history_ended(&h, 0, 41, "s-ann", 1, false);
    expect("which nobody holds");
}

Test(lock_check, a_write_of_the_former_holder_behind_the_next_grant)
{
    begin();
    wrote("ann", 25, 100, 200);
    expect("under grant 2 of s-bob");
}

Test(lock_check, so_does_one_whose_outcome_is_unknown)
{
    begin();
    struct lock_note note = noted(LOCK_NOTE_WRITE, "ann", 100, 200);
    note.outcome = LOCK_WRITE_UNKNOWN;
    lock_history_note(&h, &note);
    expect(NULL);
    note.position = 25;
    lock_history_note(&h, &note);
    expect("under grant 2 of s-bob");
}

Test(lock_check, a_write_before_the_next_grant_that_began_after_it_was_told)
{
    begin();
    told(LOCK_NOTE_GRANTED, "bob", 2, 100, 300);
    wrote("ann", 19, 301, 400);
    expect("somebody had been told of 21 before");
}

Test(lock_check, a_grant_told_to_somebody_else)
{
    begin();
    told(LOCK_NOTE_GRANTED, "cleo", 2, 100, 300);
    expect("not its own");
}

Test(lock_check, a_former_grant_told_by_a_new_stream)
{
    begin();
    told(LOCK_NOTE_GRANTED, "bob", 2, 100, 300);
    told(LOCK_NOTE_GRANTED, "ann", 1, 301, 400);
    expect("when it was over");
}

Test(lock_check, a_former_holder_seen_after_the_next_was_told)
{
    begin();
    told(LOCK_NOTE_GRANTED, "bob", 2, 100, 300);
    told(LOCK_NOTE_SEEN, "ann", 1, 301, 400);
    expect("when it was over");
}

Test(lock_check, a_loss_that_did_not_happen)
{
    begin();
    told(LOCK_NOTE_LOST, "bob", 2, 100, 300);
    expect("which it holds");
}

Test(lock_check, refused_for_somebody_who_held_it_before)
{
    begin();
    told(LOCK_NOTE_GRANTED, "bob", 2, 100, 300);
    was_refused("cleo", "ann", 301, 400);
    expect("who cannot have held it");
}

Test(lock_check, refused_for_somebody_who_held_it_only_later)
{
    begin();
    was_refused("cleo", "bob", 100, 200);
    wrote("ann", 15, 300, 400);
    expect("who cannot have held it");
}

Test(lock_check, refused_though_it_held_all_the_time)
{
    begin();
    told(LOCK_NOTE_GRANTED, "bob", 2, 100, 300);
    was_refused("bob", "bob", 310, 320);
    expect("who cannot have held it");
}

Test(lock_check, acknowledged_and_lost)
{
    begin();
    wrote("ann", 0, 100, 200);
    expect("is lost");
}

Test(lock_check, refused_and_there)
{
    begin();
    was_refused("bob", "ann", 100, 200);
    h.notes[0].position = 15;
    expect("was refused and is there");
}

Test(lock_check, counts_what_passed_on_and_why)
{
    begin();
    told(LOCK_NOTE_LEFT, "ann", 0, 150, 150);
    h.notes[0].leaving = LOCK_LEFT_CUT;
    cr_assert_eq(lock_history_count(&h).passed_on[LOCK_LEFT_CUT], 0, "the next was not told");
    told(LOCK_NOTE_GRANTED, "bob", 2, 100, 300);
    cr_assert_eq(lock_history_count(&h).passed_on[LOCK_LEFT_CUT], 1);
    cr_assert_eq(lock_history_count(&h).tenures, 2);
}
