#include "search/search_compare.h"

#include "search/search_dictionary.h"
#include "search/search_postings.h"

#include <string.h>

static void add_value(struct search_comparison *comparison, const char *name)
{
    comparison->different = true;
    for (size_t i = 0; i < comparison->value_count; i++)
        if (strcmp(comparison->values[i], name) == 0)
            return;
    comparison->values[comparison->value_count++] = name;
}

static void compare_values(const struct search_section *section, uint32_t filed,
                           const struct search_document *document, struct search_comparison *comparison)
{
    if (strcmp(search_section_subject(section, filed), document->subject) != 0)
        add_value(comparison, "subject");
    if (search_section_status(section, filed) != document->status)
        add_value(comparison, "status");
    if (strcmp(search_section_owner(section, filed), document->owner) != 0)
        add_value(comparison, "owner");
    if (section->times[filed] != document->update_time_us)
        add_value(comparison, "update_time");
    if ((bool)(section->states[filed] & SEARCH_STATE_NEED_REPLY) != document->need_reply)
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

static bool add_missing(const struct search_section *section, uint32_t filed,
                        const struct search_words *words, arena *memory, struct search_comparison *comparison)
{
    for (uint32_t i = 0; i < words->count; i++) {
        const struct search_word *word = &words->words[i];
        const char *text = (const char *)words->texts.data + word->offset;
        struct search_term term;
        uint8_t fields = search_dictionary_find(section, word->hash, text, word->length, &term)
                             ? search_postings_fields_of(section, &term, filed)
                             : 0;
        if (!add_word(comparison, text, word->length, (uint8_t)(word->fields & ~fields), true, memory))
            return false;
    }
    return true;
}

/* Nothing says which words a document has: all of the section are asked. */
static bool add_surplus(const struct search_section *section, uint32_t filed,
                        const struct search_words *words, arena *memory, struct search_comparison *comparison)
{
    const unsigned char *end = section->terms + section->terms_size;
    bytes room;
    bytes_init(&room, UINT32_MAX);
    bool done = true;
    for (const unsigned char *at = section->terms; done && at < end;) {
        struct search_term term;
        const char *text;
        size_t length;
        at = search_dictionary_read(at, &term);
        uint8_t fields = search_postings_fields_of(section, &term, filed);
        if (!fields)
            continue;
        done = search_dictionary_text(section, &term, &room, &text, &length);
        uint8_t wanted = done ? search_words_fields(words, search_word_hash(text, length), text, length) : 0;
        done = done && add_word(comparison, text, length, (uint8_t)(fields & ~wanted), false, memory);
    }
    bytes_release(&room);
    return done;
}

bool search_compare(const struct search_view *view, int64_t number, const struct search_document *document,
                    const struct search_words *words, arena *memory, struct search_comparison *ret_comparison,
                    error *err)
{
    uint32_t slice = 0, filed = 0;
    struct search_comparison comparison = {.present = search_view_find(view, number, &slice, &filed),
                                           .position = -1};
    const struct search_section *section = comparison.present ? &view->slices[slice].block->section : NULL;
    if (section)
        comparison.position = section->positions[filed];
    comparison.different = comparison.present != (document != NULL);
    if (section && document) {
        compare_values(section, filed, document, &comparison);
        if (section->fingerprints[filed] != search_words_fingerprint(words) &&
            (!add_missing(section, filed, words, memory, &comparison) ||
             !add_surplus(section, filed, words, memory, &comparison)))
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to compare a case");
    }
    *ret_comparison = comparison;
    return true;
}
