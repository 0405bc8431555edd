#ifndef CASEWORK_BASE_LOG_WRITER_H
#define CASEWORK_BASE_LOG_WRITER_H

/* Where log lines go: standard error, straight or through a thread that writes many at once. Only for log.c.
 */

#include <stdbool.h>
#include <stddef.h>

bool log_writer_start(void);

/* One line, whole. `urgent`: without waiting for more. */
void log_writer_put(const void *line, size_t length, bool urgent);
void log_writer_flush(void);

#endif
