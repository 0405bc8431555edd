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
    enum { FILTERS = 3 };
    struct search_terms terms = {.word_count = query->word_count};
    terms.wanted = arena_alloc(memory, (query->word_count + FILTERS) * sizeof *terms.wanted);
    if (!terms.wanted)
        return false;
    for (size_t i = 0; i < query->word_count; i++) {
        size_t length = strlen(query->words[i]);
        terms.wanted[terms.count++] =
            (struct search_wanted){search_word_hash(query->words[i], length), query->words[i], length};
    }
    if (!add_key(&terms, SEARCH_KEY_OWNER, query->owner, memory) ||
        !add_key(&terms, SEARCH_KEY_CHANNEL, query->channel, memory) ||
        !add_key(&terms, SEARCH_KEY_LABEL, query->label, memory))
        return false;
    *ret_terms = terms;
    return true;
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

/* False: memory is full. *ret_found: whether all are there. */
static bool find_lists(struct search_plan *plan, const struct search_terms *terms, arena *memory,
                       bool *ret_found)
{
    *ret_found = false;
    for (size_t i = 0; i < terms->count; i++) {
        const struct search_wanted *wanted = &terms->wanted[i];
        struct search_postings *list = &plan->lists[plan->list_count++];
        struct search_term term;
        if (!search_dictionary_find(plan->section, wanted->hash, wanted->text, wanted->length, &term))
            return true;
        bool is_word = i < terms->word_count;
        if (!search_postings_read(plan->section, &term, memory, is_word ? &plan->words[i] : list))
            return false;
        if (is_word && !limit_to_fields(plan, &plan->words[i], list))
            return true;
    }
    sort_lists(plan->lists, plan->list_count);
    *ret_found = true;
    return true;
}

static void limit_to_times(struct search_plan *plan, const struct search_query *query)
{
    plan->first = 0;
    plan->end = plan->section->documents;
    if (query->start_time_us > plan->section->times[0])
        plan->first = search_section_from_time(plan->section, query->start_time_us);
    if (query->end_time_us <= plan->section->times[plan->end - 1])
        plan->end = search_section_from_time(plan->section, query->end_time_us);
}

bool search_plan_make(const struct search_query *query, const struct search_terms *terms,
                      const struct search_slice *slice, arena *memory, struct search_plan **ret_plan)
{
    const struct search_section *section = &slice->block->section;
    *ret_plan = NULL;
    if (terms->word_count == 0 || !(section->statuses & query->statuses))
        return true;
    struct search_plan *plan = arena_alloc(memory, sizeof *plan);
    struct search_postings *lists =
        plan ? arena_alloc(memory, (terms->word_count + terms->count) * sizeof *lists) : NULL;
    const struct search_postings **limited =
        lists && query->fields != SEARCH_FIELDS_ALL
            ? arena_calloc(memory, terms->word_count, sizeof(struct search_postings *))
            : NULL;
    if (!lists || (query->fields != SEARCH_FIELDS_ALL && !limited))
        return false;
    *plan = (struct search_plan){.section = section,
                                 .alive = slice->alive,
                                 .words = lists,
                                 .lists = lists + terms->word_count,
                                 .limited = limited,
                                 .fields = query->fields,
                                 .statuses = section->statuses & query->statuses,
                                 .check_statuses = section->statuses & ~query->statuses};
    limit_to_times(plan, query);
    bool found = false;
    if (plan->first < plan->end && !find_lists(plan, terms, memory, &found))
        return false;
    if (found)
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
