#include "embedded/port.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Linux gives outgoing connections 32768 and up (net.ipv4.ip_local_port_range). */
enum { FIRST = 12000, LAST = 32000, BLOCK_PORTS = 50, BLOCKS = (LAST - FIRST) / BLOCK_PORTS };

static int tcp_socket(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

bool port_is_free(uint16_t port)
{
    const struct sockaddr_in address = loopback(port);
    int s = tcp_socket();
    if (s < 0)
        return false;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    bool free = bind(s, (const struct sockaddr *)&address, sizeof address) == 0 && listen(s, 1) == 0;
    close(s);
    return free;
}

bool port_answers(uint16_t port)
{
    const struct sockaddr_in address = loopback(port);
    int s = tcp_socket();
    if (s < 0)
        return false;
    bool answers = connect(s, (const struct sockaddr *)&address, sizeof address) == 0;
    close(s);
    return answers;
}

/* --- reserving ------------------------------------------------------------------------------------ */

/*
 * A block of ports belongs to the process that has bound the block's name, an abstract one (unix(7)): it is
 * given back with the last descriptor, however the process ends.
 */
static bool claim_block(unsigned block)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "casework-ports-%u", block);
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return false;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    if (bind(s, (const struct sockaddr *)&name, size) == 0)
        return true; /* and stays open */
    close(s);
    return false;
}

static bool claim_any(unsigned *ret_block)
{
    unsigned start = (unsigned)getpid() * 37 + (unsigned)clock_real_us();
    for (unsigned i = 0; i < BLOCKS; i++) {
        *ret_block = (start % BLOCKS + i) % BLOCKS;
        if (claim_block(*ret_block))
            return true;
    }
    return false;
}

uint16_t port_reserve(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static pid_t owner; /* what a fork inherits is its parent's */
    static unsigned next, end;
    uint16_t port = 0;
    unsigned block;
    pthread_mutex_lock(&lock);
    if (owner != getpid())
        next = end = 0;
    owner = getpid();
    while (port == 0) {
        if (next == end) {
            if (!claim_any(&block))
                break;
            next = FIRST + block * BLOCK_PORTS;
            end = next + BLOCK_PORTS;
        }
        if (port_is_free((uint16_t)next))
            port = (uint16_t)next;
        next++;
    }
    pthread_mutex_unlock(&lock);
    return port;
}
