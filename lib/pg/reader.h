#ifndef CASEWORK_PG_READER_H
#define CASEWORK_PG_READER_H

/*
 * Reads that no thread waits for. A read is handed in and its result is handed back on one of a few threads
 * that watch all connections:
 *
 *     struct lookup { struct pg_read read; pg_params params; … };
 *     lookup->read = (struct pg_read){.statement = &case_get, .params = &lookup->params, .done = found};
 *     pg_reader_submit(reader, &lookup->read);
 *
 * An idle connection is sent a read at once, by the thread that hands it in. While the connections are busy,
 * what is `quick` gathers and goes out together, in one flush; all other statements have a connection each
 * while they run, and leave one for the quick ones. Reads are of READ COMMITTED and of no common transaction.
 *
 * A failure is one read's: what was sent together with it and behind it is run again. So is what was in
 * flight when a connection is lost that was not opened for it: statements must be harmless when run twice.
 * Errors are those of pg.h; RESOURCE_EXHAUSTED also when too many reads wait.
 */

#include "pg/pg.h"

typedef struct pg_reader pg_reader;

/* One read. It and what it points to belong to the reader until `done` is called. */
struct pg_read {
    const struct pg_statement *statement;
    const pg_params *params; /* NULL: none */
    int64_t deadline_us;     /* of clock_monotonic_us; 0 or INT64_MAX: none, but for the statement timeout */

    /*
     * Called exactly once, on any thread, also on the one that submits; must not block. NULL: err tells why
     * there is no result. The result is the callee's.
     */
    void (*done)(struct pg_read *read, pg_result *result, const error *err);

    /* Does anybody still want it? Asked before it is sent; must not block. NULL: yes. */
    bool (*is_wanted)(const struct pg_read *read);

    /* The reader's. */
    struct pg_read *next;
    int64_t since_us;
    unsigned tries;
    int fate;
};

/* Nothing is connected yet. `size`: connections at the most. The texts in `options` must outlive the reader.
 */
bool pg_reader_new(const struct pg_options *options, unsigned size, pg_reader **ret_reader, error *err)
    __attribute__((warn_unused_result));
void pg_reader_free(pg_reader *reader); /* all reads must be done; takes NULL */

void pg_reader_submit(pg_reader *reader, struct pg_read *read);

#endif
