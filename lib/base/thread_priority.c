#include "base/thread_priority.h"

#include <sys/resource.h>
#include <unistd.h>

void thread_lower_priority(void)
{
    enum { NICE = 5 };
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* what stays as it was is no harm */
}
