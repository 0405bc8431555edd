#ifndef CASEWORK_TESTS_SUPPORT_ERASE_SCENE_H
#define CASEWORK_TESTS_SUPPORT_ERASE_SCENE_H

/*
 * A suite with a contact of whom everything is known that can be: each field that a contact, a connector or a
 * service fills for one has a mark of its own. What cannot be done ends the test.
 */

#include "base/arena.h"
#include "casework/cases/v1/import_service.pb-c.h"
#include "pg/pg.h"
#include "tests/support/suite.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A mark is "mk", two digits, and this: never long enough to be compressed, and nothing else looks like it.
 */
#define ERASE_MARK_TAIL "zq7x"

enum { ERASE_SCENE_MEMORY = 64 << 20, ERASE_MARKS_MAX = 99 };

struct erase_scene {
    suite *s;
    arena *memory; /* of all answers */
    const char *account, *channel, *contact;
    const char *cases[5]; /* the contact's */
    size_t case_count;
    const char *other; /* a case of somebody else, who stays */
    unsigned marks;    /* so many have been given */
    bool plain;        /* texts get no marks for a while */
};

/* With an account, an agent anna and a channel. */
struct erase_scene scene_begin(void);
void scene_end(struct erase_scene *scene);
void scene_create_channel(struct erase_scene *scene);

/* Fills in everything. The answer: what was imported. */
Casework__Cases__V1__Conversation *scene_plant(struct erase_scene *scene);

/* Calls that have to succeed. */
void *scene_call(struct erase_scene *scene, const ProtobufCServiceDescriptor *service, const char *method,
                 const void *request);
const char *scene_receive(struct erase_scene *scene, const char *sender, const char *body);
Casework__Cases__V1__Conversation *scene_conversation(struct erase_scene *scene, const char *address);
Casework__Cases__V1__ImportConversationsResponse *scene_import(
    struct erase_scene *scene, Casework__Cases__V1__Conversation *conversation);
void scene_erase(struct erase_scene *scene);
void scene_await_erased(struct erase_scene *scene);

/* How many cases search finds by the word; the rows of the day's report, as one text. */
uint64_t scene_search(struct erase_scene *scene, const char *word);
char *scene_activity(struct erase_scene *scene);

/* A service's database: a connection of the caller's own, the text that a statement answers, a script. */
pg_conn *scene_connect(struct erase_scene *scene, enum suite_service service);
char *scene_ask(struct erase_scene *scene, pg_conn *conn, const char *sql);
void scene_run(pg_conn *conn, const char *sql);

/* VACUUM FULL, and statistics. */
void scene_vacuum(struct erase_scene *scene);

#endif
