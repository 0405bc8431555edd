#ifndef CASEWORK_REPORT_TOTALS_H
#define CASEWORK_REPORT_TOTALS_H

/*
 * What summaries of any range are made of: closed cases by hour, day and 32 days of UTC of their closing, and
 * by agent, channel, label, classification. A total is a number of cases with the sums and sketches of their
 * measures; totals of one key add up to one. Pure, but for the arena.
 */

#include "report/report_engagement_store.h"
#include "report/report_sketch.h"
#include "report/report_values.h"

/* Values equal the database's; the first ones equal report_grouping. */
enum report_dimension {
    REPORT_DIMENSION_ALL = 0,
    REPORT_DIMENSION_AGENT = 1,
    REPORT_DIMENSION_CHANNEL = 2,
    REPORT_DIMENSION_LABEL = 3,
    REPORT_DIMENSION_CLASS = 4,
    REPORT_DIMENSION_CLASS_GROUP = 5, /* cases with any classification of the group */
    REPORT_DIMENSIONS,
};

enum { REPORT_LEVELS = 3 };

/* The first levels' totals keep the values themselves as well, of so many engagements at the most. */
enum { REPORT_VALUE_LEVELS = 2, REPORT_VALUES_MAX = 4096 };

/* A slot's length in microseconds: an hour, a day, 32 days; each a multiple of the one before. */
extern const int64_t report_level_lengths[REPORT_LEVELS];

struct report_total {
    const char *account;
    int level;
    int64_t slot;
    enum report_dimension dimension;
    const char *key, *value; /* as report_group's */

    int64_t closed, engagements;
    int64_t sums[REPORT_MEASURED]; /* over the engagements */
    const uint8_t *packed;         /* their sketches; NULL: it is of one case */
    size_t packed_size;
    const uint8_t *values; /* with `packed`: the values; NULL: these are not known */
    size_t values_size;
};

/* A total whose sketches can be asked. */
struct report_folded {
    struct report_total total; /* without packed ones */
    struct report_sketch sketches[REPORT_MEASURED];
    struct report_values values[REPORT_MEASURED];
    bool whole; /* the values are those of all engagements */
};

struct report_totals {
    arena *memory;
    struct report_total *list;
    size_t count, size;
};

/* Texts are kept. False: the arena is full. */
bool report_totals_put(struct report_totals *totals, const struct report_total *total)
    __attribute__((warn_unused_result));

/* Puts (sign 1) or takes away (-1) a closed case in every slot and dimension that it belongs to. Nothing for
 * others. */
bool report_totals_put_case(struct report_totals *totals, const char *account,
                            const struct report_engagement *engagement, int sign)
    __attribute__((warn_unused_result));

/* The same in the given dimension of one slot only. */
bool report_totals_put_dimension(struct report_totals *totals, const struct report_total *slot,
                                 const struct report_engagement *engagement, int sign)
    __attribute__((warn_unused_result));

/*
 * Adds up what has the same account, level, slot, dimension, key and value, in their order; what comes to
 * nothing is left out. In the arena; false: it is full, or a sketch is none.
 */
bool report_totals_fold(struct report_totals *totals, struct report_folded **ret_folded, size_t *ret_count)
    __attribute__((warn_unused_result));

/* The sketches' bytes, in the arena; NULL: it is full. */
const uint8_t *report_folded_pack(const struct report_folded *folded, arena *memory, size_t *ret_size);

/* The values' bytes, in the arena; NULL where they are not kept. False: the arena is full. */
bool report_folded_pack_values(struct report_folded *folded, arena *memory, const uint8_t **ret_bytes,
                               size_t *ret_size) __attribute__((warn_unused_result));

#endif
