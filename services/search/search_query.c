#include "search/search_query.h"

#include "text/words.h"

#include <stdlib.h>
#include <string.h>

/* --- the text of a query ------------------------------------------------------------------------------ */

static bool is_known(const char *const *words, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], word) == 0)
            return true;
    return false;
}

bool search_query_words(const char *text, arena *memory, const char *const **ret_words, size_t *ret_count,
                        error *err)
{
    size_t length = strlen(text), count = 0, seen = 0, word_length;
    if (length > SEARCH_QUERY_BYTES_MAX)
        return error_bad_field(err, "query", "longer than %d bytes", SEARCH_QUERY_BYTES_MAX);
    const char **words = arena_calloc(memory, SEARCH_QUERY_WORDS_MAX, sizeof *words);
    text_words walk;
    text_words_init(&walk, text, length);
    const char *word;
    bool room = words != NULL;
    while (room && text_words_next(&walk, &word, &word_length)) {
        if (++seen > SEARCH_QUERY_WORDS_MAX)
            break;
        if (is_known(words, count, word))
            continue;
        words[count] = arena_strndup(memory, word, word_length);
        room = words[count++] != NULL;
    }
    room = room && !text_words_failed(&walk);
    text_words_release(&walk);
    if (!room)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "no memory for the query");
    if (seen > SEARCH_QUERY_WORDS_MAX)
        return error_bad_field(err, "query", "more than %d words", SEARCH_QUERY_WORDS_MAX);
    *ret_words = words;
    *ret_count = count;
    return true;
}

/* --- the lists of a query ----------------------------------------------------------------------------- */

enum { FILTERS_MAX = 3, LISTS_MAX = SEARCH_QUERY_WORDS_MAX + FILTERS_MAX };

struct list {
    struct search_postings postings;
    uint32_t live;
    uint32_t end;   /* what is beyond has been passed: documents are visited newest first */
    uint8_t fields; /* which of them count */
};

struct plan {
    struct list lists[LISTS_MAX];                         /* rarest first */
    struct search_postings words[SEARCH_QUERY_WORDS_MAX]; /* as in the query */
    size_t count;
};

static bool plan_add(struct plan *plan, const struct search_terms *terms, const char *text, size_t length,
                     uint8_t fields)
{
    uint32_t term = search_terms_find(terms, search_word_hash(text, length), text, length);
    if (term == SEARCH_TERM_NONE)
        return false;
    struct search_postings postings = search_terms_postings(terms, term);
    plan->lists[plan->count++] = (struct list){postings, terms->terms[term].live, postings.count, fields};
    return true;
}

static bool plan_add_key(struct plan *plan, const struct search_terms *terms, enum search_key kind,
                         const char *value, bool *ret_room)
{
    if (!value)
        return true;
    bytes key;
    bytes_init(&key, SEARCH_QUERY_BYTES_MAX);
    *ret_room = *ret_room && search_key_append(&key, kind, value);
    bool found = *ret_room && plan_add(plan, terms, bytes_text(&key), key.length, SEARCH_FIELDS_ALL);
    bytes_release(&key);
    return found;
}

static int compare_lists(const void *a, const void *b)
{
    const struct list *left = a, *right = b;
    return (left->live > right->live) - (left->live < right->live);
}

/* False: there is nothing to find. *ret_room false: memory was out. */
static bool plan_make(const struct search_terms *terms, const struct search_query *query, struct plan *plan,
                      bool *ret_room)
{
    plan->count = 0;
    *ret_room = true;
    for (size_t i = 0; i < query->word_count; i++) {
        if (!plan_add(plan, terms, query->words[i], strlen(query->words[i]), query->fields))
            return false;
        plan->words[i] = plan->lists[i].postings;
    }
    if (!plan_add_key(plan, terms, SEARCH_KEY_OWNER, query->owner, ret_room) ||
        !plan_add_key(plan, terms, SEARCH_KEY_CHANNEL, query->channel, ret_room) ||
        !plan_add_key(plan, terms, SEARCH_KEY_LABEL, query->label, ret_room))
        return false;
    qsort(plan->lists, plan->count, sizeof *plan->lists, compare_lists);
    return query->word_count > 0;
}

/* The first index in [from, to) whose document is not below `document`; `to` if there is none. */
static uint32_t lower_bound(const uint32_t *documents, uint32_t from, uint32_t to, uint32_t document)
{
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (documents[middle] < document)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Whether the list has the document in a field that counts. Gallops downwards from where the last search
 * ended. */
static bool list_has(struct list *list, uint32_t document)
{
    const uint32_t *documents = list->postings.documents;
    uint32_t to = list->end, step = 1;
    while (to > 0 && documents[to - 1] > document) {
        list->end = to; /* its last one is above: so it is for all documents to come */
        to = to > step ? to - step : 0;
        step *= 2;
    }
    uint32_t at = lower_bound(documents, to > 0 ? to - 1 : 0, list->end, document);
    bool found = at < list->end && documents[at] == document;
    list->end = found ? at + 1 : at;
    return found && (list->postings.fields[at] & list->fields);
}

/* --- the best of what matches ------------------------------------------------------------------------- */

struct candidate {
    const struct search_entry *entry;
    uint32_t document;
};

struct selection {
    const struct search_query *query;
    struct candidate *heap; /* the last one on top */
    size_t count;
    uint64_t total, eligible;
};

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_places(const struct search_query *query, const struct search_cursor *a,
                          const struct search_cursor *b)
{
    int order = 0;
    switch (query->order) {
    case SEARCH_ORDER_UPDATE_TIME:
        order = compare_numbers(a->update_time_us, b->update_time_us);
        break;
    case SEARCH_ORDER_SUBJECT:
        order = strcmp(a->subject_key, b->subject_key);
        break;
    case SEARCH_ORDER_STATUS:
        order = compare_numbers(a->status, b->status);
        break;
    }
    if (order == 0)
        order = compare_numbers(a->number, b->number);
    return query->descending ? -order : order;
}

static struct search_cursor place_of(const struct search_entry *entry)
{
    return (struct search_cursor){entry->update_time_us, entry->subject_key, entry->status, entry->number};
}

static int compare_candidates(const void *a, const void *b, void *query)
{
    const struct candidate *left = a, *right = b;
    struct search_cursor left_place = place_of(left->entry), right_place = place_of(right->entry);
    return compare_places(query, &left_place, &right_place);
}

static bool is_behind(const struct selection *selection, size_t a, size_t b)
{
    return compare_candidates(&selection->heap[a], &selection->heap[b], (void *)selection->query) > 0;
}

static void swap(struct selection *selection, size_t a, size_t b)
{
    struct candidate kept = selection->heap[a];
    selection->heap[a] = selection->heap[b];
    selection->heap[b] = kept;
}

static void sift_up(struct selection *selection, size_t at)
{
    for (; at > 0 && is_behind(selection, at, (at - 1) / 2); at = (at - 1) / 2)
        swap(selection, at, (at - 1) / 2);
}

static void sift_down(struct selection *selection)
{
    for (size_t at = 0;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < selection->count && is_behind(selection, child + 1, child))
            child++;
        if (child >= selection->count || !is_behind(selection, child, at))
            return;
        swap(selection, at, child);
        at = child;
    }
}

static void offer(struct selection *selection, struct candidate candidate)
{
    const struct search_query *query = selection->query;
    selection->total++;
    if (query->after) {
        struct search_cursor place = place_of(candidate.entry);
        if (compare_places(query, &place, query->after) <= 0)
            return;
    }
    selection->eligible++;
    if (selection->count < query->limit) {
        selection->heap[selection->count++] = candidate;
        sift_up(selection, selection->count - 1);
    } else if (compare_candidates(&candidate, &selection->heap[0], (void *)query) < 0) {
        selection->heap[0] = candidate;
        sift_down(selection);
    }
}

static bool passes(const struct search_entry *entry, const struct search_query *query)
{
    return (query->statuses & SEARCH_STATUS_BIT(entry->status)) &&
           entry->update_time_us >= query->start_time_us && entry->update_time_us < query->end_time_us;
}

/* Down the rarest list, newest first; the others only say whether they have a document too. */
static void collect(const struct search_account *account, struct plan *plan, struct selection *selection)
{
    const struct list *rarest = &plan->lists[0];
    for (uint32_t i = rarest->postings.count; i-- > 0;) {
        uint32_t document = rarest->postings.documents[i];
        const struct search_entry *entry = account->entries[document];
        if (!entry || !(rarest->postings.fields[i] & rarest->fields) || !passes(entry, selection->query))
            continue;
        size_t list = 1;
        while (list < plan->count && list_has(&plan->lists[list], document))
            list++;
        if (list == plan->count)
            offer(selection, (struct candidate){entry, document});
    }
}

/* --- the answer --------------------------------------------------------------------------------------- */

static bool fill_result(const struct plan *plan, const struct search_query *query,
                        const struct candidate *candidate, arena *memory, struct search_result *result)
{
    const struct search_entry *entry = candidate->entry;
    uint8_t *fields = arena_alloc(memory, query->word_count);
    *result = (struct search_result){.number = entry->number,
                                     .update_time_us = entry->update_time_us,
                                     .status = entry->status,
                                     .need_reply = entry->need_reply,
                                     .subject = arena_strdup(memory, entry->subject),
                                     .owner = arena_strdup(memory, entry->owner),
                                     .fields = fields};
    if (!fields || !result->subject || !result->owner)
        return false;
    for (size_t i = 0; i < query->word_count; i++) {
        const struct search_postings *postings = &plan->words[i];
        uint32_t at = lower_bound(postings->documents, 0, postings->count, candidate->document);
        fields[i] = postings->fields[at] & query->fields;
    }
    return true;
}

static bool fill_answer(const struct plan *plan, struct selection *selection, arena *memory,
                        struct search_answer *answer)
{
    const struct search_query *query = selection->query;
    qsort_r(selection->heap, selection->count, sizeof *selection->heap, compare_candidates, (void *)query);
    answer->results = arena_calloc(memory, selection->count, sizeof *answer->results);
    if (!answer->results)
        return false;
    for (size_t i = 0; i < selection->count; i++)
        if (!fill_result(plan, query, &selection->heap[i], memory, &answer->results[i]))
            return false;
    answer->count = selection->count;
    answer->total = selection->total;
    answer->more = selection->eligible > selection->count;
    if (answer->more) {
        answer->last = place_of(selection->heap[selection->count - 1].entry);
        answer->last.subject_key = arena_strdup(memory, answer->last.subject_key);
    }
    return !answer->more || answer->last.subject_key;
}

bool search_query_run(const struct search_account *account, const struct search_query *query, arena *memory,
                      struct search_answer *ret_answer, error *err)
{
    struct plan plan;
    struct selection selection = {.query = query};
    struct search_answer answer = {0};
    bool room;
    if (plan_make(&account->terms, query, &plan, &room)) {
        selection.heap = arena_calloc(memory, query->limit, sizeof *selection.heap);
        room = selection.heap != NULL;
        if (room)
            collect(account, &plan, &selection);
        room = room && fill_answer(&plan, &selection, memory, &answer);
    }
    if (!room)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the answer does not fit");
    *ret_answer = answer;
    return true;
}
