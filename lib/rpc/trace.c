#include "rpc/trace.h"

#include "base/clock.h"

#include <stdint.h>
#include <string.h>
#include <sys/random.h>

static const char hex[] = "0123456789abcdef";

/* xoshiro256**, a state a thread: ids need to differ, not to be secret.
 * http://prng.di.unimi.it/xoshiro256starstar.c */
static uint64_t next_random(void)
{
    static _Thread_local uint64_t s[4];
    if ((s[0] | s[1] | s[2] | s[3]) == 0 && getrandom(s, sizeof s, 0) != (ssize_t)sizeof s) {
        s[0] = (uint64_t)clock_real_us();
        s[1] = (uint64_t)(uintptr_t)s;
        s[2] = 1;
    }
    uint64_t result = s[1] * 5;
    result = (result << 7 | result >> 57) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return result;
}

static void write_hex(char *to, uint64_t value)
{
    for (int i = 15; i >= 0; i--, value >>= 4)
        to[i] = hex[value & 15];
}

static bool is_hex(const char *text, size_t length)
{
    bool all_zero = true;
    for (size_t i = 0; i < length; i++) {
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
        all_zero = all_zero && text[i] == '0';
    }
    return !all_zero;
}

static bool is_traceparent(const char *text, size_t length)
{
    return length == TRACEPARENT_SIZE - 1 && memcmp(text, "00-", 3) == 0 && is_hex(text + 3, 32) &&
           text[35] == '-' && is_hex(text + 36, 16) && text[52] == '-' && strchr(hex, text[53]) &&
           strchr(hex, text[54]);
}

void trace_continue(const char *parent, size_t length, char traceparent[TRACEPARENT_SIZE])
{
    if (parent && is_traceparent(parent, length)) {
        memcpy(traceparent, parent, TRACEPARENT_SIZE - 1);
    } else {
        memcpy(traceparent, "00-", 3);
        write_hex(traceparent + 3, next_random());
        write_hex(traceparent + 19, next_random() | 1);
        memcpy(traceparent + 35, "-0000000000000000-01", 20);
    }
    write_hex(traceparent + 36, next_random() | 1);
    traceparent[TRACEPARENT_SIZE - 1] = '\0';
}
