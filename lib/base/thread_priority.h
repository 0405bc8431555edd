#ifndef CASEWORK_BASE_THREAD_PRIORITY_H
#define CASEWORK_BASE_THREAD_PRIORITY_H

/*
 * The calling thread lets others go first: for what nobody waits for, beside threads that answer calls. On
 * Linux nice values are per thread; it gets about a third of what a thread beside it gets when both want the
 * same core, so that it comes on whatever happens. Not undone.
 */
void thread_lower_priority(void);

#endif
