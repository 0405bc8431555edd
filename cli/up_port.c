#include "cli/up_port.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* Linux gives outgoing connections 32768 and up (net.ipv4.ip_local_port_range). */
enum { FIRST = 12000, LAST = 32000 };

bool up_port_is_free(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return false;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    bool free = bind(s, (const struct sockaddr *)&address, sizeof address) == 0 && listen(s, 1) == 0;
    close(s);
    return free;
}

bool up_port_answers(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return false;
    bool answers = connect(s, (const struct sockaddr *)&address, sizeof address) == 0;
    close(s);
    return answers;
}

uint16_t up_port_find(void)
{
    static unsigned next; /* where to look next, so that two runs at a time begin at different places */
    if (next == 0)
        next = ((unsigned)getpid() * 37 + (unsigned)(clock_real_us() / 1000)) % (LAST - FIRST);
    for (unsigned tries = 0; tries < LAST - FIRST; tries++) {
        uint16_t port = (uint16_t)(FIRST + next++ % (LAST - FIRST));
        if (up_port_is_free(port))
            return port;
    }
    return 0;
}
