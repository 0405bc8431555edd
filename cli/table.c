#include "cli/print.h"

#include "base/clock.h"
#include "cli/field.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uniwidth.h>

enum { COLUMNS_MAX = 12, CELL_MAX = 60 };

const char *print_duration(arena *memory, int64_t seconds)
{
    if (seconds < 60)
        return arena_printf(memory, "%" PRId64 "s", seconds);
    if (seconds < 3600)
        return arena_printf(memory, "%" PRId64 "m %02ds", seconds / 60, (int)(seconds % 60));
    return arena_printf(memory, "%" PRId64 "h %02dm", seconds / 3600, (int)(seconds % 3600 / 60));
}

/* "accounts/acme/cases/5" reads "acme/5", "accounts/acme/agents/anna" reads "anna", "accounts/acme" reads
 * "acme". */
static const char *name_text(arena *memory, const char *text)
{
    char account[80], collection[32], id[80];
    int end = 0;
    if (sscanf(text, "accounts/%79[^/]/%31[^/]/%79[^/]%n", account, collection, id, &end) == 3 && !text[end])
        return strcmp(collection, "cases") == 0 ? arena_printf(memory, "%s/%s", account, id)
                                                : arena_strdup(memory, id);
    if (sscanf(text, "accounts/%79[^/]%n", account, &end) == 1 && !text[end])
        return arena_strdup(memory, account);
    return text;
}

static const char *message_text(arena *memory, const ProtobufCMessage *message);

static const char *value_text(arena *memory, const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return name_text(memory, *(char *const *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return *(const protobuf_c_boolean *)at ? "yes" : "";
    case PROTOBUF_C_TYPE_INT32:
        return arena_printf(memory, "%" PRId32, *(const int32_t *)at);
    case PROTOBUF_C_TYPE_INT64:
        return arena_printf(memory, "%" PRId64, *(const int64_t *)at);
    case PROTOBUF_C_TYPE_DOUBLE:
        return arena_printf(memory, "%.2f", *(const double *)at);
    case PROTOBUF_C_TYPE_ENUM:
        return field_enum_word(memory, field->descriptor, *(const int *)at);
    case PROTOBUF_C_TYPE_MESSAGE:
        return message_text(memory, *(ProtobufCMessage *const *)at);
    default:
        return "";
    }
}

static const char *field_text(arena *memory, const ProtobufCMessage *message,
                              const ProtobufCFieldDescriptor *field)
{
    const char *text = "";
    for (size_t i = 0; text && i < field_count(message, field); i++) {
        const char *value = value_text(memory, field, field_at(message, field, i));
        text = i ? arena_printf(memory, "%s, %s", text, value) : value;
    }
    return text ? text : "";
}

/* A message within a cell: a time, a duration, a pair with = between the two, or its fields by name. */
static const char *message_text(arena *memory, const ProtobufCMessage *message)
{
    if (field_is_well_known(message->descriptor, "Timestamp")) {
        const Google__Protobuf__Timestamp *t = (const void *)message;
        char text[CLOCK_TEXT_SIZE];
        clock_format(t->seconds * CLOCK_SECOND, text);
        text[10] = ' ';
        return arena_strndup(memory, text, 19);
    }
    if (field_is_well_known(message->descriptor, "Duration"))
        return print_duration(memory, ((const Google__Protobuf__Duration *)message)->seconds);
    const char *text = "";
    for (unsigned i = 0; text && i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const char *value = field_text(memory, message, field);
        if (!*value)
            continue;
        if (message->descriptor->n_fields > 2)
            text = arena_printf(memory, "%s%s%s %s", text, *text ? ", " : "", field->name, value);
        else
            text = *text ? arena_printf(memory, "%s=%s", text, value) : value;
    }
    return text ? text : "";
}

/* One line of at most CELL_MAX bytes: line breaks and control characters become spaces. */
static const char *cell_text(arena *memory, const char *text)
{
    char *cell = arena_strdup(memory, text);
    if (!cell)
        return "";
    for (char *c = cell; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    if (strlen(cell) <= CELL_MAX)
        return cell;
    size_t cut = CELL_MAX - 3;
    while (cut && ((unsigned char)cell[cut] & 0xC0) == 0x80)
        cut--;
    const char *shortened = arena_printf(memory, "%.*s…", (int)cut, cell);
    return shortened ? shortened : "";
}

const char *print_cell_text(arena *memory, const ProtobufCMessage *row, const char *path)
{
    const char *point = strrchr(path, '.');
    const char *parent = point ? arena_strndup(memory, path, (size_t)(point - path)) : "";
    const ProtobufCMessage *message = parent ? field_submessage(row, parent) : NULL;
    const ProtobufCFieldDescriptor *field = message ? field_find(message, point ? point + 1 : path) : NULL;
    return field ? cell_text(memory, field_text(memory, message, field)) : "";
}

static int width(const char *text)
{
    return u8_strwidth((const uint8_t *)text, "UTF-8");
}

static void print_cell(FILE *to, const char *text, int wide, bool last)
{
    fputs(text, to);
    if (last)
        fputc('\n', to);
    else
        fprintf(to, "%*s", wide - width(text) + 2, "");
}

static const char *heading(arena *memory, const char *path)
{
    const char *point = strrchr(path, '.');
    char *text = arena_strdup(memory, point ? point + 1 : path);
    for (char *c = text; c && *c; c++)
        *c = *c == '_' ? ' ' : (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    return text ? text : "";
}

void print_table(FILE *to, arena *memory, const ProtobufCMessage *message, const char *rows,
                 const char *columns)
{
    const ProtobufCFieldDescriptor *field = field_find(message, rows);
    size_t count = field_count(message, field);
    char *paths[COLUMNS_MAX];
    int widths[COLUMNS_MAX];
    size_t column_count = 0;
    char *rest = NULL;
    char *list = arena_strdup(memory, columns);
    for (char *path = list ? strtok_r(list, ",", &rest) : NULL; path && column_count < COLUMNS_MAX;
         path = strtok_r(NULL, ",", &rest))
        paths[column_count++] = path;
    const char **cells = arena_calloc(memory, (count + 1) * (column_count ? column_count : 1), sizeof *cells);
    if (!cells)
        return;
    for (size_t c = 0; c < column_count; c++) {
        cells[c] = heading(memory, paths[c]);
        widths[c] = width(cells[c]);
    }
    for (size_t r = 0; r < count; r++) {
        const ProtobufCMessage *row = *(ProtobufCMessage *const *)field_at(message, field, r);
        for (size_t c = 0; c < column_count; c++) {
            const char *text = print_cell_text(memory, row, paths[c]);
            cells[(r + 1) * column_count + c] = text;
            widths[c] = width(text) > widths[c] ? width(text) : widths[c];
        }
    }
    for (size_t r = 0; r <= count; r++)
        for (size_t c = 0; c < column_count; c++)
            print_cell(to, cells[r * column_count + c], widths[c], c + 1 == column_count);
}

void print_fields(FILE *to, arena *memory, const ProtobufCMessage *message)
{
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const char *text = field_text(memory, message, field);
        if (*text && strcmp(text, "0") != 0 && strcmp(text, "unspecified") != 0)
            fprintf(to, "%-22s %s\n", field->name, text);
    }
}
