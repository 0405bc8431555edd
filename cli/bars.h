#ifndef CASEWORK_CLI_BARS_H
#define CASEWORK_CLI_BARS_H

/* Reports with hours or days as rows, drawn as bars for a terminal. */

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { BARS_COLUMNS_MAX = 4 };

struct bars_row {
    int64_t start_us, end_us; /* since 1970, exclusive */
    int64_t values[BARS_COLUMNS_MAX];
    const char *note; /* after the bars; "": none */
};

struct bars {
    const char *zone; /* IANA: days and hours are told by its clocks */
    int64_t position;
    const char *const *titles; /* of the columns */
    size_t column_count;
    const char *note_title; /* "": rows have no notes */
    const struct bars_row *rows;
    size_t row_count;
    const struct bars_row *total; /* NULL: none */
};

/*
 * A line for each row: when it starts, and for each column its number and a bar; all bars are to one scale.
 * `width` in columns of the terminal; `blocks`: it can show Unicode's block elements, else bars are of '#'.
 */
void bars_print(FILE *to, arena *memory, const struct bars *bars, int width, bool blocks);

/* What the terminal of the file is. Widths from 40 to 400; 80 where nobody knows. */
int bars_terminal_width(int fd);
bool bars_terminal_blocks(void);

#endif
