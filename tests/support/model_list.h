#ifndef CASEWORK_TESTS_SUPPORT_MODEL_LIST_H
#define CASEWORK_TESTS_SUPPORT_MODEL_LIST_H

/* Short lists of small numbers: labels, agents, tabs of the models. Copied like any struct. */

#include <stdbool.h>
#include <stdint.h>

enum { MODEL_LIST_MAX = 8 };

/* Without duplicates, in the order in which they came. */
struct model_list {
    uint8_t count, items[MODEL_LIST_MAX];
};

bool model_list_has(const struct model_list *list, int item);
void model_list_add(struct model_list *list, int item); /* aborts where there is no room */
void model_list_remove(struct model_list *list, int item);
bool model_list_equal(const struct model_list *one, const struct model_list *two);

#endif
