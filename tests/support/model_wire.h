#ifndef CASEWORK_TESTS_SUPPORT_MODEL_WIRE_H
#define CASEWORK_TESTS_SUPPORT_MODEL_WIRE_H

/*
 * The model's commands as calls of the real case service, and its answers as the model's facts. The texts
 * behind the model's numbers are here: agents/a1, "Contract Needed", and so on.
 */

#include "base/arena.h"
#include "casework/cases/v1/case.pb-c.h"
#include "casework/cases/v1/event.pb-c.h"
#include "casework/cases/v1/message.pb-c.h"
#include "rpc/client.h"
#include "tests/support/account_model.h"

enum { MODEL_CONTACT_SIZE = 64, MODEL_REASON_SIZE = 64, MODEL_ETAG_SIZE = 64 };

/* What a case looks like from outside: what the wire does not tell is 0. */
struct model_seen {
    int64_t number; /* 0: not there */
    struct model_facts facts;
    char contact[MODEL_CONTACT_SIZE]; /* its id */
    char etag[MODEL_ETAG_SIZE];
};

struct model_seen_message {
    int number; /* 0: not there */
    struct model_message message;
    int64_t of_case;
    char author[128];
    char third_party[64];
    bool good; /* body and external id are such as the model's commands have */
};

struct model_reply {
    enum status_code code;
    char reason[MODEL_REASON_SIZE], text[256];
    unsigned attempts;
    int64_t position;
    bool created;
    struct model_seen seen, source; /* source: of merging */
    struct model_seen_message message;
    struct model_result {
        enum status_code code;
        char reason[MODEL_REASON_SIZE];
        struct model_seen seen;
    } results[MODEL_BATCH_MAX];
};

/* The ids of contacts that the service chose, as they become known. */
struct model_contacts {
    char ids[ACCOUNT_CONTACTS_MAX][MODEL_CONTACT_SIZE];
};

/* Etags by the versions that they stand for, as they become known; begins zeroed. */
enum { MODEL_VERSIONS_MAX = 2048 };
struct model_etags {
    char (*of[ACCOUNT_CASES_MAX])[MODEL_ETAG_SIZE]; /* each NULL or MODEL_VERSIONS_MAX of them */
};

void model_etags_learn(struct model_etags *etags, const struct model_seen *seen);
void model_etags_release(struct model_etags *etags);

/* The etag of the version that the command expects; one that cannot be said is no longer expected. */
const char *model_etags_for(const struct model_etags *etags, struct model_command *command);

/* The account with all it needs, its channels, agents and contacts; `no_grace`: its sessions end with their
 * streams, else they live for an hour more. Answers where its feed then stands. */
int64_t model_wire_account(rpc_channel *channel, const char *account, bool no_grace, arena *memory);

/* Ways to the service: a replica that went away is replaced in its place while others call. */
struct model_ways {
    _Atomic(rpc_channel *) channels[4];
    unsigned count;
};

/*
 * One command, which is about no session. `etag`: of expected_version; `session`: the id of the session that
 * it names, NULL: none. Waits for the answer; while it cannot be known and the command
 * has a request id, asks again, the next replica each time, beginning with `first`.
 */
void model_wire_call(const struct model_ways *ways, unsigned first, const char *account,
                     const struct model_command *command, const char *etag, const char *session,
                     arena *memory, struct model_reply *ret_reply);

void model_wire_see(const Casework__Cases__V1__Case *wire, struct model_seen *ret_seen);
void model_wire_see_facts(const Casework__Cases__V1__CaseFacts *wire, struct model_seen *ret_seen);
void model_wire_see_message(const Casework__Cases__V1__Message *wire, struct model_seen_message *ret_seen);

/* The last segment of a case's name; 0: no such name. */
int64_t model_wire_number(const char *name);

/*
 * What is seen against what should be; the first difference in words, NULL: none. `whole`: from CaseFacts,
 * which tell more but no texts.
 */
const char *model_wire_differ(const struct model_case *expected, const struct model_seen *seen,
                              struct model_contacts *contacts, bool whole);
const char *model_wire_differ_facts(const struct model_facts *expected, const struct model_seen *seen,
                                    struct model_contacts *contacts, bool whole);
const char *model_wire_differ_results(const struct model_command *command,
                                      const struct account_answer *answer, const struct model_reply *reply);
const char *model_wire_differ_message(const struct model_case *expected, int number,
                                      const struct model_seen_message *seen, struct model_contacts *contacts);

#endif
