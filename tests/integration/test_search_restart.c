/*
 * The search service as a program, with a data directory, against a feed that the test writes: ended, killed
 * at every point that matters, started again. What it finds afterwards is what reading all cases gives.
 */

#include "base/clock.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "embedded/process.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/client.h"
#include "rpc/wire.h"
#include "tests/support/fake_events.h"
#include "tests/support/plain_search.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define SEARCH (&casework__search__v1__search_service__descriptor)
#define WAIT_US (30 * CLOCK_SECOND)

enum { CASES = 120, MEMORY = 64 << 20 };

typedef Casework__Search__V1__SearchCasesResponse search_response;

struct fake_case {
    bool there;
    char body[64];
    int64_t update_time_us;
};

struct world {
    char directory[64], log[80], address[32];
    fake_events *events;
    pthread_mutex_t lock; /* of `cases` */
    struct fake_case cases[CASES];
    int64_t position;
    process *program;
    rpc_channel *channel;
    arena *memory;
};

/* --- the case service --------------------------------------------------------------------------------- */

static void read_case(void *context, arena *memory, const char *account, int64_t number,
                      Casework__Cases__V1__Document *document)
{
    struct world *world = context;
    (void)account;
    pthread_mutex_lock(&world->lock);
    const struct fake_case c = world->cases[number];
    pthread_mutex_unlock(&world->lock);
    if (!c.there)
        return;
    document->state = CASEWORK__CASES__V1__DOCUMENT_STATE__DOCUMENT_STATE_LIVE;
    document->subject = (char *)"parcel";
    document->status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_OPEN;
    document->update_time = wire_timestamp(memory, c.update_time_us);
    Casework__Cases__V1__DocumentMessage *message = arena_alloc(memory, sizeof *message);
    casework__cases__v1__document_message__init(message);
    message->body = arena_strdup(memory, c.body);
    document->messages = arena_calloc(memory, 1, sizeof(Casework__Cases__V1__DocumentMessage *));
    document->messages[0] = message;
    document->n_messages = 1;
}

static void write_case(struct world *world, int64_t number, const char *body,
                       Casework__Cases__V1__EventKind kind)
{
    struct fake_case *c = &world->cases[number];
    pthread_mutex_lock(&world->lock);
    c->there = body != NULL;
    snprintf(c->body, sizeof c->body, "%s", body ? body : "");
    c->update_time_us += CLOCK_SECOND;
    pthread_mutex_unlock(&world->lock);
    world->position = fake_events_add(world->events, "acme", number, kind, NULL);
}

static void change(struct world *world)
{
    char body[64];
    snprintf(body, sizeof body, "w%d w%d w%d", rand() % 12, rand() % 12, rand() % 12);
    write_case(world, 1 + rand() % (CASES - 1), rand() % 10 ? body : NULL,
               CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_UPDATED);
}

/* --- the search service ------------------------------------------------------------------------------- */

/* `inject` and `erasure`: settings; the first may be "". */
static void start(struct world *world, const char *inject, const char *erasure)
{
    char program[256], listen[64], cases[64], directory[128], points[128], after[64];
    const char *bin = getenv("CASEWORK_BIN");
    const struct rpc_channel_options to = {.target = world->address};
    error err;
    snprintf(world->address, sizeof world->address, "127.0.0.1:%u", process_free_port());
    snprintf(program, sizeof program, "%s/casework-search", bin ? bin : "build/test/bin");
    snprintf(listen, sizeof listen, "LISTEN_ADDRESS=%s", world->address);
    snprintf(cases, sizeof cases, "CASE_TARGET=%s", fake_events_target(world->events));
    snprintf(directory, sizeof directory, "SEARCH_DATA_DIRECTORY=%s/index", world->directory);
    snprintf(points, sizeof points, "CASEWORK_INJECT=%s", inject);
    snprintf(after, sizeof after, "SEARCH_ERASURE_INTERVAL=%s", erasure);
    const struct process_options options = {
        .argv = (const char *const[]){program, NULL},
        .output_file = world->log,
        .settings = (const char *const[]){listen, cases, directory, points, after,
                                          "SEARCH_CHECKPOINT_INTERVAL=20ms", "METRICS_ADDRESS=", NULL},
    };
    cr_assert(process_start(&options, &world->program, &err), "%s", err.message);
    cr_assert(rpc_channel_new(&to, &world->channel, &err), "%s", err.message);
}

/* Its exit status as of waitpid. */
static int await_end(struct world *world)
{
    int status = -1;
    cr_assert(process_wait(world->program, clock_monotonic_us() + WAIT_US, &status), "it does not end");
    process_free(world->program);
    rpc_channel_free(world->channel);
    world->program = NULL;
    return status;
}

static void stop(struct world *world)
{
    process_signal(world->program, SIGTERM);
    cr_assert_eq(await_end(world), 0);
}

static bool is_serving(struct world *world)
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

static void pause_shortly(void)
{
    nanosleep(&(const struct timespec){.tv_nsec = 10 * 1000000}, NULL);
}

static void await_serving(struct world *world)
{
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (!is_serving(world)) {
        cr_assert(process_running(world->program), "it has ended");
        cr_assert_lt(clock_monotonic_us(), until, "it does not serve");
        pause_shortly();
    }
}

static const search_response *find(struct world *world, const char *query)
{
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    const struct rpc_client_options options = {.timeout_us = WAIT_US};
    ProtobufCMessage *response;
    error err = {0};
    request.parent = (char *)"accounts/acme";
    request.query = (char *)query;
    request.page_size = CASES;
    request.min_position = world->position;
    cr_assert(rpc_client_call(world->channel, SEARCH, "SearchCases", &request.base, &options, world->memory,
                              &response, &err),
              "%s", err.message);
    return (const search_response *)response;
}

/* --- the judge ---------------------------------------------------------------------------------------- */

static struct plain_reader *read_all(const struct world *world)
{
    struct plain_reader *reader = plain_reader_new();
    for (int64_t number = 0; number < CASES; number++) {
        const struct fake_case *c = &world->cases[number];
        char id[24];
        snprintf(id, sizeof id, "%lld", (long long)number);
        const struct search_text texts[] = {
            {SEARCH_FIELD_SUBJECT, "parcel"}, {SEARCH_FIELD_CASE_ID, id}, {SEARCH_FIELD_MESSAGE, c->body}};
        const struct search_document document = {.number = number,
                                                 .update_time_us = c->update_time_us,
                                                 .status = CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_OPEN,
                                                 .subject = "parcel",
                                                 .owner = "",
                                                 .channel = "",
                                                 .contact = "",
                                                 .texts = texts,
                                                 .text_count = 3};
        if (c->there)
            plain_reader_put(reader, &document);
    }
    return reader;
}

static void expect_query(struct world *world, const struct plain_reader *reader, const char *text)
{
    const struct plain_query query = {.text = text, .order = 'u', .descending = true};
    struct plain_answer expected;
    plain_reader_find(reader, &query, &expected);
    const search_response *response = find(world, text);
    cr_assert_eq(response->total_size, (int32_t)expected.count, "%s: %d of %zu", text, response->total_size,
                 expected.count);
    for (size_t i = 0; i < expected.count; i++) {
        const char *slash = strrchr(response->results[i]->case_, '/');
        cr_assert_eq(strtoll(slash + 1, NULL, 10), expected.results[i].number);
    }
    plain_answer_release(&expected);
}

static void expect_same(struct world *world)
{
    struct plain_reader *reader = read_all(world);
    expect_query(world, reader, "parcel");
    for (int i = 0; i < 12; i++) {
        char text[32];
        snprintf(text, sizeof text, "w%d", i);
        expect_query(world, reader, text);
        snprintf(text, sizeof text, "w%d w%d", i, (i + 5) % 12);
        expect_query(world, reader, text);
    }
    plain_reader_free(reader);
    arena_clear(world->memory);
}

/* In how many files of the data directory the text stands. */
static int files_with(const struct world *world, const char *text)
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

static void begin(struct world *world)
{
    memset(world, 0, sizeof *world);
    snprintf(world->directory, sizeof world->directory, "/tmp/casework-restart-XXXXXX");
    cr_assert(mkdtemp(world->directory));
    snprintf(world->log, sizeof world->log, "%s/log", world->directory);
    pthread_mutex_init(&world->lock, NULL);
    world->memory = arena_new(MEMORY);
    world->events = fake_events_new(read_case, world);
    for (int i = 0; i < 3 * CASES; i++)
        change(world);
}

static void end(struct world *world)
{
    fake_events_free(world->events);
    arena_free(world->memory);
    process_remove_tree(world->directory);
}

/* --- tests -------------------------------------------------------------------------------------------- */

Test(search_restart, after_sigterm_only_the_tail_is_read, .timeout = 60)
{
    enum { TAIL = 5 };
    struct world world;
    begin(&world);
    start(&world, "", "10m");
    await_serving(&world);
    expect_same(&world);
    stop(&world);
    size_t documents = fake_events_documents_read(world.events);
    size_t snapshots = fake_events_snapshots_read(world.events);
    for (int64_t number = 1; number <= TAIL; number++)
        write_case(&world, number, "w1 w2", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_UPDATED);
    start(&world, "", "10m");
    await_serving(&world);
    expect_same(&world);
    cr_assert_eq(fake_events_documents_read(world.events) - documents, TAIL);
    cr_assert_eq(fake_events_snapshots_read(world.events), snapshots);
    stop(&world);
    end(&world);
}

/* One story of a service that is killed at the point, and comes back. */
static void be_killed_at(const char *point)
{
    struct world world;
    char inject[96];
    begin(&world);
    snprintf(inject, sizeof inject, "%s=kill@3", point);
    start(&world, inject, "0s");
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (process_running(world.program)) {
        cr_assert_lt(clock_monotonic_us(), until, "nobody was killed at %s", point);
        change(&world);
        write_case(&world, 1, "w3", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_MESSAGE_REDACTED);
        pause_shortly();
    }
    int status = await_end(&world);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s: status %d", point, status);
    start(&world, "", "0s");
    await_serving(&world);
    expect_same(&world);
    stop(&world);
    start(&world, "", "0s");
    await_serving(&world);
    expect_same(&world);
    stop(&world);
    end(&world);
}

Test(search_restart, killed_before_its_sections_are_written, .timeout = 60)
{
    be_killed_at("search_store.before_sections");
}

Test(search_restart, killed_while_its_sections_are_written, .timeout = 60)
{
    be_killed_at("search_files.write");
}

Test(search_restart, killed_after_its_sections_are_written, .timeout = 60)
{
    be_killed_at("search_store.after_sections");
}

Test(search_restart, killed_before_its_manifest_is_there, .timeout = 60)
{
    be_killed_at("search_store.before_manifest");
}

Test(search_restart, killed_after_its_manifest_is_there, .timeout = 60)
{
    be_killed_at("search_store.after_manifest");
}

Test(search_restart, killed_before_it_tidies_up, .timeout = 60)
{
    be_killed_at("search_store.before_sweep");
}

Test(search_restart, killed_while_it_merges, .timeout = 60)
{
    be_killed_at("search_account.merged");
}

Test(search_restart, redacted_words_leave_the_files, .timeout = 60)
{
    struct world world;
    begin(&world);
    write_case(&world, 1, "sesame w1", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_UPDATED);
    start(&world, "", "0s");
    await_serving(&world);
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (files_with(&world, "sesame") == 0) {
        cr_assert_lt(clock_monotonic_us(), until, "nothing is written");
        pause_shortly();
    }
    write_case(&world, 1, "w1", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_MESSAGE_REDACTED);
    while (files_with(&world, "sesame") > 0) {
        cr_assert_lt(clock_monotonic_us(), until, "it is still there");
        pause_shortly();
    }
    expect_same(&world);
    stop(&world);
    end(&world);
}

Test(search_restart, a_deleted_account_leaves_the_files, .timeout = 60)
{
    struct world world;
    begin(&world);
    write_case(&world, 1, "sesame w1", CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_CASE_UPDATED);
    start(&world, "", "10m");
    await_serving(&world);
    int64_t until = clock_monotonic_us() + WAIT_US;
    while (files_with(&world, "sesame") == 0) {
        cr_assert_lt(clock_monotonic_us(), until, "nothing is written");
        pause_shortly();
    }
    fake_events_add(world.events, "acme", 0, CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_ACCOUNT_DELETED,
                    NULL);
    while (files_with(&world, "sesame") + files_with(&world, "parcel") + files_with(&world, "acme") > 0) {
        cr_assert_lt(clock_monotonic_us(), until, "it is still there");
        pause_shortly();
    }
    stop(&world);
    end(&world);
}

Test(search_restart, another_database_starts_anew, .timeout = 60)
{
    struct world world;
    begin(&world);
    start(&world, "", "10m");
    await_serving(&world);
    expect_same(&world);
    stop(&world);
    fake_events_restore(world.events, "another");
    pthread_mutex_lock(&world.lock);
    for (int64_t number = 0; number < CASES; number++)
        world.cases[number].there = false;
    pthread_mutex_unlock(&world.lock);
    for (int i = 0; i < CASES; i++)
        change(&world);
    start(&world, "", "10m");
    await_serving(&world);
    expect_same(&world);
    stop(&world);
    end(&world);
}

Test(search_restart, two_in_one_directory_is_an_error, .timeout = 60)
{
    struct world world, second;
    begin(&world);
    start(&world, "", "10m");
    await_serving(&world);
    second = world;
    start(&second, "", "10m");
    int status = await_end(&second);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    expect_same(&world);
    stop(&world);
    end(&world);
}
