#ifndef CASEWORK_BASE_CONDITION_H
#define CASEWORK_BASE_CONDITION_H

/* Condition variables whose waits end by the clock that nobody sets (clock_monotonic_us). */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

void condition_init(pthread_cond_t *condition);

/* pthread_cond_wait until `until_us` at the latest. False: that time has come. */
bool condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until_us);

#endif
