#ifndef CASEWORK_BASE_LOG_H
#define CASEWORK_BASE_LOG_H

/*
 * One JSON object a line on standard error:
 *   {"time":"…","level":"info","service":"case","msg":"request","rpc.method":"GetCase","duration_us":412}
 * Field names follow OpenTelemetry's semantic conventions where there is one. Lines are written whole, by any
 * thread.
 */

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_OFF };

struct log_field {
    const char *key;  /* NULL ends a list; "": `text` is one field or more as they stand in the line */
    const char *text; /* NULL: the field is `number` */
    int64_t number;
};

#define LOG_TEXT(k, v) ((struct log_field){.key = (k), .text = (v)})
#define LOG_NUMBER(k, v) ((struct log_field){.key = (k), .number = (v)})

/* Fields that are the same for many lines, as JSON made beforehand: "a":"b","c":1 */
#define LOG_JSON(v) ((struct log_field){.key = "", .text = (v)})

/* Once, before threads start. `service` is kept, not copied. */
void log_init(const char *service, enum log_level level);

/* "debug", "info", "warn", "error", "off"; false for another word. */
bool log_level_parse(const char *text, enum log_level *ret_level);

bool log_enabled(enum log_level level);

/*
 * From here on lines are gathered and written by a thread of their own, every few milliseconds, at once from
 * level error on: a line then costs no system call. Lines of one thread stay in order; of those of several,
 * written within the same few milliseconds, `time` tells which was first. For servers; a program that forks
 * without exec must not. Nothing is lost: who finds no room waits, and the rest is written at exit. Once;
 * false when the thread cannot be started (lines go out as before).
 */
bool log_start_writer(void);

/* Returns when all lines so far are written. */
void log_flush(void);

/* `fields` ends with a field whose key is NULL. Use the macros. */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/* The message comes first of the variable arguments, the fields follow; the list's end is added here. */
#define LOG_AT(level, ...) LOG_WITH_END(level, __VA_ARGS__, ((struct log_field){.key = 0}))
#define LOG_WITH_END(level, message, ...)                                       \
    do {                                                                        \
        if (log_enabled(level))                                                 \
            log_write(level, message, (const struct log_field[]){__VA_ARGS__}); \
    } while (0)

#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
