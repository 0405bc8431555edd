/*
 * What was erased is gone: from every answer, from the feed, and from PostgreSQL's files. Each field that a
 * contact, a connector or a service fills for one gets a mark of its own, which is looked for before and
 * after.
 */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "tests/support/case_desk.h"
#include "tests/support/erase_marks.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNTS (&casework__cases__v1__account_service__descriptor)
#define CONTACTS (&casework__cases__v1__contact_service__descriptor)
#define IMPORTS (&casework__cases__v1__import_service__descriptor)
#define REPORTS (&casework__report__v1__report_service__descriptor)
#define SEARCH (&casework__search__v1__search_service__descriptor)
#define TIMERS (&casework__sla__v1__sla_service__descriptor)

/* --- the proof --------------------------------------------------------------------------------------------
 */

Test(suite_erase, no_byte_of_a_contact_is_left, .timeout = 240)
{
    struct erase_scene scene = scene_begin();
    Casework__Cases__V1__Conversation *imported = scene_plant(&scene);
    const char *contact = scene.contact;
    struct marks_found before = {0}, answered = {0}, left = {0}, disk = {0}, logs = {0};

    pg_conn *conn = scene_connect(&scene, SUITE_CASE);
    scene_run(conn, "ANALYZE"); /* statistics that have seen the texts */
    pg_conn_close(conn);
    marks_on_disk(&scene, &before);
    cr_assert_eq(before.count, scene.marks, "the disk had %zu of %u marks", before.count, scene.marks);
    marks_in_answers(&scene, &answered);
    cr_assert_gt(answered.count, (size_t)scene.marks - 8, "answers had %zu of %u marks", answered.count,
                 scene.marks);
    cr_assert_gt(marks_searchable(&scene), 12);
    const char *report = scene_activity(&scene);

    scene_erase(&scene);
    scene.contact = contact;
    marks_in_answers(&scene, &left);
    cr_expect_eq(left.count, 0, "at once: %s", left.place);
    cr_expect_eq(marks_searchable(&scene), 0, "at once");
    scene_await_erased(&scene);
    marks_in_answers(&scene, &left);
    marks_in_stream(&scene, &left, "StreamEvents");
    marks_in_stream(&scene, &left, "StreamSnapshot");
    cr_expect_eq(left.count, 0, "afterwards: %s", left.place);
    cr_expect_eq(marks_searchable(&scene), 0);
    cr_expect_str_eq(scene_activity(&scene), report, "counts stay");
    cr_expect_eq(scene_import(&scene, imported)->conversations_unchanged, 1);

    cr_expect_str_eq(marks_in_tables(&scene), "");
    scene_vacuum(&scene);
    marks_on_disk(&scene, &disk);
    for (unsigned i = 1; i <= scene.marks; i++)
        cr_expect_not(disk.marks[i], "mark %u is still on disk: %s", i, disk.place);
    marks_in_folder(&logs, arena_printf(scene.memory, "%s/log", suite_directory(scene.s)), "none");
    cr_expect_eq(logs.count, 0, "logs: %s", logs.place);
    cr_expect_gt(scene_search(&scene, "keepme7x"), 0, "others keep theirs");
    scene_end(&scene);
}

/* --- whatever happens -------------------------------------------------------------------------------------
 */

enum { MANY = 1700 };

/* So many cases of one contact, all at once. */
static void import_many(struct erase_scene *scene)
{
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    rpc_stream *stream;
    ProtobufCMessage *response = NULL;
    error err;
    cr_assert(rpc_stream_open(suite_channel(scene->s, SUITE_CASE, 0), IMPORTS, "ImportConversations",
                              &options, &stream, &err));
    Casework__Cases__V1__ImportConversationsRequest request =
        CASEWORK__CASES__V1__IMPORT_CONVERSATIONS_REQUEST__INIT;
    Casework__Cases__V1__Conversation *item = scene_conversation(scene, "jo@example.com");
    request.parent = desk_text(scene->account);
    request.conversation = item;
    item->n_messages = 1;
    item->subject = desk_text("mk01zq7x");
    item->messages[0]->body = desk_text("mk02zq7x");
    for (int i = 0; i < MANY; i++) {
        item->external_id = arena_printf(scene->memory, "import-%d", i);
        cr_assert(rpc_stream_write(stream, &request.base));
    }
    rpc_stream_close_send(stream);
    cr_assert_eq(rpc_stream_read(stream, CLOCK_MINUTE, scene->memory, &response, &err), RPC_READ_MESSAGE,
                 "%s", err.message);
    rpc_stream_free(stream);
    cr_assert_eq(((Casework__Cases__V1__ImportConversationsResponse *)response)->conversations_imported,
                 MANY);
}

static int64_t count(struct erase_scene *scene, const char *sql)
{
    pg_conn *conn = scene_connect(scene, SUITE_CASE);
    int64_t number = strtoll(scene_ask(scene, conn, sql), NULL, 10);
    pg_conn_close(conn);
    return number;
}

Test(suite_erase, an_erasure_goes_on_whoever_is_killed, .timeout = 240)
{
    static const char *const settings[] = {"CASEWORK_INJECT=case_eraser.step=kill@25", NULL};
    const struct suite_options options = {.settings = settings};
    struct erase_scene scene = {.s = suite_start(&options), .memory = arena_new(ERASE_SCENE_MEMORY)};
    scene.account = suite_create_account(scene.s, "acme", "UTC", scene.memory);
    scene_create_channel(&scene);
    import_many(&scene);
    scene.marks = 2;
    cr_assert_eq(scene_search(&scene, "mk01zq7x"), MANY);
    const char *report = scene_activity(&scene);
    pid_t former = suite_pid(scene.s, SUITE_CASE, 0);
    Casework__Cases__V1__ListContactsRequest list = CASEWORK__CASES__V1__LIST_CONTACTS_REQUEST__INIT;
    list.parent = desk_text(scene.account);
    Casework__Cases__V1__ListContactsResponse *contacts = scene_call(&scene, CONTACTS, "ListContacts", &list);
    cr_assert_eq(contacts->n_contacts, 1);
    scene.contact = contacts->contacts[0]->name;
    scene_erase(&scene);
    suite_await_restart(scene.s, SUITE_CASE, 0, former);
    scene_await_erased(&scene);
    cr_expect_eq(count(&scene, "SELECT count(*)::text FROM cases WHERE erased AND subject = ''"), MANY);
    cr_expect_eq(count(&scene, "SELECT count(*)::text FROM messages WHERE body <> ''"), 0);
    cr_expect_eq(count(&scene, "SELECT count(*)::text FROM events WHERE kind = 24 AND case_id <> 0"), MANY,
                 "each case told once");
    cr_expect_eq(marks_searchable(&scene), 0);
    cr_expect_str_eq(scene_activity(&scene), report);

    former = suite_pid(scene.s, SUITE_CASE, 0);
    Casework__Cases__V1__DeleteAccountRequest request = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    request.name = desk_text(scene.account);
    scene_call(&scene, ACCOUNTS, "DeleteAccount", &request);
    suite_await_restart(scene.s, SUITE_CASE, 0, former);
    scene_await_erased(&scene);
    cr_expect_eq(count(&scene, "SELECT count(*)::text FROM events WHERE account = 'acme'"), 1);
    cr_expect_eq(count(&scene, "SELECT count(*)::text FROM cases"), 0);
    scene_end(&scene);
}

static bool fails_not_found(struct erase_scene *scene, const ProtobufCServiceDescriptor *service,
                            const char *method, const ProtobufCMessage *request)
{
    ProtobufCMessage *response;
    error err;
    return !suite_try(scene->s, service, method, request, scene->memory, &response, &err) &&
           err.code == STATUS_NOT_FOUND;
}

/* Until all of them have come that far: whose account is gone cannot be asked. */
static void settle(struct erase_scene *scene)
{
    suite_advance(scene->s, CLOCK_SECOND);
}

Test(suite_erase, a_deleted_account_is_gone_everywhere, .timeout = 240)
{
    struct erase_scene scene = scene_begin();
    const char *first = scene_receive(&scene, "jo@example.com", "oldword");
    suite_step(scene.s, "ResolveCase", first, "anna");
    cr_assert_gt(scene_search(&scene, "oldword"), 0);
    cr_assert_not_null(strstr(scene_activity(&scene), "1/0/1/0"));
    Casework__Cases__V1__DeleteAccountRequest delete = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    delete.name = desk_text(scene.account);
    scene_call(&scene, ACCOUNTS, "DeleteAccount", &delete);
    settle(&scene);

    Casework__Search__V1__SearchCasesRequest found = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    Casework__Report__V1__GetCaseActivityRequest counted =
        CASEWORK__REPORT__V1__GET_CASE_ACTIVITY_REQUEST__INIT;
    Casework__Sla__V1__ListCaseTimersRequest timers = CASEWORK__SLA__V1__LIST_CASE_TIMERS_REQUEST__INIT;
    found.parent = counted.parent = desk_text(scene.account);
    found.query = desk_text("oldword");
    timers.parent = desk_text(first);
    cr_expect(fails_not_found(&scene, SEARCH, "SearchCases", &found.base));
    cr_expect(fails_not_found(&scene, REPORTS, "GetCaseActivity", &counted.base));
    cr_expect(fails_not_found(&scene, TIMERS, "ListCaseTimers", &timers.base));
    scene_await_erased(&scene);

    scene.account = suite_create_account(scene.s, "acme", "UTC", scene.memory);
    suite_create_agent(scene.s, scene.account, "anna");
    scene_create_channel(&scene);
    const char *next = scene_receive(&scene, "jo@example.com", "newword");
    cr_expect_str_eq(next, first, "numbers begin anew");
    cr_expect_eq(scene_search(&scene, "oldword"), 0);
    cr_expect_eq(scene_search(&scene, "newword"), 1);
    cr_expect_not_null(strstr(scene_activity(&scene), "1/0/0/0"), "the report begins anew: %s",
                       scene_activity(&scene));
    cr_expect_null(strstr(scene_activity(&scene), "1/0/1/0"));
    suite_advance(scene.s, 100 * CLOCK_HOUR);
    cr_expect_eq((int)suite_case(scene.s, next, scene.memory)->status, 1,
                 "no timer of the former case closes it");
    scene_end(&scene);
}
