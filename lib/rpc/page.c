#include "rpc/page.h"

#include "rpc/wire.h"

#include <stdio.h>
#include <string.h>

/* The fixed part of a token's payload; the key's text follows. Only read back by the same program: host byte
 * order. */
struct token_head {
    int64_t first, second, base, origin;
};

static const ProtobufCFieldDescriptor *page_field(const ProtobufCMessage *request, const char *name)
{
    return protobuf_c_message_descriptor_get_field_by_name(request->descriptor, name);
}

static char *hex(arena *memory, const uint8_t *data, size_t length, const char *head, const char *tail)
{
    static const char digits[] = "0123456789abcdef";
    size_t head_length = strlen(head), tail_length = strlen(tail);
    char *text = arena_alloc(memory, head_length + 1 + 2 * length + 1 + tail_length + 1);
    if (!text)
        return NULL;
    char *end = text;
    memcpy(end, head, head_length);
    end += head_length;
    *end++ = ' ';
    for (size_t i = 0; i < length; i++) {
        *end++ = digits[data[i] >> 4];
        *end++ = digits[data[i] & 15];
    }
    *end++ = ' ';
    memcpy(end, tail, tail_length + 1);
    return text;
}

/* A field of a shallow copy as if the client had not sent it. */
static void blank_field(ProtobufCMessage *bare, const char *name)
{
    static const char none[] = "";
    const char *no_text = none;
    const int32_t no_number = 0;
    const ProtobufCFieldDescriptor *field = page_field(bare, name);
    bool is_text = field->type == PROTOBUF_C_TYPE_STRING;
    memcpy((char *)bare + field->offset, is_text ? (const void *)&no_text : &no_number,
           is_text ? sizeof no_text : sizeof no_number);
}

char *rpc_request_binding(arena *memory, const ProtobufCMessage *request, const char *const *without,
                          const char *extra)
{
    ProtobufCMessage *bare = arena_memdup(memory, request, request->descriptor->sizeof_message);
    if (!bare)
        return NULL;
    for (; *without; without++)
        blank_field(bare, *without);
    size_t length = protobuf_c_message_get_packed_size(bare);
    uint8_t *packed = arena_alloc(memory, length + 1);
    if (!packed)
        return NULL;
    protobuf_c_message_pack(bare, packed);
    return hex(memory, packed, length, request->descriptor->name, extra ? extra : "");
}

static char *page_binding(arena *memory, const ProtobufCMessage *request, const char *extra)
{
    static const char *const page_fields[] = {"page_token", "page_size", NULL};
    return rpc_request_binding(memory, request, page_fields, extra);
}

static bool no_memory(error *err)
{
    return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                     "the request needs too much memory");
}

void rpc_page_foreign(error *err)
{
    error_bad_field(err, "page_token", "no page token of this service for these arguments");
    snprintf(err->reason, sizeof err->reason, "INVALID_PAGE_TOKEN");
}

static bool open_token(arena *memory, const char *token, const char *binding, struct rpc_page_key *ret_key,
                       error *err)
{
    void *payload;
    size_t length;
    if (!wire_token_open(memory, token, binding, &payload, &length) || length < sizeof(struct token_head)) {
        return rpc_page_refuse(err);
    }
    struct token_head head;
    memcpy(&head, payload, sizeof head);
    char *text = arena_strndup(memory, (const char *)payload + sizeof head, length - sizeof head);
    if (!text)
        return no_memory(err);
    *ret_key = (struct rpc_page_key){head.first, head.second, head.base, head.origin, text};
    return true;
}

const struct rpc_page_sizes rpc_page_sizes_usual = {.fallback = 50, .maximum = 1000};

bool rpc_page_open(arena *memory, const ProtobufCMessage *request, const char *extra,
                   const struct rpc_page_sizes *sizes, struct rpc_page *ret_page, error *err)
{
    int32_t size;
    const char *token;
    memcpy(&size, (const char *)request + page_field(request, "page_size")->offset, sizeof size);
    memcpy(&token, (const char *)request + page_field(request, "page_token")->offset, sizeof token);
    if (size < 0)
        return error_bad_field(err, "page_size", "must not be negative");
    struct rpc_page page = {.size = size ? size : sizes->fallback, .key = {.text = ""}};
    if (page.size > sizes->maximum)
        page.size = sizes->maximum;
    if (token && *token) {
        const char *binding = page_binding(memory, request, extra);
        if (!binding)
            return no_memory(err);
        if (!open_token(memory, token, binding, &page.key, err))
            return false;
        page.after = true;
    }
    *ret_page = page;
    return true;
}

/* The word at *text, past spaces; *text goes behind it. Length 0: there is none. */
static size_t next_word(const char **text, const char **ret_word)
{
    *ret_word = *text + strspn(*text, " ");
    size_t length = strcspn(*ret_word, " ");
    *text = *ret_word + length;
    return length;
}

static bool is_word(const char *word, size_t length, const char *expected)
{
    return strlen(expected) == length && memcmp(word, expected, length) == 0;
}

static bool no_such_order(const char *const *names, int count, error *err)
{
    char list[96] = "";
    for (int i = 0; i < count; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s",
                 i == 0          ? ""
                 : i + 1 < count ? ", "
                                 : " or ",
                 names[i]);
    }
    return error_bad_field(err, "order_by", "must be %s", list);
}

bool rpc_page_order(const char *text, const char *const *names, int count, int *ret_name,
                    bool *ret_descending, error *err)
{
    const char *name, *direction, *more;
    size_t name_length = next_word(&text, &name);
    size_t direction_length = next_word(&text, &direction);
    bool descending = is_word(direction, direction_length, "desc");
    if (name_length == 0)
        return true;
    if ((direction_length > 0 && !descending && !is_word(direction, direction_length, "asc")) ||
        next_word(&text, &more) > 0)
        return error_bad_field(err, "order_by", "takes \"desc\", \"asc\" or nothing behind the name");
    for (int i = 0; i < count; i++) {
        if (!is_word(name, name_length, names[i]))
            continue;
        *ret_name = i;
        *ret_descending = descending;
        return true;
    }
    return no_such_order(names, count, err);
}

char *rpc_page_seal(arena *memory, const ProtobufCMessage *request, const char *extra,
                    const struct rpc_page_key *key)
{
    const char *binding = page_binding(memory, request, extra);
    const char *text = key->text ? key->text : "";
    size_t length = strlen(text);
    uint8_t *payload = arena_alloc(memory, sizeof(struct token_head) + length);
    if (!binding || !payload)
        return NULL;
    const struct token_head head = {key->first, key->second, key->base, key->origin};
    memcpy(payload, &head, sizeof head);
    memcpy(payload + sizeof head, text, length);
    return wire_token_seal(memory, payload, sizeof head + length, binding);
}

/* Tag and length before a message of a repeated field, at the most. */
enum { ITEM_HEAD_BYTES = 8 };

bool rpc_room_take(struct rpc_room *room, const ProtobufCMessage *item)
{
    size_t bytes = protobuf_c_message_get_packed_size(item) + ITEM_HEAD_BYTES;
    if (room->used > 0 && room->used + bytes > RPC_ROOM_BYTES_MAX)
        return false;
    room->used += bytes;
    return true;
}
