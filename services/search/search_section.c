#include "search/search_section.h"

#include "search/search_dictionary.h"
#include "search/search_postings.h"
#include "text/fold.h"

#include <string.h>
#include <xxhash.h>

static const char magic[8] = "cwsearch";

enum { DIRECTORY_BITS_MAX = 28 };

static const void *part(const struct search_section *section, enum search_part which)
{
    const struct search_section_header *header = (const struct search_section_header *)section->data;
    return section->data + header->parts[which].offset;
}

void search_section_place(const void *data, struct search_section *ret_section)
{
    const struct search_section_header *header = data;
    struct search_section section = {.data = data,
                                     .size = header->size,
                                     .documents = header->documents,
                                     .term_count = header->terms,
                                     .word_count = header->words,
                                     .directory_bits = header->directory_bits,
                                     .statuses = header->statuses,
                                     .terms_size = header->parts[SEARCH_PART_TERMS].size,
                                     .lists_size = header->parts[SEARCH_PART_LISTS].size,
                                     .texts_size = header->parts[SEARCH_PART_TEXTS].size};
    section.numbers = part(&section, SEARCH_PART_NUMBERS);
    section.positions = part(&section, SEARCH_PART_POSITIONS);
    section.times = part(&section, SEARCH_PART_TIMES);
    section.fingerprints = part(&section, SEARCH_PART_FINGERPRINTS);
    section.posting_counts = part(&section, SEARCH_PART_POSTINGS);
    section.subjects = part(&section, SEARCH_PART_SUBJECTS);
    section.owners = part(&section, SEARCH_PART_OWNERS);
    section.by_number = part(&section, SEARCH_PART_BY_NUMBER);
    section.by_subject = part(&section, SEARCH_PART_BY_SUBJECT);
    section.subject_ranks = part(&section, SEARCH_PART_SUBJECT_RANKS);
    section.states = part(&section, SEARCH_PART_STATES);
    section.lists = part(&section, SEARCH_PART_LISTS);
    section.terms = part(&section, SEARCH_PART_TERMS);
    section.directory = part(&section, SEARCH_PART_DIRECTORY);
    if (!header->wide_directory)
        section.steps =
            (const uint16_t *)(section.directory +
                               search_directory_bases(UINT32_C(1) << header->directory_bits, false));
    section.spelling = header->parts[SEARCH_PART_SPELLING].size ? part(&section, SEARCH_PART_SPELLING) : NULL;
    section.texts = part(&section, SEARCH_PART_TEXTS);
    const uint64_t *bits = part(&section, SEARCH_PART_STATUS_BITS);
    for (unsigned status = 0; status <= SEARCH_STATUS_MAX; status++) {
        if (!(section.statuses & SEARCH_STATUS_BIT(status)))
            continue;
        section.status_bits[status] = bits;
        bits += (section.documents + 63) / 64;
    }
    *ret_section = section;
}

uint64_t search_section_checksum(const void *data, size_t size)
{
    size_t from = offsetof(struct search_section_header, size);
    return XXH3_64bits((const unsigned char *)data + from, size - from);
}

/* --- trust -------------------------------------------------------------------------------------------- */

static uint64_t directory_size(const struct search_section_header *header)
{
    uint32_t buckets = UINT32_C(1) << header->directory_bits;
    return search_directory_bases(buckets, header->wide_directory) * UINT64_C(4) +
           (header->wide_directory ? 0 : (buckets + UINT64_C(1)) * 2);
}

static bool check_parts(const struct search_section_header *header)
{
    uint64_t documents = header->documents;
    uint64_t status_words = (documents + 63) / 64 * (uint64_t)__builtin_popcount(header->statuses);
    const uint64_t sizes[SEARCH_PARTS] = {
        [SEARCH_PART_NUMBERS] = documents * 8,
        [SEARCH_PART_POSITIONS] = documents * 8,
        [SEARCH_PART_TIMES] = documents * 8,
        [SEARCH_PART_FINGERPRINTS] = documents * 8,
        [SEARCH_PART_POSTINGS] = documents * 4,
        [SEARCH_PART_SUBJECTS] = documents * 4,
        [SEARCH_PART_OWNERS] = documents * 4,
        [SEARCH_PART_BY_NUMBER] = documents * 4,
        [SEARCH_PART_BY_SUBJECT] = documents * 4,
        [SEARCH_PART_SUBJECT_RANKS] = documents * 4,
        [SEARCH_PART_STATES] = documents,
        [SEARCH_PART_LISTS] = header->parts[SEARCH_PART_LISTS].size,
        [SEARCH_PART_STATUS_BITS] = status_words * 8,
        [SEARCH_PART_TERMS] = header->parts[SEARCH_PART_TERMS].size,
        [SEARCH_PART_DIRECTORY] = directory_size(header),
        [SEARCH_PART_SPELLING] =
            header->parts[SEARCH_PART_SPELLING].size ? sizeof(struct search_spelling) : 0,
        [SEARCH_PART_TEXTS] = header->parts[SEARCH_PART_TEXTS].size,
    };
    for (int i = 0; i < SEARCH_PARTS; i++) {
        uint64_t offset = header->parts[i].offset, size = header->parts[i].size;
        if (size != sizes[i] || offset % 8 || offset < sizeof *header || offset > header->size ||
            size > header->size - offset)
            return false;
    }
    return true;
}

static bool is_permutation_inverse(const uint32_t *places, const uint32_t *ranks, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (places[i] >= count || ranks[places[i]] != i)
            return false;
    return true;
}

static bool check_documents(const struct search_section *section)
{
    if (section->texts_size == 0 || section->texts[section->texts_size - 1] != '\0')
        return false;
    for (uint32_t i = 0; i < section->documents; i++) {
        int status = search_section_status(section, i);
        if (status > SEARCH_STATUS_MAX || !section->status_bits[status] ||
            section->subjects[i] >= section->texts_size || section->owners[i] >= section->texts_size ||
            section->by_number[i] >= section->documents)
            return false;
        if (i > 0 && (section->times[i] < section->times[i - 1] ||
                      section->numbers[section->by_number[i]] <= section->numbers[section->by_number[i - 1]]))
            return false;
    }
    return is_permutation_inverse(section->by_subject, section->subject_ranks, section->documents);
}

/* Each document has the bit of its own status and of no other one. */
static bool check_status_bits(const struct search_section *section)
{
    uint64_t set = 0;
    for (unsigned status = 0; status <= SEARCH_STATUS_MAX; status++)
        for (uint32_t i = 0; section->status_bits[status] && i < (section->documents + 63) / 64; i++)
            set += (uint64_t)__builtin_popcountll(section->status_bits[status][i]);
    for (uint32_t i = 0; i < section->documents; i++)
        if (!(section->status_bits[search_section_status(section, i)][i / 64] >> i % 64 & 1))
            return false;
    return set == section->documents;
}

static bool damaged(error *err, const char *what)
{
    return error_set(err, STATUS_DATA_LOSS, "", "a section of the index is damaged: %s", what);
}

static bool check_header(const void *data, size_t size, error *err)
{
    const struct search_section_header *header = data;
    if (size < sizeof *header || (uintptr_t)data % 8 || memcmp(header->magic, magic, sizeof magic) != 0)
        return damaged(err, "no section");
    if (header->version != SEARCH_SECTION_VERSION || header->text_version != TEXT_VERSION)
        return error_set(err, STATUS_FAILED_PRECONDITION, "", "a section of the index has another version");
    if (header->size != size || header->documents == 0 || header->documents > SEARCH_SECTION_DOCUMENTS_MAX ||
        header->directory_bits > DIRECTORY_BITS_MAX || header->wide_directory > 1 ||
        header->words > header->terms || header->statuses >> (SEARCH_STATUS_MAX + 1) || !check_parts(header))
        return damaged(err, "parts");
    return true;
}

bool search_section_open_known(const void *data, size_t size, struct search_section *ret_section, error *err)
{
    if (!check_header(data, size, err))
        return false;
    search_section_place(data, ret_section);
    return true;
}

bool search_section_open(const void *data, size_t size, struct search_section *ret_section, error *err)
{
    const struct search_section_header *header = data;
    struct search_section section;
    if (!search_section_open_known(data, size, &section, err))
        return false;
    if (header->checksum != search_section_checksum(data, size))
        return damaged(err, "checksum");
    if (!check_documents(&section) || !check_status_bits(&section))
        return damaged(err, "documents");
    if (!search_dictionary_check(&section))
        return damaged(err, "dictionary");
    *ret_section = section;
    return true;
}

/* --- orders ------------------------------------------------------------------------------------------- */

uint32_t search_section_from_time(const struct search_section *section, int64_t time_us)
{
    return search_section_from_place(section, time_us, INT64_MIN);
}

uint32_t search_section_from_place(const struct search_section *section, int64_t time_us, int64_t number)
{
    uint32_t from = 0, to = section->documents;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        int64_t time = section->times[middle];
        if (time < time_us || (time == time_us && section->numbers[middle] < number))
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

uint32_t search_section_from_number(const struct search_section *section, int64_t number)
{
    uint32_t from = 0, to = section->documents;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (section->numbers[section->by_number[middle]] < number)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}
