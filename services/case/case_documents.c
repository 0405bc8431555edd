/* BatchGetDocuments: what search indexes of many cases, in one read. */

#include "case/case_model.h"
#include "case/case_read.h"
#include "case/case_row.h"
#include "case/case_wire.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "feed/partition.h"
#include "rpc/name.h"
#include "rpc/wire.h"

#include <string.h>

enum {
    NAMES_MAX = 1000,
    /* Text read for one response. One document may be larger. */
    TEXT_BYTES_MAX = RPC_ROOM_BYTES_MAX,
};

#define SHOWN "NOT " MESSAGE_IS_BEING_ERASED("x")
#define EXISTING "NOT " ACCOUNT_IS_BEING_DELETED("c")
#define SUBJECT "CASE WHEN " CASE_IS_BEING_ERASED("c") " THEN '' ELSE c.subject END"

/* The first 30 messages that count: no system messages, none that is redacted or being erased; those of a
 * merged case are where it went. */
#define COUNTING                                                                                      \
    " FROM messages x WHERE x.partition = u.partition AND x.account = u.account AND x.case_id = u.id" \
    " AND NOT u.merged AND x.kind <> 6 AND NOT x.redacted AND " SHOWN " ORDER BY x.number LIMIT 30"

/*
 * $1 to $3: partitions, accounts and numbers of the cases; $4: bytes. One statement, so one moment: the head
 * of the partition tells up to which event the document is complete. Lengths are known without reading the
 * bodies; bodies beyond the bytes are not read.
 */
static const struct pg_statement documents = {
    .name = "case_documents",
    .sql =
        "WITH n AS MATERIALIZED (SELECT n.*, EXISTS (SELECT 1 FROM case_merges e WHERE e.partition = "
        "n.partition"
        " AND e.account = n.account AND e.source = n.id) AS merged"
        " FROM unnest($1::int2[], $2::text[], $3::int8[]) WITH ORDINALITY AS n(partition, account, id, "
        "place)),"
        " u AS MATERIALIZED (SELECT u.*, sum(b.bytes) OVER (ORDER BY u.place) AS upto, b.bytes = "
        "sum(b.bytes) OVER (ORDER BY u.place) AS first"
        " FROM n u CROSS JOIN LATERAL (SELECT coalesce(sum(octet_length(t.body)), 0)"
        " + coalesce((SELECT octet_length(p.note) FROM (SELECT c.contact FROM cases c"
        " WHERE c.partition = u.partition AND c.account = u.account AND c.id = u.id LIMIT 1) c,"
        " LATERAL (SELECT x.note FROM contacts x WHERE x.partition = u.partition AND x.account = u.account"
        " AND x.contact = c.contact LIMIT 1) p), 0) AS bytes FROM (SELECT x.body" COUNTING ") t) b)"
        " SELECT u.first OR u.upto <= $4::int8, h.head, c.id IS NOT NULL, c.status, c.version, " SUBJECT ", "
        "c.owner, "
        "c.channel,"
        " c.labels, c.contact, c.update_time, c.need_reply, p.display_name, p.emails, p.phones, p.note,"
        " m.numbers, m.kinds, m.bodies, (SELECT epoch FROM suite)"
        " FROM u JOIN partitions h ON h.partition = u.partition"
        " LEFT JOIN LATERAL (SELECT * FROM cases c WHERE c.partition = u.partition AND c.account = u.account"
        " AND c.id = u.id AND (u.first OR u.upto <= $4::int8) AND " EXISTING " LIMIT 1) c ON true"
        " LEFT JOIN LATERAL (SELECT * FROM contacts x WHERE x.partition = c.partition"
        " AND x.account = c.account AND x.contact = c.contact LIMIT 1) p ON true"
        " LEFT JOIN LATERAL (SELECT array_agg(t.number::int8 ORDER BY t.number) AS numbers,"
        " array_agg(t.kind::int8 ORDER BY t.number) AS kinds, array_agg(t.body ORDER BY t.number) AS bodies"
        " FROM (SELECT x.number, x.kind, x.body" COUNTING
        ") t WHERE u.first OR u.upto <= $4::int8) m ON true ORDER BY u.place",
};

enum column {
    COLUMN_FITS,
    COLUMN_HEAD,
    COLUMN_EXISTS,
    COLUMN_STATUS,
    COLUMN_VERSION,
    COLUMN_SUBJECT,
    COLUMN_OWNER,
    COLUMN_CHANNEL,
    COLUMN_LABELS,
    COLUMN_CONTACT,
    COLUMN_UPDATE_TIME,
    COLUMN_NEED_REPLY,
    COLUMN_DISPLAY_NAME,
    COLUMN_EMAILS,
    COLUMN_PHONES,
    COLUMN_NOTE,
    COLUMN_NUMBERS,
    COLUMN_KINDS,
    COLUMN_BODIES,
    COLUMN_EPOCH,
};

static char *text(const struct case_read *read, int row, enum column column)
{
    return (char *)(uintptr_t)pg_get_text(read->result, row, (int)column);
}

static bool texts(const struct case_read *read, int row, enum column column, char ***ret_list,
                  size_t *ret_count)
{
    const char **list;
    if (!pg_get_text_array(read->result, row, (int)column, read->memory, &list, ret_count))
        return false;
    *ret_list = (char **)(uintptr_t)list;
    return true;
}

static bool add_messages(const struct case_read *read, int row, Casework__Cases__V1__Document *document)
{
    char **bodies;
    int64_t *numbers, *kinds;
    size_t count, number_count, kind_count;
    if (!texts(read, row, COLUMN_BODIES, &bodies, &count) ||
        !pg_get_int_array(read->result, row, COLUMN_NUMBERS, read->memory, &numbers, &number_count) ||
        !pg_get_int_array(read->result, row, COLUMN_KINDS, read->memory, &kinds, &kind_count))
        return false;
    Casework__Cases__V1__DocumentMessage *members = arena_calloc(read->memory, count + 1, sizeof *members);
    document->messages = arena_calloc(read->memory, count + 1, sizeof(void *));
    if (!members || !document->messages)
        return false;
    for (size_t i = 0; i < count && i < number_count && i < kind_count; i++) {
        casework__cases__v1__document_message__init(&members[i]);
        members[i].number = (int32_t)numbers[i];
        members[i].kind = (Casework__Cases__V1__MessageKind)kinds[i];
        members[i].body = bodies[i];
        document->messages[document->n_messages++] = &members[i];
    }
    return true;
}

static bool fill(const struct case_read *read, int row, const char *account,
                 Casework__Cases__V1__Document *out)
{
    arena *memory = read->memory;
    enum case_status status = case_row_status(pg_get_int(read->result, row, COLUMN_STATUS));
    out->state = status == CASE_STATUS_DELETED ? CASEWORK__CASES__V1__DOCUMENT_STATE__DOCUMENT_STATE_DELETED
                                               : CASEWORK__CASES__V1__DOCUMENT_STATE__DOCUMENT_STATE_LIVE;
    out->status = (Casework__Cases__V1__CaseStatus)status;
    out->version = pg_get_int(read->result, row, COLUMN_VERSION);
    out->account = arena_printf(memory, "accounts/%s", account);
    out->subject = text(read, row, COLUMN_SUBJECT);
    out->owner = case_wire_name(memory, account, "agents", text(read, row, COLUMN_OWNER));
    out->channel = case_wire_name(memory, account, "channels", text(read, row, COLUMN_CHANNEL));
    out->contact = case_wire_name(memory, account, "contacts", text(read, row, COLUMN_CONTACT));
    out->contact_display_name = text(read, row, COLUMN_DISPLAY_NAME);
    out->contact_note = text(read, row, COLUMN_NOTE);
    out->update_time = wire_timestamp(memory, pg_get_time(read->result, row, COLUMN_UPDATE_TIME));
    out->need_reply = pg_get_bool(read->result, row, COLUMN_NEED_REPLY);
    return out->account && out->owner && out->channel && out->contact && out->update_time &&
           texts(read, row, COLUMN_LABELS, &out->labels, &out->n_labels) &&
           texts(read, row, COLUMN_EMAILS, &out->contact_emails, &out->n_contact_emails) &&
           texts(read, row, COLUMN_PHONES, &out->contact_phones, &out->n_contact_phones) &&
           add_messages(read, row, out);
}

static Casework__Cases__V1__Document *document_of(const struct case_read *read, int row, char *name,
                                                  const char *account)
{
    Casework__Cases__V1__Document *document = arena_alloc(read->memory, sizeof *document);
    if (!document)
        return NULL;
    casework__cases__v1__document__init(document);
    document->case_ = name;
    document->position = pg_get_int(read->result, row, COLUMN_HEAD);
    document->state = CASEWORK__CASES__V1__DOCUMENT_STATE__DOCUMENT_STATE_MISSING;
    if (!pg_get_bool(read->result, row, COLUMN_EXISTS))
        return document;
    return fill(read, row, account, document) ? document : NULL;
}

/* Takes the names apart into the statement's first three parameters. */
static const char **add_names(struct case_read *read,
                              const Casework__Cases__V1__BatchGetDocumentsRequest *request,
                              const char *parent)
{
    pg_array *partitions = pg_add_array(&read->params, PG_INT2);
    pg_array *names = pg_add_array(&read->params, PG_TEXT);
    pg_array *numbers = pg_add_array(&read->params, PG_INT8);
    const char **accounts = arena_calloc(read->memory, request->n_names, sizeof *accounts);
    for (size_t i = 0; accounts && i < request->n_names; i++) {
        int64_t id;
        if (!rpc_name_case(read->memory, request->names[i], "names", &accounts[i], &id, &read->err))
            return NULL;
        if (*parent && strcmp(parent, accounts[i]) != 0) {
            error_bad_field(&read->err, "names", "has a case of another account");
            return NULL;
        }
        pg_put_int(partitions, feed_partition(accounts[i]));
        pg_put_text(names, accounts[i]);
        pg_put_int(numbers, id);
    }
    return accounts;
}

/* The documents read, as many as there is room for; the names of all others are listed as unread. */
static bool add_documents(struct case_read *read,
                          const Casework__Cases__V1__BatchGetDocumentsRequest *request, const char **accounts,
                          Casework__Cases__V1__BatchGetDocumentsResponse *response)
{
    struct rpc_room room = {0};
    for (int row = 0; row < pg_rows(read->result); row++) {
        if (pg_get_bool(read->result, row, COLUMN_FITS) && response->n_unread_names == 0) {
            Casework__Cases__V1__Document *document =
                document_of(read, row, request->names[row], accounts[row]);
            if (!document)
                return false;
            if (rpc_room_take(&room, &document->base)) {
                response->documents[response->n_documents++] = document;
                continue;
            }
        }
        response->unread_names[response->n_unread_names++] = request->names[row];
    }
    return true;
}

static ProtobufCMessage *answer(struct case_read *read, const ProtobufCMessage *message)
{
    const Casework__Cases__V1__BatchGetDocumentsRequest *request = (const void *)message;
    const char *parent;
    if (!rpc_name_accounts(read->memory, request->parent, "parent", &parent, &read->err))
        return NULL;
    if (request->n_names == 0 || request->n_names > NAMES_MAX) {
        error_bad_field(&read->err, "names", "must be 1 to %d", NAMES_MAX);
        return NULL;
    }
    const char **accounts = add_names(read, request, parent);
    if (!accounts)
        return NULL;
    pg_add_int8(&read->params, TEXT_BYTES_MAX);
    if (!case_read_run(read, &documents))
        return NULL;
    Casework__Cases__V1__BatchGetDocumentsResponse *response = arena_alloc(read->memory, sizeof *response);
    Casework__Cases__V1__Document **list = arena_calloc(read->memory, request->n_names, sizeof(void *));
    char **unread = arena_calloc(read->memory, request->n_names, sizeof *unread);
    if (!response || !list || !unread)
        return NULL;
    casework__cases__v1__batch_get_documents_response__init(response);
    response->documents = list;
    response->unread_names = unread;
    response->epoch = text(read, 0, COLUMN_EPOCH);
    return add_documents(read, request, accounts, response) ? &response->base : NULL;
}

static void handle(rpc_call *call, const ProtobufCMessage *request, void *context)
{
    case_read_start(call, request, context, answer);
}

const struct rpc_method case_document_methods[] = {
    {.service = &casework__cases__v1__event_service__descriptor,
     .name = "BatchGetDocuments",
     .run = RPC_RUN_INLINE,
     .roles = RPC_ROLE_SERVICE,
     .resource = "parent",
     .unary = handle},
    {0},
};
