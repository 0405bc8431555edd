#include "tests/support/case_script.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SENDERS = 6 };

/* Some sort otherwise than their bytes, some only differ by case, some only by how they are composed. */
static const char *const subjects[MODEL_SUBJECTS] = {"",
                                                     "printer",
                                                     "Printer",
                                                     "PRINTER on fire",
                                                     "\u00c9clair",
                                                     "e\u0301clair",
                                                     "\u00e9t\u00e9",
                                                     "zebra",
                                                     "Stra\u00dfe",
                                                     "STRASSE",
                                                     "\U0001F600 help",
                                                     "\u0416\u0443\u043a",
                                                     "\u0436\u0430\u0431\u0430",
                                                     "\uff21",
                                                     "a b",
                                                     "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2"};

const char *const script_agents[] = {"", "a1", "a2", "a3", "a4"};
const char *const script_labels[] = {"", "Contract Needed", "l2", "L2", "l4", "l5"};
const char *const script_classes[][2] = {{"", ""},           {"topic", "billing"}, {"topic", "Billing"},
                                         {"topic", "print"}, {"sentiment", "bad"}, {"own", "billing"},
                                         {"own", "x"}};
const char *const script_keys[] = {"a", "b", "c"};
const char *const script_values[] = {"", "1", "2", "three"};
const char *const script_channels[] = {"", "mail", "chat"};

int script_place(const char *text, const char *const *all, int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(all[i], text) == 0)
            return i;
    }
    return SCRIPT_UNKNOWN;
}

int script_class_of(const char *group, const char *value)
{
    for (int i = 1; i <= MODEL_CLASSES; i++) {
        if (strcmp(script_classes[i][0], group) == 0 && strcmp(script_classes[i][1], value) == 0)
            return i;
    }
    return SCRIPT_UNKNOWN;
}

const char *script_subject(int subject)
{
    return subjects[subject];
}

int script_subject_of(const char *text)
{
    return script_place(text, subjects, MODEL_SUBJECTS);
}

size_t script_commands(size_t usually)
{
    const char *text = getenv("CASEWORK_MODEL_COMMANDS");
    return text && *text ? strtoull(text, NULL, 10) : usually;
}

uint64_t script_seed(void)
{
    const char *text = getenv("CASEWORK_MODEL_SEED");
    if (text && *text)
        return strtoull(text, NULL, 10);
    return (uint64_t)clock_real_us();
}

uint64_t script_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

unsigned script_pick(uint64_t *state, unsigned limit)
{
    return (unsigned)((script_random(state) >> 32) % limit);
}

static bool chance(uint64_t *random, unsigned percent)
{
    return script_pick(random, 100) < percent;
}

/* --- steps -------------------------------------------------------------------------------------------------
 */

static struct model_list some(uint64_t *random, unsigned of, unsigned most)
{
    struct model_list list = {0};
    unsigned count = script_pick(random, most + 1);
    for (unsigned i = 0; i < count; i++)
        model_list_add(&list, 1 + (int)script_pick(random, of));
    return list;
}

static struct model_actor an_agent(uint64_t *random)
{
    return (struct model_actor){ACTOR_KIND_AGENT, 1 + (int)script_pick(random, MODEL_AGENTS)};
}

static struct model_actor a_machine(uint64_t *random, const struct script_view *view)
{
    return (struct model_actor){
        chance(random, 50) && !view->service ? ACTOR_KIND_CONNECTOR : ACTOR_KIND_SERVICE, 0};
}

static void fill_message(uint64_t *random, struct script_view *view, struct model_command *command)
{
    static const enum message_kind by_agents[] = {MESSAGE_KIND_AGENT, MESSAGE_KIND_AGENT, MESSAGE_KIND_AGENT,
                                                  MESSAGE_KIND_NOTE, MESSAGE_KIND_SURVEY};
    static const enum message_kind by_machines[] = {
        MESSAGE_KIND_CUSTOMER, MESSAGE_KIND_CUSTOMER,         MESSAGE_KIND_CUSTOMER, MESSAGE_KIND_CUSTOMER,
        MESSAGE_KIND_SURVEY,   MESSAGE_KIND_FROM_THIRD_PARTY, MESSAGE_KIND_NOTE,     MESSAGE_KIND_AGENT};
    command->body = 1 + (int)script_pick(random, 100000);
    if (chance(random, 45)) {
        command->actor = an_agent(random);
        command->kind = by_agents[script_pick(random, 5)];
        command->automatic = chance(random, 4) && command->kind == MESSAGE_KIND_AGENT;
        if (command->kind == MESSAGE_KIND_AGENT && chance(random, 35))
            command->then = chance(random, 50) ? AFTER_SEND_MARK_PENDING : AFTER_SEND_RESOLVE;
        if (command->automatic)
            command->then = AFTER_SEND_NONE;
        return;
    }
    command->actor = a_machine(random, view);
    command->kind = by_machines[script_pick(random, 8)];
    command->automatic =
        command->kind == MESSAGE_KIND_AGENT || (command->kind == MESSAGE_KIND_CUSTOMER && chance(random, 10));
    if (chance(random, 30))
        command->sent = view->now - (int64_t)script_pick(random, 3 * 86400) * CLOCK_SECOND;
    else if (chance(random, 3))
        command->sent = view->now + CLOCK_HOUR;
    if (view->service && chance(random, 40)) {
        bool again = view->external_ids > 0 && chance(random, 15);
        command->external_id =
            again ? 1 + (int)script_pick(random, (unsigned)view->external_ids) : ++view->external_ids;
    }
}

static void fill_create(uint64_t *random, struct script_view *view, struct model_command *command)
{
    command->verb = MODEL_CREATE;
    command->actor = chance(random, 40) ? an_agent(random) : a_machine(random, view);
    command->has_message = chance(random, 80);
    if (command->has_message)
        fill_message(random, view, command);
    command->external_id = 0; /* of messages in cases that are there */
    command->then = AFTER_SEND_NONE;
    command->owner = chance(random, 25) ? 1 + (int)script_pick(random, MODEL_AGENTS) : 0;
    command->contact = 1 + (int)script_pick(random, 3);
    command->channel = 1 + (int)script_pick(random, 2);
    command->subject = (int)script_pick(random, MODEL_SUBJECTS);
    if (chance(random, 20))
        command->labels = some(random, MODEL_LABELS, 2);
    if (chance(random, 20))
        command->classes = some(random, MODEL_CLASSES, 2);
}

static void fill_update(uint64_t *random, struct model_command *command)
{
    command->fields = 1 + script_pick(random, 15);
    command->subject = (int)script_pick(random, MODEL_SUBJECTS);
    command->priority = (int)script_pick(random, 3);
    command->labels = some(random, MODEL_LABELS, 3);
    for (int i = 0; i < MODEL_ATTRIBUTES; i++)
        command->attributes[i] = (uint8_t)script_pick(random, MODEL_VALUES + 1);
}

static void fill_close(uint64_t *random, const struct script_view *view, const struct script_case *about,
                       struct model_command *command)
{
    bool resolved_rule = chance(random, 60);
    command->actor = (struct model_actor){ACTOR_KIND_SERVICE, 0};
    command->rule = resolved_rule ? DUE_RULE_RESOLVED : DUE_RULE_INACTIVE;
    command->basis_version = resolved_rule ? about->change_version : about->activity_version;
    if (chance(random, 15))
        command->basis_version += chance(random, 50) ? 1 : -1;
    command->due_time = chance(random, 85) ? view->now - CLOCK_SECOND : view->now + CLOCK_HOUR;
}

static void fill_set_state(uint64_t *random, const struct script_case *about, struct model_command *command)
{
    command->message = 1 + (int)script_pick(random, (unsigned)about->last);
    command->state = (enum message_state)(1 + script_pick(random, 4));
}

/* One of the case's few latest, now and then any; NULL: there is none that may grow. */
static const struct script_case *choose(uint64_t *random, const struct script_view *view)
{
    unsigned latest = view->case_count < 5 ? (unsigned)view->case_count : 5;
    if (latest == 0)
        return NULL;
    size_t at = chance(random, 85) ? view->case_count - 1 - script_pick(random, latest)
                                   : script_pick(random, (unsigned)view->case_count);
    bool good = view->cases[at].number && view->cases[at].last < MODEL_MESSAGES_MAX / 3;
    return good ? &view->cases[at] : NULL;
}

/* How often, out of a hundred. */
static const unsigned char weights[MODEL_VERBS] = {
    [MODEL_CREATE] = 3,       [MODEL_OPEN] = 9,      [MODEL_MARK_PENDING] = 6, [MODEL_RESOLVE] = 8,
    [MODEL_REOPEN] = 6,       [MODEL_CLOSE] = 10,    [MODEL_DELETE] = 3,       [MODEL_UNDELETE] = 5,
    [MODEL_ASSIGN] = 5,       [MODEL_UPDATE] = 5,    [MODEL_CLASSIFY] = 3,     [MODEL_DECLASSIFY] = 2,
    [MODEL_ADD_MESSAGE] = 27, [MODEL_SET_STATE] = 6, [MODEL_SETTING] = 2,
};

static enum model_verb choose_verb(uint64_t *random)
{
    unsigned at = script_pick(random, 100);
    for (int verb = 0; verb < MODEL_VERBS; verb++) {
        if (at < weights[verb])
            return (enum model_verb)verb;
        at -= weights[verb];
    }
    return MODEL_ADD_MESSAGE;
}

static void fill_about(uint64_t *random, struct script_view *view, const struct script_case *about,
                       struct model_command *command)
{
    command->number = about->number;
    command->actor =
        chance(random, 85) || command->verb == MODEL_OPEN ? an_agent(random) : a_machine(random, view);
    if (chance(random, 15))
        command->expected_version = about->version - (chance(random, 25) && about->version > 1);
    if (command->verb == MODEL_ASSIGN)
        command->owner = (int)script_pick(random, MODEL_AGENTS + 1);
    else if (command->verb == MODEL_UPDATE)
        fill_update(random, command);
    else if (command->verb == MODEL_CLASSIFY || command->verb == MODEL_DECLASSIFY)
        command->classes = some(random, MODEL_CLASSES, 2);
    else if (command->verb == MODEL_CLOSE)
        fill_close(random, view, about, command);
    else if (command->verb == MODEL_SET_STATE)
        fill_set_state(random, about, command);
    else if (command->verb == MODEL_ADD_MESSAGE)
        fill_message(random, view, command);
}

/* A message that comes in from outside: it finds its case itself. */
static void fill_receive(uint64_t *random, struct script_view *view, struct model_command *command)
{
    bool again = view->external_ids > 0 && chance(random, 15);
    command->verb = MODEL_RECEIVE;
    command->actor = a_machine(random, view);
    command->channel = 1 + (int)script_pick(random, 2);
    command->contact = 1 + (int)script_pick(random, SENDERS);
    command->subject = (int)script_pick(random, MODEL_SUBJECTS);
    command->body = 1 + (int)script_pick(random, 100000);
    command->automatic = chance(random, 8);
    command->sent = chance(random, 20) ? view->now - (int64_t)script_pick(random, 86400) * CLOCK_SECOND : 0;
    command->external_id =
        again ? 1 + (int)script_pick(random, (unsigned)view->external_ids) : ++view->external_ids;
}

/* To an agent or a third party, with and without a note. */
static void fill_forward(uint64_t *random, const struct script_case *about, struct model_command *command)
{
    bool whole = chance(random, 50) || about->last == 0;
    command->verb = whole ? MODEL_FORWARD_CASE : MODEL_FORWARD_MESSAGE;
    command->number = about->number;
    command->message = whole ? 0 : 1 + (int)script_pick(random, (unsigned)about->last);
    command->agent = chance(random, 60) ? 1 + (int)script_pick(random, MODEL_AGENTS) : 0;
    command->third_party = command->agent ? 0 : 1 + (int)script_pick(random, 2);
    command->note = chance(random, 50) ? 1 + (int)script_pick(random, 100000) : 0;
    if (whole && chance(random, 15))
        command->expected_version = about->version - (chance(random, 25) && about->version > 1);
}

/* What the rules of one case know besides. */
static void pass_on(uint64_t *random, const struct script_case *about, struct model_command *command)
{
    *command = (struct model_command){.content = command->content, .number = about->number};
    command->actor = an_agent(random);
    command->labels = some(random, MODEL_LABELS, 2);
    if (chance(random, 60))
        fill_forward(random, about, command);
    else
        command->verb = chance(random, 60) ? MODEL_LABEL : MODEL_UNLABEL;
    if (command->verb == MODEL_FORWARD_CASE && !command->agent && !command->note)
        command->note = 1; /* so that there is something to forward */
}

/* Two cases become one; what has been merged is parted again. */
static void fill_merge(uint64_t *random, const struct script_view *view, const struct script_case *about,
                       struct model_command *command)
{
    const struct script_case *other = &view->cases[script_pick(random, (unsigned)view->case_count)];
    for (int tries = 0; tries < 4 && !other->merged; tries++)
        other = &view->cases[script_pick(random, (unsigned)view->case_count)];
    bool part = other->number && (other->merged || chance(random, 20));
    if (!part)
        other = &view->cases[script_pick(random, (unsigned)view->case_count)];
    command->verb = part ? MODEL_UNMERGE : MODEL_MERGE;
    command->number = part ? other->number : about->number;
    command->target = part ? 0 : other->number;
    if (chance(random, 15))
        command->expected_version = part ? other->version : about->version;
    if (!part && (!other->number || other->number == about->number ||
                  about->last + other->last > MODEL_MESSAGES_MAX / 4)) {
        command->verb = MODEL_UNMERGE;
        command->target = 0;
    }
}

/* One change for a few cases. */
static void fill_batch(uint64_t *random, const struct script_view *view, const struct script_case *first,
                       struct model_command *command)
{
    static const enum model_verb acts[] = {
        MODEL_LABEL,        MODEL_UNLABEL, MODEL_ASSIGN, MODEL_UPDATE, MODEL_CLASSIFY, MODEL_DECLASSIFY,
        MODEL_MARK_PENDING, MODEL_RESOLVE, MODEL_REOPEN, MODEL_DELETE, MODEL_UNDELETE};
    command->verb = MODEL_BATCH;
    command->act = acts[script_pick(random, sizeof acts / sizeof *acts)];
    command->batch[command->batch_count++] = first->number;
    for (int tries = 1; tries < MODEL_BATCH_MAX; tries++) {
        const struct script_case *about = choose(random, view);
        bool new = about != NULL;
        for (int i = 0; i < command->batch_count && new; i++)
            new = command->batch[i] != about->number;
        if (new)
            command->batch[command->batch_count++] = about->number;
    }
    command->labels = some(random, MODEL_LABELS, 2);
    command->classes = some(random, MODEL_CLASSES, 2);
    model_list_add(&command->labels, 1 + (int)script_pick(random, MODEL_LABELS));
    model_list_add(&command->classes, 1 + (int)script_pick(random, MODEL_CLASSES));
    command->owner = (int)script_pick(random, MODEL_AGENTS + 1);
    command->fields = MODEL_FIELD_PRIORITY;
    command->priority = (int)script_pick(random, 3);
}

/* What is about several cases, or passes them on. */
static void join_in(uint64_t *random, const struct script_view *view, struct model_command *command)
{
    const struct script_case *about = choose(random, view);
    unsigned at = script_pick(random, 100);
    if (!about || at >= 16)
        return;
    *command = (struct model_command){.content = command->content};
    command->actor = chance(random, 85) ? an_agent(random) : a_machine(random, view);
    if (at < 5)
        fill_forward(random, about, command);
    else if (at < 12)
        fill_merge(random, view, about, command);
    else
        fill_batch(random, view, about, command);
}

/* --- sessions ----------------------------------------------------------------------------------------------
 */

enum { SESSIONS_ALIVE = 5, TABS = MODEL_LIST_MAX };

static int living(const struct script_view *view)
{
    int count = 0;
    for (int i = 1; i <= view->session_count; i++)
        count += view->sessions[i].alive;
    return count;
}

/* One that lives; 0: there is none. */
static int choose_session(uint64_t *random, const struct script_view *view)
{
    int count = living(view), nth = count ? (int)script_pick(random, (unsigned)count) : 0;
    for (int i = 1; i <= view->session_count && count; i++) {
        if (view->sessions[i].alive && nth-- == 0)
            return i;
    }
    return 0;
}

static void fill_break(uint64_t *random, const struct script_view *view, struct model_command *command)
{
    bool admin = chance(random, 70);
    command->verb = MODEL_BREAK_LOCK;
    command->session = 0;
    command->actor = chance(random, 30) ? a_machine(random, view) : an_agent(random);
    if (command->actor.agent && admin)
        command->actor.agent = MODEL_ADMIN;
    command->token = chance(random, 50) ? 1 + (int64_t)script_pick(random, 6) : 0;
}

/* An agent's client: sessions, tabs, and locks. */
static void take_part(uint64_t *random, const struct script_view *view, struct model_command *command)
{
    const struct script_case *about = choose(random, view);
    int session = choose_session(random, view);
    unsigned at = script_pick(random, 100);
    bool room = living(view) < SESSIONS_ALIVE && view->session_count < MODEL_SESSIONS_MAX;
    if (!session && !room)
        return;
    *command = (struct model_command){.content = command->content, .session = session};
    if (!session || (room && at < 8)) {
        command->verb = MODEL_ATTACH;
        command->session = view->session_count + 1;
        command->actor = an_agent(random);
        return;
    }
    command->actor = (struct model_actor){ACTOR_KIND_AGENT, view->sessions[session].agent};
    command->verb = at < 12 || !about ? MODEL_LOG_OUT
                    : at < 18         ? MODEL_CUT
                    : at < 60         ? MODEL_OPEN_TAB
                                      : MODEL_CLOSE_TAB;
    if (command->verb == MODEL_LOG_OUT || command->verb == MODEL_CUT)
        return;
    command->number = about->number;
    if (command->verb == MODEL_CLOSE_TAB && about->holder && chance(random, 60)) {
        command->session = about->holder;
        command->actor.agent = view->sessions[about->holder].agent;
    }
    if (command->verb == MODEL_OPEN_TAB && view->sessions[session].tabs >= TABS)
        command->verb = MODEL_CLOSE_TAB;
    if (at >= 85)
        fill_break(random, view, command);
}

/* Who holds the case writes in it, mostly; and some say from which session, be it theirs, alive, or not. */
static void sign(uint64_t *random, const struct script_view *view, struct model_command *command)
{
    int holder = command->number ? view->cases[command->number - 1].holder : 0;
    if (command->actor.kind != ACTOR_KIND_AGENT || view->session_count == 0)
        return;
    if (holder && chance(random, 60)) {
        command->actor.agent = view->sessions[holder].agent;
        command->session = chance(random, 60) ? holder : 0;
    } else if (chance(random, 40)) {
        command->session = 1 + (int)script_pick(random, (unsigned)view->session_count);
        if (chance(random, 80))
            command->actor.agent = view->sessions[command->session].agent;
    }
}

/* What only a whole service knows: something comes in, is asked for again, or under a request id. */
static void widen(uint64_t *random, struct script_view *view, struct model_command *command)
{
    if (view->sessions && chance(random, 20)) {
        take_part(random, view, command);
        if (command->verb == MODEL_BREAK_LOCK && view->always_request_ids)
            command->request_id = ++view->request_ids;
        return;
    }
    join_in(random, view, command);
    if (command->verb == MODEL_ADD_MESSAGE && chance(random, 20)) {
        *command = (struct model_command){.content = command->content};
        fill_receive(random, view, command);
    }
    if (view->sessions)
        sign(random, view, command);
    if (chance(random, 30) || view->always_request_ids)
        command->request_id = ++view->request_ids;
    if (view->past_count == 0 || !chance(random, 4))
        return;
    const struct model_command *past = &view->past[script_pick(random, (unsigned)view->past_count)];
    if (past->request_id && chance(random, 70))
        *command = *past;
    else if (past->verb != command->verb) /* so that it surely is another request */
        command->request_id = past->request_id;
}

void script_command(uint64_t step, struct script_view *view, struct model_command *ret_command)
{
    uint64_t random = step;
    struct model_command command = {.verb = choose_verb(&random), .content = step};
    const struct script_case *about = choose(&random, view);
    if (command.verb == MODEL_CREATE && view->case_count >= view->case_max && about)
        command.verb = MODEL_ADD_MESSAGE;
    if (command.verb == MODEL_SETTING) {
        command.actor = a_machine(&random, view);
        command.setting = !view->reopen_resolved;
    } else if (command.verb == MODEL_CREATE || !about) {
        fill_create(&random, view, &command);
    } else {
        if (command.verb == MODEL_SET_STATE && about->last == 0)
            command.verb = MODEL_ADD_MESSAGE;
        fill_about(&random, view, about, &command);
    }
    if ((command.verb == MODEL_CLASSIFY || command.verb == MODEL_DECLASSIFY) && command.classes.count == 0)
        model_list_add(&command.classes, 1);
    if (view->service)
        widen(&random, view, &command);
    else if (about && chance(&random, 8))
        pass_on(&random, about, &command);
    *ret_command = command;
}

/* --- shrinking ---------------------------------------------------------------------------------------------
 */

/* The script without `count` steps from `from` on. */
static size_t without(const uint64_t *steps, size_t length, size_t from, size_t count, uint64_t *ret_steps)
{
    memcpy(ret_steps, steps, from * sizeof *steps);
    memcpy(ret_steps + from, steps + from + count, (length - from - count) * sizeof *steps);
    return length - count;
}

/* Leaves out ever smaller parts as long as what remains still fails. */
static size_t shrink(uint64_t *steps, size_t length, script_run *run, void *context, unsigned patience)
{
    uint64_t *trial = malloc((length + 1) * sizeof *trial);
    if (!trial)
        abort();
    for (size_t part = (length + 1) / 2; part > 0 && patience > 0; part /= 2) {
        for (size_t from = 0; from + part <= length && patience > 0;) {
            size_t fails = run(context, trial, without(steps, length, from, part, trial), false);
            patience--;
            if (fails) {
                memcpy(steps, trial, fails * sizeof *steps);
                length = fails;
            } else {
                from += part;
            }
        }
    }
    free(trial);
    return length;
}

bool script_try(uint64_t seed, size_t length, script_run *run, void *context, unsigned patience)
{
    uint64_t random = seed, *steps = malloc((length + 1) * sizeof *steps);
    if (!steps)
        abort();
    for (size_t i = 0; i < length; i++)
        steps[i] = script_random(&random);
    size_t fails = run(context, steps, length, false);
    if (fails) {
        fprintf(stderr, "CASEWORK_MODEL_SEED=%llu fails after %zu steps; the shortest script that does:\n",
                (unsigned long long)seed, fails);
        run(context, steps, shrink(steps, fails, run, context, patience), true);
    }
    free(steps);
    return fails == 0;
}
