#ifndef CASEWORK_TESTS_SUPPORT_CASE_MODEL_STEP_H
#define CASEWORK_TESTS_SUPPORT_CASE_MODEL_STEP_H

/* What the files of the case's model share. */

#include "tests/support/case_model.h"

/* What an event moves besides the version. */
enum { MODEL_MOVES_NOTHING = 0, MODEL_MOVES_CHANGE = 1, MODEL_MOVES_ACTIVITY = 2 };

/* One command under way, on one case. */
struct model_step {
    const struct model_setting *setting;
    const struct model_command *command;
    struct model_case *c;
    struct model_facts *facts;
    struct model_answer *answer;
    bool by_agent;
};

/* Always false. */
bool model_step_refuse(struct model_step *s, enum status_code code, const char *reason);
bool model_step_refuse_standing(struct model_step *s);

struct model_event *model_step_event(struct model_step *s, enum event_kind kind, enum case_status before,
                                     int message, int moves);

/* Any agent's changing act on a new case counts as opening it first. */
void model_step_open_first(struct model_step *s);

/* In a message that stands in the case. */
bool model_step_has_replied(const struct model_case *c, int agent);

/* Who owns a case is not among those who help with it. */
void model_step_own(struct model_step *s, int agent);

/* A message of the command, of that kind, behind the others; answers the time that it counts from. */
int64_t model_step_store(struct model_step *s, enum message_kind kind);

/* The customer's own, that have a workflow state. */
bool model_step_is_customers(const struct model_message *message);

/* The commands. */
bool model_step_forward(struct model_step *s);
bool model_step_open(struct model_step *s);
bool model_step_open_tab(struct model_step *s);
bool model_step_close_tab(struct model_step *s);
bool model_step_break_lock(struct model_step *s);

/* Whether the case is the actor's to write in; a refusal. */
bool model_step_may_write(struct model_step *s);

/* A case that is gone is nobody's, and one that came back goes to whoever has waited longest. */
void model_step_gone(struct model_step *s);
void model_step_back(struct model_step *s);

#endif
