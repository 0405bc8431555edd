#ifndef CASEWORK_BASE_CLOCK_H
#define CASEWORK_BASE_CLOCK_H

/*
 * Times are int64 microseconds: since 1970-01-01T00:00:00Z for instants (0 stands for "not set"), plain for
 * durations. Business time comes from the case service (see feed/suite_clock.h); these two are for logs,
 * tokens and waits.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOCK_SECOND INT64_C(1000000)
#define CLOCK_MINUTE (60 * CLOCK_SECOND)
#define CLOCK_HOUR (60 * CLOCK_MINUTE)
#define CLOCK_DAY (24 * CLOCK_HOUR)

int64_t clock_real_us(void);
int64_t clock_monotonic_us(void);

enum { CLOCK_TEXT_SIZE = 40 };

/* RFC 3339 in UTC with as many digits of a second as needed (0, 3 or 6). Writes at most CLOCK_TEXT_SIZE
 * bytes; returns text. */
char *clock_format(int64_t time_us, char text[CLOCK_TEXT_SIZE]);

/* RFC 3339 with any offset, years 0001 to 9999. False, ret untouched, if it is anything else. */
bool clock_parse(const char *text, int64_t *ret_time_us);

#endif
