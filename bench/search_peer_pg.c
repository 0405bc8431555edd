/*
 * PostgreSQL as a side of the search benchmark, over its socket:
 *
 *     search_peer_pg VARIANT build|query|… as bench/support/search_peer.h says; PLACE is a database's URL
 *
 *     gin            a row a case, its terms as a tsvector without positions under GIN
 *     rum            the same under RUM, which keeps the document with each posting and so walks the newest
 * first btree_nested   a row a term and document, under a B-tree: the rarest term's are looked up under the
 * others btree_merge    the same, the terms' documents merged
 *
 * GIN's cursor is an expression, or the primary key of all older documents would be read beside the words.
 *
 * The plans are forced: each variant is what its name says, and no call pays for planning. A page is answered
 * with what a list shows of its cases.
 */

#include "bench/support/search_peer.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SQL_MAX = 16384, PARAMETERS_MAX = SEARCH_PEER_TERMS_MAX + 2, EXPRESSION_MAX = 16384 };

struct variant {
    const char *name;
    bool by_term; /* a row a term */
    bool merge;
    const char *settings, *tables, *indexes;
    const char *newest; /* of cases: what follows WHERE words @@ $1::tsquery */
    const char *index;
};

#define MAINTENANCE "SET maintenance_work_mem = '1GB'; SET max_parallel_maintenance_workers = 2;"
#define CASES                                                                                                \
    "CREATE TABLE cases (document bigint PRIMARY KEY, number bigint, status smallint, subject text COLLATE " \
    "\"C\""

static const struct variant variants[] = {
    {"gin", false, false, "SET enable_seqscan = off; SET enable_indexscan = off", CASES ", words tsvector)",
     MAINTENANCE "CREATE INDEX cases_words ON cases USING gin (words)",
     "AND document + 0 < $2 ORDER BY document DESC LIMIT $3", "cases_words"},
    {"rum", false, false, "SET enable_seqscan = off; SET enable_bitmapscan = off",
     "CREATE EXTENSION IF NOT EXISTS rum;" CASES ", words tsvector)",
     MAINTENANCE "CREATE INDEX cases_words ON cases USING rum (words rum_tsvector_addon_ops, document)"
                 " WITH (attach = 'document', to = 'words')",
     "ORDER BY document <=| ($2::bigint - 1) LIMIT $3", "cases_words"},
    {"btree_nested", true, false, "SET enable_seqscan = off",
     CASES ", terms text); CREATE TABLE terms (term bigint, document bigint)",
     MAINTENANCE "ALTER TABLE terms ADD PRIMARY KEY (term, document)", NULL, "terms_pkey"},
    {"btree_merge", true, true,
     "SET enable_hashjoin = off; SET enable_nestloop = off; SET join_collapse_limit = 1", NULL, NULL, NULL,
     "terms_pkey"},
};

static const struct variant *variant;
static PGconn *reader, *writer;
static char cursor_text[32], limit_text[32];

/* --- statements --- */

static bool check(PGconn *connection, PGresult *result, const char *what)
{
    ExecStatusType status = PQresultStatus(result);
    bool done = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_COPY_IN;
    if (!done)
        fprintf(stderr, "%s: %.200s: %s\n", variant->name, what, PQerrorMessage(connection));
    PQclear(result);
    return done;
}

static bool run(PGconn *connection, const char *sql)
{
    return check(connection, PQexec(connection, sql), sql);
}

static PGresult *execute(PGconn *connection, const char *name, int count, const char *const *parameters)
{
    return PQexecPrepared(connection, name, count, parameters, NULL, NULL, 0);
}

/* --- SQL for so many terms --- */

struct text {
    char sql[SQL_MAX];
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void append(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text->length +=
        (size_t)vsnprintf(text->sql + text->length, sizeof text->sql - text->length, format, arguments);
    va_end(arguments);
}

/* Terms are $3 and up; $1 is the cursor, $2 the limit, which are not used by all. What follows the rarest
 * term's documents: a join, or a look-up for each of them that the planner cannot turn into one. */
static void append_terms(struct text *text, size_t count)
{
    append(text, " FROM terms t0");
    for (size_t i = 1; i < count && variant->merge; i++)
        append(text,
               " JOIN terms t%zu ON t%zu.document = t%zu.document AND t%zu.term = hashtextextended($%zu, 0)",
               i, i, i - 1, i, i + 3);
    append(text,
           " WHERE t0.term = hashtextextended($3, 0) AND $1::bigint IS NOT NULL AND $2::bigint IS NOT NULL");
    for (size_t i = 1; i < count && !variant->merge; i++)
        append(
            text,
            " AND EXISTS (SELECT FROM terms WHERE document = t0.document AND term = hashtextextended($%zu, 0)"
            " OFFSET 0)",
            i + 3);
}

/* The page is selected first, then its cases are looked up: in the same order, which merging would not keep.
 */
static void write_by_term(struct text *text, const char *kind, size_t count)
{
    bool newest = strcmp(kind, "newest") == 0, total = strcmp(kind, "total") == 0;
    append(text, total ? "SELECT count(*)"
                       : "SELECT t0.document, (SELECT ROW(number, status, subject) FROM cases"
                         " WHERE document = t0.document)");
    append_terms(text, count);
    if (newest)
        append(text, " AND t0.document < $1 ORDER BY t0.document DESC LIMIT $2");
    else if (!total)
        append(text, " ORDER BY (SELECT ROW(%s, number) FROM cases WHERE document = t0.document) LIMIT $2",
               kind);
}

static void write_by_case(struct text *text, const char *kind)
{
    bool newest = strcmp(kind, "newest") == 0, total = strcmp(kind, "total") == 0;
    append(text, "SELECT %s FROM cases WHERE words @@ $1::tsquery ",
           total ? "count(*)" : "document, number, status, subject");
    if (newest)
        append(text, "%s", variant->newest);
    else
        append(text, "AND $2::bigint IS NOT NULL AND $3::bigint IS NOT NULL ");
    if (!newest && !total)
        append(text, "ORDER BY %s, number LIMIT $3", kind);
}

/* Prepares it where it is not yet. */
static bool statement(const char *kind, size_t count, char *ret_name, size_t size)
{
    static struct {
        char name[32];
    } prepared[5 * SEARCH_PEER_TERMS_MAX];
    static size_t prepared_count;
    static struct text text;
    snprintf(ret_name, size, "%s%zu", kind, variant->by_term ? count : 0);
    for (size_t i = 0; i < prepared_count; i++)
        if (strcmp(prepared[i].name, ret_name) == 0)
            return true;
    text.length = 0;
    if (variant->by_term)
        write_by_term(&text, kind, count);
    else
        write_by_case(&text, kind);
    snprintf(prepared[prepared_count++].name, sizeof prepared[0].name, "%s", ret_name);
    return check(reader, PQprepare(reader, ret_name, text.sql, 0, NULL), text.sql);
}

/* --- queries --- */

/* Terms in quotes. They hold no quotes and no backslashes. */
static void write_expression(const struct search_peer_query *query, char *expression)
{
    size_t at = 0;
    for (size_t i = 0; i < query->term_count && at < EXPRESSION_MAX; i++)
        at +=
            (size_t)snprintf(expression + at, EXPRESSION_MAX - at, "%s'%s'", i ? " & " : "", query->terms[i]);
}

static PGresult *ask_one(const char *kind, const struct search_peer_query *query)
{
    static char expression[EXPRESSION_MAX];
    const char *parameters[PARAMETERS_MAX] = {cursor_text, limit_text};
    char name[32];
    if (!statement(kind, query->term_count, name, sizeof name))
        return NULL;
    if (variant->by_term) {
        for (size_t i = 0; i < query->term_count; i++)
            parameters[i + 2] = query->terms[i];
        return execute(reader, name, (int)query->term_count + 2, parameters);
    }
    write_expression(query, expression);
    return execute(reader, name, 3, (const char *const[]){expression, cursor_text, limit_text});
}

static bool page(const struct search_peer_query *query, struct search_peer_answer *answer)
{
    static const char *const kinds[] = {
        [SEARCH_PEER_NEWEST] = "newest", [SEARCH_PEER_SUBJECT] = "subject", [SEARCH_PEER_STATUS] = "status"};
    PGresult *result = ask_one(kinds[query->order], query);
    for (int i = 0; i < PQntuples(result); i++)
        answer->documents[answer->count++] = strtoll(PQgetvalue(result, i, 0), NULL, 10);
    return check(reader, result, "query");
}

static bool total(const struct search_peer_query *query, struct search_peer_answer *answer)
{
    PGresult *result = ask_one("total", query);
    if (PQntuples(result) == 1)
        answer->total = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    return check(reader, result, "total");
}

static bool query(const struct search_peer_query *query, struct search_peer_answer *ret_answer)
{
    snprintf(cursor_text, sizeof cursor_text, "%" PRId64,
             query->before < INT64_MAX ? query->before : INT64_C(1) << 40);
    snprintf(limit_text, sizeof limit_text, "%zu", query->limit);
    ret_answer->count = 0;
    ret_answer->total = 0;
    return (query->limit == 0 || page(query, ret_answer)) && (!query->total || total(query, ret_answer));
}

/* --- changes --- */

#define WORDS(n) "array_to_tsvector(string_to_array($" #n ", ' '))"
#define TERMS(n) "SELECT hashtextextended(unnest(string_to_array($" #n ", ' ')), 0)"

static bool prepare_changes(void)
{
    static const char *const by_case[][2] = {
        {"change", "UPDATE cases SET document = $2, status = $3, subject = $4, words = " WORDS(
                       5) " WHERE document = $1"},
        {"remove", "DELETE FROM cases WHERE document = $1"},
        {NULL, NULL}};
    /* Of a case's terms only those go and come that differ, unless its document does. */
    static const char *const by_term[][2] = {
        {"find", "SELECT terms FROM cases WHERE document = $1"},
        {"remove_terms", "DELETE FROM terms WHERE document = $1 AND term = ANY (ARRAY(" TERMS(2) "))"},
        {"add_terms", "INSERT INTO terms SELECT t, $1 FROM (" TERMS(2) " AS t) terms"},
        {"change",
         "UPDATE cases SET document = $2, status = $3, subject = $4, terms = $5 WHERE document = $1"},
        {"remove", "DELETE FROM cases WHERE document = $1"},
        {NULL, NULL}};
    for (const char *const(*s)[2] = variant->by_term ? by_term : by_case; (*s)[0]; s++)
        if (!check(writer, PQprepare(writer, (*s)[0], (*s)[1], 0, NULL), (*s)[1]))
            return false;
    return true;
}

static bool change(const char *name, int count, const char *const *parameters)
{
    return check(writer, execute(writer, name, count, parameters), name);
}

static bool remove_terms(const char *document)
{
    PGresult *found = execute(writer, "find", 1, &document);
    bool done = PQntuples(found) == 1 &&
                change("remove_terms", 2, (const char *const[]){document, PQgetvalue(found, 0, 0)});
    return check(writer, found, "find") && done;
}

static bool replace(int64_t document, const struct search_peer_case *now)
{
    char old[24], new[24], status[12];
    snprintf(old, sizeof old, "%" PRId64, document);
    if (variant->by_term && !remove_terms(old))
        return false;
    if (!now)
        return change("remove", 1, (const char *const[]){old});
    snprintf(new, sizeof new, "%" PRId64, now->document);
    snprintf(status, sizeof status, "%d", now->status);
    return (!variant->by_term || change("add_terms", 2, (const char *const[]){new, now->terms})) &&
           change("change", 5, (const char *const[]){old, new, status, now->subject, now->terms});
}

static bool begin(void)
{
    return run(writer, "BEGIN");
}

static bool commit(void)
{
    return run(writer, "COMMIT");
}

/* Fast updates of GIN wait in a list, which vacuum or a change that finds it full puts in place. */
static bool settle(void)
{
    return strcmp(variant->name, "gin") != 0 || run(writer, "SELECT gin_clean_pending_list('cases_words')");
}

/* --- building --- */

static bool add(const struct search_peer_case *added)
{
    static char line[1 << 20];
    /* Terms have no backslashes and no tabs. */
    int length = snprintf(line, sizeof line, "%" PRId64 "\t%" PRId64 "\t%d\t%s\t%s\n", added->document,
                          added->number, added->status, added->subject, added->terms);
    return PQputCopyData(writer, line, length) == 1 || check(writer, PQgetResult(writer), "copy");
}

static bool end_copy(void)
{
    if (PQputCopyEnd(writer, NULL) != 1)
        return false;
    bool done = check(writer, PQgetResult(writer), "copy");
    PQclear(PQgetResult(writer));
    return done;
}

static bool finish(void)
{
    const char *fill = variant->by_term
                           ? "INSERT INTO cases SELECT * FROM lines; INSERT INTO terms SELECT"
                             " hashtextextended(unnest(string_to_array(terms, ' ')), 0), document FROM lines"
                           : "INSERT INTO cases SELECT document, number, status, subject,"
                             " array_to_tsvector(string_to_array(terms, ' ')) FROM lines";
    return end_copy() && run(writer, fill) && run(writer, "DROP TABLE lines") &&
           run(writer, variant->indexes) && (!variant->by_term || run(writer, "VACUUM ANALYZE terms")) &&
           run(writer, "VACUUM ANALYZE cases") && run(writer, "CHECKPOINT");
}

static PGconn *connect_one(const char *place)
{
    PGconn *connection = PQconnectdb(place);
    if (PQstatus(connection) != CONNECTION_OK || !run(connection, variant->settings) ||
        !run(connection, "SET plan_cache_mode = force_generic_plan; SET jit = off; SET work_mem = '64MB'")) {
        fprintf(stderr, "%s: %s\n", variant->name, PQerrorMessage(connection));
        return NULL;
    }
    return connection;
}

static bool open_database(const char *place, bool fresh)
{
    reader = connect_one(place);
    writer = reader ? connect_one(place) : NULL;
    if (!writer)
        return false;
    if (!fresh)
        return prepare_changes();
    return run(writer, variant->tables) &&
           run(writer,
               "CREATE UNLOGGED TABLE lines (document bigint, number bigint, status smallint, subject text,"
               " terms text)") &&
           run(writer, "COPY lines FROM STDIN");
}

static void close_database(void)
{
    PQfinish(reader);
    PQfinish(writer);
}

/* --- figures --- */

static int64_t number(const char *sql)
{
    PGresult *result = PQexec(reader, sql);
    int64_t value = PQntuples(result) == 1 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    check(reader, result, sql);
    return value;
}

static int64_t index_bytes(void)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT pg_relation_size('%s')", variant->index);
    return number(sql);
}

static int64_t total_bytes(void)
{
    return number(
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname IN ('cases', 'terms')");
}

/* Of the process that does the changes: time on a CPU, the first number of schedstat, in ns. */
static int64_t cpu_us(void)
{
    char path[64];
    long long ns = 0;
    snprintf(path, sizeof path, "/proc/%d/schedstat", PQbackendPID(writer));
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%lld", &ns) != 1) // NOLINT(cert-err34-c): a number of the kernel's
        ns = 0;
    if (file)
        fclose(file);
    return ns / 1000;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof variants / sizeof *variants; i++)
        if (strcmp(argv[1], variants[i].name) == 0)
            variant = &variants[i];
    if (!variant) {
        fprintf(stderr, "usage: see the head of bench/search_peer_pg.c\n");
        return 2;
    }
    const struct search_peer peer = {.name = variant->name,
                                     .open = open_database,
                                     .add = add,
                                     .finish = finish,
                                     .query = query,
                                     .begin = begin,
                                     .replace = replace,
                                     .commit = commit,
                                     .settle = settle,
                                     .index_bytes = index_bytes,
                                     .total_bytes = total_bytes,
                                     .cpu_us = cpu_us,
                                     .close = close_database};
    return search_driver_main(&peer, argc - 1, argv + 1);
}
