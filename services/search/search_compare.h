#ifndef CASEWORK_SEARCH_COMPARE_H
#define CASEWORK_SEARCH_COMPARE_H

/* One case as it is filed, compared with what it should be. */

#include "base/arena.h"
#include "search/search_view.h"
#include "search/search_words.h"

enum { SEARCH_COMPARE_WORDS_MAX = 100, SEARCH_COMPARE_VALUES_MAX = 9, SEARCH_COMPARE_FIELDS = 8 };

/* At most SEARCH_COMPARE_WORDS_MAX of each. */
struct search_field_difference {
    const char **missing, **surplus;
    size_t missing_count, surplus_count;
};

struct search_comparison {
    bool present;     /* the case is filed */
    int64_t position; /* as of which; -1 when it is not */
    bool different;
    const char *values[SEARCH_COMPARE_VALUES_MAX]; /* names of values that differ; static */
    size_t value_count;
    struct search_field_difference fields[SEARCH_COMPARE_FIELDS]; /* by field - 1 */
};

/*
 * Compares the case of that number with the document that was read of it (NULL: it does not exist) and the
 * document's words: by their fingerprint first; which words differ is looked for only when that does. Texts
 * are in `memory`.
 */
bool search_compare(const struct search_view *view, int64_t number, const struct search_document *document,
                    const struct search_words *words, arena *memory, struct search_comparison *ret_comparison,
                    error *err) __attribute__((warn_unused_result));

#endif
