#ifndef CASEWORK_TESTS_SUPPORT_ERASE_DESK_H
#define CASEWORK_TESTS_SUPPORT_ERASE_DESK_H

/*
 * What tests of redaction, erasure and deletion do, and how they look into the database. Answers live in the
 * server's memory; what has to succeed and does not ends the test.
 */

#include "casework/cases/v1/account_service.pb-c.h"
#include "casework/cases/v1/contact_service.pb-c.h"
#include "casework/cases/v1/event_service.pb-c.h"
#include "tests/support/case_desk.h"

#define DESK_ACCOUNTS (&casework__cases__v1__account_service__descriptor)
#define DESK_CONTACTS (&casework__cases__v1__contact_service__descriptor)

void desk_merge(struct case_server *server, const char *source, const char *target);
void desk_unmerge(struct case_server *server, const char *source);

/* By a service. */
Casework__Cases__V1__RedactMessageResponse *desk_redact(struct case_server *server, const char *message);
Casework__Cases__V1__EraseContactResponse *desk_erase(struct case_server *server, const char *contact);
Casework__Cases__V1__DeleteAccountRequest *desk_delete_request(struct case_server *server, const char *name,
                                                               const char *request_id);
Casework__Cases__V1__DeleteAccountResponse *desk_delete_account(struct case_server *server, const char *name);

/* What search is given of a case. */
Casework__Cases__V1__Document *desk_document(struct case_server *server, const char *case_name);

/* The one number that a statement answers. */
int64_t desk_count(struct case_server *server, const char *sql);

/* Until it answers that. */
void desk_await(struct case_server *server, const char *sql, int64_t wanted);

/* Until whatever was erased or deleted is gone from the tables. */
void desk_await_erased(struct case_server *server);

/* The names of all tables with rows of the account, whatever tables there are. */
const char *desk_tables_with(struct case_server *server, const char *account);

#endif
