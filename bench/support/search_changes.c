#include "bench/support/search_measure.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The documents that cases have now, and the next one to give out. */
struct documents {
    int64_t *now;
    int64_t next;
    struct search_terms terms;
};

static bool documents_init(struct documents *documents, const char *data)
{
    struct search_data_reader *reader = search_data_open(data, "cases.tsv");
    if (!reader)
        return false;
    *documents = (struct documents){.next = search_data_count(reader)};
    search_data_close(reader);
    documents->now = calloc((size_t)documents->next, sizeof *documents->now);
    for (int64_t i = 0; documents->now && i < documents->next; i++)
        documents->now[i] = i;
    return documents->now != NULL;
}

static bool change(const struct search_peer *peer, struct documents *documents,
                   const struct search_data_case *line)
{
    int64_t *document = &documents->now[line->document], old = *document;
    if (strcmp(line->kind, "delete") == 0)
        return peer->replace(old, NULL);
    if (strcmp(line->kind, "contact") != 0) /* which is no change of the case */
        *document = documents->next++;
    struct search_peer_case now = {*document,
                                   line->number,
                                   line->status,
                                   line->subject,
                                   search_terms_of(&documents->terms, line->account, line->words),
                                   line->account,
                                   line->words};
    return peer->replace(old, &now);
}

/* --- each kind by itself --- */

struct kind {
    char name[SEARCH_DATA_NAME];
    int64_t count, start_ns, cpu_us;
    struct search_samples *samples;
};

static bool report(const struct search_peer *peer, const struct kind *kind)
{
    if (kind->count == 0)
        return true;
    double cpu = (double)(search_cpu_us(peer) - kind->cpu_us),
           wall = (double)(search_now_ns() - kind->start_ns) / 1000;
    search_print_head(peer, "update", kind->name);
    search_samples_print(kind->samples);
    printf(", \"changes\": %lld, \"cpu_us\": %.2f, \"wall_us\": %.2f}\n", (long long)kind->count,
           cpu / (double)kind->count, wall / (double)kind->count);
    return true;
}

static bool start_kind(const struct search_peer *peer, struct kind *kind, const char *name)
{
    search_samples_free(kind->samples);
    *kind = (struct kind){
        .start_ns = search_now_ns(), .cpu_us = search_cpu_us(peer), .samples = search_samples_new()};
    snprintf(kind->name, sizeof kind->name, "%s", name);
    return kind->samples != NULL;
}

/* A contact's cases are changed as one, all others each by itself. */
static bool change_timed(const struct search_peer *peer, struct documents *documents, struct kind *kind,
                         const struct search_data_case *line)
{
    bool together = strcmp(line->kind, "contact") == 0;
    int64_t start = search_now_ns();
    kind->count++;
    if (together)
        return (kind->count > 1 || peer->begin()) && change(peer, documents, line);
    if (!peer->begin() || !change(peer, documents, line) || !peer->commit())
        return false;
    search_samples_add(kind->samples, search_now_ns() - start);
    return true;
}

static bool end_kind(const struct search_peer *peer, struct kind *kind)
{
    if (strcmp(kind->name, "contact") == 0 && kind->count > 0) {
        if (!peer->commit())
            return false;
        search_samples_add(kind->samples, search_now_ns() - kind->start_ns);
    }
    return (kind->count == 0 || !peer->settle || peer->settle()) && report(peer, kind);
}

bool search_changes_update(const struct search_peer *peer, const char *place, const char *data, int64_t count)
{
    struct documents documents;
    struct kind kind = {0};
    struct search_data_case line;
    struct search_data_reader *reader = search_data_open(data, "updates.tsv");
    if (!reader || !documents_init(&documents, data) || !peer->open(place, false))
        return false;
    bool done = true;
    while (done && search_data_next(reader, &line)) {
        if (strcmp(line.kind, "mixed") == 0)
            break;
        if (strcmp(line.kind, kind.name) != 0)
            done = end_kind(peer, &kind) && start_kind(peer, &kind, line.kind);
        if (done && (kind.count < count || strcmp(line.kind, "contact") == 0))
            done = change_timed(peer, &documents, &kind, &line);
    }
    done = done && end_kind(peer, &kind);
    search_samples_free(kind.samples);
    search_data_close(reader);
    free(documents.terms.text);
    free(documents.now);
    peer->close();
    return done;
}

/* --- nine queries to one change, open loop --- */

struct mixed {
    const struct search_peer *peer;
    struct search_queries all;
    struct search_samples *queries, *changes;
    struct documents documents;
    search_data_reader *reader;
    int64_t start_ns, end_ns;
    double queries_per_second, changes_per_second;
    bool failed;
};

/* Waits for the time of call number `i`; false after the end. */
static bool next_time(const struct mixed *mixed, double rate, int64_t i, int64_t *ret_due)
{
    int64_t due = mixed->start_ns + (int64_t)((double)i * 1e9 / rate);
    if (due >= mixed->end_ns)
        return false;
    int64_t left = due - search_now_ns();
    if (left > 0) {
        struct timespec until = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    *ret_due = due;
    return true;
}

/* These have a page in common use; the others are one class in seven each. */
static bool in_mix(const char *name)
{
    return strcmp(name, "small") != 0;
}

static void *run_changes(void *argument)
{
    struct mixed *mixed = argument;
    struct search_data_case line;
    int64_t due;
    for (int64_t i = 0; next_time(mixed, mixed->changes_per_second, i, &due); i++) {
        do {
            if (!search_data_next(mixed->reader, &line))
                return NULL; /* no more changes in the corpus */
        } while (strcmp(line.kind, "mixed") != 0);
        if (!mixed->peer->begin() || !change(mixed->peer, &mixed->documents, &line) ||
            !mixed->peer->commit()) {
            mixed->failed = true;
            return NULL;
        }
        search_samples_add(mixed->changes, search_now_ns() - due);
    }
    return NULL;
}

static void run_queries(struct mixed *mixed)
{
    static struct search_peer_answer answer;
    size_t at = 0;
    int64_t due;
    for (int64_t i = 0; next_time(mixed, mixed->queries_per_second, i, &due); i++) {
        do
            at = (at + 41) % mixed->all.count; /* steps through the classes */
        while (!in_mix(mixed->all.names[at]));
        if (!mixed->peer->query(&mixed->all.queries[at], &answer)) {
            mixed->failed = true;
            return;
        }
        search_samples_add(mixed->queries, search_now_ns() - due);
    }
}

bool search_changes_mixed(const struct search_peer *peer, const char *place, const char *data, double seconds,
                          double rate)
{
    static struct mixed mixed;
    pthread_t writer;
    mixed = (struct mixed){.peer = peer,
                           .queries = search_samples_new(),
                           .changes = search_samples_new(),
                           .reader = search_data_open(data, "updates.tsv"),
                           .queries_per_second = rate * 0.9,
                           .changes_per_second = rate * 0.1};
    if (!mixed.queries || !mixed.changes || !mixed.reader || !search_queries_read(data, &mixed.all) ||
        !documents_init(&mixed.documents, data) || !peer->open(place, false))
        return false;
    mixed.start_ns = search_now_ns();
    mixed.end_ns = mixed.start_ns + (int64_t)(seconds * 1e9);
    if (pthread_create(&writer, NULL, run_changes, &mixed) != 0)
        return false;
    run_queries(&mixed);
    pthread_join(writer, NULL);
    search_print_head(peer, "mixed", "queries");
    search_samples_print(mixed.queries);
    printf(", \"rate\": %.0f}\n", mixed.queries_per_second);
    search_print_head(peer, "mixed", "changes");
    search_samples_print(mixed.changes);
    printf(", \"rate\": %.0f}\n", mixed.changes_per_second);
    peer->close();
    return !mixed.failed;
}
