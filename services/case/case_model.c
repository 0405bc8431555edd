#include "case/case_model.h"

#include "text/fold.h"

#include <string.h>

bool message_kind_is_visible(enum message_kind kind)
{
    return kind == MESSAGE_KIND_CUSTOMER || kind == MESSAGE_KIND_AGENT || kind == MESSAGE_KIND_SURVEY;
}

const char *case_status_name(enum case_status status)
{
    static const char *const names[] = {"UNSPECIFIED", "NEW",    "OPEN",   "PENDING",
                                        "RESOLVED",    "CLOSED", "DELETED"};
    return (unsigned)status < sizeof names / sizeof names[0] ? names[status] : names[0];
}

char *case_subject_key(arena *memory, const char *subject)
{
    char *key = text_fold(memory, subject);
    if (key == NULL || strlen(key) <= CASE_SUBJECT_KEY_MAX)
        return key;
    size_t end = CASE_SUBJECT_KEY_MAX;
    while (end > 0 && ((unsigned char)key[end] & 0xC0) == 0x80)
        end--;
    key[end] = '\0';
    return key;
}

static char *phone_key(arena *memory, const char *phone)
{
    char *key = arena_alloc(memory, strlen(phone) + 1);
    if (key == NULL)
        return NULL;
    size_t length = 0;
    for (const char *p = phone; *p != '\0'; p++) {
        if (*p >= '0' && *p <= '9')
            key[length++] = *p;
    }
    key[length] = '\0';
    return key;
}

char *case_address_key(arena *memory, const char *network, const char *address)
{
    if (strcmp(network, "phone") == 0)
        return phone_key(memory, address);
    return text_fold(memory, address);
}
