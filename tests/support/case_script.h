#ifndef CASEWORK_TESTS_SUPPORT_CASE_SCRIPT_H
#define CASEWORK_TESTS_SUPPORT_CASE_SCRIPT_H

/*
 * Generated command sequences. A script is a list of random numbers, one a step; what a step does is found
 * out when its turn comes, from that number and from what its client then knows of the cases. So any step can
 * be left out of a failing script and the rest still makes sense: that is how scripts shrink.
 */

#include "tests/support/case_model.h"

#include <stddef.h>

/* What a client knows of a case. */
struct script_case {
    int64_t number; /* 0: nothing yet */
    int64_t version, change_version, activity_version;
    int message_count;
    int last; /* the highest number of a message, as far as it is known */
    bool merged;
    int holder; /* the session that holds it, as far as it is known; 0: none */
};

struct script_session {
    int agent, tabs; /* whose, and how many */
    bool alive;
};

struct script_view {
    int64_t now;
    bool reopen_resolved;
    const struct script_case *cases;
    size_t case_count, case_max; /* no more than case_max are created */
    /* What the rules of one case alone do not know: request ids, external ids, settings, routing, roles. */
    bool service, always_request_ids;
    int request_ids, external_ids;         /* up to this have been used; changed by script_command */
    const struct script_session *sessions; /* numbers from 1 on, the dead among them; NULL: none are begun */
    int session_count;
    const struct model_command *past; /* the client's latest, to be asked again */
    size_t past_count;
};

/* How many commands a test is to run: CASEWORK_MODEL_COMMANDS, or `usually`. */
size_t script_commands(size_t usually);

/* CASEWORK_MODEL_SEED, or one of the clock's. */
uint64_t script_seed(void);

/* A generator of random numbers (splitmix64). */
uint64_t script_random(uint64_t *state);

/* 0 to limit - 1. */
unsigned script_pick(uint64_t *state, unsigned limit);

/* What the step does. */
void script_command(uint64_t step, struct script_view *view, struct model_command *ret_command);

/*
 * Runs a script of `length` steps made from the seed with `run`, which answers after how many steps it fails
 * (0: it does not); then shortens it as far as it still fails, in no more than `patience` runs, and runs that
 * once more with `tell`. True: it did not fail.
 */
typedef size_t script_run(void *context, const uint64_t *steps, size_t length, bool tell);
bool script_try(uint64_t seed, size_t length, script_run *run, void *context, unsigned patience);

/* The texts behind the model's numbers. */
extern const char *const script_agents[MODEL_AGENTS + 1], *const script_labels[MODEL_LABELS + 1],
                                                              *const script_keys[MODEL_ATTRIBUTES],
                                                                  *const script_values[MODEL_VALUES + 1],
                                                                      *const script_channels[3];
extern const char *const script_classes[MODEL_CLASSES + 1][2]; /* group, value */
const char *script_subject(int subject);

/* And back. */
enum { SCRIPT_UNKNOWN = 255 };
int script_place(const char *text, const char *const *all, int count);
int script_class_of(const char *group, const char *value);
int script_subject_of(const char *text);

#endif
