#include "case/contact_keys.h"

#include "case/case_address.h"
#include "case/case_write.h"

#include <string.h>

enum { PHONE_MAX = 64, NETWORK_MAX = 64 };

struct reader {
    arena *memory;
    const char *path;
    struct address_keys *keys;
    error *err;
};

static const char *field_of(const struct reader *reader, const char *field)
{
    const char *name = arena_printf(reader->memory, "%s.%s", reader->path, field);
    return name == NULL ? field : name;
}

/* Connectors are given addresses as they are: a line break in one would be another header of a mail. */
static bool add_key(struct reader *reader, const char *network, const char *address, const char *field)
{
    if (!address_check(address, field_of(reader, field), reader->err))
        return false;
    char *key = case_address_key(reader->memory, network, address);
    if (key == NULL)
        return error_set(reader->err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                         "the request is too large");
    if (key[0] == '\0')
        return error_bad_field(reader->err, field_of(reader, field), "has something that is no address");
    for (size_t i = 0; i < reader->keys->count; i++) {
        const struct address_key *other = &reader->keys->items[i];
        if (strcmp(other->network, network) == 0 && strcmp(other->address, key) == 0)
            return error_bad_field(reader->err, field_of(reader, field), "has an address twice");
    }
    reader->keys->items[reader->keys->count++] = (struct address_key){network, key};
    return true;
}

static bool read_addresses(struct reader *reader, const struct text_list *list, size_t maximum,
                           const char *network, const char *field, bool wanted)
{
    if (list->count > CASE_ADDRESSES_MAX)
        return error_bad_field(reader->err, field_of(reader, field), "has more than %d", CASE_ADDRESSES_MAX);
    for (size_t i = 0; i < list->count; i++) {
        if (!check_required(list->items[i], maximum, field_of(reader, field), reader->err))
            return false;
        if (wanted && !add_key(reader, network, list->items[i], field))
            return false;
    }
    return true;
}

static bool read_handles(struct reader *reader, const Casework__Cases__V1__Contact *wire, bool wanted,
                         struct text_list *ret_handles)
{
    if (wire->n_handles > CASE_ADDRESSES_MAX)
        return error_bad_field(reader->err, field_of(reader, "handles"), "has more than %d",
                               CASE_ADDRESSES_MAX);
    const char **items = arena_calloc(reader->memory, 2 * wire->n_handles + 1, sizeof *items);
    if (items == NULL)
        return error_set(reader->err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                         "the request is too large");
    for (size_t i = 0; i < wire->n_handles; i++) {
        const Casework__Cases__V1__ContactHandle *handle = wire->handles[i];
        if (!check_lower(handle->network, NETWORK_MAX, field_of(reader, "handles.network"), reader->err) ||
            !check_required(handle->address, CASE_ADDRESS_MAX, field_of(reader, "handles.address"),
                            reader->err) ||
            (wanted && !add_key(reader, handle->network, handle->address, "handles")))
            return false;
        items[2 * i] = handle->network;
        items[2 * i + 1] = handle->address;
    }
    *ret_handles = (struct text_list){items, 2 * wire->n_handles};
    return true;
}

bool contact_read(arena *memory, const Casework__Cases__V1__Contact *wire, const char *path, unsigned fields,
                  struct contact_record *ret_record, struct address_keys *ret_keys, error *err)
{
    struct address_keys keys = {0};
    struct reader reader = {memory, path, &keys, err};
    size_t count = wire->n_emails + wire->n_phones + wire->n_handles;
    if (count > 3 * (size_t)CASE_ADDRESSES_MAX)
        return error_bad_field(err, path, "has too many addresses");
    keys.items = arena_calloc(memory, count + 1, sizeof *keys.items);
    if (keys.items == NULL)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "the request is too large");
    struct contact_record record = {
        .id = "",
        .display_name = wire->display_name,
        .note = wire->note,
        .emails = list_of(wire->emails, wire->n_emails),
        .phones = list_of(wire->phones, wire->n_phones),
    };
    if (!check_text(record.display_name, CASE_NAME_MAX, field_of(&reader, "display_name"), err) ||
        !check_text(record.note, CASE_NOTE_MAX, field_of(&reader, "note"), err) ||
        !read_addresses(&reader, &record.emails, CASE_ADDRESS_MAX, "email", "emails",
                        (fields & FIELD_EMAILS) != 0) ||
        !read_addresses(&reader, &record.phones, PHONE_MAX, "phone", "phones",
                        (fields & FIELD_PHONES) != 0) ||
        !read_handles(&reader, wire, (fields & FIELD_HANDLES) != 0, &record.handles))
        return false;
    *ret_record = record;
    *ret_keys = keys;
    return true;
}
