#ifndef CASEWORK_TEXT_FOLD_H
#define CASEWORK_TEXT_FOLD_H

/*
 * Canonical caseless matching (Unicode D145): two texts match when their foldings,
 * NFD(toCasefold(NFD(text))), are the same bytes. Folded texts sort by code point when their bytes are
 * compared (strcmp). Independent of locale and language.
 */

#include "base/arena.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

/* Grows whenever folding or splitting gives something else for some text: what was stored with it is then to
 * be made again. */
enum { TEXT_VERSION = 1 };

/* The folding of a whole UTF-8 text, in the arena; NULL when that is full. The key for subject order and
 * whole labels. */
char *text_fold(arena *memory, const char *text) __attribute__((warn_unused_result));

/* Appends the folding of `length` bytes to `out`. False when memory or the buffer's cap is out; out->failed
 * is then set. */
bool text_fold_append(bytes *out, const char *text, size_t length);

/* The same by Unicode's tables alone, without the short way for ASCII: the standard that the other is
 * measured by. */
bool text_fold_append_plain(bytes *out, const char *text, size_t length);

#endif
