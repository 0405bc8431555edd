#ifndef CASEWORK_RPC_TRACE_H
#define CASEWORK_RPC_TRACE_H

/* W3C Trace Context, level 1: "00-<32 hex trace id>-<16 hex span id>-<2 hex flags>". */

#include <stdbool.h>
#include <stddef.h>

enum { TRACEPARENT_SIZE = 56, TRACE_ID_SIZE = 33 };

/*
 * The traceparent of a step: the trace of `parent` (text of `length` bytes; anything that is no valid
 * traceparent starts a new trace) with a span id of its own.
 */
void trace_continue(const char *parent, size_t length, char traceparent[TRACEPARENT_SIZE]);

#endif
