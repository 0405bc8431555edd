#ifndef CASEWORK_TESTS_SUPPORT_TARGET_SCENE_H
#define CASEWORK_TESTS_SUPPORT_TARGET_SCENE_H

/*
 * A suite with a clock that the test moves, the account acme in Berlin and its agent anna: for tests of
 * targets. SUITE_START is a Monday, 10:00 in Berlin. Whatever cannot be done ends the test.
 */

#include "casework/cases/v1/message.pb-c.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "tests/support/suite.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define SLA (&casework__sla__v1__sla_service__descriptor)
#define KIND(name) CASEWORK__SLA__V1__TIMER_KIND__TIMER_KIND_##name
#define STATE(name) CASEWORK__SLA__V1__TIMER_STATE__TIMER_STATE_##name
#define STEP(name) CASEWORK__SLA__V1__TIMER_STEP__TIMER_STEP_##name
#define CUSTOMER CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER
#define AGENT CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT

typedef Casework__Sla__V1__UpdatePolicyRequest target_request;
typedef Casework__Sla__V1__SlaTarget target_wire;
typedef Casework__Sla__V1__Timer target_wire_timer;

extern struct target_scene {
    suite *suite;
    arena *memory; /* of all that is answered and made here */
    const char *account;
} scene;

void target_begin(void);
void target_begin_with(const char *const *settings); /* as suite_options has them */
void target_begin_as(const struct suite_options *options);
void target_end(void);

/* --- policies --- */

Google__Protobuf__Duration *target_duration(int64_t us);

/* The account's policy, as yet without any field to change; room for eight targets. */
target_request *target_policy(void);
target_wire *target_add(target_request *request, Casework__Sla__V1__TimerKind kind, int64_t us);

/* Monday to Friday, 9 to 17. */
Casework__Sla__V1__Calendar *target_office_hours(void);

const Casework__Sla__V1__UpdatePolicyResponse *target_update(const target_request *request);

/* It is INVALID_ARGUMENT for this field. */
void target_check_refused(const target_request *request, const char *field);

/* --- cases and their timers --- */

const char *target_new_case(void);
int64_t target_us(const Google__Protobuf__Timestamp *time);

/* As ListCaseTimers has it once the feed has come there; NULL: none. */
const target_wire_timer *target_timer(const char *name, Casework__Sla__V1__TimerKind kind);
void target_check_timer(const char *name, Casework__Sla__V1__TimerKind kind,
                        Casework__Sla__V1__TimerState state, int64_t due_us, const char *when);

/* So often the case's history has the step. */
size_t target_steps(const char *name, Casework__Sla__V1__TimerKind kind, Casework__Sla__V1__TimerStep step);

/* By the case's history: once, at that time; or never. */
void target_check_step(const char *name, Casework__Sla__V1__TimerKind kind, Casework__Sla__V1__TimerStep step,
                       int64_t time_us, const char *what);
void target_check_no_step(const char *name, Casework__Sla__V1__TimerKind kind,
                          Casework__Sla__V1__TimerStep step);

#endif
