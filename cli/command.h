#ifndef CASEWORK_CLI_COMMAND_H
#define CASEWORK_CLI_COMMAND_H

/*
 * Commands as data: what somebody types becomes fields of one request, the answer becomes a table or JSON. A
 * command that needs more than that has a function of its own (`run`).
 */

#include "base/error.h"
#include "cli/session.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

/* How a word becomes a field's text. Short names grow into resource names: "acme/5" into
 * accounts/acme/cases/5. */
enum word_kind {
    WORD_TEXT,
    WORD_ACCOUNT,
    WORD_AGENT,
    WORD_CONTACT,
    WORD_CHANNEL,
    WORD_CASE,
    WORD_MESSAGE,
    WORD_POLICY,
    WORD_FILE, /* of JSON, for a message */
};

struct command_word {
    const char *name;  /* as shown in the help, or the flag without its dashes; NULL ends a list */
    const char *field; /* path in the request */
    enum word_kind kind;
    const char *help; /* flags only */
    bool masked;      /* the field's path goes into update_mask */
    bool bare;        /* a flag without a value: sets the field to `true` */
};

/* What many commands have: as `arguments` the account that they are about, among `flags` those of a page. */
#define COMMAND_IN_ACCOUNT                             \
    {                                                  \
        {                                              \
            "ACCOUNT", "parent", WORD_ACCOUNT, 0, 0, 0 \
        }                                              \
    }
#define COMMAND_PAGE                                                                   \
    {"page-size", "page_size", WORD_TEXT, "how many at the most", 0, 0},               \
    {                                                                                  \
        "page-token", "page_token", WORD_TEXT, "go on where the last page ended", 0, 0 \
    }

enum { COMMAND_ARGUMENTS = 4, COMMAND_FLAGS = 14 };

struct command {
    const char *group, *verb; /* verb "" for a command of one word */
    const char *help;
    enum session_target target;
    const ProtobufCServiceDescriptor *service;
    const char *method;
    struct command_word arguments[COMMAND_ARGUMENTS]; /* in order, all needed */
    struct command_word flags[COMMAND_FLAGS];
    const char
        *rows; /* repeated field shown as a table; NULL: the message at `resource` is shown field by field */
    const char *columns;  /* of the table */
    const char *resource; /* "" for the whole answer */
    int (*run)(struct session *session, int argc,
               char **argv); /* instead of all the above but group, verb, help */
};

/* Ended by a row whose group is NULL. */
extern const struct command commands[];

/* Runs one of them; argv[0] is the word after the verb's place. Returns the exit status: 0, 1 (failed), 2
 * (usage). */
int command_run(struct session *session, const struct command *command, int argc, char **argv);

/*
 * The request that the words ask for. NULL: they ask for nothing that can be sent; it was told, and
 * *ret_status is the exit status.
 */
ProtobufCMessage *command_request(struct session *session, const struct command *command, int argc,
                                  char **argv, int *ret_status);

/* Prints "casework: …" with the code and reason to standard error; returns 1. */
int command_fail(const error *err);

/*
 * The resource name for a typed word; `account` is the account that the command's first argument names ("" if
 * none). In the arena; the word itself where it is a resource name already.
 */
const char *command_expand(arena *memory, enum word_kind kind, const char *word, const char *account);

/* Takes the flags that every command has (--json, --ready-file …) off argv. False: wrong usage, already told.
 */
bool command_take_globals(struct session *session, int *argc, char **argv);

#endif
