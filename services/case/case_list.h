#ifndef CASEWORK_CASE_LIST_H
#define CASEWORK_CASE_LIST_H

/*
 * Lists of cases: which statement reads a folder, filtered and sorted, from a key on. A page is read in order
 * from an index per status and merged, so that it costs the same whatever the size of the account. Recent,
 * Need a reply and Involved by subject, and the cases of a contact are sorted, and cost what they hold.
 */

#include "case/case_read.h"
#include "casework/cases/v1/case_service.pb-c.h"
#include "rpc/page.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As in the contract. */
enum case_folder {
    FOLDER_ALL = 1,
    FOLDER_NEW = 2,
    FOLDER_OPEN = 3,
    FOLDER_PENDING = 4,
    FOLDER_RESOLVED = 5,
    FOLDER_CLOSED = 6,
    FOLDER_DELETED = 7,
    FOLDER_MY_CASES = 8,
    FOLDER_UNASSIGNED = 9,
    FOLDER_RECENT = 10,
    FOLDER_NEED_REPLY = 11,
    FOLDER_INVOLVED = 12,
    FOLDER_COUNT,
};

enum case_order { CASE_ORDER_UPDATE, CASE_ORDER_SUBJECT, CASE_ORDER_STATUS, CASE_ORDERS };

/* Ids; NULL or 0: no such filter. */
struct case_list_query {
    const char *account;
    enum case_folder folder;
    const char *agent; /* whose folder; "" where the folder needs none */
    enum case_order order;
    bool descending;
    const char *owner, *contact, *channel;
    const char *const *labels;
    size_t label_count;
    const char *group, *value; /* classification */
    int64_t start_time, end_time;
    int64_t opened_since; /* Recent: first opened at this time or later */
};

/* "update_time", "subject desc" …; "" is "update_time desc". */
bool case_order_parse(const char *text, enum case_order *ret_order, bool *ret_descending, error *err)
    __attribute__((warn_unused_result));

/* Needs the folder an agent? */
bool case_folder_needs_agent(enum case_folder folder);

/*
 * The statement of a query, with its parameters added to `params`: rows of CASE_COLUMNS, one more than the
 * page's size if there are that many.
 */
const struct pg_statement *case_list_statement(const struct case_list_query *query,
                                               const struct rpc_page *page, int partition, pg_params *params);

/*
 * The cases of a list by number, whatever its order, from behind `after` on; and in the same moment the head
 * of the partition. Rows of CASE_COLUMNS and the head; one row with nothing but the head when there is no
 * case.
 */
const struct pg_statement *case_list_snapshot(const struct case_list_query *query, int64_t after,
                                              int32_t limit, int partition, pg_params *params);

/*
 * The query of a request, checked, before its owner and time are settled. False: read->err says why not.
 */
bool case_list_take(struct case_read *read, const Casework__Cases__V1__ListCasesRequest *request,
                    struct case_list_query *ret_query) __attribute__((warn_unused_result));

/*
 * Mine and Unassigned are an owner's: sets it. False when the owner asked for is another one, so that nothing
 * can be in the list.
 */
bool case_list_settle_owner(struct case_list_query *query) __attribute__((warn_unused_result));

/* Reads since when a case that is in Recent now was first opened. */
bool case_list_recent_since(struct case_read *read, int64_t *ret_since_us)
    __attribute__((warn_unused_result));

#endif
