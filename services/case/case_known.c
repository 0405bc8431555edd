#include "case/case_known.h"

#include "base/arena.h"
#include "case/case_store.h"
#include "feed/partition.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* A partition's rows; when they are more it begins anew. */
enum { BYTES_MAX = 256 * 1024, SLOTS = 1024, ROWS_MAX = SLOTS / 2 };

struct row {
    enum entry_kind kind; /* ENTRY_ACCOUNT or ENTRY_AGENT */
    union {
        struct account_record account;
        struct agent_record agent;
    };
};

struct partition {
    bool there;    /* there is a mark, and what is kept is true at it */
    bool assuming; /* the last lock has found the mark that was there */
    int64_t mark;
    arena *memory; /* made with the first row */
    struct row **slots;
    size_t count;
};

struct case_known {
    struct partition partitions[FEED_PARTITIONS];
};

struct case_known *case_known_new(void)
{
    return calloc(1, sizeof(struct case_known));
}

void case_known_free(struct case_known *known)
{
    for (int i = 0; known != NULL && i < FEED_PARTITIONS; i++)
        arena_free(known->partitions[i].memory);
    free(known);
}

/* --- the rows of a partition --- */

static void forget(struct partition *partition)
{
    if (partition->memory != NULL)
        arena_clear(partition->memory);
    partition->slots = NULL;
    partition->count = 0;
}

static bool is_of(const struct row *row, const struct entry_key *key)
{
    if (row->kind != key->kind)
        return false;
    if (row->kind == ENTRY_ACCOUNT)
        return strcmp(row->account.id, key->account) == 0;
    return strcmp(row->agent.id, key->a) == 0 && strcmp(row->agent.account, key->account) == 0;
}

/* The row's slot, or the one for it. */
static struct row **slot_of(const struct partition *partition, const struct entry_key *key)
{
    uint64_t hash = XXH64(key->account, strlen(key->account), (uint64_t)key->kind);
    size_t i = (size_t)XXH64(key->a, strlen(key->a), hash) % SLOTS;
    while (partition->slots[i] != NULL && !is_of(partition->slots[i], key))
        i = (i + 1) % SLOTS;
    return &partition->slots[i];
}

static const struct row *find(const struct partition *partition, const struct entry_key *key)
{
    return partition->slots == NULL ? NULL : *slot_of(partition, key);
}

static const char *keep_text(arena *memory, const char *text, const char *before)
{
    return before != NULL && strcmp(before, text) == 0 ? before : arena_strdup(memory, text);
}

static bool keep_account(arena *memory, struct account_record *to, const struct account_record *record)
{
    struct account_record before = *to;
    *to = *record;
    to->id = keep_text(memory, record->id, before.id);
    to->display_name = keep_text(memory, record->display_name, before.display_name);
    to->time_zone = keep_text(memory, record->time_zone, before.time_zone);
    return to->id != NULL && to->display_name != NULL && to->time_zone != NULL;
}

static bool keep_agent(arena *memory, struct agent_record *to, const struct agent_record *record)
{
    struct agent_record before = *to;
    *to = *record;
    to->account = keep_text(memory, record->account, before.account);
    to->id = keep_text(memory, record->id, before.id);
    to->display_name = keep_text(memory, record->display_name, before.display_name);
    to->email = keep_text(memory, record->email, before.email);
    return to->account != NULL && to->id != NULL && to->display_name != NULL && to->email != NULL;
}

static bool make_room(struct partition *partition)
{
    if (partition->memory == NULL)
        partition->memory = arena_new(BYTES_MAX);
    if (partition->memory != NULL && partition->count >= ROWS_MAX)
        forget(partition);
    if (partition->memory != NULL && partition->slots == NULL)
        partition->slots = arena_calloc(partition->memory, SLOTS, sizeof(struct row *));
    return partition->slots != NULL;
}

/* False: no room. */
static bool put(struct partition *partition, const struct entry *entry)
{
    if (!make_room(partition))
        return false;
    struct row **slot = slot_of(partition, &entry->key), *row = *slot;
    if (row == NULL) {
        row = arena_calloc(partition->memory, 1, sizeof *row);
        if (row == NULL)
            return false;
        row->kind = entry->key.kind;
    }
    bool kept =
        row->kind == ENTRY_ACCOUNT
            ? keep_account(partition->memory, &row->account, &((const struct account_entry *)entry)->record)
            : keep_agent(partition->memory, &row->agent, &((const struct agent_entry *)entry)->record);
    if (kept && *slot == NULL) {
        *slot = row;
        partition->count++;
    }
    return kept;
}

/* --- a batch --- */

static const enum entry_kind kinds[] = {ENTRY_ACCOUNT, ENTRY_AGENT};

void case_known_assume(struct case_known *known, struct overlay *overlay)
{
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        const struct entry_list *list = &overlay->entries[kinds[k]];
        for (size_t i = 0; i < list->count; i++) {
            struct entry *entry = list->items[i];
            const struct partition *partition = &known->partitions[entry->partition];
            if (partition->assuming && find(partition, &entry->key) != NULL)
                entry->asked = entry->assumed = true;
        }
    }
}

/* Copies, since what is kept may move before the batch is over. */
static void fill(struct overlay *overlay, struct entry *entry, const struct row *row)
{
    bool filled = row->kind == ENTRY_ACCOUNT
                      ? keep_account(overlay->memory, &((struct account_entry *)entry)->record, &row->account)
                      : keep_agent(overlay->memory, &((struct agent_entry *)entry)->record, &row->agent);
    entry->exists = true;
    overlay->failed = overlay->failed || !filled;
}

void case_known_confirm(struct case_known *known, struct overlay *overlay, const pg_result *locked)
{
    for (int row = 0; row < pg_rows(locked); row++) {
        struct partition *partition = &known->partitions[pg_get_int(locked, row, LOCK_PARTITION)];
        bool same = partition->there && !pg_is_null(locked, row, LOCK_MARK) &&
                    partition->mark == pg_get_int(locked, row, LOCK_MARK);
        if (!same)
            forget(partition);
        partition->there = partition->assuming = same;
    }
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        const struct entry_list *list = &overlay->entries[kinds[k]];
        for (size_t i = 0; i < list->count; i++) {
            struct entry *entry = list->items[i];
            const struct row *row =
                entry->assumed ? find(&known->partitions[entry->partition], &entry->key) : NULL;
            if (row != NULL)
                fill(overlay, entry, row);
            else if (entry->assumed)
                entry->asked = entry->assumed = false;
        }
    }
}

/* Of what does not exist nothing is kept: what an account had may go behind its deletion without a mark. */
static bool is_kept(const struct overlay *overlay, const struct entry *entry)
{
    const struct entry *account =
        overlay_find(overlay, &(struct entry_key){ENTRY_ACCOUNT, entry->key.account, "", "", 0, 0});
    return entry->exists && account != NULL && account->exists;
}

/* False: what is kept is to be forgotten. */
static bool take_over_entry(struct partition *partition, const struct overlay *overlay,
                            const struct entry *entry)
{
    if (entry->assumed && entry->exists && !entry->inserted && !entry->changed)
        return true; /* kept already */
    if (is_kept(overlay, entry))
        return put(partition, entry);
    return find(partition, &entry->key) == NULL;
}

static void take_over(struct partition *partition, const struct overlay *overlay, int number)
{
    bool good = overlay->erasures.count == 0; /* with an account goes what it had */
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        const struct entry_list *list = &overlay->entries[kinds[k]];
        for (size_t i = 0; i < list->count && good; i++) {
            const struct entry *entry = list->items[i];
            if (entry->partition == number)
                good = take_over_entry(partition, overlay, entry);
        }
    }
    if (!good)
        forget(partition);
}

void case_known_keep(struct case_known *known, const struct overlay *overlay, const pg_result *locked,
                     int64_t mark)
{
    for (int row = 0; row < pg_rows(locked); row++) {
        int number = (int)pg_get_int(locked, row, LOCK_PARTITION);
        struct partition *partition = &known->partitions[number];
        bool written = overlay->feeds[number].written;
        partition->there = written || !pg_is_null(locked, row, LOCK_MARK);
        partition->mark = written ? mark : pg_get_int(locked, row, LOCK_MARK);
        if (partition->there)
            take_over(partition, overlay, number);
    }
}
