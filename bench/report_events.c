/*
 * Cases of one account over the last 60 days, as the case service's feed tells of them: for bench/report.sh
 * and bench/export.sh. Two forms, both for COPY … FROM STDIN (FORMAT binary), the same for the same
 * arguments:
 *
 *     report_events feed CASES NOW_US       rows of the case service's `events`
 *     report_events plain CASES NOW_US      the same events with what reports need of them as columns:
 *                                           (position, case_id, kind, time, status, previous_status,
 *                                           create_time, message_kind, agent)
 *     report_events place                   "account partition"
 */

#include "base/clock.h"
#include "casework/cases/v1/event.pb-c.h"
#include "feed/partition.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNT "company-1"
#define PARENT "accounts/" ACCOUNT
#define DAYS 60
#define KIND(name) CASEWORK__CASES__V1__EVENT_KIND__EVENT_KIND_##name
#define STATUS(name) CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_##name
#define MESSAGE(name) CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_##name

/* PostgreSQL counts from 2000 on. */
#define POSTGRES_EPOCH_US INT64_C(946684800000000)

enum { EVENTS_PER_CASE_MAX = 24, DATA_MAX = 4096, AGENTS = 20 };

/* An event of a case, small enough for millions of them. */
struct step {
    int64_t time;
    uint32_t case_id;
    uint8_t kind, status, previous, message; /* message: its kind, or 0 */
    uint8_t agent;                           /* 0: none */
    uint8_t number;                          /* within the case */
    uint8_t classified;
};

struct story {
    struct step *steps;
    size_t count;
    int64_t now;
};

/* Numbers that look random and follow from the case alone. */
static uint64_t dice(uint32_t case_id, unsigned throw)
{
    uint64_t x = ((uint64_t)case_id << 8 | throw) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static int64_t minutes(uint32_t case_id, unsigned throw, int least, int most)
{
    int64_t span = (int64_t)(most - least) * CLOCK_MINUTE;
    return least * CLOCK_MINUTE + (int64_t)(dice(case_id, throw) % (uint64_t)span);
}

/* --- a case's life ---------------------------------------------------------------------------------------
 */

struct life {
    struct story *story;
    struct step at; /* the next event, but for its kind */
};

/* What lies in the future has not happened. */
static void happen(struct life *life, int kind, int status, int message, int agent)
{
    struct step *at = &life->at;
    at->kind = (uint8_t)kind;
    at->previous = at->status;
    at->status = (uint8_t)status;
    at->message = (uint8_t)message;
    at->agent = (uint8_t)agent;
    at->number++;
    if (at->time < life->story->now)
        life->story->steps[life->story->count++] = *at;
}

static void write_message(struct life *life, int message, int agent)
{
    happen(life, KIND(MESSAGE_ADDED), life->at.status, message, agent);
}

static void talk(struct life *life, uint32_t id, int64_t start)
{
    int agent = 1 + (int)(dice(id, 1) % AGENTS);
    happen(life, KIND(CASE_OPENED), STATUS(OPEN), 0, agent);
    if (dice(id, 2) % 10 == 0) /* nobody answers */
        return;
    life->at.time = start + minutes(id, 3, 5, dice(id, 4) % 10 == 0 ? 900 : 90);
    write_message(life, MESSAGE(AGENT), agent);
    for (unsigned turn = 0; turn < dice(id, 5) % 3; turn++) {
        if (dice(id, 10 + turn) % 4 == 0) {
            life->at.time += CLOCK_MINUTE;
            happen(life, KIND(STATUS_CHANGED), STATUS(PENDING), 0, agent);
        }
        life->at.time += minutes(id, 20 + turn, 5, 180);
        write_message(life, MESSAGE(CUSTOMER), 0);
        if (life->at.status != STATUS(OPEN))
            happen(life, KIND(STATUS_CHANGED), STATUS(OPEN), 0, 0);
        life->at.time += minutes(id, 30 + turn, 1, 120);
        write_message(life, MESSAGE(AGENT), dice(id, 40 + turn) % 5 == 0 ? 1 + agent % AGENTS : agent);
    }
}

/* All that moves a case in the activity report happens within 48 hours: no report locks it out. */
static void live(struct story *story, uint32_t id, int64_t start)
{
    struct life life = {.story = story, .at = {.time = start, .case_id = id}};
    happen(&life, KIND(CASE_CREATED), STATUS(NEW), 0, 0);
    write_message(&life, MESSAGE(CUSTOMER), 0);
    life.at.time += CLOCK_MINUTE;
    talk(&life, id, start);
    life.at.classified = (uint8_t)(dice(id, 6) % 8);
    if (life.at.classified > 0)
        happen(&life, KIND(CLASSIFICATIONS_CHANGED), life.at.status, 0, 0);
    life.at.time += minutes(id, 7, 1, 360);
    if (dice(id, 8) % 100 == 0) {
        happen(&life, KIND(CASE_DELETED), STATUS(DELETED), 0, 0);
        return;
    }
    happen(&life, KIND(STATUS_CHANGED), STATUS(RESOLVED), 0, 0);
    if (dice(id, 9) % 20 == 0) {
        life.at.time += minutes(id, 50, 10, 300);
        happen(&life, KIND(STATUS_CHANGED), STATUS(OPEN), 0, 0);
        life.at.time += minutes(id, 51, 10, 300);
        happen(&life, KIND(STATUS_CHANGED), STATUS(RESOLVED), 0, 0);
    }
    life.at.time += 72 * CLOCK_HOUR;
    happen(&life, KIND(CASE_CLOSED), STATUS(CLOSED), 0, 0);
}

static int by_time(const void *a, const void *b)
{
    const struct step *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    if (x->case_id != y->case_id)
        return x->case_id < y->case_id ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static int64_t start_of(uint32_t id, uint32_t cases, int64_t now)
{
    return now - DAYS * CLOCK_DAY + (int64_t)((double)DAYS * CLOCK_DAY * (id - 1) / cases);
}

static struct story tell(uint32_t cases, int64_t now)
{
    struct story story = {.steps = calloc((size_t)cases * EVENTS_PER_CASE_MAX, sizeof *story.steps),
                          .now = now};
    if (story.steps == NULL)
        return story;
    for (uint32_t id = 1; id <= cases; id++)
        live(&story, id, start_of(id, cases, now));
    qsort(story.steps, story.count, sizeof *story.steps, by_time);
    return story;
}

/* --- the feed's form -------------------------------------------------------------------------------------
 */

static void set_time(Google__Protobuf__Timestamp *to, int64_t time)
{
    google__protobuf__timestamp__init(to);
    to->seconds = time / CLOCK_SECOND;
    to->nanos = (int32_t)(time % CLOCK_SECOND) * 1000;
}

static void name_agent(char *to, size_t size, int agent)
{
    snprintf(to, size, agent > 0 ? PARENT "/agents/agent-%d" : "", agent);
}

static size_t pack_first(int64_t time, uint8_t *to)
{
    Casework__Cases__V1__Event event = CASEWORK__CASES__V1__EVENT__INIT;
    Casework__Cases__V1__AccountFacts facts = CASEWORK__CASES__V1__ACCOUNT_FACTS__INIT;
    Google__Protobuf__Timestamp at;
    set_time(&at, time);
    event.partition = feed_partition(ACCOUNT);
    event.position = 1;
    event.account = (char *)PARENT;
    event.kind = KIND(ACCOUNT_CREATED);
    event.event_time = event.commit_time = &at;
    facts.time_zone = (char *)"UTC";
    facts.report_lock_days = 3;
    event.account_facts = &facts;
    return casework__cases__v1__event__pack(&event, to);
}

static size_t pack_step(const struct step *step, int64_t position, int64_t created, uint8_t *to)
{
    Casework__Cases__V1__Event event = CASEWORK__CASES__V1__EVENT__INIT;
    Casework__Cases__V1__CaseFacts facts = CASEWORK__CASES__V1__CASE_FACTS__INIT;
    Casework__Cases__V1__MessageFacts message = CASEWORK__CASES__V1__MESSAGE_FACTS__INIT;
    Casework__Cases__V1__Classification topic = CASEWORK__CASES__V1__CLASSIFICATION__INIT,
                                        *topics[] = {&topic};
    Google__Protobuf__Timestamp at, create;
    static char *labels[] = {(char *)"billing", (char *)"urgent"};
    static const char *const values[] = {"",       "printer", "invoice", "delivery",
                                         "return", "login",   "price",   "other"};
    char name[64], agent[64];
    set_time(&at, step->time);
    set_time(&create, created);
    snprintf(name, sizeof name, PARENT "/cases/%u", step->case_id);
    name_agent(agent, sizeof agent, step->agent);
    event.partition = feed_partition(ACCOUNT);
    event.position = position;
    event.account = (char *)PARENT;
    event.case_ = name;
    event.kind = (Casework__Cases__V1__EventKind)step->kind;
    event.event_time = event.commit_time = &at;
    event.previous_status = (Casework__Cases__V1__CaseStatus)step->previous;
    event.case_facts = &facts;
    facts.status = (Casework__Cases__V1__CaseStatus)step->status;
    facts.channel = (char *)(step->case_id % 3 == 0 ? PARENT "/channels/shop" : PARENT "/channels/email");
    facts.network = (char *)(step->case_id % 3 == 0 ? "whatsapp" : "email");
    facts.channel_address = (char *)(step->case_id % 3 == 0 ? "+31201234567" : "help@example.com");
    facts.labels = labels;
    facts.n_labels = step->case_id % 3;
    topic.group = (char *)"topic";
    topic.value = (char *)values[step->classified];
    facts.classifications = topics;
    facts.n_classifications = step->classified > 0;
    facts.create_time = &create;
    facts.update_time = facts.status_time = &at;
    if (step->message > 0) {
        event.message = &message;
        message.number = step->number;
        message.kind = (Casework__Cases__V1__MessageKind)step->message;
        message.author_agent = agent;
        message.send_time = message.create_time = &at;
    }
    return casework__cases__v1__event__pack(&event, to);
}

/* --- COPY's binary form ----------------------------------------------------------------------------------
 */

static void put(const void *data, size_t length)
{
    uint32_t prefix = htonl((uint32_t)length);
    fwrite(&prefix, sizeof prefix, 1, stdout);
    fwrite(data, 1, length, stdout);
}

static void put_text(const char *text)
{
    put(text, strlen(text));
}

static void put16(int value)
{
    uint16_t big = htobe16((uint16_t)value);
    put(&big, sizeof big);
}

static void put64(int64_t value)
{
    uint64_t big = htobe64((uint64_t)value);
    put(&big, sizeof big);
}

static void put_count(int columns)
{
    uint16_t big = htobe16((uint16_t)columns);
    fwrite(&big, sizeof big, 1, stdout);
}

static void put_event(int64_t position, int64_t case_id, int kind, int64_t time, const uint8_t *data,
                      size_t length)
{
    put_count(7);
    put16(feed_partition(ACCOUNT));
    put64(position);
    put_text(ACCOUNT);
    put64(case_id);
    put16(kind);
    put64(time - POSTGRES_EPOCH_US);
    put(data, length);
}

static void put_plain(const struct step *step, int64_t position, int64_t created)
{
    char agent[32] = "";
    if (step->message == MESSAGE(AGENT))
        snprintf(agent, sizeof agent, "agent-%d", step->agent);
    put_count(9);
    put64(position);
    put64(step->case_id);
    put16(step->kind);
    put64(step->time - POSTGRES_EPOCH_US);
    put16(step->status);
    put16(step->previous);
    put64(created - POSTGRES_EPOCH_US);
    put16(step->message);
    put_text(agent);
}

static int print_all(bool feed, uint32_t cases, int64_t now)
{
    static const char head[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; /* flags, extension: none */
    struct story story = tell(cases, now);
    uint8_t data[DATA_MAX];
    if (story.steps == NULL)
        return 1;
    fwrite(head, 1, sizeof head, stdout);
    if (feed) {
        int64_t start = start_of(1, cases, now);
        put_event(1, 0, KIND(ACCOUNT_CREATED), start, data, pack_first(start, data));
    }
    for (size_t i = 0; i < story.count; i++) {
        const struct step *step = &story.steps[i];
        int64_t position = 2 + (int64_t)i, created = start_of(step->case_id, cases, now);
        if (feed)
            put_event(position, step->case_id, step->kind, step->time, data,
                      pack_step(step, position, created, data));
        else
            put_plain(step, position, created);
    }
    put_count(-1);
    free(story.steps);
    return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "place") == 0) {
        printf("%s %d\n", ACCOUNT, feed_partition(ACCOUNT));
        return 0;
    }
    if (argc == 4 && (strcmp(argv[1], "feed") == 0 || strcmp(argv[1], "plain") == 0))
        return print_all(argv[1][0] == 'f', (uint32_t)strtoul(argv[2], NULL, 10), strtoll(argv[3], NULL, 10));
    fprintf(stderr, "usage: see the head of bench/report_events.c\n");
    return 2;
}
