#include "cli/conversation.h"

#include "base/clock.h"
#include "rpc/wire.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

typedef Casework__Cases__V1__ImportConversationsRequest import_request;
typedef Casework__Cases__V1__Conversation conversation;
typedef Casework__Cases__V1__ConversationMessage conversation_message;
typedef Casework__Cases__V1__Contact contact;

static bool wrong(error *err, const char *field, const char *what)
{
    return error_bad_field(err, field, "%s", what);
}

static bool full(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the line is too large");
}

static bool take_text(arena *memory, const json_t *object, const char *key, bool needed, char **to,
                      error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value))
        return !needed || wrong(err, key, "is missing");
    if (!json_is_string(value))
        return wrong(err, key, "should be a string");
    if (strlen(json_string_value(value)) != json_string_length(value))
        return wrong(err, key, "must not contain NUL");
    *to = arena_strdup(memory, json_string_value(value));
    return *to || full(err);
}

static bool take_list(arena *memory, const json_t *object, const char *key, char ***ret_items,
                      size_t *ret_count, error *err)
{
    const json_t *list = json_object_get(object, key);
    if (!list || json_is_null(list))
        return true;
    if (!json_is_array(list))
        return wrong(err, key, "should be a list of strings");
    size_t count = json_array_size(list);
    char **items = arena_calloc(memory, count + 1, sizeof *items);
    if (!items)
        return full(err);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_string(item))
            return wrong(err, key, "should be a list of strings");
        items[i] = arena_strdup(memory, json_string_value(item));
        if (!items[i])
            return full(err);
    }
    *ret_items = items;
    *ret_count = count;
    return true;
}

static bool take_time(arena *memory, const json_t *object, const char *key, bool needed,
                      Google__Protobuf__Timestamp **to, error *err)
{
    char *text = NULL;
    int64_t time_us;
    if (!take_text(memory, object, key, needed, &text, err))
        return false;
    if (!text)
        return true;
    if (!clock_parse(text, &time_us))
        return wrong(err, key, "should be a time like 2026-03-02T09:31:00Z");
    *to = wire_timestamp(memory, time_us);
    return *to || full(err);
}

static bool take_word(const json_t *object, const char *key, const char *const *words, int count, bool needed,
                      int *ret_index, error *err)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text)
        return (!needed && !json_object_get(object, key)) || wrong(err, key, "is missing");
    for (int i = 0; i < count; i++) {
        if (strcmp(words[i], text) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return wrong(err, key, "is none of the known words");
}

static bool take_message(arena *memory, const json_t *object, conversation_message **ret_message, error *err)
{
    static const char *const authors[] = {"customer", "agent", "note", "third_party"};
    static const Casework__Cases__V1__MessageKind kinds[] = {
        CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_CUSTOMER,
        CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_AGENT,
        CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_NOTE,
        CASEWORK__CASES__V1__MESSAGE_KIND__MESSAGE_KIND_FROM_THIRD_PARTY};
    if (!json_is_object(object))
        return wrong(err, "messages", "should be objects");
    conversation_message *message = arena_alloc(memory, sizeof *message);
    if (!message)
        return full(err);
    casework__cases__v1__conversation_message__init(message);
    int from = 0;
    if (!take_word(object, "from", authors, 4, true, &from, err) ||
        !take_text(memory, object, "name", false, &message->author_name, err) ||
        !take_text(memory, object, "text", true, &message->body, err) ||
        !take_time(memory, object, "at", true, &message->send_time, err))
        return false;
    message->kind = kinds[from];
    *ret_message = message;
    return true;
}

static bool take_messages(arena *memory, const json_t *root, conversation *to, error *err)
{
    const json_t *list = json_object_get(root, "messages");
    if (!json_is_array(list))
        return wrong(err, "messages", "should be a list");
    to->n_messages = json_array_size(list);
    to->messages = arena_calloc(memory, to->n_messages + 1, sizeof(conversation_message *));
    if (!to->messages)
        return full(err);
    for (size_t i = 0; i < to->n_messages; i++)
        if (!take_message(memory, json_array_get(list, i), &to->messages[i], err))
            return false;
    return true;
}

static bool take_contact(arena *memory, const json_t *root, conversation *to, error *err)
{
    const json_t *object = json_object_get(root, "contact");
    if (!json_is_object(object))
        return wrong(err, "contact", "should be an object");
    contact *c = arena_alloc(memory, sizeof *c);
    if (!c)
        return full(err);
    casework__cases__v1__contact__init(c);
    to->contact = c;
    return take_text(memory, object, "name", false, &c->display_name, err) &&
           take_text(memory, object, "note", false, &c->note, err) &&
           take_list(memory, object, "emails", &c->emails, &c->n_emails, err) &&
           take_list(memory, object, "phones", &c->phones, &c->n_phones, err);
}

static bool take_account(arena *memory, const json_t *root, import_request *request, error *err)
{
    if (!take_text(memory, root, "account", true, &request->account_display_name, err))
        return false;
    char *id = arena_strdup(memory, request->account_display_name);
    for (char *c = id; c && *c; c++)
        *c = (char)tolower((unsigned char)*c);
    request->parent = id ? arena_printf(memory, "accounts/%s", id) : NULL;
    return request->parent || full(err);
}

static bool take_status(arena *memory, const json_t *root, conversation *to, error *err)
{
    static const char *const words[] = {"", "new", "open", "pending", "resolved"};
    int status = 0; /* the words stand in the order of CaseStatus */
    if (!take_word(root, "status", words, 5, false, &status, err) ||
        !take_time(memory, root, "status_at", false, &to->status_time, err))
        return false;
    to->status = (Casework__Cases__V1__CaseStatus)status;
    return true;
}

static bool take_conversation(arena *memory, const json_t *root, import_request **ret_request, error *err)
{
    import_request *request = arena_alloc(memory, sizeof *request);
    conversation *c = arena_alloc(memory, sizeof *c);
    if (!request || !c)
        return full(err);
    casework__cases__v1__import_conversations_request__init(request);
    casework__cases__v1__conversation__init(c);
    request->conversation = c;
    if (!take_account(memory, root, request, err) ||
        !take_text(memory, root, "external_id", true, &c->external_id, err) ||
        !take_text(memory, root, "channel", true, &c->network, err) || !take_contact(memory, root, c, err) ||
        !take_text(memory, root, "subject", false, &c->subject, err) ||
        !take_messages(memory, root, c, err) ||
        !take_list(memory, root, "labels", &c->labels, &c->n_labels, err) ||
        !take_status(memory, root, c, err))
        return false;
    *ret_request = request;
    return true;
}

bool conversation_parse(arena *memory, const char *text, size_t length, import_request **ret_request,
                        error *err)
{
    json_error_t why;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (!root)
        return error_set(err, STATUS_INVALID_ARGUMENT, "NOT_JSON", "no JSON: %s", why.text);
    bool taken = json_is_object(root) ? take_conversation(memory, root, ret_request, err)
                                      : error_set(err, STATUS_INVALID_ARGUMENT, "NOT_JSON", "no JSON object");
    json_decref(root);
    return taken;
}
