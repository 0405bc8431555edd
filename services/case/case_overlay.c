#include "case/case_overlay.h"

#include "base/clock.h"
#include "case/case_overlay_session.h"

#include <string.h>
#include <xxhash.h>

enum { SLOTS_AT_START = 256 };

static const size_t entry_sizes[ENTRY_KINDS] = {
    [ENTRY_ACCOUNT] = sizeof(struct account_entry),
    [ENTRY_AGENT] = sizeof(struct agent_entry),
    [ENTRY_CHANNEL] = sizeof(struct channel_entry),
    [ENTRY_CHANNEL_OF_NETWORK] = sizeof(struct channel_ref_entry),
    [ENTRY_CHANNEL_ADDRESS] = sizeof(struct channel_ref_entry),
    [ENTRY_CONTACT] = sizeof(struct contact_entry),
    [ENTRY_ADDRESS] = sizeof(struct address_entry),
    [ENTRY_CASE] = sizeof(struct case_entry),
    [ENTRY_MESSAGE] = sizeof(struct message_entry),
    [ENTRY_REQUEST] = sizeof(struct request_entry),
    [ENTRY_EXTERNAL] = sizeof(struct external_entry),
    [ENTRY_ROUTE] = sizeof(struct route_entry),
    [ENTRY_TRANSCRIPT] = sizeof(struct transcript_entry),
    [ENTRY_DESTINATION] = sizeof(struct destination_entry),
    [ENTRY_CONVERSATION] = sizeof(struct conversation_entry),
    [ENTRY_MERGES] = sizeof(struct entry),
    [ENTRY_MERGE] = sizeof(struct merge_entry),
    [ENTRY_BATCH_RESULT] = sizeof(struct batch_result_entry),
    [ENTRY_TIMER_STEP] = sizeof(struct timer_step_entry),
    [ENTRY_REPLY] = sizeof(struct reply_entry),
    [ENTRY_SESSION] = sizeof(struct session_entry),
    [ENTRY_SESSION_TABS] = sizeof(struct session_tabs_entry),
    [ENTRY_AGENT_SESSIONS] = sizeof(struct agent_sessions_entry),
    [ENTRY_CASE_TABS] = sizeof(struct case_tabs_entry),
    [ENTRY_FAMILY] = sizeof(struct family_entry),
    [ENTRY_DELETION] = sizeof(struct deletion_entry),
    [ENTRY_HELPER] = sizeof(struct entry),
    [ENTRY_TRACES] = sizeof(struct traces_entry),
    [ENTRY_FORWARDS] = sizeof(struct traces_entry),
};

bool overlay_init(struct overlay *overlay, arena *memory)
{
    *overlay = (struct overlay){.memory = memory, .slot_count = SLOTS_AT_START};
    overlay->slots = arena_calloc(memory, overlay->slot_count, sizeof *overlay->slots);
    return overlay->slots != NULL;
}

void overlay_enter(struct overlay *overlay, int partition)
{
    overlay->partition = partition;
    overlay->feed = &overlay->feeds[partition];
    overlay->now = overlay->feed->now;
}

bool overlay_remembers(const struct overlay *overlay, const struct entry *request, int64_t time)
{
    return overlay->feeds[request->partition].now - time <= CLOCK_DAY;
}

bool overlay_copies_left(const struct overlay *overlay, const struct case_record *target)
{
    for (size_t i = 0; i < overlay->left.count; i++) {
        const struct merge_left *left = overlay->left.items[i];
        if (left->target == target->id && strcmp(left->account, target->account) == 0)
            return true;
    }
    return false;
}

static uint64_t hash_key(const struct entry_key *key)
{
    uint64_t hash = XXH64(key->account, strlen(key->account), (uint64_t)key->kind);
    hash = XXH64(key->a, strlen(key->a), hash);
    hash = XXH64(key->b, strlen(key->b), hash);
    const int64_t numbers[2] = {key->n, key->m};
    return XXH64(numbers, sizeof numbers, hash);
}

static bool keys_equal(const struct entry_key *a, const struct entry_key *b)
{
    return a->kind == b->kind && a->n == b->n && a->m == b->m && strcmp(a->a, b->a) == 0 &&
           strcmp(a->b, b->b) == 0 && strcmp(a->account, b->account) == 0;
}

/* The slot of that key: its entry, or where it belongs. */
static void **slot_of(const struct overlay *overlay, const struct entry_key *key)
{
    size_t mask = overlay->slot_count - 1;
    size_t i = (size_t)hash_key(key) & mask;
    while (overlay->slots[i] != NULL && !keys_equal(&((struct entry *)overlay->slots[i])->key, key))
        i = (i + 1) & mask;
    return &overlay->slots[i];
}

static bool grow(struct overlay *overlay)
{
    void **old = overlay->slots;
    size_t count = overlay->slot_count;
    void **slots = arena_calloc(overlay->memory, 2 * count, sizeof *slots);
    if (slots == NULL)
        return false;
    overlay->slots = slots;
    overlay->slot_count = 2 * count;
    for (size_t i = 0; i < count; i++) {
        if (old[i] != NULL)
            *slot_of(overlay, &((struct entry *)old[i])->key) = old[i];
    }
    return true;
}

bool entry_list_add(arena *memory, struct entry_list *list, void *item)
{
    if (list->count == list->size) {
        size_t size = list->size == 0 ? 16 : 2 * list->size;
        void **items = arena_calloc(memory, size, sizeof *items);
        if (items == NULL)
            return false;
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->size = size;
    }
    list->items[list->count++] = item;
    return true;
}

void *overlay_find(const struct overlay *overlay, const struct entry_key *key)
{
    return *slot_of(overlay, key);
}

void *overlay_get(struct overlay *overlay, const struct entry_key *key)
{
    void **slot = slot_of(overlay, key);
    if (*slot != NULL)
        return *slot;
    struct entry *entry = arena_calloc(overlay->memory, 1, entry_sizes[key->kind]);
    if (entry == NULL || !entry_list_add(overlay->memory, &overlay->entries[key->kind], entry)) {
        overlay->failed = true;
        return NULL;
    }
    entry->key = *key;
    entry->partition = feed_partition(key->account);
    *slot = entry;
    overlay->used++;
    if (2 * overlay->used > overlay->slot_count && !grow(overlay)) {
        overlay->failed = true;
        return NULL;
    }
    return entry;
}

static void *get(struct overlay *overlay, enum entry_kind kind, const char *account, const char *a,
                 const char *b, int64_t n, int64_t m)
{
    return overlay_get(overlay, &(struct entry_key){kind, account, a, b, n, m});
}

struct account_entry *overlay_account(struct overlay *overlay, const char *account)
{
    return get(overlay, ENTRY_ACCOUNT, account, "", "", 0, 0);
}

struct agent_entry *overlay_agent(struct overlay *overlay, const char *account, const char *agent)
{
    return get(overlay, ENTRY_AGENT, account, agent, "", 0, 0);
}

struct channel_entry *overlay_channel(struct overlay *overlay, const char *account, const char *channel)
{
    return get(overlay, ENTRY_CHANNEL, account, channel, "", 0, 0);
}

struct contact_entry *overlay_contact(struct overlay *overlay, const char *account, const char *contact)
{
    return get(overlay, ENTRY_CONTACT, account, contact, "", 0, 0);
}

struct address_entry *overlay_address(struct overlay *overlay, const char *account, const char *network,
                                      const char *address)
{
    return get(overlay, ENTRY_ADDRESS, account, network, address, 0, 0);
}

struct case_entry *overlay_case(struct overlay *overlay, const char *account, int64_t id)
{
    return get(overlay, ENTRY_CASE, account, "", "", id, 0);
}

struct message_entry *overlay_message(struct overlay *overlay, const char *account, int64_t case_id,
                                      int32_t number)
{
    return get(overlay, ENTRY_MESSAGE, account, "", "", case_id, number);
}

struct request_entry *overlay_request(struct overlay *overlay, const char *account, const char *request_id)
{
    return get(overlay, ENTRY_REQUEST, account, request_id, "", 0, 0);
}

struct external_entry *overlay_external(struct overlay *overlay, const char *account, const char *channel,
                                        const char *external_id)
{
    return get(overlay, ENTRY_EXTERNAL, account, channel, external_id, 0, 0);
}

struct external_entry *overlay_external_of_case(struct overlay *overlay, const char *account, int64_t case_id,
                                                const char *external_id)
{
    return get(overlay, ENTRY_EXTERNAL, account, "", external_id, case_id, 0);
}

struct channel_ref_entry *overlay_channel_of_network(struct overlay *overlay, const char *account,
                                                     const char *network)
{
    return get(overlay, ENTRY_CHANNEL_OF_NETWORK, account, network, "", 0, 0);
}

struct channel_ref_entry *overlay_channel_at(struct overlay *overlay, const char *account,
                                             const char *network, const char *address)
{
    return get(overlay, ENTRY_CHANNEL_ADDRESS, account, network, address, 0, 0);
}

struct channel_ref_entry *overlay_channel_beside(struct overlay *overlay, const char *account,
                                                 const char *channel, const char *address)
{
    return get(overlay, ENTRY_CHANNEL_ADDRESS, account, channel, address, 1, 0);
}

struct route_entry *overlay_route(struct overlay *overlay, const char *account, const char *channel,
                                  const char *address)
{
    return get(overlay, ENTRY_ROUTE, account, channel, address, 0, 0);
}

struct transcript_entry *overlay_transcript(struct overlay *overlay, const char *account, int64_t case_id,
                                            int32_t number)
{
    return get(overlay, ENTRY_TRANSCRIPT, account, "", "", case_id, number);
}

struct destination_entry *overlay_destination(struct overlay *overlay, const char *account, int64_t case_id)
{
    return get(overlay, ENTRY_DESTINATION, account, "", "", case_id, 0);
}

struct conversation_entry *overlay_conversation(struct overlay *overlay, const char *account, int64_t case_id)
{
    return get(overlay, ENTRY_CONVERSATION, account, "", "", case_id, 0);
}

struct entry *overlay_merges(struct overlay *overlay, const char *account, int64_t target)
{
    return get(overlay, ENTRY_MERGES, account, "", "", target, 0);
}

/* Read with the merges of its target: never asked for by itself. */
struct merge_entry *overlay_merge(struct overlay *overlay, const char *account, int64_t source)
{
    struct merge_entry *merge = get(overlay, ENTRY_MERGE, account, "", "", source, 0);
    if (merge != NULL)
        merge->entry.asked = true;
    return merge;
}

struct batch_result_entry *overlay_batch_result(struct overlay *overlay, const char *account,
                                                const char *request_id)
{
    return get(overlay, ENTRY_BATCH_RESULT, account, request_id, "", 0, 0);
}

struct timer_step_entry *overlay_timer_step(struct overlay *overlay, const char *account, int64_t case_id,
                                            const struct timer_step *step)
{
    const char *which = arena_printf(overlay->memory, "%d.%d.%lld", (int)step->kind, (int)step->step,
                                     (long long)step->basis_version);
    if (which == NULL) {
        overlay->failed = true;
        return NULL;
    }
    struct timer_step_entry *entry = get(overlay, ENTRY_TIMER_STEP, account, which, "", case_id, 0);
    if (entry != NULL)
        entry->step = *step;
    return entry;
}

struct reply_entry *overlay_reply(struct overlay *overlay, const char *account, int64_t case_id,
                                  int32_t number)
{
    return get(overlay, ENTRY_REPLY, account, "", "", case_id, number);
}

struct family_entry *overlay_family(struct overlay *overlay, const char *account, int64_t case_id,
                                    int32_t number)
{
    return get(overlay, ENTRY_FAMILY, account, "", "", case_id, number);
}

struct deletion_entry *overlay_deletion(struct overlay *overlay, const char *account, const char *request_id)
{
    return get(overlay, ENTRY_DELETION, account, request_id, "", 0, 0);
}

struct traces_entry *overlay_traces(struct overlay *overlay, const char *account, const char *contact)
{
    return get(overlay, ENTRY_TRACES, account, contact, "", 0, 0);
}

struct traces_entry *overlay_forwards(struct overlay *overlay, const char *account, int64_t case_id,
                                      const char *author)
{
    return get(overlay, ENTRY_FORWARDS, account, author, "", case_id, 0);
}

struct entry *overlay_helper(struct overlay *overlay, const char *account, const char *agent, int64_t case_id)
{
    return get(overlay, ENTRY_HELPER, account, agent, "", case_id, 0);
}
