/* An account's settings: what they may be, what they are when nobody says, and that a change changes what it
 * names. */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <string.h>

#define ACCOUNTS (&casework__cases__v1__account_service__descriptor)

enum { NAME_MAX_BYTES = 256 };

typedef Casework__Cases__V1__Account account_message;

static struct case_server server;

static void setup(void)
{
    desk_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_settings, .init = setup, .fini = teardown, .timeout = 60);

static const account_message *get(const char *name)
{
    Casework__Cases__V1__GetAccountRequest request = CASEWORK__CASES__V1__GET_ACCOUNT_REQUEST__INIT;
    request.name = desk_text(name);
    Casework__Cases__V1__GetAccountResponse *response =
        desk_call(&server, "", ACCOUNTS, "GetAccount", &request);
    return response->account;
}

static int64_t grace_of(const account_message *account)
{
    int64_t grace_us = -1;
    cr_assert(account->session_grace_duration &&
              wire_duration_us(account->session_grace_duration, &grace_us));
    return grace_us;
}

/* UpdateAccount of one field of accounts/acme. */
static Casework__Cases__V1__UpdateAccountRequest *change(account_message *account, const char *field)
{
    Casework__Cases__V1__UpdateAccountRequest *request = arena_alloc(server.memory, sizeof *request);
    Google__Protobuf__FieldMask *mask = arena_alloc(server.memory, sizeof *mask);
    casework__cases__v1__update_account_request__init(request);
    google__protobuf__field_mask__init(mask);
    mask->paths = arena_calloc(server.memory, 1, sizeof *mask->paths);
    mask->paths[mask->n_paths++] = desk_text(field);
    account->name = desk_text("accounts/acme");
    request->account = account;
    request->update_mask = mask;
    return request;
}

static void expect_refused(account_message *account, const char *field)
{
    const char *etag = get("accounts/acme")->etag;
    error err = desk_fail(&server, "", ACCOUNTS, "UpdateAccount", change(account, field));
    cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT, "%s: %s", field, err.message);
    cr_assert_eq(err.violation_count, 1);
    cr_assert_not_null(strstr(err.violations[0].key, field), "%s", err.violations[0].key);
    cr_assert_str_eq(get("accounts/acme")->etag, etag, "nothing has changed");
}

static void expect_taken(account_message *account, const char *field)
{
    desk_call(&server, "", ACCOUNTS, "UpdateAccount", change(account, field));
}

Test(case_settings, are_filled_in_when_nobody_says_what_they_are)
{
    Casework__Cases__V1__CreateAccountRequest create = CASEWORK__CASES__V1__CREATE_ACCOUNT_REQUEST__INIT;
    create.account_id = desk_text("bare");
    desk_call(&server, "", ACCOUNTS, "CreateAccount", &create);
    const account_message *bare = get("accounts/bare");
    cr_assert_str_eq(bare->time_zone, "UTC");
    cr_assert_eq(bare->report_lock_days, 3);
    cr_assert_eq(grace_of(bare), 15 * CLOCK_SECOND);
    cr_assert_not(bare->reopen_resolved_on_customer_message);
    cr_assert_str_eq(bare->display_name, "");
}

Test(case_settings, a_time_zone_is_a_name_of_the_database_of_zones)
{
    static const char *const good[] = {
        "Europe/Amsterdam", "UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "Asia/Kathmandu", "EST5EDT",
        "Pacific/Chatham"};
    static const char *const bad[] = {"Europe",
                                      "America/Argentina",
                                      "Europe/",
                                      "Europe/Atlantis",
                                      "europe/amsterdam",
                                      "leapseconds",
                                      "posixrules",
                                      "localtime",
                                      "posix",
                                      "right/UTC",
                                      "posix/UTC",
                                      "zone.tab",
                                      "tzdata.zi",
                                      "/etc/passwd",
                                      "../zoneinfo/UTC",
                                      "Europe/../UTC",
                                      " UTC",
                                      "UTC ",
                                      "+02:00",
                                      "CET-1CEST,M3.5.0,M10.5.0/3",
                                      "Europe//",
                                      "./UTC",
                                      "UTC\n"};
    account_message account = CASEWORK__CASES__V1__ACCOUNT__INIT;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        account.time_zone = desk_text(good[i]);
        expect_taken(&account, "time_zone");
        cr_assert_str_eq(get("accounts/acme")->time_zone, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        account.time_zone = desk_text(bad[i]);
        expect_refused(&account, "time_zone");
    }
    account.time_zone = desk_text("");
    expect_taken(&account, "time_zone");
    cr_assert_str_eq(get("accounts/acme")->time_zone, "UTC", "empty means UTC");
}

Test(case_settings, lock_days_are_1_to_366)
{
    static const struct {
        int32_t given, kept; /* kept 0: refused */
    } rows[] = {{1, 1}, {2, 2}, {366, 366}, {0, 3}, {-1, 0}, {367, 0}, {INT32_MIN, 0}, {INT32_MAX, 0}};
    account_message account = CASEWORK__CASES__V1__ACCOUNT__INIT;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        account.report_lock_days = rows[i].given;
        if (rows[i].kept == 0) {
            expect_refused(&account, "report_lock_days");
            continue;
        }
        expect_taken(&account, "report_lock_days");
        cr_assert_eq(get("accounts/acme")->report_lock_days, rows[i].kept);
    }
}

Test(case_settings, the_grace_time_is_0_seconds_to_1_hour)
{
    static const struct {
        int64_t seconds;
        int32_t nanos;
        int64_t kept; /* -1: refused */
    } rows[] = {{0, 0, 0},
                {0, 1000, 1},
                {1, 500000000, CLOCK_SECOND + CLOCK_SECOND / 2},
                {3600, 0, CLOCK_HOUR},
                {3600, 1000, -1},
                {-1, 0, -1},
                {0, -1000, -1},
                {0, -1, -1},
                {1, -1, -1},
                {1, 1000000000, -1},
                {INT64_MAX, 0, -1},
                {INT64_MIN, 0, -1}};
    account_message account = CASEWORK__CASES__V1__ACCOUNT__INIT;
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    account.session_grace_duration = &duration;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        duration.seconds = rows[i].seconds;
        duration.nanos = rows[i].nanos;
        if (rows[i].kept < 0) {
            expect_refused(&account, "session_grace_duration");
            continue;
        }
        expect_taken(&account, "session_grace_duration");
        cr_assert_eq(grace_of(get("accounts/acme")), rows[i].kept, "row %zu", i);
    }
    account.session_grace_duration = NULL;
    expect_taken(&account, "session_grace_duration");
    cr_assert_eq(grace_of(get("accounts/acme")), 15 * CLOCK_SECOND, "absent means the default");
}

Test(case_settings, a_display_name_has_256_bytes_at_the_most)
{
    account_message account = CASEWORK__CASES__V1__ACCOUNT__INIT;
    char name[NAME_MAX_BYTES + 2] = "";
    memset(name, 'a', NAME_MAX_BYTES);
    account.display_name = name;
    expect_taken(&account, "display_name");
    cr_assert_str_eq(get("accounts/acme")->display_name, name);
    name[NAME_MAX_BYTES] = 'a';
    expect_refused(&account, "display_name");
}

/* Each field alone: what the mask does not name stays, whatever the request says of it. */
Test(case_settings, a_change_changes_what_its_mask_names_and_nothing_else)
{
    static const char *const fields[] = {"display_name", "time_zone", "reopen_resolved_on_customer_message",
                                         "report_lock_days", "session_grace_duration"};
    for (int named = 0; named < 5; named++) {
        account_message before = *get("accounts/acme"), wanted = CASEWORK__CASES__V1__ACCOUNT__INIT;
        int64_t grace = grace_of(&before);
        wanted.display_name = arena_printf(server.memory, "Acme %d", named);
        wanted.time_zone = desk_text(strcmp(before.time_zone, "UTC") == 0 ? "Europe/Amsterdam" : "UTC");
        wanted.reopen_resolved_on_customer_message = !before.reopen_resolved_on_customer_message;
        wanted.report_lock_days = before.report_lock_days + 1;
        wanted.session_grace_duration = wire_duration(server.memory, grace + CLOCK_SECOND);
        expect_taken(&wanted, fields[named]);
        const account_message *after = get("accounts/acme");
        cr_assert_str_eq(after->display_name, named == 0 ? wanted.display_name : before.display_name);
        cr_assert_str_eq(after->time_zone, named == 1 ? wanted.time_zone : before.time_zone);
        cr_assert_eq(after->reopen_resolved_on_customer_message,
                     (named == 2) != (bool)before.reopen_resolved_on_customer_message);
        cr_assert_eq(after->report_lock_days, before.report_lock_days + (named == 3));
        cr_assert_eq(grace_of(after), grace + (named == 4 ? CLOCK_SECOND : 0));
        cr_assert_str_neq(after->etag, before.etag);
        wanted.etag = before.etag;
        error err = desk_fail(&server, "", ACCOUNTS, "UpdateAccount", change(&wanted, fields[named]));
        cr_assert_eq(err.code, STATUS_ABORTED);
        cr_assert_str_eq(err.reason, "ETAG_MISMATCH");
    }
    account_message wanted = CASEWORK__CASES__V1__ACCOUNT__INIT;
    wanted.display_name = desk_text("Acme");
    error err = desk_fail(&server, "anna", ACCOUNTS, "UpdateAccount", change(&wanted, "display_name"));
    cr_assert_eq(err.code, STATUS_PERMISSION_DENIED, "settings are for admins");
}
