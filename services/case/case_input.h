#ifndef CASEWORK_CASE_CASE_INPUT_H
#define CASEWORK_CASE_CASE_INPUT_H

/* What several methods take of a case, as it is given on the wire: checked. */

#include "base/arena.h"
#include "base/error.h"
#include "case/case_model.h"
#include "casework/cases/v1/case.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

enum { CASE_NAMES_MAX = 1000, CASE_NAMES_BYTES_MAX = 256 * 1024 };

/* The cases of a batch, as the field `names`: 1 to CASE_NAMES_MAX, CASE_NAMES_BYTES_MAX together, since each
 * goes back with its result. */
bool case_names_check(char *const *names, size_t count, error *err) __attribute__((warn_unused_result));

/* Classifications as pairs in `memory`, each once. */
bool classifications_input(arena *memory, Casework__Cases__V1__Classification *const *wire, size_t count,
                           const char *field, struct text_list *ret_pairs, error *err)
    __attribute__((warn_unused_result));

#endif
