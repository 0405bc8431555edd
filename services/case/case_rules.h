#ifndef CASEWORK_CASE_RULES_H
#define CASEWORK_CASE_RULES_H

/*
 * What may happen to a case, and what then becomes of it: the transition table of the behaviour
 * (docs/case.md) and the sentences around it. Pure: a case before, an act, who, when → the case after, its
 * messages and events; or a refusal. No I/O, no clock, no state.
 */

#include "base/arena.h"
#include "base/error.h"
#include "case/case_event.h"
#include "case/case_model.h"

#include <stdbool.h>
#include <stdint.h>

enum case_act_kind {
    CASE_ACT_OPEN,
    CASE_ACT_MARK_PENDING,
    CASE_ACT_RESOLVE,
    CASE_ACT_REOPEN,
    CASE_ACT_CLOSE,
    CASE_ACT_DELETE,
    CASE_ACT_UNDELETE,
    CASE_ACT_ASSIGN,
    CASE_ACT_UPDATE,
    CASE_ACT_CLASSIFY,
    CASE_ACT_DECLASSIFY,
    CASE_ACT_ADD_MESSAGE,
    CASE_ACT_SET_MESSAGE_STATE,
    CASE_ACT_FORWARD,
    CASE_ACT_REPORT_DELIVERY,
    CASE_ACT_ADD_LABELS,
    CASE_ACT_REMOVE_LABELS,
    CASE_ACT_RECORD_TIMER_STEP,
    CASE_ACT_REDACT_MESSAGE,
    CASE_ACT_ERASE,
};

enum {
    CASE_FIELD_SUBJECT = 1 << 0,
    CASE_FIELD_LABELS = 1 << 1,
    CASE_FIELD_PRIORITY = 1 << 2,
    CASE_FIELD_ATTRIBUTES = 1 << 3, /* the whole map */
};

/* What somebody asks for. Everything in it has been checked for form; ids in it exist. */
struct case_act {
    enum case_act_kind kind;
    int64_t expected_version; /* 0: any */
    union {
        struct {
            enum due_rule rule;
            int64_t basis_version, due_time;
        } close;
        const char *owner; /* assign; "": nobody */
        struct {
            unsigned fields; /* CASE_FIELD_… */
            const char *subject, *subject_key;
            struct text_list labels; /* without duplicates */
            int32_t priority;
            struct text_list attributes; /* pairs, by key */
            struct text_list edits;      /* single attributes: pairs; a value of NULL takes the key away */
        } update;
        struct text_list classifications; /* pairs; classify, declassify */
        struct text_list labels;          /* put on, taken off */
        struct {
            struct timer_step step;
            /*
             * For reply targets, when the case no longer waits since message basis_version: when an agent
             * replied to it. 0: there is no such customer message.
             */
            int64_t reply_time;
            int64_t case_version; /* that the step was worked out from; 0: any */
            bool ended;           /* the timer of that basis was met or breached before */
        } timer;
        struct {
            struct message_record message; /* number, state, delivery, create_time: not looked at */
            enum after_send then;
            const char *contact; /* named as the author; "" or NULL: nobody is */
        } add;
        struct {
            int32_t number;
            enum message_kind kind;   /* of that message, as it is stored */
            enum message_state state; /* likewise, before this act */
            enum message_state to;
        } set_state;
        struct {
            const struct message_record *message; /* that is forwarded; NULL: the case */
            const char *agent;                    /* who gets it; "": a third party */
            const struct message_record
                *text; /* the note, or the message to the third party; NULL: there is none */
        } forward;
        struct {
            const struct message_record *message; /* as it is stored */
            enum delivery_state to;               /* SENT or FAILED */
            const char *failure, *external_id;
        } report;
        const struct message_record *redacted; /* the message to redact, as it is afterwards */
        const char *erased; /* the contact whose texts go: the case's, or that of messages merged into it */
    };
};

struct case_context {
    arena *memory; /* for everything in the change */
    int64_t now;   /* business time of this act */
    struct actor actor;
    bool reopen_resolved; /* the account's setting */
    bool imported;        /* times are the original ones */
};

/* What an act does. Grows over several acts of one command; `after` is then the state after the last. */
struct case_change {
    struct case_record after;
    struct case_event *events;
    size_t event_count, event_size;
    struct message_record *messages; /* new ones, in order */
    size_t message_count, message_size;
    /*
     * Customer messages stored before that stand below it are raised to it; NONE: left alone. Applies before
     * set_state.
     */
    enum message_state raise_to;
    int32_t set_number; /* one message set by hand; 0: none */
    enum message_state set_state;
    const struct message_record *reported; /* one whose delivery was told, as it is now; NULL: none */
    bool wide; /* more has changed than what messages and status move: texts and lists, see case_store */
};

/* A change of an existing case in which nothing has happened yet. */
void case_change_begin(struct case_change *change, const struct case_record *before);

/*
 * Carries out one act. An act that has nothing to do leaves the change without events. Refused:
 * FAILED_PRECONDITION with a reason (CASE_NEW, CASE_CLOSED, CASE_DELETED, CASE_MERGED, NOT_DUE, …) and the
 * status in the details, or ABORTED (ETAG_MISMATCH, STALE_VERSION). After a failure the change is no longer
 * of use.
 */
bool case_rules_apply(const struct case_context *context, const struct case_act *act,
                      struct case_change *change, error *err) __attribute__((warn_unused_result));

/*
 * A new case. `template`: account, id, contact, channel, owner, texts and lists as asked for; times, counts
 * and versions are filled in here. A first message is an act of its own.
 */
bool case_rules_create(const struct case_context *context, const struct case_record *template,
                       struct case_change *change, error *err) __attribute__((warn_unused_result));

/*
 * The end of an imported conversation: brings the case to `status` at context->now. NONE: leaves it.
 * INVALID_ARGUMENT when an agent's reply has opened what shall be new.
 */
bool case_rules_import_status(const struct case_context *context, enum case_status status,
                              struct case_change *change, error *err) __attribute__((warn_unused_result));

#endif
