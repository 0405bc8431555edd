/* What a stream is answered. */

#include "case/case_session_hub.h"
#include "rpc/wire.h"

#include <stdio.h>
#include <string.h>

/* Whom a resume token is good for. */
void session_token_binding(const struct session *session, char binding[NAME_SIZE])
{
    snprintf(binding, NAME_SIZE, "session %s %s", session->account, session->agent);
}

void session_tell_welcome(struct session *session, bool resumed, arena *memory)
{
    char binding[NAME_SIZE];
    Casework__Cases__V1__AttachResponse__Welcome welcome =
        CASEWORK__CASES__V1__ATTACH_RESPONSE__WELCOME__INIT;
    attach_response response = CASEWORK__CASES__V1__ATTACH_RESPONSE__INIT;
    session_token_binding(session, binding);
    char *token = resume_session_seal(memory, session->id, binding);
    welcome.session = session->id;
    welcome.resume_token = token ? token : (char *)(uintptr_t) "";
    welcome.resumed = resumed;
    response.response_case = CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_WELCOME;
    response.welcome = &welcome;
    session_tell(session, &response);
}

/* All that are known to have the case open but the session itself. */
static bool list_viewers(const struct session *session, const struct watched_case *watched, arena *memory,
                         Casework__Cases__V1__AttachResponse__TabOpened *opened)
{
    opened->viewers = arena_calloc(memory, watched->viewer_count + 1, sizeof(void *));
    for (size_t i = 0; opened->viewers && i < watched->viewer_count; i++) {
        struct viewer *viewer = &watched->viewers[i];
        if (strcmp(viewer->session, session->id) == 0)
            continue;
        Casework__Cases__V1__Viewer *told = arena_alloc(memory, sizeof *told);
        char *agent = arena_alloc(memory, NAME_SIZE);
        if (!told || !agent)
            return false;
        casework__cases__v1__viewer__init(told);
        told->agent = session_agent_name(session, viewer->agent, agent);
        told->kind = (Casework__Cases__V1__ActivityKind)viewer->kind;
        told->session = viewer->session;
        opened->viewers[opened->n_viewers++] = told;
    }
    return opened->viewers != NULL;
}

static void tell_opened(struct session_tab *tab, arena *memory)
{
    struct session *session = tab->session;
    const struct tab_view *view = &tab->view;
    char name[NAME_SIZE], holder[NAME_SIZE];
    Casework__Cases__V1__Lock lock = CASEWORK__CASES__V1__LOCK__INIT;
    Casework__Cases__V1__AttachResponse__TabOpened opened =
        CASEWORK__CASES__V1__ATTACH_RESPONSE__TAB_OPENED__INIT;
    attach_response response = CASEWORK__CASES__V1__ATTACH_RESPONSE__INIT;
    opened.case_ = session_case_name(session, tab->of->id, name);
    opened.need_reply = view->need_reply;
    opened.position = tab->told_to;
    if (view->session[0]) {
        lock.agent = session_agent_name(session, view->agent, holder);
        lock.token = view->token;
        lock.acquire_time = wire_timestamp(memory, view->lock_time);
        opened.lock = &lock;
    }
    response.response_case = CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_TAB_OPENED;
    response.tab_opened = &opened;
    if (!list_viewers(session, tab->of, memory, &opened)) {
        session_fail(session, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
        return;
    }
    bool holds = strcmp(view->session, session->id) == 0;
    if (holds && !session_lease_holds(session))
        return;
    session_tell(session, &response);
    if (holds)
        session_tell_granted(tab, view->token);
}

enum { VIEWING = CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_VIEWING };

static void see(struct tab_view *view, const struct case_record *record)
{
    *view = (struct tab_view){
        .token = record->lock_token, .lock_time = record->lock_time, .need_reply = record->need_reply};
    snprintf(view->agent, sizeof view->agent, "%s", record->lock_agent);
    snprintf(view->session, sizeof view->session, "%s", record->lock_session);
}

/*
 * What the tab is not told of one by one any more is in the answer, but for a lock that the session has had
 * until then: other than with its case, and by its own client, it is lost only by being broken.
 */
static void see_answer(struct session_tab *tab, const struct case_record *record, int64_t position)
{
    bool is_gone = record->status == CASE_STATUS_DELETED || record->merged_into != 0;
    see(&tab->view, record);
    tab->told_to = position;
    if (tab->holds && strcmp(record->lock_session, tab->session->id) != 0)
        session_tell_lost(tab, is_gone ? CASEWORK__CASES__V1__LOCK_LOST_REASON__LOCK_LOST_REASON_CASE_GONE
                                       : CASEWORK__CASES__V1__LOCK_LOST_REASON__LOCK_LOST_REASON_BROKEN);
}

static void see_viewers(const struct session_tab *tab, const struct tab_answer *answer)
{
    for (size_t i = 0; i < answer->viewer_count; i++) {
        const struct case_tab *viewer = &answer->viewers[i];
        bool is_told = strcmp(viewer->session, tab->session->id) == 0;
        for (size_t k = 0; k < tab->of->viewer_count && !is_told; k++)
            is_told = strcmp(tab->of->viewers[k].session, viewer->session) == 0;
        if (!is_told)
            hub_presence(tab->of, viewer->session, viewer->agent, VIEWING, false);
    }
}

void session_take_tab(struct session *session, const struct tab_answer *answer, int64_t position,
                      arena *memory)
{
    struct case_sessions *hub = session->hub;
    bool is_known = hub_find_case(hub, session->partition, session->account, answer->record->id) != NULL;
    bool is_new = !is_known || !hub_find_tab(session, answer->record->id);
    struct session_tab *tab = hub_open_tab(session, answer->record->id, position);
    if (!tab) {
        session_fail(session, STATUS_RESOURCE_EXHAUSTED, "NO_MEMORY", "out of memory");
        return;
    }
    if (position >= tab->told_to) {
        see_answer(tab, answer->record, position);
        see_viewers(tab, answer);
    }
    if (is_new)
        hub_tell_presence(hub, session->partition, session->account, tab->of->id, session->id, session->agent,
                          VIEWING);
    if (!is_known)
        hub_ask_presence(hub, tab->of);
    tell_opened(tab, memory);
}

void session_tell_refused(struct session *session, int64_t case_id, const char *case_name, const error *err)
{
    char name[NAME_SIZE];
    Casework__Cases__V1__AttachResponse__Refused refused =
        CASEWORK__CASES__V1__ATTACH_RESPONSE__REFUSED__INIT;
    attach_response response = CASEWORK__CASES__V1__ATTACH_RESPONSE__INIT;
    refused.case_ = case_id ? session_case_name(session, case_id, name) : (char *)(uintptr_t)case_name;
    refused.code = (int32_t)err->code;
    refused.reason = (char *)(uintptr_t)err->reason;
    refused.message = (char *)(uintptr_t)err->message;
    response.response_case = CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_REFUSED;
    response.refused = &refused;
    session_tell(session, &response);
}

void session_tell_closed(struct session *session, int64_t case_id)
{
    char name[NAME_SIZE];
    Casework__Cases__V1__AttachResponse__TabClosed closed =
        CASEWORK__CASES__V1__ATTACH_RESPONSE__TAB_CLOSED__INIT;
    attach_response response = CASEWORK__CASES__V1__ATTACH_RESPONSE__INIT;
    closed.case_ = session_case_name(session, case_id, name);
    response.response_case = CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_TAB_CLOSED;
    response.tab_closed = &closed;
    session_tell(session, &response);
}
