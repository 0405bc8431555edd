/*
 * SQLite FTS5 as a side of the search benchmark: no positions, no column sizes, no copy of the text in the
 * index; rowid = document, so that the newest come first by walking backwards. What a change needs to take
 * the old words out of the index is in a table beside it.
 */

#include "bench/support/search_peer.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXPRESSION_MAX = 16384, STATEMENTS_MAX = 16 };

struct connection {
    sqlite3 *db;
    sqlite3_stmt *newest, *subject, *status, *count; /* the reader's */
    sqlite3_stmt *add_case, *add_words, *find, *remove_case, *remove_words, *begin, *commit;
    sqlite3_stmt *statements[STATEMENTS_MAX]; /* all of them */
    size_t statement_count;
};

static struct connection reader, writer;

static bool failed(sqlite3 *db, const char *what)
{
    fprintf(stderr, "fts5: %s: %s\n", what, sqlite3_errmsg(db));
    return false;
}

/* --- words are what stands between spaces --- */

static int tokenizer_new(void *context, const char **arguments, int count, Fts5Tokenizer **ret_tokenizer)
{
    static int nothing;
    (void)context;
    (void)arguments;
    (void)count;
    *ret_tokenizer = (Fts5Tokenizer *)&nothing;
    return SQLITE_OK;
}

static void tokenizer_free(Fts5Tokenizer *tokenizer)
{
    (void)tokenizer;
}

static int tokenize(Fts5Tokenizer *tokenizer, void *context, int flags, const char *text, int length,
                    int (*token)(void *, int, const char *, int, int, int))
{
    (void)tokenizer;
    (void)flags;
    int start = 0, code = SQLITE_OK;
    while (start < length && code == SQLITE_OK) {
        const char *space = memchr(text + start, ' ', (size_t)(length - start));
        int end = space ? (int)(space - text) : length;
        code = token(context, 0, text + start, end - start, start, end);
        start = end + 1;
    }
    return code;
}

static bool add_tokenizer(sqlite3 *db)
{
    fts5_api *api = NULL;
    sqlite3_stmt *statement;
    fts5_tokenizer functions = {tokenizer_new, tokenizer_free, tokenize};
    if (sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &statement, NULL) != SQLITE_OK)
        return failed(db, "fts5");
    sqlite3_bind_pointer(statement, 1, &api, "fts5_api_ptr", NULL);
    sqlite3_step(statement);
    sqlite3_finalize(statement);
    return (api && api->xCreateTokenizer(api, "spaces", NULL, &functions, NULL) == SQLITE_OK) ||
           failed(db, "tokenizer");
}

/* --- opening --- */

static bool run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK || failed(db, sql);
}

static bool make(struct connection *connection, sqlite3_stmt **ret_statement, const char *sql)
{
    sqlite3 *db = connection->db;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL) != SQLITE_OK)
        return failed(db, sql);
    connection->statements[connection->statement_count++] = *ret_statement;
    return true;
}

static bool connect_one(struct connection *connection, const char *place)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/fts5.db", place);
    if (sqlite3_open(path, &connection->db) != SQLITE_OK)
        return failed(connection->db, path);
    sqlite3_busy_timeout(connection->db, 10000);
    return add_tokenizer(connection->db) &&
           run(connection->db,
               "PRAGMA page_size = 8192; PRAGMA journal_mode = wal; PRAGMA synchronous = full;"
               "PRAGMA cache_size = -1000000; PRAGMA mmap_size = 8000000000;"
               "PRAGMA temp_store = memory");
}

static bool create(sqlite3 *db)
{
    return run(
        db, "CREATE TABLE cases (document INTEGER PRIMARY KEY, number INTEGER, status INTEGER, subject TEXT,"
            " terms TEXT);"
            "CREATE VIRTUAL TABLE words USING fts5(terms, content='', detail=none, columnsize=0,"
            " tokenize='spaces');"
            "BEGIN");
}

#define ORDERED \
    "SELECT w.rowid FROM words w JOIN cases c ON c.document = w.rowid WHERE words MATCH ?1 ORDER BY "

static bool prepare(void)
{
    struct connection *w = &writer, *r = &reader;
    return make(w, &w->add_case, "INSERT INTO cases VALUES (?1, ?2, ?3, ?4, ?5)") &&
           make(w, &w->add_words, "INSERT INTO words (rowid, terms) VALUES (?1, ?2)") &&
           make(w, &w->find, "SELECT terms FROM cases WHERE document = ?1") &&
           make(w, &w->remove_case, "DELETE FROM cases WHERE document = ?1") &&
           make(w, &w->remove_words, "INSERT INTO words (words, rowid, terms) VALUES ('delete', ?1, ?2)") &&
           make(w, &w->begin, "BEGIN IMMEDIATE") && make(w, &w->commit, "COMMIT") &&
           make(r, &r->newest,
                "SELECT rowid FROM words WHERE words MATCH ?1 AND rowid < ?2 ORDER BY rowid DESC LIMIT ?3") &&
           make(r, &r->count, "SELECT count(*) FROM words WHERE words MATCH ?1") &&
           make(r, &r->subject, ORDERED "c.subject, c.number LIMIT ?3") &&
           make(r, &r->status, ORDERED "c.status, c.number LIMIT ?3");
}

static bool open_index(const char *place, bool fresh)
{
    return connect_one(&writer, place) && (!fresh || create(writer.db)) && connect_one(&reader, place) &&
           prepare();
}

static void close_one(struct connection *connection)
{
    for (size_t i = 0; i < connection->statement_count; i++)
        sqlite3_finalize(connection->statements[i]);
    sqlite3_close(connection->db);
}

static void close_index(void)
{
    close_one(&reader);
    close_one(&writer);
}

/* --- changes --- */

static bool step(sqlite3_stmt *statement, const char *what)
{
    int code = sqlite3_step(statement);
    sqlite3_reset(statement);
    return code == SQLITE_DONE || failed(writer.db, what);
}

static bool add(const struct search_peer_case *added)
{
    sqlite3_stmt *c = writer.add_case, *w = writer.add_words;
    sqlite3_bind_int64(c, 1, added->document);
    sqlite3_bind_int64(c, 2, added->number);
    sqlite3_bind_int(c, 3, added->status);
    sqlite3_bind_text(c, 4, added->subject, -1, SQLITE_STATIC);
    sqlite3_bind_text(c, 5, added->terms, -1, SQLITE_STATIC);
    sqlite3_bind_int64(w, 1, added->document);
    sqlite3_bind_text(w, 2, added->terms, -1, SQLITE_STATIC);
    return step(c, "add") && step(w, "add");
}

static bool finish(void)
{
    return run(writer.db,
               "COMMIT; INSERT INTO words (words) VALUES ('optimize'); PRAGMA wal_checkpoint(TRUNCATE)");
}

/* FTS5 takes a document out by being told what it had. */
static bool take_out(int64_t document)
{
    sqlite3_bind_int64(writer.find, 1, document);
    if (sqlite3_step(writer.find) != SQLITE_ROW)
        return failed(writer.db, "find");
    sqlite3_bind_int64(writer.remove_words, 1, document);
    sqlite3_bind_text(writer.remove_words, 2, (const char *)sqlite3_column_text(writer.find, 0), -1,
                      SQLITE_TRANSIENT);
    sqlite3_reset(writer.find);
    sqlite3_bind_int64(writer.remove_case, 1, document);
    return step(writer.remove_words, "remove") && step(writer.remove_case, "remove");
}

static bool replace(int64_t document, const struct search_peer_case *now)
{
    return take_out(document) && (!now || add(now));
}

static bool begin(void)
{
    return step(writer.begin, "begin");
}

static bool commit(void)
{
    return step(writer.commit, "commit");
}

/* --- queries --- */

/* Every term in quotes, AND between two. Terms have no quotes. */
static void write_expression(const struct search_peer_query *query, char *expression)
{
    size_t at = 0;
    for (size_t i = 0; i < query->term_count && at < EXPRESSION_MAX; i++)
        at += (size_t)snprintf(expression + at, EXPRESSION_MAX - at, "%s\"%s\"", i ? " AND " : "",
                               query->terms[i]);
}

static bool page(sqlite3_stmt *statement, const struct search_peer_query *query, const char *expression,
                 struct search_peer_answer *answer)
{
    int code;
    sqlite3_bind_text(statement, 1, expression, -1, SQLITE_STATIC);
    if (query->order == SEARCH_PEER_NEWEST)
        sqlite3_bind_int64(statement, 2, query->before);
    sqlite3_bind_int64(statement, 3, (int64_t)query->limit);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        answer->documents[answer->count++] = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return code == SQLITE_DONE || failed(reader.db, "query");
}

static bool count(const char *expression, struct search_peer_answer *answer)
{
    sqlite3_bind_text(reader.count, 1, expression, -1, SQLITE_STATIC);
    bool done = sqlite3_step(reader.count) == SQLITE_ROW;
    answer->total = (uint64_t)sqlite3_column_int64(reader.count, 0);
    sqlite3_reset(reader.count);
    return done || failed(reader.db, "count");
}

static bool ask(const struct search_peer_query *query, struct search_peer_answer *ret_answer)
{
    static char expression[EXPRESSION_MAX];
    sqlite3_stmt *const pages[] = {[SEARCH_PEER_NEWEST] = reader.newest,
                                   [SEARCH_PEER_SUBJECT] = reader.subject,
                                   [SEARCH_PEER_STATUS] = reader.status};
    write_expression(query, expression);
    ret_answer->count = 0;
    ret_answer->total = 0;
    return (query->limit == 0 || page(pages[query->order], query, expression, ret_answer)) &&
           (!query->total || count(expression, ret_answer));
}

/* --- sizes --- */

static int64_t number(const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(reader.db, sql, -1, &statement, NULL) != SQLITE_OK)
        failed(reader.db, sql);
    int64_t value = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return value;
}

static int64_t index_bytes(void)
{
    return number(
        "SELECT (SELECT sum(length(block)) FROM words_data) + (SELECT sum(length(term) + 8) FROM words_idx)");
}

static int64_t total_bytes(void)
{
    return number("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()");
}

int main(int argc, char **argv)
{
    const struct search_peer peer = {.name = "fts5",
                                     .open = open_index,
                                     .add = add,
                                     .finish = finish,
                                     .query = ask,
                                     .begin = begin,
                                     .replace = replace,
                                     .commit = commit,
                                     .index_bytes = index_bytes,
                                     .total_bytes = total_bytes,
                                     .close = close_index};
    return search_driver_main(&peer, argc, argv);
}
