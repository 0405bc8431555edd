#include "sla/timer_names.h"

#include "feed/partition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASES_A_SHARD = 32 };

static const struct {
    enum sla_rule rule;
    char code;
} codes[] = {{SLA_RULE_RESOLVED, 'r'}, {SLA_RULE_INACTIVE, 'i'}, {SLA_RULE_TARGETS, 't'}};

static char rule_code(enum sla_rule rule)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].rule == rule)
            return codes[i].code;
    return '?';
}

void timer_key(int bucket, const char *suffix, char key[TIMER_KEY_SIZE])
{
    snprintf(key, TIMER_KEY_SIZE, "casework:{b%02d}:%s", bucket, suffix);
}

redis_batch *timer_batch_new(error *err)
{
    redis_batch *batch = redis_batch_new();
    if (!batch)
        error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    return batch;
}

void timer_batch_key(redis_batch *batch, int bucket, const char *suffix)
{
    char key[TIMER_KEY_SIZE];
    timer_key(bucket, suffix, key);
    redis_batch_text(batch, key);
}

/* --- by hand: an event needs several of them, many thousand times a second -------------------------- */

static char *put_text(char *at, const char *text)
{
    size_t length = strlen(text);
    memcpy(at, text, length + 1);
    return at + length;
}

static char *put_number(char *at, int64_t number)
{
    char digits[24];
    size_t count = 0;
    uint64_t rest = (uint64_t)number;
    do
        digits[count++] = (char)('0' + rest % 10);
    while (rest /= 10);
    while (count > 0)
        *at++ = digits[--count];
    *at = '\0';
    return at;
}

/* Numbers of cases and versions are never negative, and an account's id is below TIMER_ACCOUNT_SIZE. */
void timer_names_of(const struct timer *timer, struct timer_names *ret_names)
{
    int64_t case_id = timer->case_id > 0 ? timer->case_id : 0;
    int bucket = feed_partition(timer->account);
    char *at = put_text(ret_names->shard, "casework:{b");
    ret_names->bucket = bucket;
    *at++ = (char)('0' + bucket / 10);
    *at++ = (char)('0' + bucket % 10);
    at = put_text(put_text(put_text(at, "}:v:"), timer->account), ":");
    put_number(at, case_id / CASES_A_SHARD);
    put_text(put_number(ret_names->field, case_id % CASES_A_SHARD),
             timer->rule == SLA_RULE_TARGETS ? "t" : "c");
    put_text(put_number(put_text(put_text(ret_names->base, timer->account), "/"), case_id), "/");
    ret_names->value[0] = rule_code(timer->rule);
    put_number(ret_names->value + 1, timer->version > 0 ? timer->version : 0);
}

bool timer_number_parse(const char *text, int64_t *ret_number)
{
    char *end;
    errno = 0;
    if (text[0] < '0' || text[0] > '9')
        return false;
    long long number = strtoll(text, &end, 10);
    if (errno || *end)
        return false;
    *ret_number = number;
    return true;
}

bool timer_score_parse(const char *text, int64_t *ret_score)
{
    char *end;
    if (timer_number_parse(text, ret_score))
        return true;
    double score = strtod(text, &end);
    if (end == text || *end || !(score >= 0 && score < 0x1p63))
        return false;
    *ret_score = (int64_t)score;
    return true;
}

bool timer_value_parse(const char *value, enum sla_rule *ret_rule, int64_t *ret_version)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (codes[i].code != value[0])
            continue;
        if (!timer_number_parse(value + 1, ret_version))
            return false;
        *ret_rule = codes[i].rule;
        return true;
    }
    return false;
}

bool timer_slot_parse(const char *slot, struct timer *ret_timer, int64_t *ret_since)
{
    char value[24];
    size_t length = strcspn(slot, "@");
    if (length >= sizeof value)
        return false;
    memcpy(value, slot, length);
    value[length] = '\0';
    if (slot[length] == '@' && !timer_number_parse(slot + length + 1, ret_since))
        return false;
    return timer_value_parse(value, &ret_timer->rule, &ret_timer->version);
}

bool timer_member_parse(const char *member, struct timer *ret_timer)
{
    const char *first = strchr(member, '/');
    const char *second = first ? strchr(first + 1, '/') : NULL;
    char number[24];
    if (member[0] == '!' || !second || first == member || first - member >= TIMER_ACCOUNT_SIZE ||
        second - first > (ptrdiff_t)sizeof number)
        return false;
    memcpy(number, first + 1, (size_t)(second - first - 1));
    number[second - first - 1] = '\0';
    if (!timer_number_parse(number, &ret_timer->case_id) ||
        !timer_value_parse(second + 1, &ret_timer->rule, &ret_timer->version))
        return false;
    memcpy(ret_timer->account, member, (size_t)(first - member));
    ret_timer->account[first - member] = '\0';
    return true;
}

enum timer_outcome timer_outcome_parse(const char *text)
{
    static const struct {
        const char *text;
        enum timer_outcome outcome;
    } outcomes[] = {
        {"APPLIED", TIMER_APPLIED}, {"LOST", TIMER_LOST}, {"BEHIND", TIMER_BEHIND},
        {"POLICY", TIMER_POLICY},   {"BUSY", TIMER_BUSY},
    };
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
        if (strcmp(outcomes[i].text, text) == 0)
            return outcomes[i].outcome;
    return TIMER_LOST;
}
