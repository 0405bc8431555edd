#include "case/case_overlay_session.h"

#include <string.h>

struct session_entry *overlay_session(struct overlay *overlay, const char *account, const char *session)
{
    return overlay_get(overlay, &(struct entry_key){ENTRY_SESSION, account, session, "", 0, 0});
}

struct session_tabs_entry *overlay_session_tabs(struct overlay *overlay, const char *account,
                                                const char *session)
{
    return overlay_get(overlay, &(struct entry_key){ENTRY_SESSION_TABS, account, session, "", 0, 0});
}

struct agent_sessions_entry *overlay_agent_sessions(struct overlay *overlay, const char *account,
                                                    const char *agent)
{
    return overlay_get(overlay, &(struct entry_key){ENTRY_AGENT_SESSIONS, account, agent, "", 0, 0});
}

struct case_tabs_entry *overlay_case_tabs(struct overlay *overlay, const char *account, int64_t case_id)
{
    return overlay_get(overlay, &(struct entry_key){ENTRY_CASE_TABS, account, "", "", case_id, 0});
}

struct session_tabs_entry *overlay_find_session_tabs(const struct overlay *overlay, const char *account,
                                                     const char *session)
{
    return overlay_find(overlay, &(struct entry_key){ENTRY_SESSION_TABS, account, session, "", 0, 0});
}

struct case_tabs_entry *overlay_find_case_tabs(const struct overlay *overlay, const char *account,
                                               int64_t case_id)
{
    return overlay_find(overlay, &(struct entry_key){ENTRY_CASE_TABS, account, "", "", case_id, 0});
}

/* The items with room for one more; NULL: the arena is full. */
static void *with_room(struct overlay *overlay, void *items, size_t count, size_t *size, size_t item)
{
    if (count < *size)
        return items;
    size_t larger = *size == 0 ? 8 : 2 * *size;
    void *grown = arena_calloc(overlay->memory, larger, item);
    if (grown == NULL) {
        overlay->failed = true;
        return NULL;
    }
    if (count > 0)
        memcpy(grown, items, count * item);
    *size = larger;
    return grown;
}

bool session_tabs_add(struct overlay *overlay, struct session_tabs_entry *entry, int64_t case_id)
{
    int64_t *items = with_room(overlay, entry->case_ids, entry->count, &entry->size, sizeof *items);
    if (items == NULL)
        return false;
    entry->case_ids = items;
    items[entry->count++] = case_id;
    return true;
}

bool agent_sessions_add(struct overlay *overlay, struct agent_sessions_entry *entry, const char *session)
{
    const char **items = with_room(overlay, entry->sessions, entry->count, &entry->size, sizeof *items);
    if (items == NULL)
        return false;
    entry->sessions = items;
    items[entry->count++] = session;
    return true;
}

void overlay_follow_sessions(struct overlay *overlay)
{
    for (size_t i = 0; i < overlay->entries[ENTRY_AGENT_SESSIONS].count; i++) {
        const struct agent_sessions_entry *agent = overlay->entries[ENTRY_AGENT_SESSIONS].items[i];
        for (size_t k = 0; k < agent->count && agent->follow; k++) {
            overlay_session(overlay, agent->entry.key.account, agent->sessions[k]);
            overlay_session_tabs(overlay, agent->entry.key.account, agent->sessions[k]);
        }
    }
    for (size_t i = 0; i < overlay->entries[ENTRY_SESSION_TABS].count; i++) {
        const struct session_tabs_entry *session = overlay->entries[ENTRY_SESSION_TABS].items[i];
        for (size_t k = 0; k < session->count; k++) {
            overlay_case(overlay, session->entry.key.account, session->case_ids[k]);
            overlay_case_tabs(overlay, session->entry.key.account, session->case_ids[k]);
        }
    }
}
