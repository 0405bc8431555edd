/*
 * SessionService.Attach. A stream has one command under way at the most: the next message is read when the
 * one before has been answered, so a client can ask for no more than it is given.
 */

#include "base/clock.h"
#include "base/log.h"
#include "case/case_session_hub.h"
#include "case/case_write.h"
#include "rpc/name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_TIMEOUT_US (30 * CLOCK_SECOND)

/* A command and the texts it points to. */
struct session_command {
    struct case_command command; /* first */
    struct case_sessions *hub;
    struct session *session; /* referenced; NULL: of nobody here */
    char account[ACCOUNT_ID_SIZE], agent[AGENT_ID_SIZE], subject[AGENT_ID_SIZE];
    char id[SESSION_ID_SIZE], fresh[SESSION_ID_SIZE];
};

enum { VIEWING = CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_VIEWING };

typedef void finished(struct pg_command *lane);

static struct session_command *new_command(struct case_sessions *hub, enum case_method method,
                                           const char *account, const char *id, finished *done)
{
    struct session_command *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->hub = hub;
    snprintf(c->account, sizeof c->account, "%s", account);
    snprintf(c->id, sizeof c->id, "%s", id);
    case_command_init(&c->command, method, c->account);
    c->command.actor.kind = ACTOR_KIND_SYSTEM;
    c->command.session.session = c->id;
    c->command.session.fresh = c->fresh;
    c->command.session.host = hub->host;
    c->command.lane.done = done;
    return c;
}

/* By the session's agent. NULL: out of memory. */
static struct session_command *new_session_command(struct session *session, enum case_method method,
                                                   finished *done)
{
    struct session_command *c = new_command(session->hub, method, session->account, session->id, done);
    if (!c)
        return NULL;
    snprintf(c->agent, sizeof c->agent, "%s", session->agent);
    snprintf(c->subject, sizeof c->subject, "%s", session->subject);
    c->command.actor = (struct actor){ACTOR_KIND_AGENT, c->agent, c->subject, c->id};
    c->command.agent_must_exist = true;
    c->command.session.stream = session->stream;
    c->session = session;
    session_ref(session);
    return c;
}

static void free_command(struct session_command *c)
{
    if (c->session)
        session_unref(c->session);
    free(c);
}

/* With the lock held. */
static bool submit(struct session_command *c, error *err)
{
    if (c->session)
        c->session->busy = true;
    if (pg_lanes_submit(c->hub->lanes, &c->command.lane, err))
        return true;
    if (c->session)
        c->session->busy = false;
    free_command(c);
    return false;
}

static bool no_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
}

/* --- the end of a stream and of a session ------------------------------------------------------------------
 */

static void remember_detach(struct session *session)
{
    if (session->detach_due)
        return;
    session->detach_due = true;
    session_ref(session);
    session->next_detach = session->hub->detaching;
    session->hub->detaching = session;
}

static void detach_done(struct pg_command *lane)
{
    struct session_command *c = (struct session_command *)lane;
    struct case_sessions *hub = c->hub;
    pthread_mutex_lock(&hub->lock);
    c->session->busy = false;
    /* Aborted: somebody else has it, or it is over. Not found: the account is gone. */
    if (lane->outcome.code != STATUS_OK && lane->outcome.code != STATUS_ABORTED &&
        lane->outcome.code != STATUS_NOT_FOUND)
        remember_detach(c->session);
    pthread_mutex_unlock(&hub->lock);
    free_command(c);
}

void session_detach(struct session *session)
{
    error err;
    struct session_command *c = new_session_command(session, CASE_METHOD_DETACH_SESSION, detach_done);
    if (c) /* whatever became of the agent meanwhile */
        c->command.actor = (struct actor){ACTOR_KIND_SYSTEM, "", "", ""};
    if (!c || !submit(c, &err))
        remember_detach(session);
}

static void orphan_done(struct pg_command *lane)
{
    free_command((struct session_command *)lane); /* if it was not done, the next look finds it again */
}

void hub_detach_orphan(struct case_sessions *hub, const char *account, const char *id, int64_t stream)
{
    error err;
    struct session_command *c = new_command(hub, CASE_METHOD_DETACH_SESSION, account, id, orphan_done);
    if (!c)
        return;
    c->command.session.stream = stream;
    if (!submit(c, &err))
        log_warn("a session cannot be let go", LOG_TEXT("error", err.message));
}

/* With the lock held: the stream is over, and no command is under way. */
static void leave(struct session *session)
{
    if (session->released || session->id[0] == '\0')
        return;
    session->released = true;
    session_detach(session);
}

/* Those who had it open are told that it has left. */
static void tell_left(struct case_sessions *hub, const char *account, const struct session_answer *answer)
{
    for (size_t i = 0; i < answer->tab_count; i++) {
        hub_tell_presence(hub, feed_partition(account), account, answer->tabs[i].record->id, answer->session,
                          answer->agent, 0);
    }
}

static void expire_done(struct pg_command *lane)
{
    struct session_command *c = (struct session_command *)lane;
    const struct session_answer *answer = c->command.answer.session;
    pthread_mutex_lock(&c->hub->lock);
    if (lane->outcome.code == STATUS_OK && answer && answer->ended)
        tell_left(c->hub, c->account, answer);
    pthread_mutex_unlock(&c->hub->lock);
    atomic_fetch_sub(&c->hub->expiring, 1);
    free_command(c);
}

void hub_expire(struct case_sessions *hub, const char *account, const char *id)
{
    error err;
    struct session_command *c = new_command(hub, CASE_METHOD_EXPIRE_SESSION, account, id, expire_done);
    if (!c)
        return;
    atomic_fetch_add(&hub->expiring, 1);
    if (!submit(c, &err))
        atomic_fetch_sub(&hub->expiring, 1); /* the next look finds it again */
}

/* --- hello ------------------------------------------------------------------------------------------------
 */

static void give_way(struct session *session)
{
    session->released = true;
    hub_unregister(session);
    session_fail(session, STATUS_ABORTED, "SESSION_RESUMED", "the session goes on with another stream");
}

/* The newer of two streams of this replica wins. False: it is the other one. */
static bool push_aside(struct session *session)
{
    struct session *other = hub_find_session(session->hub, session->partition, session->account, session->id);
    bool is_newer = other && other->stream > session->stream;
    if (other)
        give_way(is_newer ? session : other);
    return !is_newer;
}

static void take_session(struct session *session, const struct case_answer *answer, arena *memory)
{
    const struct session_answer *own = answer->session;
    snprintf(session->id, sizeof session->id, "%s", own->session);
    session->stream = own->stream;
    session->grace_us = own->grace_us;
    session->begun = answer->position;
    if (session->over) {
        leave(session);
        return;
    }
    if (!push_aside(session))
        return;
    hub_register(session);
    session_tell_welcome(session, own->resumed, memory);
    for (size_t i = 0; i < own->tab_count; i++)
        session_take_tab(session, &own->tabs[i], answer->position, memory);
}

static void end_command(struct session_command *c, arena *memory)
{
    struct session *session = c->session;
    arena_free(memory);
    if (!session->over)
        rpc_call_read_next(session->call);
    pthread_mutex_unlock(&c->hub->lock);
    free_command(c);
}

enum { ANSWER_MEMORY = 16 << 20 };

/* With the lock held afterwards. */
static arena *begin_end(struct session_command *c)
{
    pthread_mutex_lock(&c->hub->lock);
    c->session->busy = false;
    c->session->giving_back = 0;
    arena *memory = arena_new(ANSWER_MEMORY);
    if (!memory)
        session_fail(c->session, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
    return memory;
}

static void hello_done(struct pg_command *lane)
{
    struct session_command *c = (struct session_command *)lane;
    arena *memory = begin_end(c);
    if (lane->outcome.code != STATUS_OK)
        rpc_call_fail(c->session->call, &lane->outcome);
    else if (memory)
        take_session(c->session, &c->command.answer, memory);
    end_command(c, memory);
}

static bool new_id(char id[SESSION_ID_SIZE], error *err)
{
    return resume_session_new(id) || error_set(err, STATUS_INTERNAL, "NO_RANDOM", "no random numbers");
}

/* Account and agent: as named, or the caller. */
static bool who_is_it(rpc_call *call, const char *named, struct session *session, error *err)
{
    const struct rpc_caller *caller = rpc_call_caller(call);
    const char *account = caller->account, *agent = caller->agent;
    if (!agent[0])
        return error_set(err, STATUS_PERMISSION_DENIED, "NOT_AN_AGENT", "only an agent has a session");
    if (named[0] &&
        !rpc_name_member(rpc_call_arena(call), "agents", named, "hello.agent", &account, &agent, err))
        return false;
    if (strcmp(caller->account, "*") == 0 && !named[0])
        return error_bad_field(err, "hello.agent", "is required of callers without an account");
    if (strcmp(caller->account, "*") != 0 && strcmp(caller->account, account) != 0)
        return rpc_error_not_found(err, named);
    if (strcmp(agent, caller->agent) != 0)
        return error_set(err, STATUS_PERMISSION_DENIED, "NOT_THE_AGENT", "this is not the calling agent");
    struct actor actor = case_write_actor(call);
    snprintf(session->account, sizeof session->account, "%s", account);
    snprintf(session->agent, sizeof session->agent, "%s", agent);
    snprintf(session->subject, sizeof session->subject, "%s", actor.via);
    session->partition = feed_partition(account);
    return true;
}

static bool read_token(rpc_call *call, const struct session *session, const char *token,
                       char id[SESSION_ID_SIZE], error *err)
{
    char binding[NAME_SIZE];
    id[0] = '\0';
    if (!token[0])
        return true;
    session_token_binding(session, binding);
    if (resume_session_open(rpc_call_arena(call), token, binding, id))
        return true;
    error_bad_field(err, "hello.resume_token", "is not a token that this agent was given");
    snprintf(err->reason, sizeof err->reason, "INVALID_RESUME_TOKEN");
    return false;
}

static bool hello(struct case_sessions *hub, rpc_call *call,
                  const Casework__Cases__V1__AttachRequest__Hello *message, error *err)
{
    struct session *session = calloc(1, sizeof *session);
    char id[SESSION_ID_SIZE];
    if (!session)
        return no_memory(err);
    if (!who_is_it(call, message->agent, session, err) ||
        !read_token(call, session, message->resume_token, id, err)) {
        free(session);
        return false;
    }
    session->hub = hub;
    session->call = call;
    rpc_call_ref(call);
    session->references = 1; /* the call's; given up in on_done */
    session->last_tab = &session->tabs;
    session->last_outgoing = &session->outgoing;
    session->attached_us = clock_monotonic_us();
    rpc_call_set_state(call, session);
    struct session_command *c = new_session_command(session, CASE_METHOD_ATTACH_SESSION, hello_done);
    if (!c)
        return no_memory(err);
    snprintf(c->id, sizeof c->id, "%s", id);
    if (!new_id(c->fresh, err)) {
        free_command(c);
        return false;
    }
    c->command.lane.deadline_us = session->attached_us + COMMAND_TIMEOUT_US;
    pthread_mutex_lock(&hub->lock);
    bool submitted = submit(c, err);
    pthread_mutex_unlock(&hub->lock);
    return submitted;
}

/* --- tabs -------------------------------------------------------------------------------------------------
 */

/* A command of the session was refused: because the session is no longer its own, or for a reason of its own.
 */
static void refused(struct session_command *c)
{
    const error *err = &c->command.lane.outcome;
    if (err->code == STATUS_ABORTED && strcmp(err->reason, "SESSION_OVER") == 0) {
        c->session->released = true;
        session_end_stream(c->session, err);
    } else if (err->code == STATUS_UNKNOWN) {
        session_fail(c->session, STATUS_UNAVAILABLE, "OUTCOME_UNKNOWN",
                     "what became of the request is not known; who resumes the session hears it");
    } else {
        session_tell_refused(c->session, c->command.session.case_id, "", err);
    }
}

static void open_done(struct pg_command *lane)
{
    struct session_command *c = (struct session_command *)lane;
    arena *memory = begin_end(c);
    const struct case_answer *answer = &c->command.answer;
    if (lane->outcome.code != STATUS_OK)
        refused(c);
    else if (c->session->registered && memory)
        session_take_tab(c->session, &answer->session->tabs[0], answer->position, memory);
    if (c->session->over)
        leave(c->session);
    end_command(c, memory);
}

static void close_done(struct pg_command *lane)
{
    struct session_command *c = (struct session_command *)lane;
    struct session *session = c->session;
    int64_t case_id = c->command.session.case_id;
    arena *memory = begin_end(c);
    if (lane->outcome.code != STATUS_OK) {
        refused(c);
    } else {
        struct session_tab *tab = hub_find_tab(session, case_id);
        if (tab)
            hub_close_tab(tab);
        hub_tell_presence(session->hub, session->partition, session->account, case_id, session->id,
                          session->agent, 0);
        session_tell_closed(session, case_id);
    }
    if (session->over)
        leave(session);
    end_command(c, memory);
}

static bool read_case(arena *memory, const struct session *session, const char *name, const char *field,
                      int64_t *ret_case, error *err)
{
    const char *account;
    if (!rpc_name_case(memory, name, field, &account, ret_case, err))
        return false;
    return strcmp(account, session->account) == 0 || rpc_error_not_found(err, name);
}

/* True: an answer is coming. */
static bool tab_command(struct session *session, enum case_method method, int64_t case_id, finished *done,
                        error *err)
{
    struct session_command *c = new_session_command(session, method, done);
    if (!c)
        return no_memory(err);
    c->command.session.case_id = case_id;
    c->command.lane.deadline_us = clock_monotonic_us() + COMMAND_TIMEOUT_US;
    if (method == CASE_METHOD_CLOSE_TAB || method == CASE_METHOD_END_SESSION)
        session->giving_back = case_id ? case_id : ALL_CASES;
    if (submit(c, err))
        return true;
    session->giving_back = 0;
    return false;
}

/* --- activity and the end ---------------------------------------------------------------------------------
 */

static bool activity(struct session *session, int64_t case_id, int kind, error *err)
{
    if (kind < VIEWING || kind > CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_EDITING)
        return error_bad_field(err, "activity.kind", "is required");
    struct session_tab *tab = hub_find_tab(session, case_id);
    if (!tab)
        return error_set(err, STATUS_FAILED_PRECONDITION, "NO_TAB", "the session does not have it open");
    for (size_t i = 0; i < tab->of->viewer_count; i++) {
        const struct viewer *viewer = &tab->of->viewers[i];
        if (strcmp(viewer->session, session->id) == 0 && viewer->kind == kind)
            return true; /* said before */
    }
    hub_tell_presence(session->hub, session->partition, session->account, case_id, session->id,
                      session->agent, kind);
    return true;
}

static void log_out_done(struct pg_command *lane)
{
    struct session_command *c = (struct session_command *)lane;
    struct session *session = c->session;
    arena *memory = begin_end(c);
    if (lane->outcome.code == STATUS_OK) {
        session->released = true;
        hub_unregister(session);
        tell_left(c->hub, c->account, c->command.answer.session);
        session_end_stream(session, NULL);
    } else {
        refused(c);
    }
    if (session->over)
        leave(session);
    end_command(c, memory);
}

/* --- the stream -------------------------------------------------------------------------------------------
 */

/* What a session asks for. False: refused at once, the session goes on. `*ret_coming`: an answer is. */
static bool obey(arena *memory, struct session *session, const Casework__Cases__V1__AttachRequest *request,
                 const char **ret_name, bool *ret_coming, error *err)
{
    int64_t case_id = 0;
    switch (request->request_case) {
    case CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_OPEN_TAB:
        *ret_name = request->open_tab->case_;
        return read_case(memory, session, *ret_name, "open_tab.case", &case_id, err) &&
               (*ret_coming = tab_command(session, CASE_METHOD_OPEN_TAB, case_id, open_done, err));
    case CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_CLOSE_TAB:
        *ret_name = request->close_tab->case_;
        return read_case(memory, session, *ret_name, "close_tab.case", &case_id, err) &&
               (*ret_coming = tab_command(session, CASE_METHOD_CLOSE_TAB, case_id, close_done, err));
    case CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_ACTIVITY:
        *ret_name = request->activity->case_;
        return read_case(memory, session, *ret_name, "activity.case", &case_id, err) &&
               activity(session, case_id, (int)request->activity->kind, err);
    default:
        return (*ret_coming = tab_command(session, CASE_METHOD_END_SESSION, 0, log_out_done, err));
    }
}

enum { REQUEST_MEMORY = 64 << 10 };

static void on_request(struct case_sessions *hub, rpc_call *call, struct session *session,
                       const Casework__Cases__V1__AttachRequest *request)
{
    error err = {0};
    const char *name = "";
    bool coming = false;
    arena *memory = arena_new(REQUEST_MEMORY);
    if (!memory) {
        rpc_call_fail_memory(call);
        return;
    }
    pthread_mutex_lock(&hub->lock);
    if (!obey(memory, session, request, &name, &coming, &err))
        session_tell_refused(session, 0, name, &err);
    pthread_mutex_unlock(&hub->lock);
    arena_free(memory);
    if (!coming)
        rpc_call_read_next(call);
}

static void on_message(rpc_call *call, const ProtobufCMessage *message, void *context)
{
    const Casework__Cases__V1__AttachRequest *request = (const void *)message;
    struct session *session = rpc_call_state(call);
    bool is_hello = request->request_case == CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST_HELLO;
    error err;
    bool good = true;
    if (request->request_case == CASEWORK__CASES__V1__ATTACH_REQUEST__REQUEST__NOT_SET)
        good = error_bad_field(&err, "request", "is required");
    else if (is_hello == (session != NULL))
        good = error_bad_field(&err, "hello", "must come first, and once");
    else if (is_hello)
        good = hello(context, call, request->hello, &err);
    else
        on_request(context, call, session, request);
    if (!good)
        rpc_call_fail(call, &err);
}

/* The client has nothing more to say: as if its stream had broken. */
static void on_half_close(rpc_call *call, void *context)
{
    struct case_sessions *hub = context;
    struct session *session = rpc_call_state(call);
    if (!session) {
        rpc_call_finish(call);
        return;
    }
    pthread_mutex_lock(&hub->lock);
    session_count_end(session, "CLIENT_LEFT");
    session_end_stream(session, NULL);
    pthread_mutex_unlock(&hub->lock);
}

static void on_writable(rpc_call *call, void *context)
{
    struct case_sessions *hub = context;
    struct session *session = rpc_call_state(call);
    if (!session)
        return;
    pthread_mutex_lock(&hub->lock);
    session_flush(session);
    pthread_mutex_unlock(&hub->lock);
}

/* An agent whose stream is away does nothing in particular. */
static void calm_down(struct session *session)
{
    for (struct session_tab *tab = session->tabs; tab; tab = tab->next_of_session)
        hub_tell_presence(session->hub, session->partition, session->account, tab->of->id, session->id,
                          session->agent, VIEWING);
}

void session_stream_over(struct session *session)
{
    if (session->over)
        return;
    session->over = true;
    session_count_end(session, "CLIENT_LEFT");
    if (!session->released)
        calm_down(session);
    hub_unregister(session);
    if (!session->busy)
        leave(session);
}

static void on_done(rpc_call *call, void *context)
{
    struct case_sessions *hub = context;
    struct session *session = rpc_call_state(call);
    if (!session)
        return;
    pthread_mutex_lock(&hub->lock);
    session_stream_over(session);
    pthread_mutex_unlock(&hub->lock);
    session_unref(session);
}

static const struct rpc_stream_handlers handlers = {
    .on_message = on_message, .on_half_close = on_half_close, .on_writable = on_writable, .on_done = on_done};

const struct rpc_method case_session_methods[] = {
    {.service = &casework__cases__v1__session_service__descriptor,
     .name = "Attach",
     .roles = WRITE_ROLES_PEOPLE,
     .any_account = true,
     .endless = true,
     .stream = &handlers},
    {.service = NULL},
};
