/* base/thread_priority.h: one thread steps back, the others stay where they are. */

#include "base/thread_priority.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

static int own_priority(void)
{
    return getpriority(PRIO_PROCESS, (id_t)gettid());
}

static void *step_back(void *argument)
{
    thread_lower_priority();
    *(int *)argument = own_priority();
    return NULL;
}

Test(thread_priority, is_the_threads_own)
{
    pthread_t thread;
    int before = own_priority(), there;
    cr_assert_eq(pthread_create(&thread, NULL, step_back, &there), 0);
    pthread_join(thread, NULL);
    cr_assert_geq(there, 5);
    cr_assert_geq(there, before);
    cr_assert_eq(own_priority(), before);
}
