#ifndef CASEWORK_CASE_MODEL_H
#define CASEWORK_CASE_MODEL_H

/*
 * The domain of the case service, as rules, stores and handlers see it. Nothing here knows of protobuf or
 * SQL. Enum values equal the wire's and the database's.
 *
 * Texts are never NULL ("" stands for none); they and the lists belong to the arena of whoever made the
 * record, or to the request. Times are microseconds since 1970, 0 for "not set". Ids are the last segments of
 * resource names ("anna", not "accounts/acme/agents/anna").
 */

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CASE_SUBJECT_MAX = 998,     /* bytes */
    CASE_SUBJECT_KEY_MAX = 512, /* bytes of the sort key that are kept: an index entry has to fit a page */
    CASE_BODY_MAX = 1024 * 1024,
    CASE_LABELS_MAX = 100,
    CASE_LABEL_MAX = 256,
    CASE_CLASSIFICATIONS_MAX = 200,
    CASE_GROUP_MAX = 128,
    CASE_VALUE_MAX = 256,
    CASE_ATTRIBUTES_MAX = 64,
    CASE_ATTRIBUTE_KEY_MAX = 128,
    CASE_ATTRIBUTE_VALUE_MAX = 1024,
    CASE_PRIORITY_MAX = 1000,
    CASE_EXTERNAL_ID_MAX = 512,
    CASE_REQUEST_ID_MAX = 128,
    CASE_ATTACHMENTS_MAX = 100,
    CASE_ADDRESSES_MAX = 50, /* of each sort, of one contact */
    CASE_ADDRESS_MAX = 320,
    CASE_NAME_MAX = 256,
    CASE_NOTE_MAX = 64 * 1024,
    CASE_FINGERPRINT_SIZE = 16,
};

enum case_status {
    CASE_STATUS_NONE = 0,
    CASE_STATUS_NEW = 1,
    CASE_STATUS_OPEN = 2,
    CASE_STATUS_PENDING = 3,
    CASE_STATUS_RESOLVED = 4,
    CASE_STATUS_CLOSED = 5,
    CASE_STATUS_DELETED = 6,
};

enum message_kind {
    MESSAGE_KIND_NONE = 0,
    MESSAGE_KIND_CUSTOMER = 1,
    MESSAGE_KIND_AGENT = 2,
    MESSAGE_KIND_NOTE = 3,
    MESSAGE_KIND_TO_THIRD_PARTY = 4,
    MESSAGE_KIND_FROM_THIRD_PARTY = 5,
    MESSAGE_KIND_SYSTEM = 6,
    MESSAGE_KIND_SURVEY = 7,
};

/* Of customer messages; NONE for all others, and for what a customer's auto-responder sends. */
enum message_state {
    MESSAGE_STATE_NONE = 0,
    MESSAGE_STATE_ASSIGNED = 1,
    MESSAGE_STATE_IN_PROGRESS = 2,
    MESSAGE_STATE_RESPONDED = 3,
    MESSAGE_STATE_CLOSED = 4,
};

/* Why a message failed that was redacted or erased before its connector had taken it. */
#define CASE_DELIVERY_REDACTED "redacted"

/* Of outgoing messages: replies, surveys, to third parties. */
enum delivery_state { DELIVERY_NONE = 0, DELIVERY_QUEUED = 1, DELIVERY_SENT = 2, DELIVERY_FAILED = 3 };

enum agent_role { AGENT_ROLE_NONE = 0, AGENT_ROLE_AGENT = 1, AGENT_ROLE_ADMIN = 2 };

enum due_rule { DUE_RULE_NONE = 0, DUE_RULE_RESOLVED = 1, DUE_RULE_INACTIVE = 2 };

enum after_send { AFTER_SEND_NONE = 0, AFTER_SEND_MARK_PENDING = 1, AFTER_SEND_RESOLVE = 2 };

/* Who does something. */
enum actor_kind {
    ACTOR_KIND_NONE = 0,
    ACTOR_KIND_AGENT = 1,     /* id: the agent; admins, and services acting for an agent, too */
    ACTOR_KIND_CONNECTOR = 2, /* id: the token's subject */
    ACTOR_KIND_SERVICE = 3,   /* likewise */
    ACTOR_KIND_SYSTEM = 4,    /* id: "" */
};

struct actor {
    enum actor_kind kind;
    const char *id;
    const char *via;     /* the subject of the service that acts for an agent */
    const char *session; /* the agent's session that the call names */
};

struct text_list {
    const char **items;
    size_t count;
};

/* A list of pairs is stored and kept flat: items[2 * i], items[2 * i + 1]; count counts texts. */

struct account_record {
    int partition;
    const char *id;
    const char *display_name;
    const char *time_zone; /* IANA */
    bool reopen_resolved;  /* reopen_resolved_on_customer_message */
    int32_t report_lock_days;
    int64_t session_grace_us;
    int64_t next_case; /* the next number to give out */
    int64_t version;   /* the etag */
    int64_t create_time, update_time;
};

struct agent_record {
    const char *account, *id;
    const char *display_name, *email;
    enum agent_role role;
    bool disabled;
    int64_t version;
    int64_t create_time, update_time;
};

struct contact_record {
    const char *account, *id;
    const char *display_name, *note;
    struct text_list emails, phones; /* as given; found by their folded forms in contact_addresses */
    struct text_list handles;        /* pairs network, address */
    int64_t version;
    int64_t create_time, update_time, erase_time;
};

struct channel_record {
    const char *account, *id;
    const char *network, *address;
    int64_t version;
    int64_t create_time, update_time;
};

struct case_record {
    int partition;
    const char *account;
    int64_t id;
    enum case_status status;
    enum case_status status_before_delete; /* NONE unless deleted */
    bool need_reply;
    int32_t priority;
    int32_t message_count;
    int32_t messages_left; /* numbers below the last one that nothing has any more: see case_last_number */

    /* Customer messages by workflow state; those CLOSED are not counted. */
    int32_t messages_assigned, messages_in_progress, messages_responded;
    int32_t first_open_message; /* no message below it is in one of these states; 0: none is */

    int64_t create_time, update_time;
    int64_t status_time;      /* the present status began */
    int64_t open_time;        /* no longer new: first opened by an agent, or moved on by a service */
    int64_t customer_time;    /* the customer's first message was sent */
    int64_t waiting_since;    /* the oldest customer message that no agent has replied to was sent */
    int64_t first_reply_time; /* an agent first replied */
    int32_t customer_number;  /* of the message that customer_time is of; 0: none */
    int32_t waiting_number;   /* likewise of waiting_since */
    int64_t last_send_time;   /* latest sent: effective times of messages never run back within a case */
    int64_t resolve_time;     /* of the latest resolving; 0 once it is open again */
    int64_t close_time;       /* of the closing; 0 once it is open again */
    int64_t delete_time;      /* 0 unless deleted */

    int64_t version;                     /* grows with every event; the etag */
    int64_t change_version, change_time; /* basis of the resolved rule (spec: a change for the 72 hours) */
    int64_t activity_version,
        activity_time; /* basis of the inactivity rule (spec: activity for the 24 hours) */

    int64_t merged_into; /* case number; 0: not merged */

    int64_t lock_token, lock_time;
    const char *lock_agent, *lock_session; /* "" when nobody holds the lock */

    const char *owner, *contact, *channel;
    const char *network, *channel_address; /* of the channel, as it is now; not stored with the case */
    const char *external_id;               /* of the imported conversation */
    struct text_list involved, labels;
    struct text_list classifications; /* pairs group, value */
    struct text_list attributes;      /* pairs key, value, by key */
    const char *subject;
    const char *subject_key; /* caseless, decomposed, cut to CASE_SUBJECT_KEY_MAX */

    /* Agents who are known to have replied, or to have got something forwarded. Not stored: looked up for the
     * acts that need it. */
    struct text_list helped;

    bool erased;       /* with its contact: it has no texts any more, and takes none */
    bool being_erased; /* likewise, but some of them are still in the tables */
};

struct attachment {
    const char *file_name, *content_type, *uri;
    int64_t size;
};

struct message_record {
    const char *account;
    int64_t case_id;
    int32_t number;
    enum message_kind kind;
    enum message_state state;
    enum delivery_state delivery;
    bool automatic;
    bool redacted;
    int64_t send_time, create_time;
    const char *author;      /* resource name of an agent or contact, or an address */
    const char *third_party; /* address; of messages to and from third parties */
    const char *external_id;
    const char *came_by; /* the channel that external_id is of, while it is stored; NULL: the case's */
    const char *delivery_failure;
    int64_t merged_from; /* case number; 0: not merged */
    /* What a merged message is a copy of: a message of the case where it was written. 0: it is no copy. */
    int64_t origin_case;
    int32_t origin_number;
    const char *body;
    const struct attachment *attachments;
    size_t attachment_count;
};

/* Where a message was written: its own place, or that of the message it is a copy of. */
struct message_place {
    int64_t case_id;
    int32_t number;
};

static inline struct message_place message_written_at(const struct message_record *message)
{
    return message->origin_case == 0 ? (struct message_place){message->case_id, message->number}
                                     : (struct message_place){message->origin_case, message->origin_number};
}

/* The number of the case's last message. Numbers go on from it. */
static inline int32_t case_last_number(const struct case_record *record)
{
    return record->message_count + record->messages_left;
}

/* True for what the customer sees of a conversation. */
bool message_kind_is_visible(enum message_kind kind);

/* "NEW", "OPEN" …; static. */
const char *case_status_name(enum case_status status);

/*
 * The folded form of a subject that lists sort by, cut at a character's border to CASE_SUBJECT_KEY_MAX bytes.
 * In `memory`; NULL when that is full.
 */
char *case_subject_key(arena *memory, const char *subject) __attribute__((warn_unused_result));

/* What an address is found by: folded like subjects; phones lose all but digits. NULL: arena
 * full. */
char *case_address_key(arena *memory, const char *network, const char *address)
    __attribute__((warn_unused_result));

#endif
