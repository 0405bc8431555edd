#include "search/search_scan.h"

#include "search/search_bits.h"

#include <string.h>

enum { LISTS_MAX = SEARCH_QUERY_WORDS_MAX + 3 };

/* The part of the lists in one chunk. */
struct window {
    const struct search_plan *plan;
    uint32_t base, first, end; /* documents: of the chunk, and which of them count */
    size_t count;
    struct search_container containers[LISTS_MAX]; /* arrays, then bitmaps, each fewest documents first */
    uint16_t scratch[SEARCH_ARRAY_MAX];            /* of an array that is an intersection */
};

static bool comes_before(const struct search_container *a, const struct search_container *b)
{
    bool a_bits = a->kind == SEARCH_BITS, b_bits = b->kind == SEARCH_BITS;
    return a_bits != b_bits ? b_bits : a->count < b->count;
}

/* False: some list has nothing there. */
static bool open_window(struct window *window, const struct search_plan *plan, uint32_t chunk, uint32_t first,
                        uint32_t end)
{
    window->plan = plan;
    window->base = chunk << SEARCH_CHUNK_BITS;
    window->first = first > window->base ? first : window->base;
    window->end = end - window->base < SEARCH_CHUNK_SIZE ? end : window->base + SEARCH_CHUNK_SIZE;
    window->count = plan->list_count;
    window->containers[0] = (struct search_container){.kind = SEARCH_NONE};
    for (size_t i = 0; i < plan->list_count; i++) {
        struct search_container container = search_postings_container(&plan->lists[i], chunk);
        if (container.kind == SEARCH_NONE)
            return false;
        size_t at = i;
        for (; at > 0 && comes_before(&container, &window->containers[at - 1]); at--)
            window->containers[at] = window->containers[at - 1];
        window->containers[at] = container;
    }
    return true;
}

static uint32_t value_at(const struct window *window, const struct search_container *container, uint32_t at)
{
    return container->kind == SEARCH_WIDE ? container->wide[at] : window->base + container->narrow[at];
}

/* The first index of an array that is not below the document. */
static uint32_t index_of(const struct window *window, const struct search_container *container,
                         uint32_t document)
{
    if (container->kind == SEARCH_WIDE)
        return search_lower_bound(container->wide, 0, container->count, document);
    return search_lower_bound_narrow(container->narrow, 0, container->count, document - window->base);
}

/* A document of the first container. */
static bool passes(const struct window *window, uint32_t document)
{
    if (!search_plan_wants(window->plan, document))
        return false;
    for (size_t i = 1; i < window->count; i++)
        if (!search_container_has(&window->containers[i], document))
            return false;
    return search_plan_has_fields(window->plan, document);
}

/* The documents of a word of bitmaps that all lists have, and that count. */
static uint64_t word_of(const struct window *window, uint32_t index)
{
    const struct search_plan *plan = window->plan;
    uint64_t word = window->containers[0].bits[index];
    for (size_t i = 1; i < window->count; i++)
        word &= window->containers[i].bits[index];
    if (!word)
        return 0;
    uint32_t start = window->base + index * 64;
    if (start < window->first)
        word &= ~UINT64_C(0) << (window->first - start);
    if (window->end - start < 64)
        word &= ~(~UINT64_C(0) << (window->end - start));
    const uint64_t *alive = search_alive_bits(plan->alive, window->base >> SEARCH_CHUNK_BITS);
    if (alive)
        word &= alive[index];
    if (plan->check_statuses) {
        uint64_t wanted = 0;
        for (unsigned status = 0; status <= SEARCH_STATUS_MAX; status++)
            if (plan->statuses & SEARCH_STATUS_BIT(status))
                wanted |= plan->section->status_bits[status][start / 64];
        word &= wanted;
    }
    return word;
}

/* --- walking ------------------------------------------------------------------------------------------ */

/* Where matches go. */
struct hits {
    uint32_t *documents;
    uint32_t count, limit;
    bool descending;
};

static void drop_container(struct window *window, size_t at)
{
    window->count--;
    memmove(window->containers + at, window->containers + at + 1,
            (window->count - at) * sizeof *window->containers);
}

/* Intersects the two shortest containers at once when they are long arrays, for one by one each document
 * would be looked for. What is left of them is short: bitmaps first, which cost least, then the other arrays.
 */
static void intersect_arrays(struct window *window)
{
    enum { ONE_BY_ONE = 32 };
    struct search_container *first = &window->containers[0];
    uint16_t *scratch = window->scratch;
    if (window->count < 2 || first->kind != SEARCH_NARROW || first[1].kind != SEARCH_NARROW ||
        first->count <= ONE_BY_ONE)
        return;
    first->count = search_bits_common(first->narrow, first->count, first[1].narrow, first[1].count, scratch);
    first->narrow = scratch;
    drop_container(window, 1);
    for (size_t i = window->count; i-- > 1 && window->containers[i].kind == SEARCH_BITS; window->count--)
        first->count = search_bits_keep(scratch, first->count, window->containers[i].bits, scratch);
    while (window->count > 1 && first[1].kind == SEARCH_NARROW && first->count > 0) {
        first->count = search_bits_common(scratch, first->count, first[1].narrow, first[1].count, scratch);
        drop_container(window, 1);
    }
}

static void walk_array(struct window *window, struct hits *hits)
{
    intersect_arrays(window);
    const struct search_container *array = &window->containers[0];
    uint32_t from = index_of(window, array, window->first), to = array->count;
    if (to > from && value_at(window, array, to - 1) >= window->end)
        to = index_of(window, array, window->end);
    while (from < to && hits->count < hits->limit) {
        uint32_t document = value_at(window, array, hits->descending ? --to : from++);
        if (passes(window, document))
            hits->documents[hits->count++] = document;
    }
}

static void take_word(const struct window *window, uint64_t word, uint32_t start, struct hits *hits)
{
    while (word && hits->count < hits->limit) {
        uint32_t bit =
            hits->descending ? 63 - (uint32_t)__builtin_clzll(word) : (uint32_t)__builtin_ctzll(word);
        word &= ~(UINT64_C(1) << bit);
        if (search_plan_has_fields(window->plan, start + bit))
            hits->documents[hits->count++] = start + bit;
    }
}

static void walk_bits(const struct window *window, struct hits *hits)
{
    const uint64_t *rows[LISTS_MAX];
    for (size_t i = 0; i < window->count; i++)
        rows[i] = window->containers[i].bits;
    size_t from = (window->first - window->base) / 64, to = (window->end - window->base + 63) / 64;
    while (from < to && hits->count < hits->limit) {
        size_t index = hits->descending ? search_bits_last(rows, window->count, from, to)
                                        : search_bits_first(rows, window->count, from, to);
        if (index + 1 <= from || index >= to) /* none is left */
            return;
        take_word(window, word_of(window, (uint32_t)index), window->base + (uint32_t)index * 64, hits);
        from = hits->descending ? from : index + 1;
        to = hits->descending ? index : to;
    }
}

uint32_t search_scan_walk(const struct search_plan *plan, uint32_t first, uint32_t end, bool descending,
                          uint32_t limit, uint32_t *ret_documents)
{
    struct hits hits = {.documents = ret_documents, .limit = limit, .descending = descending};
    first = first > plan->first ? first : plan->first;
    end = end < plan->end ? end : plan->end;
    if (first >= end)
        return 0;
    uint32_t low = first >> SEARCH_CHUNK_BITS, high = ((end - 1) >> SEARCH_CHUNK_BITS) + 1;
    while (low < high && hits.count < limit) {
        struct window window;
        if (!open_window(&window, plan, descending ? --high : low++, first, end))
            continue;
        if (window.containers[0].kind == SEARCH_BITS)
            walk_bits(&window, &hits);
        else
            walk_array(&window, &hits);
    }
    return hits.count;
}

/* --- counting ----------------------------------------------------------------------------------------- */

static uint64_t count_one_by_one(const struct window *window)
{
    uint64_t count = 0;
    if (window->containers[0].kind == SEARCH_BITS) {
        for (uint32_t i = 0; i < SEARCH_CHUNK_WORDS && window->base + i * 64 < window->end; i++) {
            uint32_t start = window->base + i * 64;
            for (uint64_t word = start + 64 <= window->first ? 0 : word_of(window, i); word; word &= word - 1)
                count += search_plan_has_fields(window->plan, start + (uint32_t)__builtin_ctzll(word));
        }
        return count;
    }
    const struct search_container *array = &window->containers[0];
    for (uint32_t i = index_of(window, array, window->first); i < array->count; i++) {
        uint32_t document = value_at(window, array, i);
        if (document >= window->end)
            break;
        count += passes(window, document);
    }
    return count;
}

/* The wanted statuses of the chunk as one row. */
static void join_statuses(const struct window *window, uint32_t words,
                          uint64_t row[static SEARCH_CHUNK_WORDS])
{
    const struct search_plan *plan = window->plan;
    memset(row, 0, words * sizeof *row);
    for (unsigned status = 0; status <= SEARCH_STATUS_MAX; status++) {
        if (!(plan->statuses & SEARCH_STATUS_BIT(status)))
            continue;
        const uint64_t *bits = plan->section->status_bits[status] + window->base / 64;
        for (uint32_t i = 0; i < words; i++)
            row[i] |= bits[i];
    }
}

/* Bitmaps only: whole words at once, those at the edges of the window one by one. */
static uint64_t count_bits(const struct window *window)
{
    const uint64_t *rows[LISTS_MAX + 2];
    uint64_t statuses[SEARCH_CHUNK_WORDS];
    size_t row_count = 0;
    for (size_t i = 0; i < window->count; i++)
        rows[row_count++] = window->containers[i].bits;
    uint32_t from = (window->first - window->base + 63) / 64, to = (window->end - window->base) / 64;
    const uint64_t *alive = search_alive_bits(window->plan->alive, window->base >> SEARCH_CHUNK_BITS);
    if (alive)
        rows[row_count++] = alive;
    if (window->plan->check_statuses) {
        join_statuses(window, to, statuses);
        rows[row_count++] = statuses;
    }
    uint64_t count = from < to ? search_bits_count(rows, row_count, from, to) : 0;
    uint32_t first_word = (window->first - window->base) / 64;
    if (first_word < from)
        count += (uint64_t)__builtin_popcountll(word_of(window, first_word));
    if (window->base + to * 64 < window->end && (to > first_word || first_word == from))
        count += (uint64_t)__builtin_popcountll(word_of(window, to));
    return count;
}

/* The first container is an array. */
static uint64_t count_array(struct window *window)
{
    uint16_t *scratch = window->scratch;
    const struct search_plan *plan = window->plan;
    struct search_container *array = &window->containers[0];
    intersect_arrays(window);
    uint32_t chunk_end = window->base + SEARCH_CHUNK_SIZE, documents = plan->section->documents;
    bool whole = window->first == window->base && (window->end == chunk_end || window->end == documents);
    if (array->kind != SEARCH_NARROW || !whole || plan->check_statuses)
        return count_one_by_one(window);
    const uint64_t *alive = search_alive_bits(plan->alive, window->base >> SEARCH_CHUNK_BITS);
    if (alive) {
        array->count = search_bits_keep(array->narrow, array->count, alive, scratch);
        array->narrow = scratch;
    }
    for (size_t i = 1; i < window->count; i++) {
        const struct search_container *other = &window->containers[i];
        if (other->kind != SEARCH_BITS)
            return count_one_by_one(window);
        array->count = search_bits_keep(array->narrow, array->count, other->bits, scratch);
        array->narrow = scratch;
    }
    return array->count;
}

/* Nothing but one list counts. */
static bool is_bare(const struct search_plan *plan)
{
    return plan->list_count == 1 && !plan->alive && !plan->check_statuses && plan->limited_count == 0 &&
           plan->first == 0 && plan->end == plan->section->documents;
}

uint64_t search_scan_count(const struct search_plan *plan)
{
    if (is_bare(plan))
        return plan->lists[0].count;
    uint64_t count = 0;
    uint32_t last = (plan->end - 1) >> SEARCH_CHUNK_BITS;
    for (uint32_t chunk = plan->first >> SEARCH_CHUNK_BITS; chunk <= last; chunk++) {
        struct window window;
        if (!open_window(&window, plan, chunk, plan->first, plan->end))
            continue;
        if (plan->limited_count > 0)
            count += count_one_by_one(&window);
        else if (window.containers[0].kind == SEARCH_BITS)
            count += count_bits(&window);
        else
            count += count_array(&window);
    }
    return count;
}
