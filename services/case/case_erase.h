#ifndef CASEWORK_CASE_ERASE_H
#define CASEWORK_CASE_ERASE_H

/* What goes when a message is redacted or a contact erased, and what stays (docs/erasure.md). */

#include "base/arena.h"
#include "base/error.h"
#include "case/case_model.h"

#include <stdbool.h>

/* Text and attachments' names and places; nothing of it is delivered any more. False: arena full. */
bool message_redact(arena *memory, struct message_record *message) __attribute__((warn_unused_result));

/* Of the contact's message: whatever somebody has written into it. What the tables do is in
 * case_store_erase.c. */
void message_erase_texts(struct message_record *message);

/* Of the contact's case, but for the sort key of the subject, which pages go on from. */
void case_erase_texts(struct case_record *record);

/* Of the contact itself. */
void contact_erase_texts(struct contact_record *contact);

/* Why nothing is written into the case any more. Always false. */
bool case_refuse_erased(const struct case_record *record, error *err);

#endif
