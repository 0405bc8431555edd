#include "tests/support/section_words.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where things are in a header, in bytes. */
enum {
    AT_VERSION = 8,
    AT_SIZE = 24,
    AT_TERM_COUNT = 36,
    AT_PARTS = 56,
    PARTS = 17,
    HEADER_SIZE = AT_PARTS + PARTS * 16
};
enum { PART_TERMS = 13, PART_SPELLING = 15, VERSION = 2, SPELLING_SIZE = 512 };

/* Kinds of entries, and the length that is told by a number. */
enum { SINGLE, SINGLE_ELSEWHERE, FEW, FEW_ELSEWHERE, MIXED, LIST = 6, LONG = 31 };

/* What is left to read. */
struct span {
    const unsigned char *at, *end;
};

static uint32_t number_at(const unsigned char *at)
{
    uint32_t number;
    memcpy(&number, at, sizeof number);
    return number;
}

static uint64_t large_at(const unsigned char *at)
{
    uint64_t number;
    memcpy(&number, at, sizeof number);
    return number;
}

static bool skip(struct span *span, size_t count)
{
    if ((size_t)(span->end - span->at) < count)
        return false;
    span->at += count;
    return true;
}

static bool read_number(struct span *span, uint32_t *ret_number)
{
    uint32_t number = 0;
    for (unsigned shift = 0; shift < 35 && span->at < span->end; shift += 7) {
        unsigned char byte = *span->at++;
        number |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_number = number;
            return true;
        }
    }
    return false;
}

/* The documents of few; how many they are. */
static bool skip_few(struct span *span, size_t *ret_count)
{
    size_t count = 0;
    if (span->at == span->end)
        return false;
    size_t size = *span->at++;
    const unsigned char *packed = span->at;
    if (!skip(span, size))
        return false;
    for (size_t i = 0; i < size; i++)
        count += packed[i] < 0x80;
    *ret_count = count;
    return true;
}

/* What follows the text of an entry. */
static bool skip_documents(struct span *span, int kind)
{
    uint32_t place, number;
    size_t count;
    switch (kind) {
    case SINGLE_ELSEWHERE:
        return skip(span, 1) && read_number(span, &number);
    case SINGLE:
        return read_number(span, &number);
    case FEW_ELSEWHERE:
        return skip(span, 1) && skip_few(span, &count);
    case FEW:
        return skip_few(span, &count);
    case MIXED:
        return skip_few(span, &count) && skip(span, count);
    case LIST:
        return read_number(span, &place) && read_number(span, &number);
    default:
        return false;
    }
}

/* The text as it was before it was spelled by pairs of bytes; `pairs` NULL: as it is. */
static void tell(const unsigned char *text, size_t length, const unsigned char *pairs, section_word *take,
                 void *context)
{
    char *word = malloc(2 * length + 1);
    size_t at = 0;
    for (size_t i = 0; i < length; i++) {
        const unsigned char *pair = pairs ? pairs + 2 * (size_t)text[i] : NULL;
        word[at++] = (char)(pair ? pair[0] : text[i]);
        if (pair && pair[1])
            word[at++] = (char)pair[1];
    }
    take(context, word, at);
    free(word);
}

static bool read_terms(struct span terms, uint32_t count, const unsigned char *pairs, section_word *take,
                       void *context)
{
    for (; count > 0 && terms.at < terms.end; count--) {
        unsigned char head = *terms.at++;
        uint32_t length = head >> 3;
        if (length == LONG && !read_number(&terms, &length))
            return false;
        const unsigned char *text = terms.at;
        if (!skip(&terms, length) || !skip_documents(&terms, head & 7))
            return false;
        tell(text, length, pairs, take, context);
    }
    return count == 0 && terms.at == terms.end;
}

static bool part_of(const unsigned char *section, size_t size, int part, struct span *ret_span)
{
    uint64_t offset = large_at(section + AT_PARTS + 16 * part),
             length = large_at(section + AT_PARTS + 16 * part + 8);
    if (offset > size || length > size - offset)
        return false;
    *ret_span = (struct span){section + offset, section + offset + length};
    return true;
}

static bool read_section(const unsigned char *section, size_t size, section_word *take, void *context,
                         struct section_files *files)
{
    struct span terms, spelling;
    if (number_at(section + AT_VERSION) != VERSION || !part_of(section, size, PART_TERMS, &terms) ||
        !part_of(section, size, PART_SPELLING, &spelling))
        return false;
    size_t spelled = (size_t)(spelling.end - spelling.at);
    files->sections++;
    files->spelled += spelled > 0;
    return (spelled == 0 || spelled == SPELLING_SIZE) &&
           read_terms(terms, number_at(section + AT_TERM_COUNT), spelled ? spelling.at : NULL, take, context);
}

/* Sections begin at multiples of eight; between them everything is zero. */
static bool read_sections(const unsigned char *data, size_t size, section_word *take, void *context,
                          struct section_files *files)
{
    for (size_t at = 0; at < size;) {
        bool begins = at % 8 == 0 && size - at >= HEADER_SIZE && memcmp(data + at, "cwsearch", 8) == 0;
        uint64_t length = begins ? large_at(data + at + AT_SIZE) : 0;
        if (!begins) {
            files->stray += data[at++] != 0;
            continue;
        }
        if (length < HEADER_SIZE || length > size - at ||
            !read_section(data + at, length, take, context, files))
            return false;
        at += length;
    }
    return true;
}

static bool read_whole(const char *path, unsigned char **ret_data, size_t *ret_size)
{
    FILE *file = fopen(path, "r");
    long size = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    unsigned char *data = size >= 0 ? malloc((size_t)size + 1) : NULL;
    if (data) {
        rewind(file);
        *ret_size = fread(data, 1, (size_t)size, file);
        *ret_data = data;
    }
    if (file)
        fclose(file);
    return data != NULL;
}

bool section_words_read(const char *directory, section_word *take, void *context,
                        struct section_files *ret_files)
{
    DIR *folder = opendir(directory);
    bool done = folder != NULL;
    *ret_files = (struct section_files){0};
    for (struct dirent *item; done && (item = readdir(folder)) != NULL;) {
        char path[1024];
        unsigned char *data;
        size_t size;
        if (strncmp(item->d_name, "sections-", strlen("sections-")) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, item->d_name);
        if (!read_whole(path, &data, &size))
            continue; /* it has just gone */
        done = read_sections(data, size, take, context, ret_files);
        free(data);
    }
    if (folder)
        closedir(folder);
    return done;
}
