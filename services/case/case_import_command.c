#include "case/case_import_command.h"

#include "rpc/wire.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { PHONE_MAX = 64, HASH_DIGITS = 8 };

/* Copies texts and remembers the first thing that is wrong. */
struct taker {
    arena *memory;
    error *err;
    bool failed;
};

static bool no_memory(struct taker *t)
{
    t->failed = true;
    return error_set(t->err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                     "the conversation needs too much memory");
}

static const char *take(struct taker *t, const char *field, const char *text, size_t minimum, size_t maximum)
{
    size_t length = strlen(text);
    if (t->failed)
        return "";
    if (length < minimum || length > maximum) {
        t->failed = true;
        error_bad_field(t->err, field, "must have %zu to %zu bytes", minimum, maximum);
        return "";
    }
    const char *copy = arena_memdup(t->memory, text, length + 1);
    if (!copy)
        no_memory(t);
    return copy ? copy : "";
}

static struct text_list take_list(struct taker *t, const char *field, char *const *texts, size_t count,
                                  size_t most, size_t length_max)
{
    struct text_list list = {0};
    if (count > most && !t->failed) {
        t->failed = true;
        error_bad_field(t->err, field, "at most %zu", most);
    }
    if (t->failed || count == 0)
        return list;
    list.items = arena_calloc(t->memory, count, sizeof *list.items);
    if (!list.items) {
        no_memory(t);
        return list;
    }
    for (size_t i = 0; i < count; i++) {
        bool seen = false;
        for (size_t j = 0; j < list.count && !seen; j++)
            seen = strcmp(list.items[j], texts[i]) == 0;
        if (!seen)
            list.items[list.count++] = take(t, field, texts[i], 1, length_max);
    }
    return list;
}

static int64_t take_time(struct taker *t, const char *field, const Google__Protobuf__Timestamp *time,
                         bool required)
{
    int64_t time_us = 0;
    if (t->failed)
        return 0;
    if ((required && !time) || !wire_time_us(time, &time_us)) {
        t->failed = true;
        error_bad_field(t->err, field, required && !time ? "is required" : "is out of range");
    }
    return time_us;
}

/* A network names the channel that is made for it: it has the form of an id. */
static bool is_network(const char *network)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789", rest[] = "._-";
    size_t head = strspn(network, first);
    if (head == 0)
        return false;
    for (const char *p = network; *p; p++) {
        if (!strchr(first, *p) && !strchr(rest, *p))
            return false;
    }
    return true;
}

static const char *take_network(struct taker *t, const char *field, const char *text)
{
    const char *network = take(t, field, text, 1, IMPORT_ID_MAX);
    if (!t->failed && !is_network(network)) {
        t->failed = true;
        error_bad_field(t->err, field, "must be lower-case letters, digits, '.', '_' and '-'");
    }
    return network;
}

/* --- agents --- */

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

static void take_message(struct taker *t, const Casework__Cases__V1__ConversationMessage *message,
                         struct import_message *out)
{
    out->kind = (enum message_kind)message->kind;
    out->automatic = message->automatic;
    out->author_name = take(t, "conversation.messages.author_name", message->author_name, 0, CASE_NAME_MAX);
    out->send_time = take_time(t, "conversation.messages.send_time", message->send_time, true);
    out->body = take(t, "conversation.messages.body", message->body, 0, CASE_BODY_MAX);
    out->agent = "";
    bool by_agent = out->kind == MESSAGE_KIND_AGENT || out->kind == MESSAGE_KIND_NOTE;
    if (t->failed)
        return;
    if (!by_agent && out->kind != MESSAGE_KIND_CUSTOMER && out->kind != MESSAGE_KIND_FROM_THIRD_PARTY) {
        t->failed = true;
        error_bad_field(t->err, "conversation.messages.kind",
                        "must be customer, agent, note or from a third party");
    } else if (out->kind != MESSAGE_KIND_CUSTOMER && !*out->author_name) {
        t->failed = true;
        error_bad_field(t->err, "conversation.messages.author_name", "is required but for customers");
    } else if (by_agent) {
        out->agent = import_agent_id(t->memory, out->author_name);
        if (!out->agent)
            no_memory(t);
    }
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

static void take_messages(struct taker *t, const Casework__Cases__V1__Conversation *conversation,
                          struct import_conversation *out)
{
    size_t count = conversation->n_messages;
    if (count == 0 && !t->failed) {
        t->failed = true;
        error_bad_field(t->err, "conversation.messages", "must have at least one");
    }
    if (t->failed)
        return;
    struct placed *placed = arena_calloc(t->memory, count, sizeof *placed);
    struct import_message *messages = arena_calloc(t->memory, count, sizeof *messages);
    if (!placed || !messages) {
        no_memory(t);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        take_message(t, conversation->messages[i], &placed[i].message);
        placed[i].place = i;
    }
    qsort(placed, count, sizeof *placed, by_send_time);
    for (size_t i = 0; i < count; i++)
        messages[i] = placed[i].message;
    out->messages = messages;
    out->message_count = count;
}

/* --- the contact --- */

static struct text_list take_handles(struct taker *t, const Casework__Cases__V1__Contact *contact)
{
    struct text_list list = {0};
    if (contact->n_handles > CASE_ADDRESSES_MAX && !t->failed) {
        t->failed = true;
        error_bad_field(t->err, "conversation.contact.handles", "at most %d", CASE_ADDRESSES_MAX);
    }
    if (t->failed || contact->n_handles == 0)
        return list;
    list.items = arena_calloc(t->memory, 2 * contact->n_handles, sizeof *list.items);
    if (!list.items) {
        no_memory(t);
        return list;
    }
    for (size_t i = 0; i < contact->n_handles; i++) {
        list.items[list.count++] =
            take_network(t, "conversation.contact.handles.network", contact->handles[i]->network);
        list.items[list.count++] = take(t, "conversation.contact.handles.address",
                                        contact->handles[i]->address, 1, CASE_ADDRESS_MAX);
    }
    return list;
}

static void add_address(struct taker *t, struct address_keys *keys, const char *network, const char *address)
{
    if (t->failed)
        return;
    const char *key = case_address_key(t->memory, network, address);
    if (!key)
        no_memory(t);
    else if (*key)
        keys->items[keys->count++] = (struct address_key){.network = network, .address = key};
}

/* What the contact is found by; one without any address by its name on the conversation's network. */
static void take_addresses(struct taker *t, struct import_conversation *out)
{
    const struct contact_record *contact = &out->contact;
    size_t most = contact->emails.count + contact->phones.count + contact->handles.count / 2 + 1;
    struct address_keys *keys = &out->addresses;
    if (t->failed)
        return;
    keys->items = arena_calloc(t->memory, most, sizeof *keys->items);
    if (!keys->items) {
        no_memory(t);
        return;
    }
    for (size_t i = 0; i < contact->emails.count; i++)
        add_address(t, keys, "email", contact->emails.items[i]);
    for (size_t i = 0; i < contact->phones.count; i++)
        add_address(t, keys, "phone", contact->phones.items[i]);
    for (size_t i = 0; i + 1 < contact->handles.count; i += 2)
        add_address(t, keys, contact->handles.items[i], contact->handles.items[i + 1]);
    if (keys->count == 0)
        add_address(t, keys, out->network, contact->display_name);
}

static void take_contact(struct taker *t, const Casework__Cases__V1__Contact *contact,
                         struct import_conversation *out)
{
    struct contact_record *record = &out->contact;
    *record = (struct contact_record){.account = "", .id = "", .display_name = "", .note = ""};
    if (!contact) {
        if (!t->failed)
            error_bad_field(t->err, "conversation.contact", "is required");
        t->failed = true;
        return;
    }
    record->display_name =
        take(t, "conversation.contact.display_name", contact->display_name, 0, CASE_NAME_MAX);
    record->note = take(t, "conversation.contact.note", contact->note, 0, CASE_NOTE_MAX);
    record->emails = take_list(t, "conversation.contact.emails", contact->emails, contact->n_emails,
                               CASE_ADDRESSES_MAX, CASE_ADDRESS_MAX);
    record->phones = take_list(t, "conversation.contact.phones", contact->phones, contact->n_phones,
                               CASE_ADDRESSES_MAX, PHONE_MAX);
    record->handles = take_handles(t, contact);
    take_addresses(t, out);
}

bool import_conversation_take(arena *memory, const Casework__Cases__V1__Conversation *conversation,
                              struct import_conversation *ret_import, error *err)
{
    struct taker t = {.memory = memory, .err = err};
    struct import_conversation out = {.account_display_name = ""};
    if (!conversation)
        return error_bad_field(err, "conversation", "is required");
    out.external_id =
        take(&t, "conversation.external_id", conversation->external_id, 1, CASE_EXTERNAL_ID_MAX);
    out.network = take_network(&t, "conversation.network", conversation->network);
    out.subject = take(&t, "conversation.subject", conversation->subject, 0, CASE_SUBJECT_MAX);
    out.labels = take_list(&t, "conversation.labels", conversation->labels, conversation->n_labels,
                           CASE_LABELS_MAX, CASE_LABEL_MAX);
    take_contact(&t, conversation->contact, &out);
    take_messages(&t, conversation, &out);
    out.status = (enum case_status)conversation->status;
    out.status_time = take_time(&t, "conversation.status_time", conversation->status_time, false);
    if (!t.failed && (out.status < CASE_STATUS_NONE || out.status > CASE_STATUS_RESOLVED)) {
        t.failed = true;
        error_bad_field(err, "conversation.status", "must be new, open, pending or resolved");
    }
    if (!t.failed) {
        out.subject_key = case_subject_key(memory, out.subject);
        if (!out.subject_key)
            no_memory(&t);
    }
    if (t.failed)
        return false;
    *ret_import = out;
    return true;
}
