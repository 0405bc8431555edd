#include "tests/support/plain_search.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>
#include <unitypes.h>

/* The rule as it stands: one of 23 characters, or White_Space (PropList.txt). */
static const ucs4_t separators[] = {
    '\'',   '`',    '+',    '-',    '!',    '(',    ')',    ':',    '^',    '[',    ']',    '"',
    '{',    '}',    '~',    '?',    '|',    '&',    '/',    '\\',   '.',    ',',    ';',    0x09,
    0x0a,   0x0b,   0x0c,   0x0d,   0x20,   0x85,   0xa0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003,
    0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000,
};

struct occurrence {
    char *word;
    unsigned field;
};

struct plain_case {
    int64_t number, update_time_us;
    int status;
    char *subject, *owner, *channel; /* the subject folded */
    char **labels;
    size_t label_count;
    struct occurrence *words;
    size_t word_count;
};

struct plain_reader {
    struct plain_case *cases;
    size_t count;
};

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

/* NFD, full case folding, NFD: one step after the other. */
static char *fold(const uint32_t *text, size_t length)
{
    if (length == 0)
        return must(strdup(""));
    size_t first_length = 0, folded_length = 0, last_length = 0, size = 0;
    uint32_t *first = must(u32_normalize(UNINORM_NFD, text, length, NULL, &first_length));
    uint32_t *folded = must(u32_casefold(first, first_length, NULL, NULL, NULL, &folded_length));
    uint32_t *last = must(u32_normalize(UNINORM_NFD, folded, folded_length, NULL, &last_length));
    uint8_t *packed = must(u32_to_u8(last, last_length, NULL, &size));
    char *word = must(strndup((char *)packed, size));
    free(first);
    free(folded);
    free(last);
    free(packed);
    return word;
}

static uint32_t *widen(const char *text, size_t *ret_length)
{
    *ret_length = u8_mbsnlen((const uint8_t *)text, strlen(text));
    uint32_t *wide = must(calloc(*ret_length + 1, sizeof *wide));
    must(u8_to_u32((const uint8_t *)text, strlen(text), wide, ret_length));
    return wide;
}

static char *fold_text(const char *text)
{
    size_t length;
    uint32_t *wide = widen(text, &length);
    char *folded = fold(wide, length);
    free(wide);
    return folded;
}

static bool separates(ucs4_t c)
{
    for (size_t i = 0; i < sizeof separators / sizeof *separators; i++)
        if (separators[i] == c)
            return true;
    return false;
}

static void split(const char *text, unsigned field, struct occurrence **words, size_t *count)
{
    size_t length;
    uint32_t *wide = widen(text, &length);
    for (size_t at = 0, start = 0; at <= length; at++) {
        if (at < length && !separates(wide[at]))
            continue;
        if (at > start) {
            *words = must(reallocarray(*words, *count + 1, sizeof **words));
            (*words)[(*count)++] = (struct occurrence){fold(wide + start, at - start), field};
        }
        start = at + 1;
    }
    free(wide);
}

static void release_case(struct plain_case *c)
{
    for (size_t i = 0; i < c->word_count; i++)
        free(c->words[i].word);
    for (size_t i = 0; i < c->label_count; i++)
        free(c->labels[i]);
    free(c->words);
    free(c->labels);
    free(c->subject);
    free(c->owner);
    free(c->channel);
}

struct plain_reader *plain_reader_new(void)
{
    return must(calloc(1, sizeof(struct plain_reader)));
}

void plain_reader_free(struct plain_reader *reader)
{
    for (size_t i = 0; i < reader->count; i++)
        release_case(&reader->cases[i]);
    free(reader->cases);
    free(reader);
}

void plain_reader_remove(struct plain_reader *reader, int64_t number)
{
    for (size_t i = 0; i < reader->count; i++) {
        if (reader->cases[i].number != number)
            continue;
        release_case(&reader->cases[i]);
        reader->cases[i] = reader->cases[--reader->count];
        return;
    }
}

void plain_reader_put(struct plain_reader *reader, const struct search_document *document)
{
    plain_reader_remove(reader, document->number);
    struct plain_case c = {.number = document->number,
                           .update_time_us = document->update_time_us,
                           .status = document->status,
                           .subject = fold_text(document->subject),
                           .owner = must(strdup(document->owner)),
                           .channel = must(strdup(document->channel)),
                           .labels = must(calloc(document->label_count + 1, sizeof(char *))),
                           .label_count = document->label_count};
    for (size_t i = 0; i < c.label_count; i++)
        c.labels[i] = must(strdup(document->labels[i]));
    for (size_t i = 0; i < document->text_count; i++)
        split(document->texts[i].text, (unsigned)document->texts[i].field, &c.words, &c.word_count);
    reader->cases = must(reallocarray(reader->cases, reader->count + 1, sizeof *reader->cases));
    reader->cases[reader->count++] = c;
}

static bool has_label(const struct plain_case *c, const char *label)
{
    bool found = false;
    for (size_t i = 0; i < c->label_count; i++)
        found = found || strcmp(c->labels[i], label) == 0;
    return found;
}

static bool is_wanted(const struct plain_case *c, const struct plain_query *query)
{
    if (query->statuses ? !(query->statuses >> c->status & 1) : c->status == SEARCH_STATUS_DELETED)
        return false;
    if (query->owner && strcmp(query->owner, c->owner) != 0)
        return false;
    if (query->channel && strcmp(query->channel, c->channel) != 0)
        return false;
    if (query->label && !has_label(c, query->label))
        return false;
    if (query->start_time_us && c->update_time_us < query->start_time_us)
        return false;
    return !query->end_time_us || c->update_time_us < query->end_time_us;
}

static unsigned fields_of(const struct plain_case *c, const char *word, unsigned wanted)
{
    unsigned found = 0;
    for (size_t i = 0; i < c->word_count; i++)
        if (strcmp(c->words[i].word, word) == 0)
            found |= 1u << (c->words[i].field - 1);
    return wanted ? found & wanted : found;
}

struct found {
    const struct plain_case *from;
    struct plain_result result;
};

/* Code point by code point, as the folded subjects are read. */
static int compare_texts(const char *a, const char *b)
{
    size_t a_length, b_length;
    uint32_t *wide_a = widen(a, &a_length), *wide_b = widen(b, &b_length);
    int order = 0;
    for (size_t i = 0; order == 0 && i < a_length && i < b_length; i++)
        order = (wide_a[i] > wide_b[i]) - (wide_a[i] < wide_b[i]);
    if (order == 0)
        order = (a_length > b_length) - (a_length < b_length);
    free(wide_a);
    free(wide_b);
    return order;
}

static int compare(const void *a, const void *b, void *context)
{
    const struct plain_case *left = ((const struct found *)a)->from, *right = ((const struct found *)b)->from;
    const struct plain_query *query = context;
    int order = 0;
    if (query->order == 's')
        order = compare_texts(left->subject, right->subject);
    else if (query->order == 't')
        order = left->status - right->status;
    else
        order =
            (left->update_time_us > right->update_time_us) - (left->update_time_us < right->update_time_us);
    if (order == 0)
        order = (left->number > right->number) - (left->number < right->number);
    return query->descending ? -order : order;
}

static void read_words(const char *text, struct plain_answer *answer)
{
    struct occurrence *words = NULL;
    size_t count = 0;
    split(text, 0, &words, &count);
    for (size_t i = 0; i < count; i++) {
        bool known = false;
        for (size_t k = 0; k < answer->word_count; k++)
            known = known || strcmp(answer->words[k], words[i].word) == 0;
        if (known)
            free(words[i].word);
        else
            answer->words[answer->word_count++] = words[i].word;
    }
    free(words);
}

static bool matches(const struct plain_case *c, const struct plain_query *query,
                    const struct plain_answer *answer, struct plain_result *result)
{
    *result = (struct plain_result){.number = c->number};
    for (size_t i = 0; i < answer->word_count; i++) {
        result->fields[i] = fields_of(c, answer->words[i], query->fields);
        if (!result->fields[i])
            return false;
    }
    return answer->word_count > 0;
}

void plain_reader_find(const struct plain_reader *reader, const struct plain_query *query,
                       struct plain_answer *ret_answer)
{
    *ret_answer = (struct plain_answer){0};
    read_words(query->text, ret_answer);
    struct found *found = must(calloc(reader->count + 1, sizeof *found));
    size_t count = 0;
    for (size_t i = 0; i < reader->count; i++) {
        found[count].from = &reader->cases[i];
        if (is_wanted(&reader->cases[i], query) &&
            matches(&reader->cases[i], query, ret_answer, &found[count].result))
            count++;
    }
    qsort_r(found, count, sizeof *found, compare, (void *)query);
    ret_answer->results = must(calloc(count + 1, sizeof *ret_answer->results));
    ret_answer->count = count;
    for (size_t i = 0; i < count; i++)
        ret_answer->results[i] = found[i].result;
    free(found);
}

void plain_answer_release(struct plain_answer *answer)
{
    for (size_t i = 0; i < answer->word_count; i++)
        free(answer->words[i]);
    free(answer->results);
    *answer = (struct plain_answer){0};
}
