#include "pg/reader_queue.h"

#include "base/clock.h"

/* How long a read without a deadline waits for a connection. */
#define QUEUE_WAIT (5 * CLOCK_SECOND)

void pg_queue_init(struct pg_queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

void pg_queue_push_back(struct pg_queue *queue, struct pg_read *read)
{
    read->next = NULL;
    *queue->last = read;
    queue->last = &read->next;
}

void pg_queue_push_front(struct pg_queue *queue, struct pg_read *read)
{
    read->next = queue->first;
    queue->first = read;
    if (!read->next)
        queue->last = &read->next;
}

struct pg_read *pg_queue_pop(struct pg_queue *queue)
{
    struct pg_read *read = queue->first;
    queue->first = read->next;
    if (!queue->first)
        queue->last = &queue->first;
    return read;
}

void pg_failures_add(struct pg_failures *failures, struct pg_read *read, enum pg_fate fate)
{
    read->fate = (int)fate;
    pg_queue_push_back(&failures->list, read);
}

static void tell_failure(struct pg_read *read, const error *lost)
{
    error err;
    switch ((enum pg_fate)read->fate) {
    case PG_FATE_LOST:
        err = *lost;
        break;
    case PG_FATE_LATE:
        error_set(&err, STATUS_DEADLINE_EXCEEDED, "DATABASE_SLOW", "the database took too long");
        error_add_detail(&err, "%s: no answer in time", read->statement->name);
        break;
    case PG_FATE_UNWANTED:
        error_set(&err, STATUS_CANCELLED, "", "nobody waits for the answer any more");
        break;
    case PG_FATE_PARAMETERS:
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the request takes too much memory");
        break;
    default:
        error_set(&err, STATUS_RESOURCE_EXHAUSTED, "DATABASE_BUSY", "too many requests for the database");
    }
    read->done(read, NULL, &err);
}

void pg_failures_tell(struct pg_failures *failures)
{
    while (failures->list.first)
        tell_failure(pg_queue_pop(&failures->list), &failures->lost);
}

static bool has_deadline(const struct pg_read *read)
{
    return read->deadline_us > 0 && read->deadline_us < INT64_MAX;
}

bool pg_read_is_late(const struct pg_read *read, int64_t now_us)
{
    return has_deadline(read) && read->deadline_us <= now_us;
}

unsigned pg_queue_expire(struct pg_queue *queue, int64_t now_us, struct pg_failures *failures)
{
    struct pg_queue rest;
    unsigned expired = 0;
    pg_queue_init(&rest);
    while (queue->first) {
        struct pg_read *read = pg_queue_pop(queue);
        bool late = pg_read_is_late(read, now_us);
        if (late || (!has_deadline(read) && now_us - read->since_us >= QUEUE_WAIT)) {
            expired++;
            pg_failures_add(failures, read, late ? PG_FATE_LATE : PG_FATE_BUSY);
        } else {
            pg_queue_push_back(&rest, read);
        }
    }
    *queue = rest;
    if (!rest.first)
        queue->last = &queue->first;
    return expired;
}
