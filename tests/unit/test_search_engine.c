/* The engine below search_index: readers beside a writer, merges beside changes, damaged sections. */

#include "search/search_builder.h"
#include "search/search_index.h"
#include "search/search_merger.h"
#include "tests/support/search_probe.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* --- documents ---------------------------------------------------------------------------------------- */

struct draft {
    struct search_document document;
    struct search_text texts[2];
    char subject[32];
};

/* "round N" as its subject, "all" in its message. */
static void make(struct draft *draft, int64_t number, int64_t round)
{
    snprintf(draft->subject, sizeof draft->subject, "round %lld", (long long)round);
    draft->texts[0] = (struct search_text){SEARCH_FIELD_SUBJECT, draft->subject};
    draft->texts[1] = (struct search_text){SEARCH_FIELD_MESSAGE, number % 3 ? "all" : "all third"};
    draft->document = (struct search_document){.number = number,
                                               .position = round,
                                               .update_time_us = round * 1000 + number % 7,
                                               .status = 1 + (int)(number % 4),
                                               .subject = draft->subject,
                                               .owner = "ann",
                                               .channel = "",
                                               .contact = "",
                                               .texts = draft->texts,
                                               .text_count = 2};
}

static struct search_query query_of(const char *const *word, size_t limit)
{
    return (struct search_query){.words = word,
                                 .word_count = 1,
                                 .fields = SEARCH_FIELDS_ALL,
                                 .statuses = ~0u,
                                 .start_time_us = INT64_MIN,
                                 .end_time_us = INT64_MAX,
                                 .descending = true,
                                 .limit = limit};
}

/* --- readers and a writer ------------------------------------------------------------------------------ */

enum { CASES = 60, ROUNDS = 400, READERS = 3 };

struct race {
    search_index *index;
    atomic_bool over;
    atomic_int looks;
};

/* Every batch changes all cases: whoever looks sees each case once, and all of one round. */
static void *look(void *argument)
{
    struct race *race = argument;
    static const char *const word = "all";
    arena *memory = arena_new(1 << 20);
    int64_t last = 0;
    while (!atomic_load(&race->over)) {
        struct search_query query = query_of(&word, CASES);
        query.order = atomic_load(&race->looks) % 2 ? SEARCH_ORDER_SUBJECT : SEARCH_ORDER_UPDATE_TIME;
        struct search_answer answer;
        error err;
        arena_clear(memory);
        cr_assert(search_index_query(race->index, "acme", &query, memory, &answer, &err));
        cr_assert(search_answer_read(&answer, memory));
        cr_assert_eq(answer.total, CASES);
        cr_assert_eq(answer.count, CASES);
        bool seen[CASES + 1] = {false};
        for (size_t i = 0; i < answer.count; i++) {
            cr_assert_str_eq(answer.results[i].subject, answer.results[0].subject);
            cr_assert_not(seen[answer.results[i].number]);
            seen[answer.results[i].number] = true;
        }
        int64_t round = strtoll(answer.results[0].subject + 6, NULL, 10);
        cr_assert_geq(round, last, "an earlier batch came back");
        last = round;
        search_answer_release(&answer);
        atomic_fetch_add(&race->looks, 1);
    }
    arena_free(memory);
    return NULL;
}

static void write_round(search_index *index, int64_t round)
{
    static struct draft drafts[CASES];
    struct search_change changes[CASES];
    error err;
    for (int64_t i = 0; i < CASES; i++) {
        make(&drafts[i], i + 1, round);
        changes[i] = (struct search_change){.number = i + 1, .document = &drafts[i].document};
    }
    cr_assert(search_index_apply(index, "acme", changes, CASES, &err));
}

Test(search_engine, readers_see_whole_batches_beside_a_writer, .timeout = 60)
{
    struct race race = {.index = NULL};
    pthread_t readers[READERS];
    error err;
    cr_assert(search_index_new(&race.index, &err));
    write_round(race.index, 1);
    for (int i = 0; i < READERS; i++)
        cr_assert_eq(pthread_create(&readers[i], NULL, look, &race), 0);
    int64_t round = 2;
    for (; round < ROUNDS || atomic_load(&race.looks) < READERS * 20; round++)
        write_round(race.index, round);
    atomic_store(&race.over, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    search_index_free(race.index);
}

/* --- merges beside changes ------------------------------------------------------------------------------ */

static struct search_block *section_of(int64_t from, int64_t to, int64_t step, int64_t round)
{
    struct search_builder builder;
    struct search_block *block;
    struct draft draft;
    error err;
    search_builder_init(&builder);
    for (int64_t number = from; number < to; number += step) {
        make(&draft, number, round);
        cr_assert(search_builder_add(&builder, &draft.document, &err));
    }
    cr_assert(search_builder_finish(&builder, &block, &err));
    search_builder_release(&builder);
    return block;
}

/* The account, and what is done to it in the midst of a merge. */
struct interruption {
    struct search_account *account;
    bool replace, done;
};

static bool interrupt(void *context, size_t written)
{
    struct interruption *interruption = context;
    (void)written;
    if (interruption->done)
        return true;
    interruption->done = true;
    if (interruption->replace) {
        search_account_replace(interruption->account, search_view_new());
        return true;
    }
    static const int64_t gone[] = {5, 6, 4999};
    bool due;
    error err;
    cr_assert(
        search_account_apply(interruption->account, section_of(100, 2000, 100, 9), gone, 3, &due, &err));
    return true;
}

static uint64_t total(struct search_account *account, const char *word)
{
    struct search_query query = query_of(&word, 10);
    struct search_answer answer;
    error err;
    arena *memory = arena_new(1 << 20);
    cr_assert(search_query_run(search_account_view(account), &query, memory, &answer, &err));
    search_answer_release(&answer);
    arena_free(memory);
    return answer.total;
}

static void fill(struct search_account *account)
{
    bool due;
    error err;
    for (int64_t i = 0; i < 4; i++)
        cr_assert(search_account_apply(account, section_of(1 + i * 5000, 5001 + i * 5000, 1, 1 + i), NULL, 0,
                                       &due, &err));
    cr_assert(due);
    cr_assert_eq(search_view_peek(&account->view)->count, 4);
}

Test(search_engine, what_changes_during_a_merge_is_carried_over)
{
    struct search_account account;
    struct interruption interruption = {.account = &account};
    const struct search_pace pace = {interrupt, &interruption};
    bool done;
    error err;
    cr_assert(search_account_init(&account, &err));
    fill(&account);
    cr_assert(search_account_merge(&account, false, &pace, &done, &err));
    cr_assert(done);
    cr_assert(interruption.done);
    cr_assert_eq(search_view_peek(&account.view)->count, 2, "the four, and what came meanwhile");
    cr_assert_eq(total(&account, "all"), 20000 - 3);
    cr_assert_eq(total(&account, "9"), 19);
    cr_assert_eq(total(&account, "1"), 5000 - 3 - 19);
    cr_assert(search_account_merge(&account, false, NULL, &done, &err));
    cr_assert_not(done);
    cr_assert(search_account_merge(&account, true, NULL, &done, &err));
    cr_assert_not(done, "one of 19978 beside one of 19");
    cr_assert(search_account_apply(&account, section_of(30000, 36000, 1, 8), NULL, 0, &done, &err));
    cr_assert(search_account_merge(&account, true, NULL, &done, &err));
    cr_assert(done);
    cr_assert_eq(search_view_peek(&account.view)->count, 1);
    cr_assert_eq(total(&account, "all"), 26000 - 3);
    search_account_release(&account);
}

Test(search_engine, a_merge_of_what_is_gone_is_given_up)
{
    struct search_account account;
    struct interruption interruption = {.account = &account, .replace = true};
    const struct search_pace pace = {interrupt, &interruption};
    bool done;
    error err;
    cr_assert(search_account_init(&account, &err));
    fill(&account);
    cr_assert(search_account_merge(&account, false, &pace, &done, &err));
    cr_assert(interruption.done);
    cr_assert_eq(search_view_peek(&account.view)->count, 0);
    search_account_release(&account);
}

/* One change after the other: there are never many sections, and those that are mostly dead are made anew. */
Test(search_engine, sections_stay_few_and_small)
{
    struct search_account account;
    bool due;
    error err;
    cr_assert(search_account_init(&account, &err));
    for (int64_t round = 1; round <= 3000; round++) {
        cr_assert(search_account_apply(&account, section_of(round % 50, round % 50 + 1, 1, round), NULL, 0,
                                       &due, &err));
        cr_assert_leq(search_view_peek(&account.view)->count, 16);
    }
    cr_assert_eq(total(&account, "all"), 50);
    cr_assert_eq(search_view_peek(&account.view)->live, 50);
    cr_assert_eq(search_view_peek(&account.view)->postings, 50 * 3 + 17);
    cr_assert_lt(search_view_bytes(search_view_peek(&account.view)), 50 * 1500);
    search_account_release(&account);
}

/* --- damaged sections ----------------------------------------------------------------------------------- */

/* Whatever stands in a block: what opens can be searched and merged. */
Test(search_engine, damaged_sections_do_no_harm, .timeout = 60)
{
    enum { TRIES = 4000 };
    struct search_block *block = section_of(1, 200, 1, 3);
    size_t size = block->section.size, opened = 0;
    unsigned char *copy = malloc(size);
    srand(20240605);
    for (int i = 0; i < TRIES; i++) {
        memcpy(copy, block->section.data, size);
        for (int flips = rand() % 4; flips >= 0; flips--) {
            size_t at = i % 2 ? (size_t)rand() % size : (size_t)rand() % sizeof(struct search_section_header);
            copy[at] ^= (unsigned char)(1 << rand() % 8);
        }
        opened += search_probe(copy, size);
    }
    cr_assert_gt(opened, 10, "%zu opened", opened);
    free(copy);
    search_block_unref(block);
}

Test(search_engine, damage_is_told)
{
    struct search_block *block = section_of(1, 200, 1, 3);
    struct search_section section;
    error err;
    size_t size = block->section.size;
    unsigned char *copy = malloc(size);
    memcpy(copy, block->section.data, size);
    cr_assert(search_section_open(copy, size, &section, &err));
    cr_assert_eq(section.documents, 199);
    copy[size / 2] ^= 1;
    cr_assert_not(search_section_open(copy, size, &section, &err));
    cr_assert_eq(err.code, STATUS_DATA_LOSS);
    copy[size / 2] ^= 1;
    cr_assert_not(search_section_open(copy, size - 8, &section, &err));
    cr_assert_eq(err.code, STATUS_DATA_LOSS);
    ((struct search_section_header *)copy)->text_version++;
    cr_assert_not(search_section_open(copy, size, &section, &err));
    cr_assert_eq(err.code, STATUS_FAILED_PRECONDITION);
    free(copy);
    search_block_unref(block);
}
