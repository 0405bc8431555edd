#ifndef CASEWORK_CASE_OVERLAY_H
#define CASEWORK_CASE_OVERLAY_H

/*
 * What one batch knows: every row that its commands look at, as read under the lock of its partition and as
 * changed since by the commands before. Entries are made while the commands' needs are gathered, filled by
 * case_store_read, changed by the commands, written by case_store_write. All in the batch's arena.
 *
 * Every entry begins with a struct entry.
 */

#include "base/arena.h"
#include "base/error.h"
#include "case/case_command.h"
#include "case/case_event.h"
#include "case/case_model.h"
#include "case/case_rules_merge.h"
#include "feed/partition.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum entry_kind {
    ENTRY_ACCOUNT,
    ENTRY_AGENT,
    ENTRY_CHANNEL,
    ENTRY_CHANNEL_OF_NETWORK, /* the account's first channel of a network */
    ENTRY_CHANNEL_ADDRESS,    /* the channel with an address */
    ENTRY_CONTACT,
    ENTRY_ADDRESS,
    ENTRY_CASE,
    ENTRY_MESSAGE,
    ENTRY_REQUEST,
    ENTRY_EXTERNAL,
    ENTRY_ROUTE,
    ENTRY_TRANSCRIPT,
    ENTRY_DESTINATION, /* where the conversation of a merged case is */
    ENTRY_CONVERSATION,
    ENTRY_MERGES, /* the merges that stand at a case */
    ENTRY_MERGE,
    ENTRY_BATCH_RESULT,
    ENTRY_TIMER_STEP,
    ENTRY_REPLY,
    ENTRY_SESSION,
    ENTRY_SESSION_TABS,
    ENTRY_AGENT_SESSIONS,
    ENTRY_CASE_TABS,
    ENTRY_FAMILY, /* a message, its copies, and what it was forwarded with */
    ENTRY_DELETION,
    ENTRY_HELPER, /* an agent who has replied in a case, or got something of it; key: a = agent, n = case */
    ENTRY_TRACES,
    ENTRY_FORWARDS,
    ENTRY_KINDS,
};

struct entry_key {
    enum entry_kind kind;
    const char *account, *a, *b; /* never NULL */
    int64_t n, m;
};

struct entry {
    struct entry_key key;
    int partition; /* of the key's account */
    bool asked;    /* has been looked for in the database */
    bool assumed;  /* instead, since it is known (case_known.h) */
    bool exists;   /* now */
    bool inserted; /* by this batch */
    bool changed;  /* by this batch, and was there before */
};

struct account_entry {
    struct entry entry; /* key: account */
    struct account_record record;
};

struct agent_entry {
    struct entry entry; /* key: account, a = id */
    struct agent_record record;
};

struct channel_entry {
    struct entry entry; /* key: account, a = id */
    struct channel_record record;
};

/*
 * The channel that something leads to. Key: account, a = network: the first one of it; a = network, b =
 * address: the one there; a = channel, b = address, n = 1: the one with that address on the network of that
 * channel.
 */
struct channel_ref_entry {
    struct entry entry;
    const char *network; /* of the last sort */
    const char *channel; /* id; "" if there is none */
};

struct contact_entry {
    struct entry entry; /* key: account, a = id */
    struct contact_record record;
};

struct address_entry {
    struct entry entry; /* key: account, a = network, b = folded address */
    bool was_stored;    /* before this batch */
    const char *contact;
};

struct case_entry {
    struct entry entry; /* key: account, n = id */
    struct case_record record;
    struct case_record stored;      /* as it was before this batch; unless inserted */
    bool wide;                      /* see struct case_change */
    int32_t last_stored;            /* number of the last message before this batch */
    int32_t first_stored_open;      /* first_open_message before this batch */
    enum message_state raise_to;    /* messages stored before are raised to it */
    struct message_entry *messages; /* of this case in the overlay, latest first */
};

struct message_entry {
    struct entry entry;    /* key: account, n = case, m = number */
    bool is_copy;          /* inserted: of its origin, so without body and attachments */
    bool copied_erased;    /* a copy out of the case of an erased contact: without any texts */
    int32_t copied_number; /* of the copy's model in the case merged_from */
    struct message_record record;
    bool reported; /* its delivery was told in this batch */
    bool redacted; /* by this batch */
    struct message_entry *next;
};

struct request_entry {
    struct entry entry; /* key: account, a = request id */
    unsigned char fingerprint[CASE_FINGERPRINT_SIZE];
    enum case_method method;
    const char *resource;
    int64_t case_id;
    int32_t number;
    int64_t position;
};

/* Key: account, a = channel, b = external id; or a = "", b = external id, n = case: on the channel of that
 * case. */
struct external_entry {
    struct entry entry;
    const char *channel; /* of the second sort */
    int64_t case_id;
    int32_t number;
};

/* Where a sender's message goes. */
struct route_entry {
    struct entry entry; /* key: account, a = channel, b = the sender's address as given */
    const char *folded, *phone;
    const char *network; /* of the channel */
};

/* Messages as they are forwarded to third parties, the latest first. Key: account, n = case, m = the message;
 * 0: all that the customer may see. */
struct transcript_entry {
    struct entry entry;
    struct transcript_line {
        struct message_record message;
        const char *author; /* the name to show; "": unknown */
        bool taken;         /* something of it goes to the third party */
    } * lines;
    size_t count, size;
    bool cut; /* earlier ones were left out */
};

/* Key: account, n = case. The case at the end of the way of merges that begins with it. */
struct destination_entry {
    struct entry entry;
    int64_t case_id;
};

/* All messages of a case that were stored before this batch and are still there, by number, without bodies.
 * Their states: as stored; see batch_conversation. Key: account, n = case. */
struct conversation_entry {
    struct entry entry;
    struct message_record *items;
    size_t count, size;
};

/* A merge; `exists`: it stands. Key: account, n = source. */
struct merge_entry {
    struct entry entry;
    bool was_stored; /* before this batch */
    struct case_merge merge;
};

/* Copies stored before this batch that leave their case. */
struct merge_left {
    const char *account;
    int64_t source, target;
};

/* What was refused of a batch of changes. Key: account, a = request id. */
struct batch_result_entry {
    struct entry entry;
    struct text_list refusals; /* as db/case says */
};

/* Key: account, n = case, a = kind, step and basis version as text. */
struct timer_step_entry {
    struct entry entry;
    struct timer_step step;
};

/* The first reply behind a customer's message. Key: account, n = case, m = the message's number. */
struct reply_entry {
    struct entry entry; /* exists: there is such a customer message */
    int64_t time;       /* 0: no reply */
};

/* Where a message, the messages to third parties that have its text, and all copies of those are, as stored
 * before this batch. Key: account, n = case, m = number of the message or of a copy. */
struct family_entry {
    struct entry entry;
    struct message_place *members;
    size_t count, size;
};

/* A message to a third party that has the text of another one; both by where they were written. */
struct forwarded_text {
    const char *account;
    struct message_place in, of;
};

/* The cases of others in which a contact's texts stand, as stored before this batch: at the most TRACES_MAX
 * of them. Key: account, a = contact. */
struct traces_entry {
    struct entry entry;
    int64_t *cases;
    size_t count;
};

/* Likewise, with key: account, n = case, a = author: the cases whose messages to third parties have texts
 * that were written in that case, by that author or, where that is "", by anybody. */

enum { TRACES_MAX = 1000 };

/* A contact who has written in somebody else's case; or one whose messages there have lost their texts. */
struct guest {
    const char *account, *contact;
    int64_t case_id;
};

/* Key: account, a = the id of the request that deleted it, or "". */
struct deletion_entry {
    struct entry entry; /* exists: such a request did so within the last 24 hours */
    bool under_way;     /* what the account had is not all gone yet */
    unsigned char fingerprint[CASE_FINGERPRINT_SIZE];
    int64_t position;
};

/* What this batch erases: a contact, or with contact "" the account. */
struct erasure {
    const char *account, *contact;
    struct contact_record was; /* before it lost its addresses */
    struct actor actor;
    int64_t position; /* of the event that tells of it */
    const char *request_id;
    const unsigned char *fingerprint;
};

/* Messages whose texts go from the tables: those from `first` to `last` of a case, and with `copies` those
 * that were written in it and merged into others. `author`: those by that author only; "": all. */
struct wipe {
    const char *account, *author;
    int64_t case_id;
    int32_t first, last;
    bool copies;
};

struct entry_list {
    void **items;
    size_t count, size;
};

/* A partition of the batch. */
struct overlay_feed {
    int64_t head; /* the last position given out */
    int64_t old_head;
    int64_t now;  /* business time */
    bool written; /* something of the partition is written: so is its row */
};

struct overlay {
    arena *memory;
    int partition;             /* of the command that runs; see overlay_enter */
    int64_t now;               /* its business time */
    struct overlay_feed *feed; /* its feed: feeds[partition] */
    struct overlay_feed feeds[FEED_PARTITIONS];
    /*
     * Set while gathering: a command of the batch may change where customers' messages go. What the database
     * says is not enough then: routes are read with the cases that take no messages, and the way of merges
     * case by case.
     */
    bool ways_move;
    /* A command needs what another one of this batch writes: each has to run in a batch of its own. */
    bool apart;
    bool failed; /* the arena was full */

    void **slots; /* hash table of entries */
    size_t slot_count, used;
    struct entry_list entries[ENTRY_KINDS];

    struct entry_list new_messages; /* struct message_entry, in order */
    struct entry_list erasures;     /* struct erasure */
    struct entry_list wipes;        /* struct wipe */
    struct entry_list wiped_cases;  /* struct case_entry */
    struct entry_list events;       /* struct case_event, of each partition in order of their positions */
    struct entry_list left;         /* struct merge_left */
    struct entry_list guests;       /* struct guest: new ones */
    struct entry_list wiped_guests; /* struct guest */
    struct entry_list forwarded;    /* struct forwarded_text: new ones */
};

bool overlay_init(struct overlay *overlay, arena *memory) __attribute__((warn_unused_result));

/* Goes to the partition of the command that is to run. */
void overlay_enter(struct overlay *overlay, int partition);

/* Does a request of that time count? Ids are kept for 24 hours of business time. After the lock. */
bool overlay_remembers(const struct overlay *overlay, const struct entry *request, int64_t time);

/* Has a command of the batch undone a merge into the case? */
bool overlay_copies_left(const struct overlay *overlay, const struct case_record *target);

/* The entry of that key; NULL if nobody has asked for it. */
void *overlay_find(const struct overlay *overlay, const struct entry_key *key);

/* Likewise, made if need be (not asked, not existing). NULL (and failed) when the arena is full. Texts of the
 * key are kept. */
void *overlay_get(struct overlay *overlay, const struct entry_key *key);

bool entry_list_add(arena *memory, struct entry_list *list, void *item);

/* Shorthands. */
struct account_entry *overlay_account(struct overlay *overlay, const char *account);
struct agent_entry *overlay_agent(struct overlay *overlay, const char *account, const char *agent);
struct channel_entry *overlay_channel(struct overlay *overlay, const char *account, const char *channel);
struct contact_entry *overlay_contact(struct overlay *overlay, const char *account, const char *contact);
struct address_entry *overlay_address(struct overlay *overlay, const char *account, const char *network,
                                      const char *address);
struct case_entry *overlay_case(struct overlay *overlay, const char *account, int64_t id);
struct message_entry *overlay_message(struct overlay *overlay, const char *account, int64_t case_id,
                                      int32_t number);
struct request_entry *overlay_request(struct overlay *overlay, const char *account, const char *request_id);
struct external_entry *overlay_external(struct overlay *overlay, const char *account, const char *channel,
                                        const char *external_id);
struct external_entry *overlay_external_of_case(struct overlay *overlay, const char *account, int64_t case_id,
                                                const char *external_id);
struct channel_ref_entry *overlay_channel_of_network(struct overlay *overlay, const char *account,
                                                     const char *network);
struct channel_ref_entry *overlay_channel_at(struct overlay *overlay, const char *account,
                                             const char *network, const char *address);
struct channel_ref_entry *overlay_channel_beside(struct overlay *overlay, const char *account,
                                                 const char *channel, const char *address);
struct route_entry *overlay_route(struct overlay *overlay, const char *account, const char *channel,
                                  const char *address);
struct transcript_entry *overlay_transcript(struct overlay *overlay, const char *account, int64_t case_id,
                                            int32_t number);
struct destination_entry *overlay_destination(struct overlay *overlay, const char *account, int64_t case_id);
struct conversation_entry *overlay_conversation(struct overlay *overlay, const char *account,
                                                int64_t case_id);
struct entry *overlay_merges(struct overlay *overlay, const char *account, int64_t target);
struct merge_entry *overlay_merge(struct overlay *overlay, const char *account, int64_t source);
struct batch_result_entry *overlay_batch_result(struct overlay *overlay, const char *account,
                                                const char *request_id);
struct timer_step_entry *overlay_timer_step(struct overlay *overlay, const char *account, int64_t case_id,
                                            const struct timer_step *step);
struct reply_entry *overlay_reply(struct overlay *overlay, const char *account, int64_t case_id,
                                  int32_t number);
struct family_entry *overlay_family(struct overlay *overlay, const char *account, int64_t case_id,
                                    int32_t number);
struct deletion_entry *overlay_deletion(struct overlay *overlay, const char *account, const char *request_id);
struct traces_entry *overlay_traces(struct overlay *overlay, const char *account, const char *contact);
struct traces_entry *overlay_forwards(struct overlay *overlay, const char *account, int64_t case_id,
                                      const char *author);
struct entry *overlay_helper(struct overlay *overlay, const char *account, const char *agent,
                             int64_t case_id);

#endif
