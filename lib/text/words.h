#ifndef CASEWORK_TEXT_WORDS_H
#define CASEWORK_TEXT_WORDS_H

/*
 * Words of a text. 23 ASCII characters ( ' ` + - ! ( ) : ^ [ ] " { } ~ ? | & / \ . , ; ) and Unicode
 * White_Space separate, nothing else does. Each word is then folded (text/fold.h); what folding yields is not
 * split again.
 *
 *     text_words words;
 *     text_words_init(&words, text, length);
 *     while (text_words_next(&words, &word, &word_length))
 *         …
 *     bool complete = !text_words_failed(&words);
 *     text_words_release(&words);
 */

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct text_words {
    const char *at, *end; /* what is left; the caller's */
    bytes folded;         /* the present word */
} text_words;

/* Starts on `length` bytes of UTF-8, which must outlive the walk. */
void text_words_init(text_words *words, const char *text, size_t length);

/* Goes on with another text and keeps the memory. */
void text_words_again(text_words *words, const char *text, size_t length);

/* The next word, folded, NUL behind it, valid until the next call. False at the end, or when memory is out.
 */
bool text_words_next(text_words *words, const char **ret_word, size_t *ret_length);

bool text_words_failed(const text_words *words);
void text_words_release(text_words *words);

/* Length in bytes of the separator that `text` begins with, 0 if it begins with none. `length` bytes may be
 * looked at. */
size_t text_separator_length(const char *text, size_t length);

#endif
