#ifndef CASEWORK_CASE_EVENT_H
#define CASEWORK_CASE_EVENT_H

/*
 * Events as the rules make them, and as they are stored: a packed casework.cases.v1.Event that feed and
 * history hand out as it is.
 */

#include "base/bytes.h"
#include "case/case_model.h"
#include "casework/cases/v1/event.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

enum event_kind {
    EVENT_KIND_NONE = 0,
    EVENT_KIND_CASE_CREATED = 1,
    EVENT_KIND_CASE_OPENED = 2,
    EVENT_KIND_MESSAGE_ADDED = 3,
    EVENT_KIND_MESSAGE_STATE_CHANGED = 4,
    EVENT_KIND_MESSAGE_REDACTED = 5,
    EVENT_KIND_STATUS_CHANGED = 6,
    EVENT_KIND_CASE_CLOSED = 7,
    EVENT_KIND_CASE_DELETED = 8,
    EVENT_KIND_CASE_UNDELETED = 9,
    EVENT_KIND_CASE_UPDATED = 10,
    EVENT_KIND_OWNER_CHANGED = 11,
    EVENT_KIND_CLASSIFICATIONS_CHANGED = 12,
    EVENT_KIND_CASE_FORWARDED = 13,
    EVENT_KIND_MESSAGE_FORWARDED = 14,
    EVENT_KIND_CASES_MERGED = 15,
    EVENT_KIND_CASES_UNMERGED = 16,
    EVENT_KIND_ACCOUNT_CREATED = 17,
    EVENT_KIND_ACCOUNT_UPDATED = 18,
    EVENT_KIND_ACCOUNT_DELETED = 19,
    EVENT_KIND_AGENT_CREATED = 20,
    EVENT_KIND_AGENT_UPDATED = 21,
    EVENT_KIND_CONTACT_CREATED = 22,
    EVENT_KIND_CONTACT_UPDATED = 23,
    EVENT_KIND_CONTACT_ERASED = 24, /* of the contact, then of each of its cases */
    EVENT_KIND_CHANNEL_CREATED = 25,
    EVENT_KIND_CHANNEL_UPDATED = 26,
    EVENT_KIND_TIMER_STEP = 27,
    EVENT_KIND_LOCK_GRANTED = 28,
    EVENT_KIND_LOCK_RELEASED = 29,
    EVENT_KIND_LOCK_BROKEN = 30,
    EVENT_KIND_DELIVERY_REPORTED = 31,
};

enum { EVENT_FIELDS_MAX = 8 };

/* The numbers are those of casework.sla.v1. */
enum timer_kind {
    TIMER_KIND_CLOSE = 1,
    TIMER_KIND_FIRST_REPLY = 2,
    TIMER_KIND_NEXT_REPLY = 3,
    TIMER_KIND_RESOLUTION = 4,
};
enum timer_step_kind { TIMER_STEP_WARNED = 1, TIMER_STEP_BREACHED = 2, TIMER_STEP_MET = 3 };

/* A step of a case's timer. */
struct timer_step {
    enum timer_kind kind;
    enum timer_step_kind step;
    int64_t basis_version, due_time;
    int64_t target_time; /* of a warning: the deadline; 0: not told */
};

/* One change. Pointers belong to the arena of whoever made it. */
struct case_event {
    enum event_kind kind;
    const char *account;
    int64_t time;        /* business time; of imported conversations the original one */
    int64_t commit_time; /* set when it is stored, like its place in the feed */
    int partition;
    int64_t position;
    struct actor actor;
    const struct case_record *facts;      /* the case after the event; NULL: about no case */
    const struct message_record *message; /* the message concerned; NULL: none */
    enum case_status previous_status;     /* NONE: about no case, or it was created */
    const char *previous_owner;           /* "" unless the event changed it */
    bool imported;
    const char *resource; /* "agents/anna", "contacts/7", "channels/mail"; "" for none */
    const struct account_record *account_facts;
    const struct channel_record *channel_facts;
    const char *lock_agent, *lock_session; /* of events of locks: who has or had it; else NULL */
    int64_t lock_token;
    int64_t related_case;               /* the other one of two merged cases; 0: none */
    const struct message_record *moved; /* what joined or left by merging */
    size_t moved_count;
    const struct timer_step *timer_step; /* NULL: none */
    const char *changed_fields[EVENT_FIELDS_MAX];
    size_t changed_field_count;
};

/* Appends the packed event to `out`. False when memory or the cap is out. `scratch` is used up, not cleared.
 */
bool case_event_pack(const struct case_event *event, arena *scratch, bytes *out);

/* Facts on their own, for snapshots; in `memory`. NULL: the arena is full. */
Casework__Cases__V1__CaseFacts *case_event_facts(arena *memory, const struct case_record *record);
Casework__Cases__V1__AccountFacts *case_event_account_facts(arena *memory,
                                                            const struct account_record *record);

#endif
