#include "tests/support/search_program.h"

#include "base/clock.h"
#include "embedded/port.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/wire.h"
#include "tests/support/metrics_page.h"
#include "tests/support/plain_search.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SEARCH (&casework__search__v1__search_service__descriptor)
#define WAIT_US (30 * CLOCK_SECOND)

enum { MEMORY = 64 << 20 };

typedef Casework__Search__V1__SearchCasesResponse search_response;

/* --- the case service --------------------------------------------------------------------------------- */

static void read_case(void *context, arena *memory, const char *account, int64_t number,
                      Casework__Cases__V1__Document *document)
{
    struct search_program *world = context;
    (void)account;
    pthread_mutex_lock(&world->lock);
    world->held++;
    while (world->closed)
        pthread_cond_wait(&world->opened, &world->lock);
    world->held--;
    const struct search_program_case c = world->cases[number];
    char *contact_name = arena_strdup(memory, world->contact_name);
    pthread_mutex_unlock(&world->lock);
    if (!c.there)
        return;
    document->state = CASEWORK__CASES__V1__DOCUMENT_STATE__DOCUMENT_STATE_LIVE;
    document->subject = (char *)"parcel";
    document->status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_OPEN;
    document->update_time = wire_timestamp(memory, c.update_time_us);
    document->contact = (char *)"accounts/acme/contacts/k1";
    document->contact_display_name = contact_name;
    Casework__Cases__V1__DocumentMessage *message = arena_alloc(memory, sizeof *message);
    casework__cases__v1__document_message__init(message);
    message->body = arena_strdup(memory, c.body);
    document->messages = arena_calloc(memory, 1, sizeof(Casework__Cases__V1__DocumentMessage *));
    document->messages[0] = message;
    document->n_messages = 1;
}

void search_program_write(struct search_program *world, int64_t number, const char *body,
                          Casework__Cases__V1__EventKind kind)
{
    struct search_program_case *c = &world->cases[number];
    pthread_mutex_lock(&world->lock);
    c->there = body != NULL;
    snprintf(c->body, sizeof c->body, "%s", body ? body : "");
    c->update_time_us += CLOCK_SECOND;
    pthread_mutex_unlock(&world->lock);
    world->position = fake_events_add(world->events, "acme", number, kind, NULL);
}

void search_program_change(struct search_program *world)
{
    char body[64];
    snprintf(body, sizeof body, "w%d w%d w%d", rand() % 12, rand() % 12, rand() % 12);
    search_program_write(world, 1 + rand() % (SEARCH_PROGRAM_CASES - 1), rand() % 10 ? body : NULL,
                         CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_UPDATED);
}

void search_program_rename(struct search_program *world)
{
    pthread_mutex_lock(&world->lock);
    snprintf(world->contact_name, sizeof world->contact_name, "n%d n%d", rand() % 6, rand() % 6);
    pthread_mutex_unlock(&world->lock);
    world->position =
        fake_events_add(world->events, "acme", 0, CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CONTACT_UPDATED,
                        "accounts/acme/contacts/k1");
}

void search_program_hang(struct search_program *world, bool hang)
{
    pthread_mutex_lock(&world->lock);
    world->closed = hang;
    pthread_cond_broadcast(&world->opened);
    pthread_mutex_unlock(&world->lock);
}

void search_program_await_hanging(struct search_program *world)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    for (bool hangs = false; !hangs;) {
        cr_assert_lt(clock_monotonic_us(), until, "nobody reads");
        search_program_pause();
        pthread_mutex_lock(&world->lock);
        hangs = world->closed && world->held > 0;
        pthread_mutex_unlock(&world->lock);
    }
}

/* --- the search service ------------------------------------------------------------------------------- */

static const char *setting(struct search_program *world, const char *name, const char *value)
{
    return arena_printf(world->memory, "%s=%s", name, value ? value : "");
}

static char *loopback(struct search_program *world, unsigned port)
{
    return arena_printf(world->memory, "127.0.0.1:%u", port);
}

void search_program_start(struct search_program *world, const struct search_program_settings *settings)
{
    static const struct search_program_settings usual;
    const char *bin = getenv("CASEWORK_BIN");
    const struct rpc_channel_options to = {.target = world->address};
    error err;
    if (!settings)
        settings = &usual;
    snprintf(world->address, sizeof world->address, "127.0.0.1:%u", port_reserve());
    world->metrics_port = port_reserve();
    const char *program = arena_printf(world->memory, "%s/casework-search", bin ? bin : "build/test/bin");
    const char *directory = arena_printf(world->memory, "%s/index", world->directory);
    const struct process_options options = {
        .argv = (const char *const[]){program, NULL},
        .output_file = world->log,
        .settings =
            (const char *const[]){
                setting(world, "LISTEN_ADDRESS", world->address),
                setting(world, "METRICS_ADDRESS", loopback(world, world->metrics_port)),
                setting(world, "CASE_TARGET", fake_events_target(world->events)),
                setting(world, "SEARCH_DATA_DIRECTORY", settings->in_memory ? "" : directory),
                setting(world, "CASEWORK_INJECT", settings->inject),
                setting(world, "SEARCH_ERASURE_INTERVAL", settings->erasure ? settings->erasure : "10m"),
                "SEARCH_CHECKPOINT_INTERVAL=20ms", NULL},
    };
    cr_assert(process_start(&options, &world->program, &err), "%s", err.message);
    cr_assert(rpc_channel_new(&to, &world->channel, &err), "%s", err.message);
}

int search_program_await_end(struct search_program *world)
{
    int status = -1;
    cr_assert(process_wait(world->program, clock_monotonic_us() + WAIT_US, &status), "it does not end");
    process_free(world->program);
    rpc_channel_free(world->channel);
    world->program = NULL;
    return status;
}

void search_program_stop(struct search_program *world)
{
    process_signal(world->program, SIGTERM);
    cr_assert_eq(search_program_await_end(world), 0);
}

static bool is_serving(struct search_program *world)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = CLOCK_SECOND, .no_retry = true};
    ProtobufCMessage *response;
    error err;
    return rpc_client_call(world->channel, &grpc__health__v1__health__descriptor, "Check", &request.base,
                           &options, world->memory, &response, &err) &&
           ((Grpc__Health__V1__HealthCheckResponse *)response)->status ==
               GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
}

void search_program_pause(void)
{
    nanosleep(&(const struct timespec){.tv_nsec = 10 * 1000000}, NULL);
}

void search_program_await_serving(struct search_program *world)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (!is_serving(world)) {
        cr_assert(process_running(world->program), "it has ended");
        cr_assert_lt(clock_monotonic_us(), until, "it does not serve");
        search_program_pause();
    }
}

void search_program_serve(struct search_program *world, const struct search_program_settings *settings)
{
    search_program_start(world, settings);
    search_program_await_serving(world);
}

const search_response *search_program_find(struct search_program *world, const char *query)
{
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = WAIT_US};
    ProtobufCMessage *response;
    error err = {0};
    request.parent = (char *)"accounts/acme";
    request.query = (char *)query;
    request.page_size = SEARCH_PROGRAM_CASES;
    request.min_position = world->position;
    cr_assert(rpc_client_call(world->channel, SEARCH, "SearchCases", &request.base, &options, world->memory,
                              &response, &err),
              "%s", err.message);
    return (const search_response *)response;
}

/* --- the judge ---------------------------------------------------------------------------------------- */

static struct plain_reader *read_all(const struct search_program *world)
{
    struct plain_reader *reader = plain_reader_new();
    for (int64_t number = 1; number < SEARCH_PROGRAM_CASES; number++) {
        const struct search_program_case *c = &world->cases[number];
        char id[24];
        snprintf(id, sizeof id, "%lld", (long long)number);
        const struct search_text texts[] = {{SEARCH_FIELD_SUBJECT, "parcel"},
                                            {SEARCH_FIELD_CASE_ID, id},
                                            {SEARCH_FIELD_MESSAGE, c->body},
                                            {SEARCH_FIELD_CONTACT_NAME, world->contact_name}};
        const struct search_document document = {.number = number,
                                                 .update_time_us = c->update_time_us,
                                                 .status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_OPEN,
                                                 .subject = "parcel",
                                                 .owner = "",
                                                 .channel = "",
                                                 .contact = "",
                                                 .texts = texts,
                                                 .text_count = sizeof texts / sizeof *texts};
        if (c->there)
            plain_reader_put(reader, &document);
    }
    return reader;
}

static void expect_query(struct search_program *world, const struct plain_reader *reader, const char *text)
{
    const struct plain_query query = {.text = text, .order = 'u', .descending = true};
    struct plain_answer expected;
    plain_reader_find(reader, &query, &expected);
    const search_response *response = search_program_find(world, text);
    cr_assert_eq(response->total_size, (int32_t)expected.count, "%s: %d of %zu", text, response->total_size,
                 expected.count);
    for (size_t i = 0; i < expected.count; i++) {
        const char *slash = strrchr(response->results[i]->case_, '/');
        cr_assert_eq(strtoll(slash + 1, NULL, 10), expected.results[i].number);
    }
    plain_answer_release(&expected);
}

/* Reads a stream to its end. NULL: the call failed. */
static const ProtobufCMessage *last_message(struct search_program *world, const char *method,
                                            const ProtobufCMessage *request, int *ret_count)
{
    const struct rpc_client_options options = {.timeout_us = WAIT_US};
    ProtobufCMessage *message, *last = NULL;
    rpc_stream *stream;
    enum rpc_read read;
    error err;
    if (!rpc_stream_open(world->channel, SEARCH, method, &options, &stream, &err))
        return NULL;
    if (rpc_stream_write(stream, request))
        rpc_stream_close_send(stream);
    for (*ret_count = 0;
         (read = rpc_stream_read(stream, WAIT_US, world->memory, &message, &err)) == RPC_READ_MESSAGE;
         ++*ret_count)
        last = message;
    rpc_stream_free(stream);
    return read == RPC_READ_END ? last : NULL;
}

static void expect_checked(struct search_program *world)
{
    Casework__Search__V1__CheckIndexRequest request = CASEWORK__SEARCH__V1__CHECK_INDEX_REQUEST__INIT;
    int count;
    request.parent = (char *)"accounts/acme";
    const Casework__Search__V1__CheckIndexResponse *last =
        (const Casework__Search__V1__CheckIndexResponse *)last_message(world, "CheckIndex", &request.base,
                                                                       &count);
    cr_assert_not_null(last);
    cr_assert_eq(last->item_case, CASEWORK__SEARCH__V1__CHECK_INDEX_RESPONSE__ITEM_SUMMARY);
    cr_assert_eq(last->summary->cases_different, 0);
    cr_assert_eq(count, 1);
}

bool search_program_rebuild(struct search_program *world)
{
    Casework__Search__V1__RebuildIndexRequest request = CASEWORK__SEARCH__V1__REBUILD_INDEX_REQUEST__INIT;
    int count;
    request.parent = (char *)"accounts/acme";
    const Casework__Search__V1__RebuildIndexResponse *last =
        (const Casework__Search__V1__RebuildIndexResponse *)last_message(world, "RebuildIndex", &request.base,
                                                                         &count);
    return last && last->done;
}

void search_program_expect_same(struct search_program *world)
{
    struct plain_reader *reader = read_all(world);
    expect_query(world, reader, "parcel");
    for (int i = 0; i < 6; i++) {
        char text[32];
        snprintf(text, sizeof text, "n%d w%d", i, i);
        expect_query(world, reader, text);
    }
    for (int i = 0; i < 12; i++) {
        char text[32];
        snprintf(text, sizeof text, "w%d", i);
        expect_query(world, reader, text);
        snprintf(text, sizeof text, "w%d w%d", i, (i + 5) % 12);
        expect_query(world, reader, text);
    }
    plain_reader_free(reader);
    expect_checked(world);
    arena_clear(world->memory);
}

double search_program_metric(struct search_program *world, const char *name)
{
    return metrics_page_value(world->metrics_port, name);
}

int search_program_files_with(const struct search_program *world, const char *text)
{
    enum { FILE_MAX = 16 << 20 };
    char directory[80], path[400];
    snprintf(directory, sizeof directory, "%s/index", world->directory);
    DIR *listing = opendir(directory);
    char *data = malloc(FILE_MAX);
    const struct dirent *entry;
    int found = 0;
    while (listing && (entry = readdir(listing))) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        FILE *file = fopen(path, "r");
        size_t size = file ? fread(data, 1, FILE_MAX, file) : 0;
        found += memmem(data, size, text, strlen(text)) != NULL;
        if (file)
            fclose(file);
    }
    if (listing)
        closedir(listing);
    free(data);
    return found;
}

/* --- the world ---------------------------------------------------------------------------------------- */

void search_program_begin(struct search_program *world)
{
    memset(world, 0, sizeof *world);
    snprintf(world->directory, sizeof world->directory, "/tmp/casework-restart-XXXXXX");
    cr_assert(mkdtemp(world->directory));
    snprintf(world->log, sizeof world->log, "%s/log", world->directory);
    pthread_mutex_init(&world->lock, NULL);
    pthread_cond_init(&world->opened, NULL);
    world->memory = arena_new(MEMORY);
    snprintf(world->contact_name, sizeof world->contact_name, "n1");
    world->events = fake_events_new(read_case, world);
    for (int i = 1; i < SEARCH_PROGRAM_CASES; i++)
        search_program_write(world, i, "w0 w5", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_CREATED);
    for (int i = 0; i < SEARCH_PROGRAM_CASES; i++)
        search_program_change(world);
}

void search_program_end(struct search_program *world)
{
    fake_events_free(world->events);
    arena_free(world->memory);
    process_remove_tree(world->directory);
}
