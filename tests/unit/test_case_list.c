/* Which statement reads a list, and how orders are written. */

#include "case/case_list.h"

#include <criterion/criterion.h>
#include <string.h>

Test(case_list, orders_are_a_field_and_a_direction)
{
    static const struct {
        const char *text;
        enum case_order order;
        bool descending;
    } good[] = {
        {"", CASE_ORDER_UPDATE, true},
        {"update_time", CASE_ORDER_UPDATE, false},
        {"update_time desc", CASE_ORDER_UPDATE, true},
        {"subject", CASE_ORDER_SUBJECT, false},
        {"subject desc", CASE_ORDER_SUBJECT, true},
        {" subject  desc ", CASE_ORDER_SUBJECT, true},
        {"status", CASE_ORDER_STATUS, false},
        {"status desc", CASE_ORDER_STATUS, true},
    };
    static const char *const bad[] = {"subject descending", "Subject", "owner", "subject,status"};
    enum case_order order;
    bool descending;
    error err;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_assert(case_order_parse(good[i].text, &order, &descending, &err), "%s", good[i].text);
        cr_assert_eq(order, good[i].order, "%s", good[i].text);
        cr_assert_eq(descending, good[i].descending, "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_not(case_order_parse(bad[i], &order, &descending, &err), "%s", bad[i]);
        cr_assert_str_eq(err.violations[0].key, "order_by", "%s", bad[i]);
    }
}

static const struct pg_statement *statement(enum case_folder folder, enum case_order order, bool descending,
                                            const char *owner, const char *contact)
{
    const struct case_list_query query = {.account = "acme",
                                          .folder = folder,
                                          .agent = "anna",
                                          .order = order,
                                          .descending = descending,
                                          .owner = owner,
                                          .contact = contact};
    const struct rpc_page page = {.size = 50, .key = {.text = ""}};
    arena *memory = arena_new(64 * 1024);
    pg_params params;
    pg_params_init(&params, memory);
    const struct pg_statement *found = case_list_statement(&query, &page, 3, &params);
    cr_assert_not(params.failed);
    cr_assert_eq(params.count, 17);
    arena_free(memory);
    return found;
}

Test(case_list, every_folder_order_and_direction_has_a_statement_of_its_own_order)
{
    static const char *const keys[] = {"update", "subject", "status"};
    for (int folder = FOLDER_ALL; folder < FOLDER_COUNT; folder++) {
        for (int order = 0; order < CASE_ORDERS; order++) {
            for (int descending = 0; descending < 2; descending++) {
                const struct pg_statement *s =
                    statement((enum case_folder)folder, (enum case_order)order, descending, NULL, NULL);
                cr_assert_not_null(strstr(s->name, keys[order]));
                cr_assert_not_null(strstr(s->name, descending ? "_desc" : "_asc"));
                cr_assert_not_null(s->sql);
            }
        }
    }
}

Test(case_list, the_narrowest_index_is_read)
{
    cr_assert_str_eq(statement(FOLDER_ALL, CASE_ORDER_UPDATE, true, NULL, NULL)->name,
                     "case_list_status_by_update_desc");
    cr_assert_str_eq(statement(FOLDER_ALL, CASE_ORDER_UPDATE, true, "anna", NULL)->name,
                     "case_list_owner_by_update_desc");
    cr_assert_str_eq(statement(FOLDER_MY_CASES, CASE_ORDER_SUBJECT, false, "anna", NULL)->name,
                     "case_list_desk_by_subject_asc");
    cr_assert_str_eq(statement(FOLDER_RESOLVED, CASE_ORDER_STATUS, false, "anna", "carl")->name,
                     "case_list_contact_by_status_asc");
    cr_assert_str_eq(statement(FOLDER_INVOLVED, CASE_ORDER_UPDATE, true, "anna", NULL)->name,
                     "case_list_involved_by_update_desc");
}
