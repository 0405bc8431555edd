#ifndef CASEWORK_REPORT_CHART_H
#define CASEWORK_REPORT_CHART_H

/*
 * Numbers over time as an SVG document: bars side by side, or lines where there is no room for bars. The same
 * numbers always give the same bytes. Light or dark as the reader's system is (prefers-color-scheme); no
 * scripts, nothing from outside.
 */

#include "base/bytes.h"

#include <stddef.h>
#include <stdint.h>

enum { REPORT_CHART_SERIES_MAX = 4 };

struct report_chart {
    const char *title;
    const char *unit; /* what is counted: "cases" */
    const char *series[REPORT_CHART_SERIES_MAX];
    size_t series_count;
    const char *const *rows;   /* what stands under each; the first one also where others are left out */
    const char *const *detail; /* the same in full, shown where the pointer rests */
    size_t row_count;
    const int64_t *values; /* values[row * series_count + series], none of them negative */
    int32_t width, height; /* pixels */
};

/* Texts may be of any kind: they are escaped, and cut where they would not fit. */
void report_chart_draw(const struct report_chart *chart, bytes *to);

/* The distance of the axis' marks: 1, 2 or 5 times a power of ten, with `most` marks at the most up to the
 * maximum. */
int64_t report_chart_step(int64_t maximum, int most);

#endif
