#include "search/search_query.h"

#include "search/search_plan.h"
#include "search/search_scan.h"
#include "search/search_select.h"
#include "search/search_view.h"
#include "text/fold.h"

#include <stdlib.h>
#include <string.h>

/* A match, of one section. */
struct search_hit {
    const struct search_plan *plan;
    uint32_t document;
    const char *subject_key; /* in the order of subjects, when there are several sections */
};

/* A query while it runs. */
struct search {
    const struct search_query *query;
    arena *memory;
    struct search_plan **plans;
    uint32_t plan_count;
    uint32_t wanted; /* one more than the page: it tells whether there are more */
    struct search_hit *hits, *spare;
    uint32_t count;
    uint32_t *documents; /* of the section at hand */
};

/* --- order -------------------------------------------------------------------------------------------- */

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int64_t number_of(const struct search_hit *hit)
{
    return hit->plan->section->numbers[hit->document];
}

static int64_t time_of(const struct search_hit *hit)
{
    return hit->plan->section->times[hit->document];
}

static int status_of(const struct search_hit *hit)
{
    return search_section_status(hit->plan->section, hit->document);
}

static int compare_hits(const struct search_query *query, const struct search_hit *a,
                        const struct search_hit *b)
{
    int order = 0;
    switch (query->order) {
    case SEARCH_ORDER_UPDATE_TIME:
        order = compare_numbers(time_of(a), time_of(b));
        break;
    case SEARCH_ORDER_SUBJECT:
        order = strcmp(a->subject_key, b->subject_key);
        break;
    case SEARCH_ORDER_STATUS:
        order = compare_numbers(status_of(a), status_of(b));
        break;
    }
    if (order == 0)
        order = compare_numbers(number_of(a), number_of(b));
    return query->descending ? -order : order;
}

static bool make_hit(const struct search *search, const struct search_plan *plan, uint32_t document,
                     struct search_hit *hit)
{
    *hit = (struct search_hit){.plan = plan, .document = document};
    if (search->query->order == SEARCH_ORDER_SUBJECT && search->plan_count > 1) {
        hit->subject_key = text_fold(search->memory, search_section_subject(plan->section, document));
        return hit->subject_key;
    }
    return true;
}

/* Merges a section's matches, which are in order, into those that there are. */
static bool merge(struct search *search, const struct search_plan *plan, uint32_t count)
{
    struct search_hit *merged = search->spare, next;
    uint32_t kept = 0, old = 0, new = 0;
    if (search->count == 0) { /* the first ones */
        for (; kept < count && kept < search->wanted; kept++)
            if (!make_hit(search, plan, search->documents[kept], &search->hits[kept]))
                return false;
        search->count = kept;
        return true;
    }
    if (count > 0 && !make_hit(search, plan, search->documents[0], &next))
        return false;
    while (kept < search->wanted && (old < search->count || new < count)) {
        if (new == count ||
            (old < search->count && compare_hits(search->query, &search->hits[old], &next) < 0)) {
            merged[kept++] = search->hits[old++];
            continue;
        }
        merged[kept++] = next;
        if (++new < count && !make_hit(search, plan, search->documents[new], &next))
            return false;
    }
    search->spare = search->hits;
    search->hits = merged;
    search->count = kept;
    return true;
}

/* --- finding ------------------------------------------------------------------------------------------ */

/* Sections that begin the order first, so that others need not be looked at. */
static void sort_plans_by_time(struct search *search)
{
    bool descending = search->query->descending;
    for (uint32_t i = 1; i < search->plan_count; i++)
        for (uint32_t at = i; at > 0; at--) {
            struct search_plan *here = search->plans[at], *before = search->plans[at - 1];
            if (descending ? here->section->times[here->end - 1] <= before->section->times[before->end - 1]
                           : here->section->times[here->first] >= before->section->times[before->first])
                break;
            search->plans[at] = before;
            search->plans[at - 1] = here;
        }
}

/* What stands behind the last of enough hits cannot come in any more. */
static void limit_by_hits(const struct search *search, struct search_plan *plan)
{
    if (search->count < search->wanted)
        return;
    const struct search_hit *last = &search->hits[search->count - 1];
    uint32_t at = search_section_from_place(plan->section, time_of(last), number_of(last));
    if (search->query->descending)
        plan->first = at > plan->first ? at : plan->first;
    else
        plan->end = at < plan->end ? at : plan->end;
}

static bool find_by_time(struct search *search)
{
    const struct search_query *query = search->query;
    sort_plans_by_time(search);
    for (uint32_t i = 0; i < search->plan_count; i++) {
        struct search_plan *plan = search->plans[i];
        limit_by_hits(search, plan);
        if (plan->first >= plan->end)
            continue;
        uint32_t count =
            search_select_latest(plan, query->descending, query->after, search->wanted, search->documents);
        if (count > 0 && !merge(search, plan, count))
            return false;
    }
    return true;
}

static bool find_in_order(struct search *search, enum search_select_order order,
                          const struct search_cursor *after)
{
    for (uint32_t i = 0; i < search->plan_count; i++) {
        const struct search_plan *plan = search->plans[i];
        uint32_t count;
        if (!search_select(plan, order, search->query->descending, after, search->wanted,
                           search_scan_count(plan), search->memory, search->documents, &count) ||
            !merge(search, plan, count))
            return false;
    }
    return true;
}

/* Status by status, each by case number. */
static bool find_by_status(struct search *search)
{
    const struct search_query *query = search->query;
    const struct search_cursor *after = query->after;
    struct search_plan **all = search->plans;
    uint32_t all_count = search->plan_count;
    struct search_plan **some = arena_calloc(search->memory, all_count + 1, sizeof(struct search_plan *));
    bool done = some;
    search->plans = some;
    for (int i = 0; done && i <= SEARCH_STATUS_MAX && search->count < search->wanted; i++) {
        int status = query->descending ? SEARCH_STATUS_MAX - i : i;
        if (after && (query->descending ? status > after->status : status < after->status))
            continue;
        struct search_plan *copies = arena_calloc(search->memory, all_count + 1, sizeof *copies);
        done = copies; /* hits point to them */
        search->plan_count = 0;
        for (uint32_t plan = 0; done && plan < all_count; plan++) {
            if (!(all[plan]->statuses & SEARCH_STATUS_BIT(status)))
                continue;
            struct search_plan *copy = &copies[search->plan_count];
            *copy = *all[plan];
            copy->statuses = SEARCH_STATUS_BIT(status);
            copy->check_statuses = copy->section->statuses != copy->statuses;
            some[search->plan_count++] = copy;
        }
        bool within = after && status == after->status;
        done = done && find_in_order(search, SEARCH_SELECT_NUMBER, within ? after : NULL);
    }
    search->plans = all;
    search->plan_count = all_count;
    return done;
}

static bool find_hits(struct search *search)
{
    switch (search->query->order) {
    case SEARCH_ORDER_UPDATE_TIME:
        return find_by_time(search);
    case SEARCH_ORDER_SUBJECT:
        return find_in_order(search, SEARCH_SELECT_SUBJECT, search->query->after);
    case SEARCH_ORDER_STATUS:
        return find_by_status(search);
    }
    return true;
}

/* --- the answer --------------------------------------------------------------------------------------- */

static bool set_cursor(const struct search *search, const struct search_hit *last,
                       struct search_cursor *cursor)
{
    *cursor = (struct search_cursor){
        .update_time_us = time_of(last), .status = status_of(last), .number = number_of(last)};
    if (search->query->order != SEARCH_ORDER_SUBJECT)
        return true;
    cursor->subject_key =
        last->subject_key
            ? last->subject_key
            : text_fold(search->memory, search_section_subject(last->plan->section, last->document));
    return cursor->subject_key;
}

static bool fill_answer(const struct search *search, struct search_answer *answer)
{
    answer->hits = search->hits;
    answer->more = search->count == search->wanted;
    answer->count = search->count - answer->more;
    return !answer->more || set_cursor(search, &search->hits[answer->count - 1], &answer->last);
}

static bool make_plans(struct search *search, const struct search_view *view)
{
    struct search_terms terms;
    search->plans = arena_alloc(search->memory, (view->count + 1) * sizeof(struct search_plan *));
    if (!search->plans || !search_terms_read(search->query, search->memory, &terms))
        return false;
    for (uint32_t i = 0; i < view->count; i++) {
        struct search_plan *plan;
        if (!search_plan_make(search->query, &terms, &view->slices[i], search->memory, &plan))
            return false;
        if (plan)
            search->plans[search->plan_count++] = plan;
    }
    return true;
}

/* Room for hits: no more than there can be. What one section has needs no merging. */
static bool make_room(struct search *search, const struct search_view *view)
{
    uint64_t wanted = search->query->limit + UINT64_C(1), most = view->live + 1;
    search->wanted = (uint32_t)(wanted < most ? wanted : most);
    size_t lists = search->plan_count > 1 ? 2 : 1;
    search->hits = arena_alloc(search->memory,
                               search->wanted * (lists * sizeof *search->hits + sizeof *search->documents));
    if (!search->hits)
        return false;
    search->spare = search->hits + (lists - 1) * search->wanted;
    search->documents = (uint32_t *)(search->hits + lists * search->wanted);
    return true;
}

static bool find(struct search *search, const struct search_view *view, struct search_answer *answer)
{
    if (!make_plans(search, view))
        return false;
    for (uint32_t i = 0; i < search->plan_count && !search->query->without_total; i++)
        answer->total += search_scan_count(search->plans[i]);
    if (search->plan_count == 0 || (answer->total == 0 && !search->query->without_total))
        return true;
    return make_room(search, view) && find_hits(search) && fill_answer(search, answer);
}

bool search_query_run(struct search_view *view, const struct search_query *query, arena *memory,
                      struct search_answer *ret_answer, error *err)
{
    struct search search = {.query = query, .memory = memory};
    *ret_answer = (struct search_answer){.query = query, .view = view};
    if (find(&search, view, ret_answer))
        return true;
    search_answer_release(ret_answer);
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the answer does not fit");
}

static void read_result(const struct search_query *query, const struct search_hit *hit, uint8_t *fields,
                        struct search_result *result)
{
    const struct search_plan *plan = hit->plan;
    const struct search_section *section = plan->section;
    uint32_t document = hit->document;
    *result = (struct search_result){.number = section->numbers[document],
                                     .update_time_us = section->times[document],
                                     .status = search_section_status(section, document),
                                     .need_reply = section->states[document] & SEARCH_STATE_NEED_REPLY,
                                     .subject = search_section_subject(section, document),
                                     .owner = search_section_owner(section, document),
                                     .fields = fields};
    for (size_t i = 0; i < query->word_count; i++)
        fields[i] = search_postings_fields_near(&plan->words[i], document, &plan->near[i]) & query->fields;
}

bool search_answer_read(struct search_answer *answer, arena *memory)
{
    size_t words = answer->query->word_count, count = answer->count;
    struct search_result *results = arena_alloc(memory, (count + 1) * sizeof *results);
    uint8_t *fields = arena_alloc(memory, count * words + 1);
    if (!results || !fields)
        return false;
    for (size_t i = 0; i < count; i++)
        read_result(answer->query, &answer->hits[i], fields + i * words, &results[i]);
    answer->results = results;
    return true;
}

int64_t search_answer_number(const struct search_answer *answer, size_t index)
{
    return number_of(&answer->hits[index]);
}

void search_answer_release(struct search_answer *answer)
{
    search_view_unref(answer->view);
    answer->view = NULL;
}

uint64_t search_query_cost(const struct search_view *view, const struct search_query *query)
{
    enum { WORD = 64, IN_ORDER = 32 }; /* documents of a word; of which one is looked at for its order */
    uint64_t cost = view->count + view->live / WORD * query->word_count;
    if (query->fields != SEARCH_FIELDS_ALL)
        cost += view->live;
    if (query->order != SEARCH_ORDER_UPDATE_TIME)
        cost += view->live / IN_ORDER;
    return cost;
}
