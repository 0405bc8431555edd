#ifndef CASEWORK_CASE_STORE_MERGE_H
#define CASEWORK_CASE_STORE_MERGE_H

/*
 * The reads and writes of merges, batches of changes, and timer steps. Private to the store:
 * case_store_read.c and case_store_write.c have them in their tables.
 */

#include "case/case_store.h"

#include <stdbool.h>

/* Of a merged case t: whether the case at the end of its way takes messages, being neither deleted nor of an
 * erased contact. Looked at for merged ones only. */
#define CASE_DESTINATION_LIVES                                                                            \
    "(WITH RECURSIVE w AS (SELECT t.merged_into AS id UNION ALL SELECT n.merged_into FROM w JOIN cases n" \
    " ON n.partition = t.partition AND n.account = t.account AND n.id = w.id WHERE n.merged_into <> 0)"   \
    " SELECT bool_or(n.status <> 6 AND NOT n.erased AND NOT " CASE_IS_BEING_ERASED(                       \
        "n") ") FROM w"                                                                                   \
             " JOIN cases n ON n.partition = t.partition"                                                 \
             " AND n.account = t.account AND n.id = w.id AND n.merged_into = 0)"

enum { STORE_CONVERSATION_COLUMNS = 12 };

extern const struct pg_statement store_read_destinations, store_read_conversations, store_read_merges,
    store_read_batch_results, store_read_timer_steps, store_read_replies;

/* What a row does to its entry. */
bool store_load_conversation(struct overlay *overlay, void *entry, const pg_result *result, int row,
                             error *err);
bool store_load_merge(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err);
bool store_load_batch_result(struct overlay *overlay, void *entry, const pg_result *result, int row,
                             error *err);
bool store_load_timer_step(struct overlay *overlay, void *entry, const pg_result *result, int row,
                           error *err);
bool store_load_reply(struct overlay *overlay, void *entry, const pg_result *result, int row, error *err);

/* Part of case_store_write: behind what changes messages, before what comes after them. */
bool store_write_merges(struct overlay *overlay, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

/* Before new messages are written: their numbers may be those of copies that go. */
bool store_write_left_copies(struct overlay *overlay, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

#endif
