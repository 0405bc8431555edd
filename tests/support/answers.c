#include "tests/support/answers.h"

#include "casework/report/v1/report_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "tests/support/suite_private.h"

#include <stdio.h>
#include <string.h>

enum { MEMORY = 128 * 1024 * 1024 };

struct answer {
    const char *what, *account;
    const ProtobufCMessage *message;
    const uint8_t *bytes;
    size_t length;
};

static void keep(struct answers *all, const char *what, const char *account, const ProtobufCMessage *message)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = arena_alloc(all->memory, length ? length : 1);
    protobuf_c_message_pack(message, bytes);
    all->list[all->count++] = (struct answer){what, account, message, bytes, length};
}

static void ask_search(suite *s, unsigned replica, const char *account, int64_t position, const char *word,
                       struct answers *all)
{
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = (char *)account;
    request.query = (char *)word;
    request.page_size = 1000;
    request.min_position = position;
    keep(all, word, account,
         suite_call_at(s, replica, &casework__search__v1__search_service__descriptor, "SearchCases", &request,
                       all->memory));
}

static void ask_sla(suite *s, unsigned replica, const char *account, int64_t position, struct answers *all)
{
    Casework__Sla__V1__ListTimersRequest request = CASEWORK__SLA__V1__LIST_TIMERS_REQUEST__INIT;
    request.parent = (char *)account;
    request.page_size = 1000;
    request.min_position = position;
    keep(all, "timers", account,
         suite_call_at(s, replica, &casework__sla__v1__sla_service__descriptor, "ListTimers", &request,
                       all->memory));
}

static void ask_report(suite *s, unsigned replica, const char *account, int64_t position, struct answers *all)
{
    Casework__Report__V1__GetCaseActivityRequest request =
        CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    Casework__Report__V1__DateRange range = CASEWORK__REPORT__V1__DATE_RANGE__INIT;
    range.start_date = (char *)"2018-01-01";
    range.end_date = (char *)"2020-07-01";
    request.parent = (char *)account;
    request.min_position = position;
    request.period_case = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_RANGE;
    request.range = &range;
    keep(all, "activity then", account,
         suite_call_at(s, replica, &casework__report__v1__report_service__descriptor, "GetCaseActivity",
                       &request, all->memory));
    request.period_case = CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__PERIOD_PRESET;
    request.preset = CASEWORK__REPORT__V1__REPORT_PERIOD__REPORT_PERIOD_LAST_28_DAYS;
    keep(all, "activity now", account,
         suite_call_at(s, replica, &casework__report__v1__report_service__descriptor, "GetCaseActivity",
                       &request, all->memory));
}

void answers_collect(suite *s, unsigned replica, const char *const *accounts, size_t account_count,
                     const char *const *words, size_t word_count, struct answers *ret_answers)
{
    struct answers all = {.memory = arena_new(MEMORY), .accounts = accounts, .account_count = account_count};
    all.list = arena_calloc(all.memory, account_count * (word_count + 3), sizeof *all.list);
    for (size_t a = 0; a < account_count; a++) {
        int64_t position = suite_position(s, accounts[a]);
        for (size_t w = 0; w < word_count; w++)
            ask_search(s, replica, accounts[a], position, words[w], &all);
        ask_sla(s, replica, accounts[a], position, &all);
        ask_report(s, replica, accounts[a], position, &all);
    }
    *ret_answers = all;
}

void answers_release(struct answers *answers)
{
    arena_free(answers->memory);
    *answers = (struct answers){0};
}

size_t answers_compare(const struct answers *one, const struct answers *two)
{
    size_t different = one->count != two->count;
    for (size_t i = 0; i < one->count && i < two->count; i++) {
        const struct answer *a = &one->list[i], *b = &two->list[i];
        if (a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0)
            continue;
        different++;
        fprintf(stderr, "%s, %s: the answers differ (%zu and %zu bytes)\n", a->account, a->what, a->length,
                b->length);
    }
    return different;
}

void answers_weigh(const struct answers *answers, size_t *ret_found, size_t *ret_timers, size_t *ret_resolved)
{
    *ret_found = *ret_timers = *ret_resolved = 0;
    for (size_t i = 0; i < answers->count; i++) {
        const ProtobufCMessage *message = answers->list[i].message;
        if (message->descriptor == &casework__search__v1__search_cases_response__descriptor)
            *ret_found += ((const Casework__Search__V1__SearchCasesResponse *)message)->n_results;
        else if (message->descriptor == &casework__sla__v1__list_timers_response__descriptor)
            *ret_timers += ((const Casework__Sla__V1__ListTimersResponse *)message)->n_timers;
        else
            *ret_resolved +=
                (size_t)((const Casework__Report__V1__GetCaseActivityResponse *)message)->total->resolved;
    }
}
