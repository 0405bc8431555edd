#include "tests/support/search_steps.h"

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES(name) (&casework__cases__v1__##name##__descriptor)

enum { CONTACTS = 4, LONG_CASE = 34 };

static const char *const kinds[SEARCH_STEPS] = {"add case", "add message", "edit",  "rename",        "redact",
                                                "delete",   "undelete",    "merge", "unmerge",       "fill",
                                                "erase",    "assign",      "step",  "delete account"};

/* How often each comes, of 100. */
static const int weights[SEARCH_STEPS] = {16, 22, 12, 8, 12, 4, 3, 5, 4, 2, 2, 3, 5, 2};

static const char *const words[] = {"contract", "Straße",  "STRASSE", "a.b@c.com", "invoice",     "refund",
                                    "e-mail",   "O'Brien", "Größe",   "naïve",     "+31(0)20-12", "label",
                                    "urgent",   "printer", "ДОГОВОР", "договор",   "case",        "ＡＢＣ"};

const char *search_steps_pick_word(void)
{
    return words[(size_t)rand() % (sizeof words / sizeof *words)];
}

static char *some_text(struct search_steps *steps)
{
    char *text = arena_printf(steps->memory, "%s", search_steps_pick_word());
    for (int i = rand() % 6; i > 0; i--)
        text = arena_printf(steps->memory, "%s%c%s", text, "  -,/\n"[rand() % 6], search_steps_pick_word());
    return text;
}

/* --- steps -------------------------------------------------------------------------------------------- */

/* What the rules refuse, or a service that is being killed does not answer, has not been done, or it has:
 * the judge reads how it is. */
static bool try_as(struct search_steps *steps, const char *agent, const ProtobufCServiceDescriptor *service,
                   const char *method, const void *request)
{
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE, .agent = agent};
    ProtobufCMessage *response;
    error err;
    if (rpc_client_call(suite_channel(steps->suite, SUITE_CASE, 0), service, method, request, &options,
                        steps->memory, &response, &err))
        return true;
    cr_assert(err.code == STATUS_FAILED_PRECONDITION || err.code == STATUS_NOT_FOUND ||
                  err.code == STATUS_UNAVAILABLE || err.code == STATUS_ALREADY_EXISTS,
              "%s: %s: %s", method, status_code_name(err.code), err.message);
    return false;
}

static bool try_call(struct search_steps *steps, const ProtobufCServiceDescriptor *service,
                     const char *method, const void *request)
{
    return try_as(steps, NULL, service, method, request);
}

static char *case_name(struct search_steps *steps, const struct search_steps_account *account)
{
    return arena_printf(steps->memory, "%s/cases/%d", account->name,
                        1 + rand() % (account->cases ? account->cases : 1));
}

static char *contact_name(struct search_steps *steps, const struct search_steps_account *account)
{
    return arena_printf(steps->memory, "%s/contacts/c%d", account->name, 1 + rand() % CONTACTS);
}

static bool add_contact(struct search_steps *steps, const struct search_steps_account *account, int number)
{
    Casework__Cases__V1__CreateContactRequest request = CASEWORK__CASES__V1__CREATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__Contact contact = CASEWORK__CASES__V1__CONTACT__INIT;
    request.parent = (char *)account->name;
    request.contact_id = arena_printf(steps->memory, "c%d", number);
    request.contact = &contact;
    contact.display_name = some_text(steps);
    return try_call(steps, CASES(contact_service), "CreateContact", &request);
}

bool search_steps_add_case(struct search_steps *steps, struct search_steps_account *account)
{
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case one = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    char *label = (char *)"Contract Needed";
    if (account->cases >= SEARCH_STEPS_CASES_MAX)
        return false;
    one.subject = arena_printf(steps->memory, "%s %s", account->secret, some_text(steps));
    one.channel = arena_printf(steps->memory, "%s/channels/desk", account->name);
    one.contact = rand() % 4 ? contact_name(steps, account) : (char *)"";
    one.labels = &label;
    one.n_labels = rand() % 3 == 0;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.body = some_text(steps);
    request.parent = account->name;
    request.case_ = &one;
    request.first_message = &message;
    account->cases++;
    return try_call(steps, CASES(case_service), "CreateCase", &request);
}

static bool add_message(struct search_steps *steps, char *name)
{
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    bool note = rand() % 3 == 0;
    message.kind = note ? CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_NOTE
                        : CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.body = some_text(steps);
    request.parent = name;
    request.message = &message;
    return try_as(steps, note ? "ann" : NULL, CASES(message_service), "AddMessage", &request);
}

/* More messages than are searched: when an early one goes, a later one moves up. */
static bool fill(struct search_steps *steps, struct search_steps_account *account)
{
    char *name = case_name(steps, account);
    for (int i = 0; i < LONG_CASE; i++)
        if (!add_message(steps, name))
            return false;
    snprintf(account->filled, sizeof account->filled, "%s", name);
    return true;
}

static bool edit(struct search_steps *steps, char *name)
{
    Casework__Cases__V1__UpdateCaseRequest request = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case one = CASEWORK__CASES__V1__CASE__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *paths[] = {(char *)"labels", (char *)"subject"};
    char *labels[] = {(char *)"Contract Needed", (char *)"VIP"};
    mask.paths = paths;
    mask.n_paths = 1 + (size_t)rand() % 2;
    one.name = name;
    one.subject = some_text(steps);
    one.labels = labels;
    one.n_labels = (size_t)rand() % 3;
    request.case_ = &one;
    request.update_mask = &mask;
    return try_call(steps, CASES(case_service), "UpdateCase", &request);
}

static bool rename_contact(struct search_steps *steps, const struct search_steps_account *account)
{
    Casework__Cases__V1__UpdateContactRequest request = CASEWORK__CASES__V1__UPDATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__Contact contact = CASEWORK__CASES__V1__CONTACT__INIT;
    contact.name = contact_name(steps, account);
    contact.display_name = some_text(steps);
    contact.note = some_text(steps);
    request.contact = &contact;
    return try_call(steps, CASES(contact_service), "UpdateContact", &request);
}

static bool redact(struct search_steps *steps, const struct search_steps_account *account)
{
    Casework__Cases__V1__RedactMessageRequest request = CASEWORK__CASES__V1__REDACT_MESSAGE_REQUEST__INIT;
    const char *name = *account->filled && rand() % 2 ? account->filled : case_name(steps, account);
    request.name = arena_printf(steps->memory, "%s/messages/%d", name, 1 + rand() % 3);
    return try_call(steps, CASES(message_service), "RedactMessage", &request);
}

static bool merge(struct search_steps *steps, struct search_steps_account *account)
{
    Casework__Cases__V1__MergeCasesRequest request = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    request.source = case_name(steps, account);
    request.target = case_name(steps, account);
    if (strcmp(request.source, request.target) == 0 ||
        !try_call(steps, CASES(case_service), "MergeCases", &request))
        return false;
    snprintf(account->merged, sizeof account->merged, "%s", request.source);
    return true;
}

/* The last one that was merged; what was written in between stays where it was written. */
static bool unmerge(struct search_steps *steps, struct search_steps_account *account)
{
    Casework__Cases__V1__UnmergeCasesRequest request = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    if (!*account->merged && !merge(steps, account))
        return false;
    request.name = arena_strdup(steps->memory, account->merged);
    *account->merged = '\0';
    return try_call(steps, CASES(case_service), "UnmergeCases", &request);
}

static bool delete_case(struct search_steps *steps, char *name)
{
    Casework__Cases__V1__DeleteCaseRequest request = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
    request.name = name;
    return try_call(steps, CASES(case_service), "DeleteCase", &request);
}

static bool undelete(struct search_steps *steps, const struct search_steps_account *account)
{
    Casework__Cases__V1__UndeleteCaseRequest request = CASEWORK__CASES__V1__UNDELETE_CASE_REQUEST__INIT;
    for (int i = 0; i < 20; i++) {
        request.name = case_name(steps, account);
        if (try_call(steps, CASES(case_service), "UndeleteCase", &request))
            return true;
    }
    return false;
}

static bool assign(struct search_steps *steps, const struct search_steps_account *account)
{
    Casework__Cases__V1__AssignCaseRequest request = CASEWORK__CASES__V1__ASSIGN_CASE_REQUEST__INIT;
    request.name = case_name(steps, account);
    request.owner = rand() % 4 ? arena_printf(steps->memory, "%s/agents/ann", account->name) : (char *)"";
    return try_call(steps, CASES(case_service), "AssignCase", &request);
}

static bool step_on(struct search_steps *steps, char *name)
{
    Casework__Cases__V1__OpenCaseRequest open = CASEWORK__CASES__V1__OPEN_CASE_REQUEST__INIT;
    Casework__Cases__V1__MarkCasePendingRequest pend = CASEWORK__CASES__V1__MARK_CASE_PENDING_REQUEST__INIT;
    Casework__Cases__V1__ResolveCaseRequest resolve = CASEWORK__CASES__V1__RESOLVE_CASE_REQUEST__INIT;
    open.name = pend.name = resolve.name = name;
    switch (rand() % 3) {
    case 0:
        return try_as(steps, "ann", CASES(case_service), "OpenCase", &open);
    case 1:
        return try_as(steps, "ann", CASES(case_service), "MarkCasePending", &pend);
    default:
        return try_as(steps, "ann", CASES(case_service), "ResolveCase", &resolve);
    }
}

static bool erase(struct search_steps *steps, const struct search_steps_account *account)
{
    Casework__Cases__V1__EraseContactRequest request = CASEWORK__CASES__V1__ERASE_CONTACT_REQUEST__INIT;
    request.name = contact_name(steps, account);
    return try_call(steps, CASES(contact_service), "EraseContact", &request);
}

static void begin_account(struct search_steps *steps, struct search_steps_account *account)
{
    const char *name =
        suite_create_account(steps->suite, strrchr(account->name, '/') + 1, "UTC", steps->memory);
    cr_assert_str_eq(name, account->name);
    suite_create_agent(steps->suite, account->name, "ann");
    account->cases = 0;
    *account->merged = *account->filled = '\0';
    for (int i = 1; i <= CONTACTS; i++)
        add_contact(steps, account, i);
    for (int i = 0; i < 6; i++)
        search_steps_add_case(steps, account);
}

static bool delete_account(struct search_steps *steps, struct search_steps_account *account)
{
    Casework__Cases__V1__DeleteAccountRequest request = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    request.name = account->name;
    if (!try_call(steps, CASES(account_service), "DeleteAccount", &request))
        return false;
    begin_account(steps, account);
    return true;
}

static bool take(struct search_steps *steps, enum search_step step, struct search_steps_account *account)
{
    switch (step) {
    case SEARCH_STEP_ADD_CASE:
        return search_steps_add_case(steps, account);
    case SEARCH_STEP_ADD_MESSAGE:
        return add_message(steps, case_name(steps, account));
    case SEARCH_STEP_EDIT:
        return edit(steps, case_name(steps, account));
    case SEARCH_STEP_RENAME:
        return rename_contact(steps, account);
    case SEARCH_STEP_REDACT:
        return redact(steps, account);
    case SEARCH_STEP_DELETE:
        return delete_case(steps, case_name(steps, account));
    case SEARCH_STEP_UNDELETE:
        return undelete(steps, account);
    case SEARCH_STEP_MERGE:
        return merge(steps, account);
    case SEARCH_STEP_UNMERGE:
        return unmerge(steps, account);
    case SEARCH_STEP_FILL:
        return fill(steps, account);
    case SEARCH_STEP_ERASE:
        return erase(steps, account);
    case SEARCH_STEP_ASSIGN:
        return assign(steps, account);
    case SEARCH_STEP_MOVE:
        return step_on(steps, case_name(steps, account));
    case SEARCH_STEP_DELETE_ACCOUNT:
        return delete_account(steps, account);
    case SEARCH_STEPS:
        break;
    }
    return false;
}

void search_steps_take_some(struct search_steps *steps)
{
    int at = rand() % 100, step = 0;
    while (at >= weights[step])
        at -= weights[step++];
    steps->done[step] +=
        take(steps, (enum search_step)step, &steps->accounts[rand() % SEARCH_STEPS_ACCOUNTS]);
}

void search_steps_take_all(struct search_steps *steps)
{
    enum { TRIES = 200 };
    for (int step = 0; step < SEARCH_STEPS; step++)
        for (int i = 0; steps->done[step] == 0; i++) {
            cr_assert_lt(i, TRIES, "%s never succeeds", kinds[step]);
            steps->done[step] +=
                take(steps, (enum search_step)step, &steps->accounts[rand() % SEARCH_STEPS_ACCOUNTS]);
        }
}

void search_steps_begin(struct search_steps *steps, suite *s, arena *memory)
{
    *steps = (struct search_steps){.suite = s, .memory = memory};
    for (int i = 0; i < SEARCH_STEPS_ACCOUNTS; i++) {
        struct search_steps_account *account = &steps->accounts[i];
        snprintf(account->name, sizeof account->name, "accounts/shop%d", i);
        snprintf(account->secret, sizeof account->secret, "secretofshop%d", i);
        begin_account(steps, account);
    }
}

void search_steps_tell(const struct search_steps *steps)
{
    for (int i = 0; i < SEARCH_STEPS; i++)
        fprintf(stderr, "%s: %d\n", kinds[i], steps->done[i]);
}
