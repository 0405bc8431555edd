/* Reports that become files: engagements as CSV or JSON lines, activity and volume as SVG; and bars in a
 * terminal. */

#include "base/clock.h"
#include "casework/report/v1/report_service.pb-c.h"
#include "cli/bars.h"
#include "cli/command.h"
#include "cli/print.h"
#include "cli/programs.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPORT TARGET_REPORT, &casework__report__v1__report_service__descriptor

/* --- flags that name a file ---------------------------------------------------------------------- */

/* Takes --flag FILE or --flag=FILE off argv. False: the file is missing. *ret_file stays when there is no
 * such flag. */
static bool take_file(int *argc, char **argv, const char *flag, const char **ret_file)
{
    size_t length = strlen(flag);
    for (int i = 1; i < *argc; i++) {
        if (strncmp(argv[i], flag, length) != 0 || (argv[i][length] != '\0' && argv[i][length] != '='))
            continue;
        int words = argv[i][length] == '=' ? 1 : 2;
        if (i + words > *argc) {
            fprintf(stderr, "casework: %s needs a file\n", flag);
            return false;
        }
        *ret_file = words == 1 ? argv[i] + length + 1 : argv[i + 1];
        memmove(argv + i, argv + i + words, (size_t)(*argc - i - words + 1) * sizeof *argv);
        *argc -= words;
        return true;
    }
    return true;
}

/* --- a file that is there whole or not at all ---------------------------------------------------- */

struct whole_file {
    const char *name; /* "-": standard output */
    char *draft;      /* its name until it is whole */
    FILE *file;
};

static bool file_failed(const struct whole_file *whole, error *err)
{
    return error_set(err, STATUS_FAILED_PRECONDITION, "", "%s: %s", whole->name, strerror(errno));
}

static bool file_open(struct whole_file *whole, const char *name, error *err)
{
    *whole = (struct whole_file){.name = name, .file = strcmp(name, "-") == 0 ? stdout : NULL};
    if (whole->file)
        return true;
    if (asprintf(&whole->draft, "%s.XXXXXX", name) < 0) {
        whole->draft = NULL;
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
    }
    int fd = mkstemp(whole->draft);
    if (fd >= 0)
        whole->file = fdopen(fd, "w");
    if (!whole->file) {
        file_failed(whole, err);
        free(whole->draft);
        return false;
    }
    mode_t mask = umask(0);
    umask(mask);
    (void)fchmod(fd, 0666 & ~mask);
    return true;
}

/* Gives it its name if `whole_now`, else removes it. */
static bool file_close(struct whole_file *whole, bool whole_now, error *err)
{
    if (whole->file == stdout)
        return !whole_now || fflush(stdout) == 0 || file_failed(whole, err);
    bool closed = fflush(whole->file) == 0 && fsync(fileno(whole->file)) == 0;
    closed = fclose(whole->file) == 0 && closed;
    bool done = whole_now && closed && rename(whole->draft, whole->name) == 0;
    if (whole_now && !done)
        file_failed(whole, err);
    if (!done)
        unlink(whole->draft);
    free(whole->draft);
    return done;
}

/* --- exports ------------------------------------------------------------------------------------- */

typedef Casework__Report__V1__ExportEngagementsResponse export_part;

struct export
{
    struct session *session;
    FILE *to;
    bool csv;
    bool quoted; /* within a quoted cell of CSV */
    int64_t lines, total, next_progress_us;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* Line breaks within cells are none of the file's lines. */
static void count_lines(struct export *export, const export_part *part)
{
    for (size_t i = 0; i < part->data.len; i++) {
        if (export->csv && part->data.data[i] == '"')
            export->quoted = !export->quoted;
        else if (part->data.data[i] == '\n' && !export->quoted)
            export->lines++;
    }
}

static void show_progress(struct export *export, bool last)
{
    if (!isatty(STDERR_FILENO) || (!last && clock_monotonic_us() < export->next_progress_us))
        return;
    export->next_progress_us = clock_monotonic_us() + CLOCK_SECOND / 10;
    int64_t rows = export->lines - (export->csv && export->lines > 0 ? 1 : 0);
    int share = export->total > 0 ? (int)(rows * 100 / export->total) : 100;
    if (share > 100)
        share = 100;
    static const char bar[] = "########################################";
    fprintf(stderr, "\r[%-40.*s] %3d%%  %" PRId64 " engagements%s", share * 40 / 100, bar, share, rows,
            last ? "\n" : "");
}

/* What the bar is measured by. */
static void find_total(struct export *export, rpc_channel *channel,
                       const Casework__Report__V1__ExportEngagementsRequest *request)
{
    Casework__Report__V1__ListEngagementsRequest ask = CASEWORK__REPORT__V1__LIST_ENGAGEMENTS_REQUEST__INIT;
    ask.parent = request->parent;
    ask.start_time = request->start_time;
    ask.end_time = request->end_time;
    ask.by = request->by;
    ask.page_size = 1;
    struct rpc_client_options options = session_call_options(export->session);
    ProtobufCMessage *answer;
    error err;
    if (isatty(STDERR_FILENO) &&
        rpc_client_call(channel, &casework__report__v1__report_service__descriptor, "ListEngagements",
                        &ask.base, &options, export->session->memory, &answer, &err))
        export->total = ((const Casework__Report__V1__ListEngagementsResponse *)answer)->total_size;
}

static bool take_parts(struct export *export, rpc_stream *stream, arena *memory, error *err)
{
    while (!interrupted) {
        ProtobufCMessage *message;
        arena_clear(memory);
        switch (rpc_stream_read(stream, CLOCK_SECOND / 5, memory, &message, err)) {
        case RPC_READ_MESSAGE:
            break;
        case RPC_READ_TIMEOUT:
            continue;
        case RPC_READ_END:
            return true;
        default:
            return false;
        }
        const export_part *part = (const export_part *)message;
        if (part->data.len > 0 && fwrite(part->data.data, 1, part->data.len, export->to) != part->data.len)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "the file cannot be written: %s",
                             strerror(errno));
        count_lines(export, part);
        show_progress(export, false);
    }
    return error_set(err, STATUS_CANCELLED, "", "interrupted");
}

static bool stream_parts(struct export *export, const ProtobufCMessage *request, error *err)
{
    rpc_channel *channel;
    rpc_stream *stream;
    struct rpc_client_options options = session_call_options(export->session);
    options.timeout_us = INT64_MAX;
    if (!session_channel(export->session, TARGET_REPORT, &channel, err))
        return false;
    find_total(export, channel, (const Casework__Report__V1__ExportEngagementsRequest *)request);
    if (!rpc_stream_open(channel, &casework__report__v1__report_service__descriptor, "ExportEngagements",
                         &options, &stream, err))
        return false;
    if (rpc_stream_write(stream, request))
        rpc_stream_close_send(stream);
    arena *memory = arena_new(16u << 20);
    bool done = memory ? take_parts(export, stream, memory, err)
                       : error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
    arena_free(memory);
    rpc_stream_free(stream);
    if (done)
        show_progress(export, true);
    return done;
}

#define RANGE                                                                             \
    {"since", "start_time", WORD_TEXT, "closed (or opened) at this time or later", 0, 0}, \
        {"until", "end_time", WORD_TEXT, "closed (or opened) before this time", 0, 0},    \
        {"by", "by", WORD_TEXT, "close or open: which time is meant", 0, 0},              \
    {                                                                                     \
        "min-position", "min_position", WORD_TEXT, "wait for this position", 0, 0         \
    }

static const struct command export_command = {
    "report",
    "engagements",
    "export the table: --csv FILE or --json-lines FILE (\"-\": standard output)",
    REPORT,
    "ExportEngagements",
    COMMAND_IN_ACCOUNT,
    {RANGE, {"messages", "include_messages", WORD_TEXT, "with all messages", 0, 1}},
    .resource = "",
};

static const struct command list_command = {
    "report",
    "engagements",
    "list the table; --csv FILE or --json-lines FILE exports all of it",
    REPORT,
    "ListEngagements",
    COMMAND_IN_ACCOUNT,
    {RANGE,
     {"agent", "agent", WORD_AGENT, "only where this agent replied", 0, 0},
     {"channel", "channel", WORD_CHANNEL, "only on this channel", 0, 0},
     {"label", "label", WORD_TEXT, "only with this label", 0, 0},
     {"classification", "classification", WORD_TEXT, "only with GROUP=VALUE", 0, 0},
     {"order-by", "order_by", WORD_TEXT, "\"close_time desc\", \"first_reply_duration\" …", 0, 0},
     COMMAND_PAGE},
    .rows = "engagements",
    .columns = "case,channel_address,open_time,close_time,last_agent,first_reply_duration,"
               "resolution_duration,agents_involved,agent_interactions,nps_sent,state,classifications",
};

static int run_export(struct session *session, const char *name, bool csv, int argc, char **argv)
{
    int status = 0;
    error err;
    struct whole_file whole;
    ProtobufCMessage *request = command_request(session, &export_command, argc, argv, &status);
    if (!request)
        return status;
    ((Casework__Report__V1__ExportEngagementsRequest *)request)->format =
        csv ? CASEWORK__REPORT__V1__EXPORT_FORMAT__EXPORT_FORMAT_CSV
            : CASEWORK__REPORT__V1__EXPORT_FORMAT__EXPORT_FORMAT_JSON_LINES;
    if (!file_open(&whole, name, &err))
        return command_fail(&err);
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    struct export export = {.session = session, .to = whole.file, .csv = csv};
    bool done = stream_parts(&export, request, &err);
    error closing;
    if (!file_close(&whole, done, &closing) && done)
        return command_fail(&closing);
    return done ? 0 : command_fail(&err);
}

int program_report_engagements(struct session *session, int argc, char **argv)
{
    const char *csv = NULL, *lines = NULL;
    if (!take_file(&argc, argv, "--csv", &csv) || !take_file(&argc, argv, "--json-lines", &lines))
        return 2;
    if (csv && lines) {
        fprintf(stderr, "casework: either --csv or --json-lines\n");
        return 2;
    }
    if (!csv && !lines)
        return command_run(session, &list_command, argc, argv);
    return run_export(session, csv ? csv : lines, csv != NULL, argc, argv);
}

/* --- charts -------------------------------------------------------------------------------------- */

#define ACTIVITY(path)                                                                                       \
    {"period", path "preset", WORD_TEXT, "today, yesterday, last-7-days, last-14-days, last-28-days", 0, 0}, \
        {"date", path "date", WORD_TEXT, "a day, YYYY-MM-DD", 0, 0},                                         \
        {"month", path "month", WORD_TEXT, "a month, YYYY-MM", 0, 0},                                        \
        {"from", path "range.start_date", WORD_TEXT, "first day", 0, 0},                                     \
        {"to", path "range.end_date", WORD_TEXT, "day after the last", 0, 0},                                \
        {"time-zone", path "time_zone", WORD_TEXT, "another zone than the account's", 0, 0},                 \
        {"as-of", path "as_of_time", WORD_TEXT, "as it was at this time", 0, 0},                             \
        {"as-of-position", path "as_of_position", WORD_TEXT, "as it was at this position", 0, 0},            \
    {                                                                                                        \
        "min-position", path "min_position", WORD_TEXT, "wait for this position", 0, 0                       \
    }

#define VOLUME(path)                                                                          \
    {"since", path "start_time", WORD_TEXT, "from this time on", 0, 0},                       \
        {"until", path "end_time", WORD_TEXT, "before this time", 0, 0},                      \
        {"unit", path "unit", WORD_TEXT, "hour or day", 0, 0},                                \
        {"time-zone", path "time_zone", WORD_TEXT, "another zone than the account's", 0, 0},  \
        {"by", path "by", WORD_TEXT, "close or open: only what closed or opened then", 0, 0}, \
    {                                                                                         \
        "min-position", path "min_position", WORD_TEXT, "wait for this position", 0, 0        \
    }

#define SIZE                                                          \
    {"width", "width", WORD_TEXT, "of the picture, in pixels", 0, 0}, \
    {                                                                 \
        "height", "height", WORD_TEXT, "likewise", 0, 0               \
    }

#define ACCOUNT                                        \
    {                                                  \
        {                                              \
            "ACCOUNT", "parent", WORD_ACCOUNT, 0, 0, 0 \
        }                                              \
    }

static const struct command activity_command = {
    "report",
    "activity",
    "case activity by hour or day; --svg FILE draws it",
    REPORT,
    "GetCaseActivity",
    ACCOUNT,
    {ACTIVITY("")},
    .rows = "rows",
    .columns = "start_time,created,pending,resolved,deleted,average_resolve_duration",
};

static const struct command activity_chart = {"report",
                                              "activity",
                                              "draw case activity: --svg FILE (\"-\": standard output)",
                                              REPORT,
                                              "RenderChart",
                                              ACCOUNT,
                                              {ACTIVITY("case_activity."), SIZE},
                                              .resource = ""};

static const struct command volume_command = {
    "report",     "volume",        "open cases by hour or day; --svg FILE draws them",
    REPORT,       "GetCaseVolume", ACCOUNT,
    {VOLUME("")}, .rows = "rows",  .columns = "start_time,end_time,open_cases",
};

static const struct command volume_chart = {"report",
                                            "volume",
                                            "draw open cases: --svg FILE (\"-\": standard output)",
                                            REPORT,
                                            "RenderChart",
                                            ACCOUNT,
                                            {VOLUME("case_volume."), SIZE},
                                            .resource = ""};

static bool fetch_chart(struct session *session, const ProtobufCMessage *request, const char *name,
                        error *err)
{
    rpc_channel *channel;
    ProtobufCMessage *message;
    struct whole_file whole;
    struct rpc_client_options options = session_call_options(session);
    if (!session_channel(session, TARGET_REPORT, &channel, err) ||
        !rpc_client_call(channel, &casework__report__v1__report_service__descriptor, "RenderChart", request,
                         &options, session->memory, &message, err) ||
        !file_open(&whole, name, err))
        return false;
    const Casework__Report__V1__RenderChartResponse *answer =
        (const Casework__Report__V1__RenderChartResponse *)message;
    bool written = fwrite(answer->data.data, 1, answer->data.len, whole.file) == answer->data.len;
    if (!written)
        file_failed(&whole, err);
    return file_close(&whole, written, err) && written;
}

/* --- in a terminal ------------------------------------------------------------------------------- */

typedef Casework__Report__V1__GetCaseActivityResponse activity_answer;
typedef Casework__Report__V1__GetCaseVolumeResponse volume_answer;

static int64_t instant(const Google__Protobuf__Timestamp *time)
{
    return time != NULL ? time->seconds * CLOCK_SECOND + time->nanos / 1000 : 0;
}

static struct bars_row activity_row(arena *memory, const Casework__Report__V1__CaseActivityRow *row)
{
    const Google__Protobuf__Duration *average = row->average_resolve_duration;
    const char *note = average != NULL ? print_duration(memory, average->seconds) : "";
    return (struct bars_row){.start_us = instant(row->start_time),
                             .end_us = instant(row->end_time),
                             .values = {row->created, row->pending, row->resolved, row->deleted},
                             .note = note != NULL ? note : ""};
}

static bool draw_activity(arena *memory, const ProtobufCMessage *message)
{
    static const char *const titles[] = {"CREATED", "PENDING", "RESOLVED", "DELETED"};
    const activity_answer *answer = (const activity_answer *)message;
    struct bars_row *rows = arena_calloc(memory, answer->n_rows + 1, sizeof *rows), total;
    if (rows == NULL)
        return false;
    for (size_t i = 0; i < answer->n_rows; i++)
        rows[i] = activity_row(memory, answer->rows[i]);
    total = activity_row(memory, answer->total);
    const struct bars bars = {.zone = answer->time_zone,
                              .position = answer->position,
                              .titles = titles,
                              .column_count = 4,
                              .note_title = "AVERAGE",
                              .rows = rows,
                              .row_count = answer->n_rows,
                              .total = &total};
    bars_print(stdout, memory, &bars, bars_terminal_width(STDOUT_FILENO), bars_terminal_blocks());
    return true;
}

static bool draw_volume(arena *memory, const ProtobufCMessage *message)
{
    static const char *const titles[] = {"OPEN CASES"};
    const volume_answer *answer = (const volume_answer *)message;
    struct bars_row *rows = arena_calloc(memory, answer->n_rows + 1, sizeof *rows);
    if (rows == NULL)
        return false;
    for (size_t i = 0; i < answer->n_rows; i++)
        rows[i] = (struct bars_row){.start_us = instant(answer->rows[i]->start_time),
                                    .end_us = instant(answer->rows[i]->end_time),
                                    .values = {answer->rows[i]->open_cases},
                                    .note = ""};
    const struct bars bars = {.zone = answer->time_zone,
                              .position = answer->position,
                              .titles = titles,
                              .column_count = 1,
                              .note_title = "",
                              .rows = rows,
                              .row_count = answer->n_rows};
    bars_print(stdout, memory, &bars, bars_terminal_width(STDOUT_FILENO), bars_terminal_blocks());
    return true;
}

static int run_bars(struct session *session, const struct command *table, int argc, char **argv)
{
    int status = 0;
    error err;
    rpc_channel *channel;
    ProtobufCMessage *answer, *request = command_request(session, table, argc, argv, &status);
    struct rpc_client_options options = session_call_options(session);
    if (!request)
        return status;
    if (!session_channel(session, TARGET_REPORT, &channel, &err) ||
        !rpc_client_call(channel, table->service, table->method, request, &options, session->memory, &answer,
                         &err))
        return command_fail(&err);
    bool drawn = table == &activity_command ? draw_activity(session->memory, answer)
                                            : draw_volume(session->memory, answer);
    if (drawn)
        return 0;
    error_set(&err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
    return command_fail(&err);
}

static int run_report(struct session *session, const struct command *table, const struct command *chart,
                      int argc, char **argv)
{
    const char *svg = NULL;
    int status = 0;
    error err;
    if (!take_file(&argc, argv, "--svg", &svg))
        return 2;
    if (!svg && !session->json && isatty(STDOUT_FILENO))
        return run_bars(session, table, argc, argv);
    if (!svg)
        return command_run(session, table, argc, argv);
    ProtobufCMessage *request = command_request(session, chart, argc, argv, &status);
    if (!request)
        return status;
    Casework__Report__V1__RenderChartRequest *asked = (Casework__Report__V1__RenderChartRequest *)request;
    Casework__Report__V1__GetCaseVolumeRequest volume = CASEWORK__REPORT__V1__GET_CASE_VOLUME_REQUEST__INIT;
    if (chart == &volume_chart && !asked->chart_case) { /* without a flag nothing says that it is volume */
        asked->chart_case = CASEWORK__REPORT__V1__RENDER_CHART_REQUEST__CHART_CASE_VOLUME;
        asked->case_volume = &volume;
    }
    return fetch_chart(session, request, svg, &err) ? 0 : command_fail(&err);
}

int program_report_activity(struct session *session, int argc, char **argv)
{
    return run_report(session, &activity_command, &activity_chart, argc, argv);
}

int program_report_volume(struct session *session, int argc, char **argv)
{
    return run_report(session, &volume_command, &volume_chart, argc, argv);
}
