#include "cli/bars.h"

#include "base/clock.h"
#include "calendar/zone.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>

enum { LABEL = 16, GAP = 2, BAR_MIN = 4, BAR_MAX = 60, EIGHTHS = 8 };

/* How the lines are divided. */
struct layout {
    int numbers, bar, note; /* widths; of a column: its number, its bar */
    int64_t most;           /* what a whole bar stands for */
    bool blocks;
};

static int digits(int64_t value)
{
    int count = value < 0 ? 2 : 1;
    for (; value / 10 != 0; value /= 10)
        count++;
    return count;
}

static int64_t most_of(const struct bars *bars, const struct bars_row *row, int64_t most)
{
    for (size_t c = 0; c < bars->column_count; c++)
        most = row->values[c] > most ? row->values[c] : most;
    return most;
}

static struct layout divide(const struct bars *bars, int width, bool blocks)
{
    struct layout layout = {.note = (int)strlen(bars->note_title), .blocks = blocks};
    for (size_t r = 0; r < bars->row_count; r++) {
        int note = (int)strlen(bars->rows[r].note);
        layout.most = most_of(bars, &bars->rows[r], layout.most);
        layout.note = note > layout.note ? note : layout.note;
    }
    int64_t widest = bars->total != NULL ? most_of(bars, bars->total, layout.most) : layout.most;
    layout.numbers = digits(widest);
    int left = width - LABEL - (layout.note > 0 ? layout.note + GAP : 0);
    layout.bar = left / (int)bars->column_count - GAP - layout.numbers - 1;
    if (layout.bar < BAR_MIN)
        layout.bar = BAR_MIN;
    if (layout.bar > BAR_MAX)
        layout.bar = BAR_MAX;
    return layout;
}

/* What is not nothing can be seen. Answers how wide it is. */
static int print_bar(FILE *to, const struct layout *layout, int64_t value)
{
    static const char *const parts[EIGHTHS] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int steps = layout->blocks ? EIGHTHS : 1;
    double share = layout->most > 0 && value > 0 ? (double)value / (double)layout->most : 0;
    int filled = (int)(share * layout->bar * steps + 0.5);
    if (value > 0 && filled == 0)
        filled = 1;
    for (int i = 0; i < filled / steps; i++)
        fputs(layout->blocks ? "█" : "#", to);
    if (filled % steps != 0)
        fputs(parts[filled % steps], to);
    return filled / steps + (filled % steps != 0);
}

static void print_row(FILE *to, const struct bars *bars, const struct layout *layout, const char *label,
                      const struct bars_row *row, bool with_bars)
{
    int behind = LABEL - (int)strlen(label); /* what is due before the next thing: no line ends in spaces */
    fputs(label, to);
    for (size_t c = 0; c < bars->column_count; c++) {
        fprintf(to, "%*s%*" PRId64, behind + GAP, "", layout->numbers, row->values[c]);
        int drawn = 0;
        if (with_bars && row->values[c] > 0) {
            fputc(' ', to);
            drawn = 1 + print_bar(to, layout, row->values[c]);
        }
        behind = 1 + layout->bar - drawn;
    }
    if (row->note[0] != '\0')
        fprintf(to, "%*s%s", behind + GAP + layout->note - (int)strlen(row->note), "", row->note);
    fputc('\n', to);
}

/* A day by its date, an hour with its time. */
static const char *label_of(arena *memory, const calendar_zone *zone, const struct bars_row *row)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(row->start_us + (zone != NULL ? calendar_offset_us(zone, row->start_us) : 0), text);
    text[10] = ' ';
    bool hour = row->end_us - row->start_us <= CLOCK_HOUR;
    const char *label = arena_strndup(memory, text, hour ? 16 : 10);
    return label != NULL ? label : "";
}

static void print_head(FILE *to, const struct bars *bars, const struct layout *layout)
{
    fprintf(to, "%-*s", LABEL, "START");
    for (size_t c = 0; c < bars->column_count; c++) {
        bool last = c + 1 == bars->column_count && layout->note == 0;
        fprintf(to, "%*s%-*s", GAP, "", last ? 0 : layout->numbers + 1 + layout->bar, bars->titles[c]);
    }
    if (layout->note > 0)
        fprintf(to, "%*s%*s", GAP, "", layout->note, bars->note_title);
    fputc('\n', to);
}

void bars_print(FILE *to, arena *memory, const struct bars *bars, int width, bool blocks)
{
    const struct layout layout = divide(bars, width, blocks);
    const calendar_zone *zone = calendar_zone_get(bars->zone);
    fprintf(to, "%s, complete up to position %" PRId64 "\n", bars->zone, bars->position);
    print_head(to, bars, &layout);
    for (size_t r = 0; r < bars->row_count; r++)
        print_row(to, bars, &layout, label_of(memory, zone, &bars->rows[r]), &bars->rows[r], true);
    if (bars->total != NULL)
        print_row(to, bars, &layout, "total", bars->total, false);
}

/* --- terminals -------------------------------------------------------------------------------------------
 */

int bars_terminal_width(int fd)
{
    struct winsize size = {0};
    int width = ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
    if (width == 0)
        width = 80;
    return width < 40 ? 40 : width > 400 ? 400 : width;
}

/* The first of these that is set says it, as for everything that asks the locale. */
bool bars_terminal_blocks(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0')
            return strcasestr(value, "UTF-8") != NULL || strcasestr(value, "UTF8") != NULL;
    }
    return false;
}
