#include "case/case_import_command.h"

#include "case/case_write.h"
#include "case/contact_keys.h"
#include "case/message_input.h"
#include "rpc/wire.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { HASH_DIGITS = 8 };

static bool no_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                     "the conversation needs too much memory");
}

char *import_agent_id(arena *memory, const char *name)
{
    size_t length = strlen(name);
    char *id = arena_alloc(memory, IMPORT_ID_MAX + 1);
    if (!id)
        return NULL;
    bool exact = length > 0 && length <= IMPORT_ID_MAX;
    size_t end = 0;
    for (size_t i = 0; i < length && end < IMPORT_ID_MAX - HASH_DIGITS - 1; i++) {
        char c = name[i];
        bool upper = c >= 'A' && c <= 'Z';
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     (end > 0 && (c == '.' || c == '_' || c == '-'));
        exact = exact && (upper || plain);
        if (upper || plain)
            id[end++] = upper ? (char)(c - 'A' + 'a') : c;
        else if (end > 0 && id[end - 1] != '-')
            id[end++] = '-';
    }
    id[end] = '\0';
    if (exact && end == length)
        return id;
    uint32_t hash = (uint32_t)XXH64(name, length, 0);
    return arena_printf(memory, "%s%s%08" PRIx32, end > 0 ? id : "agent",
                        end > 0 && id[end - 1] == '-' ? "" : "-", hash);
}

/* --- messages --- */

static bool take_author(arena *memory, struct import_message *out, error *err)
{
    bool by_agent = out->kind == MESSAGE_KIND_AGENT || out->kind == MESSAGE_KIND_NOTE;
    if (!by_agent && out->kind != MESSAGE_KIND_CUSTOMER && out->kind != MESSAGE_KIND_FROM_THIRD_PARTY)
        return error_bad_field(err, "conversation.messages.kind",
                               "must be customer, agent, note or third party");
    if (out->kind != MESSAGE_KIND_CUSTOMER && !*out->author_name)
        return error_bad_field(err, "conversation.messages.author_name", "is required but for customers");
    out->agent = by_agent ? import_agent_id(memory, out->author_name) : "";
    return out->agent || no_memory(err);
}

static bool take_message(arena *memory, const Casework__Cases__V1__ConversationMessage *message,
                         struct import_message *out, error *err)
{
    *out = (struct import_message){.kind = (enum message_kind)message->kind,
                                   .automatic = message->automatic,
                                   .author_name = message->author_name,
                                   .body = message->body};
    if (!message->send_time)
        return error_bad_field(err, "conversation.messages.send_time", "is required");
    return time_input(message->send_time, "conversation.messages.send_time", &out->send_time, err) &&
           check_text(out->author_name, CASE_NAME_MAX, "conversation.messages.author_name", err) &&
           check_text(out->body, CASE_BODY_MAX, "conversation.messages.body", err) &&
           take_author(memory, out, err);
}

/* Messages with their place in the request, which decides between equal times. */
struct placed {
    struct import_message message;
    size_t place;
};

static int by_send_time(const void *left, const void *right)
{
    const struct placed *a = left, *b = right;
    if (a->message.send_time != b->message.send_time)
        return a->message.send_time < b->message.send_time ? -1 : 1;
    return a->place < b->place ? -1 : 1;
}

static bool take_messages(arena *memory, const Casework__Cases__V1__Conversation *conversation,
                          struct import_conversation *out, error *err)
{
    size_t count = conversation->n_messages;
    if (count == 0)
        return error_bad_field(err, "conversation.messages", "must have at least one");
    struct placed *placed = arena_calloc(memory, count, sizeof *placed);
    struct import_message *messages = arena_calloc(memory, count, sizeof *messages);
    if (!placed || !messages)
        return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (!take_message(memory, conversation->messages[i], &placed[i].message, err))
            return false;
        placed[i].place = i;
    }
    qsort(placed, count, sizeof *placed, by_send_time);
    for (size_t i = 0; i < count; i++)
        messages[i] = placed[i].message;
    out->messages = messages;
    out->message_count = count;
    return true;
}

/* --- the contact --- */

/* One without any address is found by its name on the conversation's network. */
static bool take_contact(arena *memory, const Casework__Cases__V1__Contact *contact,
                         struct import_conversation *out, error *err)
{
    if (!contact)
        return error_bad_field(err, "conversation.contact", "is required");
    if (!contact_read(memory, contact, "conversation.contact", FIELD_EMAILS | FIELD_PHONES | FIELD_HANDLES,
                      &out->contact, &out->addresses, err))
        return false;
    if (out->addresses.count > 0)
        return true;
    struct address_key *by_name = arena_alloc(memory, sizeof *by_name);
    const char *key = case_address_key(memory, out->network, contact->display_name);
    if (!by_name || !key)
        return no_memory(err);
    *by_name = (struct address_key){.network = out->network, .address = key};
    out->addresses = (struct address_keys){.items = by_name, .count = *key ? 1 : 0};
    return true;
}

static bool take_status(const Casework__Cases__V1__Conversation *conversation,
                        struct import_conversation *out, error *err)
{
    if (conversation->status > CASEWORK__CASES__V1__CASE_STATUS__CASE_STATUS_RESOLVED)
        return error_bad_field(err, "conversation.status", "must be new, open, pending or resolved");
    out->status = (enum case_status)conversation->status;
    return time_input(conversation->status_time, "conversation.status_time", &out->status_time, err);
}

bool import_conversation_take(arena *memory, const Casework__Cases__V1__Conversation *conversation,
                              struct import_conversation *ret_import, error *err)
{
    if (!conversation)
        return error_bad_field(err, "conversation", "is required");
    struct import_conversation out = {.account_display_name = "",
                                      .external_id = conversation->external_id,
                                      .network = conversation->network,
                                      .subject = conversation->subject,
                                      .labels = list_of(conversation->labels, conversation->n_labels)};
    if (!check_required(out.external_id, CASE_EXTERNAL_ID_MAX, "conversation.external_id", err) ||
        !check_lower(out.network, IMPORT_ID_MAX, "conversation.network", err) ||
        !check_id(out.network, "conversation.network", err) || /* it names the channel that is made for it */
        !check_text(out.subject, CASE_SUBJECT_MAX, "conversation.subject", err) ||
        !check_list(&out.labels, CASE_LABELS_MAX, CASE_LABEL_MAX, "conversation.labels", err) ||
        !take_contact(memory, conversation->contact, &out, err) ||
        !take_messages(memory, conversation, &out, err) || !take_status(conversation, &out, err))
        return false;
    out.subject_key = case_subject_key(memory, out.subject);
    if (!out.subject_key)
        return no_memory(err);
    *ret_import = out;
    return true;
}
