#include "search/search_list.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 64 };

bool search_list_add(struct search_list *list, const char *account, int64_t number, arena *memory, error *err)
{
    if (list->count == list->size) {
        size_t size = list->size ? list->size * 2 : FIRST_SIZE;
        struct search_case *grown = arena_calloc(memory, size, sizeof *grown);
        if (!grown)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY",
                             "no memory for a list of cases");
        if (list->count)
            memcpy(grown, list->cases, list->count * sizeof *grown);
        list->cases = grown;
        list->size = size;
    }
    list->cases[list->count++] = (struct search_case){account, number};
    return true;
}

static int compare_cases(const void *a, const void *b)
{
    const struct search_case *left = a, *right = b;
    int order = strcmp(left->account, right->account);
    return order ? order : (left->number > right->number) - (left->number < right->number);
}

void search_list_sort(struct search_list *list)
{
    if (list->count < 2)
        return;
    qsort(list->cases, list->count, sizeof *list->cases, compare_cases);
    size_t kept = 1;
    for (size_t i = 1; i < list->count; i++)
        if (compare_cases(&list->cases[i], &list->cases[kept - 1]) != 0)
            list->cases[kept++] = list->cases[i];
    list->count = kept;
}

void search_list_remove_account(struct search_list *list, const char *account)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->cases[i].account, account) != 0)
            list->cases[kept++] = list->cases[i];
    list->count = kept;
}
