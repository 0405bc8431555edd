#ifndef CASEWORK_SLA_TIMER_NAMES_H
#define CASEWORK_SLA_TIMER_NAMES_H

/* Keys, members and slots of the schedule, as timer_store.h describes them. Inside of the store only. */

#include "sla/timer_store.h"

enum { TIMER_KEY_SIZE = 160, TIMER_BASE_SIZE = TIMER_ACCOUNT_SIZE + 24 };

struct timer_store {
    redis_client *client;
};

struct timer_names {
    int bucket;
    char shard[TIMER_KEY_SIZE];
    char field[8];
    char base[TIMER_BASE_SIZE]; /* "acme/4711/" */
    char value[24];             /* "r12" */
};

void timer_names_of(const struct timer *timer, struct timer_names *ret_names);

/* "casework:{b07}:" and the suffix. */
void timer_key(int bucket, const char *suffix, char key[TIMER_KEY_SIZE]);

/* A batch; err is set when memory is out. */
redis_batch *timer_batch_new(error *err);

/* Adds the key to the command. */
void timer_batch_key(redis_batch *batch, int bucket, const char *suffix);

/* "r12" → rule and version. */
bool timer_value_parse(const char *value, enum sla_rule *ret_rule, int64_t *ret_version);

/* A slot's content, "r12" or "r12@deadline": rule and version. *ret_since: the deadline, untouched without
 * one. */
bool timer_slot_parse(const char *slot, struct timer *ret_timer, int64_t *ret_since);

/* "acme/4711/r12"; leaves due_us alone. False for marks. */
bool timer_member_parse(const char *member, struct timer *ret_timer);

/* Whole decimal numbers up to INT64_MAX. */
bool timer_number_parse(const char *text, int64_t *ret_number);

/* A sorted set's score, which Redis writes as 2.534e+17 when it is large; false for less than 0. */
bool timer_score_parse(const char *text, int64_t *ret_score);

/* "APPLIED" and so on, as the scripts answer. */
enum timer_outcome timer_outcome_parse(const char *text);

#endif
