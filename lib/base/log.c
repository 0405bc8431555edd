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

/* --- a line --- */

/* One buffer a thread, kept: a log line costs no allocation. */
struct line {
    char *at, *end;
    bool full; /* something did not fit */
};

static inline void put(struct line *line, const char *text, size_t length)
{
    if ((size_t)(line->end - line->at) < length) {
        line->full = true;
        return;
    }
    memcpy(line->at, text, length);
    line->at += length;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static void put_number(struct line *line, int64_t number)
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
    put(line, at, (size_t)(digits + sizeof digits - at));
}

/* Most texts hold nothing that JSON has to quote; bytes_append_json knows about the others. */
static void put_json(struct line *line, const char *text)
{
    size_t length = 0;
    for (unsigned char c; (c = (unsigned char)text[length]) >= 0x20 && c != '"' && c != '\\';)
        length++;
    if (text[length] == '\0') {
        put(line, "\"", 1);
        put(line, text, length);
        put(line, "\"", 1);
        return;
    }
    size_t room = (size_t)(line->end - line->at);
    bytes rest = {.data = (unsigned char *)line->at, .size = room, .cap = room > 0 ? room - 1 : 0};
    bytes_append_json(&rest, text);
    line->at += rest.length;
    line->full = line->full || rest.failed;
}

/* The date and the time of day change once a second; only the microseconds are written anew. */
static void put_time(struct line *line)
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
    unsigned rest = (unsigned)(now % CLOCK_SECOND);
    for (int i = 6; i > 0; i--, rest /= 10)
        micros[i] = (char)('0' + rest % 10);
    put(line, text, length);
    put(line, micros, sizeof micros - 1);
}

static void put_field(struct line *line, const struct log_field *field)
{
    char *before = line->at;
    put(line, ",", 1);
    if (field->key[0] == '\0') {
        put_text(line, field->text);
    } else {
        put(line, "\"", 1);
        put_text(line, field->key);
        put(line, "\":", 2);
        if (field->text)
            put_json(line, field->text);
        else
            put_number(line, field->number);
    }
    if (line->full) { /* a field too long for a line is left out whole */
        line->at = before;
        line->full = false;
    }
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
    static _Thread_local char storage[8192];
    struct line line = {.at = storage, .end = storage + sizeof storage - 2};
    put_text(&line, "{\"time\":\"");
    put_time(&line);
    put_text(&line, "\",\"level\":\"");
    put_text(&line, level_names[level]);
    put_text(&line, "\",\"service\":\"");
    put_text(&line, service_name);
    put_text(&line, "\",\"msg\":");
    put_json(&line, message);
    for (const struct log_field *f = fields; f->key; f++)
        put_field(&line, f);
    memcpy(line.at, "}\n", 2);
    log_writer_put(storage, (size_t)(line.at - storage) + 2, level >= LOG_LEVEL_ERROR);
}

bool log_start_writer(void)
{
    return log_writer_start();
}

void log_flush(void)
{
    log_writer_flush();
}
