/* Page tokens go with their request; names are taken apart by the letter. */

#include "casework/cases/v1/case_service.pb-c.h"
#include "rpc/name.h"
#include "rpc/page.h"

#include <criterion/criterion.h>
#include <string.h>

static arena *memory;
static Casework__Cases__V1__ListCasesRequest request;

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static void setup(void)
{
    memory = arena_new(1 << 20);
    casework__cases__v1__list_cases_request__init(&request);
    request.parent = text("accounts/acme");
    request.order_by = text("subject");
}

static void teardown(void)
{
    arena_free(memory);
}

TestSuite(rpc_page, .init = setup, .fini = teardown);

static bool open_page(const char *extra, struct rpc_page *page, error *err)
{
    return rpc_page_open(memory, &request.base, extra, &rpc_page_sizes_usual, page, err);
}

Test(rpc_page, sizes_have_a_default_and_a_limit)
{
    static const int32_t given[] = {0, 1, 50, 1000, 1001, INT32_MAX}, taken[] = {50, 1, 50, 1000, 1000, 1000};
    struct rpc_page page;
    error err;
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        request.page_size = given[i];
        cr_assert(open_page(NULL, &page, &err));
        cr_assert_eq(page.size, taken[i]);
        cr_assert_not(page.after);
        cr_assert_str_eq(page.key.text, "");
    }
    request.page_size = -1;
    cr_assert_not(open_page(NULL, &page, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
}

Test(rpc_page, a_token_brings_its_key_back)
{
    const struct rpc_page_key key = {.first = -5, .second = INT64_MAX, .base = 7, .text = "straße"};
    struct rpc_page page;
    error err;
    request.page_token = rpc_page_seal(memory, &request.base, "anna", &key);
    request.page_size = 3; /* may differ from page to page */
    cr_assert(open_page("anna", &page, &err));
    cr_assert(page.after);
    cr_assert_eq(page.key.first, key.first);
    cr_assert_eq(page.key.second, key.second);
    cr_assert_eq(page.key.base, key.base);
    cr_assert_str_eq(page.key.text, key.text);
}

static void refused(const char *extra)
{
    struct rpc_page page;
    error err;
    cr_assert_not(open_page(extra, &page, &err));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    cr_assert_str_eq(err.reason, "INVALID_PAGE_TOKEN");
}

Test(rpc_page, no_byte_of_a_token_can_be_changed)
{
    const struct rpc_page_key key = {.first = 1, .second = 2, .text = "x"};
    char *good = rpc_page_seal(memory, &request.base, NULL, &key);
    char *edited = request.page_token = arena_strdup(memory, good);
    for (size_t i = 0; good[i]; i++) {
        edited[i] = good[i] == 'A' ? 'B' : 'A';
        refused(NULL);
        edited[i] = good[i];
    }
    edited[strlen(edited) - 1] = '\0';
    refused(NULL);
    request.page_token = text("nonsense");
    refused(NULL);
}

Test(rpc_page, a_token_is_of_no_use_elsewhere)
{
    const struct rpc_page_key key = {.second = 2, .text = ""};
    request.page_token = rpc_page_seal(memory, &request.base, "anna", &key);
    refused("bert");
    request.order_by = text("subject desc");
    refused("anna");
    request.order_by = text("subject");
    request.parent = text("accounts/other");
    refused("anna");
}

Test(rpc_page, names_are_taken_apart)
{
    static const char *const not_numbers[] = {"accounts/acme/cases/01",
                                              "accounts/acme/cases/0",
                                              "accounts/acme/cases/1a",
                                              "accounts/acme/cases/-1",
                                              "accounts/acme/cases/-",
                                              "accounts/acme/cases/\u0661\u0662",
                                              "accounts/acme/cases/9223372036854775808"};
    static const char *const no_names[] = {"",
                                           "accounts/acme",
                                           "accounts/acme/cases/",
                                           "accounts//cases/1",
                                           "accounts/Acme/cases/1",
                                           "accounts/acme/cases/1/",
                                           "/accounts/acme/cases/1",
                                           "accounts/-/cases/1"};
    const char *account;
    int64_t number;
    error err;
    cr_assert(
        rpc_name_case(memory, "accounts/acme/cases/9223372036854775807", "name", &account, &number, &err));
    cr_assert_str_eq(account, "acme");
    cr_assert_eq(number, INT64_MAX);
    for (size_t i = 0; i < sizeof not_numbers / sizeof not_numbers[0]; i++) {
        cr_assert_not(rpc_name_case(memory, not_numbers[i], "name", &account, &number, &err), "%s",
                      not_numbers[i]);
        cr_assert_str_eq(err.reason, "NOT_A_NUMBER");
    }
    for (size_t i = 0; i < sizeof no_names / sizeof no_names[0]; i++) {
        cr_assert_not(rpc_name_case(memory, no_names[i], "name", &account, &number, &err), "%s", no_names[i]);
        cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
    }
}

Test(rpc_page, a_response_has_room_for_one_item_and_for_as_many_as_fit)
{
    struct rpc_room room = {0};
    Casework__Cases__V1__Case item = CASEWORK__CASES__V1__CASE__INIT;
    char *large = arena_alloc(memory, RPC_ROOM_BYTES_MAX / 8);
    cr_assert_not_null(large);
    memset(large, 'x', RPC_ROOM_BYTES_MAX / 8);
    large[RPC_ROOM_BYTES_MAX / 8 - 1] = '\0';
    item.subject = large;
    for (int i = 0; i < 7; i++)
        cr_assert(rpc_room_take(&room, &item.base));
    cr_assert_not(rpc_room_take(&room, &item.base));
    item.subject = text("small");
    cr_assert(rpc_room_take(&room, &item.base));
    room = (struct rpc_room){.used = 0};
    item.subject = large;
    item.name = large; /* together larger than some responses may be; the first one goes in whatever it is */
    cr_assert(rpc_room_take(&room, &item.base));
}

/* --- orders ------------------------------------------------------------------------------------------- */

static const char *const names[] = {"update_time", "update", "subject"};
enum { NAMES = 3, OWN = 7 };

static bool read_order(const char *order_by, int *name, bool *descending, error *err)
{
    *name = OWN;
    *descending = true;
    return rpc_page_order(order_by, names, NAMES, name, descending, err);
}

Test(rpc_page, an_order_is_a_name_and_a_direction_whatever_spaces_there_are)
{
    static const struct {
        const char *text;
        int name;
        bool descending;
    } good[] = {
        {"update_time", 0, false},    {"update", 1, false},          {"subject", 2, false},
        {"subject asc", 2, false},    {"subject desc", 2, true},     {"  update_time", 0, false},
        {"update_time   ", 0, false}, {" update   desc  ", 1, true}, {"", OWN, true},
        {"   ", OWN, true},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int name;
        bool descending;
        error err;
        cr_assert(read_order(good[i].text, &name, &descending, &err), "\"%s\"", good[i].text);
        cr_assert_eq(name, good[i].name, "\"%s\"", good[i].text);
        cr_assert_eq(descending, good[i].descending, "\"%s\"", good[i].text);
    }
}

Test(rpc_page, another_order_is_refused_and_sets_nothing)
{
    static const char *const bad[] = {"updat",
                                      "update_times",
                                      "Subject",
                                      "desc",
                                      "subjectdesc",
                                      "subject DESC",
                                      "subject descending",
                                      "subject desc desc",
                                      "subject,update",
                                      "subject desc, update",
                                      "subject\tdesc",
                                      "-subject"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int name;
        bool descending;
        error err;
        cr_assert_not(read_order(bad[i], &name, &descending, &err), "%s", bad[i]);
        cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT, "%s", bad[i]);
        cr_assert_str_eq(err.violations[0].key, "order_by", "%s", bad[i]);
        cr_assert_eq(name, OWN, "%s", bad[i]);
        cr_assert(descending, "%s", bad[i]);
    }
    int name;
    bool descending;
    error err;
    cr_assert_not(read_order("owner", &name, &descending, &err));
    cr_assert_str_eq(err.violations[0].value, "must be update_time, update or subject");
}
