#ifndef CASEWORK_TESTS_SUPPORT_ACCOUNT_MODEL_H
#define CASEWORK_TESTS_SUPPORT_ACCOUNT_MODEL_H

/*
 * A plain model of one account: its cases, who may do what, request ids and external ids, where customers'
 * messages go, positions, and what its folders hold. Written from the behaviour, like case_model.h.
 */

#include "tests/support/case_model.h"

#include <stddef.h>

enum {
    ACCOUNT_CASES_MAX = 256,
    ACCOUNT_CONTACTS_MAX = 64,
    ACCOUNT_SENDERS = 6, /* 1 to 6: addresses on the first channel, others on the second */
    ACCOUNT_CHANNELS = 2,
    ACCOUNT_GIVEN_CONTACTS = 3, /* are there from the start; sender n of channel 1 is contact n */
};

/* What became of one case of a batch. */
struct account_result {
    enum status_code code;
    const char *reason;
};

struct account_request {
    bool used;
    int64_t time;
    uint64_t content; /* of the command */
    int64_t position, number, source;
    int message;
    bool created;
    struct account_result results[MODEL_BATCH_MAX];
};

struct account_external {
    int64_t number; /* of the case; 0: not there yet */
    int message;
    bool created; /* the message started the case */
};

/* An agent's session, while it lives: with the cases that are open in it, in the order of opening. */
struct account_session {
    bool alive;
    struct model_list tabs;
};

struct account_model {
    struct model_setting setting;
    struct account_session sessions[MODEL_SESSIONS_MAX + 1];
    int session_count;
    int64_t position;
    struct model_case cases[ACCOUNT_CASES_MAX]; /* case n is at n - 1 */
    int case_count;
    int contact_of[ACCOUNT_CHANNELS + 1][ACCOUNT_SENDERS + 1], contact_count;
    struct account_request *requests; /* by request id */
    size_t request_max;
    struct account_external *externals[ACCOUNT_CHANNELS + 1]; /* by external id */
    size_t external_max;
};

/* What became of a command: the case's answer, and what the account adds to it. */
struct account_answer {
    struct model_answer of_case;
    bool repeated;    /* answered from what an earlier request did */
    bool new_contact; /* an event before those of the case */
    bool settings;    /* an event of the account */
    bool created;     /* MODEL_RECEIVE: a new case */
    int64_t number;   /* of the case that is answered; 0: none */
    int64_t source;   /* MODEL_MERGE, MODEL_UNMERGE: of the other one; 0: none */
    struct account_result results[MODEL_BATCH_MAX]; /* MODEL_BATCH */
    int64_t position;
};

/* `position`: where the feed stands once account, channels, agents and contacts are made. */
void account_model_init(struct account_model *account, int64_t now, int64_t position);
void account_model_release(struct account_model *account);

struct model_case *account_model_case(struct account_model *account, int64_t number);

/* Where the conversation of a case is now: the case itself, or what it was merged into. */
struct model_case *account_model_end(struct account_model *account, int64_t number);

/* Whether others are merged into the case: it then reads by sent time. */
bool account_model_reads_by_time(const struct account_model *account, int64_t number);

/* Whether all cases that the command names are there. */
bool account_model_knows(const struct account_model *account, const struct model_command *command);

void account_model_apply(struct account_model *account, const struct model_command *command,
                         struct account_answer *ret_answer);

/* What the answer would be now; the account stays as it is. */
void account_model_peek(const struct account_model *account, const struct model_command *command,
                        struct account_answer *ret_answer);

/* --- folders and lists --- */

enum model_folder {
    MODEL_FOLDER_ALL = 1,
    MODEL_FOLDER_NEW,
    MODEL_FOLDER_OPEN,
    MODEL_FOLDER_PENDING,
    MODEL_FOLDER_RESOLVED,
    MODEL_FOLDER_CLOSED,
    MODEL_FOLDER_DELETED,
    MODEL_FOLDER_MY_CASES,
    MODEL_FOLDER_UNASSIGNED,
    MODEL_FOLDER_RECENT,
    MODEL_FOLDER_NEED_REPLY,
    MODEL_FOLDER_INVOLVED,
    MODEL_FOLDERS,
};

enum model_order { MODEL_ORDER_UPDATE, MODEL_ORDER_SUBJECT, MODEL_ORDER_STATUS, MODEL_ORDERS };

/* 0 and NULL: not filtered by that. */
struct model_query {
    enum model_folder folder;
    int agent; /* whose folders */
    int owner, contact, channel;
    struct model_list labels; /* all of them */
    int class_value;          /* this classification … */
    int class_group;          /* … or any in the group of this one */
    int64_t start_time, end_time;
    enum model_order order;
    bool descending;
};

/* Numbers of the cases, in order. Answers how many. */
size_t account_model_list(const struct account_model *account, const struct model_query *query,
                          int64_t ret_numbers[ACCOUNT_CASES_MAX]);

#endif
