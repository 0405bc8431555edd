#include "tests/support/report_story.h"

#include "base/clock.h"
#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/channel_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "feed/partition.h"
#include "tests/support/plain_engagements.h"
#include "tests/support/report_rebuild_run.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTINGS_MAX = 1000, ANSWERS_MAX = 40 };

static unsigned next_random(struct report_story *s)
{
    s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(s->seed >> 33);
}

static const char *pick(struct report_story *s, const char *const *list, size_t count)
{
    return list[next_random(s) % count];
}

/* Mostly one of the latest. */
static const char *some_case(struct report_story *s)
{
    size_t touched = s->count - s->spared, back = next_random(s) % 4 == 0 ? touched : 12;
    size_t among = back < touched ? back : touched;
    return s->names[s->count - 1 - next_random(s) % among];
}

/* What the case may refuse. */
static void try_step(struct report_story *s, const ProtobufCServiceDescriptor *service, const char *method,
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

static void write_message(struct report_story *s)
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

static void change_status(struct report_story *s)
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

static void merge_or_part(struct report_story *s)
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

static void tag(struct report_story *s)
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
static const char *case_of_contact(struct report_story *s)
{
    Casework__Cases__V1__Contact contact = CASEWORK__CASES__V1__CONTACT__INIT;
    Casework__Cases__V1__CreateContactRequest create = CASEWORK__CASES__V1__CREATE_CONTACT_REQUEST__INIT;
    Casework__Cases__V1__Case the_case = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    arena *memory = s->shop.memory;
    contact.display_name = (char *)"Carla";
    create.parent = (char *)s->shop.account;
    create.contact_id = arena_printf(memory, "carla-%zu", s->count + 1);
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

static Casework__Cases__V1__EraseContactRequest contact_of(struct report_story *s, size_t number)
{
    Casework__Cases__V1__EraseContactRequest erase = CASEWORK__CASES__V1__ERASE_CONTACT_REQUEST__INIT;
    erase.name = arena_printf(s->shop.memory, "%s/contacts/carla-%zu", s->shop.account, number);
    return erase;
}

void report_story_erase_contact(struct report_story *s, size_t number)
{
    Casework__Cases__V1__EraseContactRequest erase = contact_of(s, number);
    suite_call(s->shop.suite, &casework__cases__v1__contact_service__descriptor, "EraseContact", &erase,
               s->shop.memory);
}

static void forget_something(struct report_story *s)
{
    Casework__Cases__V1__RedactMessageRequest redact = CASEWORK__CASES__V1__REDACT_MESSAGE_REQUEST__INIT;
    if (next_random(s) % 2 == 0) {
        redact.name = arena_printf(s->shop.memory, "%s/messages/%u", some_case(s), 1 + next_random(s) % 4);
        try_step(s, &casework__cases__v1__message_service__descriptor, "RedactMessage", &redact.base, NULL);
    } else {
        Casework__Cases__V1__EraseContactRequest erase =
            contact_of(s, s->spared + 1 + next_random(s) % (s->count - s->spared));
        try_step(s, &casework__cases__v1__contact_service__descriptor, "EraseContact", &erase.base, NULL);
    }
}

/* --- what happens around the cases -----------------------------------------------------------------------
 */

static void note_settings(struct report_story *s, const char *zone, int lock_days)
{
    s->settings[s->settings_count++] =
        (struct plain_settings){.position = suite_position(s->shop.suite, s->shop.account),
                                .time = suite_now_us(s->shop.suite),
                                .zone = zone,
                                .lock_days = lock_days};
}

/* Cases that are there keep the period that they began with. */
void report_story_change_settings(struct report_story *s)
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
void report_story_come_and_go(struct report_story *s)
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
static void kill_reports(struct report_story *s)
{
    unsigned replica = next_random(s) % s->replicas;
    suite_await_restart(s->shop.suite, SUITE_REPORT, replica,
                        suite_kill(s->shop.suite, SUITE_REPORT, replica));
}

static void disturb(struct report_story *s)
{
    switch (next_random(s) % 3) {
    case 0:
        report_story_change_settings(s);
        break;
    case 1:
        report_story_come_and_go(s);
        break;
    default:
        kill_reports(s);
    }
}

static const char *new_case(struct report_story *s)
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

static const char *add(struct report_story *s, const char *name)
{
    cr_assert_lt(s->count, REPORT_STORY_CASES_MAX);
    return s->names[s->count++] = name;
}

const char *report_story_case(struct report_story *s)
{
    return add(s, shop_case(&s->shop));
}

const char *report_story_case_of_contact(struct report_story *s)
{
    return add(s, case_of_contact(s));
}

static void pass_time(struct report_story *s)
{
    static const int64_t minutes[] = {0, 1, 7, 15, 40, 90, 600, 1500, 4400};
    int64_t by = minutes[next_random(s) % (sizeof minutes / sizeof minutes[0])] * CLOCK_MINUTE;
    suite_advance(s->shop.suite, by + (int64_t)(next_random(s) % 3) * CLOCK_SECOND * 450);
}

static void step(struct report_story *s)
{
    unsigned what = next_random(s) % 100;
    if (next_random(s) % 100 == 0)
        disturb(s);
    if (s->count == s->spared || what < 10)
        add(s, new_case(s));
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
        pass_time(s);
}

void report_story_go_on(struct report_story *s, size_t steps)
{
    for (size_t i = 0; i < steps; i++)
        step(s);
}

void report_story_go_to(struct report_story *s, int64_t time_us)
{
    int64_t now = suite_now_us(s->shop.suite);
    if (time_us > now)
        suite_advance(s->shop.suite, time_us - now);
}

/* --- the whole -------------------------------------------------------------------------------------------
 */

size_t report_story_number(const char *name, size_t fallback)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? (size_t)strtoull(text, NULL, 10) : fallback;
}

uint64_t report_story_seed(void)
{
    uint64_t seed = report_story_number("CASEWORK_REPORT_SEED", (size_t)clock_real_us());
    fprintf(stderr, "CASEWORK_REPORT_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void open_channel(struct report_story *s)
{
    Casework__Cases__V1__Channel channel = CASEWORK__CASES__V1__CHANNEL__INIT;
    Casework__Cases__V1__CreateChannelRequest request = CASEWORK__CASES__V1__CREATE_CHANNEL_REQUEST__INIT;
    channel.network = (char *)"whatsapp";
    channel.address = (char *)"+31201234567";
    request.parent = (char *)s->shop.account;
    request.channel_id = (char *)"shop";
    request.channel = &channel;
    suite_call(s->shop.suite, &casework__cases__v1__channel_service__descriptor, "CreateChannel", &request,
               s->shop.memory);
}

struct report_story *report_story_begin(const char *zone, const struct suite_options *options, uint64_t seed)
{
    struct shop shop = shop_begin(zone, options);
    struct report_story *s = arena_calloc(shop.memory, 1, sizeof *s);
    *s = (struct report_story){
        .shop = shop,
        .seed = seed,
        .names = arena_calloc(shop.memory, REPORT_STORY_CASES_MAX, sizeof *s->names),
        .settings = arena_calloc(shop.memory, SETTINGS_MAX, sizeof *s->settings),
        .replicas = options->replicas > 1 ? options->replicas : 1,
        .activity = {.suite = shop.suite,
                     .account = shop.account,
                     .answers = arena_calloc(shop.memory, ANSWERS_MAX, sizeof *s->activity.answers),
                     .answers_max = ANSWERS_MAX,
                     .locked = arena_calloc(shop.memory, ANSWERS_MAX, sizeof *s->activity.locked),
                     .locked_max = ANSWERS_MAX,
                     .memory = shop.memory},
    };
    s->activity.settings = s->settings;
    note_settings(s, zone, 3);
    open_channel(s);
    return s;
}

void report_story_end(struct report_story *s)
{
    struct shop shop = s->shop; /* the story is in its memory */
    fprintf(stderr, "%zu cases, %zu numbers compared\n", s->count, s->compared);
    shop_end(&shop);
}

void report_story_compare(struct report_story *s)
{
    arena *memory = arena_new((size_t)4 << 30);
    struct plain_history history = plain_read(s->shop.suite, s->shop.account, s->count, memory);
    history.error_percent = s->error_percent;
    s->compared += plain_compare(&history, s->seed);
    s->activity.settings_count = s->settings_count;
    s->compared += plain_activity_compare(&s->activity, s->count, s->seed, memory);
    arena_free(memory);
    cr_assert_eq(report_rebuild_run(s->shop.suite, "check", ""), 0, "a rebuild differs");
}
