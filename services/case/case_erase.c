#include "case/case_erase.h"

#include <string.h>

/* Whether that is the name of an agent or a contact, and nothing that somebody has made up. */
static bool is_resource(const char *author)
{
    static const char ids[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    static const char *const collections[] = {"/agents/", "/contacts/"};
    if (strncmp(author, "accounts/", strlen("accounts/")) != 0)
        return false;
    const char *rest = author + strlen("accounts/");
    rest += strspn(rest, ids);
    for (size_t i = 0; i < sizeof collections / sizeof collections[0]; i++) {
        size_t length = strlen(collections[i]);
        if (strncmp(rest, collections[i], length) == 0)
            return rest[length] != '\0' && rest[length + strspn(rest + length, ids)] == '\0';
    }
    return false;
}

/* A message that waits for its connector waits no longer. */
static void stop_delivery(struct message_record *message)
{
    bool waits = message->delivery == DELIVERY_QUEUED;
    if (waits)
        message->delivery = DELIVERY_FAILED;
    message->delivery_failure = waits ? CASE_DELIVERY_REDACTED : "";
}

bool message_redact(arena *memory, struct message_record *message)
{
    struct attachment *attachments = arena_calloc(memory, message->attachment_count + 1, sizeof *attachments);
    if (attachments == NULL)
        return false;
    for (size_t i = 0; i < message->attachment_count; i++) {
        attachments[i] = message->attachments[i];
        attachments[i].file_name = attachments[i].uri = "";
    }
    message->attachments = attachments;
    message->body = "";
    message->redacted = true;
    stop_delivery(message);
    return true;
}

void message_erase_texts(struct message_record *message)
{
    if (!is_resource(message->author))
        message->author = "";
    message->third_party = message->external_id = message->body = "";
    message->attachments = NULL;
    message->attachment_count = 0;
    message->redacted = true;
    stop_delivery(message);
}

void case_erase_texts(struct case_record *record)
{
    record->subject = record->external_id = "";
    record->attributes = (struct text_list){0};
}

void contact_erase_texts(struct contact_record *contact)
{
    contact->display_name = contact->note = "";
    contact->emails = contact->phones = contact->handles = (struct text_list){0};
}

bool case_refuse_erased(const struct case_record *record, error *err)
{
    return error_set(err, STATUS_FAILED_PRECONDITION, "CONTACT_ERASED",
                     "case %lld belongs to a contact that was erased", (long long)record->id);
}
