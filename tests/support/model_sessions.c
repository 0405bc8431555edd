#include "tests/support/model_sessions.h"

#include "base/clock.h"
#include "tests/support/case_script.h"
#include "tests/support/model_wire_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <time.h>

#define ANSWER_TIMEOUT_US (20 * CLOCK_SECOND)

static const char *complain(struct model_sessions *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static const char *complain(struct model_sessions *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->complaint, sizeof s->complaint, format, arguments);
    va_end(arguments);
    return s->complaint;
}

bool model_sessions_is_about(enum model_verb verb)
{
    return verb == MODEL_ATTACH || verb == MODEL_CUT || verb == MODEL_LOG_OUT || verb == MODEL_OPEN_TAB ||
           verb == MODEL_CLOSE_TAB;
}

const char *model_sessions_id(const struct model_sessions *s, int session)
{
    return session ? s->clients[session].session : NULL;
}

/* --- what they are told ------------------------------------------------------------------------------------
 */

static int agent_of(const char *name)
{
    return *name ? script_place(model_last_segment(name), script_agents, MODEL_AGENTS + 1) : 0;
}

/* A grant of ours has to be taken away before the case is somebody else's, and we are not told twice. */
static const char *hear(struct model_sessions *s, int session, const session_news *news)
{
    int64_t number = model_wire_number(session_news_case(news));
    if (number < 1 || number > ACCOUNT_CASES_MAX)
        return NULL;
    struct model_told_lock *told = &s->told[session][number - 1];
    switch ((int)news->response_case) {
    case SESSION_NEWS(TAB_OPENED):
        *told = (struct model_told_lock){0};
        if (news->tab_opened->lock)
            told->holder = agent_of(news->tab_opened->lock->agent);
        return NULL;
    case SESSION_NEWS(TAB_CLOSED):
        *told = (struct model_told_lock){0};
        return NULL;
    case SESSION_NEWS(LOCK_GRANTED):
        if (told->granted >= news->lock_granted->token)
            return complain(s, "session %d: grant %" PRId64 " of case %" PRId64 " after %" PRId64, session,
                            news->lock_granted->token, number, told->granted);
        *told = (struct model_told_lock){.granted = news->lock_granted->token};
        return NULL;
    case SESSION_NEWS(LOCK_LOST):
        if (!told->granted)
            return complain(s, "session %d: lock_lost of case %" PRId64 ", which it did not hold", session,
                            number);
        *told = (struct model_told_lock){0};
        return NULL;
    case SESSION_NEWS(LOCK_HELD):
        if (told->granted && !told->giving)
            return complain(s, "session %d: lock_held of case %" PRId64 ", which it holds", session, number);
        *told = (struct model_told_lock){.holder = agent_of(news->lock_held->agent), .giving = told->giving};
        return NULL;
    case SESSION_NEWS(REFUSED):
        return complain(s, "session %d: refused: %s %s", session, news->refused->reason,
                        news->refused->message);
    default:
        return NULL;
    }
}

/* Reads on until the answer about the case is there. */
static const char *await(struct model_sessions *s, int session, int kind, int64_t number)
{
    int64_t until = clock_monotonic_us() + ANSWER_TIMEOUT_US;
    for (int64_t now = clock_monotonic_us(); now < until; now = clock_monotonic_us()) {
        bool ended = false;
        const session_news *news = session_client_next(&s->clients[session], until - now, &ended);
        if (ended)
            return complain(s, "session %d has ended: %s", session, s->clients[session].end.message);
        const char *wrong = news ? hear(s, session, news) : NULL;
        if (wrong)
            return wrong;
        if (news && (int)news->response_case == kind && model_wire_number(session_news_case(news)) == number)
            return NULL;
    }
    return complain(s, "session %d has no answer of kind %d about case %" PRId64, session, kind, number);
}

const char *model_sessions_listen(struct model_sessions *s)
{
    for (int session = 1; session <= MODEL_SESSIONS_MAX; session++) {
        bool ended = false;
        const session_news *news;
        const char *wrong = NULL;
        while (s->attached[session] && !wrong &&
               (news = session_client_next(&s->clients[session], 0, &ended)) != NULL)
            wrong = hear(s, session, news);
        if (wrong)
            return wrong;
        if (ended)
            return complain(s, "session %d has ended: %s", session, s->clients[session].end.message);
    }
    return NULL;
}

/* --- what they do ------------------------------------------------------------------------------------------
 */

static void leave(struct model_sessions *s, int session)
{
    session_client_break(&s->clients[session]);
    s->attached[session] = false;
}

static const char *attach(struct model_sessions *s, rpc_channel *channel, const char *name, int session,
                          int agent, const char *token)
{
    error err = {0};
    if (!session_client_try(&s->clients[session], channel, model_last_segment(name), script_agents[agent],
                            token, &err))
        return complain(s, "session %d cannot attach: %s %s", session, err.reason, err.message);
    s->attached[session] = true;
    return s->clients[session].resumed == (token != NULL)
               ? NULL
               : complain(s, "session %d is %sresumed", session, token ? "not " : "");
}

static const char *change_tab(struct model_sessions *s, const char *name, const struct model_command *command)
{
    struct session_client *client = &s->clients[command->session];
    char about[128];
    snprintf(about, sizeof about, "%s/cases/%" PRId64, name, command->number);
    bool opens = command->verb == MODEL_OPEN_TAB;
    s->told[command->session][command->number - 1].giving = !opens;
    if (!(opens ? session_client_open : session_client_close)(client, about))
        return complain(s, "session %d has ended", command->session);
    return await(s, command->session, opens ? SESSION_NEWS(TAB_OPENED) : SESSION_NEWS(TAB_CLOSED),
                 command->number);
}

/* Tabs and locks have lived on; the welcome is followed by all tabs in the order of opening. */
static const char *resume(struct model_sessions *s, rpc_channel *channel, const char *name,
                          const struct account_model *account, const struct model_command *command)
{
    const struct model_list *tabs = &account->sessions[command->session].tabs;
    char token[sizeof s->clients[0].token];
    memcpy(token, s->clients[command->session].token, sizeof token);
    memset(s->told[command->session], 0, sizeof s->told[command->session]);
    const char *wrong = attach(s, channel, name, command->session, command->actor.agent, token);
    for (int i = 0; i < tabs->count && !wrong; i++)
        wrong = await(s, command->session, SESSION_NEWS(TAB_OPENED), tabs->items[i]);
    return wrong;
}

static bool has_tabs(rpc_channel *channel, const char *name, int agent, const char *session)
{
    const struct rpc_client_options options = {.timeout_us = MODEL_CALL_TIMEOUT_US};
    Casework__Cases__V1__ListTabsRequest request = CASEWORK__CASES__V1__LIST_TABS_REQUEST__INIT;
    arena *memory = arena_new(1 << 20);
    ProtobufCMessage *response;
    error err = {0};
    bool has = false;
    request.parent = arena_printf(memory, "%s/agents/a%d", name, agent);
    if (!rpc_client_call(channel, &casework__cases__v1__session_service__descriptor, "ListTabs",
                         &request.base, &options, memory, &response, &err)) {
        arena_free(memory);
        return true;
    }
    const Casework__Cases__V1__ListTabsResponse *answer = (const void *)response;
    for (size_t i = 0; i < answer->n_tabs; i++)
        has = has || strcmp(answer->tabs[i]->session, session) == 0;
    arena_free(memory);
    return has;
}

/* There is no grace: the tabs go soon, and nobody hears of it. */
static const char *await_gone(struct model_sessions *s, rpc_channel *channel, const char *name,
                              const struct model_command *command)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000000};
    int64_t until = clock_monotonic_us() + ANSWER_TIMEOUT_US;
    while (has_tabs(channel, name, command->actor.agent, s->clients[command->session].session)) {
        if (clock_monotonic_us() > until)
            return complain(s, "session %d lives on without its stream", command->session);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static const char *log_out(struct model_sessions *s, int session)
{
    struct session_client *client = &s->clients[session];
    bool ended = session_client_log_out(client) && session_client_await_end(client, ANSWER_TIMEOUT_US);
    enum status_code code = client->end.code;
    leave(s, session);
    return ended && code == STATUS_OK ? NULL : complain(s, "session %d is not logged out", session);
}

const char *model_sessions_run(struct model_sessions *s, rpc_channel *channel, const char *name,
                               const struct account_model *account, const struct model_command *command)
{
    switch (command->verb) {
    case MODEL_ATTACH:
        return attach(s, channel, name, command->session, command->actor.agent, NULL);
    case MODEL_LOG_OUT:
        return log_out(s, command->session);
    case MODEL_CUT:
        leave(s, command->session);
        return account->setting.no_grace ? await_gone(s, channel, name, command)
                                         : resume(s, channel, name, account, command);
    default:
        return change_tab(s, name, command);
    }
}

/* --- in the end --------------------------------------------------------------------------------------------
 */

static const char *differ(struct model_sessions *s, const struct account_model *account, int session,
                          int number)
{
    const struct model_facts *facts = &account->cases[number - 1].facts;
    const struct model_told_lock *told = &s->told[session][number - 1];
    bool ours = facts->lock_session == session;
    if (told->granted == (ours ? facts->lock_token : 0) && (ours || told->holder == facts->lock_agent))
        return NULL;
    return complain(
        s, "session %d was told of case %d: grant %" PRId64 ", held by agent %d; is %" PRId64 ", %d", session,
        number, told->granted, told->holder, ours ? facts->lock_token : 0, facts->lock_agent);
}

const char *model_sessions_check(struct model_sessions *s, const struct account_model *account)
{
    int64_t until = clock_monotonic_us() + ANSWER_TIMEOUT_US;
    const struct timespec pause = {.tv_nsec = 5 * 1000000};
    for (const char *wrong = s->complaint; wrong; nanosleep(&pause, NULL)) {
        const char *heard = model_sessions_listen(s);
        if (heard)
            return heard;
        wrong = NULL;
        for (int session = 1; session <= account->session_count && !wrong; session++) {
            const struct model_list *tabs = &account->sessions[session].tabs;
            for (int i = 0; i < tabs->count && !wrong; i++)
                wrong = differ(s, account, session, tabs->items[i]);
        }
        if (wrong && clock_monotonic_us() > until)
            return wrong;
    }
    return NULL;
}

void model_sessions_release(struct model_sessions *s)
{
    for (int session = 1; session <= MODEL_SESSIONS_MAX; session++) {
        if (s->attached[session])
            log_out(s,
                    session); /* what a broken stream sets off would come into the next account's partition */
    }
    memset(s->told, 0, sizeof s->told);
}
