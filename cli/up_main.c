#include "programs.h"

#include "up.h"

int program_up(struct session *session, int argc, char **argv)
{
    (void)session;
    return up_main(argc, argv);
}
