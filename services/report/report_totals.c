#include "report/report_totals.h"

#include "base/clock.h"
#include "report/report_engagement_rules.h"

#include <stdlib.h>
#include <string.h>

const int64_t report_level_lengths[REPORT_LEVELS] = {CLOCK_HOUR, CLOCK_DAY, 32 * CLOCK_DAY};

/* --- putting ------------------------------------------------------------------------------------------- */

bool report_totals_put(struct report_totals *totals, const struct report_total *total)
{
    if (totals->count == totals->size) {
        size_t size = totals->size == 0 ? 64 : 2 * totals->size;
        struct report_total *grown = arena_calloc(totals->memory, size, sizeof *grown);
        if (grown == NULL)
            return false;
        if (totals->count > 0)
            memcpy(grown, totals->list, totals->count * sizeof *grown);
        totals->list = grown;
        totals->size = size;
    }
    totals->list[totals->count++] = *total;
    return true;
}

static bool put_key(struct report_totals *totals, struct report_total total, const char *key,
                    const char *value)
{
    total.key = key;
    total.value = value;
    return report_totals_put(totals, &total);
}

static bool put_labels(struct report_totals *totals, const struct report_total *total,
                       const struct report_texts *labels)
{
    for (size_t i = 0; i < labels->count; i++) {
        if (!put_key(totals, *total, labels->items[i], ""))
            return false;
    }
    return labels->count > 0 || put_key(totals, *total, "", "");
}

static bool seen_before(const struct report_texts *groups, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(groups->items[i], groups->items[index]) == 0)
            return true;
    }
    return false;
}

static bool put_classes(struct report_totals *totals, const struct report_total *total,
                        const struct report_facts *facts)
{
    bool each_group = total->dimension == REPORT_DIMENSION_CLASS_GROUP;
    for (size_t i = 0; i < facts->class_groups.count; i++) {
        if (each_group && seen_before(&facts->class_groups, i))
            continue;
        if (!put_key(totals, *total, facts->class_groups.items[i],
                     each_group ? "" : facts->class_values.items[i]))
            return false;
    }
    return each_group || facts->class_groups.count > 0 || put_key(totals, *total, "", "");
}

/* The case's numbers, wherever they go. */
static void measure(struct report_total *total, const struct report_engagement *engagement, int sign)
{
    const int64_t values[REPORT_MEASURED] = {
        [REPORT_MEASURED_FIRST_REPLY] = engagement->first_reply,
        [REPORT_MEASURED_RESOLUTION] = engagement->resolution,
        [REPORT_MEASURED_INTERACTIONS] = engagement->interactions,
        [REPORT_MEASURED_AGENTS] = (int64_t)engagement->agents.count,
    };
    bool engaged = report_engagement_is_one(engagement);
    total->closed = sign;
    total->engagements = engaged ? sign : 0;
    for (int m = 0; m < REPORT_MEASURED; m++)
        total->sums[m] = engaged ? sign * values[m] : 0;
    total->packed = NULL;
}

bool report_totals_put_dimension(struct report_totals *totals, const struct report_total *slot,
                                 const struct report_engagement *engagement, int sign)
{
    struct report_total total = *slot;
    measure(&total, engagement, sign);
    switch (total.dimension) {
    case REPORT_DIMENSION_AGENT:
        return put_key(totals, total, engagement->last_agent, "");
    case REPORT_DIMENSION_CHANNEL:
        return put_key(totals, total, engagement->facts.channel, "");
    case REPORT_DIMENSION_LABEL:
        return put_labels(totals, &total, &engagement->facts.labels);
    case REPORT_DIMENSION_CLASS:
    case REPORT_DIMENSION_CLASS_GROUP:
        return put_classes(totals, &total, &engagement->facts);
    default:
        return put_key(totals, total, "", "");
    }
}

bool report_totals_put_case(struct report_totals *totals, const char *account,
                            const struct report_engagement *engagement, int sign)
{
    if (!report_engagement_counts(engagement) || engagement->closed == REPORT_NOT_CLOSED)
        return true;
    for (int level = 0; level < REPORT_LEVELS; level++) {
        int64_t length = report_level_lengths[level];
        int64_t slot = engagement->closed / length - (engagement->closed % length < 0);
        for (int d = 0; d < REPORT_DIMENSIONS; d++) {
            const struct report_total at = {
                .account = account, .level = level, .slot = slot, .dimension = (enum report_dimension)d};
            if (!report_totals_put_dimension(totals, &at, engagement, sign))
                return false;
        }
    }
    return true;
}

/* --- folding ------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const struct report_total *x = a, *y = b;
    int order = strcmp(x->account, y->account);
    if (order == 0)
        order = (x->level > y->level) - (x->level < y->level);
    if (order == 0)
        order = (x->slot > y->slot) - (x->slot < y->slot);
    if (order == 0)
        order = (x->dimension > y->dimension) - (x->dimension < y->dimension);
    if (order == 0)
        order = strcmp(x->key, y->key);
    return order != 0 ? order : strcmp(x->value, y->value);
}

static bool add_sketches(struct report_folded *to, const struct report_total *from, arena *memory)
{
    if (from->packed == NULL) {
        for (int m = 0; from->engagements != 0 && m < REPORT_MEASURED; m++) {
            if (!report_sketch_add(&to->sketches[m], llabs(from->sums[m]), from->engagements, memory))
                return false;
        }
        return true;
    }
    const uint8_t *at = from->packed, *end = from->packed + from->packed_size;
    for (int m = 0; at < end && m < REPORT_MEASURED; m++) {
        if (!report_sketch_unpack(&to->sketches[m], &at, end, memory))
            return false;
    }
    return true;
}

static bool unpack_values(struct report_folded *to, const struct report_total *from, arena *memory)
{
    const uint8_t *at = from->values, *end = from->values + from->values_size;
    for (int m = 0; m < REPORT_MEASURED; m++) {
        if (!report_values_unpack(&to->values[m], &at, end, memory))
            return false;
    }
    return true;
}

static bool add_values(struct report_folded *to, const struct report_total *from, arena *memory)
{
    bool of_one = from->packed == NULL;
    to->whole = to->whole && from->level < REPORT_VALUE_LEVELS && (of_one || from->values != NULL);
    if (to->whole && !of_one)
        return unpack_values(to, from, memory);
    for (int m = 0; to->whole && from->engagements != 0 && m < REPORT_MEASURED; m++) {
        if (!report_values_add(&to->values[m], llabs(from->sums[m]), from->engagements, memory))
            return false;
    }
    return true;
}

static bool add(struct report_folded *to, const struct report_total *from, arena *memory)
{
    to->total.closed += from->closed;
    to->total.engagements += from->engagements;
    for (int m = 0; m < REPORT_MEASURED; m++)
        to->total.sums[m] += from->sums[m];
    return add_sketches(to, from, memory) && add_values(to, from, memory);
}

static bool has_values(struct report_folded *folded)
{
    bool any = false;
    for (int m = 0; folded->whole && m < REPORT_MEASURED; m++) {
        report_values_settle(&folded->values[m]);
        any = any || folded->values[m].count > 0;
    }
    return any;
}

static bool is_nothing(struct report_folded *folded)
{
    bool any = folded->total.closed != 0 || folded->total.engagements != 0;
    for (int m = 0; !any && m < REPORT_MEASURED; m++) {
        any = folded->total.sums[m] != 0;
        for (size_t i = 0; !any && i < folded->sketches[m].size; i++)
            any = folded->sketches[m].counts[i] != 0;
    }
    return !any && !has_values(folded);
}

bool report_totals_fold(struct report_totals *totals, struct report_folded **ret_folded, size_t *ret_count)
{
    struct report_folded *folded = arena_calloc(totals->memory, totals->count + 1, sizeof *folded);
    size_t count = 0;
    if (folded == NULL)
        return false;
    if (totals->count > 1)
        qsort(totals->list, totals->count, sizeof *totals->list, compare);
    for (size_t i = 0; i < totals->count;) {
        const struct report_total *first = &totals->list[i];
        struct report_folded *to = &folded[count];
        *to = (struct report_folded){.total = {.account = first->account,
                                               .level = first->level,
                                               .slot = first->slot,
                                               .dimension = first->dimension,
                                               .key = first->key,
                                               .value = first->value},
                                     .whole = true};
        for (; i < totals->count && compare(first, &totals->list[i]) == 0; i++) {
            if (!add(to, &totals->list[i], totals->memory))
                return false;
        }
        count += is_nothing(to) ? 0 : 1;
    }
    *ret_folded = folded;
    *ret_count = count;
    return true;
}

const uint8_t *report_folded_pack(const struct report_folded *folded, arena *memory, size_t *ret_size)
{
    size_t most = 0, size = 0;
    for (int m = 0; m < REPORT_MEASURED; m++)
        most += report_sketch_packed_max(&folded->sketches[m]);
    uint8_t *bytes = arena_alloc(memory, most);
    for (int m = 0; bytes != NULL && m < REPORT_MEASURED; m++)
        size += report_sketch_pack(&folded->sketches[m], bytes + size);
    *ret_size = size;
    return bytes;
}

bool report_folded_pack_values(struct report_folded *folded, arena *memory, const uint8_t **ret_bytes,
                               size_t *ret_size)
{
    size_t most = 0, size = 0;
    *ret_bytes = NULL;
    *ret_size = 0;
    if (!folded->whole || folded->total.engagements > REPORT_VALUES_MAX)
        return true;
    for (int m = 0; m < REPORT_MEASURED; m++) {
        report_values_settle(&folded->values[m]);
        most += report_values_packed_max(&folded->values[m]);
    }
    uint8_t *bytes = arena_alloc(memory, most);
    if (bytes == NULL)
        return false;
    for (int m = 0; m < REPORT_MEASURED; m++)
        size += report_values_pack(&folded->values[m], bytes + size);
    *ret_bytes = bytes;
    *ret_size = size;
    return true;
}
