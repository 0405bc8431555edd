/* An account of several chunks, of which every list is of every kind: against arithmetic. */

#include "search/search_index.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { CASES = 150000, BATCH = 40000, TEXTS = 10, RARE = 7 };

static const int divisors[] = {1, 2, 3, 17, 19, 100, 3000, 40000};

enum { DIVISORS = sizeof divisors / sizeof *divisors };

/* What there is to know of a case. `round`: how often it has changed. */
struct fact {
    int64_t number, time_us;
    int round, status;
    char subject[16];
    bool present;
};

static struct fact facts[CASES];

static uint8_t field_of(int64_t number, int divisor)
{
    return (number + divisor) % 5 == 0 ? SEARCH_FIELD_SUBJECT : SEARCH_FIELD_MESSAGE;
}

/* Times and subjects in no order of the numbers, with many alike. */
static void tell(int64_t number, int round)
{
    struct fact *fact = &facts[number];
    *fact = (struct fact){.number = number,
                          .time_us = (number * 7919 + round * 104729) % 100003,
                          .round = round,
                          .status =
                              number % 1000 == RARE ? SEARCH_STATUS_DELETED : 1 + (int)((number + round) % 3),
                          .present = true};
    snprintf(fact->subject, sizeof fact->subject, "S%03d", (int)(number * 31 % 977));
}

static struct search_document document_of(const struct fact *fact, struct search_text texts[static TEXTS],
                                          char words[static DIVISORS][16])
{
    struct search_document document = {.number = fact->number,
                                       .position = fact->round,
                                       .update_time_us = fact->time_us,
                                       .status = fact->status,
                                       .subject = fact->subject,
                                       .owner = fact->number % 4 ? "ann" : "bob",
                                       .channel = "",
                                       .contact = "",
                                       .texts = texts};
    for (int i = 0; i < DIVISORS; i++) {
        if (fact->number % divisors[i] != 0)
            continue;
        snprintf(words[i], 16, "d%d", divisors[i]);
        texts[document.text_count++] =
            (struct search_text){(enum search_field)field_of(fact->number, divisors[i]), words[i]};
    }
    return document;
}

static void apply(search_index *index, const int64_t *numbers, size_t count)
{
    struct search_change *changes = calloc(count, sizeof *changes);
    struct search_document *documents = calloc(count, sizeof *documents);
    struct search_text(*texts)[TEXTS] = calloc(count, sizeof *texts);
    char(*words)[DIVISORS][16] = calloc(count, sizeof *words);
    for (size_t i = 0; i < count; i++) {
        documents[i] = document_of(&facts[numbers[i]], texts[i], words[i]);
        changes[i] = (struct search_change){.number = numbers[i],
                                            .document = facts[numbers[i]].present ? &documents[i] : NULL};
    }
    error err;
    cr_assert(search_index_apply(index, "acme", changes, count, &err));
    free(changes);
    free(documents);
    free(texts);
    free(words);
}

static void fill(search_index *index)
{
    static int64_t numbers[BATCH];
    for (int64_t from = 1; from < CASES; from += BATCH) {
        size_t count = 0;
        for (int64_t number = from; number < from + BATCH && number < CASES; number++) {
            tell(number, 1);
            numbers[count++] = number;
        }
        apply(index, numbers, count);
    }
}

static void disturb(search_index *index, size_t count)
{
    static int64_t numbers[CASES];
    int64_t step = 1 + rand() % 400, number = 1 + rand() % 1000;
    size_t changed = 0;
    for (; number < CASES && changed < count; number += step) {
        tell(number, facts[number].round + 1);
        facts[number].present = rand() % 5 != 0;
        numbers[changed++] = number;
    }
    apply(index, numbers, changed);
}

/* --- questions ---------------------------------------------------------------------------------------- */

struct question {
    struct search_query query;
    int divisors[3];
    char words[3][16];
    const char *pointers[3];
};

static void ask(struct question *question)
{
    static const enum search_order orders[] = {SEARCH_ORDER_UPDATE_TIME, SEARCH_ORDER_SUBJECT,
                                               SEARCH_ORDER_STATUS};
    *question = (struct question){.query = {.fields = SEARCH_FIELDS_ALL,
                                            .statuses = ~SEARCH_STATUS_BIT(SEARCH_STATUS_DELETED),
                                            .start_time_us = INT64_MIN,
                                            .end_time_us = INT64_MAX,
                                            .order = orders[rand() % 3],
                                            .descending = rand() % 2,
                                            .limit = 1 + (size_t)rand() % 50}};
    struct search_query *query = &question->query;
    for (int first = rand() % DIVISORS; query->word_count < 1 + (size_t)rand() % 3 && first < DIVISORS;
         first += 1 + rand() % 3) {
        size_t at = query->word_count++;
        question->divisors[at] = divisors[first];
        snprintf(question->words[at], sizeof question->words[at], "d%d", divisors[first]);
        question->pointers[at] = question->words[at];
    }
    query->words = question->pointers;
    if (rand() % 4 == 0)
        query->fields =
            rand() % 2 ? SEARCH_FIELD_BIT(SEARCH_FIELD_SUBJECT) : SEARCH_FIELD_BIT(SEARCH_FIELD_MESSAGE);
    if (rand() % 3 == 0)
        query->statuses = rand() % 2 ? ~0u : SEARCH_STATUS_BIT(1 + rand() % 3) | SEARCH_STATUS_BIT(6);
    if (rand() % 4 == 0)
        query->owner = rand() % 2 ? "ann" : "bob";
    if (rand() % 4 == 0)
        query->start_time_us = rand() % 100003;
    if (rand() % 4 == 0)
        query->end_time_us = rand() % 100003;
}

static bool matches(const struct question *question, const struct fact *fact)
{
    const struct search_query *query = &question->query;
    if (!fact->present || !(query->statuses & SEARCH_STATUS_BIT(fact->status)) ||
        fact->time_us < query->start_time_us || fact->time_us >= query->end_time_us ||
        (query->owner && (fact->number % 4 != 0) != (query->owner[0] == 'a')))
        return false;
    for (size_t i = 0; i < query->word_count; i++)
        if (fact->number % question->divisors[i] != 0 ||
            !(SEARCH_FIELD_BIT(field_of(fact->number, question->divisors[i])) & query->fields))
            return false;
    return true;
}

static int compare(const void *a, const void *b, void *context)
{
    const struct fact *left = *(struct fact *const *)a, *right = *(struct fact *const *)b;
    const struct search_query *query = context;
    int order = query->order == SEARCH_ORDER_SUBJECT ? strcmp(left->subject, right->subject)
                : query->order == SEARCH_ORDER_STATUS
                    ? left->status - right->status
                    : (left->time_us > right->time_us) - (left->time_us < right->time_us);
    if (order == 0)
        order = (left->number > right->number) - (left->number < right->number);
    return query->descending ? -order : order;
}

/* The page from a place in the midst of the results, and the total. */
static size_t expect_page(search_index *index, struct question *question)
{
    static struct fact *found[CASES];
    size_t count = 0;
    for (int64_t number = 1; number < CASES; number++)
        if (matches(question, &facts[number]))
            found[count++] = &facts[number];
    qsort_r(found, count, sizeof(struct fact *), compare, &question->query);
    struct search_query *query = &question->query;
    struct search_cursor after;
    char key[16];
    size_t from = count > 0 && rand() % 2 ? 1 + (size_t)rand() % count : 0;
    if (from > 0) {
        snprintf(key, sizeof key, "s%s", found[from - 1]->subject + 1);
        after = (struct search_cursor){found[from - 1]->time_us, key, found[from - 1]->status,
                                       found[from - 1]->number};
        query->after = &after;
    }
    arena *memory = arena_new(8 << 20);
    struct search_answer answer;
    error err;
    cr_assert(search_index_query(index, "acme", query, memory, &answer, &err));
    cr_assert(search_answer_read(&answer, memory));
    cr_assert_eq(answer.total, count, "%zu instead of %zu", (size_t)answer.total, count);
    size_t expected = count - from < query->limit ? count - from : query->limit;
    cr_assert_eq(answer.count, expected);
    cr_assert_eq(answer.more, count - from > expected);
    for (size_t i = 0; i < expected; i++) {
        const struct search_result *result = &answer.results[i];
        cr_assert_eq(result->number, found[from + i]->number);
        cr_assert_str_eq(result->subject, found[from + i]->subject);
        for (size_t word = 0; word < query->word_count; word++)
            cr_assert_eq(result->fields[word],
                         SEARCH_FIELD_BIT(field_of(result->number, question->divisors[word])));
    }
    search_answer_release(&answer);
    arena_free(memory);
    query->after = NULL;
    return expected;
}

static void expect_pages(search_index *index, int count)
{
    size_t seen = 0;
    for (int i = 0; i < count; i++) {
        struct question question;
        ask(&question);
        seen += expect_page(index, &question);
    }
    cr_assert_gt(seen, (size_t)count, "only %zu results were compared", seen);
}

Test(search_large, pages_and_totals_over_many_chunks, .timeout = 120)
{
    search_index *index;
    error err;
    srand(20240604);
    cr_assert(search_index_new(&index, &err));
    fill(index);
    expect_pages(index, 60);
    for (int round = 0; round < 6; round++) {
        disturb(index, round % 2 ? 3000 : 300);
        expect_pages(index, 10);
    }
    search_index_settle(index);
    expect_pages(index, 60);
    search_index_free(index);
}
