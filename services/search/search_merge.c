#include "search/search_merge.h"

#include "search/search_dictionary.h"
#include "search/search_postings.h"
#include "search/search_words.h"
#include "search/search_writer.h"
#include "text/fold.h"

#include <stdlib.h>
#include <string.h>

enum { STEP_BYTES = 256 << 10 };

/* A posting list being put together. */
struct gathered {
    uint32_t *documents;
    uint8_t *fields;
    uint32_t count;
};

/* The next term of a source. */
struct head {
    const unsigned char *at, *end; /* behind it */
    bool over;                     /* there is none */
    uint64_t hash;
    struct search_term term;
    const char *text;
    size_t length;
    bytes room; /* of the text */
};

struct merge {
    struct search_merge_source *sources;
    size_t count;
    uint32_t documents;
    const struct search_pace *pace;
    struct search_writer writer;
    size_t told;                         /* bytes that the pace knows of */
    struct gathered list, spare;         /* room for all documents */
    uint32_t runs[SEARCH_MERGE_MAX + 1]; /* where in `list` each source's part begins */
    struct head heads[SEARCH_MERGE_MAX];
};

void search_merge_release(struct search_merge_source *sources, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(sources[i].map);
        sources[i].map = NULL;
    }
}

/* --- documents ---------------------------------------------------------------------------------------- */

/* The next index from `at` on, of an order of a source's documents, that is alive. */
static uint32_t next_alive(const struct search_merge_source *source, const uint32_t *order, uint32_t at)
{
    while (at < source->section->documents && !search_alive_has(source->alive, order ? order[at] : at))
        at++;
    return at;
}

static bool is_before(const struct search_section *a, uint32_t a_document, const struct search_section *b,
                      uint32_t b_document)
{
    if (a->times[a_document] != b->times[b_document])
        return a->times[a_document] < b->times[b_document];
    return a->numbers[a_document] < b->numbers[b_document];
}

static void copy_document(struct merge *merge, const struct search_section *section, uint32_t document,
                          uint32_t to)
{
    const struct search_row row = {.number = section->numbers[document],
                                   .position = section->positions[document],
                                   .time_us = section->times[document],
                                   .fingerprint = section->fingerprints[document],
                                   .posting_count = section->posting_counts[document],
                                   .state = section->states[document],
                                   .subject = search_section_subject(section, document),
                                   .owner = search_section_owner(section, document)};
    search_writer_set(&merge->writer, to, &row);
}

/* In order of (time, number): fills the columns and the maps. */
static void merge_documents(struct merge *merge)
{
    uint32_t at[SEARCH_MERGE_MAX] = {0};
    for (size_t i = 0; i < merge->count; i++)
        at[i] = next_alive(&merge->sources[i], NULL, 0);
    for (uint32_t to = 0; to < merge->documents; to++) {
        size_t first = merge->count;
        for (size_t i = 0; i < merge->count; i++) {
            const struct search_section *section = merge->sources[i].section;
            if (at[i] < section->documents &&
                (first == merge->count ||
                 is_before(section, at[i], merge->sources[first].section, at[first])))
                first = i;
        }
        struct search_merge_source *source = &merge->sources[first];
        copy_document(merge, source->section, at[first], to);
        source->map[at[first]] = to;
        at[first] = next_alive(source, NULL, at[first] + 1);
    }
}

static void merge_by_number(struct merge *merge)
{
    uint32_t at[SEARCH_MERGE_MAX] = {0},
             *by_number = search_writer_column(&merge->writer, SEARCH_PART_BY_NUMBER);
    for (size_t i = 0; i < merge->count; i++)
        at[i] = next_alive(&merge->sources[i], merge->sources[i].section->by_number, 0);
    for (uint32_t to = 0; by_number && to < merge->documents; to++) {
        size_t first = merge->count;
        int64_t lowest = 0;
        for (size_t i = 0; i < merge->count; i++) {
            const struct search_section *section = merge->sources[i].section;
            if (at[i] == section->documents)
                continue;
            int64_t number = section->numbers[section->by_number[at[i]]];
            if (first == merge->count || number < lowest) {
                first = i;
                lowest = number;
            }
        }
        const struct search_merge_source *source = &merge->sources[first];
        by_number[to] = source->map[source->section->by_number[at[first]]];
        at[first] = next_alive(source, source->section->by_number, at[first] + 1);
    }
}

/* The folded subject of the next document of a source, and its case. */
struct subject {
    bytes folded;
    int64_t number;
    uint32_t at;
};

static bool next_subject(const struct search_merge_source *source, struct subject *subject, uint32_t from)
{
    const struct search_section *section = source->section;
    subject->at = next_alive(source, section->by_subject, from);
    if (subject->at == section->documents)
        return true;
    uint32_t document = section->by_subject[subject->at];
    const char *text = search_section_subject(section, document);
    subject->number = section->numbers[document];
    bytes_clear(&subject->folded);
    return text_fold_append(&subject->folded, text, strlen(text));
}

static bool subject_is_before(const struct subject *a, const struct subject *b)
{
    int order = strcmp(bytes_text(&a->folded), bytes_text(&b->folded));
    return order < 0 || (order == 0 && a->number < b->number);
}

static bool merge_by_subject(struct merge *merge)
{
    struct subject heads[SEARCH_MERGE_MAX];
    uint32_t *by_subject = search_writer_column(&merge->writer, SEARCH_PART_BY_SUBJECT);
    uint32_t *ranks = search_writer_column(&merge->writer, SEARCH_PART_SUBJECT_RANKS);
    bool done = by_subject && ranks;
    for (size_t i = 0; i < merge->count; i++) {
        bytes_init(&heads[i].folded, UINT32_MAX);
        done = next_subject(&merge->sources[i], &heads[i], 0) && done;
    }
    for (uint32_t to = 0; done && to < merge->documents; to++) {
        size_t first = merge->count;
        for (size_t i = 0; i < merge->count; i++)
            if (heads[i].at < merge->sources[i].section->documents &&
                (first == merge->count || subject_is_before(&heads[i], &heads[first])))
                first = i;
        if (first == merge->count)
            break; /* cannot be: so many are alive */
        const struct search_merge_source *source = &merge->sources[first];
        by_subject[to] = source->map[source->section->by_subject[heads[first].at]];
        ranks[by_subject[to]] = to;
        done = next_subject(source, &heads[first], heads[first].at + 1);
    }
    for (size_t i = 0; i < merge->count; i++)
        bytes_release(&heads[i].folded);
    return done;
}

/* --- terms -------------------------------------------------------------------------------------------- */

/* The next term of a source. Without memory for it nothing comes of the merge. */
static void read_head(struct merge *merge, size_t source)
{
    struct head *head = &merge->heads[source];
    head->over = head->at == head->end;
    if (head->over)
        return;
    head->at = search_dictionary_read(head->at, &head->term);
    if (!search_dictionary_text(merge->sources[source].section, &head->term, &head->room, &head->text,
                                &head->length)) {
        head->over = merge->writer.failed = true;
        return;
    }
    head->hash = search_word_hash(head->text, head->length);
}

/* By (hash, text), as sections are ordered. */
static int compare_heads(const struct head *a, const struct head *b)
{
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    int order = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

/* Appends what is alive of a source's list, with the new numbers. */
static void gather(struct merge *merge, const struct search_merge_source *source,
                   const struct search_term *term)
{
    struct gathered *list = &merge->list;
    uint32_t *documents = list->documents + list->count;
    uint8_t *fields = list->fields + list->count;
    search_postings_unpack(source->section, term, documents, fields);
    if (!source->alive) {
        for (uint32_t i = 0; i < term->count; i++)
            documents[i] = source->map[documents[i]];
        list->count += term->count;
        return;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < term->count; i++) {
        uint32_t document = source->map[documents[i]];
        documents[kept] = document;
        fields[kept] = fields[i];
        kept += document != UINT32_MAX;
    }
    list->count += kept;
}

/* Two neighbouring runs of `from` into one of `to`. */
static void merge_runs(const struct gathered *from, struct gathered *to, uint32_t first, uint32_t second,
                       uint32_t end)
{
    uint32_t left = first, right = second;
    for (uint32_t at = first; at < end; at++) {
        bool take_left = right == end || (left < second && from->documents[left] < from->documents[right]);
        uint32_t taken = take_left ? left++ : right++;
        to->documents[at] = from->documents[taken];
        to->fields[at] = from->fields[taken];
    }
}

static void swap_lists(struct merge *merge)
{
    struct gathered kept = merge->list;
    merge->list = merge->spare;
    merge->spare = kept;
    merge->list.count = kept.count;
}

/* Puts the runs in order: mostly they are, for sections follow each other in time. */
static void order_runs(struct merge *merge, size_t runs)
{
    uint32_t *starts = merge->runs, end = merge->list.count;
    size_t kept = 0;
    for (size_t i = 0; i < runs; i++) {
        uint32_t start = starts[i];
        if (start == (i + 1 < runs ? starts[i + 1] : end))
            continue; /* nothing is left of it */
        if (kept == 0 || merge->list.documents[start - 1] > merge->list.documents[start])
            starts[kept++] = start;
    }
    for (; kept > 1; kept = (kept + 1) / 2) {
        for (size_t i = 0; i < kept; i += 2) {
            uint32_t second = i + 1 < kept ? starts[i + 1] : end;
            merge_runs(&merge->list, &merge->spare, starts[i], second, i + 2 < kept ? starts[i + 2] : end);
            starts[i / 2] = starts[i];
        }
        swap_lists(merge);
    }
}

static bool keep_pace(struct merge *merge)
{
    size_t written = merge->writer.block.length + merge->writer.texts.length + merge->writer.terms.length;
    if (!merge->pace || written - merge->told < STEP_BYTES)
        return true;
    size_t since = written - merge->told;
    merge->told = written;
    return merge->pace->step(merge->pace->context, since);
}

/* The lowest term of all, from all sources that have it. False: none is left. */
static bool merge_term(struct merge *merge)
{
    size_t with[SEARCH_MERGE_MAX], count = 0;
    for (size_t i = 0; i < merge->count; i++) {
        if (merge->heads[i].over)
            continue;
        int order = count == 0 ? -1 : compare_heads(&merge->heads[i], &merge->heads[with[0]]);
        if (order > 0)
            continue;
        if (order < 0)
            count = 0;
        with[count++] = i;
    }
    if (count == 0)
        return false;
    merge->list.count = 0;
    for (size_t i = 0; i < count; i++) {
        merge->runs[i] = merge->list.count;
        gather(merge, &merge->sources[with[i]], &merge->heads[with[i]].term);
    }
    if (count > 1)
        order_runs(merge, count);
    const struct head *first = &merge->heads[with[0]];
    if (merge->list.count > 0)
        search_writer_add(&merge->writer, first->hash, first->text, first->length, merge->list.documents,
                          merge->list.fields, merge->list.count);
    for (size_t i = 0; i < count; i++)
        read_head(merge, with[i]);
    return true;
}

static bool merge_terms(struct merge *merge, error *err)
{
    for (size_t i = 0; i < merge->count; i++) {
        const struct search_section *section = merge->sources[i].section;
        merge->heads[i].at = section->terms;
        merge->heads[i].end = section->terms + section->terms_size;
        bytes_init(&merge->heads[i].room, UINT32_MAX);
        read_head(merge, i);
    }
    bool given_up = false;
    while (!given_up && merge_term(merge))
        given_up = !keep_pace(merge);
    for (size_t i = 0; i < merge->count; i++)
        bytes_release(&merge->heads[i].room);
    return !given_up || error_set(err, STATUS_CANCELLED, "", "the merge was given up");
}

/* --- all together ------------------------------------------------------------------------------------- */

static bool gathered_init(struct gathered *list, size_t room)
{
    *list = (struct gathered){reallocarray(NULL, room, sizeof *list->documents), malloc(room), 0};
    return list->documents && list->fields;
}

static void gathered_release(struct gathered *list)
{
    free(list->documents);
    free(list->fields);
}

static int compare_sources(const void *a, const void *b)
{
    const struct search_merge_source *left = a, *right = b;
    return is_before(left->section, 0, right->section, 0) ? -1 : 1;
}

static bool prepare(struct merge *merge)
{
    size_t room = 0;
    bool done = true;
    qsort(merge->sources, merge->count, sizeof *merge->sources, compare_sources);
    for (size_t i = 0; i < merge->count; i++) {
        struct search_merge_source *source = &merge->sources[i];
        uint32_t documents = source->section->documents;
        merge->documents += search_alive_count(source->alive, documents);
        room += documents;
        source->map = reallocarray(NULL, documents, sizeof *source->map);
        if (source->map)
            memset(source->map, 0xff, documents * sizeof *source->map);
        done = done && source->map;
    }
    return gathered_init(&merge->list, room) && gathered_init(&merge->spare, room) && done;
}

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to merge sections");
}

static bool write_section(struct merge *merge, struct search_block **ret_block, error *err)
{
    search_writer_init(&merge->writer, merge->documents);
    merge_documents(merge);
    merge_by_number(merge);
    bool done = merge_by_subject(merge) || out_of_memory(err);
    if (!done || !merge_terms(merge, err)) {
        search_writer_release(&merge->writer);
        return false;
    }
    struct search_block *block = search_writer_finish(&merge->writer);
    if (!block)
        return out_of_memory(err);
    *ret_block = block;
    return true;
}

bool search_merge_run(struct search_merge_source *sources, size_t count, const struct search_pace *pace,
                      struct search_block **ret_block, error *err)
{
    struct merge *merge = malloc(sizeof *merge);
    if (!merge)
        return out_of_memory(err);
    merge->sources = sources;
    merge->count = count;
    merge->documents = 0;
    merge->pace = pace;
    merge->told = 0;
    merge->list = merge->spare = (struct gathered){0};
    bool done = prepare(merge) ? write_section(merge, ret_block, err) : out_of_memory(err);
    gathered_release(&merge->list);
    gathered_release(&merge->spare);
    free(merge);
    return done;
}
