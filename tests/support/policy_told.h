#ifndef CASEWORK_TESTS_SUPPORT_POLICY_TOLD_H
#define CASEWORK_TESTS_SUPPORT_POLICY_TOLD_H

/* Changes of a policy in a target_scene beside what their previews tell. All of it ends the test when it
 * fails. */

#include "tests/support/target_scene.h"

void policy_check_effect(const Casework__Sla__V1__PolicyEffect *told,
                         const Casework__Sla__V1__PolicyEffect *did);

/* Changes the policy. What its preview told is what is there afterwards, and the schedule is equal to the
 * truth. */
const Casework__Sla__V1__PolicyEffect *policy_change_as_told(const target_request *update);

#endif
