/*
 * Generated histories over the whole product: messages of all kinds, closings, re-openings, merges and their
 * undoing, deletions, erased contacts, redacted messages, labels and classifications, on two channels, over
 * changes of daylight saving and of the account's settings, beside accounts that come and go, while report
 * services are killed and every event is told twice; then every report against a plain reading of each case's
 * history, and the tables against a rebuild. CASEWORK_REPORT_STEPS=5000 runs longer, CASEWORK_REPORT_SEEDS=20
 * so many histories, CASEWORK_REPORT_SEED=… (printed) the same again.
 */

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "feed/partition.h"
#include "tests/support/activity.h"
#include "tests/support/engagements.h"
#include "tests/support/plain_activity.h"
#include "tests/support/plain_engagements.h"
#include "tests/support/report_rebuild_run.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(engagement_history, .timeout = 86400);

enum { STEPS = 500, CASES_MAX = 20000, SETTINGS_MAX = 1000, ANSWERS_MAX = 40 };

struct story {
    struct shop shop;
    uint64_t seed;
    const char *names[CASES_MAX];
    size_t count;
    struct plain_settings settings[SETTINGS_MAX]; /* that the account has had */
    size_t settings_count;
    size_t gone;       /* accounts that came and went */
    unsigned replicas; /* of the report service; two: each event is applied twice */
};

static unsigned next_random(struct story *s)
{
    s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(s->seed >> 33);
}

static const char *pick(struct story *s, const char *const *list, size_t count)
{
    return list[next_random(s) % count];
}

/* Mostly one of the latest. */
static const char *some_case(struct story *s)
{
    size_t back = next_random(s) % 4 == 0 ? s->count : 12;
    size_t among = back < s->count ? back : s->count;
    return s->names[s->count - 1 - next_random(s) % among];
}

/* What the case may refuse. */
static void try_step(struct story *s, const ProtobufCServiceDescriptor *service, const char *method,
                     const ProtobufCMessage *request, const char *agent)
{
    const struct rpc_client_options options = {.timeout_us = 20 * CLOCK_SECOND, .agent = agent};
    ProtobufCMessage *response;
    error err = {0};
    if (!rpc_client_call(suite_channel(s->shop.suite, SUITE_CASE, 0), service, method, request, &options,
                         s->shop.memory, &response, &err))
        cr_assert(err.code == STATUS_FAILED_PRECONDITION || err.code == STATUS_NOT_FOUND, "%s: %s", method,
                  err.message);
}

static void write_message(struct story *s)
{
    static const char *const agents[] = {"ann", "bob", "cid"};
    static const int kinds[] = {1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 5, 6, 7};
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    Google__Protobuf__Timestamp sent = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    message.kind = (Casework__Cases__V1__MessageKind)kinds[next_random(s) % (sizeof kinds / sizeof kinds[0])];
    message.body = (char *)"Well, then.";
    message.automatic = next_random(s) % 10 == 0;
    message.author = (char *)(message.kind == 5 ? "parts@supplier.example" : "");
    bool by_agent = message.kind == 2 || message.kind == 3;
    if (!by_agent && next_random(s) % 5 == 0) { /* came late */
        int64_t then = suite_now_us(s->shop.suite) - (int64_t)(next_random(s) % 300) * CLOCK_MINUTE;
        sent.seconds = then / CLOCK_SECOND;
        message.send_time = &sent;
    }
    request.parent = (char *)some_case(s);
    request.message = &message;
    if (message.kind == 2 && !message.automatic && next_random(s) % 4 == 0)
        request.then = (Casework__Cases__V1__AfterSend)(1 + next_random(s) % 2);
    try_step(s, &casework__cases__v1__message_service__descriptor, "AddMessage", &request.base,
             by_agent ? pick(s, agents, 3) : NULL);
}

static void change_status(struct story *s)
{
    static const char *const methods[] = {"ResolveCase", "ResolveCase", "ResolveCase",  "MarkCasePending",
                                          "ReopenCase",  "DeleteCase",  "UndeleteCase", "OpenCase"};
    const char *method = pick(s, methods, sizeof methods / sizeof methods[0]);
    const ProtobufCServiceDescriptor *service = &casework__cases__v1__case_service__descriptor;
    const ProtobufCMethodDescriptor *found =
        protobuf_c_service_descriptor_get_method_by_name(service, method);
    ProtobufCMessage *request = arena_calloc(s->shop.memory, 1, found->input->sizeof_message);
    found->input->message_init(request);
    size_t name = protobuf_c_message_descriptor_get_field_by_name(found->input, "name")->offset;
    *(const char **)((char *)request + name) = some_case(s);
    try_step(s, service, method, request, next_random(s) % 3 == 0 ? "bob" : "ann");
}

static void merge_or_part(struct story *s)
{
    Casework__Cases__V1__MergeCasesRequest merge = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    Casework__Cases__V1__UnmergeCasesRequest part = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    merge.source = (char *)some_case(s);
    merge.target = (char *)some_case(s);
    part.name = (char *)some_case(s);
    if (next_random(s) % 3 == 0)
        try_step(s, &casework__cases__v1__case_service__descriptor, "UnmergeCases", &part.base, "ann");
    else if (strcmp(merge.source, merge.target) != 0)
        try_step(s, &casework__cases__v1__case_service__descriptor, "MergeCases", &merge.base, "ann");
}

static void tag(struct story *s)
{
    static const char *const groups[] = {"topic", "sentiment", "resolution"};
    static const char *const values[] = {"Delivery", "angry", "é", "z"};
    static const char *const labels[] = {"Contract Needed", "VIP", "ärger"};
    Casework__Cases__V1__Classification one = CASEWORK__CASES__V1__CLASSIFICATION__INIT, *list[] = {&one};
    Casework__Cases__V1__AddClassificationsRequest add =
        CASEWORK__CASES__V1__ADD_CLASSIFICATIONS_REQUEST__INIT;
    Casework__Cases__V1__Case the_case = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__UpdateCaseRequest update = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *paths[] = {(char *)"labels"};
    const ProtobufCServiceDescriptor *service = &casework__cases__v1__case_service__descriptor;
    one.group = (char *)pick(s, groups, 3);
    one.value = (char *)pick(s, values, 4);
    add.name = (char *)some_case(s);
    add.classifications = list;
    add.n_classifications = 1;
    switch (next_random(s) % 4) {
    case 0:
        the_case.name = add.name;
        the_case.labels = (char **)labels + next_random(s) % 2;
        the_case.n_labels = next_random(s) % 3;
        mask.paths = paths;
        mask.n_paths = 1;
        update.case_ = &the_case;
        update.update_mask = &mask;
        try_step(s, service, "UpdateCase", &update.base, "cid");
        break;
    case 1: /* the two requests are alike */
        try_step(s, service, "AddClassifications", &add.base, "cid");
        add.base.descriptor = &casework__cases__v1__remove_classifications_request__descriptor;
        try_step(s, service, "RemoveClassifications", &add.base, "cid");
        break;
    default:
        try_step(s, service, "AddClassifications", &add.base, "cid");
    }
}

/* A case of a known contact on the other channel. */
static const char *case_of_contact(struct story *s)
{
    Casework__Cases__V1__Contact contact = CASEWORK__CASES__V1__CONTACT__INIT;
    Casework__Cases__V1__CreateContactRequest create = CASEWORK__CASES__V1__CREATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__Case the_case = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    arena *memory = s->shop.memory;
    contact.display_name = (char *)"Carla";
    create.parent = (char *)s->shop.account;
    create.contact_id = arena_printf(memory, "carla-%zu", s->count);
    create.contact = &contact;
    suite_call(s->shop.suite, &casework__cases__v1__contact_service__descriptor, "CreateContact", &create,
               memory);
    the_case.subject = (char *)"Chair";
    the_case.channel = arena_printf(memory, "%s/channels/shop", s->shop.account);
    the_case.contact = arena_printf(memory, "%s/contacts/%s", s->shop.account, create.contact_id);
    request.parent = (char *)s->shop.account;
    request.case_ = &the_case;
    const Casework__Cases__V1__CreateCaseResponse *response = suite_call(
        s->shop.suite, &casework__cases__v1__case_service__descriptor, "CreateCase", &request, memory);
    return response->case_->name;
}

static void forget_something(struct story *s)
{
    Casework__Cases__V1__RedactMessageRequest redact = CASEWORK__CASES__V1__REDACT_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__EraseContactRequest erase = CASEWORK__CASES__V1__ERASE_CONTACT_REQUEST__INIT;
    if (next_random(s) % 2 == 0) {
        redact.name = arena_printf(s->shop.memory, "%s/messages/%u", some_case(s), 1 + next_random(s) % 4);
        try_step(s, &casework__cases__v1__message_service__descriptor, "RedactMessage", &redact.base, NULL);
    } else {
        erase.name = arena_printf(s->shop.memory, "%s/contacts/carla-%zu", s->shop.account,
                                  (size_t)next_random(s) % s->count);
        try_step(s, &casework__cases__v1__contact_service__descriptor, "EraseContact", &erase.base, NULL);
    }
}

/* --- what happens around the cases -----------------------------------------------------------------------
 */

static void note_settings(struct story *s, const char *zone, int lock_days)
{
    s->settings[s->settings_count++] =
        (struct plain_settings){.position = suite_position(s->shop.suite, s->shop.account),
                                .time = suite_now_us(s->shop.suite),
                                .zone = zone,
                                .lock_days = lock_days};
}

/* Cases that are there keep the period that they began with. */
static void change_settings(struct story *s)
{
    static const char *const zones[] = {"Europe/Amsterdam", "America/New_York", "Asia/Kathmandu",
                                        "Pacific/Auckland"};
    Casework__Cases__V1__Account account = CASEWORK__CASES__V1__ACCOUNT__INIT;
    Casework__Cases__V1__UpdateAccountRequest request = CASEWORK__CASES__V1__UPDATE_ACCOUNT_REQUEST__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *paths[] = {(char *)"time_zone", (char *)"report_lock_days"};
    if (s->settings_count == SETTINGS_MAX)
        return;
    account.name = (char *)s->shop.account;
    account.time_zone = (char *)pick(s, zones, sizeof zones / sizeof zones[0]);
    account.report_lock_days = 1 + (int)(next_random(s) % 5);
    mask.paths = paths;
    mask.n_paths = 2;
    request.account = &account;
    request.update_mask = &mask;
    suite_call(s->shop.suite, &casework__cases__v1__account_service__descriptor, "UpdateAccount", &request,
               s->shop.memory);
    note_settings(s, account.time_zone, account.report_lock_days);
}

/* An account of the same partition, with a case. */
static void come_and_go(struct story *s)
{
    Casework__Cases__V1__DeleteAccountRequest gone = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    const char *id;
    do
        id = arena_printf(s->shop.memory, "gone-%zu", ++s->gone);
    while (feed_partition(id) != feed_partition("acme"));
    gone.name = (char *)suite_create_account(s->shop.suite, id, "UTC", s->shop.memory);
    const char *name =
        suite_create_case(s->shop.suite, gone.name, "Chair", "It wobbles.", s->shop.memory, NULL);
    suite_step(s->shop.suite, "ResolveCase", name, NULL);
    suite_call(s->shop.suite, &casework__cases__v1__account_service__descriptor, "DeleteAccount", &gone,
               s->shop.memory);
}

/* In the middle of whatever it does with what has just happened. */
static void kill_reports(struct story *s)
{
    unsigned replica = next_random(s) % s->replicas;
    suite_await_restart(s->shop.suite, SUITE_REPORT, replica,
                        suite_kill(s->shop.suite, SUITE_REPORT, replica));
}

static void disturb(struct story *s)
{
    switch (next_random(s) % 3) {
    case 0:
        change_settings(s);
        break;
    case 1:
        come_and_go(s);
        break;
    default:
        kill_reports(s);
    }
}

static const char *new_case(struct story *s)
{
    switch (next_random(s) % 6) {
    case 0:
        return shop_empty_case(&s->shop);
    case 1:
    case 2:
        return case_of_contact(s);
    default:
        return shop_case(&s->shop);
    }
}

static void go_on(struct story *s)
{
    static const int64_t minutes[] = {0, 1, 7, 15, 40, 90, 600, 1500, 4400};
    int64_t by = minutes[next_random(s) % (sizeof minutes / sizeof minutes[0])] * CLOCK_MINUTE;
    suite_advance(s->shop.suite, by + (int64_t)(next_random(s) % 3) * CLOCK_SECOND * 450);
}

static void step(struct story *s)
{
    unsigned what = next_random(s) % 100;
    if (next_random(s) % 100 == 0)
        disturb(s);
    if (s->count == 0 || what < 10)
        s->names[s->count++] = new_case(s);
    else if (what < 55)
        write_message(s);
    else if (what < 75)
        change_status(s);
    else if (what < 80)
        merge_or_part(s);
    else if (what < 88)
        tag(s);
    else if (what < 90)
        forget_something(s);
    else
        go_on(s);
}

static size_t number_from(const char *name, size_t fallback)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? (size_t)strtoull(text, NULL, 10) : fallback;
}

static void open_shop(struct story *s, const char *zone, const struct suite_options *options)
{
    Casework__Cases__V1__Channel channel = CASEWORK__CASES__V1__CHANNEL__INIT;
    Casework__Cases__V1__CreateChannelRequest request = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    s->shop = shop_begin(zone, options);
    s->replicas = options->replicas > 1 ? options->replicas : 1;
    s->count = s->settings_count = s->gone = 0;
    note_settings(s, zone, 3);
    channel.network = (char *)"whatsapp";
    channel.address = (char *)"+31201234567";
    request.parent = (char *)s->shop.account;
    request.channel_id = (char *)"shop";
    request.channel = &channel;
    suite_call(s->shop.suite, &casework__cases__v1__channel_service__descriptor, "CreateChannel", &request,
               s->shop.memory);
}

/* All reports, by every replica's tables; percentiles are looked up exactly, or in sketches, which may be off
 * by so much. */
static size_t compare_all(struct story *s, struct plain_activity *activity, int64_t error_percent)
{
    arena *memory = arena_new((size_t)2 << 30);
    struct plain_history history = plain_read(s->shop.suite, s->shop.account, s->count, memory);
    history.error_percent = error_percent;
    size_t compared = plain_compare(&history, s->seed);
    activity->settings_count = s->settings_count;
    compared += plain_activity_compare(activity, s->count, s->seed, memory);
    arena_free(memory);
    cr_assert_eq(report_rebuild_run(s->shop.suite, "check", ""), 0, "a rebuild differs");
    return compared;
}

/* An account leaves nothing behind. */
static void end_account(struct story *s)
{
    Casework__Cases__V1__DeleteAccountRequest gone = CASEWORK__CASES__V1__DELETE_ACCOUNT_REQUEST__INIT;
    gone.name = (char *)s->shop.account;
    suite_call(s->shop.suite, &casework__cases__v1__account_service__descriptor, "DeleteAccount", &gone,
               s->shop.memory);
    cr_assert_eq(report_rebuild_run(s->shop.suite, "check", ""), 0, "a rebuild after the deletion differs");
}

static void live(uint64_t seed, const char *zone, const struct suite_options *options, int64_t error_percent)
{
    static struct story s;
    struct plain_answer answers[ANSWERS_MAX];
    size_t steps = number_from("CASEWORK_REPORT_STEPS", STEPS), compared = 0;
    s.seed = seed;
    fprintf(stderr, "CASEWORK_REPORT_SEED=%llu\n", (unsigned long long)seed);
    open_shop(&s, zone, options);
    struct plain_activity activity = {.suite = s.shop.suite,
                                      .account = s.shop.account,
                                      .settings = s.settings,
                                      .answers = answers,
                                      .answers_max = ANSWERS_MAX,
                                      .memory = s.shop.memory};
    for (size_t i = 1; i <= steps; i++) {
        step(&s);
        if (i % 1000 == 0 || i == steps || i == steps / 2)
            compared += compare_all(&s, &activity, error_percent);
    }
    end_account(&s);
    fprintf(stderr, "%zu steps, %zu cases, %zu numbers compared\n", steps, s.count, compared);
    shop_end(&s.shop);
}

static void live_on(const char *zone, const struct suite_options *options, int64_t error_percent)
{
    uint64_t seed = number_from("CASEWORK_REPORT_SEED", (size_t)clock_real_us());
    size_t histories = number_from("CASEWORK_REPORT_SEEDS", 1);
    for (size_t i = 0; i < histories; i++)
        live(seed + i, zone, options, error_percent);
}

Test(engagement_history, every_report_equals_a_plain_reading_of_each_case)
{
    const struct suite_options options = {.clock = "manual=2026-03-20T09:07:00Z"};
    live_on("Europe/Amsterdam", &options, 0);
}

/* Two of each service. */
Test(engagement_history, beyond_the_exact_ones_percentiles_are_within_one_per_cent)
{
    static const char *const settings[] = {"REPORT_EXACT_MAX=0", NULL};
    const struct suite_options options = {
        .clock = "manual=2026-10-25T09:07:00Z", .settings = settings, .replicas = 2};
    live_on("America/New_York", &options, 1);
}

/* --- the real conversations --------------------------------------------------------------------------------
 */

static size_t cases_of(suite *s, const char *account, arena *memory)
{
    Casework__Cases__V1__CountCasesRequest request = CASEWORK__CASES__V1__COUNT_CASES_REQUEST__INIT;
    request.parent = (char *)account;
    const Casework__Cases__V1__CountCasesResponse *response =
        suite_call(s, &casework__cases__v1__case_service__descriptor, "CountCases", &request, memory);
    for (size_t i = 0; i < response->n_counts; i++) {
        if (response->counts[i]->folder == CASEWORK__CASES__V1__FOLDER__FOLDER_ALL)
            return (size_t)response->counts[i]->count;
    }
    return 0;
}

Test(engagement_history, the_real_conversations)
{
    const char *path = suite_conversations();
    suite *s = suite_start(NULL);
    arena *memory = arena_new((size_t)2 << 30);
    cr_assert_eq(suite_run(s, (const char *const[]){"import", path, NULL}, NULL), 0);
    Casework__Cases__V1__ListAccountsRequest list = CASEWORK__CASES__V1__LIST_ACCOUNTS_REQUEST__INIT;
    list.page_size = 1000;
    const Casework__Cases__V1__ListAccountsResponse *accounts =
        suite_call(s, &casework__cases__v1__account_service__descriptor, "ListAccounts", &list, memory);
    size_t cases = 0;
    for (size_t i = 0; i < accounts->n_accounts; i++) {
        const char *account = accounts->accounts[i]->name;
        size_t count = cases_of(s, account, memory);
        struct plain_history history = plain_read(s, account, count, memory);
        cr_expect_gt(plain_compare(&history, i + 1), 0);
        cases += count;
    }
    cr_expect_eq(cases, 503);
    arena_free(memory);
    suite_stop(s);
}
