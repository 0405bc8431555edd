#include "case/case_input.h"

#include "case/case_write.h"

#include <string.h>

bool case_names_check(char *const *names, size_t count, error *err)
{
    size_t length = 0;
    if (count == 0 || count > CASE_NAMES_MAX)
        return error_bad_field(err, "names", "must be 1 to %d", CASE_NAMES_MAX);
    for (size_t i = 0; i < count; i++)
        length += strlen(names[i]);
    return length <= CASE_NAMES_BYTES_MAX ||
           error_bad_field(err, "names", "are longer than %d bytes together", CASE_NAMES_BYTES_MAX);
}

static bool has_pair(const char *const *items, size_t count, const char *first, const char *second)
{
    for (size_t i = 0; i < count; i += 2) {
        if (strcmp(items[i], first) == 0 && strcmp(items[i + 1], second) == 0)
            return true;
    }
    return false;
}

bool classifications_input(arena *memory, Casework__Cases__V1__Classification *const *wire, size_t count,
                           const char *field, struct text_list *ret_pairs, error *err)
{
    if (count > CASE_CLASSIFICATIONS_MAX)
        return error_bad_field(err, field, "has more than %d", CASE_CLASSIFICATIONS_MAX);
    const char **items = arena_calloc(memory, 2 * count + 1, sizeof *items);
    size_t filled = 0;
    if (items == NULL)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE",
                         "the request needs too much memory");
    for (size_t i = 0; i < count; i++) {
        if (!check_required(wire[i]->group, CASE_GROUP_MAX, field, err) ||
            !check_required(wire[i]->value, CASE_VALUE_MAX, field, err))
            return false;
        if (has_pair(items, filled, wire[i]->group, wire[i]->value))
            continue;
        items[filled++] = wire[i]->group;
        items[filled++] = wire[i]->value;
    }
    *ret_pairs = (struct text_list){items, filled};
    return true;
}
