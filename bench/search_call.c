/*
 * The whole call of search without a database: search_call [CASES [SECONDS]]
 *
 * A process of its own serves an index of CASES cases (100,000 unless told) of the search corpus; SearchCases
 * is called over gRPC by one client, token checked, logged at info, total and matches always. Prints one JSON
 * object: median and 99th percentile of each class in microseconds, of a call that does nothing as well.
 */

#include "base/clock.h"
#include "base/log.h"
#include "bench/support/search_corpus.h"
#include "casework/search/v1/search_service.pb-c.h"
#include "descriptor_set.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/client.h"
#include "search/search_handlers.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 512, SAMPLES_MAX = 1 << 18, PAGE = 50, MEMORY = 64 << 20 };

#define TIMEOUT (10 * CLOCK_SECOND)

static void must(bool done, const error *err)
{
    if (done)
        return;
    fprintf(stderr, "search_call: %s\n", err->message);
    exit(EXIT_FAILURE);
}

/* --- the service -------------------------------------------------------------------------------------- */

static void fill(search_index *index, uint64_t cases)
{
    static struct search_corpus_case pile[BATCH];
    static struct search_change changes[BATCH];
    struct search_corpus *corpus = search_corpus_new(SEARCH_CORPUS_SEED, SEARCH_CORPUS_SMALL_ACCOUNTS);
    size_t count = 0;
    error err;
    for (uint64_t i = 0; corpus && i < cases; i++) {
        struct search_corpus_case *c = &pile[count];
        search_corpus_make(corpus, i, c);
        const struct search_change change = {.number = c->document.number, .document = &c->document};
        if (strcmp(c->account, SEARCH_CORPUS_BIG_ACCOUNT) != 0) {
            must(search_index_apply(index, c->account, &change, 1, &err), &err);
            continue;
        }
        changes[count++] = change;
        if (count == BATCH)
            must(search_index_apply(index, SEARCH_CORPUS_BIG_ACCOUNT, changes, count, &err), &err);
        count %= BATCH;
    }
    must(search_index_apply(index, SEARCH_CORPUS_BIG_ACCOUNT, changes, count, &err), &err);
    search_index_settle(index);
    search_corpus_free(corpus);
}

/* Serves until the other end of `stop` is closed; tells its port at `told`. */
static int serve(uint64_t cases, const char *keys, int told, int stop)
{
    static struct search_service service = {.shards = {.count = 1, .partitions = UINT64_MAX}};
    error err;
    char end;
    int port, silence = open("/dev/null", O_WRONLY);
    dup2(silence, STDERR_FILENO); /* where the log goes */
    log_init("search", LOG_LEVEL_INFO);
    log_start_writer();
    const struct rpc_server_options options = {.address = "127.0.0.1:0",
                                               .key_directory = keys,
                                               .descriptor_set = casework_descriptor_set,
                                               .descriptor_set_size = casework_descriptor_set_size};
    must(search_index_new(&service.index, &err), &err);
    fill(service.index, cases);
    must(rpc_server_new(&options, &service.server, &err) && search_handlers_add(&service, &err) &&
             rpc_server_start(service.server, &err),
         &err);
    rpc_server_set_serving(service.server, true);
    port = rpc_server_port(service.server);
    bool said = write(told, &port, sizeof port) == sizeof port;
    while (said && read(stop, &end, 1) > 0)
        ;
    rpc_server_free(service.server);
    search_index_free(service.index);
    return EXIT_SUCCESS;
}

/* --- the client --------------------------------------------------------------------------------------- */

struct client {
    rpc_channel *channel;
    struct search_corpus *corpus;
    arena *memory;
    uint64_t cases;
    double seconds;
};

struct variant {
    const char *name;
    enum search_corpus_class class;
    const char *order;
    uint64_t part_behind; /* so many of a hundred cases were updated later than the page */
};

static const struct variant variants[] = {
    {"rare", SEARCH_CORPUS_RARE, "", 0},
    {"frequent", SEARCH_CORPUS_FREQUENT, "", 0},
    {"frequent_frequent", SEARCH_CORPUS_FREQUENT_FREQUENT, "", 0},
    {"frequent_rare", SEARCH_CORPUS_FREQUENT_RARE, "", 0},
    {"disjoint", SEARCH_CORPUS_DISJOINT, "", 0},
    {"absent", SEARCH_CORPUS_ABSENT, "", 0},
    {"five_words", SEARCH_CORPUS_FIVE, "", 0},
    {"far_page", SEARCH_CORPUS_FREQUENT, "", 10},
    {"by_subject", SEARCH_CORPUS_FREQUENT_FREQUENT, "subject", 0},
    {"by_status", SEARCH_CORPUS_FREQUENT_FREQUENT, "status", 0},
};

static int compare(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

static uint64_t search(struct client *client, const struct variant *variant, unsigned turn)
{
    char text[SEARCH_CORPUS_QUERY_SIZE];
    const struct rpc_client_options options = {.timeout_us = TIMEOUT};
    Google__Protobuf__Timestamp before = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Casework__Search__V1__SearchCasesRequest request = CASEWORK__SEARCH__V1__SEARCH_CASES_REQUEST__INIT;
    search_corpus_query(client->corpus, variant->class, turn, client->cases, text);
    request.parent = (char *)"accounts/" SEARCH_CORPUS_BIG_ACCOUNT;
    request.query = text;
    request.order_by = (char *)variant->order;
    request.page_size = PAGE;
    before.seconds = search_corpus_time_us(client->cases * (100 - variant->part_behind) / 100) / CLOCK_SECOND;
    request.end_time = variant->part_behind ? &before : NULL;
    ProtobufCMessage *response;
    error err;
    must(rpc_client_call(client->channel, &casework__search__v1__search_service__descriptor, "SearchCases",
                         &request.base, &options, client->memory, &response, &err),
         &err);
    return ((const Casework__Search__V1__SearchCasesResponse *)response)->n_results;
}

/* A call that does nothing. */
static uint64_t ask_health(struct client *client, const struct variant *variant, unsigned turn)
{
    (void)variant;
    (void)turn;
    const struct rpc_client_options options = {.timeout_us = TIMEOUT};
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    ProtobufCMessage *response;
    error err;
    must(rpc_client_call(client->channel, &grpc__health__v1__health__descriptor, "Check", &request.base,
                         &options, client->memory, &response, &err),
         &err);
    return 0;
}

static void measure(struct client *client, const char *name, const struct variant *variant,
                    uint64_t (*call)(struct client *client, const struct variant *variant, unsigned turn))
{
    static int64_t samples[SAMPLES_MAX];
    size_t count = 0;
    uint64_t found = 0, asked = 0;
    for (unsigned turn = 0; turn < SEARCH_CORPUS_ROTATION; turn++)
        call(client, variant, turn);
    int64_t end = clock_monotonic_us() + (int64_t)(client->seconds * CLOCK_SECOND), now;
    while ((now = clock_monotonic_us()) < end && count < SAMPLES_MAX) {
        arena_clear(client->memory);
        found += call(client, variant, (unsigned)(asked++ % SEARCH_CORPUS_ROTATION));
        samples[count++] = clock_monotonic_us() - now;
    }
    qsort(samples, count, sizeof *samples, compare);
    printf("  \"%s\": {\"p50_us\": %" PRId64 ", \"p99_us\": %" PRId64 ", \"found\": %.1f},\n", name,
           samples[count / 2], samples[count * 99 / 100], (double)found / (double)asked);
    fflush(stdout);
}

static void ask_all(struct client *client)
{
    measure(client, "nothing", NULL, ask_health);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        measure(client, variants[i].name, &variants[i], search);
    measure(client, "nothing_again", NULL, ask_health);
}

static int ask(struct client *client, const char *keys, int told)
{
    int port;
    char target[32];
    error err;
    if (read(told, &port, sizeof port) != sizeof port)
        return EXIT_FAILURE;
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    const struct rpc_channel_options options = {.target = target, .key_directory = keys, .subject = "bench"};
    must(rpc_channel_new(&options, &client->channel, &err), &err);
    client->corpus = search_corpus_new(SEARCH_CORPUS_SEED, SEARCH_CORPUS_SMALL_ACCOUNTS);
    client->memory = arena_new(MEMORY);
    if (!client->corpus || !client->memory)
        return EXIT_FAILURE;
    printf("{\n  \"cases\": %" PRIu64 ",\n", client->cases);
    ask_all(client);
    printf("  \"page\": %d\n}\n", PAGE);
    rpc_channel_free(client->channel);
    search_corpus_free(client->corpus);
    arena_free(client->memory);
    return EXIT_SUCCESS;
}

/* A directory of keys with one secret. */
static void make_keys(char *directory, char *file, size_t size)
{
    FILE *secret =
        mkdtemp(directory) ? (snprintf(file, size, "%s/bench.secret", directory), fopen(file, "w")) : NULL;
    if (!secret || fputs("a secret of a benchmark, which is long enough to be one", secret) < 0 ||
        fclose(secret) != 0)
        exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    struct client client = {.cases = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000,
                            .seconds = argc > 2 ? strtod(argv[2], NULL) : 1};
    char keys[] = "/tmp/search_call.XXXXXX", file[64];
    int told[2], stop[2], status;
    if (client.cases == 0 || pipe(told) != 0 || pipe(stop) != 0)
        return EXIT_FAILURE;
    make_keys(keys, file, sizeof file);
    pid_t service = fork(); /* before the core has threads */
    if (service == 0) {
        close(stop[1]);
        return serve(client.cases, keys, told[1], stop[0]);
    }
    close(told[1]);
    int result = service > 0 ? ask(&client, keys, told[0]) : EXIT_FAILURE;
    close(stop[1]);
    waitpid(service, &status, 0);
    unlink(file);
    rmdir(keys);
    return result;
}
