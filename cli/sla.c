/* casework sla watch, check and rebuild: what the SLA service tells as a stream. "-" stands for all accounts.
 */

#include "base/clock.h"
#include "casework/sla/v1/sla_service.pb-c.h"
#include "cli/command.h"
#include "cli/print.h"
#include "cli/programs.h"
#include "cli/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef Casework__Sla__V1__Timer wire_timer;
typedef Casework__Sla__V1__WatchTimersResponse watch_item;
typedef Casework__Sla__V1__CheckTimersResponse check_item;
typedef Casework__Sla__V1__CheckTimersResponse__Difference wire_difference;
typedef Casework__Sla__V1__RebuildTimersResponse rebuild_item;

#define SLA TARGET_SLA, &casework__sla__v1__sla_service__descriptor

/* How diff(1) and its like tell a difference from a failure; `casework-report --rebuild=check` does the same.
 */
enum { STATUS_DIFFERENT = 3 };

/* How the words become requests; in the list of commands these stand without them. */
static const struct command watch_command = {
    "sla",
    "watch",
    "show warnings, breaches, met targets and closings, as they happen",
    SLA,
    "WatchTimers",
    COMMAND_IN_ACCOUNT,
    {{"kind", "kinds", WORD_TEXT, "close, first-reply, next-reply or resolution; may be given again", 0, 0},
     {"resume-token", "resume_token", WORD_TEXT, "go on where an earlier watch ended (see --json)", 0, 0}},
    .resource = "",
};

static const struct command check_command = {
    "sla", "check",        "compare timers with the cases: 0 the same, 3 different, 1 could not be done",
    SLA,   "CheckTimers",  COMMAND_IN_ACCOUNT,
    {{0}}, .resource = "",
};

static const struct command rebuild_command = {
    "sla", "rebuild",       "make timers anew from the cases, soonest first, while firing goes on",
    SLA,   "RebuildTimers", COMMAND_IN_ACCOUNT,
    {{0}}, .resource = "",
};

/* --- watching ------------------------------------------------------------------------------------- */

static void show_step(void *context, const struct session *session, arena *memory,
                      const ProtobufCMessage *message)
{
    const watch_item *item = (const watch_item *)message;
    (void)context;
    if (session->json) {
        print_json(stdout, message);
        return;
    }
    if (!item->timer)
        return;
    const char *late = print_cell_text(memory, message, "lateness_duration");
    printf("%8" PRId64 "  %s  %-8s  %-11s  %-24s %s%s\n", item->position,
           print_cell_text(memory, message, "event_time"), print_cell_text(memory, message, "step"),
           print_cell_text(memory, message, "timer.kind"), print_cell_text(memory, message, "timer.case"),
           strcmp(late, "0s") == 0 ? "" : "late by ", strcmp(late, "0s") == 0 ? "" : late);
}

int program_sla_watch(struct session *session, int argc, char **argv)
{
    return watch_run(session, &watch_command, argc, argv, show_step, NULL);
}

/* --- checking and rebuilding ---------------------------------------------------------------------- */

/* What has come of a check or a rebuild so far. */
struct audit {
    bool whole;          /* its last item has come */
    int64_t differences; /* told */
    bool on_screen;      /* a line of progress that is not over yet */
};

static int end_audit(const struct audit *audit, int status)
{
    error err;
    if (status != 0 || audit->whole)
        return status;
    error_set(&err, STATUS_CANCELLED, "", "ended before it was done");
    return command_fail(&err);
}

/* "close", or "targets", which have one entry together. */
static const char *what_of(const wire_timer *timer)
{
    const char *last = strrchr(timer->name, '/');
    return last ? last + 1 : timer->name;
}

static void show_difference(arena *memory, const wire_difference *difference)
{
    const wire_timer *timer = difference->expected ? difference->expected : difference->actual;
    if (!timer)
        return;
    printf("%-9s %-24s %-8s %-20s %s\n", print_cell_text(memory, &difference->base, "kind"),
           print_cell_text(memory, &timer->base, "case"), what_of(timer),
           print_cell_text(memory, &difference->base, "expected.due_time"),
           print_cell_text(memory, &difference->base, "actual.due_time"));
}

static void show_check(void *context, const struct session *session, arena *memory,
                       const ProtobufCMessage *message)
{
    const check_item *item = (const check_item *)message;
    struct audit *audit = context;
    bool summary = item->item_case == CASEWORK__SLA__V1__CHECK_TIMERS_RESPONSE__ITEM_SUMMARY;
    bool difference = item->item_case == CASEWORK__SLA__V1__CHECK_TIMERS_RESPONSE__ITEM_DIFFERENCE;
    if (session->json) {
        print_json(stdout, message);
    } else if (difference) {
        if (audit->differences == 0)
            printf("%-9s %-24s %-8s %-20s %s\n", "WHAT", "CASE", "TIMER", "SHOULD BE DUE", "IS DUE");
        show_difference(memory, item->difference);
    } else if (summary) {
        printf("%" PRId64 " cases with %" PRId64 " timers compared, %" PRId64 " differences\n",
               item->summary->cases_checked, item->summary->timers_checked, item->summary->differences);
    }
    audit->differences += difference;
    audit->whole = audit->whole || summary;
}

int program_sla_check(struct session *session, int argc, char **argv)
{
    struct audit audit = {.whole = false};
    int status = end_audit(&audit, watch_run(session, &check_command, argc, argv, show_check, &audit));
    return status == 0 && audit.differences > 0 ? STATUS_DIFFERENT : status;
}

static void show_rebuild(void *context, const struct session *session, arena *memory,
                         const ProtobufCMessage *message)
{
    const rebuild_item *item = (const rebuild_item *)message;
    struct audit *audit = context;
    (void)memory;
    audit->whole = item->done;
    if (session->json) {
        print_json(stdout, message);
        return;
    }
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%" PRId64 " of %" PRId64 " cases, %" PRId64 " timers%s", item->cases_done,
                item->cases_total, item->timers_written, item->done ? "\n" : "");
        audit->on_screen = !item->done;
    }
    if (item->done)
        printf("%" PRId64 " cases, %" PRId64 " timers written, %" PRId64 " removed\n", item->cases_done,
               item->timers_written, item->timers_removed);
}

int program_sla_rebuild(struct session *session, int argc, char **argv)
{
    struct audit audit = {.whole = false};
    int status = watch_run(session, &rebuild_command, argc, argv, show_rebuild, &audit);
    if (audit.on_screen)
        fputc('\n', stderr);
    return end_audit(&audit, status);
}
