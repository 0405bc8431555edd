#include "tests/support/search_probe.h"

#include "search/search_dictionary.h"
#include "search/search_merge.h"
#include "search/search_query.h"
#include "search/search_view.h"
#include "text/fold.h"

#include <stdlib.h>
#include <string.h>

/* Dictionaries are gone through in steps when they are large. */
enum { WORDS_MAX = 24, WORD_SIZE = 128 };

struct probe {
    struct search_view *view; /* of the one section */
    arena *memory;
    char words[WORDS_MAX][WORD_SIZE];
    size_t word_count;
};

static void mend(unsigned char *data, size_t size)
{
    struct search_section_header *header = (struct search_section_header *)data;
    memcpy(header->magic, "cwsearch", sizeof header->magic);
    header->version = SEARCH_SECTION_VERSION;
    header->text_version = TEXT_VERSION;
    header->size = size;
    header->checksum = search_section_checksum(data, size);
}

static void collect_words(struct probe *probe, const struct search_section *section)
{
    uint32_t step = section->term_count / WORDS_MAX + 1, seen = 0;
    const unsigned char *end = section->terms + section->terms_size;
    bytes room;
    bytes_init(&room, UINT32_MAX);
    for (const unsigned char *at = section->terms; at < end && probe->word_count < WORDS_MAX;) {
        struct search_term term;
        const char *text;
        size_t length;
        at = search_dictionary_read(at, &term);
        if (seen++ % step || !search_dictionary_text(section, &term, &room, &text, &length) ||
            length >= WORD_SIZE || memchr(text, '\0', length))
            continue;
        memcpy(probe->words[probe->word_count], text, length);
        probe->words[probe->word_count++][length] = '\0';
    }
    bytes_release(&room);
}

static void ask(struct probe *probe, size_t first, size_t count, unsigned variant)
{
    const char *words[WORDS_MAX];
    for (size_t i = 0; i < count; i++)
        words[i] = probe->words[(first + i * 5) % probe->word_count];
    struct search_query query = {.words = words,
                                 .word_count = count,
                                 .fields =
                                     variant & 1 ? SEARCH_FIELDS_ALL : SEARCH_FIELD_BIT(SEARCH_FIELD_SUBJECT),
                                 .statuses = variant & 2 ? ~0u : SEARCH_STATUS_BIT(1) | SEARCH_STATUS_BIT(2),
                                 .owner = variant & 4 ? "ann" : NULL,
                                 .start_time_us = variant & 8 ? 3000 : INT64_MIN,
                                 .end_time_us = INT64_MAX,
                                 .order = (enum search_order)(variant / 16 % 3),
                                 .descending = variant & 1,
                                 .limit = 1 + variant % 30};
    struct search_answer answer;
    error err;
    arena_clear(probe->memory);
    struct search_cursor after;
    for (int page = 0; page < 2; page++) {
        if (!search_query_run(search_view_ref(probe->view), &query, probe->memory, &answer, &err))
            return;
        (void)!search_answer_read(&answer, probe->memory);
        search_answer_release(&answer);
        if (!answer.more)
            return;
        after = answer.last;
        query.after = &after;
    }
}

static void ask_everything(struct probe *probe)
{
    for (unsigned variant = 0; variant < 48 && probe->word_count > 0; variant++)
        for (size_t count = 1; count <= 3; count++)
            ask(probe, variant % probe->word_count, count, variant);
}

static void merge(const struct search_section *section)
{
    struct search_merge_source sources[] = {{.section = section}, {.section = section}};
    struct search_block *merged = NULL;
    error err;
    if (search_merge_run(sources, 2, NULL, &merged, &err))
        search_block_unref(merged);
    search_merge_release(sources, 2);
}

bool search_probe(unsigned char *data, size_t size)
{
    error err;
    struct search_block *block = calloc(1, sizeof *block);
    struct search_draft draft;
    struct search_view *nothing = search_view_new();
    bool room = block && nothing && size >= sizeof(struct search_section_header);
    if (room)
        mend(data, size);
    if (!room || !search_section_open(data, size, &block->section, &err)) {
        search_view_unref(nothing);
        free(block);
        return false;
    }
    atomic_init(&block->references, 1);
    struct probe probe = {.memory = arena_new(16 << 20)};
    if (!probe.memory || !search_draft_init(&draft, nothing) || !search_draft_add(&draft, block, NULL) ||
        !(probe.view = search_draft_finish(&draft)))
        abort();
    search_view_unref(nothing);
    collect_words(&probe, &block->section);
    ask_everything(&probe);
    uint32_t slice, document;
    for (int64_t number = -1; number < 10; number++)
        search_view_find(probe.view, number, &slice, &document);
    merge(&block->section);
    arena_free(probe.memory);
    search_view_unref(probe.view);
    return true;
}
