#include "tests/support/model_list.h"

#include <stdlib.h>
#include <string.h>

bool model_list_has(const struct model_list *list, int item)
{
    for (int i = 0; i < list->count; i++) {
        if (list->items[i] == item)
            return true;
    }
    return false;
}

void model_list_add(struct model_list *list, int item)
{
    if (model_list_has(list, item))
        return;
    if (list->count == MODEL_LIST_MAX)
        abort();
    list->items[list->count++] = (uint8_t)item;
}

void model_list_remove(struct model_list *list, int item)
{
    int kept = 0;
    for (int i = 0; i < list->count; i++) {
        if (list->items[i] != item)
            list->items[kept++] = list->items[i];
    }
    list->count = (uint8_t)kept;
}

bool model_list_equal(const struct model_list *one, const struct model_list *two)
{
    return one->count == two->count && memcmp(one->items, two->items, one->count) == 0;
}
