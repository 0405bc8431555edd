#ifndef CASEWORK_CASE_COMMAND_H
#define CASEWORK_CASE_COMMAND_H

/*
 * What can be asked of the write path: one struct per request, made by a handler, carried out by a lane in a
 * batch with others.
 *
 *     case_command_init(command, CASE_METHOD_ADD_MESSAGE, account);
 *     … fill in …
 *     command->lane.done = …;
 *     if (!pg_lanes_submit(lanes, &command->lane, err)) …
 *
 * The command and all it points to must live until `done`, which finds outcome and answer; what the answer
 * points to lives until `done` returns.
 */

#include "case/case_model.h"
#include "case/case_rules.h"
#include "case/case_rules_lock.h"
#include "pg/lane.h"

#include <stdbool.h>
#include <stdint.h>

/* Stored with request ids: the numbers stay. */
enum case_method {
    CASE_METHOD_CREATE_ACCOUNT = 1,
    CASE_METHOD_UPDATE_ACCOUNT = 2,
    CASE_METHOD_CREATE_AGENT = 3,
    CASE_METHOD_UPDATE_AGENT = 4,
    CASE_METHOD_CREATE_CONTACT = 5,
    CASE_METHOD_UPDATE_CONTACT = 6,
    CASE_METHOD_CREATE_CHANNEL = 7,
    CASE_METHOD_UPDATE_CHANNEL = 8,
    CASE_METHOD_CREATE_CASE = 9,
    CASE_METHOD_CHANGE_CASE = 10, /* every act but those below */
    CASE_METHOD_ADD_MESSAGE = 11,
    CASE_METHOD_SET_MESSAGE_STATE = 12,
    CASE_METHOD_RECEIVE_MESSAGE = 13,
    CASE_METHOD_IMPORT = 14,
    CASE_METHOD_ATTACH_SESSION = 20,
    CASE_METHOD_DETACH_SESSION = 21, /* its stream is over */
    CASE_METHOD_END_SESSION = 22,    /* logs out */
    CASE_METHOD_EXPIRE_SESSION = 23, /* if its time is over */
    CASE_METHOD_OPEN_TAB = 24,
    CASE_METHOD_CLOSE_TAB = 25,
    CASE_METHOD_BREAK_LOCK = 26,
    CASE_METHOD_FORWARD = 30, /* a message or a case */
    CASE_METHOD_REPORT_DELIVERY = 31,
    CASE_METHOD_MERGE = 40,
    CASE_METHOD_UNMERGE = 41,
    CASE_METHOD_CHANGE_MANY = 42,
    CASE_METHOD_RECORD_TIMER_STEP = 43,
    CASE_METHOD_REDACT_MESSAGE = 50,
    CASE_METHOD_ERASE_CONTACT = 51,
    CASE_METHOD_ERASE_STEP = 52, /* the service's own */
    CASE_METHOD_DELETE_ACCOUNT = 53,
    CASE_METHODS,
};

/* Fields of updates: what the update mask of the request names. */
enum {
    FIELD_DISPLAY_NAME = 1 << 0,
    FIELD_TIME_ZONE = 1 << 1,
    FIELD_REOPEN_RESOLVED = 1 << 2,
    FIELD_REPORT_LOCK_DAYS = 1 << 3,
    FIELD_SESSION_GRACE = 1 << 4,
    FIELD_EMAIL = 1 << 5,
    FIELD_ROLE = 1 << 6,
    FIELD_DISABLED = 1 << 7,
    FIELD_EMAILS = 1 << 8,
    FIELD_PHONES = 1 << 9,
    FIELD_HANDLES = 1 << 10,
    FIELD_NOTE = 1 << 11,
    FIELD_ADDRESS = 1 << 12,
};

/* An address as contacts are found by. */
struct address_key {
    const char *network, *address; /* folded */
};

struct address_keys {
    struct address_key *items;
    size_t count;
};

struct import_message {
    enum message_kind kind;
    bool automatic;
    const char *author_name;
    const char *agent; /* the agent's id made from the name; "" where none writes */
    int64_t send_time;
    const char *body;
};

/* Messages of one case of a contact that is being erased, from `first` to `last`; `whole`: the case is done
 * with them. */
struct erase_part {
    int64_t case_id;
    int32_t first, last;
    bool whole;
    bool guest; /* somebody else's case: only what the contact has written in it */
};

struct erase_step {
    const char *contact;
    struct actor actor; /* who asked for it */
    const struct erase_part *parts;
    size_t count;
};

/* A whole conversation, its messages by send_time. */
struct import_conversation {
    bool create_account; /* the caller may create a missing account, under this display name */
    const char *account_display_name;
    const char *external_id, *network, *subject, *subject_key;
    struct contact_record contact; /* id "" */
    struct address_keys addresses; /* of the contact; by name and network when it has none */
    const struct import_message *messages;
    size_t message_count;
    struct text_list labels;
    enum case_status status; /* NONE: by who has written */
    int64_t status_time;     /* 0: of the last message */
};

/* One case of a batch of changes, and what became of it. */
struct case_target {
    int64_t case_id;                  /* 0: the name is none, and `refusal` says why */
    error refusal;                    /* STATUS_OK: none */
    const struct case_record *record; /* NULL where it was refused */
};

/* A session's tab as its stream tells it. */
struct tab_answer {
    const struct case_record *record; /* the case: status, need_reply and lock_… are told */
    const struct case_tab *viewers;   /* of all sessions that have it open, this one too */
    size_t viewer_count;
};

/* What became of a session. Texts belong to the batch or the command. */
struct session_answer {
    const char *session, *agent;
    int64_t stream;
    int64_t grace_us;
    bool resumed; /* attach */
    bool ended;   /* end, expire: it was there, and its time was over */
    const struct tab_answer
        *tabs; /* attach: all, in the order of opening; open, close: the one; end: those */
    size_t tab_count;
};

/* What became of a command: numbers, and references into the batch. NULL and 0 where there is none. */
struct case_answer {
    int64_t position;
    bool created;  /* ReceiveMessage: a new case; an import: not there before */
    bool repeated; /* answered from what an earlier request did */
    const struct account_record *account;
    const struct agent_record *agent;
    const struct contact_record *contact;
    const struct channel_record *channel;
    const struct case_record *record;
    const struct case_record *source; /* of a merge; `record` is the target */
    const struct message_record *message;
    bool recorded; /* a timer's step was not there before */
    const struct session_answer *session;
};

struct case_command {
    struct pg_command lane; /* first: the lane knows the command by it */
    enum case_method method;
    const char *account; /* id */
    struct actor actor;
    bool agent_must_exist; /* the acting agent has to be known and enabled */
    bool needs_admin;      /* a service acts for an agent where only admins may */
    const char *request_id;
    unsigned char fingerprint[CASE_FINGERPRINT_SIZE];
    unsigned fields;          /* of updates: FIELD_… */
    int64_t expected_version; /* of updates: the etag, 0 for any */

    union {
        struct account_record given_account;
        struct agent_record given_agent; /* id "": chosen here */
        struct {
            struct contact_record contact;
            struct address_keys addresses; /* of all its fields that are to be set */
        } given_contact;
        struct channel_record given_channel;
        struct {
            struct case_record record;
            bool has_message;
            struct case_act message;
        } create;
        struct {
            int64_t case_id;
            struct case_act act;
        } change; /* CHANGE_CASE, ADD_MESSAGE, SET_MESSAGE_STATE */
        struct {
            const char *channel;
            const char *address, *folded, *phone; /* as given, and as it is found by */
            const char *display_name, *subject, *subject_key;
            struct case_act message;
        } receive;
        struct import_conversation import;
        struct {
            int64_t case_id;
            int32_t number; /* of the message; 0: the whole case */
            int64_t expected_version;
            const char *agent, *third_party; /* an id or an address; the other is "" */
            const char *note;
        } forward;
        struct {
            int64_t case_id;
            int32_t number;
            enum delivery_state delivery;
            const char *failure, *external_id;
        } report;
        struct {
            int64_t source, target;                   /* undoing: only the source */
            int64_t expected_source, expected_target; /* versions; 0: any */
        } merge;
        struct {
            struct case_target *targets; /* no case twice */
            size_t count;
            struct case_act act;
        } many;
        struct {
            const char *session; /* attach: the one to resume, "" for none */
            const char *fresh;   /* attach: the id of a new one */
            const char *host;    /* the replica that serves it */
            int64_t stream;      /* which of the session's streams asks; attach, expire: not looked at */
            int64_t case_id;     /* open, close */
        } session;
        struct {
            int64_t case_id, token;
        } break_lock;
        struct {
            int64_t case_id;
            int32_t number;
        } redact;
        struct erase_step erase;
        struct {
            bool allow_missing;
        } deletion;
    };

    /*
     * Called in each run, after all commands of the batch have run, on the lane's thread: makes what `done`
     * will need of the answer. What the answer points to may belong to another command of the batch, which is
     * gone once that was told. NULL: not needed.
     */
    void (*prepare)(struct case_command *command);
    struct case_answer answer;
};

/* Zeroed, of the account's partition, texts of the common part "". */
void case_command_init(struct case_command *command, enum case_method method, const char *account);

#endif
