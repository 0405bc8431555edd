#include "rpc/server.h"

#include <pthread.h>
#include <signal.h>

static void end_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

void rpc_signals_block(void)
{
    sigset_t set;
    end_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int rpc_signals_wait(void)
{
    sigset_t set;
    end_signals(&set);
    int number = 0;
    while (sigwait(&set, &number) != 0)
        ;
    return number;
}
