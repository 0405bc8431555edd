#include "pg/reader.h"

#include "base/clock.h"
#include "base/log.h"
#include "pg/pg_internal.h"
#include "pg/reader_queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/*
 * The lock guards the queues and the state of the links; it is held for moments only. Who has marked a link
 * as held has its connection to itself and talks to the server without the lock: a thread that sends a group,
 * or one that the link's socket has woken. A socket wakes one thread (EPOLLONESHOT), which arms it again when
 * it has read what came.
 */

enum {
    THREADS = 4,      /* an answer of megabytes keeps one of them for a while */
    GROUP_MAX = 32,   /* reads of one flush */
    QUICK_LINKS = 2,  /* as many groups of quick reads at a time, so that groups are worth their flush */
    QUEUE_MAX = 1024, /* reads that wait for a connection */
};

/* A group that takes longer is no reason for other quick reads to wait. */
#define QUICK_PATIENCE (2 * CLOCK_SECOND / 1000)
/* How often, while something is in flight, deadlines are looked at. */
#define TICK (5 * CLOCK_SECOND / 1000)

enum link_state { LINK_NONE, LINK_OPENING, LINK_IDLE, LINK_BUSY };

struct link {
    pg_conn *conn;
    enum link_state state;
    bool held;   /* a thread has the connection to itself */
    bool missed; /* its socket had something meanwhile: to be armed again */
    bool rest;   /* not all is sent */
    bool kept;   /* was not opened for what is in flight */
    bool quick;  /* what is in flight */
    bool failed; /* one of the group: those behind it have not been run */
    int64_t sent_us, moved_us;
    unsigned count, answered;
    struct pg_read *group[GROUP_MAX]; /* from `answered` on in flight; NULL: nobody waits any more */
};

struct pg_reader {
    struct pg_options options;
    pthread_mutex_t lock;
    pthread_cond_t wanted; /* another connection */
    bool wants, stopping, ticking;
    unsigned size, waiting;
    struct pg_queue quick, slow;
    int events, timer, stop;
    unsigned thread_count;
    pthread_t threads[THREADS + 1];
    struct link links[];
};

/* What a group has brought so far. */
struct outcome {
    struct pg_read *read;
    pg_result *result; /* NULL: failed */
};

static struct pg_queue *queue_of(pg_reader *reader, const struct pg_read *read)
{
    return read->statement->quick ? &reader->quick : &reader->slow;
}

/* --- links --- */

static void arm(const pg_reader *reader, struct link *link, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT | (link->rest ? EPOLLOUT : 0u),
                                .data = {.ptr = link}};
    epoll_ctl(reader->events, operation, pg_conn_socket(link->conn), &event);
}

/* Ends a lost connection. What was in flight is tried again elsewhere if that makes sense. */
static void lose(pg_reader *reader, struct link *link, const error *err, struct pg_failures *failures)
{
    bool again = link->kept && err->code == STATUS_UNAVAILABLE;
    for (unsigned i = link->count; i-- > link->answered;) {
        struct pg_read *read = link->group[i];
        if (read && again && read->tries++ < reader->size) {
            read->since_us = clock_monotonic_us();
            pg_queue_push_front(queue_of(reader, read), read);
            reader->waiting++;
        } else if (read) {
            failures->lost = *err;
            pg_failures_add(failures, read, PG_FATE_LOST);
        }
    }
    pg_conn_close(link->conn);
    *link = (struct link){.state = LINK_NONE};
}

static void let_go(pg_reader *reader, struct link *link, bool rearm)
{
    link->held = false;
    if (rearm || link->missed || link->rest)
        arm(reader, link, EPOLL_CTL_MOD);
    link->missed = false;
}

static struct link *find_link(pg_reader *reader, enum link_state state)
{
    for (unsigned i = 0; i < reader->size; i++)
        if (reader->links[i].state == state && !reader->links[i].held)
            return &reader->links[i];
    return NULL;
}

/* --- sending --- */

/* The queue that is to be served now; that whose first read has waited longest. */
static struct pg_queue *choose_queue(pg_reader *reader, int64_t now_us)
{
    unsigned quick = 0, slow = 0;
    for (unsigned i = 0; i < reader->size; i++) {
        const struct link *link = &reader->links[i];
        if (link->state == LINK_BUSY && !link->quick)
            slow++;
        else if (link->state == LINK_BUSY && now_us - link->sent_us < QUICK_PATIENCE)
            quick++;
    }
    const struct pg_read *a = quick < QUICK_LINKS ? reader->quick.first : NULL;
    const struct pg_read *b = slow == 0 || slow + 1 < reader->size ? reader->slow.first : NULL;
    if (a && (!b || a->since_us <= b->since_us))
        return &reader->quick;
    return b ? &reader->slow : NULL;
}

static void fill_group(pg_reader *reader, struct link *link, struct pg_queue *queue, int64_t now_us,
                       struct pg_failures *failures)
{
    unsigned max = queue == &reader->quick ? GROUP_MAX : 1;
    link->count = link->answered = 0;
    while (queue->first && link->count < max) {
        struct pg_read *read = pg_queue_pop(queue);
        reader->waiting--;
        if (pg_read_is_late(read, now_us))
            pg_failures_add(failures, read, PG_FATE_LATE);
        else if (read->is_wanted && !read->is_wanted(read))
            pg_failures_add(failures, read, PG_FATE_UNWANTED);
        else
            link->group[link->count++] = read;
    }
    link->quick = queue == &reader->quick;
    link->failed = false;
    link->sent_us = link->moved_us = now_us;
}

/* An idle link, held, with what it is to send; NULL: nothing can be sent now. */
static struct link *take_group(pg_reader *reader, struct pg_failures *failures)
{
    int64_t now_us = reader->waiting ? clock_monotonic_us() : 0;
    struct pg_queue *queue;
    while (reader->waiting && (queue = choose_queue(reader, now_us))) {
        struct link *link = find_link(reader, LINK_IDLE);
        if (!link) {
            reader->wants = true;
            pthread_cond_signal(&reader->wanted);
            return NULL;
        }
        fill_group(reader, link, queue, now_us, failures);
        if (link->count > 0) {
            link->state = LINK_BUSY;
            link->held = true;
            return link;
        }
    }
    return NULL;
}

static bool send_group(struct link *link, error *err)
{
    for (unsigned i = 0; i < link->count; i++)
        if (!pg_send(link->conn, link->group[i]->statement, link->group[i]->params, err)) {
            pg_conn_lost(link->conn, link->group[i]->statement->name, err);
            return false;
        }
    return pg_conn_queue_sync(link->conn, err) && pg_conn_flush(link->conn, &link->rest, err);
}

static void start_ticking(pg_reader *reader)
{
    bool busy = reader->waiting > 0;
    for (unsigned i = 0; !busy && i < reader->size; i++)
        busy = reader->links[i].state == LINK_BUSY;
    if (reader->ticking || !busy)
        return;
    const struct itimerspec tick = {.it_value = {.tv_nsec = TICK * 1000}};
    reader->ticking = timerfd_settime(reader->timer, 0, &tick, NULL) == 0;
}

/* With the lock, which it gives up in between. */
static void send_waiting(pg_reader *reader, struct pg_failures *failures)
{
    for (struct link *link; (link = take_group(reader, failures));) {
        error err;
        pthread_mutex_unlock(&reader->lock);
        bool good = send_group(link, &err);
        pthread_mutex_lock(&reader->lock);
        if (good)
            let_go(reader, link, false);
        else
            lose(reader, link, &err, failures);
    }
    start_ticking(reader);
}

void pg_reader_submit(pg_reader *reader, struct pg_read *read)
{
    struct pg_failures failures;
    pg_queue_init(&failures.list);
    read->since_us = clock_monotonic_us();
    read->tries = 0;
    pthread_mutex_lock(&reader->lock);
    if (read->params && read->params->failed) {
        pg_failures_add(&failures, read, PG_FATE_PARAMETERS);
    } else if (reader->waiting == QUEUE_MAX) {
        pg_failures_add(&failures, read, PG_FATE_BUSY);
    } else {
        pg_queue_push_back(queue_of(reader, read), read);
        reader->waiting++;
        send_waiting(reader, &failures);
    }
    pthread_mutex_unlock(&reader->lock);
    pg_failures_tell(&failures);
}

/* --- receiving --- */

struct haul {
    struct outcome outcomes[GROUP_MAX];
    unsigned count;
    struct pg_read *again[GROUP_MAX];
    unsigned again_count;
    error failure; /* of the one outcome without a result */
};

static void take_outcome(struct haul *haul, struct link *link, PGresult *result)
{
    struct pg_read *read = link->group[link->answered++];
    if (read)
        haul->outcomes[haul->count++] = (struct outcome){read, (pg_result *)result};
    else
        PQclear(result);
}

static void take_failure(struct haul *haul, struct link *link, const error *err)
{
    if (!link->failed) {
        link->failed = true;
        haul->failure = *err;
        take_outcome(haul, link, NULL);
        return;
    }
    struct pg_read *read = link->group[link->answered++];
    if (read)
        haul->again[haul->again_count++] = read;
}

/* Takes what has come; *ret_over: that is all. False: the connection is lost. */
static bool receive(struct link *link, struct haul *haul, bool *ret_over, error *err)
{
    *ret_over = false;
    if ((link->rest && !pg_conn_flush(link->conn, &link->rest, err)) || !pg_conn_consume(link->conn, err))
        return false;
    for (;;) {
        PGresult *result;
        switch (pg_conn_step(link->conn, &result, err)) {
        case PG_STEP_WAIT:
            return true;
        case PG_STEP_RESULT:
            take_outcome(haul, link, result);
            break;
        case PG_STEP_FAILED:
            if (!pg_conn_usable(link->conn))
                return false;
            take_failure(haul, link, err);
            break;
        case PG_STEP_SYNCED:
            *ret_over = true;
            return true;
        case PG_STEP_LOST:
            return false;
        }
    }
}

/* One failed statement ends what was sent together: those behind it are run again, in their order. */
static void run_again(pg_reader *reader, const struct haul *haul)
{
    for (unsigned i = haul->again_count; i-- > 0;)
        pg_queue_push_front(queue_of(reader, haul->again[i]), haul->again[i]);
    reader->waiting += haul->again_count;
}

static void tell_outcomes(const struct haul *haul)
{
    for (unsigned i = 0; i < haul->count; i++) {
        const struct outcome *outcome = &haul->outcomes[i];
        outcome->read->done(outcome->read, outcome->result, outcome->result ? NULL : &haul->failure);
    }
}

/* With the lock, which it gives up. The next group is on its way before this one is told. */
static void serve(pg_reader *reader, struct link *link)
{
    struct haul haul;
    struct pg_failures failures;
    error err;
    bool over;
    pg_queue_init(&failures.list);
    haul.count = haul.again_count = 0;
    link->held = true;
    pthread_mutex_unlock(&reader->lock);
    bool good = receive(link, &haul, &over, &err);
    pthread_mutex_lock(&reader->lock);
    run_again(reader, &haul);
    if (good) {
        link->moved_us = clock_monotonic_us();
        if (over) {
            link->state = LINK_IDLE;
            link->kept = true;
        }
        let_go(reader, link, true);
    } else {
        lose(reader, link, &err, &failures);
    }
    send_waiting(reader, &failures);
    pthread_mutex_unlock(&reader->lock);
    tell_outcomes(&haul);
    pg_failures_tell(&failures);
}

/* --- time --- */

/* Nobody waits longer than to its deadline; the connection is kept as long as the server may still answer. */
static void expire_link(pg_reader *reader, struct link *link, int64_t now_us, struct pg_failures *failures)
{
    for (unsigned i = link->answered; i < link->count; i++) {
        if (link->group[i] && pg_read_is_late(link->group[i], now_us)) {
            pg_failures_add(failures, link->group[i], PG_FATE_LATE);
            link->group[i] = NULL;
        }
    }
    if (now_us - link->moved_us > reader->options.statement_timeout_us + PG_ANSWER_GRACE) {
        error err;
        error_set(&err, STATUS_DEADLINE_EXCEEDED, "DATABASE_SLOW", "the database took too long");
        error_add_detail(&err, "no answer in time");
        lose(reader, link, &err, failures);
    }
}

static void tick(pg_reader *reader)
{
    struct pg_failures failures;
    uint64_t ticks;
    pg_queue_init(&failures.list);
    ssize_t got = read(reader->timer, &ticks, sizeof ticks);
    (void)got; /* not blocking: another thread may have been faster */
    int64_t now_us = clock_monotonic_us();
    pthread_mutex_lock(&reader->lock);
    reader->ticking = false;
    reader->waiting -= pg_queue_expire(&reader->quick, now_us, &failures);
    reader->waiting -= pg_queue_expire(&reader->slow, now_us, &failures);
    for (unsigned i = 0; i < reader->size; i++)
        if (reader->links[i].state == LINK_BUSY && !reader->links[i].held)
            expire_link(reader, &reader->links[i], now_us, &failures);
    send_waiting(reader, &failures);
    pthread_mutex_unlock(&reader->lock);
    pg_failures_tell(&failures);
}

/* --- threads --- */

/* Something is there to read, there is room to write, or an idle connection has ended. */
static void on_socket(pg_reader *reader, struct link *link)
{
    pthread_mutex_lock(&reader->lock);
    if (link->held) {
        link->missed = true;
    } else if (link->state == LINK_BUSY) {
        serve(reader, link);
        return;
    } else if (link->state == LINK_IDLE) { /* a server that speaks unasked says goodbye */
        pg_conn_close(link->conn);
        *link = (struct link){.state = LINK_NONE};
    }
    pthread_mutex_unlock(&reader->lock);
}

static void *watch(void *argument)
{
    pg_reader *reader = argument;
    for (;;) {
        struct epoll_event event;
        if (epoll_wait(reader->events, &event, 1, -1) != 1)
            continue;
        if (event.data.ptr == &reader->stop)
            return NULL;
        if (event.data.ptr == &reader->timer)
            tick(reader);
        else
            on_socket(reader, event.data.ptr);
    }
}

static bool any_alive(const pg_reader *reader)
{
    for (unsigned i = 0; i < reader->size; i++)
        if (reader->links[i].conn)
            return true;
    return false;
}

static void give_up_all(pg_reader *reader, const error *err, struct pg_failures *failures)
{
    failures->lost = *err;
    for (; reader->quick.first; reader->waiting--)
        pg_failures_add(failures, pg_queue_pop(&reader->quick), PG_FATE_LOST);
    for (; reader->slow.first; reader->waiting--)
        pg_failures_add(failures, pg_queue_pop(&reader->slow), PG_FATE_LOST);
}

/* With the lock, which it gives up in between. */
static void open_link(pg_reader *reader, struct link *link)
{
    struct pg_failures failures;
    pg_conn *conn;
    error err;
    pg_queue_init(&failures.list);
    link->state = LINK_OPENING;
    pthread_mutex_unlock(&reader->lock);
    bool good = pg_conn_open_planned(&reader->options, &conn, &err);
    pthread_mutex_lock(&reader->lock);
    if (good) {
        *link = (struct link){.conn = conn, .state = LINK_IDLE};
        arm(reader, link, EPOLL_CTL_ADD);
        send_waiting(reader, &failures);
        link->kept = link->kept || link->state == LINK_IDLE;
    } else {
        link->state = LINK_NONE;
        if (!any_alive(reader))
            give_up_all(reader, &err, &failures);
    }
    pthread_mutex_unlock(&reader->lock);
    pg_failures_tell(&failures);
    pthread_mutex_lock(&reader->lock);
}

/* Opening waits for the server: on a thread of its own. */
static void *open_links(void *argument)
{
    pg_reader *reader = argument;
    pthread_mutex_lock(&reader->lock);
    while (!reader->stopping) {
        struct link *link = reader->wants ? find_link(reader, LINK_NONE) : NULL;
        reader->wants = false;
        if (link)
            open_link(reader, link);
        else
            pthread_cond_wait(&reader->wanted, &reader->lock);
    }
    pthread_mutex_unlock(&reader->lock);
    return NULL;
}

static bool listen_to(const pg_reader *reader, int fd, void *mark, uint32_t events)
{
    struct epoll_event event = {.events = events, .data = {.ptr = mark}};
    return fd >= 0 && epoll_ctl(reader->events, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool start(pg_reader *reader)
{
    reader->events = epoll_create1(EPOLL_CLOEXEC);
    reader->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    reader->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (reader->events < 0 || !listen_to(reader, reader->timer, &reader->timer, EPOLLIN | EPOLLET) ||
        !listen_to(reader, reader->stop, &reader->stop, EPOLLIN))
        return false;
    for (; reader->thread_count <= THREADS; reader->thread_count++)
        if (pthread_create(&reader->threads[reader->thread_count], NULL,
                           reader->thread_count < THREADS ? watch : open_links, reader) != 0)
            return false;
    return true;
}

bool pg_reader_new(const struct pg_options *options, unsigned size, pg_reader **ret_reader, error *err)
{
    size = size ? size : 1;
    pg_reader *reader = calloc(1, sizeof *reader + size * sizeof *reader->links);
    if (!reader)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "out of memory");
    reader->options = *options;
    if (!reader->options.statement_timeout_us)
        reader->options.statement_timeout_us = PG_STATEMENT_TIMEOUT;
    reader->size = size;
    pg_queue_init(&reader->quick);
    pg_queue_init(&reader->slow);
    pthread_mutex_init(&reader->lock, NULL);
    pthread_cond_init(&reader->wanted, NULL);
    if (!start(reader)) {
        pg_reader_free(reader);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "MEMORY", "cannot start the reading threads");
    }
    *ret_reader = reader;
    return true;
}

static void close_all(pg_reader *reader)
{
    for (unsigned i = 0; i < reader->size; i++)
        pg_conn_close(reader->links[i].conn);
    const int fds[] = {reader->stop, reader->timer, reader->events};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

void pg_reader_free(pg_reader *reader)
{
    if (!reader)
        return;
    pthread_mutex_lock(&reader->lock);
    reader->stopping = true;
    pthread_cond_signal(&reader->wanted);
    pthread_mutex_unlock(&reader->lock);
    if (reader->stop >= 0)
        eventfd_write(reader->stop, 1);
    for (unsigned i = 0; i < reader->thread_count; i++)
        pthread_join(reader->threads[i], NULL);
    close_all(reader);
    pthread_cond_destroy(&reader->wanted);
    pthread_mutex_destroy(&reader->lock);
    free(reader);
}
