#include "search/search_account.h"
#include "search/search_query.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void put(struct search_account *account, struct search_words *words, int64_t number, int64_t version)
{
    char own[32], shared[32];
    snprintf(own, sizeof own, "v%lld", (long long)version);
    snprintf(shared, sizeof shared, "common parity%lld", (long long)version % 2);
    struct search_text texts[] = {{SEARCH_FIELD_SUBJECT, own}, {SEARCH_FIELD_MESSAGE, shared}};
    struct search_document document = {.number = number,
                                       .position = version,
                                       .update_time_us = version,
                                       .status = 1,
                                       .subject = own,
                                       .owner = "",
                                       .channel = "",
                                       .contact = "",
                                       .texts = texts,
                                       .text_count = 2};
    error err;
    cr_assert(search_words_collect(words, &document, &err));
    cr_assert(search_account_put(account, &document, words, &err));
}

static uint64_t total(const struct search_account *account, const char *word)
{
    arena *memory = arena_new(1 << 20);
    struct search_query query = {.words = &word,
                                 .word_count = 1,
                                 .fields = SEARCH_FIELDS_ALL,
                                 .statuses = ~0u,
                                 .start_time_us = INT64_MIN,
                                 .end_time_us = INT64_MAX,
                                 .limit = 100};
    struct search_answer answer;
    error err;
    cr_assert(search_query_run(account, &query, memory, &answer, &err));
    cr_assert_eq(answer.count, answer.total);
    for (size_t i = 1; i < answer.count; i++)
        cr_assert_lt(answer.results[i - 1].update_time_us, answer.results[i].update_time_us);
    arena_free(memory);
    return answer.total;
}

/* Ten cases that change all the time: numbers are given out anew again and again, and what is found stays
 * right. */
Test(search_account, numbers_anew_without_a_difference)
{
    struct search_account account;
    struct search_words words;
    search_account_init(&account);
    search_words_init(&words);
    account.renumber_from = 64;
    uint32_t highest = 0;
    for (int64_t version = 1; version <= 2000; version++) {
        put(&account, &words, version % 10, version);
        highest = account.count > highest ? account.count : highest;
        if (version < 10 || version % 7)
            continue;
        char word[32];
        cr_assert_eq(total(&account, "common"), 10);
        cr_assert_eq(total(&account, "parity0"), 5);
        snprintf(word, sizeof word, "v%lld", (long long)version - 9);
        cr_assert_eq(total(&account, word), 1);
        snprintf(word, sizeof word, "v%lld", (long long)version - 10);
        cr_assert_eq(total(&account, word), 0);
    }
    cr_assert_leq(highest, 65);
    cr_assert_eq(account.live, 10);
    cr_assert_eq(account.terms.live_words, 13);
    cr_assert_eq(account.postings, 30);
    search_words_release(&words);
    search_account_release(&account);
}

Test(search_account, an_emptied_one_holds_no_words)
{
    struct search_account account;
    struct search_words words;
    search_account_init(&account);
    search_words_init(&words);
    for (int64_t number = 1; number <= 300; number++)
        put(&account, &words, number, number);
    for (int64_t number = 300; number >= 1; number--)
        search_account_remove(&account, number);
    search_account_remove(&account, 1);
    cr_assert_eq(account.live, 0);
    cr_assert_eq(account.terms.live, 0);
    cr_assert_eq(account.entry_bytes, 0);
    cr_assert_eq(account.postings, 0);
    put(&account, &words, 1, 1);
    cr_assert_eq(total(&account, "common"), 1);
    search_words_release(&words);
    search_account_release(&account);
}
