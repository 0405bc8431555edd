#include "calendar/zone.h"

#include "calendar/zone_file.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

/*
 * Zones are tabled up to 2500. Every rule that is known is a yearly one by 2100, and the Gregorian calendar
 * repeats after 400 years with its days of the week, so later instants are looked up 400 years earlier.
 */
#define TABLE_END_DAY INT64_C(193579)
#define CYCLE (INT64_C(146097) * DAY)

struct calendar_zone {
    UT_hash_handle hh;
    char name[ZONE_FILE_NAME_SIZE];
    size_t count;     /* changes */
    int64_t *at;      /* count instants */
    int64_t *offsets; /* count + 1: offsets[i] holds before at[i], the last one from the last change on */
};

static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static struct calendar_zone *cache;

/* --- reading a zone --------------------------------------------------------------------------------------
 */

static void zone_free(struct calendar_zone *zone)
{
    if (zone == NULL)
        return;
    free(zone->at);
    free(zone->offsets);
    free(zone);
}

static struct calendar_zone *zone_make(const char *name, const struct zone_changes *changes)
{
    struct calendar_zone *zone = calloc(1, sizeof *zone);
    if (zone == NULL)
        return NULL;
    strncpy(zone->name, name, sizeof zone->name - 1);
    zone->count = changes->count;
    zone->at = malloc((zone->count + 1) * sizeof *zone->at);
    zone->offsets = malloc((zone->count + 1) * sizeof *zone->offsets);
    if (zone->at == NULL || zone->offsets == NULL) {
        zone_free(zone);
        return NULL;
    }
    for (size_t i = 0; i < zone->count; i++)
        zone->at[i] = changes->at[i] * SECOND;
    for (size_t i = 0; i <= zone->count; i++)
        zone->offsets[i] = changes->offsets[i] * SECOND;
    return zone;
}

static struct calendar_zone *zone_read(const char *name)
{
    struct zone_changes *changes = malloc(sizeof *changes);
    struct calendar_zone *zone = NULL;
    if (changes != NULL && zone_file_read(name, TABLE_END_DAY * (DAY / SECOND), changes))
        zone = zone_make(name, changes);
    free(changes);
    return zone;
}

const calendar_zone *calendar_zone_get(const char *name)
{
    struct calendar_zone *zone;
    pthread_mutex_lock(&cache_lock);
    HASH_FIND_STR(cache, name, zone);
    if (zone == NULL) {
        zone = zone_read(name);
        if (zone != NULL)
            HASH_ADD_STR(cache, name, zone);
    }
    pthread_mutex_unlock(&cache_lock);
    return zone;
}

const char *calendar_zone_name(const calendar_zone *zone)
{
    return zone->name;
}

/* --- arithmetic ------------------------------------------------------------------------------------------
 */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* How much earlier the table has an answer for the instant. */
static int64_t fold(int64_t time_us)
{
    if (time_us < TABLE_END_DAY * DAY)
        return 0;
    return ((time_us - TABLE_END_DAY * DAY) / CYCLE + 1) * CYCLE;
}

/* The number of changes at or before an instant of the table. */
static size_t changes_until(const calendar_zone *zone, int64_t time_us)
{
    size_t low = 0, high = zone->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->at[middle] <= time_us)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int64_t calendar_offset_us(const calendar_zone *zone, int64_t time_us)
{
    return zone->offsets[changes_until(zone, time_us - fold(time_us))];
}

int64_t calendar_next_change(const calendar_zone *zone, int64_t time_us)
{
    int64_t folded = fold(time_us);
    size_t next = changes_until(zone, time_us - folded);
    if (next < zone->count)
        return zone->at[next] + folded;
    /* Past the table's last change: where there is one every year, the next is what it was 400 years before.
     */
    if (zone->count == 0 || zone->at[zone->count - 1] < (TABLE_END_DAY - 2 * 366) * DAY)
        return INT64_MAX;
    next = changes_until(zone, time_us - folded - CYCLE);
    return zone->at[next] + folded + CYCLE;
}

int64_t calendar_day_start(const calendar_zone *zone, int64_t day)
{
    int64_t midnight = day * DAY; /* on the zone's clocks */
    int64_t start = midnight - 2 * DAY;
    for (;;) {
        int64_t offset = calendar_offset_us(zone, start);
        int64_t change = calendar_next_change(zone, start);
        if (change == INT64_MAX || change + offset > midnight)
            return midnight - offset > start ? midnight - offset : start;
        start = change;
    }
}

int64_t calendar_day_of(const calendar_zone *zone, int64_t time_us)
{
    int64_t day = floor_div(time_us + calendar_offset_us(zone, time_us), DAY);
    while (time_us < calendar_day_start(zone, day))
        day--;
    while (time_us >= calendar_day_start(zone, day + 1))
        day++;
    return day;
}

int64_t calendar_hour_end(const calendar_zone *zone, int64_t time_us)
{
    int64_t offset = calendar_offset_us(zone, time_us);
    for (;;) {
        int64_t hour = floor_div(time_us + offset, HOUR);
        int64_t end = (hour + 1) * HOUR - offset;
        int64_t change = calendar_next_change(zone, time_us);
        if (change >= end)
            return end;
        int64_t before = change + offset;
        offset = calendar_offset_us(zone, change);
        if (change + offset < before || floor_div(change + offset, HOUR) != hour)
            return change;
        time_us = change;
    }
}

/* --- dates -----------------------------------------------------------------------------------------------
 */

/* Howard Hinnant, chrono-Compatible Low-Level Date Algorithms, days_from_civil. */
int64_t calendar_day_number(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = floor_div(year, 400);
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

/* `count` digits; -1 for anything else. */
static int64_t digits(const char *text, int count)
{
    int64_t value = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

static bool parse_month(const char *text, int64_t *ret_year, int64_t *ret_month)
{
    int64_t year = digits(text, 4);
    if (year < 1900 || year > 9998 || text[4] != '-')
        return false;
    int64_t month = digits(text + 5, 2);
    if (month < 1 || month > 12)
        return false;
    *ret_year = year;
    *ret_month = month;
    return true;
}

static int64_t month_end(int64_t year, int64_t month)
{
    return month == 12 ? calendar_day_number(year + 1, 1, 1) : calendar_day_number(year, month + 1, 1);
}

bool calendar_day_parse(const char *text, int64_t *ret_day)
{
    int64_t year, month;
    if (!parse_month(text, &year, &month) || text[7] != '-')
        return false;
    int64_t day = digits(text + 8, 2);
    if (day < 1 || text[10] != '\0' || calendar_day_number(year, month, day) >= month_end(year, month))
        return false;
    *ret_day = calendar_day_number(year, month, day);
    return true;
}

bool calendar_month_parse(const char *text, int64_t *ret_first, int64_t *ret_end)
{
    int64_t year, month;
    if (!parse_month(text, &year, &month) || text[7] != '\0')
        return false;
    *ret_first = calendar_day_number(year, month, 1);
    *ret_end = month_end(year, month);
    return true;
}
