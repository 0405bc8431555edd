#include "report/report_ledger.h"

#include "base/clock.h"
#include "report/report_keys.h"
#include "report/report_rules.h"
#include "report/report_store.h"

#include <stdlib.h>
#include <string.h>

/* --- statements ------------------------------------------------------------------------------------------
 */

static const struct pg_statement read_accounts = {
    .name = "report_read_accounts",
    .sql = "SELECT a.account, a.time_zone, a.lock_days FROM unnest($1::int2[], $2::text[]) AS k (partition,"
           " account), LATERAL (SELECT * FROM report_accounts WHERE partition = k.partition"
           " AND account = k.account ORDER BY position DESC LIMIT 1) a",
};

static const struct pg_statement read_cases = {
    .name = "report_read_cases",
    .sql = "SELECT c.account, c.case_id, c.status, c.create_time, c.period_end, c.place, c.place_time,"
           " c.place_duration, c.former, c.former_time, c.former_duration, c.late_resolved, c.late_deleted"
           " FROM unnest($1::int2[], $2::text[], $3::int8[]) AS k (partition, account, case_id), LATERAL"
           " (SELECT * FROM report_cases WHERE partition = k.partition AND account = k.account"
           " AND case_id = k.case_id LIMIT 1) c",
};

static const struct pg_statement delete_accounts[] = {
    {.name = "report_delete_entries",
     .sql = "DELETE FROM report_entries WHERE partition = ANY($1::int2[]) AND account = ANY($2::text[])"},
    {.name = "report_delete_sums",
     .sql = "DELETE FROM report_sums WHERE partition = ANY($1::int2[]) AND account = ANY($2::text[])"},
    {.name = "report_delete_cases",
     .sql = "DELETE FROM report_cases WHERE partition = ANY($1::int2[]) AND account = ANY($2::text[])"},
    {.name = "report_delete_accounts",
     .sql = "DELETE FROM report_accounts WHERE partition = ANY($1::int2[]) AND account = ANY($2::text[])"},
};

static const struct pg_statement write_accounts = {
    .name = "report_write_accounts",
    .sql = "INSERT INTO report_accounts (partition, account, position, time_zone, lock_days)"
           " SELECT * FROM unnest($1::int2[], $2::text[], $3::int8[], $4::text[], $5::int4[])",
};

static const struct pg_statement write_cases = {
    .name = "report_write_cases",
    .sql = "INSERT INTO report_cases (partition, account, case_id, status, create_time, period_end, place,"
           " place_time, place_duration, former, former_time, former_duration, late_resolved, late_deleted)"
           " SELECT * FROM unnest($1::int2[], $2::text[], $3::int8[], $4::int2[], $5::timestamptz[],"
           " $6::timestamptz[], $7::int2[], $8::timestamptz[], $9::int8[], $10::int2[], $11::timestamptz[],"
           " $12::int8[], $13::bool[], $14::bool[])"
           " ON CONFLICT (partition, account, case_id) DO UPDATE SET status = excluded.status,"
           " place = excluded.place, place_time = excluded.place_time,"
           " place_duration = excluded.place_duration, former = excluded.former,"
           " former_time = excluded.former_time, former_duration = excluded.former_duration,"
           " late_resolved = excluded.late_resolved, late_deleted = excluded.late_deleted",
};

static const struct pg_statement write_entries = {
    .name = "report_write_entries",
    .sql = "INSERT INTO report_entries (partition, account, position, ordinal, case_id, place, delta,"
           " place_time, resolve_duration, event_time, commit_time)"
           " SELECT * FROM unnest($1::int2[], $2::text[], $3::int8[], $4::int2[], $5::int8[], $6::int2[],"
           " $7::int2[], $8::timestamptz[], $9::int8[], $10::timestamptz[], $11::timestamptz[])",
};

static const struct pg_statement write_sums = {
    .name = "report_write_sums",
    .sql = "INSERT INTO report_sums AS s (partition, account, quarter, created, pending, resolved, deleted,"
           " resolve_duration)"
           " SELECT * FROM unnest($1::int2[], $2::text[], $3::int8[], $4::int8[], $5::int8[], $6::int8[],"
           " $7::int8[], $8::int8[])"
           " ON CONFLICT (partition, account, quarter) DO UPDATE SET created = s.created + excluded.created,"
           " pending = s.pending + excluded.pending, resolved = s.resolved + excluded.resolved,"
           " deleted = s.deleted + excluded.deleted,"
           " resolve_duration = s.resolve_duration + excluded.resolve_duration",
};

/* --- what a batch knows ----------------------------------------------------------------------------------
 */

struct known_account {
    const char *id;
    const char *time_zone; /* NULL: none known */
    int32_t lock_days;
};

struct known_case {
    const char *account;
    int64_t id;
    struct report_case state;
    bool changed;
};

struct caused_entry {
    struct report_entry entry;
    const struct report_event *event;
    int ordinal;
};

struct report_ledger {
    arena *memory;
    struct known_account *accounts; /* by id */
    size_t account_count;
    struct known_case *cases; /* by account and id */
    size_t case_count;
    struct caused_entry *entries;
    size_t entry_count;
    const struct report_event **settings; /* account events */
    size_t setting_count;
    const char **deleted; /* accounts */
    size_t deleted_count;
    size_t accounts_read, cases_read; /* indexes of results */
};

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory for a batch of events");
}

static int compare_accounts(const void *a, const void *b)
{
    const struct known_account *left = a, *right = b;
    return strcmp(left->id, right->id);
}

static int compare_cases(const void *a, const void *b)
{
    const struct known_case *left = a, *right = b;
    int order = strcmp(left->account, right->account);
    return order != 0 ? order : (left->id > right->id) - (left->id < right->id);
}

struct report_ledger *report_ledger_new(arena *memory, size_t event_count)
{
    struct report_ledger *state = arena_calloc(memory, 1, sizeof *state);
    if (state == NULL)
        return NULL;
    state->memory = memory;
    state->accounts = arena_calloc(memory, event_count + 1, sizeof *state->accounts);
    state->cases = arena_calloc(memory, event_count + 1, sizeof *state->cases);
    state->entries = arena_calloc(memory, event_count * REPORT_ENTRIES_MAX + 1, sizeof *state->entries);
    state->settings = arena_calloc(memory, event_count + 1, sizeof(void *));
    state->deleted = arena_calloc(memory, event_count + 1, sizeof(void *));
    return state->accounts == NULL || state->cases == NULL || state->entries == NULL ||
                   state->settings == NULL || state->deleted == NULL
               ? NULL
               : state;
}

/* --- reading ---------------------------------------------------------------------------------------------
 */

void report_ledger_meet(struct report_ledger *state, const struct report_event *event)
{
    if (event->kind == REPORT_EVENT_OTHER)
        return;
    state->accounts[state->account_count++].id = event->account;
    if (event->kind == REPORT_EVENT_CASE)
        state->cases[state->case_count++] =
            (struct known_case){.account = event->account, .id = event->case_id};
}

bool report_ledger_read(struct report_ledger *state, pg_batch *batch, error *err)
{
    state->account_count =
        report_keys_unique(state->accounts, state->account_count, sizeof *state->accounts, compare_accounts);
    state->case_count =
        report_keys_unique(state->cases, state->case_count, sizeof *state->cases, compare_cases);
    pg_params accounts, cases;
    pg_params_init(&accounts, state->memory);
    struct report_account_columns ids = report_keys_add(&accounts);
    for (size_t i = 0; i < state->account_count; i++)
        report_keys_put(&ids, state->accounts[i].id);
    pg_params_init(&cases, state->memory);
    struct report_account_columns owners = report_keys_add(&cases);
    pg_array *numbers = pg_add_array(&cases, PG_INT8);
    for (size_t i = 0; i < state->case_count; i++) {
        report_keys_put(&owners, state->cases[i].account);
        pg_put_int(numbers, state->cases[i].id);
    }
    return (state->account_count == 0 ||
            pg_batch_read(batch, &read_accounts, &accounts, &state->accounts_read, err)) &&
           (state->case_count == 0 || pg_batch_read(batch, &read_cases, &cases, &state->cases_read, err));
}

static struct known_account *find_account(const struct report_ledger *state, const char *id)
{
    struct known_account key = {.id = id};
    return bsearch(&key, state->accounts, state->account_count, sizeof key, compare_accounts);
}

static struct known_case *find_case(const struct report_ledger *state, const char *account, int64_t id)
{
    struct known_case key = {.account = account, .id = id};
    return bsearch(&key, state->cases, state->case_count, sizeof key, compare_cases);
}

static struct report_place read_place(const pg_result *rows, int row, int column)
{
    return (struct report_place){
        .column = (enum report_column)pg_get_int(rows, row, column),
        .time = pg_get_time(rows, row, column + 1),
        .resolve_duration = pg_get_int(rows, row, column + 2),
    };
}

static void take_accounts(struct report_ledger *state, const pg_result *rows)
{
    for (int i = 0; i < pg_rows(rows); i++) {
        struct known_account *account = find_account(state, pg_get_text(rows, i, 0));
        if (account == NULL)
            continue;
        account->time_zone = pg_get_text(rows, i, 1);
        account->lock_days = (int32_t)pg_get_int(rows, i, 2);
    }
}

static void take_cases(struct report_ledger *state, const pg_result *rows)
{
    for (int i = 0; i < pg_rows(rows); i++) {
        struct known_case *found = find_case(state, pg_get_text(rows, i, 0), pg_get_int(rows, i, 1));
        if (found == NULL)
            continue;
        found->state = (struct report_case){
            .status = (enum report_status)pg_get_int(rows, i, 2),
            .create_time = pg_get_time(rows, i, 3),
            .period_end = pg_get_time(rows, i, 4),
            .place = read_place(rows, i, 5),
            .former = read_place(rows, i, 8),
            .late_resolved = pg_get_bool(rows, i, 11),
            .late_deleted = pg_get_bool(rows, i, 12),
        };
    }
}

void report_ledger_take(struct report_ledger *state, const pg_batch *batch)
{
    if (state->account_count > 0)
        take_accounts(state, pg_batch_result(batch, state->accounts_read));
    if (state->case_count > 0)
        take_cases(state, pg_batch_result(batch, state->cases_read));
}

/* --- deciding --------------------------------------------------------------------------------------------
 */

/* The feed tells of an account before its cases; UTC and the default stand in for settings that cannot be
 * read. */
static struct report_settings settings_of(const struct known_account *account)
{
    const calendar_zone *zone = account->time_zone != NULL ? calendar_zone_get(account->time_zone) : NULL;
    return (struct report_settings){
        .zone = zone != NULL ? zone : calendar_zone_get("UTC"),
        .lock_days = account->lock_days,
    };
}

static void apply_case(struct report_ledger *state, const struct report_event *event)
{
    struct known_case *known = find_case(state, event->account, event->case_id);
    struct report_settings settings = settings_of(find_account(state, event->account));
    struct report_entry entries[REPORT_ENTRIES_MAX];
    enum report_status before = known->state.status;
    size_t count = report_rules_apply(&known->state, event, &settings, entries);
    known->changed = known->changed || count > 0 || known->state.status != before;
    for (size_t i = 0; i < count; i++)
        state->entries[state->entry_count++] =
            (struct caused_entry){.entry = entries[i], .event = event, .ordinal = (int)i};
}

/* What the batch has gathered for the account so far goes with what is stored of it. */
static void delete_account(struct report_ledger *state, const char *id)
{
    size_t kept = 0;
    for (size_t i = 0; i < state->entry_count; i++) {
        if (strcmp(state->entries[i].event->account, id) != 0)
            state->entries[kept++] = state->entries[i];
    }
    state->entry_count = kept;
    kept = 0;
    for (size_t i = 0; i < state->setting_count; i++) {
        if (strcmp(state->settings[i]->account, id) != 0)
            state->settings[kept++] = state->settings[i];
    }
    state->setting_count = kept;
    for (size_t i = 0; i < state->case_count; i++) {
        if (strcmp(state->cases[i].account, id) == 0)
            state->cases[i] =
                (struct known_case){.account = state->cases[i].account, .id = state->cases[i].id};
    }
    struct known_account *account = find_account(state, id);
    account->time_zone = NULL;
    account->lock_days = 0;
    state->deleted[state->deleted_count++] = id;
}

void report_ledger_apply(struct report_ledger *state, const struct report_event *event)
{
    struct known_account *account = NULL;
    switch (event->kind) {
    case REPORT_EVENT_CASE:
        apply_case(state, event);
        break;
    case REPORT_EVENT_ACCOUNT_SET:
        account = find_account(state, event->account);
        account->time_zone = event->time_zone;
        account->lock_days = event->lock_days;
        state->settings[state->setting_count++] = event;
        break;
    case REPORT_EVENT_ACCOUNT_DELETED:
        delete_account(state, event->account);
        break;
    case REPORT_EVENT_OTHER:
        break;
    }
}

/* --- writing ---------------------------------------------------------------------------------------------
 */

static bool queue_deletes(pg_batch *batch, struct report_ledger *state, error *err)
{
    for (size_t i = 0; state->deleted_count > 0 && i < sizeof delete_accounts / sizeof delete_accounts[0];
         i++) {
        pg_params p;
        pg_params_init(&p, state->memory);
        struct report_account_columns accounts = report_keys_add(&p);
        for (size_t j = 0; j < state->deleted_count; j++)
            report_keys_put(&accounts, state->deleted[j]);
        if (!pg_batch_write(batch, &delete_accounts[i], &p, err))
            return false;
    }
    return true;
}

static bool queue_accounts(pg_batch *batch, struct report_ledger *state, error *err)
{
    if (state->setting_count == 0)
        return true;
    pg_params p;
    pg_params_init(&p, state->memory);
    struct report_account_columns account = report_keys_add(&p);
    pg_array *position = pg_add_array(&p, PG_INT8);
    pg_array *time_zone = pg_add_array(&p, PG_TEXT), *lock_days = pg_add_array(&p, PG_INT4);
    for (size_t i = 0; i < state->setting_count; i++) {
        const struct report_event *event = state->settings[i];
        report_keys_put(&account, event->account);
        pg_put_int(position, event->position);
        pg_put_text(time_zone, event->time_zone);
        pg_put_int(lock_days, event->lock_days);
    }
    return pg_batch_write(batch, &write_accounts, &p, err);
}

struct place_columns {
    pg_array *column, *time, *duration;
};

static struct place_columns add_place(pg_params *p)
{
    struct place_columns columns;
    columns.column = pg_add_array(p, PG_INT2);
    columns.time = pg_add_array(p, PG_TIME);
    columns.duration = pg_add_array(p, PG_INT8);
    return columns;
}

static void put_place(const struct place_columns *columns, const struct report_place *place)
{
    pg_put_int(columns->column, place->column);
    pg_put_time(columns->time, place->time);
    pg_put_int(columns->duration, place->resolve_duration);
}

static bool queue_cases(pg_batch *batch, struct report_ledger *state, error *err)
{
    pg_params p;
    pg_params_init(&p, state->memory);
    struct report_account_columns account = report_keys_add(&p);
    pg_array *id = pg_add_array(&p, PG_INT8);
    pg_array *status = pg_add_array(&p, PG_INT2), *create_time = pg_add_array(&p, PG_TIME);
    pg_array *period_end = pg_add_array(&p, PG_TIME);
    struct place_columns place = add_place(&p), former = add_place(&p);
    pg_array *late_resolved = pg_add_array(&p, PG_BOOL), *late_deleted = pg_add_array(&p, PG_BOOL);
    bool any = false;
    for (size_t i = 0; i < state->case_count; i++) {
        const struct known_case *known = &state->cases[i];
        if (!known->changed)
            continue;
        any = true;
        report_keys_put(&account, known->account);
        pg_put_int(id, known->id);
        pg_put_int(status, known->state.status);
        pg_put_time(create_time, known->state.create_time);
        pg_put_time(period_end, known->state.period_end);
        put_place(&place, &known->state.place);
        put_place(&former, &known->state.former);
        pg_put_bool(late_resolved, known->state.late_resolved);
        pg_put_bool(late_deleted, known->state.late_deleted);
    }
    return !any || pg_batch_write(batch, &write_cases, &p, err);
}

static bool queue_entries(pg_batch *batch, struct report_ledger *state, error *err)
{
    pg_params p;
    pg_params_init(&p, state->memory);
    struct report_account_columns account = report_keys_add(&p);
    pg_array *position = pg_add_array(&p, PG_INT8), *ordinal = pg_add_array(&p, PG_INT2);
    pg_array *id = pg_add_array(&p, PG_INT8);
    pg_array *column = pg_add_array(&p, PG_INT2), *delta = pg_add_array(&p, PG_INT2);
    pg_array *place_time = pg_add_array(&p, PG_TIME), *duration = pg_add_array(&p, PG_INT8);
    pg_array *event_time = pg_add_array(&p, PG_TIME), *commit_time = pg_add_array(&p, PG_TIME);
    for (size_t i = 0; i < state->entry_count; i++) {
        const struct report_event *event = state->entries[i].event;
        const struct report_entry *entry = &state->entries[i].entry;
        report_keys_put(&account, event->account);
        pg_put_int(position, event->position);
        pg_put_int(ordinal, state->entries[i].ordinal);
        pg_put_int(id, event->case_id);
        pg_put_int(column, entry->column);
        pg_put_int(delta, entry->delta);
        pg_put_time(place_time, entry->place_time);
        pg_put_int(duration, entry->resolve_duration);
        pg_put_time(event_time, event->time);
        pg_put_time(commit_time, event->commit_time);
    }
    return pg_batch_write(batch, &write_entries, &p, err);
}

struct sum {
    const char *account;
    int64_t quarter;
    struct report_counts counts;
};

static int compare_sums(const void *a, const void *b)
{
    const struct sum *left = a, *right = b;
    int order = strcmp(left->account, right->account);
    return order != 0 ? order : (left->quarter > right->quarter) - (left->quarter < right->quarter);
}

static struct sum sum_of(const struct caused_entry *caused)
{
    const struct report_entry *entry = &caused->entry;
    const int64_t length = 15 * CLOCK_MINUTE;
    struct sum sum = {
        .account = caused->event->account,
        .quarter = entry->place_time / length - (entry->place_time % length < 0),
        .counts = {.resolve_duration = entry->delta * entry->resolve_duration},
    };
    switch (entry->column) {
    case REPORT_COLUMN_CREATED:
        sum.counts.created = entry->delta;
        break;
    case REPORT_COLUMN_PENDING:
        sum.counts.pending = entry->delta;
        break;
    case REPORT_COLUMN_RESOLVED:
        sum.counts.resolved = entry->delta;
        break;
    case REPORT_COLUMN_DELETED:
        sum.counts.deleted = entry->delta;
        break;
    case REPORT_COLUMN_NONE:
        break;
    }
    return sum;
}

/* One change for each quarter, though several entries fell into it. */
static size_t add_up(const struct report_ledger *state, struct sum *sums)
{
    for (size_t i = 0; i < state->entry_count; i++)
        sums[i] = sum_of(&state->entries[i]);
    qsort(sums, state->entry_count, sizeof *sums, compare_sums);
    size_t kept = 0;
    for (size_t i = 0; i < state->entry_count; i++) {
        if (kept == 0 || compare_sums(&sums[kept - 1], &sums[i]) != 0) {
            sums[kept++] = sums[i];
            continue;
        }
        struct report_counts *to = &sums[kept - 1].counts;
        to->created += sums[i].counts.created;
        to->pending += sums[i].counts.pending;
        to->resolved += sums[i].counts.resolved;
        to->deleted += sums[i].counts.deleted;
        to->resolve_duration += sums[i].counts.resolve_duration;
    }
    return kept;
}

static bool queue_sums(pg_batch *batch, struct report_ledger *state, error *err)
{
    struct sum *sums = arena_calloc(state->memory, state->entry_count, sizeof *sums);
    if (sums == NULL)
        return out_of_memory(err);
    size_t count = add_up(state, sums);
    pg_params p;
    pg_params_init(&p, state->memory);
    struct report_account_columns account = report_keys_add(&p);
    pg_array *quarter = pg_add_array(&p, PG_INT8);
    pg_array *created = pg_add_array(&p, PG_INT8), *pending = pg_add_array(&p, PG_INT8);
    pg_array *resolved = pg_add_array(&p, PG_INT8), *deleted = pg_add_array(&p, PG_INT8);
    pg_array *duration = pg_add_array(&p, PG_INT8);
    for (size_t i = 0; i < count; i++) {
        report_keys_put(&account, sums[i].account);
        pg_put_int(quarter, sums[i].quarter);
        pg_put_int(created, sums[i].counts.created);
        pg_put_int(pending, sums[i].counts.pending);
        pg_put_int(resolved, sums[i].counts.resolved);
        pg_put_int(deleted, sums[i].counts.deleted);
        pg_put_int(duration, sums[i].counts.resolve_duration);
    }
    return pg_batch_write(batch, &write_sums, &p, err);
}
bool report_ledger_write(struct report_ledger *state, pg_batch *batch, error *err)
{
    return queue_deletes(batch, state, err) && queue_accounts(batch, state, err) &&
           queue_cases(batch, state, err) &&
           (state->entry_count == 0 || (queue_entries(batch, state, err) && queue_sums(batch, state, err)));
}
