/*
 * The case service and the model of it: many clients at once over three replicas, one of which is killed.
 * Each has a session, which is cut and resumed or runs out, opens and closes tabs, logs out, and is named in
 * writes. CASEWORK_MODEL_COMMANDS says how many commands, CASEWORK_MODEL_SEED which.
 */

#include "base/clock.h"
#include "tests/support/case_script.h"
#include "tests/support/case_server.h"
#include "tests/support/model_agent.h"
#include "tests/support/model_sessions.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLIENTS = 8,
    REPLICAS = 3,
    EACH = 120,
    CASES = 24,
    USUALLY = CLIENTS * EACH,
    PAST = 8,
    WALKS = 40,
    RECORDS = 3 * EACH,
    MOST = 20
};

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
    struct model_floor floor;
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
    struct model_log log;
    struct model_agent agent;
    struct script_case view[ACCOUNT_CASES_MAX]; /* what it knows, its own grants among it */
    struct script_session of_sessions[MODEL_SESSIONS_MAX + 1];
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

/* What the client knows of cases and sessions: of locks only its own grants. */
static void look(struct client *c, struct script_view *view)
{
    struct bench *b = c->bench;
    struct model_agent *agent = &c->agent;
    memcpy(c->view, b->known, b->known_count * sizeof *c->view);
    for (size_t i = 0; i < b->known_count; i++)
        c->view[i].holder = agent->granted[i] ? agent->session : 0;
    pthread_mutex_lock(&b->floor.lock);
    view->session_count = b->floor.roster.count;
    for (int i = 1; i <= view->session_count; i++)
        c->of_sessions[i] = (struct script_session){.agent = b->floor.roster.agents[i]};
    pthread_mutex_unlock(&b->floor.lock);
    c->of_sessions[agent->session].alive = agent->session != 0;
    c->of_sessions[agent->session].tabs = agent->tabs.count;
    view->sessions = c->of_sessions;
    view->cases = c->view;
    view->case_count = b->known_count;
}

/* What the client does next, by what all of them know now. */
static void decide(struct client *c, struct model_command *command, char etag[MODEL_ETAG_SIZE])
{
    struct bench *b = c->bench;
    pthread_mutex_lock(&b->lock);
    struct script_view view = {.now = b->now,
                               .reopen_resolved = b->reopen_resolved,
                               .case_max = CASES,
                               .service = true,
                               .always_request_ids = true,
                               .request_ids = c->request_ids,
                               .external_ids = b->external_ids,
                               .past = c->past,
                               .past_count = c->past_count < PAST ? c->past_count : PAST};
    look(c, &view);
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

static void call(struct client *c, const struct model_command *command, const char *etag)
{
    struct bench *b = c->bench;
    struct model_record *record = model_log_add(&c->log);
    char session[MODEL_SESSION_SIZE];
    pthread_mutex_lock(&b->floor.lock);
    memcpy(session, b->floor.roster.ids[command->session], sizeof session);
    pthread_mutex_unlock(&b->floor.lock);
    record->command = *command;
    record->client = c->number;
    record->repeat = is_repeat(c, command);
    record->low = b->acknowledged;
    model_wire_call(&ways, script_pick(&c->random, REPLICAS), b->name, command, etag,
                    command->session ? session : NULL, c->memory, &record->reply);
    arena_clear(c->memory);
    if (record->reply.code != STATUS_OK)
        return;
    raise_to(&b->acknowledged, record->reply.position);
    learn_all(b, record);
    if (!record->repeat)
        c->past[c->past_count++ % PAST] = *command;
}

static void *run_client(void *argument)
{
    struct client *c = argument;
    for (size_t i = 0; i < EACH && !*c->agent.complaint; i++) {
        struct model_command command;
        char etag[MODEL_ETAG_SIZE];
        decide(c, &command, etag);
        if (model_sessions_is_about(command.verb))
            model_agent_run(&c->agent, &command);
        else
            call(c, &command, etag);
        model_agent_listen(&c->agent);
        c->bench->answered++;
    }
    model_agent_leave(&c->agent);
    c->bench->answered += EACH; /* whoever waits for some progress has it, whatever went wrong */
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

static void start_client(struct client *c, struct bench *b, int number, uint64_t random)
{
    c->bench = b;
    c->number = number;
    c->random = random;
    c->memory = arena_new(64 << 20);
    c->request_ids = number * EACH * 2;
    c->agent = (struct model_agent){
        .floor = &b->floor, .log = &c->log, .client = number, .random = script_random(&c->random)};
    model_log_init(&c->log, RECORDS);
    cr_assert_eq(pthread_create(&c->thread, NULL, run_client, c), 0);
}

struct episode_counts {
    size_t lost, cuts, resumed, sessions; /* lost: calls that were asked again, streams that have ended */
};

static void run_clients(struct bench *b, uint64_t seed, bool with_a_kill, struct client *clients,
                        struct episode_counts *counts)
{
    uint64_t random = seed;
    for (int i = 0; i < CLIENTS; i++)
        start_client(&clients[i], b, i, script_random(&random));
    rpc_channel *gone = with_a_kill ? kill_one(b, &random) : NULL;
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        arena_free(clients[i].memory);
        counts->cuts += clients[i].agent.cuts;
        counts->lost += clients[i].agent.ends - clients[i].agent.cuts;
        counts->resumed += clients[i].agent.resumed;
        for (size_t k = 0; k < clients[i].log.count; k++)
            counts->lost += clients[i].log.records[k].reply.attempts > 1;
    }
    counts->sessions += (size_t)b->floor.roster.count;
    rpc_channel_free(gone);
}

static const char *judge(const struct model_ground *ground, const struct bench *b, struct client *clients,
                         struct model_replay_counts *counts, uint64_t *random)
{
    struct model_log logs[CLIENTS];
    struct model_story story = {0};
    int64_t start = ground->account->position;
    const char *difference = NULL;
    for (int i = 0; i < CLIENTS; i++) {
        logs[i] = clients[i].log;
        if (*clients[i].agent.complaint)
            return clients[i].agent.complaint;
    }
    difference =
        model_replay(ground, logs, CLIENTS, &b->floor.roster, model_check_position(ground), &story, counts);
    if (!difference)
        difference = model_check_feed(ground, start, &story);
    if (!difference)
        difference = model_check_cases(ground);
    if (!difference)
        difference = model_check_lists(ground, WALKS, random);
    model_story_release(&story);
    return difference;
}

static void add(struct model_replay_counts *sum, const struct model_replay_counts *counts)
{
    sum->refused += counts->refused;
    sum->repeated += counts->repeated;
    sum->later += counts->later;
    sum->locked += counts->locked;
    sum->grants += counts->grants;
    sum->passed_on += counts->passed_on;
}

/* All clients, once; what they were told is then compared with the model. */
static void run_episode(unsigned episode, int64_t now, uint64_t seed, struct model_replay_counts *sum,
                        struct episode_counts *counts)
{
    struct bench *b = calloc(1, sizeof *b);
    struct client *clients = calloc(CLIENTS, sizeof *clients);
    struct account_model *account = calloc(1, sizeof *account);
    struct model_contacts contacts = {0};
    struct model_replay_counts replayed = {0};
    uint64_t random = seed;
    bool no_grace = seed % 2;
    cr_assert(b && account && clients);
    pthread_mutex_init(&b->lock, NULL);
    b->now = now;
    snprintf(b->name, sizeof b->name, "accounts/many%u", episode);
    int64_t position = model_wire_account(server.channel, b->name, no_grace, server.memory);
    account_model_init(account, now, position);
    account->setting.no_grace = no_grace;
    b->acknowledged = position;
    b->floor = (struct model_floor){.ways = &ways,
                                    .account = b->name,
                                    .no_grace = no_grace,
                                    .acknowledged = &b->acknowledged,
                                    .moment = 1};
    pthread_mutex_init(&b->floor.lock, NULL);
    run_clients(b, seed, episode % 2 == 0, clients, counts);
    const struct model_ground ground = {server.channel, b->name,   server.memory,
                                        account,        &contacts, b->floor.roster.ids};
    const char *difference = judge(&ground, b, clients, &replayed, &random);
    cr_assert_null(difference, "CASEWORK_MODEL_SEED=%llu: %s", (unsigned long long)seed, difference);
    add(sum, &replayed);
    for (int i = 0; i < CLIENTS; i++)
        model_log_release(&clients[i].log);
    account_model_release(account);
    model_etags_release(&b->etags);
    pthread_mutex_destroy(&b->floor.lock);
    pthread_mutex_destroy(&b->lock);
    free(clients);
    free(account);
    free(b);
    arena_clear(server.memory);
}

/* What the verdict is to mean something for. */
static bool has_tried_all(size_t done, const struct model_replay_counts *counts,
                          const struct episode_counts *sum)
{
    return counts->refused * 50 > done && counts->locked * 100 > done && counts->passed_on * 500 > done &&
           counts->repeated > 0 && sum->cuts > 0 && sum->lost > 0;
}

/* Goes on, within limits, where chance has not brought about everything yet. */
Test(case_model_replicas, clients_and_model_agree)
{
    uint64_t seed = script_seed();
    struct model_replay_counts counts = {0};
    struct episode_counts sum = {0};
    size_t commands = script_commands(USUALLY), done = 0;
    int64_t now = CASE_SERVER_START_US;
    fprintf(stderr, "case_model_replicas: from CASEWORK_MODEL_SEED=%llu\n", (unsigned long long)seed);
    for (unsigned episode = 0;
         done < commands || (!has_tried_all(done, &counts, &sum) && done < MOST * commands);
         episode++, seed++) {
        run_episode(episode, now, seed, &counts, &sum);
        done += (size_t)CLIENTS * EACH;
        case_server_advance(&server, CLOCK_HOUR);
        now += CLOCK_HOUR;
    }
    fprintf(
        stderr,
        "%zu commands: %zu refused, %zu of them by a lock, %zu repeated, %zu asked again, %zu answers with "
        "later changes; %zu sessions, %zu cut, %zu resumed, %zu grants, %zu of them passed on\n",
        done, counts.refused, counts.locked, counts.repeated, sum.lost, counts.later, sum.sessions, sum.cuts,
        sum.resumed, counts.grants, counts.passed_on);
    cr_assert_gt(counts.refused * 50, done, "refusals are tried too");
    cr_assert_gt(counts.locked * 100, done, "locked cases are tried too");
    cr_assert_gt(counts.passed_on * 500, done, "who has waited gets the lock");
    cr_assert_gt(counts.repeated, 0, "repeated requests are tried too");
    cr_assert_gt(sum.cuts, 0, "streams are cut");
    cr_assert_gt(sum.lost, 0, "the kill was felt");
}
