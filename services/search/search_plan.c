#include "search/search_plan.h"

#include "search/search_dictionary.h"

#include <stdlib.h>
#include <string.h>

static bool add_key(struct search_terms *terms, enum search_key kind, const char *value, arena *memory)
{
    if (!value)
        return true;
    bytes key;
    bytes_init(&key, SEARCH_QUERY_BYTES_MAX);
    struct search_wanted wanted = {0};
    if (search_key_append(&key, kind, value)) {
        wanted.length = key.length;
        wanted.hash = search_word_hash(bytes_text(&key), key.length);
        wanted.text = arena_memdup(memory, bytes_text(&key), key.length);
    }
    bytes_release(&key);
    terms->wanted[terms->count++] = wanted;
    return wanted.text;
}

bool search_terms_read(const struct search_query *query, arena *memory, struct search_terms *ret_terms)
{
    struct search_terms *terms = ret_terms;
    terms->word_count = query->word_count;
    terms->count = 0;
    for (size_t i = 0; i < query->word_count; i++) {
        size_t length = strlen(query->words[i]);
        terms->wanted[terms->count++] =
            (struct search_wanted){search_word_hash(query->words[i], length), query->words[i], length};
    }
    return add_key(terms, SEARCH_KEY_OWNER, query->owner, memory) &&
           add_key(terms, SEARCH_KEY_CHANNEL, query->channel, memory) &&
           add_key(terms, SEARCH_KEY_LABEL, query->label, memory);
}

/* By their lengths; few. */
static void sort_lists(struct search_postings *lists, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t at = i; at > 0 && lists[at].count < lists[at - 1].count; at--) {
            struct search_postings kept = lists[at];
            lists[at] = lists[at - 1];
            lists[at - 1] = kept;
        }
}

/* What of a word's list can match when only some fields count. False: nothing. */
static bool limit_to_fields(struct search_plan *plan, const struct search_postings *word,
                            struct search_postings *list)
{
    *list = *word;
    bool usual = word->fields & plan->fields;
    if (!usual) { /* the exceptions only */
        list->documents = word->exceptions;
        list->count = word->exception_count;
        list->chunk_count = 0;
    }
    if (word->exception_count > 0 && plan->fields != SEARCH_FIELDS_ALL)
        plan->limited[plan->limited_count++] = word;
    return list->count > 0;
}

/* Of all words and filters; false when one is not there. */
static bool find_terms(const struct search_section *section, const struct search_terms *terms,
                       struct search_term found[SEARCH_TERMS_MAX])
{
    for (size_t i = 0; i < terms->count; i++) {
        const struct search_wanted *wanted = &terms->wanted[i];
        if (!search_dictionary_find(section, wanted->hash, wanted->text, wanted->length, &found[i]))
            return false;
    }
    return true;
}

/* False: memory is full. *ret_any: whether each list has something that can match. */
static bool read_lists(struct search_plan *plan, const struct search_term *found, size_t count, arena *memory,
                       bool *ret_any)
{
    *ret_any = false;
    for (size_t i = 0; i < count; i++) {
        bool is_word = i < plan->word_count;
        struct search_postings *list = &plan->lists[plan->list_count++];
        if (!search_postings_read(plan->section, &found[i], memory, is_word ? &plan->words[i] : list))
            return false;
        if (is_word && !limit_to_fields(plan, &plan->words[i], list))
            return true;
    }
    sort_lists(plan->lists, plan->list_count);
    *ret_any = true;
    return true;
}

/* False: nothing is left. */
static bool limit_to_times(const struct search_section *section, const struct search_query *query,
                           uint32_t *ret_first, uint32_t *ret_end)
{
    *ret_first = 0;
    *ret_end = section->documents;
    if (query->start_time_us > section->times[0])
        *ret_first = search_section_from_time(section, query->start_time_us);
    if (query->end_time_us <= section->times[section->documents - 1])
        *ret_end = search_section_from_time(section, query->end_time_us);
    return *ret_first < *ret_end;
}

/* With room for its lists; NULL when memory is full. */
static struct search_plan *new_plan(const struct search_terms *terms, arena *memory)
{
    size_t words = terms->word_count;
    struct search_plan *plan =
        arena_alloc(memory, sizeof *plan + (words + terms->count) * sizeof *plan->lists +
                                words * (sizeof(const struct search_postings *) + sizeof *plan->near));
    if (!plan)
        return NULL;
    struct search_postings *lists = (struct search_postings *)(plan + 1);
    const struct search_postings **limited = (const struct search_postings **)(lists + words + terms->count);
    *plan = (struct search_plan){.word_count = words,
                                 .words = lists,
                                 .lists = lists + words,
                                 .limited = limited,
                                 .near = (uint32_t *)(limited + words)};
    memset(plan->near, 0xff, words * sizeof *plan->near);
    return plan;
}

/* Looks first and takes memory when there is something to be had: a word that is nowhere costs its look-ups.
 */
bool search_plan_make(const struct search_query *query, const struct search_terms *terms,
                      const struct search_slice *slice, arena *memory, struct search_plan **ret_plan)
{
    const struct search_section *section = &slice->block->section;
    struct search_term found[SEARCH_TERMS_MAX];
    uint32_t first, end;
    *ret_plan = NULL;
    if (terms->word_count == 0 || !(section->statuses & query->statuses) ||
        !find_terms(section, terms, found) || !limit_to_times(section, query, &first, &end))
        return true;
    struct search_plan *plan = new_plan(terms, memory);
    if (!plan)
        return false;
    plan->section = section;
    plan->alive = slice->alive;
    plan->fields = query->fields;
    plan->statuses = section->statuses & query->statuses;
    plan->check_statuses = section->statuses & ~query->statuses;
    plan->first = first;
    plan->end = end;
    bool any;
    if (!read_lists(plan, found, terms->count, memory, &any))
        return false;
    if (any)
        *ret_plan = plan;
    return true;
}

bool search_plan_has_fields(const struct search_plan *plan, uint32_t document)
{
    for (size_t i = 0; i < plan->limited_count; i++)
        if (!(search_postings_fields(plan->limited[i], document) & plan->fields))
            return false;
    return true;
}

bool search_plan_matches(const struct search_plan *plan, uint32_t document)
{
    if (document < plan->first || document >= plan->end || !search_plan_wants(plan, document))
        return false;
    for (size_t i = 0; i < plan->list_count; i++)
        if (!search_postings_has(&plan->lists[i], document))
            return false;
    return search_plan_has_fields(plan, document);
}
