#include "calendar/zone_file.h"

#include "calendar/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR INT64_C(3600)
#define DAY (24 * HOUR)
#define BEGIN (-DAY * 365 * 2000)

enum { HEADER_SIZE = 44, FILE_SIZE_MAX = 1 << 16, TYPE_SIZE = 6, TYPES_MAX = 256, RULE_HOURS_MAX = 167 };

/* --- the tables -------------------------------------------------------------------------------------------
 */

struct tables {
    uint32_t isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt;
};

static uint32_t big_32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static int64_t big_64(const unsigned char *bytes)
{
    return (int64_t)((uint64_t)big_32(bytes) << 32 | big_32(bytes + 4));
}

static bool read_header(const unsigned char *bytes, size_t size, struct tables *tables)
{
    if (size < HEADER_SIZE || memcmp(bytes, "TZif", 4) != 0)
        return false;
    tables->isutcnt = big_32(bytes + 20);
    tables->isstdcnt = big_32(bytes + 24);
    tables->leapcnt = big_32(bytes + 28);
    tables->timecnt = big_32(bytes + 32);
    tables->typecnt = big_32(bytes + 36);
    tables->charcnt = big_32(bytes + 40);
    return tables->typecnt > 0 && tables->typecnt <= TYPES_MAX && tables->timecnt < ZONE_FILE_CHANGES_MAX;
}

static size_t tables_size(const struct tables *tables, size_t time_size)
{
    return (size_t)tables->timecnt * (time_size + 1) + (size_t)tables->typecnt * TYPE_SIZE + tables->charcnt +
           (size_t)tables->leapcnt * (time_size + 4) + tables->isstdcnt + tables->isutcnt;
}

/* RFC 8536, 3.2: "more than -25 hours and less than 26 hours". */
static bool set_offset(struct zone_changes *changes, int64_t offset)
{
    changes->offsets[changes->count] = offset;
    return offset > -25 * HOUR && offset < 26 * HOUR;
}

/* A change that leaves the offset alone is left out; one before anybody's time has always been. */
static bool add_change(struct zone_changes *changes, int64_t at, int64_t offset, int64_t end_s)
{
    if (at >= end_s || offset == changes->offsets[changes->count])
        return true;
    if (at < BEGIN && changes->count == 0)
        return set_offset(changes, offset);
    if (changes->count == ZONE_FILE_CHANGES_MAX ||
        (changes->count > 0 && at <= changes->at[changes->count - 1]))
        return false;
    changes->at[changes->count++] = at;
    return set_offset(changes, offset);
}

static bool read_tables(const unsigned char *bytes, const struct tables *tables, int64_t end_s,
                        struct zone_changes *changes, int64_t *ret_last)
{
    const unsigned char *kinds = bytes + (size_t)tables->timecnt * 8, *types = kinds + tables->timecnt;
    changes->count = 0;
    *ret_last = INT64_MIN;
    if (!set_offset(changes, (int32_t)big_32(types)))
        return false;
    for (uint32_t i = 0; i < tables->timecnt; i++) {
        if (kinds[i] >= tables->typecnt)
            return false;
        *ret_last = big_64(bytes + (size_t)i * 8);
        if (!add_change(changes, *ret_last, (int32_t)big_32(types + (size_t)kinds[i] * TYPE_SIZE), end_s))
            return false;
    }
    return true;
}

/* --- the yearly rule: what holds after the last change, as a TZ string of POSIX ---------------------------
 */

struct yearly {
    char form;                /* M: month, week and day of it; J: day without 29 February; 0: day from 0 on */
    int64_t month, week, day; /* J and 0: day only */
    int64_t time;             /* seconds after midnight, before 0:00 and after 24:00 too */
};

static bool read_number(const char **text, int64_t max, int64_t *value)
{
    if (**text < '0' || **text > '9')
        return false;
    *value = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        *value = *value * 10 + (**text - '0');
        if (*value > max)
            return false;
    }
    return true;
}

/* [+-]hours[:minutes[:seconds]] */
static bool read_time(const char **text, int64_t *seconds)
{
    int64_t sign = **text == '-' ? -1 : 1, hours, minutes = 0, rest = 0;
    if (**text == '-' || **text == '+')
        (*text)++;
    if (!read_number(text, RULE_HOURS_MAX, &hours))
        return false;
    if (**text == ':' && (++*text, !read_number(text, 59, &minutes)))
        return false;
    if (**text == ':' && (++*text, !read_number(text, 59, &rest)))
        return false;
    *seconds = sign * (hours * HOUR + minutes * 60 + rest);
    return true;
}

/* What the clocks are called does not matter here. */
static bool skip_name(const char **text)
{
    size_t length = **text == '<' ? strcspn(*text, ">") + 1
                                  : strspn(*text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    if (length < 3 || length > strlen(*text))
        return false;
    *text += length;
    return true;
}

static bool read_yearly(const char **text, struct yearly *rule)
{
    *rule = (struct yearly){.form = '0', .time = 2 * HOUR};
    if (*(*text)++ != ',')
        return false;
    if (**text == 'M' || **text == 'J')
        rule->form = *(*text)++;
    bool good;
    if (rule->form == 'M') {
        good = read_number(text, 12, &rule->month) && rule->month > 0 && *(*text)++ == '.' &&
               read_number(text, 5, &rule->week) && rule->week > 0 && *(*text)++ == '.' &&
               read_number(text, 6, &rule->day);
    } else {
        good = read_number(text, 365, &rule->day) && (rule->form != 'J' || rule->day > 0);
    }
    if (good && **text == '/') {
        ++*text;
        good = read_time(text, &rule->time);
    }
    return good;
}

static int64_t days_until_weekday(int64_t day, int64_t weekday)
{
    int64_t is = ((day + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    return (weekday - is + 7) % 7;
}

/* When the rule strikes in a year, in seconds by clocks that are `offset` ahead of UTC. */
static int64_t yearly_at(const struct yearly *rule, int64_t year, int64_t offset)
{
    int64_t day = calendar_day_number(year, 1, 1) + rule->day;
    if (rule->form == 'J') {
        bool leap = calendar_day_number(year, 3, 1) - calendar_day_number(year, 2, 28) == 2;
        day -= leap && rule->day >= 60 ? 0 : 1;
    } else if (rule->form == 'M') {
        int64_t first = calendar_day_number(year, rule->month, 1);
        int64_t next = rule->month == 12 ? calendar_day_number(year + 1, 1, 1)
                                         : calendar_day_number(year, rule->month + 1, 1);
        day = first + days_until_weekday(first, rule->day) + (rule->week - 1) * 7;
        if (day >= next)
            day -= 7;
    }
    return day * DAY + rule->time - offset;
}

/* The year that an instant is in, give or take one. */
static int64_t year_near(int64_t time_s)
{
    return 1970 + time_s / (365 * DAY + DAY / 4);
}

static bool add_years(const struct yearly rules[2], int64_t standard, int64_t summer, int64_t after,
                      int64_t end_s, struct zone_changes *changes)
{
    int64_t first = after < 0 ? 1970 : year_near(after) - 1;
    for (int64_t year = first; year <= year_near(end_s) + 1; year++) {
        int64_t starts = yearly_at(&rules[0], year, standard), ends = yearly_at(&rules[1], year, summer);
        int64_t at[2] = {starts, ends}, offset[2] = {summer, standard};
        int early = starts <= ends ? 0 : 1;
        if ((at[early] > after && !add_change(changes, at[early], offset[early], end_s)) ||
            (at[1 - early] > after && !add_change(changes, at[1 - early], offset[1 - early], end_s)))
            return false;
    }
    return true;
}

static bool read_rule(const char *text, int64_t after, int64_t end_s, struct zone_changes *changes)
{
    int64_t standard, summer;
    struct yearly rules[2];
    if (*text == '\0')
        return true;
    if (!skip_name(&text) || !read_time(&text, &standard))
        return false;
    standard = -standard;
    if (*text == '\0') {
        /* A zone without any change has its offset in the tables too. */
        return after == INT64_MIN || add_change(changes, after, standard, end_s);
    }
    if (!skip_name(&text))
        return false;
    summer = standard + HOUR;
    if (*text != ',') {
        if (!read_time(&text, &summer))
            return false;
        summer = -summer;
    }
    if (!read_yearly(&text, &rules[0]) || !read_yearly(&text, &rules[1]) || *text != '\0')
        return false;
    return add_years(rules, standard, summer, after, end_s, changes);
}

/* --- a file -----------------------------------------------------------------------------------------------
 */

/* The second part has 64-bit times; a file of version 1 has none, and nobody writes such files any more. */
bool zone_file_parse(unsigned char *bytes, size_t size, int64_t end_s, struct zone_changes *changes)
{
    struct tables tables;
    if (!read_header(bytes, size, &tables) || bytes[4] < '2' || size - HEADER_SIZE < tables_size(&tables, 4))
        return false;
    size_t start = HEADER_SIZE + tables_size(&tables, 4);
    if (!read_header(bytes + start, size - start, &tables) ||
        size - start - HEADER_SIZE < tables_size(&tables, 8))
        return false;
    start += HEADER_SIZE;
    int64_t last;
    if (!read_tables(bytes + start, &tables, end_s, changes, &last))
        return false;
    /* The rule stands between two line ends. */
    start += tables_size(&tables, 8);
    unsigned char *line_end = start < size ? memchr(bytes + start + 1, '\n', size - start - 1) : NULL;
    if (line_end == NULL || bytes[start] != '\n')
        return false;
    *line_end = '\0';
    return read_rule((const char *)bytes + start + 1, last, end_s, changes);
}

bool zone_file_name_is_good(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/_+-";
    size_t length = strlen(name);
    return name[0] >= 'A' && name[0] <= 'Z' && length < ZONE_FILE_NAME_SIZE &&
           strspn(name, letters) == length && strstr(name, "//") == NULL;
}

bool zone_file_read(const char *name, int64_t end_s, struct zone_changes *changes)
{
    char path[ZONE_FILE_NAME_SIZE + 32];
    if (!zone_file_name_is_good(name))
        return false;
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    unsigned char *bytes = malloc(FILE_SIZE_MAX);
    size_t size = bytes == NULL ? 0 : fread(bytes, 1, FILE_SIZE_MAX, file);
    fclose(file);
    bool good = size > 0 && size < FILE_SIZE_MAX && zone_file_parse(bytes, size, end_s, changes);
    free(bytes);
    return good;
}
