#include "tests/support/lock_client.h"

#include "base/clock.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "tests/support/case_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MILLISECOND (CLOCK_SECOND / 1000)
#define ATTACH_TIMEOUT (300 * MILLISECOND) /* a replica that stands still is not waited for */

enum { MEMORY_MAX = 1 << 20, NEWS_MAX = 32 };

static struct lock_note *note(struct lock_client *c, enum lock_note_kind kind, int case_index)
{
    struct lock_note new = {.kind = kind, .case_index = case_index, .end_us = clock_monotonic_us()};
    snprintf(new.session, sizeof new.session, "%s", c->session);
    snprintf(new.agent, sizeof new.agent, "%s", c->agent);
    lock_history_note(&c->notes, &new);
    return &c->notes.notes[c->notes.note_count - 1];
}

static void note_leaving(struct lock_client *c, enum lock_leaving leaving, int case_index)
{
    struct lock_note *left = note(c, LOCK_NOTE_LEFT, case_index);
    left->leaving = leaving;
    left->start_us = left->end_us;
}

static void name_holder(struct lock_note *note, const char *resource)
{
    const char *slash = strrchr(resource, '/');
    snprintf(note->agent, sizeof note->agent, "%s", slash ? slash + 1 : resource);
}

static int find_case(const struct lock_bench *bench, const char *name)
{
    for (int i = 0; i < LOCK_CASES; i++) {
        if (strcmp(bench->cases[i], name) == 0)
            return i;
    }
    return -1;
}

/* --- the stream -------------------------------------------------------------------------------------------
 */

static void pause_for(struct lock_client *c, int64_t duration_us)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000000};
    int64_t until = clock_monotonic_us() + duration_us;
    while (!c->bench->over && clock_monotonic_us() < until)
        nanosleep(&pause, NULL);
}

static void place(struct lock_client *c, int replica)
{
    pthread_mutex_lock(&c->lock);
    c->replica = replica;
    if (replica >= 0)
        snprintf(c->session, sizeof c->session, "%s", c->stream.session);
    pthread_mutex_unlock(&c->lock);
}

static void take_stream(struct lock_client *c, const struct session_client *stream, int64_t began_us,
                        int replica)
{
    c->stream = *stream;
    c->stream_us = began_us;
    c->fresh = !stream->resumed;
    memcpy(c->token, stream->token, sizeof c->token);
    memset(c->asked, 0, sizeof c->asked);
    memset(c->granted, 0, sizeof c->granted);
    place(c, replica);
    if (stream->resumed)
        note_leaving(c, LOCK_CAME_BACK, -1);
}

/* At one replica or another. The former stream, if there is one, breaks afterwards. */
static void attach(struct lock_client *c)
{
    const struct lock_bench *bench = c->bench;
    struct session_client former = c->stream, stream;
    while (!bench->over) {
        int replica = (int)script_pick(&c->random, bench->replicas->count);
        int64_t began_us = clock_monotonic_us();
        error err = {0};
        if (session_client_try_for(&stream, bench->replicas->channels[replica], bench->account, c->agent,
                                   c->token[0] ? c->token : NULL, ATTACH_TIMEOUT, &err)) {
            take_stream(c, &stream, began_us, replica);
            break;
        }
        pause_for(c, 20 * MILLISECOND);
    }
    if (former.memory)
        session_client_break(&former);
    if (bench->over && c->stream.memory == former.memory)
        c->stream = (struct session_client){0};
}

static void break_stream(struct lock_client *c)
{
    session_client_break(&c->stream);
    c->stream = (struct session_client){0};
    place(c, -1);
}

static void hear_opened(struct lock_client *c, int i,
                        const Casework__Cases__V1__AttachResponse__TabOpened *told)
{
    bool tight = c->fresh && c->asked[i] > 0;
    c->granted[i] = 0;
    if (told->lock) {
        struct lock_note *seen = note(c, LOCK_NOTE_SEEN, i);
        name_holder(seen, told->lock->agent);
        seen->token = told->lock->token;
        seen->start_us = tight ? c->asked_us[i] : c->stream_us;
    }
    c->asked[i] -= c->asked[i] > 0;
}

static void hear(struct lock_client *c, const session_news *news)
{
    int i = find_case(c->bench, session_news_case(news));
    struct lock_note *told;
    switch ((int)news->response_case) {
    case SESSION_NEWS(TAB_OPENED):
        hear_opened(c, i, news->tab_opened);
        break;
    case SESSION_NEWS(LOCK_GRANTED):
        told = note(c, LOCK_NOTE_GRANTED, i);
        told->token = c->granted[i] = news->lock_granted->token;
        told->start_us = c->stream_us;
        break;
    case SESSION_NEWS(LOCK_LOST):
        if (!c->granted[i])
            snprintf(c->strange, sizeof c->strange, "lock_lost of what was not granted");
        told = note(c, LOCK_NOTE_LOST, i);
        told->token = c->granted[i];
        told->start_us = c->stream_us;
        c->granted[i] = 0;
        break;
    case SESSION_NEWS(TAB_CLOSED):
        c->granted[i] = 0;
        break;
    case SESSION_NEWS(REFUSED):
        snprintf(c->strange, sizeof c->strange, "refused: %s %s", news->refused->reason,
                 news->refused->message);
        break;
    default:
        break;
    }
}

/* Whoever loses the stream comes back, some of them late. */
static void listen(struct lock_client *c)
{
    int64_t timeout = (2 + script_pick(&c->random, 25)) * MILLISECOND;
    bool ended = false;
    for (int i = 0; i < NEWS_MAX && !ended; i++) {
        const session_news *news = session_client_next(&c->stream, timeout, &ended);
        if (!news)
            break;
        hear(c, news);
        timeout = 0;
    }
    if (!ended)
        return;
    break_stream(c);
    if (script_pick(&c->random, 100) < 40)
        pause_for(c, (1 + script_pick(&c->random, 3)) * c->bench->grace_us + CLOCK_SECOND / 2);
    attach(c);
}

/* --- what it does -----------------------------------------------------------------------------------------
 */

static void take_answer(struct lock_client *c, struct lock_note *written, const error *err)
{
    written->outcome = LOCK_WRITE_UNKNOWN;
    if (strcmp(err->reason, "CASE_LOCKED") == 0) {
        written->outcome = LOCK_WRITE_REFUSED;
        name_holder(written, err->info[0].value);
    } else if (err->code != STATUS_UNAVAILABLE && err->code != STATUS_DEADLINE_EXCEEDED &&
               err->code != STATUS_UNKNOWN) {
        snprintf(c->strange, sizeof c->strange, "%s %s", err->reason, err->message);
    }
}

static void write_note(struct lock_client *c, int i)
{
    struct lock_bench *bench = c->bench;
    const struct rpc_client_options options = {.timeout_us =
                                                   (200 + script_pick(&c->random, 1000)) * MILLISECOND,
                                               .agent = c->agent,
                                               .session = c->session,
                                               .no_retry = true};
    Casework__Cases__V1__Message message = CASEWORK__CASES__V1__MESSAGE__INIT;
    Casework__Cases__V1__AddMessageRequest request = CASEWORK__CASES__V1__ADD_MESSAGE_REQUEST__INIT;
    rpc_channel *channel = bench->replicas->channels[script_pick(&c->random, bench->replicas->count)];
    arena *memory = arena_new(MEMORY_MAX);
    ProtobufCMessage *response;
    char body[16];
    error err = {0};
    int number = ++bench->writes;
    snprintf(body, sizeof body, "%d", number);
    message.kind = CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_NOTE;
    message.body = body;
    request.parent = (char *)(uintptr_t)bench->cases[i];
    request.message = &message;
    int64_t start_us = clock_monotonic_us();
    bool done = rpc_client_call(channel, &casework__cases__v1__message_service__descriptor, "AddMessage",
                                &request.base, &options, memory, &response, &err);
    struct lock_note *written = note(c, LOCK_NOTE_WRITE, i);
    written->write = number;
    written->start_us = start_us;
    if (done)
        written->known = ((Casework__Cases__V1__AddMessageResponse *)response)->position;
    else
        take_answer(c, written, &err);
    arena_free(memory);
}

static void open_tab(struct lock_client *c, int i)
{
    if (c->asked[i]++ == 0)
        c->asked_us[i] = clock_monotonic_us();
    (void)!session_client_open(&c->stream, c->bench->cases[i]); /* an ended stream is heard of in listen() */
}

static void cut(struct lock_client *c, int64_t away_us)
{
    note_leaving(c, LOCK_LEFT_CUT, -1);
    break_stream(c);
    pause_for(c, away_us);
    attach(c);
}

static void log_out(struct lock_client *c)
{
    note_leaving(c, LOCK_LEFT_LOG_OUT, -1);
    (void)!session_client_log_out(&c->stream);
    session_client_await_end(&c->stream, CLOCK_SECOND);
    break_stream(c);
    if (script_pick(&c->random, 2))
        c->token[0] = '\0';
    attach(c);
}

/* Holders do things where they hold, mostly. */
static int choose_case(struct lock_client *c)
{
    int i = (int)script_pick(&c->random, LOCK_CASES);
    for (int tries = 0; tries < 2 && !c->granted[i]; tries++)
        i = (i + 1) % LOCK_CASES;
    return i;
}

/* Holders leave more often: that is when something is to be seen. In thousandths of steps. */
static bool leave(struct lock_client *c)
{
    bool holds = false;
    for (int k = 0; k < LOCK_CASES; k++)
        holds = holds || c->granted[k];
    unsigned chance = script_pick(&c->random, holds ? 1000 : 4000);
    if (chance < 20) {
        int i = choose_case(c);
        note_leaving(c, LOCK_LEFT_TAB, i);
        (void)!session_client_close(&c->stream, c->bench->cases[i]);
    } else if (chance < 40) {
        cut(c, script_pick(&c->random, (unsigned)c->bench->grace_us));
    } else if (chance < 55) {
        attach(c);
    } else if (chance < 115) {
        cut(c, c->bench->grace_us + script_pick(&c->random, (unsigned)c->bench->grace_us));
    } else if (chance < 130) {
        log_out(c);
    } else {
        return false;
    }
    return true;
}

static void *run(void *argument)
{
    struct lock_client *c = argument;
    attach(c);
    while (!c->bench->over && !c->strange[0]) {
        unsigned chance = script_pick(&c->random, 100);
        listen(c);
        if (c->bench->over || (!c->calm && leave(c)))
            continue;
        if (chance < 60)
            write_note(c, choose_case(c));
        else if (chance < 85)
            open_tab(c, (int)script_pick(&c->random, LOCK_CASES));
    }
    if (c->stream.memory)
        session_client_break(&c->stream);
    return NULL;
}

void lock_client_start(struct lock_client *c)
{
    pthread_mutex_init(&c->lock, NULL);
    c->replica = -1;
    if (pthread_create(&c->thread, NULL, run, c) != 0)
        abort();
}

void lock_client_join(struct lock_client *c)
{
    pthread_join(c->thread, NULL);
    pthread_mutex_destroy(&c->lock);
}
