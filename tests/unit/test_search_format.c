/* What a section keeps of its words, whichever way it writes them: each with its documents and fields, no
 * other one. */

#include "search/search_builder.h"
#include "search/search_dictionary.h"
#include "search/search_merge.h"
#include "search/search_packed.h"
#include "search/search_postings.h"
#include "tests/support/search_probe.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Word k stands in every k-th document: the first ones are bitmaps, then come arrays, packed lists, few,
 * single ones. In every fifth of them it is in the subject too. */
enum { DOCUMENTS = 2000, WORDS = 1999, TEXT_MAX = 1 << 20, HUGE_WORD = 70000 };

static const char *const shapes[] = {"word%u",   "%u", "слово%u", "m%u@example", "z%u\xf0\x9f\x98\x80",
                                     "a%u%%$#=*"};

static size_t word_of(unsigned k, char word[64])
{
    return (size_t)snprintf(word, 64, shapes[k % 6], k * 7919);
}

static bool has(uint32_t document, unsigned k)
{
    return document % k == 0;
}

static uint8_t fields_of(uint32_t document, unsigned k)
{
    return (uint8_t)(SEARCH_FIELD_BIT(SEARCH_FIELD_MESSAGE) |
                     (document / k % 5 == 0 ? SEARCH_FIELD_BIT(SEARCH_FIELD_SUBJECT) : 0));
}

static void add_word(char *text, size_t *length, const char *word)
{
    int added = snprintf(text + *length, TEXT_MAX - *length, "%s\n", word);
    cr_assert(added > 0 && *length + (size_t)added < TEXT_MAX);
    *length += (size_t)added;
}

/* Those documents with from ≤ number < to; the last one has a word that no group of the directory has room
 * for when `huge`. */
static struct search_block *section_of(uint32_t from, uint32_t to, bool huge)
{
    static char message[TEXT_MAX], subject[TEXT_MAX], word[HUGE_WORD + 1];
    struct search_builder builder;
    struct search_block *block;
    error err;
    search_builder_init(&builder);
    for (uint32_t document = from; document < to; document++) {
        size_t message_length = 0, subject_length = 0;
        *message = *subject = '\0';
        for (unsigned k = 1; k <= WORDS; k++) {
            word_of(k, word);
            if (has(document, k))
                add_word(message, &message_length, word);
            if (has(document, k) && fields_of(document, k) & SEARCH_FIELD_BIT(SEARCH_FIELD_SUBJECT))
                add_word(subject, &subject_length, word);
        }
        snprintf(word, sizeof word, "own%u", document);
        add_word(message, &message_length, word);
        if (huge && document + 1 == to) {
            memset(word, 'h', HUGE_WORD);
            word[HUGE_WORD] = '\0';
            add_word(message, &message_length, word);
        }
        const struct search_text texts[] = {{SEARCH_FIELD_MESSAGE, message}, {SEARCH_FIELD_SUBJECT, subject}};
        const struct search_document filed = {.number = document + 1,
                                              .position = 1,
                                              .update_time_us = document,
                                              .status = 1,
                                              .subject = "s",
                                              .owner = "ann",
                                              .channel = "",
                                              .contact = "",
                                              .texts = texts,
                                              .text_count = 2};
        cr_assert(search_builder_add(&builder, &filed, &err));
    }
    cr_assert(search_builder_finish(&builder, &block, &err));
    search_builder_release(&builder);
    return block;
}

static bool find(const struct search_section *section, const char *word, size_t length,
                 struct search_term *ret_term)
{
    return search_dictionary_find(section, search_word_hash(word, length), word, length, ret_term);
}

static void check_documents(const struct search_section *section, const struct search_term *term, unsigned k,
                            arena *memory)
{
    uint32_t documents[DOCUMENTS], at = 0;
    uint8_t fields[DOCUMENTS];
    struct search_postings postings;
    search_postings_unpack(section, term, documents, fields);
    cr_assert(search_postings_read(section, term, memory, &postings));
    cr_assert_eq(postings.count, term->count);
    for (uint32_t document = 0; document < DOCUMENTS; document++) {
        cr_assert_eq(search_postings_has(&postings, document), has(document, k), "word %u, document %u", k,
                     document);
        if (document % 37 == 0 || term->count > SEARCH_LIST_PACKED_MAX)
            cr_assert_eq(search_postings_fields_of(section, term, document),
                         has(document, k) ? fields_of(document, k) : 0);
        if (!has(document, k))
            continue;
        cr_assert_eq(documents[at], document, "word %u: %u instead of %u", k, documents[at], document);
        cr_assert_eq(fields[at], fields_of(document, k));
        cr_assert_eq(search_postings_fields(&postings, document), fields_of(document, k));
        at++;
    }
    cr_assert_eq(at, term->count);
}

static void check_section(const struct search_section *section)
{
    char word[64];
    struct search_term term;
    arena *memory = arena_new(1 << 20);
    error err;
    struct search_section opened;
    cr_assert(search_section_open(section->data, section->size, &opened, &err), "%s", err.message);
    cr_assert_eq(section->documents, DOCUMENTS);
    for (unsigned k = 1; k <= WORDS; k++) {
        size_t length = word_of(k, word);
        arena_clear(memory);
        cr_assert(find(section, word, length, &term), "%s", word);
        check_documents(section, &term, k, memory);
        cr_assert_not(k % 6 >= 3 && find(section, word, length - 1, &term), "%s", word);
        word[length] = 'q';
        cr_assert_not(find(section, word, length + 1, &term), "%s", word);
    }
    for (uint32_t document = 0; document < DOCUMENTS; document++) {
        size_t length = (size_t)snprintf(word, sizeof word, "own%u", document);
        cr_assert(find(section, word, length, &term));
        cr_assert_eq(term.kind, SEARCH_TERM_SINGLE);
        cr_assert_eq(term.where, document);
    }
    arena_free(memory);
}

/* Every word of the dictionary has the hash by which it is found, and is told as it came. */
static void check_texts(const struct search_section *section)
{
    const unsigned char *at = section->terms, *end = at + section->terms_size;
    bytes room;
    uint32_t count = 0;
    bytes_init(&room, UINT32_MAX);
    for (; at < end; count++) {
        struct search_term term, found;
        const char *text;
        size_t length;
        at = search_dictionary_read(at, &term);
        cr_assert(search_dictionary_text(section, &term, &room, &text, &length));
        cr_assert(find(section, text, length, &found));
        cr_assert_eq(found.spelled, term.spelled);
        cr_assert_eq(found.count, term.count);
    }
    cr_assert_eq(count, section->term_count);
    bytes_release(&room);
}

Test(search_format, every_word_is_found_with_its_documents_and_fields, .timeout = 60)
{
    struct search_block *block = section_of(0, DOCUMENTS, false);
    cr_assert(block->section.spelling);
    cr_assert(block->section.steps);
    check_section(&block->section);
    check_texts(&block->section);
    search_block_unref(block);
}

Test(search_format, a_word_of_any_length_has_room, .timeout = 60)
{
    static char word[HUGE_WORD];
    struct search_block *block = section_of(0, DOCUMENTS, true);
    struct search_term term;
    memset(word, 'h', sizeof word);
    cr_assert_not(block->section.steps, "a wide directory");
    cr_assert(find(&block->section, word, HUGE_WORD, &term));
    cr_assert_not(find(&block->section, word, HUGE_WORD - 1, &term));
    check_section(&block->section);
    search_block_unref(block);
}

Test(search_format, merged_sections_have_the_same, .timeout = 60)
{
    static const uint32_t bounds[] = {0, 1500, 1520, DOCUMENTS}; /* spelled, small, spelled */
    struct search_block *parts[3], *merged;
    struct search_merge_source sources[3] = {{0}};
    error err;
    for (int i = 0; i < 3; i++) {
        parts[i] = section_of(bounds[i], bounds[i + 1], false);
        sources[i].section = &parts[i]->section;
    }
    cr_assert_not(parts[1]->section.spelling);
    cr_assert(search_merge_run(sources, 3, NULL, &merged, &err));
    search_merge_release(sources, 3);
    check_section(&merged->section);
    check_texts(&merged->section);
    for (int i = 0; i < 3; i++)
        search_block_unref(parts[i]);
    search_block_unref(merged);
}

/* Whatever stands in a large block: what opens can be searched and merged. Flips are where it is looked at
 * most. */
Test(search_format, damage_does_no_harm, .timeout = 60)
{
    enum { TRIES = 60 };
    static const enum search_part parts[] = {SEARCH_PART_LISTS, SEARCH_PART_TERMS, SEARCH_PART_DIRECTORY,
                                             SEARCH_PART_SPELLING};
    struct search_block *block = section_of(0, DOCUMENTS, false);
    size_t size = block->section.size, opened = 0;
    const struct search_section_header *header = (const struct search_section_header *)block->section.data;
    unsigned char *copy = malloc(size);
    srand(20240605);
    for (int i = 0; i < TRIES; i++) {
        memcpy(copy, block->section.data, size);
        const enum search_part part = parts[i % 4];
        copy[header->parts[part].offset + (size_t)rand() % header->parts[part].size] ^=
            (unsigned char)(1 << rand() % 8);
        opened += search_probe(copy, size);
    }
    cr_assert_gt(opened, 5, "%zu opened", opened);
    free(copy);
    search_block_unref(block);
}

/* All counts, in few and in many documents. */
Test(search_format, packed_lists_tell_what_was_packed)
{
    static uint32_t values[SEARCH_LIST_PACKED_MAX], told[SEARCH_LIST_PACKED_MAX];
    srand(20240606);
    for (uint32_t documents = 1; documents <= SEARCH_SECTION_DOCUMENTS_MAX; documents = documents * 3 + 1)
        for (uint32_t count = 1; count <= SEARCH_LIST_PACKED_MAX && count <= documents;
             count += 1 + count / 8) {
            uint64_t *words = calloc(search_packed_words(documents, count), sizeof *words);
            for (uint32_t i = 0, from = 0; i < count; from = values[i++] + 1)
                values[i] =
                    from + (uint32_t)rand() %
                               ((documents - from - (count - i - 1)) / (1 + (uint32_t)rand() % 9) + 1);
            for (uint32_t i = count; i-- > 0;) /* the last ones may be the last documents */
                values[i] = values[i] > documents - (count - i) ? documents - (count - i) : values[i];
            search_packed_write(words, documents, values, count);
            cr_assert(search_packed_check(words, documents, count));
            search_packed_read(words, documents, told, count);
            cr_assert_eq(memcmp(values, told, count * sizeof *values), 0, "%u of %u", count, documents);
            free(words);
        }
}
