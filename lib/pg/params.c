#include "pg/pg_internal.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/*
 * Parameters in PostgreSQL's binary format (the _recv functions of src/backend/utils/adt). An array is: int32
 * dimensions, int32 "has NULLs", int32 element type, int32 size, int32 lower bound, then each member as int32
 * length (-1: NULL) and its bytes.
 */

enum { ARRAY_HEADER = 20, FIRST_ARRAY_SIZE = 256 };

/* PostgreSQL takes no message of 1 GiB; one field stays well below. */
#define FIELD_MAX ((size_t)512 * 1024 * 1024)

struct pg_array {
    pg_params *params;
    enum pg_type type;
    bool has_null;
    uint32_t count;
    unsigned char *data;
    size_t length, size;
};

static const struct {
    enum pg_oid oid;
    size_t size; /* of an integer */
} types[] = {
    [PG_BOOL] = {PG_OID_BOOL, 1},        [PG_INT2] = {PG_OID_INT2, 2}, [PG_INT4] = {PG_OID_INT4, 4},
    [PG_INT8] = {PG_OID_INT8, 8},        [PG_TEXT] = {PG_OID_TEXT, 0}, [PG_BYTEA] = {PG_OID_BYTEA, 0},
    [PG_TIME] = {PG_OID_TIMESTAMPTZ, 8},
};

void pg_params_init(pg_params *params, arena *memory)
{
    params->memory = memory;
    params->count = 0;
    params->failed = false;
}

/* --- single values --- */

static void add(pg_params *params, const char *value, size_t length, pg_array *array)
{
    if (params->failed || params->count == PG_PARAMS_MAX || length > FIELD_MAX) {
        params->failed = true;
        return;
    }
    params->values[params->count] = value;
    params->lengths[params->count] = (int)length;
    params->arrays[params->count] = array;
    params->count++;
}

static void add_copy(pg_params *params, const void *data, size_t length)
{
    if (params->failed || length > FIELD_MAX) {
        params->failed = true;
        return;
    }
    char *copy = arena_memdup(params->memory, data, length ? length : 1);
    if (!copy) {
        params->failed = true;
        return;
    }
    add(params, copy, length, NULL);
}

static bool fits(int64_t value, size_t size)
{
    switch (size) {
    case 2:
        return value >= INT16_MIN && value <= INT16_MAX;
    case 4:
        return value >= INT32_MIN && value <= INT32_MAX;
    default:
        return true;
    }
}

static void add_int(pg_params *params, int64_t value, size_t size)
{
    unsigned char data[8];
    if (!fits(value, size)) {
        params->failed = true;
        return;
    }
    pg_write_be(data, (uint64_t)value, size);
    add_copy(params, data, size);
}

void pg_add_null(pg_params *params)
{
    add(params, NULL, 0, NULL);
}

void pg_add_bool(pg_params *params, bool value)
{
    add_int(params, value, 1);
}

void pg_add_int2(pg_params *params, int64_t value)
{
    add_int(params, value, 2);
}

void pg_add_int4(pg_params *params, int64_t value)
{
    add_int(params, value, 4);
}

void pg_add_int8(pg_params *params, int64_t value)
{
    add_int(params, value, 8);
}

void pg_add_text(pg_params *params, const char *text)
{
    pg_add_bytea(params, text, text ? strlen(text) : 0);
}

void pg_add_bytea(pg_params *params, const void *data, size_t length)
{
    if (data)
        add_copy(params, data, length);
    else
        pg_add_null(params);
}

void pg_add_time(pg_params *params, int64_t time_us)
{
    int64_t since_2000;
    if (time_us == 0)
        pg_add_null(params);
    else if (__builtin_sub_overflow(time_us, PG_EPOCH_US, &since_2000))
        params->failed = true;
    else
        add_int(params, since_2000, 8);
}

/* --- arrays --- */

/* Room for `more` bytes at the end of the array, which grows by doubling inside the arena; NULL when that is
 * full. */
static unsigned char *grow(pg_array *array, size_t more)
{
    if (array->params->failed)
        return NULL;
    if (more > FIELD_MAX || array->length + more > FIELD_MAX) {
        array->params->failed = true;
        return NULL;
    }
    if (array->length + more > array->size) {
        size_t size = array->size * 2;
        while (size < array->length + more)
            size *= 2;
        unsigned char *data = arena_alloc(array->params->memory, size);
        if (!data) {
            array->params->failed = true;
            return NULL;
        }
        memcpy(data, array->data, array->length);
        array->data = data;
        array->size = size;
    }
    unsigned char *at = array->data + array->length;
    array->length += more;
    return at;
}

pg_array *pg_add_array(pg_params *params, enum pg_type type)
{
    if (params->failed)
        return NULL;
    pg_array *array = arena_calloc(params->memory, 1, sizeof *array);
    unsigned char *data = array ? arena_alloc(params->memory, FIRST_ARRAY_SIZE) : NULL;
    if (!data) {
        params->failed = true;
        return NULL;
    }
    *array = (pg_array){
        .params = params, .type = type, .data = data, .length = ARRAY_HEADER, .size = FIRST_ARRAY_SIZE};
    add(params, NULL, 0, array);
    return params->failed ? NULL : array;
}

void pg_put_null(pg_array *array)
{
    unsigned char *at = array ? grow(array, 4) : NULL;
    if (!at)
        return;
    memset(at, 0xff, 4);
    array->has_null = true;
    array->count++;
}

static void put_data(pg_array *array, const void *data, size_t length)
{
    unsigned char *at = length <= FIELD_MAX ? grow(array, 4 + length) : NULL;
    if (!at) {
        array->params->failed = true;
        return;
    }
    pg_write_be(at, length, 4);
    if (length)
        memcpy(at + 4, data, length);
    array->count++;
}

static bool is_of(pg_array *array, bool right_type)
{
    if (!array)
        return false;
    if (!right_type)
        array->params->failed = true;
    return right_type;
}

static void put_int(pg_array *array, int64_t value)
{
    size_t size = types[array->type].size;
    unsigned char data[8];
    if (!fits(value, size)) {
        array->params->failed = true;
        return;
    }
    pg_write_be(data, (uint64_t)value, size);
    put_data(array, data, size);
}

void pg_put_bool(pg_array *array, bool value)
{
    if (is_of(array, array && array->type == PG_BOOL))
        put_int(array, value);
}

void pg_put_int(pg_array *array, int64_t value)
{
    if (is_of(array, array && (array->type == PG_INT2 || array->type == PG_INT4 || array->type == PG_INT8)))
        put_int(array, value);
}

void pg_put_text(pg_array *array, const char *text)
{
    if (!is_of(array, array && array->type == PG_TEXT))
        return;
    if (text)
        put_data(array, text, strlen(text));
    else
        pg_put_null(array);
}

void pg_put_bytea(pg_array *array, const void *data, size_t length)
{
    if (!is_of(array, array && array->type == PG_BYTEA))
        return;
    if (data)
        put_data(array, data, length);
    else
        pg_put_null(array);
}

void pg_put_time(pg_array *array, int64_t time_us)
{
    int64_t since_2000;
    if (!is_of(array, array && array->type == PG_TIME))
        return;
    if (time_us == 0)
        pg_put_null(array);
    else if (__builtin_sub_overflow(time_us, PG_EPOCH_US, &since_2000))
        array->params->failed = true;
    else
        put_int(array, since_2000);
}

void pg_add_int8_array(pg_params *params, const int64_t *values, size_t count)
{
    pg_array *array = pg_add_array(params, PG_INT8);
    for (size_t i = 0; i < count; i++)
        pg_put_int(array, values[i]);
}

void pg_add_int4_array(pg_params *params, const int32_t *values, size_t count)
{
    pg_array *array = pg_add_array(params, PG_INT4);
    for (size_t i = 0; i < count; i++)
        pg_put_int(array, values[i]);
}

void pg_add_text_array(pg_params *params, const char *const *texts, size_t count)
{
    pg_array *array = pg_add_array(params, PG_TEXT);
    for (size_t i = 0; i < count; i++)
        pg_put_text(array, texts[i]);
}

/* --- arrays in text form, as members of a text array (PostgreSQL manual, 8.15.6) --- */

/* A member that is written as the caller goes: its length is filled in at the end. */
static size_t open_member(pg_array *array)
{
    unsigned char *at = grow(array, 4 + 1);
    if (at)
        at[4] = '{';
    return array->length - 5;
}

static void close_member(pg_array *array, size_t start)
{
    unsigned char *at = grow(array, 1);
    if (!at)
        return;
    *at = '}';
    pg_write_be(array->data + start, array->length - start - 4, 4);
    array->count++;
}

static void append_quoted(pg_array *array, const char *text)
{
    size_t length = strlen(text);
    size_t escapes = 0;
    for (size_t i = 0; i < length; i++)
        escapes += text[i] == '"' || text[i] == '\\';
    unsigned char *at = length <= FIELD_MAX ? grow(array, length + escapes + 2) : NULL;
    if (!at)
        return;
    *at++ = '"';
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\')
            *at++ = '\\';
        *at++ = (unsigned char)text[i];
    }
    *at = '"';
}

static void append_plain(pg_array *array, const char *text)
{
    size_t length = strlen(text);
    unsigned char *at = grow(array, length);
    if (at)
        memcpy(at, text, length);
}

void pg_put_text_list(pg_array *array, const char *const *texts, size_t count)
{
    if (!is_of(array, array && array->type == PG_TEXT))
        return;
    size_t start = open_member(array);
    for (size_t i = 0; i < count; i++) {
        if (i)
            append_plain(array, ",");
        if (texts[i])
            append_quoted(array, texts[i]);
        else
            append_plain(array, "NULL");
    }
    close_member(array, start);
}

void pg_put_int8_list(pg_array *array, const int64_t *values, size_t count)
{
    if (!is_of(array, array && array->type == PG_TEXT))
        return;
    size_t start = open_member(array);
    for (size_t i = 0; i < count; i++) {
        char number[24];
        snprintf(number, sizeof number, "%s%lld", i ? "," : "", (long long)values[i]);
        append_plain(array, number);
    }
    close_member(array, start);
}

/* --- for sending --- */

static void array_finish(pg_array *array)
{
    unsigned char *header = array->data;
    pg_write_be(header, 1, 4);
    pg_write_be(header + 4, array->has_null, 4);
    pg_write_be(header + 8, types[array->type].oid, 4);
    pg_write_be(header + 12, array->count, 4);
    pg_write_be(header + 16, 1, 4);
}

bool pg_params_is_single(const pg_params *params)
{
    bool any = false;
    for (int i = 0; params && !params->failed && i < params->count; i++) {
        const pg_array *array = params->arrays[i];
        if (array && array->count != 1)
            return false;
        any |= array != NULL;
    }
    return any;
}

/* The first member of an array. */
static void bind_member(const pg_array *array, const char **ret_value, int *ret_length)
{
    const unsigned char *member = array->data + ARRAY_HEADER;
    int32_t length = (int32_t)pg_read_be(member, 4);
    *ret_value = length < 0 ? NULL : (const char *)member + 4;
    *ret_length = length < 0 ? 0 : length;
}

bool pg_params_bind(const pg_params *params, bool single, struct pg_bound *ret_bound, error *err)
{
    ret_bound->count = 0;
    if (!params)
        return true;
    if (params->failed)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the request is too large");
    for (int i = 0; i < params->count; i++) {
        pg_array *array = params->arrays[i];
        ret_bound->formats[i] = 1;
        if (array && single) {
            bind_member(array, &ret_bound->values[i], &ret_bound->lengths[i]);
            continue;
        }
        if (array)
            array_finish(array);
        ret_bound->values[i] = array ? (const char *)array->data : params->values[i];
        ret_bound->lengths[i] = array ? (int)array->length : params->lengths[i];
    }
    ret_bound->count = params->count;
    return true;
}
