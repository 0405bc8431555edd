#ifndef CASEWORK_SEARCH_DOCUMENT_H
#define CASEWORK_SEARCH_DOCUMENT_H

/* A case as it is indexed: what is found in it, what it is filtered by, and what an answer tells of it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a word was found. The numbers are the wire's. */
enum search_field {
    SEARCH_FIELD_SUBJECT = 1,
    SEARCH_FIELD_CASE_ID = 2,
    SEARCH_FIELD_CONTACT_NAME = 3,
    SEARCH_FIELD_CONTACT_EMAIL = 4,
    SEARCH_FIELD_CONTACT_PHONE = 5,
    SEARCH_FIELD_CONTACT_NOTE = 6,
    SEARCH_FIELD_LABEL = 7,
    SEARCH_FIELD_MESSAGE = 8,
};

/* Sets of fields and of statuses are bit masks. */
#define SEARCH_FIELD_BIT(field) ((uint8_t)(1u << ((unsigned)(field)-1u)))
#define SEARCH_FIELDS_ALL ((uint8_t)0xff)
#define SEARCH_STATUS_BIT(status) (1u << (unsigned)(status))

/* Statuses have the wire's numbers, which is also the order in which they sort; these two have a meaning
 * here. */
enum { SEARCH_STATUS_DELETED = 6, SEARCH_STATUS_MAX = 7 };

struct search_text {
    enum search_field field;
    const char *text;
};

/* Texts are never NULL. Everything belongs to whoever made the document. */
struct search_document {
    int64_t number; /* of the case: its id */
    int64_t
        position; /* of the account's feed, as of which the case was read: every event up to it is in here */
    int64_t update_time_us;
    int status;
    bool need_reply;
    const char *subject;
    const char *owner, *channel, *contact; /* ids; "" for none */
    const char *const *labels;
    size_t label_count;
    const struct search_text *texts; /* every text of every field, the subject, the id and the labels too */
    size_t text_count;
};

#endif
