#include "case/case_forward_text.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <string.h>
#include <time.h>

#define LEFT_OUT "[Earlier messages were left out.]\n\n"
#define CUT_OFF "\n[The rest was cut off.]\n"
#define REDACTED "[The text was removed.]"

enum { TIME_SIZE = 32 };

static void write_time(int64_t time_us, char out[TIME_SIZE])
{
    time_t seconds = (time_t)(time_us / CLOCK_SECOND - (time_us % CLOCK_SECOND < 0));
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL || strftime(out, TIME_SIZE, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0)
        out[0] = '\0';
}

static const char *author_of(const struct transcript_line *line)
{
    if (line->author[0] != '\0')
        return line->author;
    switch (line->message.kind) {
    case MESSAGE_KIND_CUSTOMER:
        return "Customer";
    case MESSAGE_KIND_FROM_THIRD_PARTY:
    case MESSAGE_KIND_TO_THIRD_PARTY:
        return line->message.third_party;
    case MESSAGE_KIND_SYSTEM:
        return "System";
    default:
        return "Support";
    }
}

static const char *body_of(const struct transcript_line *line)
{
    return line->message.redacted ? REDACTED : line->message.body;
}

static char *heading_of(arena *memory, const struct transcript_line *line)
{
    char when[TIME_SIZE];
    write_time(line->message.send_time, when);
    return arena_printf(memory, "From: %s\nDate: %s\n\n", author_of(line), when);
}

/* Up to `room` bytes of a text, to a character's border. */
static size_t length_within(const char *text, size_t room)
{
    size_t length = strlen(text);
    if (length <= room)
        return length;
    while (room > 0 && ((unsigned char)text[room] & 0xC0) == 0x80)
        room--;
    return room;
}

/* How many of the latest messages fit into `room`; at least one. */
static size_t count_fitting(char *const *headings, const struct transcript_line *lines, size_t count,
                            size_t room)
{
    size_t used = 0, fitting = 0;
    while (fitting < count) {
        used += strlen(headings[fitting]) + strlen(body_of(&lines[fitting])) + strlen("\n\n");
        if (used > room && fitting > 0)
            break;
        fitting++;
    }
    return fitting;
}

static bool append(bytes *out, const char *text)
{
    return bytes_append(out, text, strlen(text));
}

static bool write_lines(bytes *out, char *const *headings, const struct transcript_line *lines, size_t count)
{
    for (size_t i = count; i-- > 0;) {
        const char *body = body_of(&lines[i]);
        if (!append(out, headings[i]))
            return false;
        size_t room = CASE_BODY_MAX - out->length - strlen("\n\n");
        bool fits = strlen(body) <= room;
        size_t length = length_within(body, fits ? room : room - strlen(CUT_OFF));
        if (!bytes_append(out, body, length) || !append(out, fits ? (i == 0 ? "\n" : "\n\n") : CUT_OFF))
            return false;
    }
    return true;
}

static char *compose(arena *memory, const char *start, char *const *headings, struct transcript_line *lines,
                     size_t count, bool cut)
{
    size_t room = CASE_BODY_MAX - strlen(start) - strlen(LEFT_OUT);
    size_t fitting = count_fitting(headings, lines, count, room);
    bytes out;
    bytes_init(&out, CASE_BODY_MAX + 1);
    bool written = append(&out, start) && (!(cut || fitting < count) || append(&out, LEFT_OUT)) &&
                   write_lines(&out, headings, lines, fitting);
    char *text = written ? arena_strndup(memory, (const char *)out.data, out.length) : NULL;
    bytes_release(&out);
    for (size_t i = 0; i < fitting; i++)
        lines[i].taken = true;
    return text;
}

char *case_forward_text(arena *memory, const char *note, const char *subject, struct transcript_line *lines,
                        size_t count, bool cut)
{
    const char *gap = note[0] == '\0' ? "" : "\n\n";
    char *start =
        subject == NULL
            ? arena_printf(memory, "%s%s---------- Forwarded message ----------\n", note, gap)
            : arena_printf(memory, "%s%s---------- Forwarded conversation ----------\nSubject: %s\n\n", note,
                           gap, subject);
    char **headings = arena_calloc(memory, count + 1, sizeof *headings);
    if (start == NULL || headings == NULL)
        return NULL;
    if (count == 0)
        return arena_strdup(memory, note);
    for (size_t i = 0; i < count; i++) {
        headings[i] = heading_of(memory, &lines[i]);
        if (headings[i] == NULL)
            return NULL;
    }
    return compose(memory, start, headings, lines, count, cut);
}
