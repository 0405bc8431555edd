#include "case/case_list.h"

#include "case/case_row.h"

/*
 * A statement is put together from constants: a source (what is read by which index), an order and a
 * direction. All have the same parameters:
 *
 *   $1 partition  $2 account  $3 statuses  $4 rows at the most  $5, $6 the key to go on behind
 *   $7 owner  $8 contact  $9 channel  $10 labels  $11, $12 classification  $13, $14 updated from, before
 *   $15 only in need of a reply  $16 opened since  $17 involved agent
 */
#define FILTERS                                                                                            \
    " AND ($7::text IS NULL OR c.owner = $7) AND ($8::text IS NULL OR c.contact = $8)"                     \
    " AND ($9::text IS NULL OR c.channel = $9) AND c.labels @> $10::text[]"                                \
    " AND ($11::text IS NULL OR EXISTS (SELECT 1 FROM generate_series(1, cardinality(c.classifications), " \
    "2) AS t(i)"                                                                                           \
    " WHERE c.classifications[t.i] = $11 AND ($12::text IS NULL OR c.classifications[t.i + 1] = $12)))"    \
    " AND ($13::timestamptz IS NULL OR c.update_time >= $13) AND ($14::timestamptz IS NULL OR "            \
    "c.update_time < $14)"                                                                                 \
    " AND (NOT $15::bool OR c.need_reply) AND ($16::timestamptz IS NULL OR c.open_time >= $16)"            \
    " AND ($17::text IS NULL OR c.involved @> ARRAY[$17])"

/* Orders: the key's columns in a direction, and what is behind the key. */
#define ORDER_update_asc "c.update_time, c.id"
#define ORDER_update_desc "c.update_time DESC, c.id DESC"
#define ORDER_subject_asc "c.subject_key, c.id"
#define ORDER_subject_desc "c.subject_key DESC, c.id DESC"
#define ORDER_status_asc "c.status, c.id"
#define ORDER_status_desc "c.status DESC, c.id DESC"
#define ORDER_id "c.id"

#define BEHIND_update_asc "(c.update_time, c.id) > ($5::timestamptz, $6::int8)"
#define BEHIND_update_desc "(c.update_time, c.id) < ($5::timestamptz, $6::int8)"
#define BEHIND_subject_asc "(c.subject_key, c.id) > ($5::text, $6::int8)"
#define BEHIND_subject_desc "(c.subject_key, c.id) < ($5::text, $6::int8)"
#define BEHIND_status_asc "(c.status, c.id) > ($5::int2, $6::int8)"
#define BEHIND_status_desc "(c.status, c.id) < ($5::int2, $6::int8)"
#define BEHIND_id "c.id <= $5::int8 AND c.id > $6::int8"

/* In the order of the rows that lead from an agent to cases. */
#define INVOLVED_BEHIND_update_asc "(i.update_time, i.case_id) > ($5::timestamptz, $6::int8)"
#define INVOLVED_BEHIND_update_desc "(i.update_time, i.case_id) < ($5::timestamptz, $6::int8)"
#define INVOLVED_ORDER_update_asc "i.update_time, i.case_id"
#define INVOLVED_ORDER_update_desc "i.update_time DESC, i.case_id DESC"
#define MOVED_ORDER_update_asc "c.moved, c.number"
#define MOVED_ORDER_update_desc "c.moved DESC, c.number DESC"

/* With a row comes where its account's history begins: looked up once a statement. */
#define LISTED_COLUMNS CASE_COLUMNS ", " ACCOUNT_BEGIN " AS account_begin"

/* What an index finds, in order or sorted. */
#define FOUND(join, condition, key)                                                                        \
    "SELECT " LISTED_COLUMNS " FROM cases c" join " WHERE c.partition = $1::int2 AND c.account = $2::text" \
    " AND c.status = ANY($3::int2[])" condition " AND " BEHIND_##key FILTERS " ORDER BY " ORDER_##key      \
        " LIMIT $4::int4"

/*
 * A page of each status in order from an index, merged while it is read: hardly more is looked at than one
 * page. No folder has more than five statuses.
 */
#define OF_EACH_STATUS(select, rest)                                                                  \
    "(" select " = ($3::int2[])[1]" rest ") UNION ALL (" select " = ($3::int2[])[2]" rest             \
    ") UNION ALL (" select " = ($3::int2[])[3]" rest ") UNION ALL (" select " = ($3::int2[])[4]" rest \
    ") UNION ALL (" select " = ($3::int2[])[5]" rest ")"
#define MERGED(condition, key)                                                                    \
    "SELECT " LISTED_COLUMNS " FROM (" OF_EACH_STATUS(                                            \
        "SELECT c.* FROM cases c WHERE c.partition = $1::int2 AND c.account = $2::text" condition \
        " AND " BEHIND_##key FILTERS " AND c.status",                                             \
        " ORDER BY " ORDER_##key " LIMIT $4::int4") ") c ORDER BY " ORDER_##key " LIMIT $4"
#define CASES_OF_INVOLVED                                                                                  \
    " FROM involved_cases i CROSS JOIN LATERAL (SELECT c.* FROM cases c WHERE c.partition = $1::int2 AND " \
    "c.account = $2::text AND c.id = i.case_id" FILTERS                                                    \
    " LIMIT 1) c WHERE i.partition = $1 AND i.account = $2 AND i.agent = $17::text"
#define INVOLVED_MERGED(key)                                                        \
    "SELECT " LISTED_COLUMNS " FROM (" OF_EACH_STATUS(                              \
        "SELECT c.*, i.update_time AS moved, i.case_id AS number" CASES_OF_INVOLVED \
        " AND " INVOLVED_BEHIND_##key " AND i.status",                              \
        " ORDER BY " INVOLVED_ORDER_##key " LIMIT $4::int4") ") c ORDER BY " MOVED_ORDER_##key " LIMIT $4"

/*
 * One status after the other, from the right number on, until the page is full. `rows`: cases `c` of the
 * status s.status by number.
 */
#define STATUS_NUMBERS_asc "s.status >= $5::int2 ORDER BY s.status"
#define STATUS_NUMBERS_desc "s.status <= $5::int2 ORDER BY s.status DESC"
#define STATUS_BEHIND_asc(id) id " > CASE WHEN s.status = $5 THEN $6::int8 ELSE 0 END"
#define STATUS_BEHIND_desc(id) id " < CASE WHEN s.status = $5 THEN $6::int8 ELSE 9223372036854775807 END"
#define STATUS_ORDER_asc "s.status, c.id"
#define STATUS_ORDER_desc "s.status DESC, c.id DESC"
#define NUMBER_ORDER_asc(id) id
#define NUMBER_ORDER_desc(id) id " DESC"
#define CHAINED(rows, direction)                                                                    \
    "SELECT " LISTED_COLUMNS                                                                        \
    " FROM (SELECT s.status FROM unnest($3::int2[]) AS s(status) WHERE " STATUS_NUMBERS_##direction \
        ") s CROSS JOIN LATERAL (" rows " LIMIT $4::int4) c ORDER BY " STATUS_ORDER_##direction " LIMIT $4"
#define STATUS_CHAINED(condition, direction)                                                       \
    CHAINED("SELECT c.* FROM cases c WHERE c.partition = $1::int2 AND c.account = $2::text"        \
            " AND c.status = s.status" condition " AND " STATUS_BEHIND_##direction("c.id") FILTERS \
            " ORDER BY " NUMBER_ORDER_##direction("c.id"),                                         \
            direction)

/* A folder that is one or several statuses. */
#define BY_update_asc(condition) MERGED(condition, update_asc)
#define BY_update_desc(condition) MERGED(condition, update_desc)
#define BY_subject_asc(condition) MERGED(condition, subject_asc)
#define BY_subject_desc(condition) MERGED(condition, subject_desc)
#define BY_status_asc(condition) STATUS_CHAINED(condition, asc)
#define BY_status_desc(condition) STATUS_CHAINED(condition, desc)
#define BY_id(condition) MERGED(condition, id)

#define SOURCE_status(key) BY_##key("")
/* Partial indexes hold what is on somebody's desk, or on nobody's. */
#define SOURCE_desk(key) BY_##key(" AND c.owner = $7::text AND c.status <= 3")
#define SOURCE_owner(key) BY_##key(" AND c.owner = $7::text")

/* By update: nothing is updated before it is opened, so the second condition ends the walk. */
#define RECENT_MERGED(key) MERGED(" AND c.open_time >= $16::timestamptz AND c.update_time >= $16", key)
/* The upper bound makes the planner expect few rows, whatever the lower one is. */
#define RECENT_FOUND(key) \
    FOUND("", " AND c.open_time >= $16::timestamptz AND c.open_time <= 'infinity' AND c.status <> 6", key)
/*
 * By status: the hours in which cases were opened, each by number, are merged as statuses are above. 26 of
 * them reach past the end of the 24; the last branch has what is later, in a walk that goes on for long.
 * What is refused by filters is no reason to end a branch, so the branches have a limit that is none: it
 * only makes the planner read in order.
 */
#define HOUR_OPENED(time) "date_bin('1 hour', " time ", '2000-01-01Z'::timestamptz)"
#define NO_LIMIT " LIMIT CASE WHEN $4::int4 < 0 THEN 0 END"
#define OPENED(direction)                                                                                    \
    "SELECT c.* FROM cases c WHERE c.partition = $1::int2 AND c.account = $2::text AND c.status = s.status " \
    "AND c.status <= 5 AND c.open_time IS NOT NULL AND " STATUS_BEHIND_##direction(                          \
        "c.id") " AND " HOUR_OPENED("c.open_time")
#define OPENED_AT(hours) HOUR_OPENED("$16::timestamptz") " + interval '" #hours " hours'"
#define HOUR(direction, hours) \
    "(" OPENED(direction) " = " OPENED_AT(hours) " ORDER BY " NUMBER_ORDER_##direction("c.id") NO_LIMIT ")"
#define LATER(direction, hours)                                   \
    "(SELECT c.* FROM (" OPENED(direction) " BETWEEN " OPENED_AT( \
        hours) " AND 'infinity' OFFSET 0) c ORDER BY " NUMBER_ORDER_##direction("c.id") NO_LIMIT ")"
#define HOURS_5(direction, tens, a, b, c, d, e)                                                       \
    HOUR(direction, tens##a)                                                                          \
    " UNION ALL " HOUR(direction, tens##b) " UNION ALL " HOUR(direction, tens##c) " UNION ALL " HOUR( \
        direction, tens##d) " UNION ALL " HOUR(direction, tens##e) " UNION ALL "
#define HOURS(direction)                 \
    HOURS_5(direction, 0, 0, 1, 2, 3, 4) \
    HOURS_5(direction, 0, 5, 6, 7, 8, 9) \
    HOURS_5(direction, 1, 0, 1, 2, 3, 4) \
    HOURS_5(direction, 1, 5, 6, 7, 8, 9) \
    HOURS_5(direction, 2, 0, 1, 2, 3, 4) HOUR(direction, 25) " UNION ALL " LATER(direction, 26)
#define RECENT_CHAINED(direction)                                                                           \
    CHAINED("SELECT c.* FROM (SELECT c.* FROM (" HOURS(direction) ") c ORDER BY " NUMBER_ORDER_##direction( \
                "c.id") NO_LIMIT ") c WHERE c.open_time >= $16" FILTERS                                     \
                                 " ORDER BY " NUMBER_ORDER_##direction("c.id"),                             \
            direction)
#define SOURCE_recent(key) RECENT_##key
#define RECENT_update_asc RECENT_MERGED(update_asc)
#define RECENT_update_desc RECENT_MERGED(update_desc)
#define RECENT_subject_asc RECENT_FOUND(subject_asc)
#define RECENT_subject_desc RECENT_FOUND(subject_desc)
#define RECENT_status_asc RECENT_CHAINED(asc)
#define RECENT_status_desc RECENT_CHAINED(desc)
#define RECENT_id RECENT_FOUND(id)

#define NEED_REPLY " AND c.need_reply AND c.status <= 4"
#define SOURCE_need_reply(key) NEED_REPLY_##key
#define NEED_REPLY_update_asc FOUND("", NEED_REPLY, update_asc)
#define NEED_REPLY_update_desc FOUND("", NEED_REPLY, update_desc)
#define NEED_REPLY_subject_asc FOUND("", NEED_REPLY, subject_asc)
#define NEED_REPLY_subject_desc FOUND("", NEED_REPLY, subject_desc)
#define NEED_REPLY_status_asc STATUS_CHAINED(NEED_REPLY, asc)
#define NEED_REPLY_status_desc STATUS_CHAINED(NEED_REPLY, desc)
#define NEED_REPLY_id MERGED(NEED_REPLY, id)

#define INVOLVED_FOUND(key)                                                                                \
    FOUND(" JOIN involved_cases i ON i.partition = c.partition AND i.account = c.account AND i.case_id = " \
          "c.id",                                                                                          \
          " AND i.agent = $17::text", key)
#define INVOLVED_CHAINED(direction)                                                                   \
    CHAINED("SELECT c.*" CASES_OF_INVOLVED " AND i.status = s.status AND " STATUS_BEHIND_##direction( \
                "i.case_id") " ORDER BY " NUMBER_ORDER_##direction("i.case_id"),                      \
            direction)
#define SOURCE_involved(key) INVOLVED_##key
#define INVOLVED_update_asc INVOLVED_MERGED(update_asc)
#define INVOLVED_update_desc INVOLVED_MERGED(update_desc)
#define INVOLVED_subject_asc INVOLVED_FOUND(subject_asc)
#define INVOLVED_subject_desc INVOLVED_FOUND(subject_desc)
#define INVOLVED_status_asc INVOLVED_CHAINED(asc)
#define INVOLVED_status_desc INVOLVED_CHAINED(desc)
#define INVOLVED_id INVOLVED_FOUND(id)

#define SOURCE_contact(key)                                                                                  \
    FOUND(                                                                                                   \
        " JOIN contact_cases k ON k.partition = c.partition AND k.account = c.account AND k.case_id = c.id", \
        " AND k.contact = $8::text", key)

enum source {
    SOURCE_STATUS,
    SOURCE_DESK,
    SOURCE_OWNER,
    SOURCE_RECENT,
    SOURCE_NEED_REPLY,
    SOURCE_INVOLVED,
    SOURCE_CONTACT,
    SOURCES
};

#define STATEMENT(source, key)                                                \
    {                                                                         \
        .name = "case_list_" #source "_by_" #key, .sql = SOURCE_##source(key) \
    }
#define STATEMENTS(source)                                                     \
    {                                                                          \
        {STATEMENT(source, update_asc), STATEMENT(source, update_desc)},       \
            {STATEMENT(source, subject_asc), STATEMENT(source, subject_desc)}, \
        {                                                                      \
            STATEMENT(source, status_asc), STATEMENT(source, status_desc)      \
        }                                                                      \
    }

static const struct pg_statement statements[SOURCES][CASE_ORDERS][2] = {
    [SOURCE_STATUS] = STATEMENTS(status),         [SOURCE_DESK] = STATEMENTS(desk),
    [SOURCE_OWNER] = STATEMENTS(owner),           [SOURCE_RECENT] = STATEMENTS(recent),
    [SOURCE_NEED_REPLY] = STATEMENTS(need_reply), [SOURCE_INVOLVED] = STATEMENTS(involved),
    [SOURCE_CONTACT] = STATEMENTS(contact),
};

/* A list by number with the head of its partition, in one statement and so of one moment. */
#define SNAPSHOT(source)                                                                              \
    {                                                                                                 \
        .name = "case_list_" #source "_by_id",                                                        \
        .sql = "SELECT " CASE_COLUMNS ", h.head FROM (SELECT head FROM partitions WHERE partition = " \
               "$1::int2) h LEFT JOIN LATERAL (" SOURCE_##source(id) ") c ON true ORDER BY c.id"      \
    }

static const struct pg_statement snapshots[SOURCES] = {
    [SOURCE_STATUS] = SNAPSHOT(status),         [SOURCE_DESK] = SNAPSHOT(desk),
    [SOURCE_OWNER] = SNAPSHOT(owner),           [SOURCE_RECENT] = SNAPSHOT(recent),
    [SOURCE_NEED_REPLY] = SNAPSHOT(need_reply), [SOURCE_INVOLVED] = SNAPSHOT(involved),
    [SOURCE_CONTACT] = SNAPSHOT(contact),
};

/* What a folder is made of: statuses from … to, and more. */
struct folder {
    int first_status, last_status;
    enum source source;
};

static const struct folder folders[FOLDER_COUNT] = {
    [FOLDER_ALL] = {1, 5, SOURCE_STATUS},
    [FOLDER_NEW] = {1, 1, SOURCE_STATUS},
    [FOLDER_OPEN] = {2, 2, SOURCE_STATUS},
    [FOLDER_PENDING] = {3, 3, SOURCE_STATUS},
    [FOLDER_RESOLVED] = {4, 4, SOURCE_STATUS},
    [FOLDER_CLOSED] = {5, 5, SOURCE_STATUS},
    [FOLDER_DELETED] = {6, 6, SOURCE_STATUS},
    [FOLDER_MY_CASES] = {1, 3, SOURCE_DESK},
    [FOLDER_UNASSIGNED] = {1, 3, SOURCE_DESK},
    [FOLDER_RECENT] = {2, 5, SOURCE_RECENT}, /* what is new was never opened */
    [FOLDER_NEED_REPLY] = {1, 4, SOURCE_NEED_REPLY},
    [FOLDER_INVOLVED] = {1, 4, SOURCE_INVOLVED},
};

bool case_order_parse(const char *text, enum case_order *ret_order, bool *ret_descending, error *err)
{
    static const char *const names[CASE_ORDERS] = {"update_time", "subject", "status"};
    int order = CASE_ORDER_UPDATE;
    bool descending = true;
    if (!rpc_page_order(text, names, CASE_ORDERS, &order, &descending, err))
        return false;
    *ret_order = (enum case_order)order;
    *ret_descending = descending;
    return true;
}

bool case_folder_needs_agent(enum case_folder folder)
{
    return folder == FOLDER_MY_CASES || folder == FOLDER_INVOLVED;
}

/* Keys before everything: no stored time is as early or late, and no subject key is longer than 512 bytes. */
static const int64_t before_all_times = INT64_C(-62135596800000001),
                     behind_all_times = INT64_C(9000000000000000000);
#define LAST_CHARACTER_8                                                                               \
    "\xF4\x8F\xBF\xBF\xF4\x8F\xBF\xBF\xF4\x8F\xBF\xBF\xF4\x8F\xBF\xBF\xF4\x8F\xBF\xBF\xF4\x8F\xBF\xBF" \
    "\xF4\x8F\xBF\xBF\xF4\x8F\xBF\xBF"
#define LAST_CHARACTER_64                                                                                 \
    LAST_CHARACTER_8 LAST_CHARACTER_8 LAST_CHARACTER_8 LAST_CHARACTER_8 LAST_CHARACTER_8 LAST_CHARACTER_8 \
        LAST_CHARACTER_8 LAST_CHARACTER_8
static const char behind_all_subjects[] = LAST_CHARACTER_64 LAST_CHARACTER_64 LAST_CHARACTER_8;

/* Where an ascending walk by update starts. Recent cases are found there without walking over all others. */
static int64_t first_update(const struct case_list_query *query)
{
    return query->opened_since ? query->opened_since - 1 : before_all_times;
}

static void add_key(const struct case_list_query *query, const struct rpc_page *page, pg_params *params)
{
    bool from_end = query->descending && !page->after;
    switch (query->order) {
    case CASE_ORDER_SUBJECT:
        pg_add_text(params, from_end ? behind_all_subjects : page->key.text);
        break;
    case CASE_ORDER_STATUS:
        pg_add_int2(params, from_end ? INT16_MAX : page->key.first);
        break;
    default:
        pg_add_time(params, page->after         ? page->key.first
                            : query->descending ? behind_all_times
                                                : first_update(query));
    }
    pg_add_int8(params, from_end ? INT64_MAX : page->key.second);
}

static enum source source_of(const struct case_list_query *query)
{
    if (query->contact)
        return SOURCE_CONTACT;
    enum source source = folders[query->folder].source;
    if (query->owner && source == SOURCE_STATUS)
        return SOURCE_OWNER;
    return source;
}

static void add_list(const struct case_list_query *query, int32_t limit, int partition, pg_params *params)
{
    const struct folder *folder = &folders[query->folder];
    pg_add_int2(params, partition);
    pg_add_text(params, query->account);
    pg_array *statuses = pg_add_array(params, PG_INT2);
    for (int status = folder->first_status; status <= folder->last_status; status++)
        pg_put_int(statuses, status);
    pg_add_int4(params, limit);
}

static void add_filters(const struct case_list_query *query, pg_params *params)
{
    pg_add_text(params, query->owner);
    pg_add_text(params, query->contact);
    pg_add_text(params, query->channel);
    pg_add_text_array(params, query->labels, query->label_count);
    pg_add_text(params, query->group);
    pg_add_text(params, query->value);
    pg_add_time(params, query->start_time);
    pg_add_time(params, query->end_time);
    pg_add_bool(params, query->folder == FOLDER_NEED_REPLY);
    pg_add_time(params, query->opened_since);
    pg_add_text(params, query->folder == FOLDER_INVOLVED ? query->agent : NULL);
}

const struct pg_statement *case_list_statement(const struct case_list_query *query,
                                               const struct rpc_page *page, int partition, pg_params *params)
{
    add_list(query, page->size + 1, partition, params);
    add_key(query, page, params);
    add_filters(query, params);
    return &statements[source_of(query)][query->order][query->descending];
}

const struct pg_statement *case_list_snapshot(const struct case_list_query *query, int64_t after,
                                              int32_t limit, int partition, pg_params *params)
{
    add_list(query, limit, partition, params);
    pg_add_int8(params, INT64_MAX);
    pg_add_int8(params, after);
    add_filters(query, params);
    return &snapshots[source_of(query)];
}
