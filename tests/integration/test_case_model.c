/*
 * The case service and the model of it, driven by the same generated commands over gRPC: one client after the
 * other, and many at once over three replicas. CASEWORK_MODEL_COMMANDS says how many, CASEWORK_MODEL_SEED
 * repeats one sequence.
 */

#include "base/clock.h"
#include "tests/support/case_script.h"
#include "tests/support/case_server.h"
#include "tests/support/model_check.h"
#include "tests/support/model_sessions.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCRIPT_LENGTH = 300,
    SCRIPT_CASES = 40,
    USUALLY = 600,
    PATIENCE = 60,
    PAST = 16,
    WALKS = 40,
    MOST = 20
};

static struct case_server server;

static void setup(void)
{
    case_server_start(&server);
}

static void teardown(void)
{
    case_server_stop(&server);
}

TestSuite(case_model_service, .init = setup, .fini = teardown, .timeout = 7200);

/* One script on an account of its own. */
struct bench {
    arena *memory;
    int64_t now;
    unsigned scripts;
    size_t commands, refusals, repeats;
    char name[64];
    struct account_model account;
    struct model_contacts contacts;
    struct model_story story;
    struct script_case known[ACCOUNT_CASES_MAX];
    struct model_etags etags;
    struct model_command past[PAST];
    size_t past_count;
    int request_ids, external_ids;
    bool no_grace;
    struct model_sessions sessions;
    struct script_session of_sessions[MODEL_SESSIONS_MAX + 1];
    size_t grants, locked;
    char complaint[768];
    bool failed;
};

static bool complain(struct bench *b, const char *what)
{
    if (*b->complaint == '\0') /* the first one is not lost if shortening takes long */
        fprintf(stderr, "  %s\n", what);
    snprintf(b->complaint, sizeof b->complaint, "%s", what);
    return false;
}

/* The other cases that an answer tells of. */
static const char *differ_others(struct bench *b, const struct model_command *command,
                                 const struct account_answer *answer, const struct model_reply *reply)
{
    const char *wrong = model_wire_differ_results(command, answer, reply);
    if (!wrong && answer->source)
        wrong = model_wire_differ(account_model_case(&b->account, answer->source), &reply->source,
                                  &b->contacts, false);
    for (int i = 0; i < command->batch_count && !wrong; i++) {
        if (answer->results[i].code == STATUS_OK)
            wrong = model_wire_differ(account_model_case(&b->account, command->batch[i]),
                                      &reply->results[i].seen, &b->contacts, false);
    }
    return wrong;
}

static bool compare(struct bench *b, const struct model_command *command, const struct account_answer *answer,
                    const struct model_reply *reply)
{
    char text[512];
    if (reply->code != answer->of_case.code || strcmp(reply->reason, answer->of_case.reason) != 0) {
        snprintf(text, sizeof text, "answered %s %s (%s), should be %s %s", status_code_name(reply->code),
                 reply->reason, reply->text, status_code_name(answer->of_case.code), answer->of_case.reason);
        return complain(b, text);
    }
    if (reply->code != STATUS_OK)
        return true;
    if (reply->position != answer->position) {
        snprintf(text, sizeof text, "position is %lld, should be %lld", (long long)reply->position,
                 (long long)answer->position);
        return complain(b, text);
    }
    const char *wrong = differ_others(b, command, answer, reply);
    if (wrong)
        return complain(b, wrong);
    if (answer->number == 0)
        return true;
    const struct model_case *expected = account_model_case(&b->account, answer->number);
    const char *difference = model_wire_differ(expected, &reply->seen, &b->contacts, false);
    if (!difference && answer->of_case.message)
        difference =
            model_wire_differ_message(expected, answer->of_case.message, &reply->message, &b->contacts);
    if (!difference && command->verb == MODEL_RECEIVE && reply->created != answer->created)
        difference = "another case_created";
    return difference ? complain(b, difference) : true;
}

static void learn(struct bench *b, const struct model_seen *seen)
{
    const struct model_facts *facts = &seen->facts;
    if (seen->number == 0)
        return;
    model_etags_learn(&b->etags, seen);
    b->known[seen->number - 1] = (struct script_case){seen->number,
                                                      facts->version,
                                                      facts->change_version,
                                                      facts->activity_version,
                                                      facts->message_count,
                                                      account_model_case(&b->account, seen->number)->last,
                                                      facts->merged_into != 0,
                                                      0};
}

/* What the clients' sessions tell: who holds what, and how it is now. */
static void learn_locks(struct bench *b)
{
    for (int i = 0; i < b->account.case_count; i++) {
        const struct model_facts *facts = &b->account.cases[i].facts;
        struct script_case *known = &b->known[i];
        known->holder = facts->lock_session;
        known->version = facts->version;
        known->change_version = facts->change_version;
        known->activity_version = facts->activity_version;
    }
    for (int i = 1; i <= b->account.session_count; i++) {
        const struct account_session *session = &b->account.sessions[i];
        b->of_sessions[i] = (struct script_session){b->account.setting.session_agents[i], session->tabs.count,
                                                    session->alive};
    }
}

/* A command of a session's client, which the model has done. */
static bool run_session(struct bench *b, struct model_command *command, const struct account_answer *answer)
{
    const char *wrong = model_sessions_run(&b->sessions, server.channel, b->name, &b->account, command);
    if (command->verb == MODEL_CUT) /* whose grace time is over is ended by nobody */
        command->actor = (struct model_actor){ACTOR_KIND_SYSTEM, 0};
    model_story_add(&b->story, &b->account, command, answer);
    return wrong ? complain(b, wrong) : true;
}

static void decide(struct bench *b, uint64_t step, struct model_command *ret_command)
{
    struct script_view view = {.now = b->now,
                               .reopen_resolved = b->account.setting.reopen_resolved,
                               .cases = b->known,
                               .case_count = (size_t)b->account.case_count,
                               .case_max = SCRIPT_CASES,
                               .service = true,
                               .request_ids = b->request_ids,
                               .external_ids = b->external_ids,
                               .sessions = b->of_sessions,
                               .session_count = b->account.session_count,
                               .past = b->past,
                               .past_count = b->past_count < PAST ? b->past_count : PAST};
    learn_locks(b);
    script_command(step, &view, ret_command);
    b->request_ids = view.request_ids;
    b->external_ids = view.external_ids;
}

static bool run_step(struct bench *b, uint64_t step, bool tell)
{
    struct model_ways ways = {.channels = {server.channel}, .count = 1};
    struct model_command command;
    struct account_answer answer;
    struct model_reply reply;
    decide(b, step, &command);
    const char *etag = model_etags_for(&b->etags, &command);
    if (tell) {
        fputs("    ", stderr);
        model_command_print(&command, stderr);
        fputc('\n', stderr);
    }
    account_model_apply(&b->account, &command, &answer);
    b->commands++;
    for (int i = 0; i < answer.of_case.event_count; i++)
        b->grants += answer.of_case.events[i].kind == EVENT_KIND_LOCK_GRANTED;
    if (model_sessions_is_about(command.verb))
        return run_session(b, &command, &answer);
    model_wire_call(&ways, 0, b->name, &command, etag, model_sessions_id(&b->sessions, command.session),
                    b->memory, &reply);
    b->refusals += reply.code != STATUS_OK;
    b->locked += strcmp(reply.reason, "CASE_LOCKED") == 0;
    b->repeats += answer.repeated;
    if (!compare(b, &command, &answer, &reply)) {
        if (!b->failed) {
            model_command_print(&command, stderr);
            fputc('\n', stderr);
        }
        b->failed = true;
        return false;
    }
    model_story_add(&b->story, &b->account, &command, &answer);
    if (reply.code == STATUS_OK) {
        learn(b, &reply.seen);
        learn(b, &reply.source);
        for (int i = 0; i < command.batch_count; i++)
            learn(b, &reply.results[i].seen);
    }
    if (reply.code == STATUS_OK && command.request_id && !answer.repeated)
        b->past[b->past_count++ % PAST] = command;
    arena_clear(b->memory);
    return true;
}

/* Streams are not to fill up. */
static bool listen_now_and_then(struct bench *b)
{
    const char *wrong = b->commands % 16 ? NULL : model_sessions_listen(&b->sessions);
    return wrong ? complain(b, wrong) : true;
}

static void begin(struct bench *b, int64_t *ret_position)
{
    arena_clear(b->memory);
    snprintf(b->name, sizeof b->name, "accounts/script%u", b->scripts++);
    *ret_position = model_wire_account(server.channel, b->name, b->no_grace, b->memory);
    account_model_init(&b->account, b->now, *ret_position);
    b->account.setting.no_grace = b->no_grace;
    memset(&b->contacts, 0, sizeof b->contacts);
    memset(b->known, 0, sizeof b->known);
    b->etags = (struct model_etags){0};
    b->past_count = 0;
    b->request_ids = b->external_ids = 0;
}

static void end(struct bench *b)
{
    model_sessions_release(&b->sessions);
    account_model_release(&b->account);
    model_story_release(&b->story);
    model_etags_release(&b->etags);
}

/* After the last command. */
static bool check_all(struct bench *b, int64_t position, uint64_t random)
{
    const struct model_ground ground = {server.channel, b->name, b->memory, &b->account, &b->contacts, NULL};
    const char *difference = model_sessions_check(&b->sessions, &b->account);
    if (!difference)
        difference = model_check_cases(&ground);
    if (!difference)
        difference = model_check_feed(&ground, position, &b->story);
    if (!difference)
        difference = model_check_lists(&ground, WALKS, &random);
    return difference ? complain(b, difference) : true;
}

static void pass_time(struct bench *b, uint64_t step, bool tell)
{
    uint64_t random = step;
    if (script_pick(&random, 12))
        return;
    int64_t duration =
        (1 + (int64_t)script_pick(&random, script_pick(&random, 2) ? 3600 : 40 * 3600)) * CLOCK_SECOND;
    case_server_advance(&server, duration);
    arena_clear(server.memory);
    b->now += duration;
    b->account.setting.now = b->now;
    if (tell)
        fprintf(stderr, "    %lld s later\n", (long long)(duration / CLOCK_SECOND));
}

static size_t run_script(void *context, const uint64_t *steps, size_t length, bool tell)
{
    struct bench *b = context;
    int64_t position;
    size_t done = 0;
    bool good = true;
    begin(b, &position);
    for (; done < length && good; done++) {
        pass_time(b, steps[done], tell);
        good = run_step(b, steps[done], tell) && listen_now_and_then(b);
    }
    good = good && check_all(b, position, length ? steps[0] : 0);
    if (!good && tell)
        fprintf(stderr, "  %s\n", b->complaint);
    end(b);
    return good ? 0 : done;
}

/* What the verdict is to mean something for. */
static bool has_tried_all(const struct bench *b)
{
    return b->refusals * 50 > b->commands && b->locked * 100 > b->commands && b->grants * 100 > b->commands &&
           b->repeats > 0;
}

/* Goes on, within limits, where chance has not brought about everything yet. */
Test(case_model_service, service_and_model_agree)
{
    struct bench *b = calloc(1, sizeof *b);
    size_t commands = script_commands(USUALLY);
    uint64_t seed = script_seed();
    cr_assert_not_null(b);
    b->memory = arena_new(256 << 20);
    b->now = CASE_SERVER_START_US;
    fprintf(stderr, "case_model_service: from CASEWORK_MODEL_SEED=%llu\n", (unsigned long long)seed);
    for (; b->commands < commands || (!has_tried_all(b) && b->commands < MOST * commands); seed++) {
        b->no_grace = seed % 2;
        cr_assert(script_try(seed, SCRIPT_LENGTH, run_script, b, PATIENCE), "%s", b->complaint);
    }
    fprintf(stderr, "%zu commands: %zu refused, %zu of them by a lock, %zu grants\n", b->commands,
            b->refusals, b->locked, b->grants);
    cr_assert_gt(b->refusals * 50, b->commands, "refusals are tried too");
    cr_assert_gt(b->locked * 100, b->commands, "locked cases are tried too");
    cr_assert_gt(b->grants * 100, b->commands, "locks are taken");
    cr_assert_gt(b->repeats, 0, "repeated requests are tried too");
    arena_free(b->memory);
    free(b);
}
