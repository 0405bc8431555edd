/* Real conversations, in through the command line, out through the API. */

#include "casework/cases/v1/account_service.pb-c.h"
#include "tests/support/conversations.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { CONVERSATIONS = 503, MESSAGES = 1164, ACCOUNTS = 24 };

/* int64 is a string in proto3's JSON, and 0 is left out. */
static long long number_of(const json_t *answer, const char *key)
{
    const char *text = json_string_value(json_object_get(answer, key));
    return text ? strtoll(text, NULL, 10) : 0;
}

static void import_and_expect(suite *s, const char *path, long long imported, long long unchanged,
                              long long messages)
{
    const char *const import[] = {"import", path, NULL};
    json_t *answer = suite_run_json(s, import);
    cr_expect_eq(number_of(answer, "conversationsImported"), imported);
    cr_expect_eq(number_of(answer, "conversationsUnchanged"), unchanged);
    cr_expect_eq(number_of(answer, "messagesImported"), messages);
    cr_expect_eq(number_of(answer, "conversationsRefused"), 0);
    json_decref(answer);
}

static size_t count_accounts(suite *s)
{
    Casework__Cases__V1__ListAccountsRequest request = CASEWORK__CASES__V1__LIST_ACCOUNTS_REQUEST__INIT;
    arena *memory = arena_new(1024 * 1024);
    request.page_size = 1000;
    const Casework__Cases__V1__ListAccountsResponse *response =
        suite_call(s, &casework__cases__v1__account_service__descriptor, "ListAccounts", &request, memory);
    size_t count = response->n_accounts;
    arena_free(memory);
    return count;
}

Test(suite_import, real_conversations_twice_and_every_message_in_order)
{
    const char *path = suite_conversations();
    struct conversations conversations;
    suite *s = suite_start(NULL);
    conversations_read(path, &conversations);
    cr_assert_eq(conversations.count, CONVERSATIONS);
    import_and_expect(s, path, CONVERSATIONS, 0, MESSAGES);
    cr_expect_eq(count_accounts(s), ACCOUNTS);
    cr_expect_eq(conversations_compare(&conversations, s, 0, ""), 0);
    int64_t position = suite_position(s, "accounts/spotifycares");
    import_and_expect(s, path, 0, CONVERSATIONS, 0);
    cr_expect_eq(suite_position(s, "accounts/spotifycares"), position, "the second import left a trace");
    cr_expect_eq(conversations_compare(&conversations, s, 0, ""), 0);
    conversations_release(&conversations);
    suite_stop(s);
}
