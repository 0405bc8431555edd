#include "bench/support/until_end.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

static sigset_t ends;

void until_end_prepare(void)
{
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
}

void until_end_say(const char *text)
{
    int number;
    printf("%s\n", text);
    fflush(stdout);
    sigwait(&ends, &number);
}
