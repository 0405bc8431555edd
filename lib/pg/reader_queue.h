#ifndef CASEWORK_PG_READER_QUEUE_H
#define CASEWORK_PG_READER_QUEUE_H

/*
 * What reader.c keeps reads in: queues of those that wait for a connection, and the list of those that end
 * without a result, which are told when its lock is free. Nothing here locks.
 */

#include "pg/reader.h"

struct pg_queue {
    struct pg_read *first, **last;
};

void pg_queue_init(struct pg_queue *queue);
void pg_queue_push_back(struct pg_queue *queue, struct pg_read *read);
void pg_queue_push_front(struct pg_queue *queue, struct pg_read *read);
struct pg_read *pg_queue_pop(struct pg_queue *queue); /* of one that is not empty */

/* Why a read ends without a result. */
enum pg_fate { PG_FATE_LOST, PG_FATE_LATE, PG_FATE_BUSY, PG_FATE_UNWANTED, PG_FATE_PARAMETERS };

struct pg_failures {
    struct pg_queue list; /* pg_queue_init */
    error lost;           /* of those whose connection was lost */
};

void pg_failures_add(struct pg_failures *failures, struct pg_read *read, enum pg_fate fate);

/* Calls `done` of each. */
void pg_failures_tell(struct pg_failures *failures);

bool pg_read_is_late(const struct pg_read *read, int64_t now_us);

/* Gives up those whose deadline has passed, and those without one that have waited for too long; tells how
 * many. */
unsigned pg_queue_expire(struct pg_queue *queue, int64_t now_us, struct pg_failures *failures);

#endif
