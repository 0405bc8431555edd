/* What the account's folders hold, looked at case by case. */

#include "base/clock.h"
#include "tests/support/account_model.h"
#include "tests/support/case_script.h"

#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

static bool is_one_of(enum case_status status, enum case_status last)
{
    return status >= CASE_STATUS_NEW && status <= last;
}

static bool in_folder(const struct account_model *account, const struct model_facts *facts,
                      const struct model_query *query)
{
    if (facts->merged_into)
        return false;
    switch (query->folder) {
    case MODEL_FOLDER_ALL:
        return facts->status != CASE_STATUS_DELETED;
    case MODEL_FOLDER_MY_CASES:
        return facts->owner == query->agent && is_one_of(facts->status, CASE_STATUS_PENDING);
    case MODEL_FOLDER_UNASSIGNED:
        return facts->owner == 0 && is_one_of(facts->status, CASE_STATUS_PENDING);
    case MODEL_FOLDER_RECENT:
        return facts->open_time != 0 && facts->open_time > account->setting.now - CLOCK_DAY &&
               facts->status != CASE_STATUS_DELETED;
    case MODEL_FOLDER_NEED_REPLY:
        return facts->need_reply && is_one_of(facts->status, CASE_STATUS_RESOLVED);
    case MODEL_FOLDER_INVOLVED:
        return model_list_has(&facts->involved, query->agent) &&
               is_one_of(facts->status, CASE_STATUS_RESOLVED);
    default: /* by status */
        return (int)facts->status == (int)query->folder - (int)MODEL_FOLDER_NEW + (int)CASE_STATUS_NEW;
    }
}

static int group_of(int class)
{
    return class <= 3 ? 1 : class == 4 ? 2 : 3;
}

static bool passes(const struct model_facts *facts, const struct model_query *query)
{
    if ((query->owner && facts->owner != query->owner) ||
        (query->contact && facts->contact != query->contact) ||
        (query->channel && facts->channel != query->channel) ||
        (query->start_time && facts->update_time < query->start_time) ||
        (query->end_time && facts->update_time >= query->end_time) ||
        (query->class_value && !model_list_has(&facts->classes, query->class_value)))
        return false;
    for (int i = 0; i < query->labels.count; i++) {
        if (!model_list_has(&facts->labels, query->labels.items[i]))
            return false;
    }
    bool of_group = query->class_group == 0;
    for (int i = 0; i < facts->classes.count; i++)
        of_group = of_group || group_of(facts->classes.items[i]) == group_of(query->class_group);
    return of_group;
}

/* Canonical caseless (Unicode D145), by code point. */
static int compare_subjects(int one, int two)
{
    int result = 0;
    const char *a = script_subject(one), *b = script_subject(two);
    size_t a_length = 0, b_length = 0;
    uint8_t *a_folded = u8_casefold((const uint8_t *)a, strlen(a), NULL, UNINORM_NFD, NULL, &a_length);
    uint8_t *b_folded = u8_casefold((const uint8_t *)b, strlen(b), NULL, UNINORM_NFD, NULL, &b_length);
    if (!a_folded || !b_folded)
        abort();
    result = u8_cmp2(a_folded, a_length, b_folded, b_length);
    free(a_folded);
    free(b_folded);
    return result;
}

static int compare(const struct model_case *one, const struct model_case *two,
                   const struct model_query *query)
{
    const struct model_facts *a = &one->facts, *b = &two->facts;
    int result = query->order == MODEL_ORDER_SUBJECT ? compare_subjects(a->subject, b->subject)
                 : query->order == MODEL_ORDER_STATUS
                     ? (int)a->status - (int)b->status
                     : (a->update_time > b->update_time) - (a->update_time < b->update_time);
    if (result == 0)
        result = (one->number > two->number) - (one->number < two->number);
    return query->descending ? -result : result;
}

size_t account_model_list(const struct account_model *account, const struct model_query *query,
                          int64_t ret_numbers[ACCOUNT_CASES_MAX])
{
    size_t count = 0;
    for (int i = 0; i < account->case_count; i++) {
        const struct model_case *c = &account->cases[i];
        if (!in_folder(account, &c->facts, query) || !passes(&c->facts, query))
            continue;
        size_t place = count++;
        for (; place > 0 && compare(&account->cases[ret_numbers[place - 1] - 1], c, query) > 0; place--)
            ret_numbers[place] = ret_numbers[place - 1];
        ret_numbers[place] = c->number;
    }
    return count;
}
