#include "report/report_rules.h"

int64_t report_rules_period_end(const struct report_settings *settings, int64_t create_time)
{
    int64_t days = settings->lock_days < 1 ? REPORT_LOCK_DAYS : settings->lock_days;
    return calendar_day_start(settings->zone, calendar_day_of(settings->zone, create_time) + days);
}

struct entries {
    struct report_entry *list;
    size_t count;
};

static void add(struct entries *entries, int delta, const struct report_place *place)
{
    if (place->column == REPORT_COLUMN_NONE)
        return;
    entries->list[entries->count++] = (struct report_entry){
        .column = place->column,
        .delta = delta,
        .place_time = place->time,
        .resolve_duration = place->resolve_duration,
    };
}

static void move(struct report_case *state, struct report_place to, struct entries *entries)
{
    add(entries, -1, &state->place);
    add(entries, +1, &to);
    state->place = to;
}

/* Where a change to the status puts a case; no column for those that have none. */
static struct report_place place_of(const struct report_case *state, const struct report_event *event)
{
    switch (event->status) {
    case REPORT_STATUS_PENDING:
        return (struct report_place){.column = REPORT_COLUMN_PENDING, .time = event->time};
    case REPORT_STATUS_RESOLVED:
        return (struct report_place){.column = REPORT_COLUMN_RESOLVED,
                                     .time = event->time,
                                     .resolve_duration = event->time - state->create_time};
    case REPORT_STATUS_DELETED:
        return (struct report_place){.column = REPORT_COLUMN_DELETED, .time = event->time};
    default:
        return (struct report_place){.column = REPORT_COLUMN_NONE};
    }
}

static void change_within_period(struct report_case *state, const struct report_event *event,
                                 struct entries *entries)
{
    static const struct report_place nowhere = {.column = REPORT_COLUMN_NONE};
    if (state->status == REPORT_STATUS_DELETED) {
        move(state, state->former, entries);
        state->former = nowhere;
        return;
    }
    if (event->status == REPORT_STATUS_CLOSED)
        return;
    if (event->status == REPORT_STATUS_DELETED)
        state->former = state->place;
    move(state, place_of(state, event), entries);
}

/* What a case counts for once more after its period, and never again: nothing is taken out for it. */
static void change_after_period(struct report_case *state, const struct report_event *event,
                                struct entries *entries)
{
    if (state->status == REPORT_STATUS_DELETED)
        return;
    struct report_place place = place_of(state, event);
    bool *late = event->status == REPORT_STATUS_RESOLVED  ? &state->late_resolved
                 : event->status == REPORT_STATUS_DELETED ? &state->late_deleted
                                                          : NULL;
    if (late == NULL || *late || state->place.column == place.column)
        return;
    *late = true;
    add(entries, +1, &place);
}

size_t report_rules_apply(struct report_case *state, const struct report_event *event,
                          const struct report_settings *settings,
                          struct report_entry ret_entries[REPORT_ENTRIES_MAX])
{
    struct entries entries = {.list = ret_entries};
    if (state->status == REPORT_STATUS_NONE) {
        *state = (struct report_case){
            .status = REPORT_STATUS_NEW,
            .create_time = event->create_time,
            .period_end = report_rules_period_end(settings, event->create_time),
        };
        add(&entries, +1,
            &(struct report_place){.column = REPORT_COLUMN_CREATED, .time = event->create_time});
    }
    if (event->status == state->status)
        return entries.count;
    if (event->time < state->period_end)
        change_within_period(state, event, &entries);
    else
        change_after_period(state, event, &entries);
    state->status = event->status;
    return entries.count;
}
