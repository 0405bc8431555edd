#include "cli/programs.h"

#include "base/clock.h"
#include "casework/cases/v1/import_service.pb-c.h"
#include "cli/command.h"
#include "cli/conversation.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REFUSALS_SHOWN = 20 };

/* Lines refused here, before they were sent, next to those that the service refuses. */
struct refused_line {
    int64_t line;
    char why[sizeof((error *)0)->message];
};

struct import {
    struct session *session;
    FILE *file;
    int64_t bytes_total; /* 0: not known */
    int64_t bytes_read;
    int64_t line;
    int64_t *sent_lines; /* line of each conversation sent */
    size_t sent, sent_size;
    struct refused_line *refused;
    size_t refused_count, refused_size;
    int64_t next_progress_us;
};

static void show_progress(struct import *import, bool last)
{
    if (!isatty(STDERR_FILENO) || (!last && clock_monotonic_us() < import->next_progress_us))
        return;
    import->next_progress_us = clock_monotonic_us() + CLOCK_SECOND / 10;
    int share = import->bytes_total ? (int)(import->bytes_read * 100 / import->bytes_total) : 0;
    if (share > 100)
        share = 100;
    static const char bar[] = "########################################";
    fprintf(stderr, "\r[%-40.*s] %3d%%  %zu conversations%s", share * 40 / 100, bar, share, import->sent,
            last ? "\n" : "");
}

static bool grow(void **items, size_t *size, size_t count, size_t item)
{
    if (count < *size)
        return true;
    size_t grown = *size ? *size * 2 : 256;
    void *more = reallocarray(*items, grown, item);
    if (!more)
        return false;
    *items = more;
    *size = grown;
    return true;
}

static bool remember_refusal(struct import *import, const char *why)
{
    if (!grow((void **)&import->refused, &import->refused_size, import->refused_count,
              sizeof *import->refused))
        return false;
    struct refused_line *refused = &import->refused[import->refused_count++];
    refused->line = import->line;
    snprintf(refused->why, sizeof refused->why, "%s", why);
    return true;
}

static bool send_line(struct import *import, rpc_stream *stream, const char *text, size_t length,
                      bool *ret_open, error *err)
{
    arena *memory = arena_new(64u << 20);
    if (!memory)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
    Casework__Cases__V1__ImportConversationsRequest *request;
    error why;
    bool kept = true;
    if (!conversation_parse(memory, text, length, &request, &why))
        kept = remember_refusal(import, why.message);
    else if (grow((void **)&import->sent_lines, &import->sent_size, import->sent,
                  sizeof *import->sent_lines)) {
        import->sent_lines[import->sent++] = import->line;
        *ret_open = rpc_stream_write(stream, &request->base);
    } else
        kept = false;
    arena_free(memory);
    return kept || error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

static bool send_file(struct import *import, rpc_stream *stream, error *err)
{
    char *text = NULL;
    size_t size = 0;
    bool open = true;
    bool done = true;
    ssize_t length;
    while (open && done && (length = getline(&text, &size, import->file)) > 0) {
        import->line++;
        import->bytes_read += length;
        if (!is_blank(text))
            done = send_line(import, stream, text, (size_t)length, &open, err);
        show_progress(import, false);
    }
    free(text);
    if (done && ferror(import->file))
        return error_set(err, STATUS_DATA_LOSS, "", "the file could not be read to its end: %s",
                         strerror(errno));
    return done;
}

/* The line of the file; 0 for one that cannot be told. */
static int64_t refused_line(const struct import *import, const Casework__Cases__V1__ImportRefusal *refusal)
{
    bool known = refusal->index >= 0 && (size_t)refusal->index < import->sent;
    return known ? import->sent_lines[refusal->index] : 0;
}

static void show_refusals(const struct import *import,
                          const Casework__Cases__V1__ImportConversationsResponse *answer)
{
    int shown = 0;
    for (size_t i = 0; i < import->refused_count && shown < REFUSALS_SHOWN; i++, shown++)
        fprintf(stderr, "line %" PRId64 ": %s\n", import->refused[i].line, import->refused[i].why);
    for (size_t i = 0; i < answer->n_refusals && shown < REFUSALS_SHOWN; i++, shown++) {
        const Casework__Cases__V1__ImportRefusal *refusal = answer->refusals[i];
        fprintf(stderr, "line %" PRId64 " (%s): %s: %s\n", refused_line(import, refusal),
                refusal->external_id, refusal->reason, refusal->message);
    }
    int64_t all = (int64_t)import->refused_count + answer->conversations_refused;
    if (all > shown)
        fprintf(stderr, "… and %" PRId64 " more\n", all - shown);
}

static json_t *refusal_json(int64_t line, const char *external_id, const char *reason, const char *message)
{
    return json_pack("{s:I,s:s,s:s,s:s}", "line", (json_int_t)line, "externalId", external_id, "reason",
                     reason, "message", message);
}

/* What the service answered, and every refusal by its line: also of lines that were not fit to be sent. */
static bool print_import_json(const struct import *import,
                              const Casework__Cases__V1__ImportConversationsResponse *answer, int64_t refused)
{
    json_t *refusals = json_array();
    for (size_t i = 0; i < import->refused_count; i++)
        json_array_append_new(
            refusals, refusal_json(import->refused[i].line, "", "INVALID_LINE", import->refused[i].why));
    for (size_t i = 0; i < answer->n_refusals; i++) {
        const Casework__Cases__V1__ImportRefusal *refusal = answer->refusals[i];
        json_array_append_new(refusals, refusal_json(refused_line(import, refusal), refusal->external_id,
                                                     refusal->reason, refusal->message));
    }
    json_t *root = json_object();
    json_object_set_new(root, "conversationsImported",
                        json_sprintf("%" PRId64, answer->conversations_imported));
    json_object_set_new(root, "conversationsUnchanged",
                        json_sprintf("%" PRId64, answer->conversations_unchanged));
    json_object_set_new(root, "messagesImported", json_sprintf("%" PRId64, answer->messages_imported));
    json_object_set_new(root, "conversationsRefused", json_sprintf("%" PRId64, refused));
    json_object_set_new(root, "refusals", refusals);
    bool written = json_dumpf(root, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0 && putchar('\n') != EOF;
    json_decref(root);
    return written;
}

static int report_answer(const struct import *import,
                         const Casework__Cases__V1__ImportConversationsResponse *answer)
{
    int64_t refused = (int64_t)import->refused_count + answer->conversations_refused;
    if (import->session->json)
        return print_import_json(import, answer, refused) && refused == 0 ? 0 : 1;
    show_refusals(import, answer);
    printf("%" PRId64 " conversations with %" PRId64 " messages imported, %" PRId64 " there already, %" PRId64
           " refused\n",
           answer->conversations_imported, answer->messages_imported, answer->conversations_unchanged,
           refused);
    return refused ? 1 : 0;
}

static bool run_import(struct import *import, int *ret_status, error *err)
{
    rpc_channel *channel;
    rpc_stream *stream;
    struct rpc_client_options options = session_call_options(import->session);
    options.timeout_us = INT64_MAX;
    if (!session_channel(import->session, TARGET_CASE, &channel, err) ||
        !rpc_stream_open(channel, &casework__cases__v1__import_service__descriptor, "ImportConversations",
                         &options, &stream, err))
        return false;
    bool done = send_file(import, stream, err);
    if (done) {
        rpc_stream_close_send(stream);
        ProtobufCMessage *answer;
        switch (rpc_stream_read(stream, CLOCK_HOUR, import->session->memory, &answer, err)) {
        case RPC_READ_MESSAGE:
            show_progress(import, true);
            *ret_status =
                report_answer(import, (const Casework__Cases__V1__ImportConversationsResponse *)answer);
            break;
        case RPC_READ_FAILED:
            done = false;
            break;
        default:
            done = error_set(err, STATUS_DEADLINE_EXCEEDED, "",
                             "no answer came; the import can simply be run again");
        }
    }
    rpc_stream_free(stream);
    return done;
}

int program_import(struct session *session, int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: casework import FILE   (\"-\": standard input)\n");
        return 2;
    }
    struct import import = {.session = session};
    import.file = strcmp(argv[1], "-") == 0 ? stdin : fopen(argv[1], "r");
    if (!import.file) {
        fprintf(stderr, "casework: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    struct stat status;
    if (fstat(fileno(import.file), &status) == 0 && S_ISREG(status.st_mode))
        import.bytes_total = status.st_size;
    int exit_status = 1;
    error err;
    if (!run_import(&import, &exit_status, &err))
        exit_status = command_fail(&err);
    if (import.file != stdin)
        fclose(import.file);
    free(import.sent_lines);
    free(import.refused);
    return exit_status;
}
