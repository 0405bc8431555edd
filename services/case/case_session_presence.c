/* Who has a case open and what they do there: within this replica, and told to and heard from the others. */

#include "case/case_session_hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEFT = CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_UNSPECIFIED,
    VIEWING = CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_VIEWING,
    LAST_KIND = CASEWORK__CASES__V1__ACTIVITY_KIND__ACTIVITY_KIND_EDITING,
};

static struct viewer *find_viewer(const struct watched_case *watched, const char *session)
{
    for (size_t i = 0; i < watched->viewer_count; i++) {
        if (strcmp(watched->viewers[i].session, session) == 0)
            return &watched->viewers[i];
    }
    return NULL;
}

static struct viewer *add_viewer(struct watched_case *watched, const char *session, const char *agent)
{
    if (watched->viewer_count == 2 * CASE_VIEWERS_MAX)
        return NULL;
    if (watched->viewer_count == watched->viewer_size) {
        size_t size = watched->viewer_size == 0 ? 4 : 2 * watched->viewer_size;
        struct viewer *grown = realloc(watched->viewers, size * sizeof *grown);
        if (!grown)
            return NULL;
        watched->viewers = grown;
        watched->viewer_size = size;
    }
    struct viewer *viewer = &watched->viewers[watched->viewer_count++];
    *viewer = (struct viewer){0};
    snprintf(viewer->session, sizeof viewer->session, "%s", session);
    snprintf(viewer->agent, sizeof viewer->agent, "%s", agent);
    return viewer;
}

/* An agent who has left with one session may still be there with another one. */
static int kind_of_agent(const struct watched_case *watched, const char *agent)
{
    for (size_t i = 0; i < watched->viewer_count; i++) {
        if (strcmp(watched->viewers[i].agent, agent) == 0)
            return watched->viewers[i].kind;
    }
    return LEFT;
}

static void tell_activity(struct session_tab *tab, const char *agent, int kind)
{
    char case_name[NAME_SIZE], agent_name[NAME_SIZE];
    Casework__Cases__V1__AttachResponse__Activity activity =
        CASEWORK__CASES__V1__ATTACH_RESPONSE__ACTIVITY__INIT;
    attach_response response = CASEWORK__CASES__V1__ATTACH_RESPONSE__INIT;
    activity.case_ = session_case_name(tab->session, tab->of->id, case_name);
    activity.agent = session_agent_name(tab->session, agent, agent_name);
    activity.kind = (Casework__Cases__V1__ActivityKind)kind;
    response.response_case = CASEWORK__CASES__V1__ATTACH_RESPONSE__RESPONSE_ACTIVITY;
    response.activity = &activity;
    session_tell(tab->session, &response);
}

void hub_presence(struct watched_case *watched, const char *session, const char *agent, int kind, bool here)
{
    struct viewer *viewer = find_viewer(watched, session);
    int before = viewer ? viewer->kind : LEFT;
    if (viewer)
        viewer->here = here;
    if (kind == before)
        return;
    if (!viewer && !(viewer = add_viewer(watched, session, agent)))
        return;
    viewer->kind = kind;
    viewer->here = here;
    if (kind == LEFT) {
        *viewer = watched->viewers[--watched->viewer_count];
        kind = kind_of_agent(watched, agent);
    }
    for (struct session_tab *tab = watched->tabs; tab; tab = tab->next_of_case) {
        if (strcmp(tab->session->id, session) != 0)
            tell_activity(tab, agent, kind);
    }
}

/* --- between replicas: "at PARTITION ACCOUNT CASE SESSION AGENT KIND" and "who PARTITION ACCOUNT CASE"
 * -------
 */

void hub_tell_presence(struct case_sessions *hub, int partition, const char *account, int64_t case_id,
                       const char *session, const char *agent, int kind)
{
    struct watched_case *watched = hub_find_case(hub, partition, account, case_id);
    if (watched)
        hub_presence(watched, session, agent, kind, true);
    if (!hub->presence)
        return;
    char text[PRESENCE_TEXT_MAX];
    snprintf(text, sizeof text, "at %d %s %lld %s %s %d", partition, account, (long long)case_id, session,
             agent, kind);
    case_presence_tell(hub->presence, text);
}

void hub_ask_presence(struct case_sessions *hub, const struct watched_case *watched)
{
    if (!hub->presence)
        return;
    char text[PRESENCE_TEXT_MAX];
    snprintf(text, sizeof text, "who %d %s %lld", watched->partition, watched->account,
             (long long)watched->id);
    case_presence_tell(hub->presence, text);
}

/* Everybody is taken to be viewing who is not said to do anything else. */
static void answer_who(struct case_sessions *hub, const struct watched_case *watched)
{
    for (size_t i = 0; hub->presence && i < watched->viewer_count; i++) {
        const struct viewer *viewer = &watched->viewers[i];
        char text[PRESENCE_TEXT_MAX];
        if (!viewer->here || viewer->kind == VIEWING)
            continue;
        snprintf(text, sizeof text, "at %d %s %lld %s %s %d", watched->partition, watched->account,
                 (long long)watched->id, viewer->session, viewer->agent, viewer->kind);
        case_presence_tell(hub->presence, text);
    }
}

/* The next word of a message as a number. */
static bool take_number(char **rest, int64_t least, int64_t most, int64_t *ret_number)
{
    const char *word = strtok_r(NULL, " ", rest);
    char *end = NULL;
    long long number = word ? strtoll(word, &end, 10) : 0;
    if (!word || end == word || *end || number < least || number > most)
        return false;
    *ret_number = number;
    return true;
}

/* With the lock held: `rest` is what follows the case. */
static void take_presence(struct watched_case *watched, char *rest)
{
    const char *session = strtok_r(NULL, " ", &rest), *agent = strtok_r(NULL, " ", &rest);
    int64_t kind;
    if (session && agent && strlen(session) < SESSION_ID_SIZE && strlen(agent) < AGENT_ID_SIZE &&
        take_number(&rest, LEFT, LAST_KIND, &kind))
        hub_presence(watched, session, agent, (int)kind, false);
}

void hub_hear_presence(void *context, const char *text)
{
    struct case_sessions *hub = context;
    char copy[PRESENCE_TEXT_MAX], *rest = NULL;
    int64_t partition, case_id;
    snprintf(copy, sizeof copy, "%s", text);
    const char *verb = strtok_r(copy, " ", &rest);
    if (!verb || !take_number(&rest, 0, FEED_PARTITIONS - 1, &partition))
        return;
    const char *account = strtok_r(NULL, " ", &rest);
    if (!account || !take_number(&rest, 1, INT64_MAX, &case_id))
        return;
    pthread_mutex_lock(&hub->lock);
    struct watched_case *watched = hub_find_case(hub, (int)partition, account, case_id);
    if (watched && strcmp(verb, "at") == 0)
        take_presence(watched, rest);
    else if (watched && strcmp(verb, "who") == 0)
        answer_who(hub, watched);
    pthread_mutex_unlock(&hub->lock);
}
