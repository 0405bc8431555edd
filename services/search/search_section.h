#ifndef CASEWORK_SEARCH_SECTION_H
#define CASEWORK_SEARCH_SECTION_H

/*
 * A section: some documents of one account and everything by which they are found, in one block of bytes that
 * holds no pointers and is the same in memory and in a file. Immutable. Documents are numbered in order of
 * (update time, case number), so that newest first is a walk from the end and a time range a range of
 * numbers. docs/search.md draws it.
 *
 * Integers are little-endian; parts begin at multiples of eight.
 */

#include "base/error.h"
#include "search/search_document.h"
#include "search/search_spelling.h"

enum {
    SEARCH_SECTION_VERSION = 2,
    SEARCH_SECTION_DOCUMENTS_MAX = 1 << 22,
    SEARCH_CHUNK_BITS = 16,
    SEARCH_CHUNK_SIZE = 1 << SEARCH_CHUNK_BITS, /* documents of a chunk of a posting list */
    SEARCH_CHUNK_WORDS = SEARCH_CHUNK_SIZE / 64,
    SEARCH_DIRECTORY_GROUP = 64,               /* buckets */
    SEARCH_ARRAY_MAX = SEARCH_CHUNK_SIZE / 32, /* documents of a chunk that are ever kept as an array */
};

enum search_part {
    SEARCH_PART_NUMBERS,       /* i64 a document: the case */
    SEARCH_PART_POSITIONS,     /* i64: as of which it was read */
    SEARCH_PART_TIMES,         /* i64: update time, microseconds */
    SEARCH_PART_FINGERPRINTS,  /* u64: sum of search_word_print over its words and keys */
    SEARCH_PART_POSTINGS,      /* u32: words and the fields they stand in, counted together */
    SEARCH_PART_SUBJECTS,      /* u32: text */
    SEARCH_PART_OWNERS,        /* u32: text */
    SEARCH_PART_BY_NUMBER,     /* u32: documents in order of case number */
    SEARCH_PART_BY_SUBJECT,    /* u32: documents in order of (folded subject, case number) */
    SEARCH_PART_SUBJECT_RANKS, /* u32 a document: where it stands in BY_SUBJECT */
    SEARCH_PART_STATES,        /* u8: status, and SEARCH_STATE_NEED_REPLY */
    SEARCH_PART_LISTS,         /* posting lists: search_postings.h */
    SEARCH_PART_STATUS_BITS,   /* for each status that occurs, lowest first, a bit a document */
    SEARCH_PART_TERMS,         /* words and keys, one behind the other: search_dictionary.h */
    SEARCH_PART_DIRECTORY,     /* by the hash's highest bits where in TERMS: search_section_bucket */
    SEARCH_PART_SPELLING,      /* how TERMS are spelled; nothing: as they are */
    SEARCH_PART_TEXTS,         /* subjects and owners, each with a NUL behind */
    SEARCH_PARTS
};

enum { SEARCH_STATE_NEED_REPLY = 0x80 };

struct search_section_header {
    char magic[8];
    uint32_t version, text_version;
    uint64_t checksum; /* XXH3 of all that follows */
    uint64_t size;     /* of the whole block */
    uint32_t documents, terms;
    uint32_t words; /* terms without the keys that filters compare */
    uint32_t directory_bits;
    uint32_t statuses;       /* SEARCH_STATUS_BIT of those that occur */
    uint32_t wide_directory; /* 0 or 1 */
    struct {
        uint64_t offset, size;
    } parts[SEARCH_PARTS];
};

/* A section to read: where everything is. The bytes are somebody else's. */
struct search_section {
    const unsigned char *data;
    size_t size;
    uint32_t documents, term_count, word_count;
    unsigned directory_bits, statuses;
    const int64_t *numbers, *positions, *times;
    const uint64_t *fingerprints;
    const uint32_t *posting_counts, *subjects, *owners, *by_number, *by_subject, *subject_ranks;
    const uint8_t *states;
    const uint64_t *status_bits[SEARCH_STATUS_MAX + 1]; /* NULL: does not occur */
    const unsigned char *lists;
    size_t lists_size;
    const unsigned char *terms;
    size_t terms_size;
    const struct search_spelling *spelling; /* NULL: as they are */
    const uint32_t *directory;              /* of a wide one the buckets, else of every 64th */
    const uint16_t *steps;                  /* from there to each; NULL: it is wide */
    const char *texts;
    size_t texts_size;
};

/* Where in TERMS the bucket begins; of the number of buckets, where they end. */
static inline uint32_t search_section_bucket(const struct search_section *section, uint32_t bucket)
{
    return section->steps ? section->directory[bucket / SEARCH_DIRECTORY_GROUP] + section->steps[bucket]
                          : section->directory[bucket];
}

/* u32 of the directory for so many buckets; u16 steps follow unless it is wide. */
static inline uint32_t search_directory_bases(uint32_t buckets, bool wide)
{
    return wide ? buckets + 1 : buckets / SEARCH_DIRECTORY_GROUP + 1;
}

/*
 * Looks at every byte that a query could come by: what opens, however it came about, can be searched without
 * a read beyond it. DATA_LOSS when the block is damaged, FAILED_PRECONDITION when another version wrote it.
 */
bool search_section_open(const void *data, size_t size, struct search_section *ret_section, error *err)
    __attribute__((warn_unused_result));

/* The same for bytes of which the caller knows that they have the checksum: what was written here once is not
 * looked at again beyond the header. */
bool search_section_open_known(const void *data, size_t size, struct search_section *ret_section, error *err)
    __attribute__((warn_unused_result));

/* The same for a block that was made here a moment ago: nothing is checked. */
void search_section_place(const void *data, struct search_section *ret_section);

/* What the header's checksum is of. */
uint64_t search_section_checksum(const void *data, size_t size);

static inline int search_section_status(const struct search_section *section, uint32_t document)
{
    return section->states[document] & ~SEARCH_STATE_NEED_REPLY;
}

static inline const char *search_section_subject(const struct search_section *section, uint32_t document)
{
    return section->texts + section->subjects[document];
}

static inline const char *search_section_owner(const struct search_section *section, uint32_t document)
{
    return section->texts + section->owners[document];
}

/* The first document that was not updated before the time; `documents` when all were. */
uint32_t search_section_from_time(const struct search_section *section, int64_t time_us);

/* The first document that does not stand before (time, number). */
uint32_t search_section_from_place(const struct search_section *section, int64_t time_us, int64_t number);

/* The first index in BY_NUMBER whose case is not below `number`. */
uint32_t search_section_from_number(const struct search_section *section, int64_t number);

#endif
