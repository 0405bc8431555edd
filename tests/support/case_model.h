#ifndef CASEWORK_TESTS_SUPPORT_CASE_MODEL_H
#define CASEWORK_TESTS_SUPPORT_CASE_MODEL_H

/*
 * A plain model of what may happen to a case, written from the behaviour (the transition table and the
 * sentences around it), not from the service: the judge in the tests that drive rules and service with
 * generated commands. Texts are numbers here (agent 2, label 5, subject 7); whoever drives something real
 * translates them. No memory to give back: everything may be copied.
 */

#include "base/error.h"
#include "case/case_event.h" /* the enums of the domain */
#include "case/case_model.h"
#include "tests/support/model_list.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    MODEL_MESSAGES_MAX = 400,
    MODEL_ATTRIBUTES = 3,
    MODEL_EVENTS_MAX = 32,
    MODEL_AGENTS = 4, /* 1 to 4; 0: nobody */
    MODEL_ADMIN = 4,  /* the one of them who may break locks */
    MODEL_LABELS = 5, /* 1 to 5 */
    MODEL_CLASSES = 6,
    MODEL_SUBJECTS = 16,      /* 0: the empty one */
    MODEL_VALUES = 3,         /* of an attribute: 1 to 3; 0: it is not there */
    MODEL_BATCH_MAX = 4,      /* cases that one command is about */
    MODEL_SESSIONS_MAX = 120, /* that there are or were; no more than MODEL_LIST_MAX at once */
    MODEL_SESSION_SIZE = 64,  /* of an id */

    MODEL_COMPOSED = -1, /* a body made of others: what a third party gets */

    MODEL_FIELD_SUBJECT = 1 << 0,
    MODEL_FIELD_LABELS = 1 << 1,
    MODEL_FIELD_PRIORITY = 1 << 2,
    MODEL_FIELD_ATTRIBUTES = 1 << 3, /* the whole map */
};

struct model_actor {
    enum actor_kind kind;
    int agent; /* of ACTOR_KIND_AGENT */
};

/* What can be seen of a case. Times are microseconds, 0: none. */
struct model_facts {
    enum case_status status, status_before_delete;
    int owner, contact, channel;
    struct model_list involved, labels, classes;
    uint8_t attributes[MODEL_ATTRIBUTES];
    int priority, subject;
    bool need_reply, all_closed;
    int message_count;
    int64_t version, change_version, activity_version;
    int64_t change_time, activity_time;
    int64_t create_time, update_time, status_time, open_time, resolve_time, close_time, delete_time;
    int64_t first_reply_time, first_customer_time, waiting_since_time;
    int64_t merged_into;
    /* Who holds it, 0: nobody; the number of the last grant, and when it was while it stands. */
    int lock_session, lock_agent;
    int64_t lock_token, lock_time;
};

struct model_message {
    enum message_kind kind; /* MESSAGE_KIND_NONE: there is no message of that number (any more) */
    enum message_state state;
    enum delivery_state delivery;
    bool automatic;
    struct model_actor author;
    int64_t send_time, create_time;
    int body, external_id; /* 0: none; a body may be MODEL_COMPOSED */
    int contact;           /* a customer's: who wrote it */
    int third_party;
    int64_t merged_from; /* the case it came from by merging; 0: it was written here */
};

struct model_case {
    int64_t number;
    struct model_facts facts;
    struct model_list got; /* agents who got something of it forwarded, its owner too */
    int64_t last_send_time;
    int last;                /* the highest number of a message */
    struct model_list queue; /* the sessions that have it open, the longest waiting first */
    /* While it is merged: whom it gave to the target as helpers, and who of them was none before. */
    struct model_list gave, added;
    struct model_message messages[MODEL_MESSAGES_MAX]; /* number n is at n - 1 */
};

enum model_verb {
    MODEL_CREATE,
    MODEL_OPEN,
    MODEL_MARK_PENDING,
    MODEL_RESOLVE,
    MODEL_REOPEN,
    MODEL_CLOSE,
    MODEL_DELETE,
    MODEL_UNDELETE,
    MODEL_ASSIGN,
    MODEL_UPDATE,
    MODEL_CLASSIFY,
    MODEL_DECLASSIFY,
    MODEL_ADD_MESSAGE,
    MODEL_SET_STATE,
    MODEL_SETTING, /* the account's reopen_resolved_on_customer_message */
    MODEL_RECEIVE,
    MODEL_FORWARD_CASE,
    MODEL_FORWARD_MESSAGE,
    MODEL_LABEL,   /* of many cases only */
    MODEL_UNLABEL, /* likewise */
    MODEL_MERGE,   /* `number` into `target` */
    MODEL_UNMERGE,
    MODEL_BATCH,  /* `act` on all of `batch` */
    MODEL_ATTACH, /* the actor begins a session, which gets the number `session` */
    MODEL_CUT,    /* the session's stream breaks; resumed within the grace time, if there is any */
    MODEL_LOG_OUT,
    MODEL_OPEN_TAB,
    MODEL_CLOSE_TAB,
    MODEL_BREAK_LOCK,
    MODEL_VERBS,
};

extern const char *const model_verb_names[MODEL_VERBS];

/* One command. What a verb does not need is not looked at. */
struct model_command {
    enum model_verb verb;
    struct model_actor actor;
    int64_t number; /* of the case */
    int64_t expected_version;
    int request_id;   /* 0: none */
    uint64_t content; /* two commands with the same request id are the same when this is */

    int owner, contact, channel, subject, priority;
    unsigned fields; /* MODEL_FIELD_… */
    struct model_list labels, classes;
    uint8_t attributes[MODEL_ATTRIBUTES];

    bool has_message; /* MODEL_CREATE */
    enum message_kind kind;
    bool automatic;
    int64_t sent; /* 0: now */
    int body, external_id;
    enum after_send then;

    int message; /* its number */
    enum message_state state;

    enum due_rule rule;
    int64_t basis_version, due_time;

    bool setting;

    int agent, third_party; /* who gets what is forwarded: either */
    int note;               /* a body; 0: none */
    int64_t target;
    enum model_verb act;
    int64_t batch[MODEL_BATCH_MAX];
    int batch_count;

    int session;   /* whose tab it is; which a write names (0: none) */
    int64_t token; /* of the grant to break; 0: whichever stands */
};

struct model_event {
    enum event_kind kind;
    int64_t number, related; /* the case; the other one of two merged */
    int agent;               /* who got what was forwarded; 0: nobody */
    int moved;               /* messages that joined or left */
    enum case_status previous_status;
    int message;                  /* its number; 0: none */
    int lock_agent, lock_session; /* of what happens to a lock */
    int64_t lock_token;
    struct model_facts facts;
};

struct model_answer {
    enum status_code code;
    const char *reason;
    int message; /* the number of the message that is answered; 0: none */
    int event_count;
    struct model_event events[MODEL_EVENTS_MAX];
};

struct model_setting {
    int64_t now;
    bool reopen_resolved;
    bool no_grace;                              /* sessions end with their stream */
    int session_agents[MODEL_SESSIONS_MAX + 1]; /* whose each session is or was */
};

/*
 * Carries out one command on a case that exists (MODEL_CREATE: *c is made, with c->number set). A refusal
 * leaves the case as it was. Of the answer's events only those up to event_count are filled in.
 */
void case_model_apply(const struct model_setting *setting, struct model_case *c,
                      const struct model_command *command, struct model_answer *ret_answer);

/*
 * MODEL_MERGE and MODEL_UNMERGE. `others`: all cases that are merged into the target now, the source among
 * them when it is.
 */
void case_model_merge(const struct model_setting *setting, struct model_case *source,
                      struct model_case *target, const struct model_command *command,
                      struct model_answer *ret_answer);
void case_model_unmerge(const struct model_setting *setting, struct model_case *source,
                        struct model_case *target, struct model_case *const *others, int other_count,
                        const struct model_command *command, struct model_answer *ret_answer);

/* A session's tab is gone, for whatever reason; the events join the answer's. */
void case_model_leave(const struct model_setting *setting, struct model_case *c,
                      const struct model_command *command, struct model_answer *answer);

/* Less than a struct has: only the messages that are there. */
void case_model_copy(struct model_case *to, const struct model_case *from);

/* What is seen of a conversation by the customer. */
bool case_model_visible(enum message_kind kind);

/* The first difference, in words; NULL: none. Static, until the next call of this thread. */
const char *model_facts_differ(const struct model_facts *expected, const struct model_facts *found);

/* One line that says all of it; for reports of failures. */
void model_command_print(const struct model_command *command, FILE *file);

#endif
