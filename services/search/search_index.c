#include "search/search_index_private.h"

#include "base/injection.h"
#include "search/search_dictionary.h"
#include "search/search_postings.h"

#include <stdlib.h>
#include <string.h>

/* Text of cases that are read for a rebuild before they become a section. */
enum { BUILD_BYTES = 32 << 20, TABLE_ROOM = 4 };

bool search_index_out_of_memory(error *err)
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
        return search_index_out_of_memory(err);
    if (!search_merger_new(&index->merger, err)) {
        free(index);
        return false;
    }
    lock_init(&index->lock);
    search_holds_init(&index->holds);
    pthread_mutex_init(&index->scratch_lock, NULL);
    search_builder_init(&index->scratch);
    index->filed_documents = metrics_counter_get("casework_search_documents_filed_total",
                                                 "Cases filed, once each time they were read.", "");
    index->filed_bytes =
        metrics_counter_get("casework_search_filed_bytes_total", "Bytes of the sections they made.", "");
    *ret_index = index;
    return true;
}

static void give_up_building(struct search_shelf *shelf)
{
    if (!shelf->building)
        return;
    search_account_release(&shelf->building->account);
    search_builder_release(&shelf->building->builder);
    free(shelf->building);
    shelf->building = NULL;
    atomic_store(&shelf->rebuilding, false);
}

static void free_shelf(struct search_shelf *shelf)
{
    give_up_building(shelf);
    search_account_release(&shelf->account);
    pthread_mutex_destroy(&shelf->lock);
    free(shelf);
}

static void free_tables(struct search_shelf_table *table)
{
    for (struct search_shelf_table *older; table; table = older) {
        older = table->older;
        free(table);
    }
}

void search_index_free(search_index *index)
{
    if (!index)
        return;
    search_merger_free(index->merger);
    for (size_t i = 0; i < index->count; i++)
        free_shelf(index->shelves[i]);
    free(index->shelves);
    free_tables(atomic_load(&index->table));
    search_builder_release(&index->scratch);
    pthread_mutex_destroy(&index->scratch_lock);
    search_holds_release(&index->holds);
    pthread_rwlock_destroy(&index->lock);
    free(index);
}

/* Where the account is, or would have to be. */
size_t search_shelf_place(const search_index *index, const char *account)
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
static search_shelf_slot *slot_of(struct search_shelf_table *table, const char *account)
{
    size_t mask = table->size - 1, at = search_word_hash(account, strlen(account)) & mask;
    const struct search_shelf *shelf;
    while ((shelf = atomic_load_explicit(&table->slots[at], memory_order_acquire)) &&
           strcmp(shelf->id, account) != 0)
        at = (at + 1) & mask;
    return &table->slots[at];
}

struct search_shelf *search_shelf_find(search_index *index, const char *account)
{
    struct search_shelf_table *table = atomic_load_explicit(&index->table, memory_order_acquire);
    return table ? atomic_load_explicit(slot_of(table, account), memory_order_acquire) : NULL;
}

static struct search_shelf *new_shelf(const char *account)
{
    error err;
    struct search_shelf *shelf = strlen(account) < sizeof shelf->id ? calloc(1, sizeof *shelf) : NULL;
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
    size_t size = index->size ? index->size * 2 : 16, slots = size * TABLE_ROOM;
    struct search_shelf_table *table = calloc(1, sizeof *table + slots * sizeof *table->slots);
    struct search_shelf **grown =
        table ? reallocarray(index->shelves, size, sizeof(struct search_shelf *)) : NULL;
    if (!grown) {
        free(table);
        return false;
    }
    table->size = slots;
    table->older = atomic_load_explicit(&index->table, memory_order_relaxed);
    index->shelves = grown;
    index->size = size;
    for (size_t i = 0; i < index->count; i++)
        atomic_init(slot_of(table, grown[i]->id), grown[i]);
    atomic_store_explicit(&index->table, table, memory_order_release);
    return true;
}

struct search_shelf *search_shelf_find_or_add(search_index *index, const char *account)
{
    struct search_shelf *shelf = search_shelf_find(index, account);
    if (shelf)
        return shelf;
    pthread_rwlock_wrlock(&index->lock);
    shelf = search_shelf_find(index, account);
    if (!shelf && make_room(index) && (shelf = new_shelf(account))) {
        size_t at = search_shelf_place(index, account);
        memmove(index->shelves + at + 1, index->shelves + at,
                (index->count - at) * sizeof(struct search_shelf *));
        index->shelves[at] = shelf;
        struct search_shelf_table *table = atomic_load_explicit(&index->table, memory_order_relaxed);
        atomic_store_explicit(slot_of(table, account), shelf, memory_order_release);
        index->count++;
    }
    pthread_rwlock_unlock(&index->lock);
    return shelf;
}

/* The account as it is, to be given back; NULL when nobody has heard of it. */
static struct search_view *view_of(search_index *index, const char *account)
{
    struct search_shelf *shelf = search_shelf_find(index, account);
    return shelf ? search_account_view(&shelf->account) : NULL;
}

/* --- writing ------------------------------------------------------------------------------------------ */

/* What was read for a rebuild becomes a section of the successor. */
static bool flush_building(struct search_building *building, error *err)
{
    bool due;
    struct search_block *block;
    if (search_builder_count(&building->builder) == 0)
        return true;
    return search_builder_finish(&building->builder, &block, err) &&
           search_account_apply(&building->account, block, NULL, 0, &due, err);
}

/* With the shelf's lock. Takes the block over. */
static bool apply(search_index *index, struct search_shelf *shelf, struct search_block *block,
                  const int64_t *gone, size_t gone_count, error *err)
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

static void count_filed(search_index *index, const struct search_section *section)
{
    atomic_fetch_add(&index->filed, section->size);
    metrics_add(index->filed_documents, section->documents);
    metrics_add(index->filed_bytes, (int64_t)section->size);
}

bool search_index_apply(search_index *index, const char *account, const struct search_change *changes,
                        size_t count, error *err)
{
    struct search_shelf *shelf = search_shelf_find_or_add(index, account);
    int64_t *gone = shelf ? reallocarray(NULL, count + 1, sizeof *gone) : NULL;
    struct search_block *block;
    size_t gone_count = 0;
    if (!gone)
        return search_index_out_of_memory(err);
    for (size_t i = 0; i < count; i++)
        if (!changes[i].document)
            gone[gone_count++] = changes[i].number;
    bool done = build(index, changes, count, &block, err);
    if (done && block)
        count_filed(index, &block->section);
    if (done && (block || gone_count > 0)) {
        pthread_mutex_lock(&shelf->lock);
        done = apply(index, shelf, block, gone, gone_count, err);
        pthread_mutex_unlock(&shelf->lock);
    }
    free(gone);
    return done;
}

/* Without memory for an empty view an account stays: it is emptied one case after the other. */
static void empty(struct search_shelf *shelf)
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
    struct search_shelf *shelf = search_shelf_find(index, account);
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

static struct search_building *new_building(error *err)
{
    struct search_building *building = calloc(1, sizeof *building);
    if (!building || !search_account_init(&building->account, err)) {
        free(building);
        search_index_out_of_memory(err);
        return NULL;
    }
    search_builder_init(&building->builder);
    return building;
}

bool search_index_build_begin(search_index *index, const char *account, uint64_t *ret_build, error *err)
{
    struct search_shelf *shelf = search_shelf_find_or_add(index, account);
    if (!shelf)
        return search_index_out_of_memory(err);
    pthread_mutex_lock(&shelf->lock);
    bool running = shelf->building;
    if (running)
        error_set(err, STATUS_FAILED_PRECONDITION, "REBUILD_RUNNING", "the account is being rebuilt already");
    else
        shelf->building = new_building(err);
    bool begun = !running && shelf->building;
    if (begun)
        *ret_build = shelf->building->id = ++shelf->builds;
    atomic_store(&shelf->rebuilding, shelf->building != NULL);
    pthread_mutex_unlock(&shelf->lock);
    return begun;
}

/* With the shelf's lock. NULL: it was given up, whether or not there is another one. */
static struct search_building *find_building(const struct search_shelf *shelf, uint64_t build)
{
    return shelf->building && shelf->building->id == build ? shelf->building : NULL;
}

bool search_index_build_put(search_index *index, const char *account, uint64_t build,
                            const struct search_document *document, error *err)
{
    struct search_shelf *shelf = search_shelf_find(index, account);
    if (!shelf)
        return error_set(err, STATUS_ABORTED, "ACCOUNT_DELETED", "the account is gone");
    pthread_mutex_lock(&shelf->lock);
    struct search_building *building = find_building(shelf, build);
    bool done = building;
    if (!done)
        error_set(err, STATUS_ABORTED, "ACCOUNT_DELETED", "the account is gone");
    done = done && search_builder_add(&building->builder, document, err) &&
           (building->builder.text_bytes < BUILD_BYTES || flush_building(building, err));
    pthread_mutex_unlock(&shelf->lock);
    return done;
}

static bool put_in_place(search_index *index, struct search_shelf *shelf, error *err)
{
    injection_point("search_index.rebuilt");
    if (!flush_building(shelf->building, err))
        return false;
    search_account_replace(&shelf->account, search_account_view(&shelf->building->account));
    search_shelf_mark_erased(shelf); /* of the successor nothing was purged until now */
    search_merger_add(index->merger, &shelf->account, true);
    return true;
}

bool search_index_build_end(search_index *index, const char *account, uint64_t build, bool commit, error *err)
{
    struct search_shelf *shelf = search_shelf_find(index, account);
    if (!shelf)
        return true;
    pthread_mutex_lock(&shelf->lock);
    bool there = find_building(shelf, build), done = !there || !commit || put_in_place(index, shelf, err);
    if (there)
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
        if (terms[i].count == 0)
            continue;
        uint32_t *documents = arena_alloc(memory, terms[i].count * (sizeof *documents + 1));
        if (!documents)
            return false;
        search_postings_unpack(&view->slices[i].block->section, &terms[i], documents,
                               (uint8_t *)(documents + terms[i].count));
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
    return done || search_index_out_of_memory(err);
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
        return search_index_out_of_memory(err);
    *ret_numbers = numbers;
    return true;
}

bool search_index_query(search_index *index, const char *account, const struct search_query *query,
                        arena *memory, struct search_answer *ret_answer, error *err)
{
    struct search_view *view = view_of(index, account);
    if (view)
        return search_query_run(view, query, memory, ret_answer, err);
    *ret_answer = (struct search_answer){.query = query};
    return true;
}

uint64_t search_index_cost(search_index *index, const char *account, const struct search_query *query)
{
    struct search_view *view = view_of(index, account);
    uint64_t cost = view ? search_query_cost(view, query) : 0;
    search_view_unref(view);
    return cost;
}

bool search_index_has_cases(search_index *index, const char *account)
{
    struct search_view *view = view_of(index, account);
    bool has = view && view->live > 0;
    search_view_unref(view);
    return has;
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

static void shelf_status(struct search_shelf *shelf, struct search_account_status *status)
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
        struct search_shelf *shelf = index->shelves[i];
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
        return search_index_out_of_memory(err);
    *ret_accounts = accounts;
    *ret_count = count;
    return true;
}

struct search_index_totals search_index_total(search_index *index)
{
    struct search_index_totals totals = {0};
    pthread_rwlock_rdlock(&index->lock);
    for (size_t i = 0; i < index->count; i++) {
        struct search_view *view = search_account_view(&index->shelves[i]->account);
        totals.accounts += view->live > 0;
        totals.cases += view->live;
        totals.sections += view->count;
        totals.bytes += search_view_bytes(view);
        search_view_unref(view);
    }
    pthread_rwlock_unlock(&index->lock);
    return totals;
}
