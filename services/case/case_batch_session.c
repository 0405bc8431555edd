/* Sessions, tabs and locks: what their commands do to the overlay. */

#include "case/case_batch_run.h"
#include "case/case_overlay_session.h"

#include <string.h>

enum { SESSIONS_MAX = 50, TABS_MAX = 200 }; /* of an agent, of a session */

bool batch_settle_lock(struct overlay *overlay, const struct case_context *context,
                       const struct case_entry *entry, struct case_change *change, error *err)
{
    struct case_tabs nobody = {0};
    struct case_tabs_entry *known = overlay_find_case_tabs(overlay, entry->record.account, entry->record.id);
    return case_rules_settle_lock(context, known == NULL ? &nobody : &known->tabs, change, err);
}

bool batch_act(struct overlay *overlay, const struct case_context *context, const struct case_act *act,
               const struct case_entry *entry, struct case_change *change, error *err)
{
    /* When there is nothing to undelete, a lock that was broken while nobody else waited stays nobody's. */
    bool comes_back = act->kind == CASE_ACT_UNDELETE && entry->record.status == CASE_STATUS_DELETED;
    return case_rules_apply(context, act, change, err) &&
           (!comes_back || batch_settle_lock(overlay, context, entry, change, err));
}

static struct case_context context_of(struct overlay *overlay, const struct case_command *command)
{
    return batch_case_context(overlay, command, overlay_account(overlay, command->account));
}

static bool is_over(const struct case_command *command, error *err)
{
    return error_set(err, STATUS_ABORTED, "SESSION_OVER", "session %.64s is over, or another stream has it",
                     command->session.session);
}

/* The session for which this stream speaks; NULL: another one does, or it is over. */
static struct session_entry *own_session(struct overlay *overlay, const struct case_command *command,
                                         error *err)
{
    struct session_entry *session = overlay_session(overlay, command->account, command->session.session);
    if (session != NULL && session->entry.exists && session->stream == command->session.stream &&
        strcmp(session->host, command->session.host) == 0)
        return session;
    is_over(command, err);
    return NULL;
}

/* --- answers: they outlive the command, so nothing in them may belong to another one
 * ------------------------
 */

static bool copy_text(struct overlay *overlay, const char **text)
{
    *text = arena_strdup(overlay->memory, *text);
    return *text != NULL;
}

static bool answer_tab(struct overlay *overlay, const char *account, int64_t case_id,
                       struct tab_answer *ret_tab, error *err)
{
    const struct case_entry *entry = overlay_case(overlay, account, case_id);
    const struct case_tabs_entry *known = overlay_case_tabs(overlay, account, case_id);
    if (entry == NULL || known == NULL)
        return batch_out_of_memory(err);
    const struct case_tabs *tabs = &known->tabs;
    struct case_record *record = arena_memdup(overlay->memory, &entry->record, sizeof *record);
    struct case_tab *viewers = arena_calloc(overlay->memory, tabs->count + 1, sizeof *viewers);
    if (record == NULL || viewers == NULL || !copy_text(overlay, &record->lock_agent) ||
        !copy_text(overlay, &record->lock_session))
        return batch_out_of_memory(err);
    size_t count = 0;
    for (size_t i = 0; i < tabs->count; i++) {
        if (tabs->items[i].state == TAB_CLOSED)
            continue;
        viewers[count] = tabs->items[i];
        if (!copy_text(overlay, &viewers[count].session) || !copy_text(overlay, &viewers[count].agent))
            return batch_out_of_memory(err);
        count++;
    }
    *ret_tab = (struct tab_answer){record, viewers, count};
    return true;
}

/* With room for `tab_count` tabs. */
static struct session_answer *answer_session(struct overlay *overlay, struct case_command *command,
                                             const struct session_entry *session, size_t tab_count,
                                             struct tab_answer **ret_tabs, error *err)
{
    struct session_answer *answer = arena_calloc(overlay->memory, 1, sizeof *answer);
    struct tab_answer *tabs = arena_calloc(overlay->memory, tab_count + 1, sizeof *tabs);
    if (answer == NULL || tabs == NULL) {
        batch_out_of_memory(err);
        return NULL;
    }
    *answer = (struct session_answer){.session = session->entry.key.a,
                                      .agent = session->agent,
                                      .stream = session->stream,
                                      .grace_us = session->grace_us,
                                      .tabs = tabs,
                                      .tab_count = tab_count};
    if (!copy_text(overlay, &answer->session) || !copy_text(overlay, &answer->agent)) {
        batch_out_of_memory(err);
        return NULL;
    }
    *ret_tabs = tabs;
    command->answer.session = answer;
    return answer;
}

static bool answer_one_tab(struct overlay *overlay, struct case_command *command,
                           const struct session_entry *session, error *err)
{
    struct tab_answer *tab;
    return answer_session(overlay, command, session, 1, &tab, err) != NULL &&
           answer_tab(overlay, command->account, command->session.case_id, tab, err);
}

static bool answer_all_tabs(struct overlay *overlay, struct case_command *command,
                            const struct session_entry *session, struct session_answer **ret_answer,
                            error *err)
{
    const struct session_tabs_entry *open =
        overlay_session_tabs(overlay, command->account, session->entry.key.a);
    struct tab_answer *tabs;
    struct session_answer *answer =
        answer_session(overlay, command, session, open == NULL ? 0 : open->count, &tabs, err);
    if (answer == NULL)
        return false;
    for (size_t i = 0; i < answer->tab_count; i++) {
        if (!answer_tab(overlay, command->account, open->case_ids[i], &tabs[i], err))
            return false;
    }
    *ret_answer = answer;
    return true;
}

/* --- the end of a session ---------------------------------------------------------------------------------
 */

static bool close_tab(struct overlay *overlay, const struct case_command *command, const char *session,
                      int64_t case_id, error *err)
{
    struct case_entry *entry = overlay_case(overlay, command->account, case_id);
    struct case_tabs_entry *tabs = overlay_case_tabs(overlay, command->account, case_id);
    if (entry == NULL || tabs == NULL)
        return batch_out_of_memory(err);
    struct case_context context = context_of(overlay, command);
    struct case_change change;
    case_change_begin(&change, &entry->record);
    return case_rules_close_tab(&context, &tabs->tabs, session, &change, err) &&
           batch_apply(overlay, entry, &change, err);
}

/* All its tabs and locks go with it; what it had open is known. */
static bool end_session(struct overlay *overlay, const struct case_command *command,
                        struct session_entry *session, error *err)
{
    const char *id = session->entry.key.a;
    struct session_tabs_entry *open = overlay_session_tabs(overlay, command->account, id);
    if (open == NULL)
        return batch_out_of_memory(err);
    for (size_t i = 0; i < open->count; i++) {
        if (!close_tab(overlay, command, id, open->case_ids[i], err))
            return false;
    }
    open->count = 0;
    session->tab_count = 0;
    session->removed = !session->entry.inserted;
    session->entry.exists = session->entry.inserted = session->entry.changed = false;
    return true;
}

static void end_gather(struct overlay *overlay, const struct case_command *command)
{
    overlay_session(overlay, command->account, command->session.session);
    overlay_session_tabs(overlay, command->account, command->session.session);
}

/* Both logging out and running out of time. */
static bool end_run(struct overlay *overlay, struct case_command *command, error *err)
{
    bool expires = command->method == CASE_METHOD_EXPIRE_SESSION;
    struct session_entry *session = expires
                                        ? overlay_session(overlay, command->account, command->session.session)
                                        : own_session(overlay, command, err);
    if (session == NULL)
        return expires && batch_out_of_memory(err);
    if (expires && (!session->entry.exists || !session->gone))
        return true;
    struct session_answer *answer;
    if (!answer_all_tabs(overlay, command, session, &answer, err))
        return false;
    answer->ended = true;
    if (expires && session->host[0] != '\0')
        session->lost_host = session->host;
    return end_session(overlay, command, session, err);
}

const struct method_ops session_end_ops = {end_gather, end_run};

bool batch_end_agent_sessions(struct overlay *overlay, const struct case_command *command, const char *agent,
                              error *err)
{
    struct agent_sessions_entry *sessions = overlay_agent_sessions(overlay, command->account, agent);
    if (sessions == NULL)
        return batch_out_of_memory(err);
    for (size_t i = 0; i < sessions->count; i++) {
        struct session_entry *session = overlay_session(overlay, command->account, sessions->sessions[i]);
        if (session == NULL)
            return batch_out_of_memory(err);
        if (!session->entry.exists)
            continue;
        if (session->host[0] != '\0')
            session->lost_host = session->host;
        if (!end_session(overlay, command, session, err))
            return false;
    }
    return true;
}

/* --- attach and detach ------------------------------------------------------------------------------------
 */

static void attach_gather(struct overlay *overlay, const struct case_command *command)
{
    overlay_agent_sessions(overlay, command->account, command->actor.id);
    if (command->session.session[0] != '\0')
        end_gather(overlay, command);
}

static size_t live_sessions(struct overlay *overlay, const struct agent_sessions_entry *sessions)
{
    size_t count = 0;
    for (size_t i = 0; i < sessions->count; i++) {
        const struct session_entry *session =
            overlay_find(overlay, &(struct entry_key){ENTRY_SESSION, sessions->entry.key.account,
                                                      sessions->sessions[i], "", 0, 0});
        count += session == NULL || session->entry.exists;
    }
    return count;
}

static struct session_entry *new_session(struct overlay *overlay, const struct case_command *command,
                                         error *err)
{
    struct agent_sessions_entry *all = overlay_agent_sessions(overlay, command->account, command->actor.id);
    if (all != NULL && live_sessions(overlay, all) >= SESSIONS_MAX) {
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_SESSIONS", "agent %s has %d sessions already",
                  command->actor.id, SESSIONS_MAX);
        return NULL;
    }
    struct session_entry *session = overlay_session(overlay, command->account, command->session.fresh);
    struct session_tabs_entry *tabs = overlay_session_tabs(overlay, command->account, command->session.fresh);
    if (all == NULL || session == NULL || tabs == NULL ||
        !agent_sessions_add(overlay, all, command->session.fresh)) {
        batch_out_of_memory(err);
        return NULL;
    }
    session->agent = command->actor.id;
    session->entry.asked = session->entry.exists = session->entry.inserted = true;
    tabs->entry.asked = true;
    return session;
}

/* The session to go on with; NULL without an error: there is none, or its time is over. */
static struct session_entry *resumed_session(struct overlay *overlay, const struct case_command *command,
                                             bool *ret_failed, error *err)
{
    *ret_failed = false;
    if (command->session.session[0] == '\0')
        return NULL;
    struct session_entry *session = overlay_session(overlay, command->account, command->session.session);
    if (session == NULL || !session->entry.exists || strcmp(session->agent, command->actor.id) != 0)
        return NULL;
    if (session->host[0] != '\0' && strcmp(session->host, command->session.host) != 0)
        session->lost_host = session->host;
    if (!session->gone)
        return session;
    *ret_failed = !end_session(overlay, command, session, err);
    return NULL;
}

static bool attach_run(struct overlay *overlay, struct case_command *command, error *err)
{
    bool failed;
    struct session_entry *session = resumed_session(overlay, command, &failed, err);
    bool resumed = session != NULL;
    if (failed)
        return false;
    if (!resumed && (session = new_session(overlay, command, err)) == NULL)
        return false;
    session->host = command->session.host;
    session->stream++;
    session->seen = true;
    session->entry.changed = true;
    session->grace_us = overlay_account(overlay, command->account)->record.session_grace_us;
    struct session_answer *answer;
    if (!answer_all_tabs(overlay, command, session, &answer, err))
        return false;
    answer->resumed = resumed;
    return true;
}

const struct method_ops session_attach_ops = {attach_gather, attach_run};

static void session_gather(struct overlay *overlay, const struct case_command *command)
{
    overlay_session(overlay, command->account, command->session.session);
}

static bool detach_run(struct overlay *overlay, struct case_command *command, error *err)
{
    struct session_entry *session = own_session(overlay, command, err);
    if (session == NULL)
        return false;
    session->host = "";
    session->grace_us = overlay_account(overlay, command->account)->record.session_grace_us;
    session->entry.changed = true;
    return true;
}

const struct method_ops session_detach_ops = {session_gather, detach_run};

/* --- tabs -------------------------------------------------------------------------------------------------
 */

static void tab_gather(struct overlay *overlay, const struct case_command *command)
{
    overlay_session(overlay, command->account, command->session.session);
    overlay_case(overlay, command->account, command->session.case_id);
    overlay_case_tabs(overlay, command->account, command->session.case_id);
}

/* What is refused is refused before anything has changed. */
static bool check_room(const struct session_entry *session, const struct case_tabs *tabs, error *err)
{
    if (session->tab_count < TABS_MAX || case_tabs_find(tabs, session->entry.key.a) != NULL)
        return true;
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "TOO_MANY_TABS", "a session has %d tabs at the most",
                     TABS_MAX);
}

static bool open_run(struct overlay *overlay, struct case_command *command, error *err)
{
    struct session_entry *session = own_session(overlay, command, err);
    struct case_entry *entry =
        session == NULL ? NULL : batch_existing_case(overlay, command, command->session.case_id, err);
    if (entry == NULL)
        return false;
    struct case_tabs_entry *tabs = overlay_case_tabs(overlay, command->account, entry->record.id);
    if (tabs == NULL)
        return batch_out_of_memory(err);
    if (!check_room(session, &tabs->tabs, err))
        return false;
    size_t before = case_tabs_count(&tabs->tabs);
    struct case_context context = context_of(overlay, command);
    struct case_change change;
    case_change_begin(&change, &entry->record);
    if (!case_rules_open_tab(&context, &tabs->tabs, session->entry.key.a, &change, err) ||
        !batch_apply(overlay, entry, &change, err))
        return false;
    if (case_tabs_count(&tabs->tabs) > before) {
        struct session_tabs_entry *known =
            overlay_find_session_tabs(overlay, command->account, session->entry.key.a);
        session->tab_count++;
        if (known != NULL && !session_tabs_add(overlay, known, entry->record.id))
            return batch_out_of_memory(err);
    }
    return answer_one_tab(overlay, command, session, err);
}

const struct method_ops tab_open_ops = {tab_gather, open_run};

static void forget_tab(struct session_tabs_entry *known, int64_t case_id)
{
    for (size_t i = 0; known != NULL && i < known->count; i++) {
        if (known->case_ids[i] != case_id)
            continue;
        known->count--;
        memmove(&known->case_ids[i], &known->case_ids[i + 1], (known->count - i) * sizeof known->case_ids[0]);
        return;
    }
}

static bool close_run(struct overlay *overlay, struct case_command *command, error *err)
{
    struct session_entry *session = own_session(overlay, command, err);
    struct case_entry *entry =
        session == NULL ? NULL : batch_existing_case(overlay, command, command->session.case_id, err);
    if (entry == NULL)
        return false;
    const char *id = session->entry.key.a;
    struct case_tabs_entry *tabs = overlay_case_tabs(overlay, command->account, entry->record.id);
    if (tabs == NULL)
        return batch_out_of_memory(err);
    if (case_tabs_find(&tabs->tabs, id) != NULL) {
        if (!close_tab(overlay, command, id, entry->record.id, err))
            return false;
        session->tab_count--;
        forget_tab(overlay_find_session_tabs(overlay, command->account, id), entry->record.id);
    }
    return answer_one_tab(overlay, command, session, err);
}

const struct method_ops tab_close_ops = {tab_gather, close_run};

/* --- break a lock -----------------------------------------------------------------------------------------
 */

static void break_gather(struct overlay *overlay, const struct case_command *command)
{
    overlay_case(overlay, command->account, command->break_lock.case_id);
    overlay_case_tabs(overlay, command->account, command->break_lock.case_id);
}

static bool break_run(struct overlay *overlay, struct case_command *command, error *err)
{
    struct case_entry *entry = batch_existing_case(overlay, command, command->break_lock.case_id, err);
    if (entry == NULL)
        return false;
    struct case_tabs_entry *tabs = overlay_case_tabs(overlay, command->account, entry->record.id);
    if (tabs == NULL)
        return batch_out_of_memory(err);
    struct case_context context = context_of(overlay, command);
    struct case_change change;
    case_change_begin(&change, &entry->record);
    return case_rules_break_lock(&context, &tabs->tabs, command->break_lock.token, &change, err) &&
           batch_apply(overlay, entry, &change, err) && batch_answer_case(overlay, command, entry, err);
}

const struct method_ops lock_break_ops = {break_gather, break_run};
