#include "bench/support/search_parts.h"

#include "bench/support/search_corpus.h"
#include "search/search_packed.h"
#include "search/search_postings.h"

#include <inttypes.h>
#include <string.h>

struct parts {
    uint64_t documents, sections, bytes, alive, terms, header;
    uint64_t parts[SEARCH_PARTS];
    uint64_t kinds[SEARCH_TERM_KINDS], kind_bytes[SEARCH_TERM_KINDS],
        texts; /* of the dictionary: entries, what they take without their text */
    uint64_t lists, exceptions, packed, arrays, bitmaps; /* bytes */
};

static void add_list(struct parts *parts, const struct search_section *section,
                     const struct search_term *term)
{
    struct search_postings postings;
    arena *memory = arena_new(1 << 16);
    if (!memory || !search_postings_read(section, term, memory, &postings))
        return;
    parts->lists++;
    parts->exceptions += postings.exception_count;
    if (postings.documents)
        parts->packed += search_packed_words(section->documents, term->count) * sizeof(uint64_t);
    for (uint32_t i = 0; i < postings.chunk_count; i++) {
        const struct search_container container =
            search_postings_container(&postings, postings.chunks[i].key);
        if (container.kind == SEARCH_NARROW)
            parts->arrays += container.count * sizeof(uint16_t);
        else
            parts->bitmaps +=
                search_chunk_words(section->documents, postings.chunks[i].key) * sizeof(uint64_t);
    }
    arena_free(memory);
}

static void add_section(struct parts *parts, const struct search_section *section)
{
    const struct search_section_header *header = (const struct search_section_header *)section->data;
    parts->sections++;
    parts->documents += section->documents;
    parts->bytes += section->size;
    parts->terms += section->term_count;
    parts->header += sizeof *header;
    for (int i = 0; i < SEARCH_PARTS; i++)
        parts->parts[i] += header->parts[i].size;
    const unsigned char *at = section->terms, *end = at + section->terms_size;
    while (at < end) {
        const unsigned char *from = at;
        struct search_term term;
        at = search_dictionary_read(at, &term);
        parts->texts += term.spelled_length;
        parts->kinds[term.kind]++;
        parts->kind_bytes[term.kind] += (uint64_t)(at - from) - term.spelled_length;
        if (term.kind == SEARCH_TERM_LIST)
            add_list(parts, section, &term);
    }
}

static void print(const char *name, const struct parts *parts, FILE *out)
{
    static const char *const names[SEARCH_PARTS] = {
        "numbers",     "positions", "times",      "fingerprints",  "postings", "subjects",
        "owners",      "by_number", "by_subject", "subject_ranks", "states",   "lists",
        "status_bits", "terms",     "directory",  "spelling",      "texts"};
    static const char *const kinds[] = {"single", "single_elsewhere", "few", "few_elsewhere", "mixed", "",
                                        "list"};
    fprintf(out,
            "  \"%s\": {\"documents\": %" PRIu64 ", \"sections\": %" PRIu64 ", \"bytes\": %" PRIu64
            ", \"entries\": %" PRIu64 ", \"header\": %" PRIu64,
            name, parts->documents, parts->sections, parts->bytes, parts->terms, parts->header);
    for (int i = 0; i < SEARCH_PARTS; i++)
        fprintf(out, ", \"%s\": %" PRIu64, names[i], parts->parts[i]);
    fprintf(out, ", \"dictionary\": {\"words\": %" PRIu64, parts->texts);
    for (int i = 0; i < SEARCH_TERM_KINDS; i++)
        fprintf(out, ", \"%s\": [%" PRIu64 ", %" PRIu64 "]", kinds[i], parts->kinds[i], parts->kind_bytes[i]);
    fprintf(out,
            "}, \"in_lists\": {\"lists\": %" PRIu64 ", \"exceptions\": %" PRIu64 ", \"packed\": %" PRIu64
            ", \"arrays\": %" PRIu64 ", \"bitmaps\": %" PRIu64 "}},\n",
            parts->lists, parts->exceptions, parts->packed, parts->arrays, parts->bitmaps);
}

void search_parts_print(search_index *index, FILE *out)
{
    struct feed_positions positions;
    struct search_captured *accounts;
    size_t count;
    error err;
    struct parts big = {0}, others = {0};
    if (!search_index_capture(index, &positions, &accounts, &count, &err))
        return;
    for (size_t i = 0; i < count; i++) {
        struct parts *parts = strcmp(accounts[i].id, SEARCH_CORPUS_BIG_ACCOUNT) == 0 ? &big : &others;
        for (uint32_t slice = 0; slice < accounts[i].view->count; slice++)
            add_section(parts, &accounts[i].view->slices[slice].block->section);
    }
    print("parts_of_the_big_account", &big, out);
    print("parts_of_the_others", &others, out);
    search_index_captured_free(accounts, count);
}
