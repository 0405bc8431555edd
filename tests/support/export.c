#include "tests/support/export.h"

#include "base/clock.h"
#include "feed/partition.h"
#include "pg/pg.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILE_MAX = 512 << 20 };

#define PYTHON "/usr/bin/python3"

export_request export_ask(const struct shop *d, int format)
{
    export_request request = CASEWORK__REPORT__V1__EXPORT_ENGAGEMENTS_REQUEST__INIT;
    request.parent = (char *)d->account;
    request.format = (Casework__Report__V1__ExportFormat)format;
    request.min_position = suite_position(d->suite, d->account);
    return request;
}

rpc_stream *export_open(const struct shop *d, rpc_channel *channel, const export_request *request)
{
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    rpc_stream *stream;
    error err = {0};
    cr_assert(rpc_stream_open(channel != NULL ? channel : suite_channel(d->suite, SUITE_REPORT, 0),
                              &casework__report__v1__report_service__descriptor, "ExportEngagements",
                              &options, &stream, &err),
              "%s", err.message);
    if (rpc_stream_write(stream, &request->base))
        rpc_stream_close_send(stream);
    return stream;
}

bool export_read(rpc_stream *stream, bytes *to, int64_t *ret_position, error *ret_err)
{
    arena *memory = arena_new((size_t)16 << 20);
    enum rpc_read read;
    for (;;) {
        ProtobufCMessage *message;
        arena_clear(memory);
        read = rpc_stream_read(stream, CLOCK_MINUTE, memory, &message, ret_err);
        if (read != RPC_READ_MESSAGE)
            break;
        const export_part *part = (const export_part *)message;
        if (to != NULL)
            cr_assert(bytes_append(to, part->data.data, part->data.len));
        *ret_position = part->position;
    }
    cr_assert_neq(read, RPC_READ_TIMEOUT);
    arena_free(memory);
    return read == RPC_READ_END;
}

bytes export_file(const struct shop *d, const export_request *request)
{
    bytes file;
    int64_t position = 0;
    error err = {0};
    bytes_init(&file, FILE_MAX);
    rpc_stream *stream = export_open(d, NULL, request);
    cr_assert(export_read(stream, &file, &position, &err), "%s", err.message);
    cr_expect_geq(position, request->min_position);
    rpc_stream_free(stream);
    return file;
}

json_t *export_lines(const bytes *file)
{
    json_t *lines = json_array();
    const char *at = bytes_text(file);
    while (*at != '\0') {
        const char *end = strchr(at, '\n');
        cr_assert_not_null(end, "the last line ends too");
        json_error_t why;
        json_t *line = json_loadb(at, (size_t)(end - at), JSON_REJECT_DUPLICATES, &why);
        cr_assert_not_null(line, "%s: %.*s", why.text, (int)(end - at), at);
        json_array_append_new(lines, line);
        at = end + 1;
    }
    return lines;
}

json_t *export_python(const struct shop *d, const bytes *file)
{
    static const char script[] = "import csv, json, sys\n"
                                 "csv.field_size_limit(1 << 30)\n"
                                 "with open(sys.argv[1], encoding='utf-8', newline='') as f:\n"
                                 "    rows = list(csv.DictReader(f, strict=True))\n"
                                 "assert all(None not in row and None not in row.values() for row in rows)\n"
                                 "with open(sys.argv[2], 'w', encoding='utf-8') as f:\n"
                                 "    json.dump(rows, f)\n";
    if (access(PYTHON, X_OK) != 0)
        cr_skip_test(PYTHON " is not there to read CSV");
    char from[512], to[512];
    snprintf(from, sizeof from, "%s/export.csv", suite_directory(d->suite));
    snprintf(to, sizeof to, "%s/export.json", suite_directory(d->suite));
    FILE *out = fopen(from, "w");
    cr_assert_not_null(out);
    cr_assert_eq(fwrite(bytes_text(file), 1, file->length, out), file->length);
    cr_assert_eq(fclose(out), 0);
    const struct process_options options = {.argv =
                                                (const char *const[]){PYTHON, "-c", script, from, to, NULL}};
    error err = {0};
    cr_assert(process_run(&options, CLOCK_MINUTE, &err), "%s", err.message);
    json_error_t why;
    json_t *rows = json_load_file(to, 0, &why);
    cr_assert_not_null(rows, "%s", why.text);
    return rows;
}

void export_fill(const struct shop *d, int count)
{
    const struct pg_options options = {.url = suite_database(d->suite, SUITE_REPORT),
                                       .statement_timeout_us = CLOCK_MINUTE};
    pg_conn *conn;
    error err = {0};
    const char *sql = arena_printf(
        d->memory,
        "INSERT INTO report_engagements SELECT %d, '%s', 1000000 + n, 5, false, 'desk', 'email',"
        " 'support@acme.example', '{vip,\"new, old\"}', '{topic,reason}', '{Repair,\"say \\\"hi\\\"\"}',"
        " 1772440000000000 + n, 1772430000000000 + n * 1000, 1772440000000000 + n * 1000, 90000000,"
        " 3600000000 + n, 1 + n %% 7, '{ann,bob}', 'bob', n %% 2 = 0, '{}',"
        " ARRAY[1772430000000000 + n * 1000, 1772440000000000 + n * 1000]::int8[], true, true"
        " FROM generate_series(1, %d) n",
        feed_partition(strchr(d->account, '/') + 1), strchr(d->account, '/') + 1, count);
    cr_assert(pg_conn_open(&options, &conn, &err), "%s", err.detail);
    cr_assert(pg_run_script(conn, sql, clock_monotonic_us() + CLOCK_MINUTE, &err), "%s", err.detail);
    pg_conn_close(conn);
}
