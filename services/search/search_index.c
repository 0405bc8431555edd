#include "search/search_index.h"

#include "base/clock.h"
#include "search/search_builder.h"
#include "search/search_dictionary.h"
#include "search/search_holds.h"
#include "search/search_merger.h"
#include "search/search_postings.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Text of cases that are read for a rebuild before they become a section. */
enum { BUILD_BYTES = 32 << 20, TABLE_ROOM = 4 };

/* An account's successor while it is being built. */
struct building {
    struct search_account account;
    struct search_builder builder; /* what was read lately */
};

/* An account's shelf stays once it is there, empty or not: whoever found it may use it without the index's
 * lock. */
struct shelf {
    char id[64];
    struct search_account account;
    pthread_mutex_t lock; /* of writers: what is written stays the same until both accounts have it */
    struct building *building;
    atomic_bool rebuilding; /* there is one; for everybody */
    atomic_llong erased_us; /* monotonic: search_index_mark_erased; 0: nothing */
};

struct search_index {
    pthread_rwlock_t lock;  /* of `shelves` and `positions` */
    struct shelf **shelves; /* by id */
    size_t count, size;
    struct shelf **table; /* the same by the id's hash: open addressing, four times `size` */
    struct feed_positions positions;
    struct search_holds holds;
    atomic_ullong filed; /* bytes */
    pthread_mutex_t scratch_lock;
    struct search_builder scratch;
    search_merger *merger;
};

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for the index");
}

/* --- shelves ------------------------------------------------------------------------------------------ */

/* Readers come all the time: without this a writer might wait for ever. */
static void lock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

bool search_index_new(search_index **ret_index, error *err)
{
    search_index *index = calloc(1, sizeof *index);
    if (!index)
        return out_of_memory(err);
    if (!search_merger_new(&index->merger, err)) {
        free(index);
        return false;
    }
    lock_init(&index->lock);
    search_holds_init(&index->holds);
    pthread_mutex_init(&index->scratch_lock, NULL);
    search_builder_init(&index->scratch);
    *ret_index = index;
    return true;
}

static void give_up_building(struct shelf *shelf)
{
    if (!shelf->building)
        return;
    search_account_release(&shelf->building->account);
    search_builder_release(&shelf->building->builder);
    free(shelf->building);
    shelf->building = NULL;
    atomic_store(&shelf->rebuilding, false);
}

static void free_shelf(struct shelf *shelf)
{
    give_up_building(shelf);
    search_account_release(&shelf->account);
    pthread_mutex_destroy(&shelf->lock);
    free(shelf);
}

void search_index_free(search_index *index)
{
    if (!index)
        return;
    search_merger_free(index->merger);
    for (size_t i = 0; i < index->count; i++)
        free_shelf(index->shelves[i]);
    free(index->shelves);
    free(index->table);
    search_builder_release(&index->scratch);
    pthread_mutex_destroy(&index->scratch_lock);
    search_holds_release(&index->holds);
    pthread_rwlock_destroy(&index->lock);
    free(index);
}

/* Where the account is, or would have to be. */
static size_t place_of(const search_index *index, const char *account)
{
    size_t from = 0, to = index->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (strcmp(index->shelves[middle]->id, account) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Where in the table the account is, or would have to be. */
static struct shelf **slot_of(const search_index *index, const char *account)
{
    size_t mask = index->size * TABLE_ROOM - 1, at = search_word_hash(account, strlen(account)) & mask;
    while (index->table[at] && strcmp(index->table[at]->id, account) != 0)
        at = (at + 1) & mask;
    return &index->table[at];
}

static struct shelf *find_locked(const search_index *index, const char *account)
{
    return index->count > 0 ? *slot_of(index, account) : NULL;
}

static struct shelf *find(search_index *index, const char *account)
{
    pthread_rwlock_rdlock(&index->lock);
    struct shelf *shelf = find_locked(index, account);
    pthread_rwlock_unlock(&index->lock);
    return shelf;
}

static struct shelf *new_shelf(const char *account)
{
    error err;
    struct shelf *shelf = strlen(account) < sizeof shelf->id ? calloc(1, sizeof *shelf) : NULL;
    if (!shelf || !search_account_init(&shelf->account, &err)) {
        free(shelf);
        return NULL;
    }
    memcpy(shelf->id, account, strlen(account) + 1);
    pthread_mutex_init(&shelf->lock, NULL);
    return shelf;
}

static bool make_room(search_index *index)
{
    if (index->count < index->size)
        return true;
    size_t size = index->size ? index->size * 2 : 16;
    struct shelf **table = calloc(size * TABLE_ROOM, sizeof(struct shelf *));
    struct shelf **grown = table ? reallocarray(index->shelves, size, sizeof(struct shelf *)) : NULL;
    if (!grown) {
        free(table);
        return false;
    }
    free(index->table);
    index->table = table;
    index->shelves = grown;
    index->size = size;
    for (size_t i = 0; i < index->count; i++)
        *slot_of(index, grown[i]->id) = grown[i];
    return true;
}

static struct shelf *find_or_add(search_index *index, const char *account)
{
    struct shelf *shelf = find(index, account);
    if (shelf)
        return shelf;
    pthread_rwlock_wrlock(&index->lock);
    shelf = find_locked(index, account);
    if (!shelf && make_room(index) && (shelf = new_shelf(account))) {
        size_t at = place_of(index, account);
        memmove(index->shelves + at + 1, index->shelves + at, (index->count - at) * sizeof(struct shelf *));
        index->shelves[at] = shelf;
        *slot_of(index, account) = shelf;
        index->count++;
    }
    pthread_rwlock_unlock(&index->lock);
    return shelf;
}

/* The account as it is, to be given back; NULL when nobody has heard of it. */
static struct search_view *view_of(search_index *index, const char *account)
{
    struct shelf *shelf = find(index, account);
    return shelf ? search_account_view(&shelf->account) : NULL;
}

/* --- writing ------------------------------------------------------------------------------------------ */

/* What was read for a rebuild becomes a section of the successor. */
static bool flush_building(struct building *building, error *err)
{
    bool due;
    struct search_block *block;
    if (search_builder_count(&building->builder) == 0)
        return true;
    return search_builder_finish(&building->builder, &block, err) &&
           search_account_apply(&building->account, block, NULL, 0, &due, err);
}

/* With the shelf's lock. Takes the block over. */
static bool apply(search_index *index, struct shelf *shelf, struct search_block *block, const int64_t *gone,
                  size_t gone_count, error *err)
{
    bool due = false;
    if (shelf->building) { /* what was read before a case went must not come after */
        if (!flush_building(shelf->building, err)) {
            search_block_unref(block);
            return false;
        }
        if (block)
            search_block_ref(block);
        if (!search_account_apply(&shelf->building->account, block, gone, gone_count, &due, err)) {
            search_block_unref(block);
            return false;
        }
    }
    if (!search_account_apply(&shelf->account, block, gone, gone_count, &due, err))
        return false;
    search_merger_add(index->merger, &shelf->account, due);
    return true;
}

/* A section of the batch's documents; NULL when it has none. */
static bool build(search_index *index, const struct search_change *changes, size_t count,
                  struct search_block **ret_block, error *err)
{
    bool done = true;
    *ret_block = NULL;
    pthread_mutex_lock(&index->scratch_lock);
    for (size_t i = 0; i < count && done; i++)
        if (changes[i].document)
            done = search_builder_add(&index->scratch, changes[i].document, err);
    if (!done)
        search_builder_clear(&index->scratch);
    else if (search_builder_count(&index->scratch) > 0)
        done = search_builder_finish(&index->scratch, ret_block, err);
    pthread_mutex_unlock(&index->scratch_lock);
    return done;
}

bool search_index_apply(search_index *index, const char *account, const struct search_change *changes,
                        size_t count, error *err)
{
    struct shelf *shelf = find_or_add(index, account);
    int64_t *gone = shelf ? reallocarray(NULL, count + 1, sizeof *gone) : NULL;
    struct search_block *block;
    size_t gone_count = 0;
    if (!gone)
        return out_of_memory(err);
    for (size_t i = 0; i < count; i++)
        if (!changes[i].document)
            gone[gone_count++] = changes[i].number;
    bool done = build(index, changes, count, &block, err);
    if (done && block)
        atomic_fetch_add(&index->filed, block->section.size);
    if (done && (block || gone_count > 0)) {
        pthread_mutex_lock(&shelf->lock);
        done = apply(index, shelf, block, gone, gone_count, err);
        pthread_mutex_unlock(&shelf->lock);
    }
    free(gone);
    return done;
}

/* Without memory for an empty view an account stays: it is emptied one case after the other. */
static void empty(struct shelf *shelf)
{
    pthread_mutex_lock(&shelf->lock);
    give_up_building(shelf);
    struct search_view *nothing = search_view_new();
    if (nothing)
        search_account_replace(&shelf->account, nothing);
    pthread_mutex_unlock(&shelf->lock);
}

void search_index_drop(search_index *index, const char *account)
{
    struct shelf *shelf = find(index, account);
    if (shelf)
        empty(shelf);
}

void search_index_clear(search_index *index)
{
    search_index_set_positions(index, &(struct feed_positions){0});
    pthread_rwlock_rdlock(&index->lock);
    for (size_t i = 0; i < index->count; i++)
        empty(index->shelves[i]);
    pthread_rwlock_unlock(&index->lock);
}

void search_index_settle(search_index *index)
{
    search_merger_finish(index->merger);
}

/* --- building anew ------------------------------------------------------------------------------------ */

static struct building *new_building(error *err)
{
    struct building *building = calloc(1, sizeof *building);
    if (!building || !search_account_init(&building->account, err)) {
        free(building);
        out_of_memory(err);
        return NULL;
    }
    search_builder_init(&building->builder);
    return building;
}

bool search_index_build_begin(search_index *index, const char *account, error *err)
{
    struct shelf *shelf = find_or_add(index, account);
    if (!shelf)
        return out_of_memory(err);
    pthread_mutex_lock(&shelf->lock);
    bool running = shelf->building;
    if (running)
        error_set(err, STATUS_FAILED_PRECONDITION, "REBUILD_RUNNING", "the account is being rebuilt already");
    else
        shelf->building = new_building(err);
    bool begun = !running && shelf->building;
    atomic_store(&shelf->rebuilding, shelf->building != NULL);
    pthread_mutex_unlock(&shelf->lock);
    return begun;
}

bool search_index_build_put(search_index *index, const char *account, const struct search_document *document,
                            error *err)
{
    struct shelf *shelf = find(index, account);
    if (!shelf)
        return error_set(err, STATUS_ABORTED, "ACCOUNT_DELETED", "the account is gone");
    pthread_mutex_lock(&shelf->lock);
    struct building *building = shelf->building;
    bool done = building;
    if (!done)
        error_set(err, STATUS_ABORTED, "ACCOUNT_DELETED", "the account is gone");
    done = done && search_builder_add(&building->builder, document, err) &&
           (building->builder.text_bytes < BUILD_BYTES || flush_building(building, err));
    pthread_mutex_unlock(&shelf->lock);
    return done;
}

static void mark_erased(struct shelf *shelf)
{
    long long nothing = 0;
    atomic_compare_exchange_strong(&shelf->erased_us, &nothing, clock_monotonic_us());
}

static bool put_in_place(search_index *index, struct shelf *shelf, error *err)
{
    if (!flush_building(shelf->building, err))
        return false;
    search_account_replace(&shelf->account, search_account_view(&shelf->building->account));
    mark_erased(shelf); /* of the successor nothing was purged until now */
    search_merger_add(index->merger, &shelf->account, true);
    return true;
}

bool search_index_build_end(search_index *index, const char *account, bool commit, error *err)
{
    struct shelf *shelf = find(index, account);
    if (!shelf)
        return true;
    pthread_mutex_lock(&shelf->lock);
    bool done = !commit || !shelf->building || put_in_place(index, shelf, err);
    give_up_building(shelf);
    pthread_mutex_unlock(&shelf->lock);
    return done;
}

/* --- reading ------------------------------------------------------------------------------------------ */

int64_t search_index_case_position(search_index *index, const char *account, int64_t number)
{
    struct search_view *view = view_of(index, account);
    uint32_t slice, document;
    int64_t position = -1;
    if (view && search_view_find(view, number, &slice, &document))
        position = view->slices[slice].block->section.positions[document];
    search_view_unref(view);
    return position;
}

/* Those of the documents (NULL: of all) that are alive and were read before `position`. */
static void add_cases(const struct search_slice *slice, const uint32_t *documents, uint32_t count,
                      int64_t position, int64_t *numbers, size_t *total)
{
    const struct search_section *section = &slice->block->section;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t document = documents ? documents[i] : i;
        if (search_alive_has(slice->alive, document) && section->positions[document] < position)
            numbers[(*total)++] = section->numbers[document];
    }
}

static bool decode(const struct search_slice *slice, const struct search_term *term, arena *memory,
                   uint32_t **ret_documents)
{
    struct search_postings postings;
    uint32_t *documents = arena_alloc(memory, term->count * (sizeof *documents + 1));
    if (!documents || !search_postings_read(&slice->block->section, term, memory, &postings))
        return false;
    search_postings_decode(&postings, documents, (uint8_t *)(documents + term->count));
    *ret_documents = documents;
    return true;
}

static bool copy_contact_cases(const struct search_view *view, const bytes *key, int64_t position,
                               arena *memory, int64_t **ret_numbers, size_t *ret_count)
{
    uint64_t hash = search_word_hash(bytes_text(key), key->length);
    struct search_term *terms = arena_calloc(memory, view->count + 1, sizeof *terms);
    size_t most = 0, count = 0;
    for (uint32_t i = 0; terms && i < view->count; i++)
        if (search_dictionary_find(&view->slices[i].block->section, hash, bytes_text(key), key->length,
                                   &terms[i]))
            most += terms[i].count;
    int64_t *numbers = terms ? arena_calloc(memory, most + 1, sizeof *numbers) : NULL;
    if (!numbers)
        return false;
    for (uint32_t i = 0; i < view->count; i++) {
        uint32_t *documents;
        if (terms[i].count == 0)
            continue;
        if (!decode(&view->slices[i], &terms[i], memory, &documents))
            return false;
        add_cases(&view->slices[i], documents, terms[i].count, position, numbers, &count);
    }
    *ret_numbers = numbers;
    *ret_count = count;
    return true;
}

bool search_index_contact_cases(search_index *index, const char *account, const char *contact,
                                int64_t position, arena *memory, int64_t **ret_numbers, size_t *ret_count,
                                error *err)
{
    struct search_view *view = view_of(index, account);
    if (!view) {
        *ret_count = 0;
        return true;
    }
    bytes key;
    bytes_init(&key, SEARCH_QUERY_BYTES_MAX);
    bool done = search_key_append(&key, SEARCH_KEY_CONTACT, contact) &&
                copy_contact_cases(view, &key, position, memory, ret_numbers, ret_count);
    bytes_release(&key);
    search_view_unref(view);
    return done || out_of_memory(err);
}

bool search_index_cases(search_index *index, const char *account, arena *memory, int64_t **ret_numbers,
                        size_t *ret_count, error *err)
{
    struct search_view *view = view_of(index, account);
    *ret_count = 0;
    if (!view)
        return true;
    int64_t *numbers = arena_calloc(memory, view->live + 1, sizeof *numbers);
    for (uint32_t i = 0; numbers && i < view->count; i++)
        add_cases(&view->slices[i], NULL, view->slices[i].block->section.documents, INT64_MAX, numbers,
                  ret_count);
    search_view_unref(view);
    if (!numbers)
        return out_of_memory(err);
    *ret_numbers = numbers;
    return true;
}

bool search_index_query(search_index *index, const char *account, const struct search_query *query,
                        arena *memory, struct search_answer *ret_answer, error *err)
{
    struct search_view *view = view_of(index, account);
    if (!view) {
        *ret_answer = (struct search_answer){0};
        return true;
    }
    bool done = search_query_run(view, query, memory, ret_answer, err);
    search_view_unref(view);
    return done;
}

bool search_index_compare(search_index *index, const char *account, int64_t number,
                          const struct search_document *document, const struct search_words *words,
                          arena *memory, struct search_comparison *ret_comparison, error *err)
{
    static const struct search_view nothing;
    struct search_view *view = view_of(index, account);
    bool done = search_compare(view ? view : &nothing, number, document, words, memory, ret_comparison, err);
    search_view_unref(view);
    return done;
}

static void shelf_status(struct shelf *shelf, struct search_account_status *status)
{
    struct search_view *view = search_account_view(&shelf->account);
    status->cases = view->live;
    status->words = search_view_words(view);
    status->postings = view->postings;
    status->rebuilding = atomic_load(&shelf->rebuilding);
    status->bytes = search_view_bytes(view);
    search_view_unref(view);
}

bool search_index_status(search_index *index, const char *account, arena *memory,
                         struct search_account_status **ret_accounts, size_t *ret_count, error *err)
{
    pthread_rwlock_rdlock(&index->lock);
    struct search_account_status *accounts = arena_calloc(memory, index->count + 1, sizeof *accounts);
    size_t count = 0;
    bool room = accounts != NULL;
    for (size_t i = 0; room && i < index->count; i++) {
        struct shelf *shelf = index->shelves[i];
        if (account && strcmp(account, shelf->id) != 0)
            continue;
        shelf_status(shelf, &accounts[count]);
        if (accounts[count].cases == 0)
            continue;
        accounts[count].account = arena_strdup(memory, shelf->id);
        room = accounts[count++].account != NULL;
    }
    pthread_rwlock_unlock(&index->lock);
    if (!room)
        return out_of_memory(err);
    *ret_accounts = accounts;
    *ret_count = count;
    return true;
}

/* --- positions ---------------------------------------------------------------------------------------- */

void search_index_set_positions(search_index *index, const struct feed_positions *positions)
{
    pthread_rwlock_wrlock(&index->lock);
    index->positions = *positions;
    pthread_rwlock_unlock(&index->lock);
}

void search_index_fed(search_index *index, struct feed_positions *ret_positions)
{
    pthread_rwlock_rdlock(&index->lock);
    *ret_positions = index->positions;
    pthread_rwlock_unlock(&index->lock);
}

/* What holds back is set before the positions move past it: it is looked at after them. */
void search_index_positions(search_index *index, struct feed_positions *ret_positions)
{
    search_index_fed(index, ret_positions);
    search_holds_limit(&index->holds, ret_positions);
}

int64_t search_index_position(search_index *index, const char *account)
{
    int partition = feed_partition(account);
    pthread_rwlock_rdlock(&index->lock);
    int64_t position = index->positions.at[partition];
    pthread_rwlock_unlock(&index->lock);
    int64_t held = search_holds_find(&index->holds, partition, account);
    return held <= position ? held - 1 : position;
}

bool search_index_hold(search_index *index, const char *account, int64_t position)
{
    return search_holds_set(&index->holds, account, position);
}

bool search_index_is_held(search_index *index, int partition, const char *account, int64_t position)
{
    return search_holds_find(&index->holds, partition, account) <= position;
}

/* --- files -------------------------------------------------------------------------------------------- */

void search_index_mark_erased(search_index *index, const char *account)
{
    struct shelf *shelf = find(index, account);
    if (shelf)
        mark_erased(shelf);
}

int64_t search_index_erased_for(search_index *index, int64_t now_us)
{
    int64_t longest = 0;
    pthread_rwlock_rdlock(&index->lock);
    for (size_t i = 0; i < index->count; i++) {
        int64_t since = atomic_load(&index->shelves[i]->erased_us);
        if (since > 0 && now_us - since >= longest)
            longest = now_us > since ? now_us - since : 1;
    }
    pthread_rwlock_unlock(&index->lock);
    return longest;
}

/* The marked one that comes next, by its id; NULL: none. */
static struct shelf *next_erased(search_index *index, const struct shelf *after)
{
    struct shelf *found = NULL;
    pthread_rwlock_rdlock(&index->lock);
    for (size_t i = after ? place_of(index, after->id) + 1 : 0; !found && i < index->count; i++)
        if (atomic_load(&index->shelves[i]->erased_us) > 0)
            found = index->shelves[i];
    pthread_rwlock_unlock(&index->lock);
    return found;
}

bool search_index_purge(search_index *index, const struct search_pace *pace, error *err)
{
    for (struct shelf *shelf = NULL; (shelf = next_erased(index, shelf));) {
        atomic_store(&shelf->erased_us, 0); /* whoever marks it from now on wants another purge */
        if (!search_account_purge(&shelf->account, pace, err)) {
            mark_erased(shelf);
            return false;
        }
    }
    return true;
}

void search_index_captured_free(struct search_captured *accounts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        search_view_unref(accounts[i].view);
    free(accounts);
}

/* Positions first, views last: what a position or the lack of a mark promises is in the view. */
bool search_index_capture(search_index *index, struct feed_positions *ret_positions,
                          struct search_captured **ret_accounts, size_t *ret_count, error *err)
{
    size_t count = 0;
    search_index_positions(index, ret_positions);
    pthread_rwlock_rdlock(&index->lock);
    struct search_captured *accounts = calloc(index->count + 1, sizeof *accounts);
    for (size_t i = 0; accounts && i < index->count; i++) {
        struct shelf *shelf = index->shelves[i];
        struct search_captured captured = {.id = shelf->id, .account = &shelf->account};
        captured.erased = atomic_load(&shelf->erased_us) > 0;
        captured.view = search_account_view(&shelf->account);
        if (captured.view->count > 0)
            accounts[count++] = captured;
        else
            search_view_unref(captured.view);
    }
    pthread_rwlock_unlock(&index->lock);
    if (!accounts)
        return out_of_memory(err);
    *ret_accounts = accounts;
    *ret_count = count;
    return true;
}

bool search_index_restore(search_index *index, const char *account, struct search_view *view, bool erased,
                          error *err)
{
    struct shelf *shelf = find_or_add(index, account);
    if (!shelf) {
        search_view_unref(view);
        return out_of_memory(err);
    }
    search_account_replace(&shelf->account, view);
    if (erased)
        mark_erased(shelf);
    return true;
}

uint64_t search_index_filed(const search_index *index)
{
    return atomic_load(&index->filed);
}
