/* The search service against a feed without a database: what comes in by events goes out by SearchCases. */

#include "base/clock.h"
#include "rpc/wire.h"
#include "tests/support/search_world.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static void expect_refusal(struct search_world *world, const world_request *request, const char *field)
{
    cr_assert_null(world_search_within(world, request, 20 * CLOCK_SECOND));
    cr_assert_eq(world->server.err.code, STATUS_INVALID_ARGUMENT, "%s", field);
    cr_assert_eq(world->server.err.violation_count, 1);
    cr_assert_str_eq(world->server.err.violations[0].key, field);
}

Test(search_service, answers_what_a_write_has_just_told, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    for (int64_t i = 1; i <= 20; i++) {
        const char *text = arena_printf(world.server.memory, "word%lld", (long long)i);
        int64_t position = world_set_text(&world, i, "subject", text);
        cr_assert_eq(world_total(&world, text, position), 1);
        cr_assert_eq(world_total(&world, "subject", 0), i);
    }
    world_end(&world);
}

Test(search_service, tells_what_matched_where, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    world.contact_name = "Needed Straße";
    int64_t position = world_set(&world, 1,
                                 (struct world_case){.there = true,
                                                     .subject = "The contract",
                                                     .body = "contract, again",
                                                     .label = "Contract Needed",
                                                     .status = 3,
                                                     .update_time_us = 1700000000123456});
    world_request request = world_ask("STRASSE contract! contract", position);
    const world_response *response = world_search(&world, &request);
    cr_assert_eq(response->n_query_words, 2);
    cr_assert_str_eq(response->query_words[0], "strasse");
    cr_assert_str_eq(response->query_words[1], "contract");
    cr_assert_eq(response->total_size, 1);
    cr_assert_eq(response->indexed_position, position);
    cr_assert_str_eq(response->next_page_token, "");
    const Casework__Search__V1__SearchResult *result = response->results[0];
    cr_assert_str_eq(result->case_, "accounts/acme/cases/1");
    cr_assert_str_eq(result->subject, "The contract");
    cr_assert_str_eq(result->owner, "accounts/acme/agents/ann");
    cr_assert_eq((int)result->status, 3);
    cr_assert_eq(result->update_time->seconds, 1700000000);
    cr_assert_eq(result->update_time->nanos, 123456000);
    const struct {
        const char *word;
        int field;
    } expected[] = {{"strasse", 3}, {"contract", 1}, {"contract", 7}, {"contract", 8}};
    cr_assert_eq(result->n_matches, 4);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_str_eq(result->matches[i]->word, expected[i].word);
        cr_assert_eq((int)result->matches[i]->field, expected[i].field);
    }
    request = world_ask("contract", 0);
    Casework__Search__V1__SearchField fields[] = {3, 7};
    request.fields = fields;
    request.n_fields = 2;
    response = world_search(&world, &request);
    cr_assert_eq(response->results[0]->n_matches, 1);
    world_end(&world);
}

Test(search_service, a_query_without_words_finds_nothing_and_says_so, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    world_request request = world_ask(" .,- ", world_set_text(&world, 1, "a", "b"));
    const world_response *response = world_search(&world, &request);
    cr_assert_eq(response->n_query_words, 0);
    cr_assert_eq(response->total_size, 0);
    cr_assert_eq(response->n_results, 0);
    world_end(&world);
}

Test(search_service, pages_put_together_are_the_whole, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    int64_t position = 0;
    for (int64_t i = 1; i < CASES_MAX; i++)
        position = world_set_text(&world, i, "page", "text");
    const char *const orders[] = {"", "update_time", "subject desc", "status"};
    for (size_t order = 0; order < 4; order++) {
        bool descending = order % 2 == 0;
        int64_t expected = descending ? CASES_MAX - 1 : 1;
        world_request request = world_ask("page", position);
        request.order_by = (char *)orders[order];
        request.page_size = 10;
        int pages = 0;
        do {
            const world_response *response = world_search(&world, &request);
            cr_assert_eq(response->total_size, CASES_MAX - 1);
            for (size_t i = 0; i < response->n_results; i++, expected += descending ? -1 : 1) {
                char name[64];
                snprintf(name, sizeof name, "accounts/acme/cases/%lld", (long long)expected);
                cr_assert_str_eq(response->results[i]->case_, name);
            }
            request.page_token = response->next_page_token;
            pages++;
        } while (*request.page_token);
        cr_assert_eq(pages, 7);
    }
    world_end(&world);
}

Test(search_service, refuses_what_makes_no_sense, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    int64_t position = world_set_text(&world, 1, "a", "b");
    world_set_text(&world, 2, "a", "b");
    static char long_query[SEARCH_QUERY_BYTES_MAX + 2];
    memset(long_query, 'x', sizeof long_query - 1);
    world_request request = world_ask(long_query, 0);
    expect_refusal(&world, &request, "query");
    request = world_ask("a", -1);
    expect_refusal(&world, &request, "min_position");
    request = world_ask("a", 0);
    request.order_by = (char *)"number";
    expect_refusal(&world, &request, "order_by");
    request = world_ask("a", 0);
    request.page_size = -1;
    expect_refusal(&world, &request, "page_size");
    request = world_ask("a", 0);
    request.owner = (char *)"accounts/beta/agents/ann";
    cr_assert_null(world_search_within(&world, &request, 20 * CLOCK_SECOND));
    cr_assert_eq(world.server.err.code, STATUS_NOT_FOUND, "another account's");
    request = world_ask("a", 0);
    request.parent = (char *)"accounts/-";
    expect_refusal(&world, &request, "parent");
    request = world_ask("a", 0);
    static char long_label[5000];
    memset(long_label, 'x', sizeof long_label - 1);
    request.label = long_label;
    expect_refusal(&world, &request, "label");
    Casework__Search__V1__SearchField field = 0;
    request = world_ask("a", 0);
    request.fields = &field;
    request.n_fields = 1;
    expect_refusal(&world, &request, "fields");

    request = world_ask("a", position);
    request.page_size = 1;
    char *token = world_search(&world, &request)->next_page_token;
    request.page_token = token;
    cr_assert_eq(world_search(&world, &request)->n_results, 1);
    request.query = (char *)"b";
    expect_refusal(&world, &request, "page_token");
    cr_assert_str_eq(world.server.err.reason, "INVALID_PAGE_TOKEN");
    request.query = (char *)"a";
    token[3] = token[3] == 'A' ? 'B' : 'A';
    expect_refusal(&world, &request, "page_token");
    world_end(&world);
}

Test(search_service, waits_for_a_position_within_the_deadline, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    int64_t position = world_set_text(&world, 1, "a", "b");
    cr_assert_eq(world_total(&world, "a", position), 1);
    world_request request = world_ask("a", position + 1);
    cr_assert_null(world_search_within(&world, &request, 200000));
    cr_assert_eq(world.server.err.code, STATUS_DEADLINE_EXCEEDED);
    world_end(&world);
}

Test(search_service, a_stopped_feed_is_lag_and_never_a_wrong_answer, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    cr_assert_eq(world_total(&world, "a", world_set_text(&world, 1, "a", "b")), 1);
    search_follower_stop(world.server.service.follower);
    int64_t position = world_set_text(&world, 2, "a", "b"), told_us = clock_monotonic_us();
    world_request request = world_ask("a", position);
    cr_assert_null(world_search_within(&world, &request, CLOCK_SECOND));
    cr_assert_eq(world_total(&world, "a", 0), 1);

    Casework__Search__V1__GetIndexStatusRequest status = CASEWORK__SEARCH__V1__GET_INDEX_STATUS_REQUEST__INIT;
    status.parent = (char *)"accounts/acme";
    const struct rpc_client_options options = {.timeout_us = 20 * CLOCK_SECOND};
    ProtobufCMessage *message;
    cr_assert(rpc_client_call(world.server.channel, &casework__search__v1__search_service__descriptor,
                              "GetIndexStatus", &status.base, &options, world.server.memory, &message,
                              &world.server.err));
    const Casework__Search__V1__GetIndexStatusResponse *answer =
        (const Casework__Search__V1__GetIndexStatusResponse *)message;
    cr_assert_eq(answer->lag_events, 1);
    int64_t lag_us = 0;
    cr_assert(wire_duration_us(answer->lag_duration, &lag_us));
    cr_assert_gt(lag_us, 0);
    cr_assert_leq(lag_us, clock_monotonic_us() - told_us + CLOCK_SECOND);
    cr_assert_eq(answer->n_accounts, 1);
    cr_assert_eq(answer->total_cases, 1);
    cr_assert_eq(answer->accounts[0]->indexed_position, position - 1);
    cr_assert_eq(answer->accounts[0]->words, 3);
    cr_assert_eq(answer->accounts[0]->postings, 3);
    cr_assert_str_eq(answer->epoch, "first");
    world_end(&world);
}

Test(search_service, a_renamed_contact_is_found_in_all_its_cases, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    world.contact_name = "Old";
    int64_t position = 0;
    for (int64_t i = 1; i < CASES_MAX; i++)
        position = world_set_text(&world, i, "a", "b");
    cr_assert_eq(world_total(&world, "old", position), CASES_MAX - 1);
    pthread_mutex_lock(&world.lock);
    world.contact_name = "New";
    pthread_mutex_unlock(&world.lock);
    position = fake_events_add(world.server.events, "acme", 0,
                               CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CONTACT_UPDATED,
                               "accounts/acme/contacts/k1");
    cr_assert_eq(world_total(&world, "new", position), CASES_MAX - 1);
    cr_assert_eq(world_total(&world, "old", position), 0);
    world_end(&world);
}

Test(search_service, follows_deletions_breaks_and_restored_databases, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    int64_t position =
        world_set(&world, 1, (struct world_case){.there = true, .subject = "a", .body = "", .status = 6});
    cr_assert_eq(world_total(&world, "a", position), 0);
    world_request request = world_ask("a", 0);
    Casework__Cases__V1__CaseStatus deleted = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_DELETED;
    request.statuses = &deleted;
    request.n_statuses = 1;
    cr_assert_eq(world_search(&world, &request)->total_size, 1);

    fake_events_break(world.server.events);
    world_set_text(&world, 2, "a", "");
    position = world_set(&world, 1, (struct world_case){.there = false});
    cr_assert_eq(world_total(&world, "a", position), 1);

    position = fake_events_add(world.server.events, "acme", 0,
                               CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_ACCOUNT_DELETED, NULL);
    cr_assert_eq(world_total(&world, "a", position), 0);

    world_set_text(&world, 3, "restored", "");
    fake_events_restore(world.server.events, "second");
    position = world_set_text(&world, 4, "restored", "");
    request = world_ask("restored", position);
    const world_response *response = world_search(&world, &request);
    while (response->total_size != 1 || response->indexed_position != 1)
        response = world_search(&world, &request);
    cr_assert_str_eq(response->results[0]->case_, "accounts/acme/cases/4");
    cr_assert_eq(world.caught_up, 1);
    world_end(&world);
}

/* A new index reads each case about once, however many events tell of it. */
Test(search_service, a_case_with_many_events_is_read_once, .timeout = 60)
{
    struct search_world world;
    world_begin(&world);
    struct feed_positions heads = {.at = {0}};
    for (int i = 0; i < 500; i++)
        heads.at[feed_partition("acme")] = world_set_text(&world, 1 + i % 5, "a", "b");
    cr_assert_eq(world_total(&world, "a", heads.at[feed_partition("acme")]), 5);
    size_t before = fake_events_documents_read(world.server.events);
    search_index *index;
    search_follower *follower;
    cr_assert(search_index_new(&index, &world.server.err));
    cr_assert(search_follower_new(world.server.service.cases, index, UINT64_MAX, world_caught_up, &world,
                                  &follower, &world.server.err));
    cr_assert(feed_consumer_wait(search_follower_consumer(follower), &heads,
                                 clock_monotonic_us() + 20 * CLOCK_SECOND, &world.server.err));
    cr_assert_leq(fake_events_documents_read(world.server.events) - before, 10);
    search_follower_free(follower);
    search_index_free(index);
    world_end(&world);
}
