#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts `text` to fit, never in the middle of a UTF-8 character: clients get valid text. */
static void copy_cut(char *to, size_t size, const char *text)
{
    size_t length = strlen(text);
    if (length >= size) {
        length = size - 1;
        for (int tail = 0; tail < 3 && length && ((unsigned char)text[length] & 0xC0u) == 0x80u; tail++)
            length--; /* no character is longer than four bytes: what is, is no UTF-8 anyway */
    }
    memcpy(to, text, length);
    to[length] = '\0';
}

static void format_cut(char *to, size_t size, const char *format, va_list args)
{
    char whole[1024];
    vsnprintf(whole, sizeof whole, format, args);
    copy_cut(to, size, whole);
}

void error_fill(error *err, enum status_code code, const char *reason, const char *format, ...)
{
    if (!err)
        return;
    memset(err, 0, sizeof *err);
    err->code = code;
    copy_cut(err->reason, sizeof err->reason, reason);
    va_list args;
    va_start(args, format);
    format_cut(err->message, sizeof err->message, format, args);
    va_end(args);
}

void error_fill_field(error *err, const char *field, const char *format, ...)
{
    if (!err)
        return;
    char what[sizeof err->violations[0].value];
    va_list args;
    va_start(args, format);
    format_cut(what, sizeof what, format, args);
    va_end(args);
    error_set(err, STATUS_INVALID_ARGUMENT, "INVALID_FIELD", "%s: %s", field, what);
    err->violation_count = 1;
    copy_cut(err->violations[0].key, sizeof err->violations[0].key, field);
    copy_cut(err->violations[0].value, sizeof err->violations[0].value, what);
}

void error_add_info(error *err, const char *key, const char *value)
{
    if (!err || err->info_count >= ERROR_INFO_MAX)
        return;
    struct error_pair *pair = &err->info[err->info_count++];
    copy_cut(pair->key, sizeof pair->key, key);
    copy_cut(pair->value, sizeof pair->value, value);
}

void error_add_detail(error *err, const char *format, ...)
{
    if (!err)
        return;
    va_list args;
    va_start(args, format);
    format_cut(err->detail, sizeof err->detail, format, args);
    va_end(args);
}

const char *status_code_name(enum status_code code)
{
    static const char *const names[] = {
        "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED",
    };
    if ((unsigned)code >= sizeof names / sizeof *names)
        return "UNKNOWN";
    return names[code];
}
