#include "tests/support/erase_desk.h"

#include "base/clock.h"
#include "pg/pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void desk_merge(struct case_server *server, const char *source, const char *target)
{
    Casework__Cases__V1__MergeCasesRequest request = CASEWORK__CASES__V1__MERGE_CASES_REQUEST__INIT;
    request.source = desk_text(source);
    request.target = desk_text(target);
    desk_call(server, "", DESK_CASES, "MergeCases", &request);
}

void desk_unmerge(struct case_server *server, const char *source)
{
    Casework__Cases__V1__UnmergeCasesRequest request = CASEWORK__CASES__V1__UNMERGE_CASES_REQUEST__INIT;
    request.name = desk_text(source);
    desk_call(server, "", DESK_CASES, "UnmergeCases", &request);
}

Casework__Cases__V1__RedactMessageResponse *desk_redact(struct case_server *server, const char *message)
{
    Casework__Cases__V1__RedactMessageRequest request = CASEWORK__CASES__V1__REDACT_MESSAGE_REQUEST__INIT;
    request.name = desk_text(message);
    return desk_call(server, "", DESK_MESSAGES, "RedactMessage", &request);
}

Casework__Cases__V1__EraseContactResponse *desk_erase(struct case_server *server, const char *contact)
{
    Casework__Cases__V1__EraseContactRequest request = CASEWORK__CASES__V1__ERASE_CONTACT_REQUEST__INIT;
    request.name = desk_text(contact);
    return desk_call(server, "", DESK_CONTACTS, "EraseContact", &request);
}

Casework__Cases__V1__DeleteAccountRequest *desk_delete_request(struct case_server *server, const char *name,
                                                               const char *request_id)
{
    Casework__Cases__V1__DeleteAccountRequest *request = arena_alloc(server->memory, sizeof *request);
    casework__cases__v1__delete_account_request__init(request);
    request->name = desk_text(name);
    request->request_id = desk_text(request_id);
    return request;
}

Casework__Cases__V1__DeleteAccountResponse *desk_delete_account(struct case_server *server, const char *name)
{
    return desk_call(server, "", DESK_ACCOUNTS, "DeleteAccount", desk_delete_request(server, name, ""));
}

static pg_conn *look_up(struct case_server *server, const struct pg_statement *statement,
                        const pg_params *params, pg_result **ret_result)
{
    const struct pg_options options = {.url = embedded_pg_url(server->pg)};
    pg_conn *conn = NULL;
    error err = {0};
    if (!pg_conn_open(&options, &conn, &err) || !pg_query(conn, statement, params, 0, ret_result, &err)) {
        fprintf(stderr, "%s: %s %s\n", statement->sql, err.message, err.detail);
        abort();
    }
    return conn;
}

Casework__Cases__V1__Document *desk_document(struct case_server *server, const char *case_name)
{
    Casework__Cases__V1__BatchGetDocumentsRequest request =
        CASEWORK__CASES__V1__BATCH_GET_DOCUMENTS_REQUEST__INIT;
    char *names[] = {desk_text(case_name)};
    request.parent = desk_text("accounts/-");
    request.names = names;
    request.n_names = 1;
    Casework__Cases__V1__BatchGetDocumentsResponse *response =
        desk_call(server, "", &casework__cases__v1__event_service__descriptor, "BatchGetDocuments", &request);
    return response->documents[0];
}

int64_t desk_count(struct case_server *server, const char *sql)
{
    const struct pg_statement statement = {.name = "test", .sql = sql};
    pg_result *result = NULL;
    pg_conn *conn = look_up(server, &statement, NULL, &result);
    int64_t number = pg_get_int(result, 0, 0);
    pg_result_free(result);
    pg_conn_close(conn);
    return number;
}

void desk_await(struct case_server *server, const char *sql, int64_t wanted)
{
    int64_t until = clock_monotonic_us() + 30 * CLOCK_SECOND;
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    while (desk_count(server, sql) != wanted) {
        if (clock_monotonic_us() > until) {
            fprintf(stderr, "in vain: %s\n", sql);
            abort();
        }
        nanosleep(&pause, NULL);
    }
}

void desk_await_erased(struct case_server *server)
{
    desk_await(server, "SELECT count(*) FROM erasures", 0);
}

const char *desk_tables_with(struct case_server *server, const char *account)
{
    static const struct pg_statement list = {
        .name = "tables",
        .sql = "SELECT string_agg(table_name, ' ' ORDER BY table_name) FROM information_schema.columns"
               " WHERE column_name = 'account' AND table_schema = 'public' AND (xpath('/row/n/text()',"
               " query_to_xml(format('SELECT count(*) AS n FROM %I WHERE account = %L', table_name,"
               " $1::text), false, true, '')))[1]::text::bigint > 0",
    };
    pg_params params;
    pg_result *result = NULL;
    pg_params_init(&params, server->memory);
    pg_add_text(&params, account);
    pg_conn *conn = look_up(server, &list, &params, &result);
    const char *names = arena_strdup(server->memory, pg_get_text(result, 0, 0));
    pg_result_free(result);
    pg_conn_close(conn);
    return names;
}
