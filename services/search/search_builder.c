#include "search/search_builder.h"

#include "search/search_writer.h"
#include "text/fold.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 1024, KEPT_SLOTS = 1 << 16 };

struct search_builder_term {
    uint64_t hash;
    uint32_t text, length; /* in texts */
    uint32_t count;        /* documents that have it */
    uint32_t document;     /* the last one of them, plus one */
    uint32_t place;        /* of that one's posting; in the end, where the next posting goes */
    bool key;              /* no word, but what a filter compares */
};

struct search_builder_row {
    struct search_row row; /* texts are places in `texts` */
    uint32_t subject, owner;
    uint32_t first, end; /* its postings */
};

typedef struct search_builder_term term;
typedef struct search_builder_row row;

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory to index cases");
}

void search_builder_init(struct search_builder *builder)
{
    *builder = (struct search_builder){0};
    text_words_init(&builder->walk, "", 0);
    bytes_init(&builder->key, UINT32_MAX);
}

static void give_back(struct search_builder *builder)
{
    search_buffer_release(&builder->terms);
    search_buffer_release(&builder->texts);
    search_buffer_release(&builder->rows);
    search_buffer_release(&builder->posted);
    search_buffer_release(&builder->fields);
    free(builder->slots);
    builder->slots = NULL;
    builder->slot_count = 0;
}

void search_builder_release(struct search_builder *builder)
{
    give_back(builder);
    text_words_release(&builder->walk);
    bytes_release(&builder->key);
    search_builder_init(builder);
}

void search_builder_clear(struct search_builder *builder)
{
    if (builder->slot_count > KEPT_SLOTS)
        give_back(builder);
    else if (builder->slots)
        memset(builder->slots, 0, builder->slot_count * sizeof *builder->slots);
    builder->terms.length = builder->texts.length = builder->rows.length = 0;
    builder->posted.length = builder->fields.length = 0;
    builder->text_bytes = 0;
    if (builder->failed) { /* what failed in the walk stays failed otherwise */
        text_words_release(&builder->walk);
        text_words_init(&builder->walk, "", 0);
        bytes_clear(&builder->key);
    }
    builder->failed = false;
}

uint32_t search_builder_count(const struct search_builder *builder)
{
    return (uint32_t)(builder->rows.length / sizeof(row));
}

/* --- words -------------------------------------------------------------------------------------------- */

static term *terms_of(const struct search_builder *builder)
{
    return (term *)builder->terms.data;
}

static uint32_t term_count(const struct search_builder *builder)
{
    return (uint32_t)(builder->terms.length / sizeof(term));
}

static bool grow_slots(struct search_builder *builder)
{
    uint32_t size = builder->slot_count ? builder->slot_count * 2 : FIRST_SLOTS;
    uint64_t *slots = calloc(size, sizeof *slots);
    if (!slots)
        return false;
    for (uint32_t i = 0; i < term_count(builder); i++) {
        uint64_t hash = terms_of(builder)[i].hash;
        uint32_t at = (uint32_t)hash & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = (hash >> 32 << 32) | (i + UINT64_C(1));
    }
    free(builder->slots);
    builder->slots = slots;
    builder->slot_count = size;
    return true;
}

static bool add_text(struct search_builder *builder, const char *text, size_t length, uint32_t *ret_at)
{
    size_t at = builder->texts.length;
    void *added = length + 1 > UINT32_MAX - at ? NULL : search_buffer_add(&builder->texts, length + 1);
    if (!added)
        return false;
    memcpy(added, text, length);
    ((char *)added)[length] = '\0';
    *ret_at = (uint32_t)at;
    return true;
}

static term *add_term(struct search_builder *builder, uint64_t hash, const char *text, size_t length)
{
    uint32_t at;
    if (!add_text(builder, text, length, &at))
        return NULL;
    term *added = search_buffer_add(&builder->terms, sizeof *added);
    if (added)
        *added =
            (term){.hash = hash, .text = at, .length = (uint32_t)length, .key = length > 0 && *text == '\0'};
    return added;
}

static term *find_or_add(struct search_builder *builder, const char *text, size_t length)
{
    if (builder->slot_count / 2 <= term_count(builder) && !grow_slots(builder))
        return NULL;
    uint64_t hash = search_word_hash(text, length);
    uint32_t at = (uint32_t)hash & (builder->slot_count - 1);
    for (; builder->slots[at]; at = (at + 1) & (builder->slot_count - 1)) {
        if (builder->slots[at] >> 32 != hash >> 32)
            continue;
        term *known = &terms_of(builder)[(uint32_t)builder->slots[at] - 1];
        if (known->hash == hash && known->length == length &&
            memcmp(builder->texts.data + known->text, text, length) == 0)
            return known;
    }
    term *added = add_term(builder, hash, text, length);
    if (added)
        builder->slots[at] = (hash >> 32 << 32) | term_count(builder);
    return added;
}

static bool take(void *context, const char *word, size_t length, uint8_t fields)
{
    struct search_builder *builder = context;
    uint32_t document = search_builder_count(builder); /* itself plus one: its row is there */
    term *found = find_or_add(builder, word, length);
    if (!found)
        return false;
    builder->text_bytes += length + 1;
    if (found->document == document) {
        builder->fields.data[found->place] |= fields;
        return true;
    }
    uint32_t *posted = search_buffer_add(&builder->posted, sizeof *posted);
    uint8_t *posted_fields = search_buffer_add(&builder->fields, 1);
    if (!posted || !posted_fields || builder->fields.length > UINT32_MAX)
        return false;
    *posted = (uint32_t)(found - terms_of(builder));
    *posted_fields = fields;
    found->document = document;
    found->place = (uint32_t)builder->fields.length - 1;
    found->count++;
    return true;
}

/* --- documents ---------------------------------------------------------------------------------------- */

static bool add_row(struct search_builder *builder, const struct search_document *document)
{
    row added = {
        .row = {.number = document->number,
                .position = document->position,
                .time_us = document->update_time_us,
                .state = (uint8_t)(document->status | (document->need_reply ? SEARCH_STATE_NEED_REPLY : 0))},
        .first = (uint32_t)builder->fields.length};
    if (!add_text(builder, document->subject, strlen(document->subject), &added.subject) ||
        !add_text(builder, document->owner, strlen(document->owner), &added.owner))
        return false;
    row *room = search_buffer_add(&builder->rows, sizeof *room);
    if (room)
        *room = added;
    return room;
}

static void end_row(struct search_builder *builder)
{
    row *last = (row *)builder->rows.data + search_builder_count(builder) - 1;
    const uint32_t *posted = (const uint32_t *)builder->posted.data;
    last->end = (uint32_t)builder->fields.length;
    for (uint32_t i = last->first; i < last->end; i++) {
        const term *known = &terms_of(builder)[posted[i]];
        uint8_t fields = builder->fields.data[i];
        last->row.fingerprint += search_word_print(known->hash, fields);
        last->row.posting_count += known->key ? 0 : (uint32_t)__builtin_popcount(fields);
    }
}

bool search_builder_add(struct search_builder *builder, const struct search_document *document, error *err)
{
    bool room = search_builder_count(builder) < SEARCH_SECTION_DOCUMENTS_MAX;
    builder->failed = builder->failed || !room || !add_row(builder, document) ||
                      !search_document_words(document, &builder->walk, &builder->key, take, builder);
    if (builder->failed)
        return out_of_memory(err);
    end_row(builder);
    return true;
}

/* --- orders ------------------------------------------------------------------------------------------- */

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_readings(const void *a, const void *b, void *context)
{
    const row *rows = context;
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    int order = compare(rows[left].row.number, rows[right].row.number);
    order = order ? order : compare(rows[left].row.position, rows[right].row.position);
    return order ? order : compare(left, right);
}

static int compare_places(const void *a, const void *b, void *context)
{
    const row *rows = context;
    const struct search_row *left = &rows[*(const uint32_t *)a].row, *right = &rows[*(const uint32_t *)b].row;
    int order = compare(left->time_us, right->time_us);
    return order ? order : compare(left->number, right->number);
}

struct subjects {
    const bytes *folded;
    const uint32_t *starts; /* by document */
    const int64_t *numbers;
};

static int compare_subjects(const void *a, const void *b, void *context)
{
    const struct subjects *subjects = context;
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    const char *texts = bytes_text(subjects->folded);
    int order = strcmp(texts + subjects->starts[left], texts + subjects->starts[right]);
    return order ? order : compare(subjects->numbers[left], subjects->numbers[right]);
}

/* The orders of a section's documents, while it is made. */
struct orders {
    uint32_t count;
    uint32_t *by_number; /* what was added, in order of case number, each case once; then, what it became */
    uint32_t *by_place;  /* document → what was added */
    uint32_t *becomes;   /* the other way round; UINT32_MAX: replaced by a later reading */
};

static void orders_release(struct orders *orders)
{
    free(orders->by_number);
    free(orders->by_place);
    free(orders->becomes);
}

/* Leaves the postings of what was replaced out of the count. */
static void forget(struct search_builder *builder, const row *replaced)
{
    const uint32_t *posted = (const uint32_t *)builder->posted.data;
    for (uint32_t i = replaced->first; i < replaced->end; i++)
        terms_of(builder)[posted[i]].count--;
}

static bool orders_make(struct search_builder *builder, struct orders *orders)
{
    row *rows = (row *)builder->rows.data;
    uint32_t added = search_builder_count(builder), count = 0;
    *orders = (struct orders){.by_number = reallocarray(NULL, added, sizeof(uint32_t)),
                              .by_place = reallocarray(NULL, added, sizeof(uint32_t)),
                              .becomes = reallocarray(NULL, added, sizeof(uint32_t))};
    if (!orders->by_number || !orders->by_place || !orders->becomes)
        return false;
    for (uint32_t i = 0; i < added; i++)
        orders->by_number[i] = i;
    qsort_r(orders->by_number, added, sizeof(uint32_t), compare_readings, rows);
    for (uint32_t i = 0; i < added; i++) {
        uint32_t at = orders->by_number[i];
        if (i + 1 < added && rows[at].row.number == rows[orders->by_number[i + 1]].row.number) {
            orders->becomes[at] = UINT32_MAX;
            forget(builder, &rows[at]);
        } else {
            orders->by_place[count] = orders->by_number[count] = at;
            count++;
        }
    }
    orders->count = count;
    qsort_r(orders->by_place, count, sizeof(uint32_t), compare_places, rows);
    for (uint32_t i = 0; i < count; i++)
        orders->becomes[orders->by_place[i]] = i;
    return true;
}

static bool write_by_subject(struct search_writer *writer, uint32_t count)
{
    uint32_t *by_subject = search_writer_column(writer, SEARCH_PART_BY_SUBJECT);
    uint32_t *ranks = search_writer_column(writer, SEARCH_PART_SUBJECT_RANKS);
    if (!by_subject)
        return false;
    bytes folded;
    bytes_init(&folded, UINT32_MAX);
    const uint32_t *texts = search_writer_column(writer, SEARCH_PART_SUBJECTS);
    struct subjects subjects = {&folded, ranks, (int64_t *)search_writer_column(writer, SEARCH_PART_NUMBERS)};
    bool done = true;
    for (uint32_t i = 0; done && i < count;
         i++) { /* where the folded text begins stands where the rank will */
        const char *text = (const char *)writer->texts.data + texts[i];
        by_subject[i] = i;
        ranks[i] = (uint32_t)folded.length;
        done = text_fold_append(&folded, text, strlen(text)) && bytes_append(&folded, "", 1);
    }
    if (done) {
        qsort_r(by_subject, count, sizeof *by_subject, compare_subjects, &subjects);
        for (uint32_t i = 0; i < count; i++)
            ranks[by_subject[i]] = i;
    }
    bytes_release(&folded);
    return done;
}

static bool write_documents(struct search_builder *builder, const struct orders *orders,
                            struct search_writer *writer)
{
    row *rows = (row *)builder->rows.data;
    for (uint32_t i = 0; i < orders->count; i++) {
        row *added = &rows[orders->by_place[i]];
        added->row.subject = (const char *)builder->texts.data + added->subject;
        added->row.owner = (const char *)builder->texts.data + added->owner;
        search_writer_set(writer, i, &added->row);
    }
    uint32_t *by_number = search_writer_column(writer, SEARCH_PART_BY_NUMBER);
    for (uint32_t i = 0; by_number && i < orders->count; i++)
        by_number[i] = orders->becomes[orders->by_number[i]];
    return write_by_subject(writer, orders->count);
}

/* --- terms -------------------------------------------------------------------------------------------- */

struct sorting {
    const term *terms;
    const char *texts;
};

static int compare_terms(const void *a, const void *b, void *context)
{
    const struct sorting *sorting = context;
    const term *left = &sorting->terms[*(const uint32_t *)a], *right = &sorting->terms[*(const uint32_t *)b];
    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    size_t shorter = left->length < right->length ? left->length : right->length;
    int order = memcmp(sorting->texts + left->text, sorting->texts + right->text, shorter);
    return order ? order : compare(left->length, right->length);
}

/* Hashes are evenly spread: by their highest bits into as many buckets as there are terms, then each bucket.
 */
static bool sort_terms(const struct search_builder *builder, uint32_t *order)
{
    const term *terms = terms_of(builder);
    uint32_t count = term_count(builder);
    unsigned bits = 1;
    while (count >> bits)
        bits++;
    uint32_t *ends = calloc((size_t)1 << bits, sizeof *ends);
    if (!ends)
        return false;
    for (uint32_t i = 0; i < count; i++)
        ends[terms[i].hash >> (64 - bits)]++;
    for (uint32_t i = 0, sum = 0; i < UINT32_C(1) << bits; i++) {
        uint32_t here = ends[i];
        ends[i] = sum;
        sum += here;
    }
    for (uint32_t i = 0; i < count; i++)
        order[ends[terms[i].hash >> (64 - bits)]++] = i;
    struct sorting sorting = {terms, (const char *)builder->texts.data};
    for (uint32_t i = 0, start = 0; i < UINT32_C(1) << bits; start = ends[i++])
        if (ends[i] - start > 1)
            qsort_r(order + start, ends[i] - start, sizeof *order, compare_terms, &sorting);
    free(ends);
    return true;
}

struct lists {
    uint32_t *order; /* of the terms */
    uint32_t *documents;
    uint8_t *fields;
};

/* Document by document in their new order, so that every list comes out in order. */
static void fill_lists(struct search_builder *builder, const struct orders *orders, struct lists *lists)
{
    const row *rows = (const row *)builder->rows.data;
    const uint32_t *posted = (const uint32_t *)builder->posted.data;
    term *terms = terms_of(builder);
    for (uint32_t i = 0, sum = 0; i < term_count(builder); i++) {
        terms[lists->order[i]].place = sum;
        sum += terms[lists->order[i]].count;
    }
    for (uint32_t document = 0; document < orders->count; document++) {
        const row *from = &rows[orders->by_place[document]];
        for (uint32_t i = from->first; i < from->end; i++) {
            uint32_t place = terms[posted[i]].place++;
            lists->documents[place] = document;
            lists->fields[place] = builder->fields.data[i];
        }
    }
}

static void write_lists(const struct search_builder *builder, const struct lists *lists,
                        struct search_writer *writer)
{
    for (uint32_t i = 0; i < term_count(builder); i++) {
        const term *next = &terms_of(builder)[lists->order[i]];
        uint32_t first = next->place - next->count;
        if (next->count > 0)
            search_writer_add(writer, next->hash, (const char *)builder->texts.data + next->text,
                              next->length, lists->documents + first, lists->fields + first, next->count);
    }
}

static bool write_terms(struct search_builder *builder, const struct orders *orders,
                        struct search_writer *writer)
{
    struct lists lists = {reallocarray(NULL, term_count(builder) + 1, sizeof(uint32_t)),
                          reallocarray(NULL, builder->fields.length + 1, sizeof(uint32_t)),
                          malloc(builder->fields.length + 1)};
    bool done = lists.order && lists.documents && lists.fields && sort_terms(builder, lists.order);
    if (done) {
        fill_lists(builder, orders, &lists);
        write_lists(builder, &lists, writer);
    }
    free(lists.order);
    free(lists.documents);
    free(lists.fields);
    return done;
}

bool search_builder_finish(struct search_builder *builder, struct search_block **ret_block, error *err)
{
    struct orders orders = {0};
    struct search_writer writer;
    struct search_block *block = NULL;
    if (!builder->failed && search_builder_count(builder) > 0 && orders_make(builder, &orders)) {
        search_writer_init(&writer, orders.count);
        if (write_documents(builder, &orders, &writer) && write_terms(builder, &orders, &writer))
            block = search_writer_finish(&writer);
        else
            search_writer_release(&writer);
    }
    orders_release(&orders);
    search_builder_clear(builder);
    if (!block)
        return out_of_memory(err);
    *ret_block = block;
    return true;
}
