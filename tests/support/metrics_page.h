#ifndef CASEWORK_TESTS_SUPPORT_METRICS_PAGE_H
#define CASEWORK_TESTS_SUPPORT_METRICS_PAGE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The value of the line of http://127.0.0.1:PORT/metrics that begins so: `casework_…{label="x"}`; -1: there
 * is none, or nobody answers within a few seconds.
 */
double metrics_page_value(uint16_t port, const char *name);

/* Waits until it has the value; *ret_found is what it had last. */
bool metrics_page_await(uint16_t port, const char *name, double value, int64_t timeout_us, double *ret_found)
    __attribute__((warn_unused_result));

#endif
