#include "tests/support/lock_history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *items, size_t count, size_t *size, size_t each)
{
    if (count < *size)
        return items;
    *size = *size ? 2 * *size : 256;
    items = realloc(items, *size * each);
    if (!items)
        abort();
    return items;
}

void lock_history_note(struct lock_history *history, const struct lock_note *note)
{
    history->notes = grown(history->notes, history->note_count, &history->note_size, sizeof *note);
    history->notes[history->note_count++] = *note;
}

void lock_history_release(struct lock_history *history)
{
    free(history->notes);
    free(history->tenures);
    *history = (struct lock_history){0};
}

/* --- the events -------------------------------------------------------------------------------------------
 */

static struct lock_tenure *latest(const struct lock_history *history, int case_index)
{
    for (size_t i = history->tenure_count; i > 0; i--) {
        if (history->tenures[i - 1].case_index == case_index)
            return &history->tenures[i - 1];
    }
    return NULL;
}

/* The first complaint stays. */
#define complain(history, ...)         \
    ((history)->complaint[0] ? (void)0 \
                             : (void)snprintf((history)->complaint, LOCK_COMPLAINT_SIZE, __VA_ARGS__))

void lock_history_granted(struct lock_history *history, int case_index, int64_t position, const char *session,
                          const char *agent, int64_t token)
{
    const struct lock_tenure *former = latest(history, case_index);
    if (former && token <= former->token)
        complain(history, "case %d: grant %lld after grant %lld", case_index, (long long)token,
                 (long long)former->token);
    if (former && former->to == INT64_MAX)
        complain(history, "case %d: granted to %s while %s holds it", case_index, session, former->session);
    history->tenures = grown(history->tenures, history->tenure_count, &history->tenure_size, sizeof *former);
    struct lock_tenure *tenure = &history->tenures[history->tenure_count++];
    *tenure =
        (struct lock_tenure){.case_index = case_index, .token = token, .from = position, .to = INT64_MAX};
    snprintf(tenure->session, sizeof tenure->session, "%s", session);
    snprintf(tenure->agent, sizeof tenure->agent, "%s", agent);
}

void lock_history_ended(struct lock_history *history, int case_index, int64_t position, const char *session,
                        int64_t token, bool broken)
{
    struct lock_tenure *tenure = latest(history, case_index);
    if (!tenure || tenure->to != INT64_MAX || tenure->token != token ||
        strcmp(tenure->session, session) != 0) {
        complain(history, "case %d: grant %lld of %s ends, which nobody holds", case_index, (long long)token,
                 session);
        return;
    }
    tenure->to = position;
    tenure->broken = broken;
}

/* --- the order of what was observed -----------------------------------------------------------------------
 */

/* That something stood at `position` was known at that time. */
struct point {
    int64_t time_us, position;
};

/*
 * `known`: by the time of its end, the highest position that somebody had been told of. `later`: by the time
 * of its start, the lowest position of a write that began then or after. Both sorted by time.
 */
struct order {
    struct point *known, *later;
    size_t known_count, later_count;
};

static int by_time(const void *a, const void *b)
{
    const struct point *one = a, *other = b;
    return (one->time_us > other->time_us) - (one->time_us < other->time_us);
}

static const struct lock_tenure *find_tenure(const struct lock_history *history, int case_index,
                                             int64_t token)
{
    for (size_t i = 0; i < history->tenure_count; i++) {
        if (history->tenures[i].case_index == case_index && history->tenures[i].token == token)
            return &history->tenures[i];
    }
    return NULL;
}

static const struct lock_tenure *tenure_at(const struct lock_history *history, int case_index,
                                           int64_t position)
{
    for (size_t i = 0; i < history->tenure_count; i++) {
        const struct lock_tenure *tenure = &history->tenures[i];
        if (tenure->case_index == case_index && tenure->from < position && position < tenure->to)
            return tenure;
    }
    return NULL;
}

/* 0: nothing is known by it. */
static int64_t position_told(const struct lock_history *history, const struct lock_note *note)
{
    const struct lock_tenure *tenure;
    switch (note->kind) {
    case LOCK_NOTE_WRITE:
        return note->outcome == LOCK_WRITE_DONE ? note->known : 0;
    case LOCK_NOTE_GRANTED:
    case LOCK_NOTE_SEEN:
        tenure = find_tenure(history, note->case_index, note->token);
        return tenure ? tenure->from : 0;
    case LOCK_NOTE_LOST:
        tenure = find_tenure(history, note->case_index, note->token);
        return tenure && tenure->to != INT64_MAX ? tenure->to : 0;
    case LOCK_NOTE_LEFT:
        break;
    }
    return 0;
}

static void make_order(const struct lock_history *history, struct order *order)
{
    order->known = calloc(history->note_count + 1, sizeof *order->known);
    order->later = calloc(history->note_count + 1, sizeof *order->later);
    if (!order->known || !order->later)
        abort();
    for (size_t i = 0; i < history->note_count; i++) {
        const struct lock_note *note = &history->notes[i];
        int64_t told = position_told(history, note);
        if (told)
            order->known[order->known_count++] = (struct point){note->end_us, told};
        if (note->kind == LOCK_NOTE_WRITE && note->position)
            order->later[order->later_count++] = (struct point){note->start_us, note->position};
    }
    qsort(order->known, order->known_count, sizeof *order->known, by_time);
    qsort(order->later, order->later_count, sizeof *order->later, by_time);
    for (size_t i = 1; i < order->known_count; i++) {
        if (order->known[i].position < order->known[i - 1].position)
            order->known[i].position = order->known[i - 1].position;
    }
    for (size_t i = order->later_count; i > 1; i--) {
        if (order->later[i - 2].position > order->later[i - 1].position)
            order->later[i - 2].position = order->later[i - 1].position;
    }
}

/* The first of the points that is not before the time. */
static size_t first_from(const struct point *points, size_t count, int64_t time_us)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = (low + count) / 2;
        if (points[middle].time_us < time_us)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

/* Somebody had been told of this position before the time: what begins then comes after it. */
static int64_t known_before(const struct order *order, int64_t time_us)
{
    size_t i = first_from(order->known, order->known_count, time_us);
    return i > 0 ? order->known[i - 1].position : 0;
}

/* What had ended by the time comes before this position. */
static int64_t begun_after(const struct order *order, int64_t time_us)
{
    size_t i = first_from(order->later, order->later_count, time_us + 1);
    return i < order->later_count ? order->later[i].position : INT64_MAX;
}

/* --- the rules --------------------------------------------------------------------------------------------
 */

/* Can the tenure have been seen by something that took from `start_us` to `end_us`? */
static bool can_be_seen(const struct order *order, const struct lock_tenure *tenure, int64_t start_us,
                        int64_t end_us)
{
    return tenure->to > known_before(order, start_us) && tenure->from < begun_after(order, end_us);
}

static void check_told(struct lock_history *history, const struct order *order, const struct lock_note *note)
{
    const struct lock_tenure *tenure = find_tenure(history, note->case_index, note->token);
    bool granted = note->kind == LOCK_NOTE_GRANTED, lost = note->kind == LOCK_NOTE_LOST;
    if (!tenure || (!(granted || lost) && strcmp(tenure->agent, note->agent) != 0) ||
        ((granted || lost) && strcmp(tenure->session, note->session) != 0))
        complain(history, "case %d: %s is told of grant %lld, which is not %s", note->case_index,
                 note->session, (long long)note->token, granted || lost ? "its own" : note->agent);
    else if (lost && tenure->to == INT64_MAX)
        complain(history, "case %d: %s is told that it lost grant %lld, which it holds", note->case_index,
                 note->session, (long long)note->token);
    else if (!lost && tenure->to <= known_before(order, note->start_us))
        complain(history,
                 "case %d: %s is told of grant %lld by a stream or answer that began when it was over",
                 note->case_index, note->session, (long long)note->token);
}

static void check_written(struct lock_history *history, const struct order *order,
                          const struct lock_note *note)
{
    const struct lock_tenure *holder = tenure_at(history, note->case_index, note->position);
    int64_t known = known_before(order, note->start_us);
    if (note->position <= known)
        complain(history,
                 "case %d: write %d of %s stands at %lld, though somebody had been told of %lld before",
                 note->case_index, note->write, note->session, (long long)note->position, (long long)known);
    else if (note->outcome == LOCK_WRITE_DONE && note->known < note->position)
        complain(history, "case %d: write %d was answered with %lld, and stands at %lld", note->case_index,
                 note->write, (long long)note->known, (long long)note->position);
    else if (holder && strcmp(holder->session, note->session) != 0)
        complain(history, "case %d: %s writes (%d) at %lld under grant %lld of %s", note->case_index,
                 note->session, note->write, (long long)note->position, (long long)holder->token,
                 holder->session);
}

static void check_refused(struct lock_history *history, const struct order *order,
                          const struct lock_note *note)
{
    bool can_be = false;
    for (size_t i = 0; i < history->tenure_count && !can_be; i++) {
        const struct lock_tenure *tenure = &history->tenures[i];
        can_be = tenure->case_index == note->case_index && strcmp(tenure->agent, note->agent) == 0 &&
                 strcmp(tenure->session, note->session) != 0 &&
                 can_be_seen(order, tenure, note->start_us, note->end_us);
    }
    if (!can_be)
        complain(history, "case %d: write %d of %s is refused for %s, who cannot have held it then",
                 note->case_index, note->write, note->session, note->agent);
}

static void check_write(struct lock_history *history, const struct order *order, const struct lock_note *note)
{
    if (note->outcome == LOCK_WRITE_DONE && !note->position)
        complain(history, "case %d: write %d was acknowledged and is lost", note->case_index, note->write);
    else if (note->outcome == LOCK_WRITE_REFUSED && note->position)
        complain(history, "case %d: write %d was refused and is there", note->case_index, note->write);
    else if (note->outcome == LOCK_WRITE_REFUSED)
        check_refused(history, order, note);
    else if (note->position)
        check_written(history, order, note);
}

const char *lock_history_check(struct lock_history *history)
{
    struct order order = {0};
    make_order(history, &order);
    for (size_t i = 0; i < history->note_count && !history->complaint[0]; i++) {
        const struct lock_note *note = &history->notes[i];
        if (note->kind == LOCK_NOTE_WRITE)
            check_write(history, &order, note);
        else if (note->kind != LOCK_NOTE_LEFT)
            check_told(history, &order, note);
    }
    free(order.known);
    free(order.later);
    return history->complaint[0] ? history->complaint : NULL;
}

/* --- what happened ----------------------------------------------------------------------------------------
 */

/* When its holder was first told of the grant; 0: never. */
static int64_t told_us(const struct lock_history *history, const struct lock_tenure *tenure)
{
    int64_t first = 0;
    for (size_t i = 0; i < history->note_count; i++) {
        const struct lock_note *note = &history->notes[i];
        if (note->kind == LOCK_NOTE_GRANTED && note->case_index == tenure->case_index &&
            note->token == tenure->token && (!first || note->end_us < first))
            first = note->end_us;
    }
    return first;
}

static const struct lock_note *last_leaving(const struct lock_history *history,
                                            const struct lock_tenure *tenure, int64_t before_us)
{
    const struct lock_note *last = NULL;
    for (size_t i = 0; i < history->note_count; i++) {
        const struct lock_note *note = &history->notes[i];
        if (note->kind == LOCK_NOTE_LEFT && strcmp(note->session, tenure->session) == 0 &&
            (note->case_index < 0 || note->case_index == tenure->case_index) && note->start_us < before_us &&
            (!last || note->start_us > last->start_us))
            last = note;
    }
    return last;
}

static void count_tenures(const struct lock_history *history, struct lock_counts *counts)
{
    counts->tenures = history->tenure_count;
    for (size_t i = 0; i < history->tenure_count; i++) {
        const struct lock_tenure *tenure = &history->tenures[i], *next = NULL;
        counts->broken += tenure->broken;
        for (size_t k = i + 1; k < history->tenure_count && !next; k++) {
            if (history->tenures[k].case_index == tenure->case_index)
                next = &history->tenures[k];
        }
        int64_t told = next && !tenure->broken ? told_us(history, next) : 0;
        const struct lock_note *left = told ? last_leaving(history, tenure, told) : NULL;
        if (left)
            counts->passed_on[left->leaving]++;
    }
}

struct lock_counts lock_history_count(const struct lock_history *history)
{
    struct lock_counts counts = {0};
    count_tenures(history, &counts);
    for (size_t i = 0; i < history->note_count; i++) {
        const struct lock_note *note = &history->notes[i];
        bool write = note->kind == LOCK_NOTE_WRITE;
        counts.granted += note->kind == LOCK_NOTE_GRANTED;
        counts.seen += note->kind == LOCK_NOTE_SEEN;
        counts.lost += note->kind == LOCK_NOTE_LOST;
        counts.done += write && note->outcome == LOCK_WRITE_DONE;
        counts.refused += write && note->outcome == LOCK_WRITE_REFUSED;
        counts.unknown += write && note->outcome == LOCK_WRITE_UNKNOWN;
        counts.unknown_done += write && note->outcome == LOCK_WRITE_UNKNOWN && note->position;
    }
    return counts;
}
