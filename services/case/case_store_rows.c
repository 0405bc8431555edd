#include "case/case_store_rows.h"

void rows_begin(struct rows *rows, struct overlay *overlay, const enum pg_type *types, size_t count)
{
    rows->overlay = overlay;
    rows->types = types;
    rows->count = count;
    rows->row_count = 0;
}

/* Most statements of a batch get no row: nothing is made for them. */
static void make_columns(struct rows *rows)
{
    rows->at = 0;
    pg_params_init(&rows->params, rows->overlay->memory);
    rows->columns[0] = pg_add_array(&rows->params, PG_INT2);
    rows->columns[1] = pg_add_array(&rows->params, PG_TEXT);
    for (size_t i = 0; i < rows->count; i++)
        rows->columns[i + 2] = pg_add_array(&rows->params, rows->types[i]);
}

static pg_array *next_column(struct rows *rows)
{
    return rows->columns[rows->at++];
}

void rows_begin_row(struct rows *rows, const char *account)
{
    rows->partition = feed_partition(account);
    if (rows->row_count == 0)
        make_columns(rows);
    rows->overlay->feeds[rows->partition].written = true;
    rows_put_int(rows, rows->partition);
    rows_put_text(rows, account);
}

void rows_put_text(struct rows *rows, const char *text)
{
    pg_put_text(next_column(rows), text);
}

void rows_put_int(struct rows *rows, int64_t value)
{
    pg_put_int(next_column(rows), value);
}

void rows_put_bool(struct rows *rows, bool value)
{
    pg_put_bool(next_column(rows), value);
}

void rows_put_time(struct rows *rows, int64_t time_us)
{
    pg_put_time(next_column(rows), time_us);
}

void rows_put_now(struct rows *rows)
{
    rows_put_time(rows, rows->overlay->feeds[rows->partition].now);
}

void rows_put_list(struct rows *rows, const struct text_list *list)
{
    pg_put_text_list(next_column(rows), list->items, list->count);
}

void rows_put_bytes(struct rows *rows, const void *data, size_t length)
{
    pg_put_bytea(next_column(rows), data, length);
}

void rows_end_row(struct rows *rows)
{
    rows->at = 0;
    rows->row_count++;
}

bool rows_write(struct rows *rows, const struct pg_statement *statement, pg_batch *batch, error *err)
{
    return rows->row_count == 0 || pg_batch_write(batch, statement, &rows->params, err);
}

bool entry_is_written(const struct entry *entry)
{
    return entry->inserted || entry->changed;
}
