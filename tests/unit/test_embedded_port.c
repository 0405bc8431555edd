/* Ports for servers that a process starts: several processes choose at the same time, and none is given
 * twice. */

#include "embedded/port.h"

#include <criterion/criterion.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHOOSERS = 6, PORTS = 120 /* more than one block has */ };

struct chooser {
    pid_t pid;
    int ports;   /* read end */
    int go_away; /* write end: it lives until this is closed */
};

static struct chooser start_chooser(int count)
{
    int ports[2], life[2];
    char nothing;
    cr_assert_eq(pipe(ports), 0);
    cr_assert_eq(pipe(life), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(life[1]);
        for (int i = 0; i < count; i++) {
            uint16_t port = port_reserve();
            if (write(ports[1], &port, sizeof port) != sizeof port)
                _exit(1);
        }
        _exit(read(life[0], &nothing, 1) == 0 ? 0 : 1);
    }
    close(ports[1]);
    close(life[0]);
    return (struct chooser){pid, ports[0], life[1]};
}

static void end_chooser(const struct chooser *chooser)
{
    int status;
    close(chooser->ports);
    close(chooser->go_away);
    cr_assert_eq(waitpid(chooser->pid, &status, 0), chooser->pid);
    cr_assert_eq(status, 0);
}

Test(embedded_port, no_port_is_given_to_two_processes)
{
    static int given[UINT16_MAX + 1];
    struct chooser choosers[CHOOSERS];
    for (int i = CHOOSERS - 1; i >= 0; i--) /* later ones inherit the pipes of those before, and end first */
        choosers[i] = start_chooser(PORTS);
    for (int i = 0; i < CHOOSERS; i++) {
        for (int n = 0; n < PORTS; n++) {
            uint16_t port;
            cr_assert_eq(read(choosers[i].ports, &port, sizeof port), (ssize_t)sizeof port);
            cr_assert_gt(port, 1024);
            cr_assert_lt(port, 32768, "%u may be taken by any connection", port);
            cr_assert_eq(given[port]++, 0, "%u is given twice", port);
        }
    }
    for (int i = 0; i < CHOOSERS; i++)
        end_chooser(&choosers[i]);
}

Test(embedded_port, those_of_a_process_that_has_ended_are_given_again)
{
    for (int i = 0; i < 50; i++) { /* ten blocks each: more than there are */
        struct chooser chooser = start_chooser(500);
        for (int n = 0; n < 500; n++) {
            uint16_t port;
            cr_assert_eq(read(chooser.ports, &port, sizeof port), (ssize_t)sizeof port);
            cr_assert_neq(port, 0);
        }
        end_chooser(&chooser);
    }
}
