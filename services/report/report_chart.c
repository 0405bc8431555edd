#include "report/report_chart.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Of the font that is asked for, 12 pixels high: no letter that is drawn here is wider on average. */
#define LETTER 7.0
#define TITLE_LETTER 9.0

enum {
    MARGIN = 16,
    TITLE_BASE = 24,
    LEGEND_TOP = 36,
    LEGEND_LINE = 18,
    AXIS_BELOW = 24, /* room for what stands under the rows */
    MARK_HEIGHT = 36,
    LABEL_GAP = 10,
};

/* Narrower ones cannot be told apart. */
#define BAR_MIN 2.0

/* Where the numbers are drawn. */
struct plot {
    double left, top, right, bottom;
    int64_t step, maximum; /* of the axis */
    double slot;           /* width of a row */
};

static const char style[] =
    "<style>"
    "text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#444}"
    ".title{font-size:15px;font-weight:600;fill:#111}"
    ".back{fill:#fff}.grid{stroke:#e3e3e3}.axis{stroke:#888}"
    ".s0{fill:#0072b2}.s1{fill:#e69f00}.s2{fill:#009e73}.s3{fill:#d55e00}"
    ".l0{stroke:#0072b2}.l1{stroke:#e69f00}.l2{stroke:#009e73}.l3{stroke:#d55e00}"
    "polyline{fill:none;stroke-width:1.5;stroke-linejoin:round}"
    "@media (prefers-color-scheme:dark){"
    "text{fill:#bbb}.title{fill:#eee}.back{fill:#1b1b1d}.grid{stroke:#38383b}.axis{stroke:#777}"
    ".s0{fill:#56b4e9}.s1{fill:#f0c34e}.s2{fill:#3cc9a0}.s3{fill:#ff8a5b}"
    ".l0{stroke:#56b4e9}.l1{stroke:#f0c34e}.l2{stroke:#3cc9a0}.l3{stroke:#ff8a5b}}"
    "</style>";

/* --- texts -----------------------------------------------------------------------------------------------
 */

/* Characters that XML has no place for are left out. */
static void put_escaped(bytes *to, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '&')
            bytes_append_text(to, "&amp;");
        else if (c == '<')
            bytes_append_text(to, "&lt;");
        else if (c == '>')
            bytes_append_text(to, "&gt;");
        else if (c == '"')
            bytes_append_text(to, "&quot;");
        else if (c >= 0x20)
            bytes_append_char(to, (char)c);
    }
}

static size_t letters(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

/* As much as there is room for. */
static void put_fitting(bytes *to, const char *text, double room, double letter)
{
    size_t most = room > letter ? (size_t)(room / letter) : 1;
    if (letters(text) <= most) {
        put_escaped(to, text, strlen(text));
        return;
    }
    const char *end = text;
    for (size_t left = most; *end != '\0'; end++) {
        if (((unsigned char)*end & 0xC0) != 0x80 && left-- <= 1)
            break;
    }
    put_escaped(to, text, (size_t)(end - text));
    bytes_append_text(to, "…");
}

/* Marks are round numbers: 1500000 is 1.5M, and nothing is lost. */
static void mark_text(int64_t value, char text[32])
{
    static const struct {
        int64_t of;
        const char *unit;
    } units[] = {{INT64_C(1000000000000), "T"}, {1000000000, "G"}, {1000000, "M"}, {1000, "k"}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (value >= 10 * units[i].of || (value >= units[i].of && value % units[i].of == 0)) {
            int64_t tenths = value / (units[i].of / 10);
            if (tenths % 10 == 0)
                snprintf(text, 32, "%" PRId64 "%s", tenths / 10, units[i].unit);
            else
                snprintf(text, 32, "%" PRId64 ".%d%s", tenths / 10, (int)(tenths % 10), units[i].unit);
            return;
        }
    }
    snprintf(text, 32, "%" PRId64, value);
}

/* --- the axis --------------------------------------------------------------------------------------------
 */

int64_t report_chart_step(int64_t maximum, int most)
{
    int64_t power = 1;
    for (;;) {
        static const int64_t times[] = {1, 2, 5};
        for (int i = 0; i < 3; i++) {
            if (maximum / (power * times[i]) + (maximum % (power * times[i]) != 0) <= most)
                return power * times[i];
        }
        if (power > INT64_MAX / 100)
            return power;
        power *= 10;
    }
}

static int64_t largest(const struct report_chart *chart)
{
    int64_t most = 1;
    for (size_t i = 0; i < chart->row_count * chart->series_count; i++)
        most = chart->values[i] > most ? chart->values[i] : most;
    return most;
}

static double legend_width(const char *name)
{
    return 18 + (double)letters(name) * LETTER + 14;
}

/* How many lines the legend takes. */
static int legend_lines(const struct report_chart *chart)
{
    int lines = 1;
    double at = MARGIN;
    for (size_t i = 0; i < chart->series_count; i++) {
        if (at > MARGIN && at + legend_width(chart->series[i]) > chart->width - MARGIN) {
            lines++;
            at = MARGIN;
        }
        at += legend_width(chart->series[i]);
    }
    return lines;
}

static struct plot plot_of(const struct report_chart *chart)
{
    struct plot plot = {
        .top = LEGEND_TOP + legend_lines(chart) * LEGEND_LINE + 22,
        .right = chart->width - MARGIN,
        .bottom = chart->height - AXIS_BELOW,
    };
    if (plot.bottom < plot.top + 10)
        plot.top = plot.bottom - 10; /* a very low one is drawn over its legend */
    int64_t most = largest(chart);
    int marks = (int)((plot.bottom - plot.top) / MARK_HEIGHT);
    plot.step = report_chart_step(most, marks > 1 ? marks : 1);
    int64_t steps = most / plot.step + (most % plot.step != 0);
    plot.maximum = steps > INT64_MAX / plot.step ? most : steps * plot.step;
    char text[32];
    size_t longest = 0;
    for (int64_t i = 0; i <= plot.maximum / plot.step; i++) {
        mark_text(i * plot.step, text);
        longest = strlen(text) > longest ? strlen(text) : longest;
    }
    plot.left = MARGIN + (double)longest * LETTER + 6;
    plot.slot = chart->row_count > 0 ? (plot.right - plot.left) / (double)chart->row_count : 0;
    return plot;
}

static double height_of(const struct plot *plot, int64_t value)
{
    return (plot->bottom - plot->top) * ((double)value / (double)plot->maximum);
}

static void put_marks(const struct plot *plot, bytes *to)
{
    for (int64_t i = 0; i <= plot->maximum / plot->step; i++) {
        double y = plot->bottom - height_of(plot, i * plot->step);
        char text[32];
        mark_text(i * plot->step, text);
        bytes_printf(to, "<line class=\"%s\" x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\"/>",
                     i == 0 ? "axis" : "grid", plot->left, y, plot->right, y);
        bytes_printf(to, "<text class=\"mark\" x=\"%.2f\" y=\"%.2f\" text-anchor=\"end\">%s</text>\n",
                     plot->left - 6, y + 4, text);
    }
}

/* --- rows ------------------------------------------------------------------------------------------------
 */

/* Every so many rows have a label, so that none runs into the next one. */
static size_t label_stride(const struct report_chart *chart, const struct plot *plot)
{
    static const size_t strides[] = {1, 2, 3, 4, 6, 7, 12, 14, 24, 28, 48, 56, 84, 168, 365};
    size_t longest = 1;
    for (size_t i = 0; i < chart->row_count; i++) {
        size_t length = letters(chart->rows[i]);
        longest = length > longest ? length : longest;
    }
    double room = (double)longest * LETTER + LABEL_GAP;
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++) {
        if (plot->slot * (double)strides[i] >= room)
            return strides[i];
    }
    return (size_t)(room / plot->slot) + 1;
}

/* Under the middle of its row, but within the picture. */
static void put_label(const struct report_chart *chart, const struct plot *plot, size_t row, bytes *to)
{
    double half = (double)letters(chart->rows[row]) * LETTER / 2;
    double x = plot->left + ((double)row + 0.5) * plot->slot;
    if (x + half > chart->width)
        x = chart->width - half;
    bytes_printf(to, "<text class=\"label\" x=\"%.2f\" y=\"%.2f\" text-anchor=\"middle\">", x,
                 plot->bottom + 16);
    put_escaped(to, chart->rows[row], strlen(chart->rows[row]));
    bytes_append_text(to, "</text>\n");
}

static void put_labels(const struct report_chart *chart, const struct plot *plot, bytes *to)
{
    size_t stride = chart->row_count > 0 ? label_stride(chart, plot) : 1;
    double free_from = 0;
    for (size_t row = 0; row < chart->row_count; row += stride) {
        double half = (double)letters(chart->rows[row]) * LETTER / 2;
        double x = plot->left + ((double)row + 0.5) * plot->slot;
        if (x + half > chart->width && chart->width - 2 * half < free_from)
            break; /* moved in it would run into the one before */
        put_label(chart, plot, row, to);
        free_from = x + half;
    }
}

static void put_bar(const struct report_chart *chart, const struct plot *plot, size_t row, size_t series,
                    double width, bytes *to)
{
    int64_t value = chart->values[row * chart->series_count + series];
    if (value <= 0)
        return;
    double group = width * (double)chart->series_count;
    double x = plot->left + (double)row * plot->slot + (plot->slot - group) / 2 + (double)series * width;
    double height = height_of(plot, value);
    bytes_printf(to, "<rect class=\"s%zu\" x=\"%.2f\" y=\"%.4f\" width=\"%.2f\" height=\"%.4f\"><title>",
                 series, x, plot->bottom - height, width, height);
    put_escaped(to, chart->detail[row], strlen(chart->detail[row]));
    bytes_append_text(to, ": ");
    put_escaped(to, chart->series[series], strlen(chart->series[series]));
    bytes_printf(to, " %" PRId64 "</title></rect>\n", value);
}

static void put_line(const struct report_chart *chart, const struct plot *plot, size_t series, bytes *to)
{
    bytes_printf(to, "<polyline class=\"l%zu\" points=\"", series);
    for (size_t row = 0; row < chart->row_count; row++)
        bytes_printf(to, "%s%.2f,%.4f", row == 0 ? "" : " ", plot->left + ((double)row + 0.5) * plot->slot,
                     plot->bottom - height_of(plot, chart->values[row * chart->series_count + series]));
    bytes_append_text(to, "\"/>\n");
}

static void put_values(const struct report_chart *chart, const struct plot *plot, bytes *to)
{
    double width = plot->slot * 0.8 / (double)chart->series_count;
    if (width > 48)
        width = 48;
    if (width < BAR_MIN) {
        for (size_t series = 0; series < chart->series_count; series++)
            put_line(chart, plot, series, to);
        return;
    }
    for (size_t row = 0; row < chart->row_count; row++) {
        for (size_t series = 0; series < chart->series_count; series++)
            put_bar(chart, plot, row, series, width, to);
    }
}

/* --- the document ----------------------------------------------------------------------------------------
 */

static void put_legend(const struct report_chart *chart, bytes *to)
{
    double x = MARGIN, y = LEGEND_TOP;
    for (size_t i = 0; i < chart->series_count; i++) {
        if (x > MARGIN && x + legend_width(chart->series[i]) > chart->width - MARGIN) {
            x = MARGIN;
            y += LEGEND_LINE;
        }
        bytes_printf(to, "<rect class=\"s%zu key\" x=\"%.2f\" y=\"%.2f\" width=\"12\" height=\"12\"/>", i, x,
                     y);
        bytes_printf(to, "<text x=\"%.2f\" y=\"%.2f\">", x + 18, y + 10);
        put_fitting(to, chart->series[i], chart->width - x - 18, LETTER);
        bytes_append_text(to, "</text>\n");
        x += legend_width(chart->series[i]);
    }
}

static void put_title(const struct report_chart *chart, bytes *to)
{
    bytes_append_text(to, "<title>");
    put_escaped(to, chart->title, strlen(chart->title));
    bytes_printf(to, "</title>\n<text class=\"title\" x=\"%d\" y=\"%d\">", MARGIN, TITLE_BASE);
    put_fitting(to, chart->title, chart->width - 2 * MARGIN, TITLE_LETTER);
    bytes_append_text(to, "</text>\n");
}

void report_chart_draw(const struct report_chart *chart, bytes *to)
{
    struct plot plot = plot_of(chart);
    bytes_append_text(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    bytes_printf(to,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\""
                 " viewBox=\"0 0 %d %d\" role=\"img\">\n",
                 (int)chart->width, (int)chart->height, (int)chart->width, (int)chart->height);
    bytes_append_text(to, style);
    bytes_append_text(to, "<rect class=\"back\" width=\"100%\" height=\"100%\"/>\n");
    put_title(chart, to);
    put_legend(chart, to);
    bytes_printf(to, "<text class=\"unit\" x=\"%d\" y=\"%.2f\">", MARGIN, plot.top - 10);
    put_escaped(to, chart->unit, strlen(chart->unit));
    bytes_append_text(to, "</text>\n");
    put_marks(&plot, to);
    put_values(chart, &plot, to);
    put_labels(chart, &plot, to);
    bytes_append_text(to, "</svg>\n");
}
