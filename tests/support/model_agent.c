#include "tests/support/model_agent.h"

#include "base/clock.h"
#include "tests/support/case_script.h"
#include "tests/support/model_wire_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#define ANSWER_TIMEOUT_US CLOCK_MINUTE
#define WELCOME_TIMEOUT_US (5 * CLOCK_SECOND)

enum { NO_CASE = 999999 }; /* nothing has that number */

static bool complain(struct model_agent *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool complain(struct model_agent *a, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!*a->complaint)
        vsnprintf(a->complaint, sizeof a->complaint, format, arguments);
    va_end(arguments);
    return false;
}

static struct model_record *note(struct model_agent *a, const struct model_command *command)
{
    struct model_record *record = model_log_add(a->log);
    record->command = *command;
    record->command.session = a->session;
    record->command.actor = (struct model_actor){ACTOR_KIND_AGENT, a->agent};
    record->client = a->client;
    record->low = *a->floor->acknowledged;
    record->asked = a->floor->moment++;
    return record;
}

/* --- what it is told ---------------------------------------------------------------------------------------
 */

/* A grant is taken away before somebody else's is told, and none is told again but with its tab. */
static bool hear(struct model_agent *a, const session_news *news)
{
    int64_t number = model_wire_number(session_news_case(news));
    if (number < 1 || number > ACCOUNT_CASES_MAX)
        return true;
    int64_t *granted = &a->granted[number - 1];
    switch ((int)news->response_case) {
    case SESSION_NEWS(TAB_OPENED):
    case SESSION_NEWS(TAB_CLOSED):
        *granted = 0;
        return true;
    case SESSION_NEWS(LOCK_GRANTED):
        if (*granted >= news->lock_granted->token || a->lost[number - 1] >= news->lock_granted->token)
            return complain(a,
                            "grant %" PRId64 " of case %" PRId64 " after %" PRId64 ", %" PRId64 " was lost",
                            news->lock_granted->token, number, *granted, a->lost[number - 1]);
        *granted = news->lock_granted->token;
        model_log_grant(a->log, number, *granted, a->session);
        return true;
    case SESSION_NEWS(LOCK_LOST):
        if (!*granted)
            return complain(a, "lock_lost of case %" PRId64 ", which it did not hold", number);
        a->lost[number - 1] = *granted;
        *granted = 0;
        return true;
    case SESSION_NEWS(LOCK_HELD):
        if (*granted && !a->closing[number - 1])
            return complain(a, "lock_held of case %" PRId64 ", which it holds", number);
        *granted = 0;
        return true;
    default:
        return true;
    }
}

/* Reads on until the answer about the case is there; NULL: the stream has ended, or something is wrong. */
static const session_news *await(struct model_agent *a, int kind, int64_t number)
{
    int64_t until = clock_monotonic_us() + ANSWER_TIMEOUT_US;
    for (int64_t now = clock_monotonic_us(); now < until; now = clock_monotonic_us()) {
        bool ended;
        const session_news *news = session_client_next(&a->stream, until - now, &ended);
        if (ended || (news && !hear(a, news)))
            return NULL;
        if (news && (int)news->response_case == kind && model_wire_number(session_news_case(news)) == number)
            return news;
        if (news && news->response_case == SESSION_NEWS(REFUSED)) {
            complain(a, "refused: %s %s", news->refused->reason, news->refused->message);
            return NULL;
        }
    }
    complain(a, "no answer of kind %d about case %" PRId64, kind, number);
    return NULL;
}

/* --- streams -----------------------------------------------------------------------------------------------
 */

/* At one replica or another, whichever answers first. */
static bool attach(struct model_agent *a, const char *token)
{
    const struct model_ways *ways = a->floor->ways;
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    int64_t until = clock_monotonic_us() + ANSWER_TIMEOUT_US;
    error err = {0};
    do {
        rpc_channel *channel = ways->channels[script_pick(&a->random, ways->count)];
        if (session_client_try_for(&a->stream, channel, model_last_segment(a->floor->account),
                                   script_agents[a->agent], token, WELCOME_TIMEOUT_US, &err))
            return true;
        nanosleep(&pause, NULL);
    } while (clock_monotonic_us() < until);
    return complain(a, "cannot attach: %s %s", err.reason, err.message);
}

/* A new session has begun. */
static bool enroll(struct model_agent *a)
{
    struct model_roster *roster = &a->floor->roster;
    pthread_mutex_lock(&a->floor->lock);
    bool room = roster->count < MODEL_SESSIONS_MAX;
    if (room) {
        a->session = ++roster->count;
        roster->agents[a->session] = a->agent;
        snprintf(roster->ids[a->session], sizeof roster->ids[0], "%s", a->stream.session);
    }
    pthread_mutex_unlock(&a->floor->lock);
    a->tabs = (struct model_list){0};
    memset(a->granted, 0, sizeof a->granted);
    return room || complain(a, "too many sessions");
}

/* The welcome of a session that goes on is followed by its tabs: reads beyond them. */
static bool read_tabs(struct model_agent *a)
{
    char about[128];
    memset(a->granted, 0, sizeof a->granted);
    snprintf(about, sizeof about, "%s/cases/%d", a->floor->account, NO_CASE);
    return session_client_open(&a->stream, about) && await(a, SESSION_NEWS(REFUSED), NO_CASE);
}

/*
 * After the stream has ended. False: the session is over, which is noted, and a new one has begun; or
 * something is wrong. `may_end`: it was to be ended.
 */
static bool come_back(struct model_agent *a, bool may_end)
{
    a->ends++;
    for (;;) {
        char token[sizeof a->stream.token];
        memcpy(token, a->stream.token, sizeof token);
        session_client_break(&a->stream);
        if (!attach(a, token))
            return false;
        if (!a->stream.resumed)
            break;
        a->resumed++;
        if (read_tabs(a))
            return true;
        if (*a->complaint)
            return false;
    }
    if (!a->floor->no_grace && !may_end)
        return complain(a, "session %d is over within its grace time", a->session);
    struct model_record *end = note(a, &(struct model_command){.verb = MODEL_LOG_OUT});
    end->low = 0; /* whenever its stream was lost */
    end->by_anybody = true;
    end->answered = a->floor->moment++;
    enroll(a);
    return false;
}

/* --- what it does ------------------------------------------------------------------------------------------
 */

static void begin(struct model_agent *a, int agent)
{
    a->agent = agent;
    if (attach(a, NULL))
        enroll(a);
}

static void take_opened(struct model_agent *a, struct model_record *record, const session_news *news)
{
    const Casework__Cases__V1__AttachResponse__TabOpened *opened = news->tab_opened;
    record->reply.position = opened->position;
    record->lock_token = opened->lock ? opened->lock->token : 0;
    model_list_add(&a->tabs, (int)record->command.number);
}

static void change_tab(struct model_agent *a, const struct model_command *command)
{
    bool opens = command->verb == MODEL_OPEN_TAB;
    int number = (int)command->number;
    struct model_record *record = note(a, command);
    const session_news *news = NULL;
    char about[128];
    snprintf(about, sizeof about, "%s/cases/%d", a->floor->account, number);
    record->vague =
        opens && model_list_has(&a->tabs, number); /* a tab that is open already tells a later place */
    a->closing[number - 1] = !opens;
    while (!news) {
        if ((opens ? session_client_open : session_client_close)(&a->stream, about))
            news = await(a, opens ? SESSION_NEWS(TAB_OPENED) : SESSION_NEWS(TAB_CLOSED), number);
        if (news)
            break;
        record->vague = true;
        if (*a->complaint || !come_back(a, false)) {
            record->perhaps = true;
            break;
        }
    }
    a->closing[number - 1] = false;
    record->answered = a->floor->moment++;
    if (news && opens)
        take_opened(a, record, news);
    else if (news)
        model_list_remove(&a->tabs, number);
}

static void log_out(struct model_agent *a)
{
    struct model_record *record = note(a, &(struct model_command){.verb = MODEL_LOG_OUT});
    while (!session_client_log_out(&a->stream) || !session_client_await_end(&a->stream, ANSWER_TIMEOUT_US) ||
           a->stream.end.code != STATUS_OK) {
        if (*a->complaint || !come_back(a, true)) {
            record->perhaps = true;
            return;
        }
    }
    record->answered = a->floor->moment++;
    session_client_break(&a->stream);
    a->session = 0;
}

void model_agent_run(struct model_agent *a, struct model_command *command)
{
    if (a->session == 0) {
        begin(a, command->actor.agent);
        return;
    }
    switch (command->verb) {
    case MODEL_OPEN_TAB:
    case MODEL_CLOSE_TAB:
        change_tab(a, command);
        break;
    case MODEL_LOG_OUT:
        log_out(a);
        break;
    default:
        a->cuts++;
        come_back(a, false);
    }
}

void model_agent_listen(struct model_agent *a)
{
    bool ended = false;
    const session_news *news;
    while (a->session && !*a->complaint && !ended &&
           (news = session_client_next(&a->stream, 0, &ended)) != NULL)
        hear(a, news);
    if (ended && !*a->complaint)
        come_back(a, false);
}

void model_agent_leave(struct model_agent *a)
{
    while (a->session && !*a->complaint)
        log_out(a);
    if (a->stream.memory)
        session_client_break(&a->stream);
}
