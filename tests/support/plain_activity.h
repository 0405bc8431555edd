#ifndef CASEWORK_TESTS_SUPPORT_PLAIN_ACTIVITY_H
#define CASEWORK_TESTS_SUPPORT_PLAIN_ACTIVITY_H

/*
 * The case activity report by plain reading: each case's history from its beginning up to a position, then
 * each number by looking at where every case stands. Shares no code with the service but the calendar of
 * zones.
 */

#include "base/arena.h"
#include "tests/support/suite.h"

#include <stddef.h>
#include <stdint.h>

/* The account's settings from a position on. */
struct plain_settings {
    int64_t position, time;
    const char *zone;
    int lock_days;
};

/* An answer that was given, to be given again. */
struct plain_answer {
    int64_t position;
    const char *zone; /* that was asked for; "": the account's */
    const char *start, *end;
    uint8_t *bytes;
    size_t size;
};

/* What the comparisons of one history share. */
struct plain_activity {
    suite *suite;
    const char *account;
    const struct plain_settings *settings; /* in their order */
    size_t settings_count;
    struct plain_answer *answers; /* earlier ones; room for `answers_max` */
    size_t answers_count, answers_max;
    struct plain_answer *locked; /* of days that nothing changes any more; room for `locked_max` */
    size_t locked_count, locked_max;
    arena *memory; /* of the answers */
};

/*
 * Reads all there is of the account, cases numbered 1 to `count`, and compares the report as it is, as of
 * random positions and as of random instants, over ranges and zones that follow from the seed; then asks
 * earlier questions again, which must be answered to the byte. So must questions about days all of whose
 * cases' periods are over, as it is and not as of then, whatever has become of their cases. Fails the test
 * at the first number that differs. Answers how many were compared.
 */
size_t plain_activity_compare(struct plain_activity *activity, size_t count, uint64_t seed, arena *memory);

#endif
