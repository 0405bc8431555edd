#include "search/search_terms.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 64, FIRST_LIST = 4, DEAD_SLACK = 8, POSTING_BYTES = 5 };

void search_terms_init(struct search_terms *terms)
{
    *terms = (struct search_terms){.first_free = SEARCH_TERM_NONE};
}

void search_terms_release(struct search_terms *terms)
{
    for (uint32_t i = 0; i < terms->count; i++) {
        if (!terms->terms[i].text)
            continue;
        free(terms->terms[i].text);
        free(terms->terms[i].documents);
    }
    free(terms->terms);
    free(terms->slots);
    search_terms_init(terms);
}

static uint32_t slot_of(const struct search_terms *terms, uint64_t hash, const char *text, size_t length)
{
    uint32_t mask = terms->slot_count - 1, at = (uint32_t)hash & mask;
    for (; terms->slots[at]; at = (at + 1) & mask) {
        const struct search_term *term = &terms->terms[terms->slots[at] - 1];
        if (term->hash == hash && term->length == length && memcmp(term->text, text, length) == 0)
            break;
    }
    return at;
}

uint32_t search_terms_find(const struct search_terms *terms, uint64_t hash, const char *text, size_t length)
{
    if (terms->slot_count == 0)
        return SEARCH_TERM_NONE;
    uint32_t found = terms->slots[slot_of(terms, hash, text, length)];
    return found ? found - 1 : SEARCH_TERM_NONE;
}

static bool grow_slots(struct search_terms *terms)
{
    uint32_t slot_count = terms->slot_count ? terms->slot_count * 2 : FIRST_SLOTS;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (!slots)
        return false;
    for (uint32_t i = 0; i < terms->count; i++) {
        if (!terms->terms[i].text)
            continue;
        uint32_t at = (uint32_t)terms->terms[i].hash & (slot_count - 1);
        while (slots[at])
            at = (at + 1) & (slot_count - 1);
        slots[at] = i + 1;
    }
    free(terms->slots);
    terms->bytes += (slot_count - terms->slot_count) * sizeof *slots;
    terms->slots = slots;
    terms->slot_count = slot_count;
    return true;
}

static bool make_room(struct search_terms *terms)
{
    if (terms->live >= terms->slot_count / 4 * 3 && !grow_slots(terms))
        return false;
    if (terms->first_free != SEARCH_TERM_NONE || terms->count < terms->size)
        return true;
    uint32_t size = terms->size ? terms->size * 2 : FIRST_SLOTS;
    struct search_term *grown = reallocarray(terms->terms, size, sizeof *grown);
    if (!grown)
        return false;
    terms->bytes += (size - terms->size) * sizeof *grown;
    terms->terms = grown;
    terms->size = size;
    return true;
}

static uint32_t add(struct search_terms *terms, uint64_t hash, const char *text, size_t length)
{
    char *copy = malloc(length + 1);
    if (!copy || !make_room(terms)) {
        free(copy);
        return SEARCH_TERM_NONE;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    uint32_t slot = slot_of(terms, hash, text, length), at = terms->first_free;
    if (at != SEARCH_TERM_NONE)
        terms->first_free = terms->terms[at].live;
    else
        at = terms->count++;
    terms->terms[at] = (struct search_term){.hash = hash, .text = copy, .length = (uint32_t)length};
    terms->slots[slot] = at + 1;
    terms->live++;
    terms->live_words += *copy != '\0';
    terms->bytes += length + 1;
    return at;
}

/* Room for one more posting. */
static bool reserve_posting(struct search_terms *terms, struct search_term *term)
{
    if (term->count == 0 || term->count < term->size)
        return true;
    uint32_t size = term->size ? term->size + term->size / 2 : FIRST_LIST;
    uint32_t *documents = malloc((size_t)size * POSTING_BYTES);
    if (!documents)
        return false;
    uint8_t *fields = (uint8_t *)(documents + size);
    if (term->size == 0) {
        documents[0] = term->single;
        fields[0] = term->single_fields;
    } else {
        memcpy(documents, term->documents, term->count * sizeof *documents);
        memcpy(fields, term->documents + term->size, term->count);
    }
    free(term->documents);
    terms->bytes += (size_t)(size - term->size) * POSTING_BYTES;
    term->documents = documents;
    term->size = size;
    return true;
}

uint32_t search_terms_reserve(struct search_terms *terms, uint64_t hash, const char *text, size_t length)
{
    uint32_t at = search_terms_find(terms, hash, text, length);
    if (at == SEARCH_TERM_NONE)
        return add(terms, hash, text, length);
    return reserve_posting(terms, &terms->terms[at]) ? at : SEARCH_TERM_NONE;
}

void search_terms_append(struct search_terms *terms, uint32_t at, uint32_t document, uint8_t fields)
{
    struct search_term *term = &terms->terms[at];
    if (term->size == 0) {
        term->single = document;
        term->single_fields = fields;
    } else {
        term->documents[term->count] = document;
        ((uint8_t *)(term->documents + term->size))[term->count] = fields;
    }
    term->count++;
    term->live++;
}

/* Takes a term out of the table: entries behind it that would no longer be found move up. */
static void unlink_slot(struct search_terms *terms, uint32_t hole)
{
    uint32_t mask = terms->slot_count - 1;
    for (uint32_t at = (hole + 1) & mask; terms->slots[at]; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)terms->terms[terms->slots[at] - 1].hash & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        terms->slots[hole] = terms->slots[at];
        hole = at;
    }
    terms->slots[hole] = 0;
}

void search_terms_discard_empty(struct search_terms *terms, uint32_t at)
{
    struct search_term *term = &terms->terms[at];
    if (!term->text || term->live > 0)
        return;
    unlink_slot(terms, slot_of(terms, term->hash, term->text, term->length));
    terms->live--;
    terms->live_words -= *term->text != '\0';
    terms->bytes -= term->length + 1 + (size_t)term->size * POSTING_BYTES;
    free(term->text);
    free(term->documents);
    *term = (struct search_term){.live = terms->first_free};
    terms->first_free = at;
}

struct search_postings search_terms_postings(const struct search_terms *terms, uint32_t at)
{
    const struct search_term *term = &terms->terms[at];
    if (term->size == 0)
        return (struct search_postings){&term->single, &term->single_fields, term->count};
    return (struct search_postings){term->documents, (const uint8_t *)(term->documents + term->size),
                                    term->count};
}

void search_terms_forget(struct search_terms *terms, uint32_t at, bool (*is_dead)(const void *, uint32_t),
                         const void *context)
{
    struct search_term *term = &terms->terms[at];
    if (--term->live == 0) {
        search_terms_discard_empty(terms, at);
        return;
    }
    if (term->count - term->live <= term->live + DEAD_SLACK)
        return;
    uint8_t *fields = (uint8_t *)(term->documents + term->size);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < term->count; i++) {
        if (is_dead(context, term->documents[i]))
            continue;
        term->documents[kept] = term->documents[i];
        fields[kept++] = fields[i];
    }
    term->count = kept;
}

void search_terms_renumber(struct search_terms *terms, const uint32_t *map)
{
    for (uint32_t at = 0; at < terms->count; at++) {
        struct search_term *term = &terms->terms[at];
        if (!term->text)
            continue;
        if (term->size == 0) {
            term->single = map[term->single];
            continue;
        }
        uint8_t *fields = (uint8_t *)(term->documents + term->size);
        uint32_t kept = 0;
        for (uint32_t i = 0; i < term->count; i++) {
            uint32_t number = map[term->documents[i]];
            if (number == UINT32_MAX)
                continue;
            term->documents[kept] = number;
            fields[kept++] = fields[i];
        }
        term->count = kept;
    }
}
