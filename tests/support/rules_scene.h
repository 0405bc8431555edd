#ifndef CASEWORK_TESTS_SUPPORT_RULES_SCENE_H
#define CASEWORK_TESTS_SUPPORT_RULES_SCENE_H

/* A case before an act, and the act by the rules of the case service (case_rules.h): for tests of the rules.
 */

#include "case/case_rules.h"

#define RULES_T0 INT64_C(1000000000000000) /* when the case came to its status */
#define RULES_NOW (RULES_T0 + 60 * INT64_C(1000000))

static const struct actor anna = {ACTOR_KIND_AGENT, "anna", "", ""};
static const struct actor connector = {ACTOR_KIND_CONNECTOR, "gateway", "", ""};
static const struct actor service = {ACTOR_KIND_SERVICE, "sla", "", ""};

extern arena *rules_memory;

/* Of a test suite. */
void rules_setup(void);
void rules_teardown(void);

/* Of an act at RULES_NOW, in rules_memory. */
struct case_context rules_context(struct actor actor);

/* A case in that status since RULES_T0, with one customer message that waits. */
struct case_record rules_case(enum case_status status);

struct case_act rules_message(enum message_kind kind);

bool rules_try(const struct case_record *before, struct actor actor, const struct case_act *act,
               struct case_change *change, error *err) __attribute__((warn_unused_result));

/* Of an act that must be taken; of one that must be refused. */
struct case_change rules_done(const struct case_record *before, struct actor actor,
                              const struct case_act *act);
error rules_refusal(const struct case_record *before, struct actor actor, const struct case_act *act);

#endif
