#include "tests/support/erase_marks.h"

#include "base/clock.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "casework/cases/v1/message_service.pb-c.h"
#include "tests/support/case_desk.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CASES (&casework__cases__v1__case_service__descriptor)
#define CONTACTS (&casework__cases__v1__contact_service__descriptor)
#define EVENTS (&casework__cases__v1__event_service__descriptor)
#define MESSAGES (&casework__cases__v1__message_service__descriptor)

void marks_in_text(struct marks_found *found, const char *data, size_t length, const char *place)
{
    const char *end = data + length, *at = data;
    while ((at = memmem(at, (size_t)(end - at), ERASE_MARK_TAIL, strlen(ERASE_MARK_TAIL))) != NULL) {
        unsigned number = at - data >= 2 ? (unsigned)((at[-2] - '0') * 10 + (at[-1] - '0')) : 0;
        if (number > 0 && number <= ERASE_MARKS_MAX && !found->marks[number]) {
            found->marks[number] = true;
            found->count++;
        }
        snprintf(found->place, sizeof found->place, "%s", place);
        at += strlen(ERASE_MARK_TAIL);
    }
}

static void look_into_file(struct marks_found *found, const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return; /* a file that has just gone */
    enum { CHUNK = 1 << 20, OVERLAP = 16 };
    char *buffer = malloc(CHUNK + OVERLAP);
    size_t kept = 0, got;
    while ((got = fread(buffer + kept, 1, CHUNK, file)) > 0) {
        marks_in_text(found, buffer, kept + got, path);
        size_t all = kept + got;
        kept = all < OVERLAP ? all : OVERLAP;
        memmove(buffer, buffer + all - kept, kept);
    }
    free(buffer);
    fclose(file);
}

void marks_in_folder(struct marks_found *found, const char *path, const char *skipped)
{
    DIR *folder = opendir(path);
    cr_assert_not_null(folder, "%s", path);
    for (struct dirent *item; (item = readdir(folder)) != NULL;) {
        char inner[1024];
        struct stat status;
        if (item->d_name[0] == '.' || strcmp(item->d_name, skipped) == 0)
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, item->d_name);
        if (stat(inner, &status) != 0)
            continue;
        if (S_ISDIR(status.st_mode))
            marks_in_folder(found, inner, skipped);
        else if (S_ISREG(status.st_mode))
            look_into_file(found, inner);
    }
    closedir(folder);
}

/* Everything PostgreSQL has written but its log of changes. */
void marks_on_disk(struct erase_scene *scene, struct marks_found *found)
{
    pg_conn *conn = scene_connect(scene, SUITE_CASE);
    scene_run(conn, "CHECKPOINT");
    marks_in_folder(found, scene_ask(scene, conn, "SELECT current_setting('data_directory')"), "pg_wal");
    pg_conn_close(conn);
}

/* Tables whose rows, as text and in hexadecimal, have a mark: of all three databases. */
const char *marks_in_tables(struct erase_scene *scene)
{
    static const char sql[] =
        "SELECT coalesce(string_agg(n.nspname || '.' || c.relname, ' '), '') FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'"
        " AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        " AND (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I.%I t"
        " WHERE t::text LIKE ''%%zq7x%%'' OR t::text LIKE ''%%'' || encode(''zq7x'', ''hex'') || ''%%''',"
        " n.nspname, c.relname), false, true, '')))[1]::text::bigint > 0";
    static const enum suite_service services[] = {SUITE_CASE, SUITE_SLA, SUITE_REPORT};
    const char *names = "";
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        pg_conn *conn = scene_connect(scene, services[i]);
        names = arena_printf(scene->memory, "%s%s", names, scene_ask(scene, conn, sql));
        pg_conn_close(conn);
    }
    return names;
}

static void look_at_message(struct marks_found *found, const void *message, const char *place, arena *memory)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    unsigned char *packed = arena_alloc(memory, length + 1);
    protobuf_c_message_pack(message, packed);
    marks_in_text(found, (const char *)packed, length, place);
}

static void look_at_case(struct erase_scene *scene, struct marks_found *found, const char *name)
{
    Casework__Cases__V1__GetCaseRequest get = CASEWORK__CASES__V1__GET_CASE_REQUEST__INIT;
    Casework__Cases__V1__ListMessagesRequest list = CASEWORK__CASES__V1__LIST_MESSAGES_REQUEST__INIT;
    Casework__Cases__V1__ListCaseEventsRequest events = CASEWORK__CASES__V1__LIST_CASE_EVENTS_REQUEST__INIT;
    Casework__Cases__V1__BatchGetDocumentsRequest documents =
        CASEWORK__CASES__V1__BATCH_GET_DOCUMENTS_REQUEST__INIT;
    char *names[] = {desk_text(name)};
    get.name = list.parent = events.parent = desk_text(name);
    documents.parent = desk_text("accounts/-");
    documents.names = names;
    documents.n_names = 1;
    look_at_message(found, scene_call(scene, CASES, "GetCase", &get), "GetCase", scene->memory);
    look_at_message(found, scene_call(scene, MESSAGES, "ListMessages", &list), "ListMessages", scene->memory);
    look_at_message(found, scene_call(scene, CASES, "ListCaseEvents", &events), "ListCaseEvents",
                    scene->memory);
    look_at_message(found, scene_call(scene, EVENTS, "BatchGetDocuments", &documents), "BatchGetDocuments",
                    scene->memory);
}

void marks_in_answers(struct erase_scene *scene, struct marks_found *found)
{
    Casework__Cases__V1__ListCasesRequest cases = CASEWORK__CASES__V1__LIST_CASES_REQUEST__INIT;
    Casework__Cases__V1__ListContactsRequest contacts = CASEWORK__CASES__V1__LIST_CONTACTS_REQUEST__INIT;
    Casework__Cases__V1__GetContactRequest contact = CASEWORK__CASES__V1__GET_CONTACT_REQUEST__INIT;
    cases.parent = contacts.parent = desk_text(scene->account);
    cases.order_by = desk_text("subject");
    contact.name = desk_text(scene->contact);
    look_at_message(found, scene_call(scene, CASES, "ListCases", &cases), "ListCases", scene->memory);
    look_at_message(found, scene_call(scene, CONTACTS, "ListContacts", &contacts), "ListContacts",
                    scene->memory);
    look_at_message(found, scene_call(scene, CONTACTS, "GetContact", &contact), "GetContact", scene->memory);
    for (size_t i = 0; i < scene->case_count; i++)
        look_at_case(scene, found, scene->cases[i]);
    look_at_case(scene, found, scene->other);
}

/* The whole feed, or the snapshot. */
void marks_in_stream(struct erase_scene *scene, struct marks_found *found, const char *method)
{
    Casework__Cases__V1__StreamEventsRequest events = CASEWORK__CASES__V1__STREAM_EVENTS_REQUEST__INIT;
    Casework__Cases__V1__StreamSnapshotRequest snapshot = CASEWORK__CASES__V1__STREAM_SNAPSHOT_REQUEST__INIT;
    bool is_feed = strcmp(method, "StreamEvents") == 0;
    const struct rpc_client_options options = {.timeout_us = CLOCK_MINUTE};
    rpc_stream *stream;
    ProtobufCMessage *message;
    error err;
    events.parent = snapshot.parent = desk_text(scene->account);
    cr_assert(
        rpc_stream_open(suite_channel(scene->s, SUITE_CASE, 0), EVENTS, method, &options, &stream, &err));
    cr_assert(rpc_stream_write(stream, is_feed ? &events.base : &snapshot.base));
    rpc_stream_close_send(stream);
    bool over = false;
    while (!over &&
           rpc_stream_read(stream, 30 * CLOCK_SECOND, scene->memory, &message, &err) == RPC_READ_MESSAGE) {
        look_at_message(found, message, method, scene->memory);
        over = is_feed && ((Casework__Cases__V1__StreamEventsResponse *)message)->caught_up;
    }
    rpc_stream_free(stream);
}

/* How many of the marks search finds. */
size_t marks_searchable(struct erase_scene *scene)
{
    size_t count = 0;
    char word[16];
    for (unsigned i = 1; i <= scene->marks; i++) {
        snprintf(word, sizeof word, "mk%02u%s", i, ERASE_MARK_TAIL);
        count += scene_search(scene, word) > 0;
    }
    return count;
}
