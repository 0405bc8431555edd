#ifndef CASEWORK_CASE_ROW_H
#define CASEWORK_CASE_ROW_H

/*
 * Rows of the tables in db/case/ as records. A statement selects one of the column lists below as its first
 * columns, under the alias that the list names, and gives the row to the reader of the same name.
 *
 * A case's network and channel_address are not stored with it: the reader leaves them "". Texts of what is
 * being erased are read as if they were gone, but for the subject's sort key.
 *
 * Texts of a record point into the result and live as long as that; lists are in `memory`. The readers fail
 * (RESOURCE_EXHAUSTED) only when that is full.
 */

#include "base/arena.h"
#include "base/error.h"
#include "case/case_model.h"
#include "pg/pg.h"

#include <stdbool.h>

/*
 * What is being erased is not told any more (docs/erasure.md). Hardly ever anything is: one look at an empty
 * table tells that for all rows of a statement.
 */
#define ANYTHING_IS_BEING_ERASED "(SELECT EXISTS (SELECT 1 FROM erasures))"
#define CASE_IS_BEING_ERASED(c)                                                                   \
    "(" ANYTHING_IS_BEING_ERASED " AND EXISTS (SELECT 1 FROM erasures er WHERE er.partition = " c \
    ".partition AND er.account = " c ".account AND er.contact IN (" c ".contact, '')))"
#define ACCOUNT_IS_BEING_DELETED(t)                                                               \
    "(" ANYTHING_IS_BEING_ERASED " AND EXISTS (SELECT 1 FROM erasures er WHERE er.partition = " t \
    ".partition AND er.account = " t ".account AND er.contact = ''))"
/* Where the history of account $2 of partition $1 begins: what a former account of that name leaves behind is
 * the event of its deletion (19). Asked for as a range and in this order, so that no other index will do. */
#define ACCOUNT_BEGIN                                                                \
    "(SELECT position FROM events WHERE partition = $1::int2 AND account = $2::text" \
    " AND case_id >= 0 AND case_id < 1 AND kind <> 19 ORDER BY case_id, position LIMIT 1)"

/* A message belongs to the contact of its case, to that of the case in which it was written, and to the
 * contact who wrote it; a message to a third party to those, too, whose texts it has. */
#define ERASED_AUTHOR "'accounts/' || er.account || '/contacts/' || er.contact"
#define HAS_ERASED_TEXT(m)                                                                          \
    "(" m ".kind = 4 AND EXISTS (SELECT 1 FROM forwarded_texts ft CROSS JOIN LATERAL"               \
    " (SELECT 1 FROM messages fm JOIN cases fc ON fc.partition = fm.partition"                      \
    " AND fc.account = fm.account AND fc.id = fm.case_id WHERE fm.partition = ft.partition"         \
    " AND fm.account = ft.account AND fm.case_id = ft.origin_case AND fm.number = ft.origin_number" \
    " AND (fc.contact = er.contact OR fm.author = " ERASED_AUTHOR ") OFFSET 0) fo"                  \
    " WHERE ft.partition = " m ".partition AND ft.account = " m ".account"                          \
    " AND ft.case_id = CASE WHEN " m ".origin_case = 0 THEN " m ".case_id ELSE " m                  \
    ".origin_case END AND ft.number = CASE WHEN " m ".origin_case = 0 THEN " m ".number ELSE " m    \
    ".origin_number END OFFSET 0))"
#define MESSAGE_IS_BEING_ERASED(m)                                                                    \
    "(" ANYTHING_IS_BEING_ERASED " AND EXISTS (SELECT 1 FROM erasures er WHERE er.partition = " m     \
    ".partition AND er.account = " m ".account AND (er.contact = '' OR " m ".author = " ERASED_AUTHOR \
    " OR EXISTS (SELECT 1 FROM cases ec WHERE ec.partition = " m ".partition AND ec.account = " m     \
    ".account AND ec.id IN (" m ".case_id, " m ".origin_case) AND ec.contact = er.contact OFFSET 0)"  \
    " OR " HAS_ERASED_TEXT(m) ")))"

/* The name of an agent or a contact, as opposed to what somebody has made up: it stays when texts go. */
#define MESSAGE_AUTHOR_STAYS "'^accounts/[a-z0-9._-]+/(agents|contacts)/[a-z0-9._-]+$'"

/* What is kept of an external id once its text has to go: enough to know it again. */
#define EXTERNAL_ID_ERASED(id) "'sha256:' || encode(sha256(convert_to(" id ", 'UTF8')), 'hex')"

#define ACCOUNT_COLUMNS                                                                            \
    "a.partition, a.account, a.display_name, a.time_zone, a.reopen_resolved, a.report_lock_days, " \
    "a.session_grace,"                                                                             \
    " a.next_case, a.version, a.create_time, a.update_time"

#define AGENT_COLUMNS                                                                             \
    "g.account, g.agent, g.display_name, g.email, g.role, g.disabled, g.version, g.create_time, " \
    "g.update_time"

#define CONTACT_COLUMNS                                                                                      \
    "p.account, p.contact, p.display_name, p.emails, p.phones, p.handles, p.note, p.version, p.create_time," \
    " p.update_time, p.erase_time"

#define CHANNEL_COLUMNS "h.account, h.channel, h.network, h.address, h.version, h.create_time, h.update_time"

#define CASE_COLUMNS                                                                                        \
    "c.partition, c.account, c.id, c.status, c.status_before_delete, c.need_reply, c.priority, "            \
    "c.message_count,"                                                                                      \
    " c.messages_assigned, c.messages_in_progress, c.messages_responded, c.first_open_message, "            \
    "c.create_time,"                                                                                        \
    " c.update_time, c.status_time, c.open_time, c.customer_time, c.waiting_since, c.first_reply_time,"     \
    " c.last_send_time, c.resolve_time, c.close_time, c.delete_time, c.change_time, c.activity_time, "      \
    "c.version,"                                                                                            \
    " c.change_version, c.activity_version, c.merged_into, c.lock_token, c.lock_time, c.lock_agent, "       \
    "c.lock_session,"                                                                                       \
    " c.owner, c.contact, c.channel, c.external_id, c.involved, c.labels, c.classifications, c.attributes," \
    " c.subject, c.subject_key, c.customer_number, c.waiting_number, c.messages_left, "                     \
    "c.erased, " CASE_IS_BEING_ERASED("c")

#define MESSAGE_COLUMNS                                                                                  \
    "m.account, m.case_id, m.number, m.kind, m.state, m.delivery, m.automatic, m.redacted, m.send_time," \
    " m.create_time, m.author, m.third_party, m.external_id, m.delivery_failure, m.merged_from, m.body," \
    " m.attachments, m.origin_case, m.origin_number, " MESSAGE_IS_BEING_ERASED("m")

/* The suite's clock, as of the transaction's begin. */
#define SUITE_TIME "(SELECT coalesce(manual_time, now()) FROM suite)"

/* How many columns each list has: those that a statement adds come after. */
enum {
    ACCOUNT_COLUMN_COUNT = 11,
    AGENT_COLUMN_COUNT = 9,
    CONTACT_COLUMN_COUNT = 11,
    CHANNEL_COLUMN_COUNT = 7,
    CASE_COLUMN_COUNT = 48,
    MESSAGE_COLUMN_COUNT = 20,
};

/* A merged case is stored with its status and this, so that no list finds it. */
enum { CASE_STORED_MERGED = 10 };

static inline enum case_status case_row_status(int64_t stored)
{
    return (enum case_status)(stored > CASE_STORED_MERGED ? stored - CASE_STORED_MERGED : stored);
}

void account_row_read(const pg_result *result, int row, struct account_record *ret_record);
void agent_row_read(const pg_result *result, int row, struct agent_record *ret_record);
void channel_row_read(const pg_result *result, int row, struct channel_record *ret_record);
bool contact_row_read(const pg_result *result, int row, arena *memory, struct contact_record *ret_record,
                      error *err) __attribute__((warn_unused_result));
bool case_row_read(const pg_result *result, int row, arena *memory, struct case_record *ret_record,
                   error *err) __attribute__((warn_unused_result));
bool message_row_read(const pg_result *result, int row, arena *memory, struct message_record *ret_record,
                      error *err) __attribute__((warn_unused_result));

#endif
