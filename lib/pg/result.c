#include "pg/pg_internal.h"

#include <stdlib.h>
#include <string.h>

/* A pg_result is libpq's PGresult under a name that does not need libpq's header. */

static const PGresult *raw(const pg_result *result)
{
    return (const PGresult *)result;
}

void pg_result_free(pg_result *result)
{
    PQclear((PGresult *)result);
}

int pg_rows(const pg_result *result)
{
    return result ? PQntuples(raw(result)) : 0;
}

int64_t pg_rows_affected(const pg_result *result)
{
    if (!result)
        return 0;
    return strtoll(PQcmdTuples((PGresult *)result), NULL, 10);
}

int64_t pg_read_int(const unsigned char *from, size_t size)
{
    uint64_t value = pg_read_be(from, size);
    switch (size) {
    case 1:
        return (int8_t)value;
    case 2:
        return (int16_t)value;
    case 4:
        return (int32_t)value;
    case 8:
        return (int64_t)value;
    default:
        return 0;
    }
}

/* The field's bytes, NULL for SQL NULL or a field that is not there. */
static const unsigned char *field(const pg_result *result, int row, int column, size_t *ret_length)
{
    *ret_length = 0;
    if (!result || row < 0 || column < 0 || row >= PQntuples(raw(result)) || column >= PQnfields(raw(result)))
        return NULL;
    if (PQgetisnull(raw(result), row, column))
        return NULL;
    *ret_length = (size_t)PQgetlength(raw(result), row, column);
    return (const unsigned char *)PQgetvalue(raw(result), row, column);
}

bool pg_is_null(const pg_result *result, int row, int column)
{
    size_t length;
    return field(result, row, column, &length) == NULL;
}

bool pg_get_bool(const pg_result *result, int row, int column)
{
    size_t length;
    const unsigned char *data = field(result, row, column, &length);
    return data && length == 1 && data[0] != 0;
}

int64_t pg_get_int(const pg_result *result, int row, int column)
{
    size_t length;
    const unsigned char *data = field(result, row, column, &length);
    return data ? pg_read_int(data, length <= 8 ? length : 0) : 0;
}

const char *pg_get_text(const pg_result *result, int row, int column)
{
    size_t length;
    const unsigned char *data = field(result, row, column, &length);
    return data ? (const char *)data : ""; /* libpq puts a NUL behind every field */
}

const void *pg_get_bytes(const pg_result *result, int row, int column, size_t *ret_length)
{
    return field(result, row, column, ret_length);
}

int64_t pg_get_time(const pg_result *result, int row, int column)
{
    size_t length;
    const unsigned char *data = field(result, row, column, &length);
    int64_t time_us;
    if (!data || length != 8 || __builtin_add_overflow(pg_read_int(data, 8), PG_EPOCH_US, &time_us))
        return 0; /* infinity overflows: not a time */
    return time_us;
}

/* --- arrays --- */

struct reader {
    const unsigned char *at;
    size_t left;
};

static bool take_int32(struct reader *r, int32_t *ret_value)
{
    if (r->left < 4)
        return false;
    *ret_value = (int32_t)pg_read_int(r->at, 4);
    r->at += 4;
    r->left -= 4;
    return true;
}

/* Reads the header up to the first member. `count` is never more than the bytes can hold. */
static bool open_array(struct reader *r, int32_t *ret_type, size_t *ret_count)
{
    int32_t dimensions, has_null, type, size = 0, lower;
    if (!take_int32(r, &dimensions) || !take_int32(r, &has_null) || !take_int32(r, &type))
        return false;
    if (dimensions != 0 && dimensions != 1)
        return false;
    if (dimensions == 1 && (!take_int32(r, &size) || !take_int32(r, &lower)))
        return false;
    if (size < 0 || (size_t)size > r->left / 4)
        return false;
    *ret_type = type;
    *ret_count = (size_t)size;
    return true;
}

/* *ret_data NULL for a NULL member. */
static bool take_member(struct reader *r, const unsigned char **ret_data, size_t *ret_length)
{
    int32_t length;
    if (!take_int32(r, &length))
        return false;
    *ret_data = NULL;
    *ret_length = 0;
    if (length < 0)
        return true;
    if ((size_t)length > r->left)
        return false;
    *ret_data = r->at;
    *ret_length = (size_t)length;
    r->at += length;
    r->left -= (size_t)length;
    return true;
}

bool pg_get_text_array(const pg_result *result, int row, int column, arena *memory, const char ***ret_texts,
                       size_t *ret_count)
{
    struct reader r;
    int32_t type;
    size_t count = 0;
    r.at = field(result, row, column, &r.left);
    if (r.at && !open_array(&r, &type, &count))
        return false;
    const char **texts = arena_calloc(memory, count ? count : 1, sizeof *texts);
    if (!texts)
        return false;
    for (size_t i = 0; i < count; i++) {
        const unsigned char *data;
        size_t length;
        if (!take_member(&r, &data, &length))
            return false;
        texts[i] = arena_strndup(memory, (const char *)data, length);
        if (!texts[i])
            return false;
    }
    *ret_texts = texts;
    *ret_count = count;
    return true;
}

bool pg_get_int_array(const pg_result *result, int row, int column, arena *memory, int64_t **ret_values,
                      size_t *ret_count)
{
    struct reader r;
    int32_t type;
    size_t count = 0;
    r.at = field(result, row, column, &r.left);
    if (r.at && !open_array(&r, &type, &count))
        return false;
    if (count && type != PG_OID_INT2 && type != PG_OID_INT4 && type != PG_OID_INT8)
        return false;
    int64_t *values = arena_calloc(memory, count ? count : 1, sizeof *values);
    if (!values)
        return false;
    for (size_t i = 0; i < count; i++) {
        const unsigned char *data;
        size_t length;
        if (!take_member(&r, &data, &length))
            return false;
        values[i] = data ? pg_read_int(data, length <= 8 ? length : 0) : 0;
    }
    *ret_values = values;
    *ret_count = count;
    return true;
}
