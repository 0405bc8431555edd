#include "base/log.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log_writer.h"

#include <string.h>

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};
static const char *service_name = "";
static enum log_level lowest = LOG_LEVEL_INFO;

void log_init(const char *service, enum log_level level)
{
    service_name = service;
    lowest = level;
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return level >= lowest;
}

static void append_number(bytes *line, int64_t number)
{
    char digits[24];
    char *at = digits + sizeof digits;
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (number < 0)
        *--at = '-';
    bytes_append(line, at, (size_t)(digits + sizeof digits - at));
}

/* The date and the time of day change once a second; only the microseconds are written anew. */
static void append_time(bytes *line)
{
    static _Thread_local char text[CLOCK_TEXT_SIZE];
    static _Thread_local int64_t second = -1;
    static _Thread_local size_t length;
    int64_t now = clock_real_us();
    if (now / CLOCK_SECOND != second) {
        second = now / CLOCK_SECOND;
        clock_format(second * CLOCK_SECOND, text);
        length = strlen(text) - 1; /* without the Z */
    }
    char micros[] = ".000000Z";
    int64_t rest = now % CLOCK_SECOND;
    for (int i = 6; i > 0; i--, rest /= 10)
        micros[i] = (char)('0' + rest % 10);
    bytes_append(line, text, length);
    bytes_append(line, micros, sizeof micros - 1);
}

static void append_field(bytes *line, const struct log_field *field)
{
    size_t before = line->length;
    bytes_append(line, ",\"", 2);
    bytes_append_text(line, field->key);
    bytes_append(line, "\":", 2);
    if (field->text)
        bytes_append_json(line, field->text);
    else
        append_number(line, field->number);
    if (line->failed) { /* a field too long for a line is left out whole */
        line->length = before;
        line->failed = false;
    }
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    /* One buffer a thread, kept: a log line costs no allocation. */
    static _Thread_local unsigned char storage[8192];
    bytes line = {.data = storage, .size = sizeof storage, .cap = sizeof storage - 3};
    bytes_append_text(&line, "{\"time\":\"");
    append_time(&line);
    bytes_append_text(&line, "\",\"level\":\"");
    bytes_append_text(&line, level_names[level]);
    bytes_append_text(&line, "\",\"service\":\"");
    bytes_append_text(&line, service_name);
    bytes_append_text(&line, "\",\"msg\":");
    bytes_append_json(&line, message);
    for (const struct log_field *f = fields; f->key; f++)
        append_field(&line, f);
    memcpy(line.data + line.length, "}\n", 2);
    log_writer_put(line.data, line.length + 2, level >= LOG_LEVEL_ERROR);
}

bool log_start_writer(void)
{
    return log_writer_start();
}

void log_flush(void)
{
    log_writer_flush();
}
