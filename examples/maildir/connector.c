#include "examples/maildir/connector.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool connector_wait(struct connector *connector, int64_t time_us)
{
    enum { STEP_US = 50 * 1000 };
    int64_t until = clock_monotonic_us() + time_us;
    const struct timespec step = {.tv_nsec = STEP_US * 1000};
    while (!atomic_load(&connector->stopping) && clock_monotonic_us() < until)
        nanosleep(&step, NULL);
    return !atomic_load(&connector->stopping);
}

/* A number and what comes after it. False: there is none. */
static bool read_number(const char *text, const char *after, long long *ret_number, const char **ret_rest)
{
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || errno != 0 || number <= 0 || strncmp(end, after, strlen(after)) != 0)
        return false;
    *ret_number = number;
    *ret_rest = end + strlen(after);
    return true;
}

void connector_mail_id(const struct connector *connector, const char *name, char *out, size_t size)
{
    const char *cases = strstr(name, "/cases/"), *rest = "";
    long long id = 0, number = 0;
    if (cases != NULL && read_number(cases + strlen("/cases/"), "/messages/", &id, &rest) &&
        read_number(rest, "", &number, &rest))
        snprintf(out, size, "casework.%s.%lld.%lld@%s", connector->account, id, number, connector->domain);
    else
        snprintf(out, size, "casework.%s.%s@%s", connector->account,
                 cases == NULL ? "" : cases + strlen("/cases/"), connector->domain);
}

bool connector_message_of(const struct connector *connector, const char *mail_id, char *out, size_t size)
{
    char start[80];
    const char *rest;
    long long id = 0, number = 0;
    snprintf(start, sizeof start, "casework.%s.", connector->account);
    if (strncmp(mail_id, start, strlen(start)) != 0 ||
        !read_number(mail_id + strlen(start), ".", &id, &rest) || !read_number(rest, "@", &number, &rest) ||
        strcmp(rest, connector->domain) != 0)
        return false;
    snprintf(out, size, "accounts/%s/cases/%lld/messages/%lld", connector->account, id, number);
    return true;
}
