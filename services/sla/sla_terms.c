#include "sla/sla_terms.h"

#include "base/clock.h"
#include "calendar/zone.h"
#include "rpc/name.h"
#include "rpc/wire.h"
#include "sla/sla_rules.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILTERS_MAX = 50,
    LABEL_BYTES_MAX = 256,
    PRIORITY_MAX = 1000,
    HOURS_MAX = 50,
    HOLIDAYS_MAX = 1000,
    HOLIDAY_NAME_BYTES_MAX = 256,
    TERMS_BYTES_MAX = 8 << 20,
    PATH_SIZE = 96,
};

typedef Casework__Sla__V1__SlaPolicy wire_policy;
typedef Casework__Sla__V1__SlaTarget wire_target;
typedef Casework__Sla__V1__Calendar wire_calendar;

struct sla_terms {
    atomic_uint holders;
    arena *memory;
    calendar_hours *hours;
    struct sla_targets targets;
};

/* --- checking targets ----------------------------------------------------------------------------- */

/* "policy.targets[3].kind" */
struct path {
    const char *prefix, *list;
    size_t index;
};

static bool wrong(const struct path *path, const char *field, const char *why, error *err)
{
    char text[PATH_SIZE];
    if (path->list)
        snprintf(text, sizeof text, "%s%s[%zu].%s", path->prefix, path->list, path->index, field);
    else
        snprintf(text, sizeof text, "%s%s", path->prefix, field);
    return error_bad_field(err, text, "%s", why);
}

static bool check_channels(const wire_target *target, const char *account, const struct path *path,
                           error *err)
{
    arena *scratch = arena_new(1 << 16);
    bool ok = scratch != NULL;
    for (size_t i = 0; ok && i < target->n_channels; i++) {
        const char *parts[2];
        arena_clear(scratch);
        ok = wire_name_parse(scratch, "accounts/{}/channels/{}", target->channels[i], parts, 2) &&
             strcmp(parts[0], account) == 0;
    }
    arena_free(scratch);
    return ok || wrong(path, "channels", "must be channels of the account", err);
}

static bool check_filters(const wire_target *target, const char *account, const struct path *path, error *err)
{
    if (target->n_labels > FILTERS_MAX)
        return wrong(path, "labels", "are more than 50", err);
    if (target->n_channels > FILTERS_MAX)
        return wrong(path, "channels", "are more than 50", err);
    if (target->n_priorities > FILTERS_MAX)
        return wrong(path, "priorities", "are more than 50", err);
    for (size_t i = 0; i < target->n_labels; i++)
        if (!target->labels[i][0] || strlen(target->labels[i]) > LABEL_BYTES_MAX)
            return wrong(path, "labels", "must have 1 to 256 bytes each", err);
    for (size_t i = 0; i < target->n_priorities; i++)
        if (target->priorities[i] < 0 || target->priorities[i] > PRIORITY_MAX)
            return wrong(path, "priorities", "must be from 0 to 1,000", err);
    return check_channels(target, account, path, err);
}

static bool check_target(const wire_target *target, const char *account, const struct path *path, error *err)
{
    int64_t duration_us;
    if ((int)target->kind < SLA_KIND_FIRST_REPLY || (int)target->kind > SLA_KIND_RESOLUTION)
        return wrong(path, "kind", "must be first reply, next reply or resolution", err);
    if (!target->target_duration)
        return wrong(path, "target_duration", "is required", err);
    if (!wire_duration_us(target->target_duration, &duration_us) || duration_us < SLA_DURATION_LEAST ||
        duration_us > SLA_DURATION_MOST)
        return wrong(path, "target_duration", "must be from one second to ten years", err);
    if (target->warn_percent < 0 || target->warn_percent > 99)
        return wrong(path, "warn_percent", "must be from 1 to 99, or 0 for 80", err);
    return check_filters(target, account, path, err);
}

/* --- checking the calendar ------------------------------------------------------------------------ */

/* "HH:MM" as minutes; 24:00 only where the day may end. -1: no such time. */
static int parse_minutes(const char *text, bool end)
{
    int hours, minutes;
    if (strlen(text) != 5 || text[2] != ':' || strspn(text, "0123456789") != 2 ||
        strspn(text + 3, "0123456789") != 2)
        return -1;
    hours = (text[0] - '0') * 10 + (text[1] - '0');
    minutes = (text[3] - '0') * 10 + (text[4] - '0');
    int all = hours * 60 + minutes;
    return minutes < 60 && all <= (end ? CALENDAR_DAY_MINUTES : CALENDAR_DAY_MINUTES - 1) ? all : -1;
}

static struct calendar_period period_of(const Casework__Sla__V1__BusinessHours *hours)
{
    return (struct calendar_period){
        .weekday = (int)hours->day,
        .opens = parse_minutes(hours->opens, false),
        .closes = parse_minutes(hours->closes, true),
    };
}

static bool overlaps(const wire_calendar *calendar, size_t index)
{
    struct calendar_period one = period_of(calendar->hours[index]);
    for (size_t i = 0; i < index; i++) {
        struct calendar_period other = period_of(calendar->hours[i]);
        if (one.weekday == other.weekday && one.opens < other.closes && other.opens < one.closes)
            return true;
    }
    return false;
}

static bool check_hours(const wire_calendar *calendar, const char *prefix, error *err)
{
    struct path path = {.prefix = prefix};
    if (calendar->n_hours > HOURS_MAX)
        return wrong(&path, "calendar.hours", "are more than 50", err);
    path.list = "calendar.hours";
    for (; path.index < calendar->n_hours; path.index++) {
        struct calendar_period period = period_of(calendar->hours[path.index]);
        if (period.weekday < 1 || period.weekday > 7)
            return wrong(&path, "day", "is required", err);
        if (period.opens < 0)
            return wrong(&path, "opens", "must be HH:MM from 00:00 to 23:59", err);
        if (period.closes <= period.opens)
            return wrong(&path, "closes", "must be HH:MM up to 24:00, and after opens", err);
        if (overlaps(calendar, path.index))
            return wrong(&path, "opens", "lies within other hours of the day", err);
    }
    return true;
}

static int compare_days(const void *a, const void *b)
{
    const int64_t *first = a;
    const int64_t *second = b;
    return (*first > *second) - (*first < *second);
}

static bool check_holidays(const wire_calendar *calendar, const char *prefix, error *err)
{
    struct path path = {.prefix = prefix};
    int64_t days[HOLIDAYS_MAX];
    if (calendar->n_holidays > HOLIDAYS_MAX)
        return wrong(&path, "calendar.holidays", "are more than 1,000", err);
    path.list = "calendar.holidays";
    for (; path.index < calendar->n_holidays; path.index++) {
        const Casework__Sla__V1__Holiday *holiday = calendar->holidays[path.index];
        if (!calendar_day_parse(holiday->date, &days[path.index]))
            return wrong(&path, "date", "must be a day, YYYY-MM-DD", err);
        if (strlen(holiday->display_name) > HOLIDAY_NAME_BYTES_MAX)
            return wrong(&path, "display_name", "is longer than 256 bytes", err);
    }
    path.list = NULL;
    if (calendar->n_holidays > 0)
        qsort(days, calendar->n_holidays, sizeof *days, compare_days);
    for (size_t i = 1; i < calendar->n_holidays; i++)
        if (days[i] == days[i - 1])
            return wrong(&path, "calendar.holidays", "name a day twice", err);
    return true;
}

bool sla_terms_check(const wire_policy *policy, const char *account, const char *prefix, error *err)
{
    struct path path = {.prefix = prefix};
    const wire_calendar *calendar = policy->calendar;
    if (policy->n_targets > SLA_TERMS_TARGETS_MAX)
        return wrong(&path, "targets", "are more than 100", err);
    path.list = "targets";
    for (; path.index < policy->n_targets; path.index++)
        if (!check_target(policy->targets[path.index], account, &path, err))
            return false;
    path.list = NULL;
    if (!calendar)
        return true;
    if (calendar->time_zone[0] && !calendar_zone_get(calendar->time_zone))
        return wrong(&path, "calendar.time_zone", "is no IANA time zone", err);
    return check_hours(calendar, prefix, err) && check_holidays(calendar, prefix, err);
}

/* --- since when ----------------------------------------------------------------------------------- */

static bool has_text(const char *const *texts, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(texts[i], text) == 0)
            return true;
    return false;
}

/* Filters by text: `wide` lets through whatever `narrow` does. An empty one lets through everything. */
static bool covers_texts(const char *const *wide, size_t wide_count, char *const *narrow, size_t narrow_count)
{
    bool covers = wide_count == 0 || narrow_count > 0;
    for (size_t i = 0; covers && wide_count > 0 && i < narrow_count; i++)
        covers = has_text(wide, wide_count, narrow[i]);
    return covers;
}

static bool covers_priorities(const struct sla_target *wide, const wire_target *narrow)
{
    bool covers = wide->priority_count == 0 || narrow->n_priorities > 0;
    for (size_t i = 0; covers && wide->priority_count > 0 && i < narrow->n_priorities; i++) {
        covers = false;
        for (size_t k = 0; !covers && k < wide->priority_count; k++)
            covers = wide->priorities[k] == narrow->priorities[i];
    }
    return covers;
}

/* Whether the target holds for every case that the other one would. */
static bool covers(const struct sla_target *wide, const wire_target *narrow)
{
    return (int)wide->kind == (int)narrow->kind &&
           covers_texts(wide->labels, wide->label_count, narrow->labels, narrow->n_labels) &&
           covers_texts(wide->channels, wide->channel_count, narrow->channels, narrow->n_channels) &&
           covers_priorities(wide, narrow);
}

void sla_terms_since(const wire_policy *policy, const struct sla_targets *before, int64_t now_us,
                     int64_t *ret_since_us)
{
    for (size_t i = 0; i < policy->n_targets; i++) {
        ret_since_us[i] = now_us;
        for (size_t k = 0; before && k < before->count; k++)
            if (covers(&before->items[k], policy->targets[i]) && before->items[k].since_us < ret_since_us[i])
                ret_since_us[i] = before->items[k].since_us;
    }
}

/* --- making them ready ---------------------------------------------------------------------------- */

static bool out_of_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

static bool make_hours(const wire_calendar *calendar, const char *time_zone, calendar_hours **ret_hours)
{
    const calendar_zone *zone = calendar_zone_get(calendar->time_zone[0] ? calendar->time_zone : time_zone);
    struct calendar_period periods[HOURS_MAX];
    int64_t holidays[HOLIDAYS_MAX];
    size_t days = 0;
    if (!zone)
        zone = calendar_zone_get("UTC");
    for (size_t i = 0; i < calendar->n_hours && i < HOURS_MAX; i++)
        periods[i] = period_of(calendar->hours[i]);
    for (size_t i = 0; i < calendar->n_holidays && i < HOLIDAYS_MAX; i++)
        days += calendar_day_parse(calendar->holidays[i]->date, &holidays[days]);
    *ret_hours = zone ? calendar_hours_new(zone, periods, calendar->n_hours, holidays, days) : NULL;
    return *ret_hours != NULL;
}

/* What the target points to belongs to the copy of the policy. */
static struct sla_target target_of(const wire_target *wire, int64_t since_us)
{
    struct sla_target target = {
        .kind = (enum sla_kind)wire->kind,
        .since_us = since_us,
        .in_business_hours = wire->in_business_hours,
        .pause_while_pending = wire->pause_while_pending,
        .warn_percent = wire->warn_percent ? wire->warn_percent : SLA_WARN_PERCENT,
        .labels = (const char *const *)wire->labels,
        .label_count = wire->n_labels,
        .channels = (const char *const *)wire->channels,
        .channel_count = wire->n_channels,
        .priorities = wire->priorities,
        .priority_count = wire->n_priorities,
    };
    (void)!wire_duration_us(wire->target_duration, &target.duration_us);
    return target;
}

static bool fill(sla_terms *terms, const wire_policy *policy, const char *time_zone, const int64_t *since_us)
{
    size_t length = protobuf_c_message_get_packed_size(&policy->base);
    unsigned char *packed = arena_alloc(terms->memory, length + 1);
    struct sla_target *items = arena_calloc(terms->memory, policy->n_targets + 1, sizeof *items);
    ProtobufCMessage *message;
    if (!packed || !items)
        return false;
    protobuf_c_message_pack(&policy->base, packed);
    if (!wire_unpack(&casework__sla__v1__sla_policy__descriptor, packed, length, terms->memory, &message,
                     NULL))
        return false;
    const wire_policy *copy = (const void *)message;
    for (size_t i = 0; i < copy->n_targets; i++)
        items[i] = target_of(copy->targets[i], since_us[i]);
    terms->targets.items = items;
    terms->targets.count = copy->n_targets;
    if (copy->calendar && !make_hours(copy->calendar, time_zone, &terms->hours))
        return false;
    terms->targets.hours = terms->hours;
    return true;
}

bool sla_terms_new(const wire_policy *policy, const char *time_zone, const int64_t *since_us,
                   sla_terms **ret_terms, error *err)
{
    *ret_terms = NULL;
    if (policy->n_targets == 0)
        return true;
    sla_terms *terms = calloc(1, sizeof *terms);
    if (!terms)
        return out_of_memory(err);
    atomic_init(&terms->holders, 1);
    terms->memory = arena_new(TERMS_BYTES_MAX);
    if (!terms->memory || !fill(terms, policy, time_zone, since_us)) {
        sla_terms_release(terms);
        return out_of_memory(err);
    }
    *ret_terms = terms;
    return true;
}

sla_terms *sla_terms_hold(sla_terms *terms)
{
    if (terms)
        atomic_fetch_add(&terms->holders, 1);
    return terms;
}

void sla_terms_release(sla_terms *terms)
{
    if (!terms || atomic_fetch_sub(&terms->holders, 1) != 1)
        return;
    calendar_hours_free(terms->hours);
    arena_free(terms->memory);
    free(terms);
}

const struct sla_targets *sla_terms_targets(const sla_terms *terms)
{
    return &terms->targets;
}
