#include "search/search_compare.h"

#include <string.h>

static void add_value(struct search_comparison *comparison, const char *name)
{
    comparison->different = true;
    for (size_t i = 0; i < comparison->value_count; i++)
        if (strcmp(comparison->values[i], name) == 0)
            return;
    comparison->values[comparison->value_count++] = name;
}

static void compare_values(const struct search_entry *entry, const struct search_document *document,
                           struct search_comparison *comparison)
{
    if (strcmp(entry->subject, document->subject) != 0)
        add_value(comparison, "subject");
    if (entry->status != document->status)
        add_value(comparison, "status");
    if (strcmp(entry->owner, document->owner) != 0)
        add_value(comparison, "owner");
    if (entry->update_time_us != document->update_time_us)
        add_value(comparison, "update_time");
    if (entry->need_reply != document->need_reply)
        add_value(comparison, "need_reply");
}

/* A filter's key that is there and should not be, or the other way round. */
static void add_key(struct search_comparison *comparison, const char *key)
{
    switch ((enum search_key)key[1]) {
    case SEARCH_KEY_OWNER:
        add_value(comparison, "owner");
        break;
    case SEARCH_KEY_CHANNEL:
        add_value(comparison, "channel");
        break;
    case SEARCH_KEY_CONTACT:
        add_value(comparison, "contact");
        break;
    case SEARCH_KEY_LABEL:
        add_value(comparison, "label");
        break;
    }
}

static bool add_word(struct search_comparison *comparison, const char *text, size_t length, uint8_t fields,
                     bool missing, arena *memory)
{
    if (fields == 0)
        return true;
    if (length > 0 && *text == '\0') {
        add_key(comparison, text);
        return true;
    }
    comparison->different = true;
    const char *copy = arena_strndup(memory, text, length);
    for (int i = 0; copy && i < SEARCH_COMPARE_FIELDS; i++) {
        struct search_field_difference *field = &comparison->fields[i];
        const char ***list = missing ? &field->missing : &field->surplus;
        size_t *count = missing ? &field->missing_count : &field->surplus_count;
        if (!(fields >> i & 1) || *count == SEARCH_COMPARE_WORDS_MAX)
            continue;
        if (!*list && !(*list = arena_calloc(memory, SEARCH_COMPARE_WORDS_MAX, sizeof **list)))
            return false;
        (*list)[(*count)++] = copy;
    }
    return copy != NULL;
}

/* The fields in which a document has a term. */
static uint8_t filed_fields(const struct search_terms *terms, uint32_t term, uint32_t document)
{
    struct search_postings postings = search_terms_postings(terms, term);
    for (uint32_t from = 0, to = postings.count; from < to;) {
        uint32_t middle = from + (to - from) / 2;
        if (postings.documents[middle] == document)
            return postings.fields[middle];
        if (postings.documents[middle] < document)
            from = middle + 1;
        else
            to = middle;
    }
    return 0;
}

static bool compare_words(const struct search_account *account, uint32_t document,
                          const struct search_words *words, arena *memory,
                          struct search_comparison *comparison)
{
    const struct search_terms *terms = &account->terms;
    const struct search_entry *entry = account->entries[document];
    for (uint32_t i = 0; i < words->count; i++) {
        const struct search_word *word = &words->words[i];
        const char *text = (const char *)words->texts.data + word->offset;
        uint32_t term = search_terms_find(terms, word->hash, text, word->length);
        uint8_t filed = term == SEARCH_TERM_NONE ? 0 : filed_fields(terms, term, document);
        if (!add_word(comparison, text, word->length, (uint8_t)(word->fields & ~filed), true, memory))
            return false;
    }
    for (uint32_t i = 0; i < entry->term_count; i++) {
        const struct search_term *term = &terms->terms[entry->terms[i]];
        uint8_t filed = filed_fields(terms, entry->terms[i], document);
        uint8_t wanted = search_words_fields(words, term->hash, term->text, term->length);
        if (!add_word(comparison, term->text, term->length, (uint8_t)(filed & ~wanted), false, memory))
            return false;
    }
    return true;
}

bool search_compare(const struct search_account *account, int64_t number,
                    const struct search_document *document, const struct search_words *words, arena *memory,
                    struct search_comparison *ret_comparison, error *err)
{
    uint32_t filed = search_map_get(&account->numbers, number);
    struct search_comparison comparison = {.present = filed != SEARCH_MAP_NONE, .position = -1};
    if (comparison.present)
        comparison.position = account->entries[filed]->position;
    comparison.different = comparison.present != (document != NULL);
    if (comparison.present && document) {
        compare_values(account->entries[filed], document, &comparison);
        if (!compare_words(account, filed, words, memory, &comparison))
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to compare a case");
    }
    *ret_comparison = comparison;
    return true;
}
