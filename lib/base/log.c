#include "base/log.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <string.h>
#include <unistd.h>

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

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    /* One buffer a thread, kept: a log line costs no allocation. */
    static _Thread_local bytes line;
    static _Thread_local unsigned char storage[8192];
    line = (bytes){.data = storage, .size = sizeof storage, .cap = sizeof storage - 3};
    char when[CLOCK_TEXT_SIZE];
    bytes_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"service\":\"%s\",\"msg\":",
                 clock_format(clock_real_us(), when), level_names[level], service_name);
    bytes_append_json(&line, message);
    for (const struct log_field *f = fields; f->key; f++) {
        size_t before = line.length;
        bytes_printf(&line, ",\"%s\":", f->key);
        if (f->text)
            bytes_append_json(&line, f->text);
        else
            bytes_printf(&line, "%lld", (long long)f->number);
        if (line.failed) { /* a field too long for a line is left out whole */
            line.length = before;
            line.failed = false;
        }
    }
    memcpy(line.data + line.length, "}\n", 2);
    ssize_t written = write(STDERR_FILENO, line.data, line.length + 2);
    (void)written; /* nowhere to report it */
}
