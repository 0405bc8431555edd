#include "tests/support/churn.h"

#include "base/arena.h"
#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"

#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define MESSAGES (&casework__cases__v1__message_service__descriptor)

enum { MEMORY = 64 * 1024 };

struct churn {
    struct churn_options options;
    pthread_t thread;
    sem_t room;
    _Atomic bool stopping;
    _Atomic int64_t done, last_case;
    uint64_t state;
    unsigned turn;
};

/* One call being put together. */
struct act {
    churn *c;
    arena *memory;
    char *name; /* of the case */
    const char *agent;
};

uint64_t churn_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t below(churn *c, uint64_t limit)
{
    return churn_random(&c->state) % limit;
}

static void answered(void *argument, const ProtobufCMessage *response, const error *err)
{
    churn *c = argument;
    if (!err)
        atomic_fetch_add(&c->done, 1);
    if (response && response->descriptor == &casework__cases__v1__create_case_response__descriptor) {
        const Casework__Cases__V1__CreateCaseResponse *created = (const void *)response;
        int64_t number = strtoll(strrchr(created->case_->name, '/') + 1, NULL, 10);
        int64_t last = atomic_load(&c->last_case);
        while (last < number && !atomic_compare_exchange_weak(&c->last_case, &last, number)) {
        }
    }
    sem_post(&c->room);
}

static void send(struct act *act, const ProtobufCServiceDescriptor *service, const char *method,
                 const void *request)
{
    churn *c = act->c;
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE, .agent = act->agent};
    rpc_channel *channel = c->options.channels[c->turn++ % CHURN_CHANNELS_MAX];
    rpc_client_call_async(channel ? channel : c->options.channels[0], service, method, request, &options,
                          answered, c);
}

/* --- what can be done --- */

static void create_case(struct act *act)
{
    Casework__Cases__V1__CreateCaseRequest request = CASEWORK__CASES__V1__CREATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case new_case = CASEWORK__CASES__V1__CASE__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    new_case.subject = (char *)(uintptr_t)CHURN_TEXT;
    new_case.channel = arena_printf(act->memory, "accounts/%s/channels/desk", act->c->options.account);
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER;
    message.body = (char *)(uintptr_t)CHURN_TEXT;
    request.parent = arena_printf(act->memory, "accounts/%s", act->c->options.account);
    request.case_ = &new_case;
    request.first_message = &message;
    act->agent = NULL;
    send(act, CASES, "CreateCase", &request);
}

static void write_message(struct act *act)
{
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    uint64_t kind = below(act->c, 3);
    message.kind = kind == 0   ? CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER
                   : kind == 1 ? CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT
                               : CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_NOTE;
    message.body = (char *)(uintptr_t)CHURN_TEXT;
    request.parent = act->name;
    request.message = &message;
    if (kind == 0)
        act->agent = NULL;
    else if (!act->agent)
        act->agent = "bert";
    if (kind == 1)
        request.then = (Casework__Cases__V1__AfterSend)below(act->c, 3);
    send(act, MESSAGES, "AddMessage", &request);
}

static void assign(struct act *act)
{
    Casework__Cases__V1__AssignCaseRequest request = CASEWORK__CASES__V1__ASSIGN_CASE_REQUEST__INIT;
    static const char *const owners[] = {"anna", "bert", NULL};
    const char *owner = owners[below(act->c, 3)];
    request.name = act->name;
    if (owner)
        request.owner = arena_printf(act->memory, "accounts/%s/agents/%s", act->c->options.account, owner);
    send(act, CASES, "AssignCase", &request);
}

static void update(struct act *act)
{
    Casework__Cases__V1__UpdateCaseRequest request = CASEWORK__CASES__V1__UPDATE_CASE_REQUEST__INIT;
    Casework__Cases__V1__Case changed = CASEWORK__CASES__V1__CASE__INIT;
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *labels[] = {(char *)(uintptr_t) "blue", (char *)(uintptr_t) "red"};
    char *path = (char *)(uintptr_t)(below(act->c, 2) ? "labels" : "subject");
    changed.name = act->name;
    changed.labels = labels;
    changed.n_labels = below(act->c, 3);
    changed.subject = arena_printf(act->memory, CHURN_TEXT " %llu", (unsigned long long)below(act->c, 1000));
    mask.paths = &path;
    mask.n_paths = 1;
    request.case_ = &changed;
    request.update_mask = &mask;
    send(act, CASES, "UpdateCase", &request);
}

static void classify(struct act *act)
{
    Casework__Cases__V1__AddClassificationsRequest request =
        CASEWORK__CASES__V1__ADD_CLASSIFICATIONS_REQUEST__INIT;
    Casework__Cases__V1__Classification tag = CASEWORK__CASES__V1__CLASSIFICATION__INIT, *tags = &tag;
    tag.group = (char *)(uintptr_t) "topic";
    tag.value = arena_printf(act->memory, "t%llu", (unsigned long long)below(act->c, 3));
    request.name = act->name;
    request.classifications = &tags;
    request.n_classifications = 1;
    send(act, CASES, "AddClassifications", &request);
}

static char *any_case(const struct act *act, int64_t first, int64_t last)
{
    int64_t id = first + (int64_t)below(act->c, (uint64_t)(last - first + 1));
    return arena_printf(act->memory, "accounts/%s/cases/%" PRId64, act->c->options.account, id);
}

static void merge(struct act *act, int64_t first, int64_t last)
{
    Casework__Cases__V1__MergeCasesRequest request = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    request.source = act->name;
    request.target = any_case(act, first, last);
    send(act, CASES, "MergeCases", &request);
}

/* The methods that take nothing but a name have requests of one form. */
static void step(struct act *act)
{
    static const char *const methods[] = {"OpenCase",     "OpenCase",     "MarkCasePending",
                                          "ResolveCase",  "ReopenCase",   "DeleteCase",
                                          "UndeleteCase", "UndeleteCase", "UnmergeCases"};
    const char *method = methods[below(act->c, sizeof methods / sizeof methods[0])];
    const ProtobufCMethodDescriptor *descriptor =
        protobuf_c_service_descriptor_get_method_by_name(CASES, method);
    ProtobufCMessage *request = arena_alloc(act->memory, descriptor->input->sizeof_message);
    protobuf_c_message_init(descriptor->input, request);
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(descriptor->input, "name");
    memcpy((char *)request + field->offset, &act->name, sizeof act->name);
    if (strcmp(method, "OpenCase") == 0 && !act->agent)
        act->agent = "anna";
    send(act, CASES, method, request);
}

static void act_once(churn *c, arena *memory)
{
    static const char *const agents[] = {"anna", "bert", NULL};
    struct act act = {.c = c, .memory = memory, .agent = agents[below(c, 3)]};
    int64_t first = c->options.first_case, last = atomic_load(&c->last_case);
    uint64_t what = below(c, 100);
    if (last < first || (c->options.creates && what < 10)) {
        create_case(&act);
        return;
    }
    act.name = any_case(&act, first, last);
    if (what < 40)
        write_message(&act);
    else if (what < 55)
        assign(&act);
    else if (what < 65)
        update(&act);
    else if (what < 70)
        classify(&act);
    else if (what < 72)
        merge(&act, first, last);
    else
        step(&act);
}

/* --- the thread --- */

static void keep_pace(const churn *c, int64_t begun_us, int64_t asked)
{
    if (c->options.a_second == 0)
        return;
    int64_t wait = begun_us + asked * CLOCK_SECOND / c->options.a_second - clock_monotonic_us();
    if (wait <= 0)
        return;
    const struct timespec pause = {.tv_sec = wait / CLOCK_SECOND, .tv_nsec = wait % CLOCK_SECOND * 1000};
    nanosleep(&pause, NULL);
}

static void *work(void *argument)
{
    churn *c = argument;
    arena *memory = arena_new(MEMORY);
    int64_t begun_us = clock_monotonic_us();
    for (int64_t asked = 0; !atomic_load(&c->stopping); asked++) {
        keep_pace(c, begun_us, asked);
        sem_wait(&c->room);
        act_once(c, memory);
        arena_clear(memory);
    }
    arena_free(memory);
    return NULL;
}

churn *churn_start(const struct churn_options *options)
{
    churn *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->options = *options;
    c->state = options->seed;
    atomic_store(&c->last_case, options->last_case);
    sem_init(&c->room, 0, options->in_flight);
    if (pthread_create(&c->thread, NULL, work, c) != 0)
        abort();
    return c;
}

int64_t churn_count(churn *c)
{
    return atomic_load(&c->done);
}

int64_t churn_stop(churn *c)
{
    atomic_store(&c->stopping, true);
    pthread_join(c->thread, NULL);
    for (unsigned i = 0; i < c->options.in_flight; i++)
        sem_wait(&c->room);
    int64_t done = atomic_load(&c->done);
    sem_destroy(&c->room);
    free(c);
    return done;
}
