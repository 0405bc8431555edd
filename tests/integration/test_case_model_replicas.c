/*
 * The case service and the model of it: many clients at once over three replicas, one of which is killed.
 * CASEWORK_MODEL_COMMANDS says how many commands, CASEWORK_MODEL_SEED which.
 */

#include "base/clock.h"
#include "tests/support/case_script.h"
#include "tests/support/case_server.h"
#include "tests/support/model_replay.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 8, REPLICAS = 3, EACH = 120, CASES = 24, USUALLY = CLIENTS * EACH, PAST = 8, WALKS = 40 };

static struct case_server server;
static process *programs[REPLICAS];
static struct model_ways ways = {.count = REPLICAS};

static void start_replica(int replica)
{
    rpc_channel *channel;
    case_server_start_replica(&server, &programs[replica], &channel);
    ways.channels[replica] = channel;
}

static void setup(void)
{
    case_server_start(&server);
    for (int i = 0; i < REPLICAS; i++)
        start_replica(i);
}

static void teardown(void)
{
    for (int i = 0; i < REPLICAS; i++)
        case_server_stop_replica(programs[i], ways.channels[i]);
    case_server_stop(&server);
}

TestSuite(case_model_replicas, .init = setup, .fini = teardown, .timeout = 7200);

/* One account, and what its clients share. */
struct bench {
    char name[64];
    int64_t now;
    _Atomic int64_t acknowledged; /* the highest position that somebody was told */
    atomic_int external_ids;
    atomic_size_t answered;
    pthread_mutex_t lock; /* of what follows */
    struct script_case known[ACCOUNT_CASES_MAX];
    size_t known_count;
    struct model_etags etags;
    bool reopen_resolved;
};

struct client {
    pthread_t thread;
    struct bench *bench;
    int number;
    uint64_t random;
    arena *memory;
    struct model_command past[PAST];
    size_t past_count;
    int request_ids;
    struct model_record records[EACH];
};

static void raise_to(_Atomic int64_t *place, int64_t to)
{
    int64_t at = *place;
    while (at < to && !atomic_compare_exchange_weak(place, &at, to)) {
    }
}

/* `joined`: messages that came by merging, perhaps behind numbers that had left. */
static void learn(struct bench *b, const struct model_seen *seen, int number, int joined)
{
    const struct model_facts *facts = &seen->facts;
    if (seen->number == 0)
        return;
    pthread_mutex_lock(&b->lock);
    struct script_case *known = &b->known[seen->number - 1];
    model_etags_learn(&b->etags, seen);
    int last = joined + known->last;
    last = last > number ? last : number;
    last = last > facts->message_count ? last : facts->message_count;
    if (facts->version > known->version)
        *known = (struct script_case){
            seen->number,         facts->version, facts->change_version,   facts->activity_version,
            facts->message_count, last,           facts->merged_into != 0, 0};
    known->last = last;
    if ((size_t)seen->number > b->known_count)
        b->known_count = (size_t)seen->number;
    pthread_mutex_unlock(&b->lock);
}

static void learn_all(struct bench *b, const struct model_record *record)
{
    const struct model_reply *reply = &record->reply;
    bool merged = record->command.verb == MODEL_MERGE && !record->repeat;
    learn(b, &reply->seen, reply->message.number, merged ? reply->source.facts.message_count : 0);
    learn(b, &reply->source, 0, 0);
    for (int i = 0; i < record->command.batch_count; i++)
        learn(b, &reply->results[i].seen, 0, 0);
}

/* What the client does next, by what all of them know now. */
static void decide(struct client *c, struct model_command *command, char etag[MODEL_ETAG_SIZE])
{
    struct bench *b = c->bench;
    pthread_mutex_lock(&b->lock);
    struct script_view view = {.now = b->now,
                               .reopen_resolved = b->reopen_resolved,
                               .cases = b->known,
                               .case_count = b->known_count,
                               .case_max = CASES,
                               .service = true,
                               .always_request_ids = true,
                               .request_ids = c->request_ids,
                               .external_ids = b->external_ids,
                               .past = c->past,
                               .past_count = c->past_count < PAST ? c->past_count : PAST};
    script_command(script_random(&c->random), &view, command);
    snprintf(etag, MODEL_ETAG_SIZE, "%s", model_etags_for(&b->etags, command));
    c->request_ids = view.request_ids;
    b->external_ids = view.external_ids;
    if (command->verb == MODEL_SETTING)
        b->reopen_resolved = command->setting;
    pthread_mutex_unlock(&b->lock);
}

static bool is_repeat(const struct client *c, const struct model_command *command)
{
    for (size_t i = 0; i < PAST && i < c->past_count; i++) {
        if (c->past[i].request_id == command->request_id)
            return c->past[i].content == command->content;
    }
    return false;
}

static void *run_client(void *argument)
{
    struct client *c = argument;
    struct bench *b = c->bench;
    for (size_t i = 0; i < EACH; i++) {
        struct model_record *record = &c->records[i];
        char etag[MODEL_ETAG_SIZE];
        decide(c, &record->command, etag);
        record->client = c->number;
        record->repeat = is_repeat(c, &record->command);
        record->low = b->acknowledged;
        model_wire_call(&ways, script_pick(&c->random, REPLICAS), b->name, &record->command, etag, NULL,
                        c->memory, &record->reply);
        arena_clear(c->memory);
        b->answered++;
        if (record->reply.code != STATUS_OK)
            continue;
        raise_to(&b->acknowledged, record->reply.position);
        learn_all(b, record);
        if (!record->repeat)
            c->past[c->past_count++ % PAST] = record->command;
    }
    return NULL;
}

/* SIGKILL in the middle, and another one in its place. Answers the way to the first one, at which clients may
 * still look. */
static rpc_channel *kill_one(struct bench *b, uint64_t *random)
{
    int replica = (int)script_pick(random, REPLICAS);
    size_t half = CLIENTS * EACH / 2;
    const struct timespec pause = {.tv_nsec = 1000000};
    while (b->answered < half)
        nanosleep(&pause, NULL);
    process_signal(programs[replica], SIGKILL);
    process_wait(programs[replica], clock_monotonic_us() + CLOCK_MINUTE, NULL);
    process_free(programs[replica]);
    rpc_channel *gone = ways.channels[replica];
    start_replica(replica);
    return gone;
}

static size_t gather(struct client *clients, struct model_record *records)
{
    size_t lost = 0;
    for (int i = 0; i < CLIENTS; i++) {
        memcpy(records + i * EACH, clients[i].records, sizeof clients[i].records);
        for (size_t k = 0; k < EACH; k++)
            lost += clients[i].records[k].reply.attempts > 1;
    }
    return lost;
}

static void run_clients(struct bench *b, uint64_t seed, bool with_a_kill, struct model_record *records,
                        size_t *ret_lost)
{
    struct client *clients = calloc(CLIENTS, sizeof *clients);
    uint64_t random = seed;
    cr_assert_not_null(clients);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        c->bench = b;
        c->number = i;
        c->random = script_random(&random);
        c->memory = arena_new(64 << 20);
        c->request_ids = i * EACH * 2;
        cr_assert_eq(pthread_create(&c->thread, NULL, run_client, c), 0);
    }
    rpc_channel *gone = with_a_kill ? kill_one(b, &random) : NULL;
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        arena_free(clients[i].memory);
    }
    rpc_channel_free(gone);
    *ret_lost = gather(clients, records);
    free(clients);
}

/* All clients, once; what they were told is then compared with the model. */
static void run_episode(unsigned episode, int64_t now, uint64_t seed, struct model_replay_counts *sum,
                        size_t *ret_lost)
{
    struct bench *b = calloc(1, sizeof *b);
    struct account_model *account = calloc(1, sizeof *account);
    struct model_record *records = calloc(CLIENTS * EACH, sizeof *records);
    struct model_contacts contacts = {0};
    struct model_story story = {0};
    struct model_replay_counts counts = {0};
    uint64_t random = seed;
    cr_assert(b && account && records);
    pthread_mutex_init(&b->lock, NULL);
    b->now = now;
    snprintf(b->name, sizeof b->name, "accounts/many%u", episode);
    int64_t position = model_wire_account(server.channel, b->name, false, server.memory);
    account_model_init(account, now, position);
    b->acknowledged = position;
    run_clients(b, seed, episode % 2 == 0, records, ret_lost);
    const struct model_ground ground = {server.channel, b->name, server.memory, account, &contacts};
    const char *difference = model_replay(&ground, records, CLIENTS * EACH, &story, &counts);
    if (!difference)
        difference = model_check_feed(&ground, position, &story);
    if (!difference)
        difference = model_check_cases(&ground);
    if (!difference)
        difference = model_check_lists(&ground, WALKS, &random);
    cr_assert_null(difference, "CASEWORK_MODEL_SEED=%llu: %s", (unsigned long long)seed, difference);
    sum->refused += counts.refused;
    sum->repeated += counts.repeated;
    sum->later += counts.later;
    model_story_release(&story);
    account_model_release(account);
    model_etags_release(&b->etags);
    pthread_mutex_destroy(&b->lock);
    free(records);
    free(account);
    free(b);
    arena_clear(server.memory);
}

Test(case_model_replicas, clients_and_model_agree)
{
    uint64_t seed = script_seed();
    struct model_replay_counts counts = {0};
    size_t commands = script_commands(USUALLY), done = 0, lost = 0;
    int64_t now = CASE_SERVER_START_US;
    fprintf(stderr, "case_model_replicas: from CASEWORK_MODEL_SEED=%llu\n", (unsigned long long)seed);
    for (unsigned episode = 0; done < commands; episode++, seed++, done += (size_t)CLIENTS * EACH) {
        size_t lost_now;
        run_episode(episode, now, seed, &counts, &lost_now);
        lost += lost_now;
        case_server_advance(&server, CLOCK_HOUR);
        now += CLOCK_HOUR;
    }
    fprintf(stderr,
            "%zu commands: %zu refused, %zu repeated, %zu asked again, %zu answers with later changes\n",
            done, counts.refused, counts.repeated, lost, counts.later);
    cr_assert_gt(counts.refused * 50, done, "refusals are tried too");
    cr_assert_gt(counts.repeated, 0, "repeated requests are tried too");
    cr_assert_gt(lost, 0, "the kill was felt");
}
