#include "search/search_index.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* An account's shelf stays once it is there, empty or not: whoever found it may use it without the index's
 * lock. */
struct shelf {
    char id[64];
    pthread_rwlock_t lock;
    struct search_account account;
    struct search_account *building; /* its successor, while it is being built; the writer's */
    atomic_bool rebuilding;          /* there is one; for everybody */
};

struct search_index {
    pthread_rwlock_t lock;  /* of `shelves` and `positions` */
    struct shelf **shelves; /* by id */
    size_t count, size;
    struct feed_positions positions;
    struct search_words scratch; /* of the writer */
    pthread_mutex_t writer;
};

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for the index");
}

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
    lock_init(&index->lock);
    pthread_mutex_init(&index->writer, NULL);
    search_words_init(&index->scratch);
    *ret_index = index;
    return true;
}

static void set_building(struct shelf *shelf, struct search_account *building)
{
    shelf->building = building;
    atomic_store(&shelf->rebuilding, building != NULL);
}

static void give_up_building(struct shelf *shelf)
{
    if (!shelf->building)
        return;
    search_account_release(shelf->building);
    free(shelf->building);
    set_building(shelf, NULL);
}

void search_index_free(search_index *index)
{
    if (!index)
        return;
    for (size_t i = 0; i < index->count; i++) {
        give_up_building(index->shelves[i]);
        search_account_release(&index->shelves[i]->account);
        pthread_rwlock_destroy(&index->shelves[i]->lock);
        free(index->shelves[i]);
    }
    free(index->shelves);
    search_words_release(&index->scratch);
    pthread_mutex_destroy(&index->writer);
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

static struct shelf *find(search_index *index, const char *account)
{
    pthread_rwlock_rdlock(&index->lock);
    size_t at = place_of(index, account);
    struct shelf *shelf = at < index->count ? index->shelves[at] : NULL;
    pthread_rwlock_unlock(&index->lock);
    return shelf && strcmp(shelf->id, account) == 0 ? shelf : NULL;
}

/* Called by the writer only, so that nobody else adds one meanwhile. */
static struct shelf *find_or_add(search_index *index, const char *account)
{
    struct shelf *shelf = find(index, account);
    if (shelf || strlen(account) >= sizeof shelf->id || !(shelf = calloc(1, sizeof *shelf)))
        return shelf;
    memcpy(shelf->id, account, strlen(account) + 1);
    lock_init(&shelf->lock);
    search_account_init(&shelf->account);

    pthread_rwlock_wrlock(&index->lock);
    if (index->count == index->size) {
        size_t size = index->size ? index->size * 2 : 16;
        struct shelf **grown = reallocarray(index->shelves, size, sizeof(struct shelf *));
        if (!grown) {
            pthread_rwlock_unlock(&index->lock);
            pthread_rwlock_destroy(&shelf->lock);
            free(shelf);
            return NULL;
        }
        index->shelves = grown;
        index->size = size;
    }
    size_t at = place_of(index, account);
    memmove(index->shelves + at + 1, index->shelves + at, (index->count - at) * sizeof(struct shelf *));
    index->shelves[at] = shelf;
    index->count++;
    pthread_rwlock_unlock(&index->lock);
    return shelf;
}

/* With the writer's lock. */
static bool put(search_index *index, struct shelf *shelf, const struct search_document *document, error *err)
{
    if (!shelf)
        return out_of_memory(err);
    if (shelf->building && !search_account_put(shelf->building, document, &index->scratch, err))
        return false;
    pthread_rwlock_wrlock(&shelf->lock);
    bool done = search_account_put(&shelf->account, document, &index->scratch, err);
    pthread_rwlock_unlock(&shelf->lock);
    return done;
}

bool search_index_put(search_index *index, const char *account, const struct search_document *document,
                      error *err)
{
    pthread_mutex_lock(&index->writer);
    bool done = search_words_collect(&index->scratch, document, err) &&
                put(index, find_or_add(index, account), document, err);
    pthread_mutex_unlock(&index->writer);
    return done;
}

void search_index_remove(search_index *index, const char *account, int64_t number)
{
    pthread_mutex_lock(&index->writer);
    struct shelf *shelf = find(index, account);
    if (shelf && shelf->building)
        search_account_remove(shelf->building, number);
    if (shelf) {
        pthread_rwlock_wrlock(&shelf->lock);
        search_account_remove(&shelf->account, number);
        pthread_rwlock_unlock(&shelf->lock);
    }
    pthread_mutex_unlock(&index->writer);
}

/* Readers wait for the exchange only: giving back the old one takes its time. */
static void replace(struct shelf *shelf, const struct search_account *successor)
{
    pthread_rwlock_wrlock(&shelf->lock);
    struct search_account old = shelf->account;
    shelf->account = *successor;
    pthread_rwlock_unlock(&shelf->lock);
    search_account_release(&old);
}

static void empty(struct shelf *shelf)
{
    struct search_account nothing;
    search_account_init(&nothing);
    give_up_building(shelf);
    replace(shelf, &nothing);
}

void search_index_drop(search_index *index, const char *account)
{
    pthread_mutex_lock(&index->writer);
    struct shelf *shelf = find(index, account);
    if (shelf)
        empty(shelf);
    pthread_mutex_unlock(&index->writer);
}

void search_index_clear(search_index *index)
{
    pthread_mutex_lock(&index->writer);
    search_index_set_positions(index, &(struct feed_positions){0});
    for (size_t i = 0; i < index->count; i++)
        empty(index->shelves[i]);
    pthread_mutex_unlock(&index->writer);
}

bool search_index_build_begin(search_index *index, const char *account, error *err)
{
    pthread_mutex_lock(&index->writer);
    struct shelf *shelf = find_or_add(index, account);
    bool running = shelf && shelf->building;
    struct search_account *building = shelf && !running ? malloc(sizeof *building) : NULL;
    if (building) {
        search_account_init(building);
        set_building(shelf, building);
    }
    pthread_mutex_unlock(&index->writer);
    if (running)
        return error_set(err, STATUS_FAILED_PRECONDITION, "REBUILD_RUNNING",
                         "the account is being rebuilt already");
    return building || out_of_memory(err);
}

bool search_index_build_put(search_index *index, const char *account, const struct search_document *document,
                            error *err)
{
    pthread_mutex_lock(&index->writer);
    const struct shelf *shelf = find(index, account);
    bool done = shelf && shelf->building;
    if (!done)
        error_set(err, STATUS_ABORTED, "ACCOUNT_DELETED", "the account is gone");
    done = done && search_words_collect(&index->scratch, document, err) &&
           search_account_put(shelf->building, document, &index->scratch, err);
    pthread_mutex_unlock(&index->writer);
    return done;
}

void search_index_build_end(search_index *index, const char *account, bool commit)
{
    pthread_mutex_lock(&index->writer);
    struct shelf *shelf = find(index, account);
    if (shelf && shelf->building && commit) {
        struct search_account *building = shelf->building;
        set_building(shelf, NULL);
        replace(shelf, building);
        free(building);
    } else if (shelf) {
        give_up_building(shelf);
    }
    pthread_mutex_unlock(&index->writer);
}

int64_t search_index_case_position(search_index *index, const char *account, int64_t number)
{
    struct shelf *shelf = find(index, account);
    if (!shelf)
        return -1;
    pthread_rwlock_rdlock(&shelf->lock);
    uint32_t document = search_map_get(&shelf->account.numbers, number);
    int64_t position = document == SEARCH_MAP_NONE ? -1 : shelf->account.entries[document]->position;
    pthread_rwlock_unlock(&shelf->lock);
    return position;
}

static bool copy_contact_cases(const struct search_account *account, const bytes *key, int64_t position,
                               arena *memory, int64_t **ret_numbers, size_t *ret_count)
{
    const char *text = bytes_text(key);
    uint32_t term =
        search_terms_find(&account->terms, search_word_hash(text, key->length), text, key->length);
    if (term == SEARCH_TERM_NONE) {
        *ret_count = 0;
        return true;
    }
    struct search_postings postings = search_terms_postings(&account->terms, term);
    int64_t *numbers = arena_calloc(memory, postings.count, sizeof *numbers);
    if (!numbers)
        return false;
    size_t count = 0;
    for (uint32_t i = 0; i < postings.count; i++) {
        const struct search_entry *entry = account->entries[postings.documents[i]];
        if (entry && entry->position < position)
            numbers[count++] = entry->number;
    }
    *ret_numbers = numbers;
    *ret_count = count;
    return true;
}

bool search_index_contact_cases(search_index *index, const char *account, const char *contact,
                                int64_t position, arena *memory, int64_t **ret_numbers, size_t *ret_count,
                                error *err)
{
    struct shelf *shelf = find(index, account);
    if (!shelf) {
        *ret_count = 0;
        return true;
    }
    bytes key;
    bytes_init(&key, SEARCH_QUERY_BYTES_MAX);
    bool done = search_key_append(&key, SEARCH_KEY_CONTACT, contact);
    pthread_rwlock_rdlock(&shelf->lock);
    done = done && copy_contact_cases(&shelf->account, &key, position, memory, ret_numbers, ret_count);
    pthread_rwlock_unlock(&shelf->lock);
    bytes_release(&key);
    return done || out_of_memory(err);
}

bool search_index_query(search_index *index, const char *account, const struct search_query *query,
                        arena *memory, struct search_answer *ret_answer, error *err)
{
    struct shelf *shelf = find(index, account);
    if (!shelf) {
        *ret_answer = (struct search_answer){0};
        return true;
    }
    pthread_rwlock_rdlock(&shelf->lock);
    bool done = search_query_run(&shelf->account, query, memory, ret_answer, err);
    pthread_rwlock_unlock(&shelf->lock);
    return done;
}

void search_index_set_positions(search_index *index, const struct feed_positions *positions)
{
    pthread_rwlock_wrlock(&index->lock);
    index->positions = *positions;
    pthread_rwlock_unlock(&index->lock);
}

void search_index_positions(search_index *index, struct feed_positions *ret_positions)
{
    pthread_rwlock_rdlock(&index->lock);
    *ret_positions = index->positions;
    pthread_rwlock_unlock(&index->lock);
}

int64_t search_index_position(search_index *index, int partition)
{
    pthread_rwlock_rdlock(&index->lock);
    int64_t position = index->positions.at[partition];
    pthread_rwlock_unlock(&index->lock);
    return position;
}

bool search_index_compare(search_index *index, const char *account, int64_t number,
                          const struct search_document *document, const struct search_words *words,
                          arena *memory, struct search_comparison *ret_comparison, error *err)
{
    static const struct search_account nothing = {.terms = {.first_free = SEARCH_TERM_NONE}};
    struct shelf *shelf = find(index, account);
    if (!shelf)
        return search_compare(&nothing, number, document, words, memory, ret_comparison, err);
    pthread_rwlock_rdlock(&shelf->lock);
    bool done = search_compare(&shelf->account, number, document, words, memory, ret_comparison, err);
    pthread_rwlock_unlock(&shelf->lock);
    return done;
}

bool search_index_cases(search_index *index, const char *account, arena *memory, int64_t **ret_numbers,
                        size_t *ret_count, error *err)
{
    struct shelf *shelf = find(index, account);
    *ret_count = 0;
    if (!shelf)
        return true;
    pthread_rwlock_rdlock(&shelf->lock);
    int64_t *numbers = arena_calloc(memory, shelf->account.live + 1, sizeof *numbers);
    for (uint32_t i = 0; numbers && i < shelf->account.count; i++)
        if (shelf->account.entries[i])
            numbers[(*ret_count)++] = shelf->account.entries[i]->number;
    pthread_rwlock_unlock(&shelf->lock);
    if (!numbers)
        return out_of_memory(err);
    *ret_numbers = numbers;
    return true;
}

static void shelf_status(struct shelf *shelf, struct search_account_status *status)
{
    pthread_rwlock_rdlock(&shelf->lock);
    status->cases = shelf->account.live;
    status->words = shelf->account.terms.live_words;
    status->postings = shelf->account.postings;
    status->rebuilding = atomic_load(&shelf->rebuilding);
    status->bytes = search_account_bytes(&shelf->account);
    pthread_rwlock_unlock(&shelf->lock);
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
