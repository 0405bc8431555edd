/*
 * Generated histories through the running services: whatever happens to cases, and whoever is killed
 * meanwhile, what search finds is what reading every case gives. CASEWORK_SEARCH_ROUNDS runs more of them,
 * CASEWORK_SEARCH_SEED the same one again.
 */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/search_judge.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CASES(name) (&casework__cases__v1__##name##__descriptor)
#define SEARCH (&casework__search__v1__search_service__descriptor)

typedef Casework__Search__V1__SearchCasesRequest search_request;
typedef Casework__Search__V1__SearchCasesResponse search_response;

enum { ACCOUNTS = 3, CASES_MAX = 60, CONTACTS = 4, ROUNDS = 4, STEPS = 40, QUERIES = 12, LONG_CASE = 34 };

enum step {
    ADD_CASE,
    ADD_MESSAGE,
    EDIT,
    RENAME,
    REDACT,
    DELETE,
    UNDELETE,
    MERGE,
    UNMERGE,
    FILL,
    ERASE,
    ASSIGN,
    STEP,
    DELETE_ACCOUNT,
    KINDS
};

static const char *const kinds[KINDS] = {"add case", "add message", "edit",  "rename",        "redact",
                                         "delete",   "undelete",    "merge", "unmerge",       "fill",
                                         "erase",    "assign",      "step",  "delete account"};

/* How often each comes, of 100. */
static const int weights[KINDS] = {16, 22, 12, 8, 12, 4, 3, 5, 4, 2, 2, 3, 5, 2};

struct account {
    char name[32], secret[32];
    int cases;       /* that were asked for */
    char merged[64]; /* a case that went into another one; "" or gone */
    char filled[64]; /* a case with more messages than are searched; likewise */
};

struct world {
    suite *suite;
    arena *memory; /* cleared for each round */
    struct account accounts[ACCOUNTS];
    int done[KINDS]; /* steps that succeeded */
    size_t found;
};

static const char *const words[] = {"contract", "Straße",  "STRASSE", "a.b@c.com", "invoice",     "refund",
                                    "e-mail",   "O'Brien", "Größe",   "naïve",     "+31(0)20-12", "label",
                                    "urgent",   "printer", "ДОГОВОР", "договор",   "case",        "ＡＢＣ"};

static const char *pick_word(void)
{
    return words[(size_t)rand() % (sizeof words / sizeof *words)];
}

static char *some_text(struct world *world)
{
    char *text = arena_printf(world->memory, "%s", pick_word());
    for (int i = rand() % 6; i > 0; i--)
        text = arena_printf(world->memory, "%s%c%s", text, "  -,/\n"[rand() % 6], pick_word());
    return text;
}

/* --- steps -------------------------------------------------------------------------------------------- */

/* What the rules refuse, or a service that is being killed does not answer, has not been done, or it has:
 * the judge reads how it is. */
static bool try_as(struct world *world, const char *agent, const ProtobufCServiceDescriptor *service,
                   const char *method, const void *request)
{
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE, .agent = agent};
    ProtobufCMessage *response;
    error err;
    if (rpc_client_call(suite_channel(world->suite, SUITE_CASE, 0), service, method, request, &options,
                        world->memory, &response, &err))
        return true;
    cr_assert(err.code == STATUS_FAILED_PRECONDITION || err.code == STATUS_NOT_FOUND ||
                  err.code == STATUS_UNAVAILABLE || err.code == STATUS_ALREADY_EXISTS,
              "%s: %s: %s", method, status_code_name(err.code), err.message);
    return false;
}

static bool try_call(struct world *world, const ProtobufCServiceDescriptor *service, const char *method,
                     const void *request)
{
    return try_as(world, NULL, service, method, request);
}

static char *case_name(struct world *world, const struct account *account)
{
    return arena_printf(world->memory, "%s/cases/%d", account->name,
                        1 + rand() % (account->cases ? account->cases : 1));
}

static char *contact_name(struct world *world, const struct account *account)
{
    return arena_printf(world->memory, "%s/contacts/c%d", account->name, 1 + rand() % CONTACTS);
}

static bool add_contact(struct world *world, const struct account *account, int number)
{
    Casework__Cases__V1__CreateContactRequest request = CASEWORK__CASES__V1__CREATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__Contact contact = CASEWORK__CASES__V1__CONTACT__INIT;
    request.parent = (char *)account->name;
    request.contact_id = arena_printf(world->memory, "c%d", number);
    request.contact = &contact;
    contact.display_name = some_text(world);
    return try_call(world, CASES(contact_service), "CreateContact", &request);
}

static bool add_case(struct world *world, struct account *account)
{
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case one = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    char *label = (char *)"Contract Needed";
    if (account->cases >= CASES_MAX)
        return false;
    one.subject = arena_printf(world->memory, "%s %s", account->secret, some_text(world));
    one.channel = arena_printf(world->memory, "%s/channels/desk", account->name);
    one.contact = rand() % 4 ? contact_name(world, account) : (char *)"";
    one.labels = &label;
    one.n_labels = rand() % 3 == 0;
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.body = some_text(world);
    request.parent = account->name;
    request.case_ = &one;
    request.first_message = &message;
    account->cases++;
    return try_call(world, CASES(case_service), "CreateCase", &request);
}

static bool add_message(struct world *world, char *name)
{
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    bool note = rand() % 3 == 0;
    message.kind = note ? CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_NOTE
                        : CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.body = some_text(world);
    request.parent = name;
    request.message = &message;
    return try_as(world, note ? "ann" : NULL, CASES(message_service), "AddMessage", &request);
}

/* More messages than are searched: when an early one goes, a later one moves up. */
static bool fill(struct world *world, struct account *account)
{
    char *name = case_name(world, account);
    for (int i = 0; i < LONG_CASE; i++)
        if (!add_message(world, name))
            return false;
    snprintf(account->filled, sizeof account->filled, "%s", name);
    return true;
}

static bool edit(struct world *world, char *name)
{
    Casework__Cases__V1__UpdateCaseRequest request = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case one = CASEWORK__CASES__V1__CASE__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *paths[] = {(char *)"labels", (char *)"subject"};
    char *labels[] = {(char *)"Contract Needed", (char *)"VIP"};
    mask.paths = paths;
    mask.n_paths = 1 + (size_t)rand() % 2;
    one.name = name;
    one.subject = some_text(world);
    one.labels = labels;
    one.n_labels = (size_t)rand() % 3;
    request.case_ = &one;
    request.update_mask = &mask;
    return try_call(world, CASES(case_service), "UpdateCase", &request);
}

static bool rename_contact(struct world *world, const struct account *account)
{
    Casework__Cases__V1__UpdateContactRequest request = CASEWORK__CASES__V1__UPDATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__Contact contact = CASEWORK__CASES__V1__CONTACT__INIT;
    contact.name = contact_name(world, account);
    contact.display_name = some_text(world);
    contact.note = some_text(world);
    request.contact = &contact;
    return try_call(world, CASES(contact_service), "UpdateContact", &request);
}

static bool redact(struct world *world, const struct account *account)
{
    Casework__Cases__V1__RedactMessageRequest request = CASEWORK__CASES__V1__REDACT_MESSAGE_REQUEST__INIT;
    const char *name = *account->filled && rand() % 2 ? account->filled : case_name(world, account);
    request.name = arena_printf(world->memory, "%s/messages/%d", name, 1 + rand() % 3);
    return try_call(world, CASES(message_service), "RedactMessage", &request);
}

static bool merge(struct world *world, struct account *account)
{
    Casework__Cases__V1__MergeCasesRequest request = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    request.source = case_name(world, account);
    request.target = case_name(world, account);
    if (strcmp(request.source, request.target) == 0 ||
        !try_call(world, CASES(case_service), "MergeCases", &request))
        return false;
    snprintf(account->merged, sizeof account->merged, "%s", request.source);
    return true;
}

/* The last one that was merged; what was written in between stays where it was written. */
static bool unmerge(struct world *world, struct account *account)
{
    Casework__Cases__V1__UnmergeCasesRequest request = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    if (!*account->merged && !merge(world, account))
        return false;
    request.name = arena_strdup(world->memory, account->merged);
    *account->merged = '\0';
    return try_call(world, CASES(case_service), "UnmergeCases", &request);
}

static bool delete_case(struct world *world, char *name)
{
    Casework__Cases__V1__DeleteCaseRequest request = CASEWORK__CASES__V1__DELETE_CASE_REQUEST__INIT;
    request.name = name;
    return try_call(world, CASES(case_service), "DeleteCase", &request);
}

static bool undelete(struct world *world, const struct account *account)
{
    Casework__Cases__V1__UndeleteCaseRequest request = CASEWORK__CASES__V1__UNDELETE_CASE_REQUEST__INIT;
    for (int i = 0; i < 20; i++) {
        request.name = case_name(world, account);
        if (try_call(world, CASES(case_service), "UndeleteCase", &request))
            return true;
    }
    return false;
}

static bool assign(struct world *world, const struct account *account)
{
    Casework__Cases__V1__AssignCaseRequest request = CASEWORK__CASES__V1__ASSIGN_CASE_REQUEST__INIT;
    request.name = case_name(world, account);
    request.owner = rand() % 4 ? arena_printf(world->memory, "%s/agents/ann", account->name) : (char *)"";
    return try_call(world, CASES(case_service), "AssignCase", &request);
}

static bool step_on(struct world *world, char *name)
{
    Casework__Cases__V1__OpenCaseRequest open = CASEWORK__CASES__V1__OPEN_CASE_REQUEST__INIT;
    Casework__Cases__V1__MarkCasePendingRequest pend = CASEWORK__CASES__V1__MARK_CASE_PENDING_REQUEST__INIT;
    Casework__Cases__V1__ResolveCaseRequest resolve = CASEWORK__CASES__V1__RESOLVE_CASE_REQUEST__INIT;
    open.name = pend.name = resolve.name = name;
    switch (rand() % 3) {
    case 0:
        return try_as(world, "ann", CASES(case_service), "OpenCase", &open);
    case 1:
        return try_as(world, "ann", CASES(case_service), "MarkCasePending", &pend);
    default:
        return try_as(world, "ann", CASES(case_service), "ResolveCase", &resolve);
    }
}

static bool erase(struct world *world, const struct account *account)
{
    Casework__Cases__V1__EraseContactRequest request = CASEWORK__CASES__V1__ERASE_CONTACT_REQUEST__INIT;
    request.name = contact_name(world, account);
    return try_call(world, CASES(contact_service), "EraseContact", &request);
}

static void begin_account(struct world *world, struct account *account)
{
    const char *name =
        suite_create_account(world->suite, strrchr(account->name, '/') + 1, "UTC", world->memory);
    cr_assert_str_eq(name, account->name);
    suite_create_agent(world->suite, account->name, "ann");
    account->cases = 0;
    *account->merged = *account->filled = '\0';
    for (int i = 1; i <= CONTACTS; i++)
        add_contact(world, account, i);
    for (int i = 0; i < 6; i++)
        add_case(world, account);
}

static bool delete_account(struct world *world, struct account *account)
{
    Casework__Cases__V1__DeleteAccountRequest request = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    request.name = account->name;
    if (!try_call(world, CASES(account_service), "DeleteAccount", &request))
        return false;
    begin_account(world, account);
    return true;
}

static bool take(struct world *world, enum step step, struct account *account)
{
    switch (step) {
    case ADD_CASE:
        return add_case(world, account);
    case ADD_MESSAGE:
        return add_message(world, case_name(world, account));
    case EDIT:
        return edit(world, case_name(world, account));
    case RENAME:
        return rename_contact(world, account);
    case REDACT:
        return redact(world, account);
    case DELETE:
        return delete_case(world, case_name(world, account));
    case UNDELETE:
        return undelete(world, account);
    case MERGE:
        return merge(world, account);
    case UNMERGE:
        return unmerge(world, account);
    case FILL:
        return fill(world, account);
    case ERASE:
        return erase(world, account);
    case ASSIGN:
        return assign(world, account);
    case STEP:
        return step_on(world, case_name(world, account));
    case DELETE_ACCOUNT:
        return delete_account(world, account);
    case KINDS:
        break;
    }
    return false;
}

static void take_some(struct world *world)
{
    int at = rand() % 100, step = 0;
    while (at >= weights[step])
        at -= weights[step++];
    world->done[step] += take(world, (enum step)step, &world->accounts[rand() % ACCOUNTS]);
}

/* Each at least once: a history in which nothing was unmerged says nothing about that. */
static void take_all(struct world *world)
{
    enum { TRIES = 200 };
    for (int step = 0; step < KINDS; step++)
        for (int i = 0; world->done[step] == 0; i++) {
            cr_assert_lt(i, TRIES, "%s never succeeds", kinds[step]);
            world->done[step] += take(world, (enum step)step, &world->accounts[rand() % ACCOUNTS]);
        }
}

/* --- judging ------------------------------------------------------------------------------------------ */

static const search_response *search(struct world *world, const char *account, const char *text)
{
    search_request request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = (char *)account;
    request.query = (char *)text;
    request.page_size = 1000;
    return suite_call(world->suite, SEARCH, "SearchCases", &request, world->memory);
}

static bool is_same(const search_response *one, const search_response *other)
{
    if (one->total_size != other->total_size || one->n_results != other->n_results)
        return false;
    for (size_t i = 0; i < one->n_results; i++)
        if (strcmp(one->results[i]->case_, other->results[i]->case_) != 0)
            return false;
    return true;
}

static char *flip_case(struct world *world, const char *text)
{
    char *flipped = arena_strdup(world->memory, text);
    for (char *c = flipped; *c; c++)
        if (isascii(*c) && rand() % 2)
            *c = (char)(islower(*c) ? toupper(*c) : tolower(*c));
    return flipped;
}

static char *swap_separators(struct world *world, const char *text)
{
    static const char separators[] = "'`+-!()^[]\"{}~?|&/\\.,;: \t\n";
    char *swapped = arena_strdup(world->memory, text);
    for (char *c = swapped; *c; c++)
        if (strchr(separators, *c))
            *c = separators[(size_t)rand() % (sizeof separators - 1)];
    return swapped;
}

/* What must not make a difference does not; a word more never finds more; nobody sees another's. */
static void expect_laws(struct world *world, const struct account *account)
{
    const char *one = pick_word(), *other = pick_word();
    const char *both = arena_printf(world->memory, "%s %s", one, other);
    const search_response *found = search(world, account->name, both);
    cr_assert(is_same(found, search(world, account->name, flip_case(world, both))), "case of «%s»", both);
    cr_assert(is_same(found, search(world, account->name, swap_separators(world, both))),
              "separators of «%s»", both);
    cr_assert(is_same(found, search(world, account->name, arena_printf(world->memory, "%s %s", other, one))),
              "order of «%s»", both);
    cr_assert_leq(found->total_size, search(world, account->name, one)->total_size, "«%s»", both);
    cr_assert_leq(found->total_size, search(world, account->name, other)->total_size, "«%s»", both);
    for (int i = 0; i < ACCOUNTS; i++)
        if (&world->accounts[i] != account)
            cr_assert_eq(search(world, account->name, world->accounts[i].secret)->total_size, 0);
}

static const char *ask_some(struct world *world, const struct search_judge *judge)
{
    char text[2 * SEARCH_JUDGE_WORD_SIZE + 1], word[SEARCH_JUDGE_WORD_SIZE];
    const char *difference = NULL;
    for (int i = 0; i < QUERIES && !difference; i++) {
        size_t count;
        search_judge_pick_word(judge, word);
        snprintf(text, sizeof text, "%s%s%s", i % 2 ? pick_word() : word, i % 3 ? "" : " ",
                 i % 3 ? "" : pick_word());
        difference = search_judge_ask(world->suite, judge, text, &count);
        world->found += count;
    }
    return difference;
}

/* The index compared with the case service by the service itself: what differs, in words; NULL: nothing. */
static const char *check_itself(struct world *world, const char *account)
{
    Casework__Search__V1__CheckIndexRequest request = CASEWORK__SEARCH__V1__CHECK_INDEX_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    const char *told = NULL;
    ProtobufCMessage *message;
    rpc_stream *stream;
    enum rpc_read read;
    error err = {0};
    request.parent = (char *)account;
    cr_assert(rpc_stream_open(suite_channel(world->suite, SUITE_SEARCH, 0), SEARCH, "CheckIndex", &options,
                              &stream, &err));
    if (rpc_stream_write(stream, &request.base))
        rpc_stream_close_send(stream);
    while ((read = rpc_stream_read(stream, CLOCK_MINUTE, world->memory, &message, &err)) ==
           RPC_READ_MESSAGE) {
        const Casework__Search__V1__CheckIndexResponse *item =
            (const Casework__Search__V1__CheckIndexResponse *)message;
        if (item->item_case == CASEWORK__SEARCH__V1__CHECK_INDEX_RESPONSE__ITEM_DIFFERENCE)
            told = arena_printf(world->memory, "%s: kind %d, field %d, missing «%s», surplus «%s»",
                                item->difference->case_, (int)item->difference->kind,
                                (int)item->difference->field,
                                item->difference->n_missing_words ? item->difference->missing_words[0] : "",
                                item->difference->n_surplus_words ? item->difference->surplus_words[0] : "");
    }
    cr_assert_eq(read, RPC_READ_END, "%s", err.message);
    rpc_stream_free(stream);
    return told;
}

/* Erasures go on in the background: a difference counts when nothing has changed meanwhile. */
static void expect_same(struct world *world, const struct account *account)
{
    enum { TRIES = 50 };
    for (int i = 0; i < TRIES; i++) {
        struct search_judge judge;
        search_judge_read(world->suite, account->name, account->cases, world->memory, &judge);
        const char *difference = judge.count ? ask_some(world, &judge) : NULL;
        int64_t read = judge.position;
        search_judge_release(&judge);
        if (!difference)
            return;
        const char *told = check_itself(world, account->name);
        cr_assert_neq(read, suite_position(world->suite, account->name), "%s; the check says: %s", difference,
                      told ? told : "no difference");
    }
    cr_assert_fail("%s never rests", account->name);
}

/* --- faults ------------------------------------------------------------------------------------------- */

static void kill_one(struct world *world, enum suite_service service)
{
    pid_t former = suite_kill(world->suite, service, 0);
    for (int i = 0; i < 3 && service == SUITE_SEARCH; i++)
        take_some(world);
    suite_await_restart(world->suite, service, 0, former);
}

static const search_response *search_from(struct world *world, const char *account, int64_t position)
{
    search_request request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    request.parent = (char *)account;
    request.query = (char *)"contract";
    request.min_position = position;
    return suite_call(world->suite, SEARCH, "SearchCases", &request, world->memory);
}

static int64_t lag_of(struct world *world, const char *account, int64_t *ret_events)
{
    Casework__Search__V1__GetIndexStatusRequest request =
        CASEWORK__SEARCH__V1__GET_INDEX_STATUS_REQUEST__INIT;
    int64_t lag_us = -1;
    request.parent = (char *)account;
    const Casework__Search__V1__GetIndexStatusResponse *status =
        suite_call(world->suite, SEARCH, "GetIndexStatus", &request, world->memory);
    cr_assert(wire_duration_us(status->lag_duration, &lag_us));
    *ret_events = status->lag_events;
    return lag_us;
}

/* Who asks for more than there is waits in vain, and no longer than it said. */
static void expect_late(struct world *world, const char *account, int64_t position)
{
    search_request request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = CLOCK_SECOND / 5};
    ProtobufCMessage *response;
    error err;
    int64_t begun_us = clock_monotonic_us();
    request.parent = (char *)account;
    request.query = (char *)"contract";
    request.min_position = position;
    cr_assert_not(rpc_client_call(suite_channel(world->suite, SUITE_SEARCH, 0), SEARCH, "SearchCases",
                                  &request.base, &options, world->memory, &response, &err));
    cr_assert_eq(err.code, STATUS_DEADLINE_EXCEEDED, "%s", err.message);
    cr_assert_lt(clock_monotonic_us() - begun_us, 30 * CLOCK_SECOND);
}

/* The case service stands still: nothing new comes, which shows as lag, and heals by itself. */
static void stop_feed(struct world *world, struct account *account)
{
    int64_t position = suite_position(world->suite, account->name), events, lag_us;
    search_from(world, account->name, position);
    pid_t pid = suite_pid(world->suite, SUITE_CASE, 0);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    int64_t stopped_us = clock_monotonic_us();
    expect_late(world, account->name, position + 1000);
    cr_assert_geq(search_from(world, account->name, position)->indexed_position, position);
    lag_us = lag_of(world, account->name, &events);
    cr_assert_geq(lag_us, CLOCK_SECOND / 2, "a feed that stands still is no lag");
    cr_assert_leq(lag_us, clock_monotonic_us() - stopped_us + 10 * CLOCK_SECOND);
    cr_assert_eq(kill(pid, SIGCONT), 0);
    while (!add_case(world, account) && account->cases < CASES_MAX)
        continue;
    position = suite_position(world->suite, account->name);
    cr_assert_geq(search_from(world, account->name, position)->indexed_position, position);
    /* Erasures go on, with events of their own. */
    int64_t until = clock_monotonic_us() + CLOCK_MINUTE;
    for (events = 1; events != 0;) {
        cr_assert_lt(clock_monotonic_us(), until, "%lld events are left", (long long)events);
        lag_of(world, account->name, &events);
    }
}

static void go_wrong(struct world *world, int round)
{
    switch (round % 4) {
    case 1:
        kill_one(world, SUITE_SEARCH);
        break;
    case 2:
        stop_feed(world, &world->accounts[rand() % ACCOUNTS]);
        break;
    case 3:
        kill_one(world, SUITE_CASE);
        break;
    default:
        break;
    }
}

static long setting(const char *name, long usually)
{
    const char *value = getenv(name);
    return value ? strtol(value, NULL, 10) : usually;
}

/* Every seventh response of the feed is told once more after it was filed, and what is filed comes late. */
#define AGAIN "CASEWORK_INJECT=search_follower.filed=drop%7"

static void go_through(const char *const *settings, long rounds)
{
    long seed = setting("CASEWORK_SEARCH_SEED", (long)time(NULL));
    const struct suite_options options = {.settings = settings};
    fprintf(stderr, "CASEWORK_SEARCH_SEED=%ld\n", seed);
    srand((unsigned)seed);
    struct world world = {.suite = suite_start(&options), .memory = arena_new((size_t)1 << 30)};
    for (int i = 0; i < ACCOUNTS; i++) {
        snprintf(world.accounts[i].name, sizeof world.accounts[i].name, "accounts/shop%d", i);
        snprintf(world.accounts[i].secret, sizeof world.accounts[i].secret, "secretofshop%d", i);
        begin_account(&world, &world.accounts[i]);
    }
    take_all(&world);
    for (int round = 0; round < rounds; round++) {
        arena_clear(world.memory);
        for (int i = 0; i < STEPS; i++) {
            if (i == STEPS / 2)
                go_wrong(&world, round);
            take_some(&world);
        }
        for (int i = 0; i < ACCOUNTS; i++) {
            expect_same(&world, &world.accounts[i]);
            expect_laws(&world, &world.accounts[i]);
            const char *told = check_itself(&world, world.accounts[i].name);
            cr_assert_null(told, "%s", told);
        }
    }
    for (int i = 0; i < KINDS; i++)
        fprintf(stderr, "%s: %d\n", kinds[i], world.done[i]);
    cr_assert_gt(world.found, (size_t)rounds, "hardly anything was found");
    suite_stop(world.suite);
    arena_free(world.memory);
}

Test(search_history, what_is_found_is_what_is_there, .timeout = 3600)
{
    go_through((const char *const[]){AGAIN, NULL}, setting("CASEWORK_SEARCH_ROUNDS", ROUNDS));
}

Test(search_history, what_is_found_from_files_is_what_is_there, .timeout = 3600)
{
    char directory[] = "/tmp/casework-history-XXXXXX", files[64];
    cr_assert(mkdtemp(directory));
    snprintf(files, sizeof files, "SEARCH_DATA_DIRECTORY=%s/index", directory);
    go_through((const char *const[]){AGAIN, files, "SEARCH_CHECKPOINT_INTERVAL=50ms",
                                     "SEARCH_ERASURE_INTERVAL=200ms", NULL},
               setting("CASEWORK_SEARCH_ROUNDS", ROUNDS));
    process_remove_tree(directory);
}
