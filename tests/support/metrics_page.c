#include "tests/support/metrics_page.h"

#include "base/clock.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { PAGE_MAX = 1 << 20, PATIENCE_SECONDS = 10 };

/* What is answered to GET, as far as it comes. */
static void fetch(uint16_t port, char *page)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
    const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    size_t length = 0;
    ssize_t more;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address) == 0 &&
        send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1) {
        while ((more = recv(fd, page + length, PAGE_MAX - 1 - length, 0)) > 0)
            length += (size_t)more;
    }
    close(fd);
}

double metrics_page_value(uint16_t port, const char *name)
{
    char *page = calloc(1, PAGE_MAX), line[256];
    if (!page)
        abort();
    fetch(port, page);
    snprintf(line, sizeof line, "\n%s ", name);
    const char *found = strstr(page, line);
    double value = found ? strtod(found + strlen(line), NULL) : -1;
    free(page);
    return value;
}

bool metrics_page_await(uint16_t port, const char *name, double value, int64_t timeout_us, double *ret_found)
{
    const int64_t until = clock_monotonic_us() + timeout_us;
    const struct timespec pause = {.tv_nsec = 10 * 1000000};
    while ((*ret_found = metrics_page_value(port, name)) != value) {
        if (clock_monotonic_us() > until)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}
