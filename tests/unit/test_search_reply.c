/* What search_reply writes is what protobuf-c reads. */

#include "casework/search/v1/search_service.pb-c.h"
#include "search/search_reply.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

typedef Casework__Search__V1__SearchCasesResponse wire_response;
typedef Casework__Search__V1__SearchResult wire_result;

enum { RESULTS = 300, WORDS = 3, LONG = 5000 };

static char long_subject[LONG + 1];

static const int64_t times[] = {
    0, 1, -1, -1000000, 1700000000123456, 1000000, 253402300799999999, -62135596800000000};
static const int64_t numbers[] = {1, 9, 10, 127, 128, 16384, INT32_MAX, INT64_MAX};
static const char *const subjects[] = {"", "a", "Straße", long_subject};

static void make_results(struct search_result results[RESULTS], uint8_t fields[RESULTS][WORDS])
{
    memset(long_subject, 's', LONG);
    for (int i = 0; i < RESULTS; i++) {
        for (int word = 0; word < WORDS; word++)
            fields[i][word] = (uint8_t)(i * 37 + word * 101);
        results[i] = (struct search_result){.number = numbers[i % 8],
                                            .update_time_us = times[i / 2 % 8],
                                            .status = i % 8,
                                            .need_reply = i % 3 == 0,
                                            .subject = subjects[i % 4],
                                            .owner = i % 5 ? "ann" : "",
                                            .fields = fields[i]};
    }
}

static void expect_time(const Google__Protobuf__Timestamp *time, int64_t time_us)
{
    if (time_us == 0) {
        cr_assert_null(time);
        return;
    }
    cr_assert(time->nanos >= 0 && time->nanos < 1000000000);
    cr_assert_eq(time->seconds * 1000000 + time->nanos / 1000, time_us);
}

static void expect_matches(const wire_result *wire, const struct search_query *query, const uint8_t *fields)
{
    size_t at = 0;
    for (size_t word = 0; word < WORDS; word++)
        for (int field = 1; field <= 8; field++) {
            if (!(fields[word] & SEARCH_FIELD_BIT(field)))
                continue;
            cr_assert_str_eq(wire->matches[at]->word, query->words[word]);
            cr_assert_eq((int)wire->matches[at]->field, field);
            at++;
        }
    cr_assert_eq(wire->n_matches, at);
}

static void expect_result(const wire_result *wire, const struct search_query *query,
                          const struct search_result *result)
{
    char name[64];
    snprintf(name, sizeof name, "accounts/acme/cases/%lld", (long long)result->number);
    cr_assert_str_eq(wire->case_, name);
    cr_assert_str_eq(wire->subject, result->subject);
    cr_assert_eq((int)wire->status, result->status);
    cr_assert_eq(wire->need_reply, result->need_reply);
    cr_assert_str_eq(wire->owner, *result->owner ? "accounts/acme/agents/ann" : "");
    expect_time(wire->update_time, result->update_time_us);
    expect_matches(wire, query, result->fields);
}

static wire_response *pass(const struct search_reply *reply, arena *memory)
{
    const unsigned char *data;
    size_t length;
    cr_assert(search_reply_write(reply, memory, &data, &length));
    wire_response *response = casework__search__v1__search_cases_response__unpack(NULL, length, data);
    cr_assert_not_null(response);
    /* And in the one form that there is for it. */
    cr_assert_eq(casework__search__v1__search_cases_response__get_packed_size(response), length);
    return response;
}

Test(search_reply, is_read_as_it_was_meant)
{
    static struct search_result results[RESULTS];
    static uint8_t fields[RESULTS][WORDS];
    static const char *const words[WORDS] = {"printer", "ß", "paper"};
    const struct search_query query = {.words = words, .word_count = WORDS};
    const struct search_answer answer = {
        .results = results, .count = RESULTS, .total = UINT64_C(1) << 40, .more = true};
    const struct search_reply reply = {"acme", &query, &answer, "next", INT64_MAX};
    arena *memory = arena_new(64 << 20);
    make_results(results, fields);
    wire_response *response = pass(&reply, memory);
    cr_assert_eq(response->n_results, RESULTS);
    for (size_t i = 0; i < RESULTS; i++)
        expect_result(response->results[i], &query, &results[i]);
    cr_assert_eq(response->n_query_words, WORDS);
    cr_assert_str_eq(response->query_words[1], "ß");
    cr_assert_eq(response->total_size, INT32_MAX);
    cr_assert_str_eq(response->next_page_token, "next");
    cr_assert_eq(response->indexed_position, INT64_MAX);
    casework__search__v1__search_cases_response__free_unpacked(response, NULL);
    arena_free(memory);
}

Test(search_reply, of_nothing_is_empty)
{
    const struct search_query query = {0};
    const struct search_answer answer = {0};
    const struct search_reply reply = {"acme", &query, &answer, "", 0};
    arena *memory = arena_new(1 << 20);
    const unsigned char *data;
    size_t length;
    cr_assert(search_reply_write(&reply, memory, &data, &length));
    cr_assert_eq(length, 0);
    arena_free(memory);
}

Test(search_reply, that_does_not_fit_is_not_written)
{
    static struct search_result results[RESULTS];
    static uint8_t fields[RESULTS][WORDS];
    static const char *const words[WORDS] = {"a", "b", "c"};
    const struct search_query query = {.words = words, .word_count = WORDS};
    const struct search_answer answer = {.results = results, .count = RESULTS};
    const struct search_reply reply = {"acme", &query, &answer, "", 0};
    arena *memory = arena_new(1 << 10);
    const unsigned char *data;
    size_t length;
    make_results(results, fields);
    cr_assert_not(search_reply_write(&reply, memory, &data, &length));
    arena_free(memory);
}
