#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * CLOCK_SECOND + now.tv_nsec / 1000;
}

int64_t clock_real_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_monotonic_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

char *clock_format(int64_t time_us, char text[CLOCK_TEXT_SIZE])
{
    int64_t seconds = time_us / CLOCK_SECOND;
    int64_t fraction = time_us % CLOCK_SECOND;
    if (fraction < 0) {
        fraction += CLOCK_SECOND;
        seconds--;
    }
    time_t whole = (time_t)seconds;
    struct tm tm;
    gmtime_r(&whole, &tm);
    int length = snprintf(text, CLOCK_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
                          tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    if (length < 0 || length >= CLOCK_TEXT_SIZE)
        length = 0;
    char *end = text + length;
    size_t room = CLOCK_TEXT_SIZE - (size_t)length;
    if (fraction == 0)
        snprintf(end, room, "Z");
    else if (fraction % 1000 == 0)
        snprintf(end, room, ".%03dZ", (int)(fraction / 1000));
    else
        snprintf(end, room, ".%06dZ", (int)fraction);
    return text;
}

/* Exactly `count` digits at *at; -1 if there are none such. */
static int take_digits(const char **at, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9')
            return -1;
        value = value * 10 + (c - '0');
    }
    *at += count;
    return value;
}

static bool take_char(const char **at, const char *any_of)
{
    if (**at == '\0' || !strchr(any_of, **at))
        return false;
    (*at)++;
    return true;
}

static bool take_fraction(const char **at, int *ret_us)
{
    int us = 0;
    int digits = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++, digits++)
        if (digits < 6)
            us = us * 10 + (**at - '0');
    if (digits == 0 || digits > 9)
        return false;
    for (; digits < 6; digits++)
        us *= 10;
    *ret_us = us;
    return true;
}

static bool take_offset(const char **at, int *ret_seconds)
{
    if (take_char(at, "Zz")) {
        *ret_seconds = 0;
        return true;
    }
    int sign = **at == '-' ? -1 : 1;
    if (!take_char(at, "+-"))
        return false;
    int hours = take_digits(at, 2);
    if (hours < 0 || hours > 23 || !take_char(at, ":"))
        return false;
    int minutes = take_digits(at, 2);
    if (minutes < 0 || minutes > 59)
        return false;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

bool clock_parse(const char *text, int64_t *ret_time_us)
{
    const char *at = text;
    struct tm tm = {0};
    int year = take_digits(&at, 4);
    if (year < 1 || !take_char(&at, "-"))
        return false;
    int month = take_digits(&at, 2);
    if (month < 1 || month > 12 || !take_char(&at, "-"))
        return false;
    int day = take_digits(&at, 2);
    if (day < 1 || day > days_in_month(year, month) || !take_char(&at, "Tt "))
        return false;
    int hour = take_digits(&at, 2);
    if (hour < 0 || hour > 23 || !take_char(&at, ":"))
        return false;
    int minute = take_digits(&at, 2);
    if (minute < 0 || minute > 59 || !take_char(&at, ":"))
        return false;
    int second = take_digits(&at, 2);
    if (second < 0 || second > 60)
        return false;
    int us = 0;
    if (*at == '.') {
        at++;
        if (!take_fraction(&at, &us))
            return false;
    }
    int offset;
    if (!take_offset(&at, &offset) || *at)
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    tm.tm_hour = hour;
    tm.tm_min = minute;
    tm.tm_sec = second;
    *ret_time_us = ((int64_t)timegm(&tm) - offset) * CLOCK_SECOND + us;
    return true;
}
