#ifndef CASEWORK_TESTS_SUPPORT_SEARCH_PROGRAM_H
#define CASEWORK_TESTS_SUPPORT_SEARCH_PROGRAM_H

/*
 * The search service as a program, with a data directory or without, against a feed that the test writes: one
 * account, acme, whose cases share a contact, and a judge of what is found. Picks with rand(). What cannot go
 * on fails the test.
 */

#include "casework/search/v1/search_service.pb-c.h"
#include "embedded/process.h"
#include "rpc/client.h"
#include "tests/support/fake_events.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* More than are read at once when a contact changes. */
enum { SEARCH_PROGRAM_CASES = 400, SEARCH_PROGRAM_TEXT = 64 };

struct search_program_case {
    bool there;
    char body[SEARCH_PROGRAM_TEXT];
    int64_t update_time_us;
};

struct search_program {
    char directory[64], log[80], address[32];
    uint16_t metrics_port;
    fake_events *events;
    pthread_mutex_t lock;                                   /* of what follows, until `opened` */
    struct search_program_case cases[SEARCH_PROGRAM_CASES]; /* by number; none has 0 */
    char contact_name[SEARCH_PROGRAM_TEXT];
    bool closed; /* search_program_hang */
    int held;    /* reads that hang */
    pthread_cond_t opened;
    int64_t position; /* of the last event */
    process *program;
    rpc_channel *channel;
    arena *memory;
};

/* The feed, with some hundred events; no program yet. */
void search_program_begin(struct search_program *world);
void search_program_end(struct search_program *world);

/* --- what happens to cases --- */

/* The body of the case's one message; NULL: the case goes. */
void search_program_write(struct search_program *world, int64_t number, const char *body,
                          Casework__Cases__V1__EventKind kind);
void search_program_change(struct search_program *world); /* some case, somehow */
void search_program_rename(struct search_program *world); /* the contact of all cases */

/* Reading a case takes until this is taken back; and until somebody reads. */
void search_program_hang(struct search_program *world, bool hang);
void search_program_await_hanging(struct search_program *world);

/* --- the program --- */

struct search_program_settings {
    const char *inject;  /* CASEWORK_INJECT; NULL: nothing */
    const char *erasure; /* SEARCH_ERASURE_INTERVAL; NULL: 10m */
    bool in_memory;      /* without a data directory */
};

/* `settings` may be NULL. */
void search_program_start(struct search_program *world, const struct search_program_settings *settings);
int search_program_await_end(struct search_program *world); /* its exit status as of waitpid */
void search_program_stop(struct search_program *world);     /* SIGTERM; it must end with 0 */
void search_program_await_serving(struct search_program *world);

/* Starts it and waits until it serves. */
void search_program_serve(struct search_program *world, const struct search_program_settings *settings);
void search_program_pause(void); /* some milliseconds, for loops that wait for a condition */

/* --- what it says --- */

const Casework__Search__V1__SearchCasesResponse *search_program_find(struct search_program *world,
                                                                     const char *query);

/* What it finds is what reading all cases gives, and its own check says so too. */
void search_program_expect_same(struct search_program *world);

/* RebuildIndex of acme to its end. False: the call failed. */
bool search_program_rebuild(struct search_program *world);

/* The value of a line of /metrics that begins so; -1: there is none. */
double search_program_metric(struct search_program *world, const char *name);

/* In how many files of the data directory the text stands. */
int search_program_files_with(const struct search_program *world, const char *text);

#endif
