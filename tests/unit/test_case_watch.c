/* Which cases a watch is about, decided from the facts of events. */

#include "base/clock.h"
#include "case/case_model.h"
#include "case/case_watch_filter.h"

#include <criterion/criterion.h>
#include <string.h>

#define ANNA "accounts/acme/agents/anna"
#define BERT "accounts/acme/agents/bert"

typedef Casework__Cases__V1__CaseFacts case_facts;

static char *text(const char *constant)
{
    return (char *)(uintptr_t)constant;
}

static case_facts facts_of(int status, const char *owner)
{
    case_facts facts = CASEWORK__CASES__V1__CASE_FACTS__INIT;
    facts.status = (Casework__Cases__V1__CaseStatus)status;
    facts.owner = text(owner);
    return facts;
}

static bool in_folder(enum case_folder folder, const case_facts *facts)
{
    const struct watch_filter filter = {.folder = folder, .agent = ANNA};
    const struct watch_cut cut = {100 * CLOCK_SECOND, 7};
    return watch_filter_matches(&filter, &cut, 5, facts);
}

/* A row for each folder: a character for each status, new to deleted; x: in. */
Test(case_watch, folders_by_status)
{
    static const struct {
        enum case_folder folder;
        const char *nobodys, *annas;
    } rows[] = {
        {FOLDER_ALL, "xxxxx.", "xxxxx."},        {FOLDER_NEW, "x.....", "x....."},
        {FOLDER_OPEN, ".x....", ".x...."},       {FOLDER_PENDING, "..x...", "..x..."},
        {FOLDER_RESOLVED, "...x..", "...x.."},   {FOLDER_CLOSED, "....x.", "....x."},
        {FOLDER_DELETED, ".....x", ".....x"},    {FOLDER_MY_CASES, "......", "xxx..."},
        {FOLDER_UNASSIGNED, "xxx...", "......"}, {FOLDER_NEED_REPLY, "xxxx..", "xxxx.."},
        {FOLDER_INVOLVED, "xxxx..", "xxxx.."},   {FOLDER_RECENT, "xxxxx.", "xxxxx."},
    };
    char *involved[] = {text(BERT), text(ANNA)};
    Google__Protobuf__Timestamp opened = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    opened.seconds = 101;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int status = CASE_STATUS_NEW; status <= CASE_STATUS_DELETED; status++) {
            for (int owned = 0; owned < 2; owned++) {
                case_facts facts = facts_of(status, owned ? ANNA : "");
                facts.need_reply = true;
                facts.open_time = &opened;
                facts.involved_agents = involved;
                facts.n_involved_agents = 2;
                bool expected = (owned ? rows[i].annas : rows[i].nobodys)[status - CASE_STATUS_NEW] == 'x';
                cr_assert_eq(in_folder(rows[i].folder, &facts), expected, "folder %d, status %d, owner %s",
                             (int)rows[i].folder, status, facts.owner);
            }
        }
    }
}

Test(case_watch, what_else_folders_ask_for)
{
    char *involved[] = {text(BERT)};
    case_facts facts = facts_of(CASE_STATUS_OPEN, BERT);
    facts.involved_agents = involved;
    facts.n_involved_agents = 1;
    cr_assert_not(in_folder(FOLDER_MY_CASES, &facts));
    cr_assert_not(in_folder(FOLDER_UNASSIGNED, &facts));
    cr_assert_not(in_folder(FOLDER_INVOLVED, &facts));
    cr_assert_not(in_folder(FOLDER_NEED_REPLY, &facts));
    cr_assert_not(in_folder(FOLDER_RECENT, &facts), "never opened");
}

Test(case_watch, a_merged_case_is_in_no_folder)
{
    case_facts facts = facts_of(CASE_STATUS_OPEN, ANNA);
    cr_assert(in_folder(FOLDER_ALL, &facts));
    facts.merged_into = text("accounts/acme/cases/9");
    for (int folder = FOLDER_ALL; folder < FOLDER_COUNT; folder++)
        cr_assert_not(in_folder((enum case_folder)folder, &facts), "folder %d", folder);
}

Test(case_watch, recent_is_cut_by_time_and_number)
{
    static const struct {
        int64_t open_time, case_id;
        bool in;
    } rows[] = {{99, 9, false}, {100, 6, false}, {100, 7, false}, {100, 8, true}, {101, 1, true}};
    const struct watch_filter filter = {.folder = FOLDER_RECENT};
    const struct watch_cut cut = {100 * CLOCK_SECOND, 7};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        Google__Protobuf__Timestamp opened = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
        case_facts facts = facts_of(CASE_STATUS_OPEN, "");
        opened.seconds = rows[i].open_time;
        facts.open_time = &opened;
        cr_assert_eq(watch_filter_matches(&filter, &cut, rows[i].case_id, &facts), rows[i].in, "%zu", i);
    }
}

Test(case_watch, filters)
{
    char *labels[] = {text("blue"), text("Contract Needed")};
    Casework__Cases__V1__Classification tag = CASEWORK__CASES__V1__CLASSIFICATION__INIT, *tags[] = {&tag};
    tag.group = text("topic");
    tag.value = text("billing");
    case_facts facts = facts_of(CASE_STATUS_OPEN, ANNA);
    facts.contact = text("accounts/acme/contacts/1");
    facts.channel = text("accounts/acme/channels/desk");
    facts.labels = labels;
    facts.n_labels = 2;
    facts.classifications = tags;
    facts.n_classifications = 1;
    static const char *const blue[] = {"blue"}, *const both[] = {"Contract Needed", "blue"},
                             *const red[] = {"blue", "red"};
    const struct {
        struct watch_filter filter;
        bool in;
    } rows[] = {
        {{.owner = ANNA}, true},
        {{.owner = BERT}, false},
        {{.contact = "accounts/acme/contacts/1"}, true},
        {{.contact = "accounts/acme/contacts/12"}, false},
        {{.channel = "accounts/acme/channels/desk"}, true},
        {{.channel = "accounts/acme/channels/mail"}, false},
        {{.labels = blue, .label_count = 1}, true},
        {{.labels = both, .label_count = 2}, true},
        {{.labels = red, .label_count = 2}, false},
        {{.group = "topic"}, true},
        {{.group = "topic", .value = "billing"}, true},
        {{.group = "topic", .value = "shipping"}, false},
        {{.group = "billing"}, false},
    };
    const struct watch_cut cut = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct watch_filter filter = rows[i].filter;
        filter.folder = FOLDER_ALL;
        cr_assert_eq(watch_filter_matches(&filter, &cut, 5, &facts), rows[i].in, "%zu", i);
    }
}

Test(case_watch, one_case_whatever_becomes_of_it)
{
    const struct watch_filter filter = {.case_id = 5, .folder = FOLDER_ALL};
    const struct watch_cut cut = {0};
    case_facts facts = facts_of(CASE_STATUS_DELETED, "");
    cr_assert(watch_filter_matches(&filter, &cut, 5, &facts));
    cr_assert_not(watch_filter_matches(&filter, &cut, 6, &facts));
}
