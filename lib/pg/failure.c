#include "pg/pg_internal.h"

#include <string.h>

/* From SQLSTATE (PostgreSQL manual, appendix A) to a status. The first row whose prefix fits wins. */
static const struct {
    const char *prefix;
    enum status_code code;
    const char *reason;
    const char *message;
    bool final; /* the connection is of no use afterwards */
} meanings[] = {
    {"40001", STATUS_ABORTED, "CONFLICT", "another change came in between, try again", false},
    {"40P01", STATUS_ABORTED, "CONFLICT", "another change came in between, try again", false},
    {"57014", STATUS_DEADLINE_EXCEEDED, "DATABASE_SLOW", "the database took too long", false},
    {"55P03", STATUS_UNAVAILABLE, "DATABASE_BUSY", "the database is busy, try again", false},
    {"53300", STATUS_RESOURCE_EXHAUSTED, "DATABASE_FULL", "too many database connections", true},
    {"53", STATUS_UNAVAILABLE, "DATABASE_FULL", "the database is out of resources", false},
    {"25006", STATUS_UNAVAILABLE, "DATABASE_READ_ONLY", "the database takes no writes at present", true},
    {"25P03", STATUS_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database connection was lost", true},
    {"57P", STATUS_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database is not available", true},
    {"08", STATUS_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database connection was lost", true},
    {"58", STATUS_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database had a system error", false},
    {"", STATUS_INTERNAL, "DATABASE_ERROR", "internal error", false},
};

static size_t find_meaning(const char *state)
{
    size_t i = 0;
    while (strncmp(state, meanings[i].prefix, strlen(meanings[i].prefix)) != 0)
        i++;
    return i;
}

static const char *sqlstate(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state ? state : "08006"; /* libpq's own errors are about the connection */
}

void pg_error_from_result(const PGresult *result, const char *statement, error *err)
{
    const char *state = sqlstate(result);
    size_t i = find_meaning(state);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    error_set(err, meanings[i].code, meanings[i].reason, "%s", meanings[i].message);
    error_add_detail(err, "%s %s: %s", statement, state, text ? text : PQresultErrorMessage(result));
}

bool pg_error_is_final(const PGresult *result)
{
    return meanings[find_meaning(sqlstate(result))].final;
}
