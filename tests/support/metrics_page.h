#ifndef CASEWORK_TESTS_SUPPORT_METRICS_PAGE_H
#define CASEWORK_TESTS_SUPPORT_METRICS_PAGE_H

#include <stdint.h>

/*
 * The value of the line of http://127.0.0.1:PORT/metrics that begins so: `casework_…{label="x"}`; -1: there
 * is none, or nobody answers within a few seconds.
 */
double metrics_page_value(uint16_t port, const char *name);

#endif
