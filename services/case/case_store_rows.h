#ifndef CASEWORK_CASE_STORE_ROWS_H
#define CASEWORK_CASE_STORE_ROWS_H

/* What the writes of a batch are made of: rows that become the arrays of one statement. Private to the store.
 */

#include "case/case_store.h"

#include <stdbool.h>
#include <stddef.h>

enum { STORE_COLUMNS_MAX = 48 };

/*
 * The arrays of one statement, filled row by row: rows_begin_row, then put_… column by column, then the row's
 * end. The first two columns, $1::int2[] and $2::text[], are the partition and the account of every row.
 */
struct rows {
    struct overlay *overlay;
    const enum pg_type *types;
    pg_params params;
    pg_array *columns[STORE_COLUMNS_MAX];
    size_t count, at;
    size_t row_count;
    int partition; /* of the row */
};

/* `types` are those of the columns after the first two; they must live as long as rows are put in. */
void rows_begin(struct rows *rows, struct overlay *overlay, const enum pg_type *types, size_t count);

#define ROWS_BEGIN(rows, overlay, ...)                             \
    rows_begin(rows, overlay, (const enum pg_type[]){__VA_ARGS__}, \
               sizeof((const enum pg_type[]){__VA_ARGS__}) / sizeof(enum pg_type))

/* A row of that account. */
void rows_begin_row(struct rows *rows, const char *account);
void rows_put_text(struct rows *rows, const char *text);
void rows_put_int(struct rows *rows, int64_t value);
void rows_put_bool(struct rows *rows, bool value);
void rows_put_time(struct rows *rows, int64_t time_us);
void rows_put_now(struct rows *rows); /* business time of the row's partition */
void rows_put_list(struct rows *rows, const struct text_list *list);
void rows_put_bytes(struct rows *rows, const void *data, size_t length);
void rows_end_row(struct rows *rows);

/* Queues the statement, unless there is no row. */
bool rows_write(struct rows *rows, const struct pg_statement *statement, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

/* Does the entry have to be written at all? */
bool entry_is_written(const struct entry *entry);

/* Attachments as they are stored: file name, content type, size, uri of each, one after the other. False:
 * arena full. */
bool rows_flat_attachments(arena *memory, const struct message_record *message, struct text_list *ret_flat);

/* The parts of case_store_write. */
bool store_write_directory(struct overlay *overlay, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));
bool store_write_cases(struct overlay *overlay, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));
bool store_write_counts(struct overlay *overlay, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));
bool store_write_outgoing(struct overlay *overlay, pg_batch *batch, error *err)
    __attribute__((warn_unused_result));

#endif
