#include "search/search_select.h"

#include "search/search_scan.h"
#include "text/fold.h"

#include <stdlib.h>
#include <string.h>

/* --- by time ------------------------------------------------------------------------------------------ */

uint32_t search_select_latest(const struct search_plan *plan, bool descending,
                              const struct search_cursor *after, uint32_t limit, uint32_t *documents)
{
    uint32_t first = 0, end = plan->section->documents;
    if (after) {
        uint32_t at = search_section_from_place(plan->section, after->update_time_us, after->number);
        bool same = at < end && plan->section->times[at] == after->update_time_us &&
                    plan->section->numbers[at] == after->number;
        if (descending)
            end = at;
        else
            first = at + same;
    }
    return search_scan_walk(plan, first, end, descending, limit, documents);
}

/* --- by what documents are not numbered by ------------------------------------------------------------ */

/* Documents sorted by a key, of which those in [first, end) are behind the cursor. */
struct order {
    const struct search_plan *plan;
    const uint32_t *documents; /* by key */
    bool by_subject, descending;
    uint32_t first, end; /* in `documents` */
};

/* < 0: the document stands before the cursor. False: memory. */
static bool compare_subject(const struct search_section *section, uint32_t document,
                            const struct search_cursor *cursor, bytes *folded, int *ret_order)
{
    const char *subject = search_section_subject(section, document);
    bytes_clear(folded);
    if (!text_fold_append(folded, subject, strlen(subject)))
        return false;
    int order = strcmp(bytes_text(folded), cursor->subject_key);
    int64_t number = section->numbers[document];
    *ret_order = order ? order : (number > cursor->number) - (number < cursor->number);
    return true;
}

/* The first index whose document stands behind the cursor, or at it when `at` says so. */
static bool find_subject(const struct order *order, const struct search_cursor *cursor, bool at,
                         uint32_t *ret_index)
{
    bytes folded;
    bytes_init(&folded, UINT32_MAX);
    uint32_t from = 0, to = order->plan->section->documents;
    bool done = true;
    while (from < to && done) {
        uint32_t middle = from + (to - from) / 2;
        int compared = 0;
        done = compare_subject(order->plan->section, order->documents[middle], cursor, &folded, &compared);
        if (compared < 0 || (compared == 0 && !at))
            from = middle + 1;
        else
            to = middle;
    }
    bytes_release(&folded);
    *ret_index = from;
    return done;
}

static bool limit_by_cursor(struct order *order, const struct search_cursor *after)
{
    const struct search_section *section = order->plan->section;
    order->first = 0;
    order->end = section->documents;
    if (!after)
        return true;
    uint32_t index = 0;
    if (order->by_subject) {
        if (!find_subject(order, after, order->descending, &index))
            return false;
    } else {
        index = search_section_from_number(section, after->number);
        bool same = index < order->end && section->numbers[order->documents[index]] == after->number;
        index += same && !order->descending;
    }
    if (order->descending)
        order->end = index;
    else
        order->first = index;
    return true;
}

/* Matches are dense: they come up soon enough when documents are looked at in order. */
static uint32_t walk(const struct order *order, uint32_t limit, uint32_t *documents)
{
    uint32_t from = order->first, to = order->end, count = 0;
    while (from < to && count < limit) {
        uint32_t document = order->documents[order->descending ? --to : from++];
        if (search_plan_matches(order->plan, document))
            documents[count++] = document;
    }
    return count;
}

struct candidate {
    int64_t key; /* the lowest comes first */
    uint32_t document;
};

static void sift_up(struct candidate *heap, uint32_t at)
{
    for (; at > 0 && heap[at].key > heap[(at - 1) / 2].key; at = (at - 1) / 2) {
        struct candidate kept = heap[at];
        heap[at] = heap[(at - 1) / 2];
        heap[(at - 1) / 2] = kept;
    }
}

static void sift_down(struct candidate *heap, uint32_t count)
{
    for (uint32_t at = 0;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < count && heap[child + 1].key > heap[child].key)
            child++;
        if (child >= count || heap[child].key <= heap[at].key)
            return;
        struct candidate kept = heap[at];
        heap[at] = heap[child];
        heap[child] = kept;
        at = child;
    }
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;
    return (left->key > right->key) - (left->key < right->key);
}

/* Turned by its bits: the lowest number has no negative. */
static int64_t key_of(const struct order *order, uint32_t document)
{
    const struct search_section *section = order->plan->section;
    int64_t key = order->by_subject ? section->subject_ranks[document] : section->numbers[document];
    return order->descending ? ~key : key;
}

/* The lowest and the highest key behind the cursor. */
static void key_range(const struct order *order, int64_t *ret_lowest, int64_t *ret_highest)
{
    int64_t first = key_of(order, order->documents[order->first]);
    int64_t last = key_of(order, order->documents[order->end - 1]);
    *ret_lowest = first < last ? first : last;
    *ret_highest = first < last ? last : first;
}

/* Matches are rare: all are looked at, the best are kept in a heap. */
static bool keep_best(const struct order *order, uint32_t limit, uint64_t total, arena *memory,
                      uint32_t *documents, uint32_t *ret_count)
{
    enum { BATCH = 256 };
    uint32_t batch[BATCH], found, next = 0, count = 0;
    int64_t lowest, highest;
    limit = limit < total ? limit : (uint32_t)total;
    struct candidate *heap = arena_alloc(memory, limit * sizeof *heap);
    if (!heap)
        return false;
    key_range(order, &lowest, &highest);
    while ((found = search_scan_walk(order->plan, next, UINT32_MAX, false, BATCH, batch)) > 0) {
        for (uint32_t i = 0; i < found; i++) {
            struct candidate candidate = {key_of(order, batch[i]), batch[i]};
            if (candidate.key < lowest || candidate.key > highest)
                continue;
            if (count < limit) {
                heap[count] = candidate;
                sift_up(heap, count++);
            } else if (candidate.key < heap[0].key) {
                heap[0] = candidate;
                sift_down(heap, count);
            }
        }
        next = batch[found - 1] + 1;
    }
    qsort(heap, count, sizeof *heap, compare_candidates);
    for (uint32_t i = 0; i < count; i++)
        documents[i] = heap[i].document;
    *ret_count = count;
    return true;
}

bool search_select(const struct search_plan *plan, enum search_select_order by, bool descending,
                   const struct search_cursor *after, uint32_t limit, uint64_t total, arena *memory,
                   uint32_t *documents, uint32_t *ret_count)
{
    enum { LOOK_COST = 4 }; /* of a document out of order, in matches that are gone through */
    const struct search_section *section = plan->section;
    struct order order = {.plan = plan,
                          .by_subject = by == SEARCH_SELECT_SUBJECT,
                          .documents = by == SEARCH_SELECT_SUBJECT ? section->by_subject : section->by_number,
                          .descending = descending};
    *ret_count = 0;
    if (total == 0)
        return true;
    if (!limit_by_cursor(&order, after))
        return false;
    if (order.first >= order.end)
        return true;
    if (total * total < (uint64_t)LOOK_COST * limit * section->documents)
        return keep_best(&order, limit, total, memory, documents, ret_count);
    *ret_count = walk(&order, limit, documents);
    return true;
}
