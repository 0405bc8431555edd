#ifndef CASEWORK_CLI_PRINT_H
#define CASEWORK_CLI_PRINT_H

/* Answers as people read them (tables, one field a line) and as programs do (the JSON mapping of proto3, one
 * object). */

#include "base/arena.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* The message as one line of JSON. False: out of memory. */
bool print_json(FILE *to, const ProtobufCMessage *message);

/* The repeated message field `rows` as a table of the comma-separated `columns` (paths). */
void print_table(FILE *to, arena *memory, const ProtobufCMessage *message, const char *rows,
                 const char *columns);

/* What a table's cell shows of a row: the value at the path, on one line; "" where there is none. In the
 * arena. */
const char *print_cell_text(arena *memory, const ProtobufCMessage *row, const char *path);

/* "5s", "3m 20s", "2h 05m"; NULL: the arena is full. */
const char *print_duration(arena *memory, int64_t seconds);

/* Every set field of the message, a line each. */
void print_fields(FILE *to, arena *memory, const ProtobufCMessage *message);

#endif
