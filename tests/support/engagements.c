#include "tests/support/engagements.h"

#include "base/clock.h"
#include "tests/support/activity.h"

#include <criterion/criterion.h>
#include <string.h>

static const ProtobufCServiceDescriptor *const cases = &casework__cases__v1__case_service__descriptor;
static const ProtobufCServiceDescriptor *const messages = &casework__cases__v1__message_service__descriptor;
static const ProtobufCServiceDescriptor *const reports = &casework__report__v1__report_service__descriptor;

#define KIND(name) CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_##name

struct shop shop_begin(const char *zone, const struct suite_options *options)
{
    struct shop d = {.suite = suite_start(options), .memory = arena_new((size_t)1 << 30)};
    d.account = suite_create_account(d.suite, "acme", zone, d.memory);
    suite_create_agent(d.suite, d.account, "ann");
    suite_create_agent(d.suite, d.account, "bob");
    suite_create_agent(d.suite, d.account, "cid");
    return d;
}

void shop_end(struct shop *d)
{
    suite_stop(d->suite);
    arena_free(d->memory);
}

void shop_go_to(const struct shop *d, const char *time)
{
    suite_advance(d->suite, activity_instant(time) - suite_now_us(d->suite));
}

const char *shop_case(struct shop *d)
{
    return suite_create_case(d->suite, d->account, "Kettle", "It leaks.", d->memory, NULL);
}

const char *shop_empty_case(struct shop *d)
{
    Casework__Cases__V1__Case the_case = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    the_case.subject = (char *)"Kettle";
    the_case.channel = arena_printf(d->memory, "%s/channels/desk", d->account);
    request.parent = (char *)d->account;
    request.case_ = &the_case;
    const Casework__Cases__V1__CreateCaseResponse *response =
        suite_call(d->suite, cases, "CreateCase", &request, d->memory);
    return response->case_->name;
}

static Casework__Cases__V1__MessageKind kind_of(const char *who)
{
    static const struct {
        const char *who;
        Casework__Cases__V1__MessageKind kind;
    } kinds[] = {{"customer", KIND(CUSTOMER)},
                 {"note", KIND(NOTE)},
                 {"survey", KIND(SURVEY)},
                 {"third", KIND(FROM_THIRD_PARTY)},
                 {"system", KIND(SYSTEM)}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].who, who) == 0)
            return kinds[i].kind;
    }
    return KIND(AGENT);
}

void shop_write_at(struct shop *d, const char *name, const char *who, int64_t send_time, bool automatic)
{
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    Google__Protobuf__Timestamp sent = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    message.kind = kind_of(who);
    message.body = (char *)"As said.";
    message.automatic = automatic;
    sent.seconds = send_time / CLOCK_SECOND;
    sent.nanos = (int32_t)(send_time % CLOCK_SECOND * 1000);
    message.send_time = send_time != 0 ? &sent : NULL;
    if (message.kind == KIND(FROM_THIRD_PARTY))
        message.author = (char *)"parts@supplier.example";
    request.parent = (char *)name;
    request.message = &message;
    const char *agent = message.kind == KIND(AGENT) ? who : message.kind == KIND(NOTE) ? "ann" : NULL;
    const struct rpc_client_options options = {.timeout_us = 20 * CLOCK_SECOND, .agent = agent};
    ProtobufCMessage *response;
    error err = {0};
    cr_assert(rpc_client_call(suite_channel(d->suite, SUITE_CASE, 0), messages, "AddMessage", &request.base,
                              &options, d->memory, &response, &err),
              "%s writes: %s", who, err.message);
}

void shop_write(struct shop *d, const char *name, const char *who)
{
    shop_write_at(d, name, who, 0, false);
}

void shop_merge(struct shop *d, const char *source, const char *target)
{
    Casework__Cases__V1__MergeCasesRequest request = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    request.source = (char *)source;
    request.target = (char *)target;
    suite_call(d->suite, cases, "MergeCases", &request, d->memory);
}

void shop_unmerge(struct shop *d, const char *source)
{
    Casework__Cases__V1__UnmergeCasesRequest request = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    request.name = (char *)source;
    suite_call(d->suite, cases, "UnmergeCases", &request, d->memory);
}

void shop_classify(struct shop *d, const char *name, const char *group, const char *value, bool on)
{
    Casework__Cases__V1__Classification one = CASEWORK__CASES__V1__CLASSIFICATION__INIT, *list[] = {&one};
    Casework__Cases__V1__AddClassificationsRequest add =
        CASEWORK__CASES__V1__ADD_CLASSIFICATIONS_REQUEST__INIT;
    Casework__Cases__V1__RemoveClassificationsRequest take =
        CASEWORK__CASES__V1__REMOVE_CLASSIFICATIONS_REQUEST__INIT;
    one.group = (char *)group;
    one.value = (char *)value;
    add.name = take.name = (char *)name;
    add.classifications = take.classifications = list;
    add.n_classifications = take.n_classifications = 1;
    if (on)
        suite_call(d->suite, cases, "AddClassifications", &add, d->memory);
    else
        suite_call(d->suite, cases, "RemoveClassifications", &take, d->memory);
}

void shop_label(struct shop *d, const char *name, const char *const *labels, size_t count)
{
    Casework__Cases__V1__Case the_case = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__UpdateCaseRequest request = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *paths[] = {(char *)"labels"};
    the_case.name = (char *)name;
    the_case.labels = (char **)labels;
    the_case.n_labels = count;
    mask.paths = paths;
    mask.n_paths = 1;
    request.case_ = &the_case;
    request.update_mask = &mask;
    suite_call(d->suite, cases, "UpdateCase", &request, d->memory);
}

/* --- asking ----------------------------------------------------------------------------------------------
 */

table_request shop_ask(const struct shop *d)
{
    table_request request = CASEWORK__REPORT__V1__LIST_ENGAGEMENTS_REQUEST__INIT;
    request.parent = (char *)d->account;
    request.page_size = 1000;
    request.min_position = suite_position(d->suite, d->account);
    return request;
}

const table_page *shop_table(const struct shop *d, const table_request *request)
{
    const table_page *page = suite_call(d->suite, reports, "ListEngagements", request, d->memory);
    cr_expect_geq(page->position, request->min_position);
    return page;
}

const engagement *shop_engagement(const struct shop *d, const char *name)
{
    table_request request = shop_ask(d);
    const table_page *page = shop_table(d, &request);
    const engagement *found = NULL;
    for (size_t i = 0; i < page->n_engagements; i++) {
        if (strcmp(page->engagements[i]->case_, name) == 0) {
            cr_expect_null(found, "%s twice", name);
            found = page->engagements[i];
        }
    }
    return found;
}

int64_t shop_duration(const Google__Protobuf__Duration *duration)
{
    return duration == NULL ? -1 : duration->seconds * CLOCK_SECOND + duration->nanos / 1000;
}

int64_t shop_time(const Google__Protobuf__Timestamp *time)
{
    return time == NULL ? -1 : activity_time(time);
}
