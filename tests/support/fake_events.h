#ifndef CASEWORK_TESTS_SUPPORT_FAKE_EVENTS_H
#define CASEWORK_TESTS_SUPPORT_FAKE_EVENTS_H

/*
 * An EventService in this process, on a free loopback port, without a database: a feed that tests write
 * themselves, break and restore. Aborts when it cannot start.
 */

#include "base/arena.h"
#include "base/error.h"
#include "casework/cases/v1/event_service.pb-c.h"

#include <stddef.h>
#include <stdint.h>

typedef struct fake_events fake_events;

/*
 * What BatchGetDocuments answers of a case: `document` is initialised, with case, account and position set.
 * Runs on the server's threads. NULL: every case is missing.
 */
typedef void fake_document(void *context, arena *memory, const char *account, int64_t number,
                           Casework__Cases__V1__Document *document);

fake_events *fake_events_new(fake_document *document, void *context);
void fake_events_free(fake_events *events);

/* "127.0.0.1:port" */
const char *fake_events_target(const fake_events *events);

/* Adds an event of a case (number 0: none) or of a resource (a full name; NULL: none), and sends it. Its
 * position. */
int64_t fake_events_add(fake_events *events, const char *account, int64_t number,
                        Casework__Cases__V1__EventKind kind, const char *resource);

/* Ends all streams with UNAVAILABLE. */
void fake_events_break(fake_events *events);

/* Every stream starts this many events before the position asked for: deliveries that come twice. */
void fake_events_repeat(fake_events *events, int64_t count);

/* Reads of more cases than this at once are refused with UNAVAILABLE; 0: none is. */
void fake_events_refuse_above(fake_events *events, size_t count);

/* Another database: no events, a new epoch; all streams end. */
void fake_events_restore(fake_events *events, const char *epoch);

/* How many reads were refused, documents and snapshots have been read, and how many streams of events opened.
 */
size_t fake_events_reads_refused(fake_events *events);
size_t fake_events_documents_read(fake_events *events);
size_t fake_events_snapshots_read(fake_events *events);
size_t fake_events_streams_opened(fake_events *events);

#endif
