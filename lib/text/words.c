#include "text/words.h"

#include "text/fold.h"

#include <stdint.h>
#include <string.h>

enum byte_class { BYTE_WORD = 0, BYTE_SEPARATOR = 1, BYTE_WIDE_SEPARATOR = 2 };

/* WIDE_SEPARATOR: first bytes of the White_Space characters beyond ASCII; a longer look decides. */
static const uint8_t byte_class[256] = {
    ['\t'] = BYTE_SEPARATOR,      ['\n'] = BYTE_SEPARATOR,      ['\v'] = BYTE_SEPARATOR,
    ['\f'] = BYTE_SEPARATOR,      ['\r'] = BYTE_SEPARATOR,      [' '] = BYTE_SEPARATOR,
    ['\''] = BYTE_SEPARATOR,      ['`'] = BYTE_SEPARATOR,       ['+'] = BYTE_SEPARATOR,
    ['-'] = BYTE_SEPARATOR,       ['!'] = BYTE_SEPARATOR,       ['('] = BYTE_SEPARATOR,
    [')'] = BYTE_SEPARATOR,       [':'] = BYTE_SEPARATOR,       ['^'] = BYTE_SEPARATOR,
    ['['] = BYTE_SEPARATOR,       [']'] = BYTE_SEPARATOR,       ['"'] = BYTE_SEPARATOR,
    ['{'] = BYTE_SEPARATOR,       ['}'] = BYTE_SEPARATOR,       ['~'] = BYTE_SEPARATOR,
    ['?'] = BYTE_SEPARATOR,       ['|'] = BYTE_SEPARATOR,       ['&'] = BYTE_SEPARATOR,
    ['/'] = BYTE_SEPARATOR,       ['\\'] = BYTE_SEPARATOR,      ['.'] = BYTE_SEPARATOR,
    [','] = BYTE_SEPARATOR,       [';'] = BYTE_SEPARATOR,       [0xc2] = BYTE_WIDE_SEPARATOR,
    [0xe1] = BYTE_WIDE_SEPARATOR, [0xe2] = BYTE_WIDE_SEPARATOR, [0xe3] = BYTE_WIDE_SEPARATOR,
};

/* White_Space beyond ASCII (PropList.txt): 85 A0 | 1680 2000..200A 2028 2029 202F 205F 3000. */
static size_t wide_separator_length(const unsigned char *text, size_t length)
{
    if (length >= 2 && text[0] == 0xc2)
        return text[1] == 0x85 || text[1] == 0xa0 ? 2 : 0;
    if (length < 3 || text[0] == 0xc2)
        return 0;
    unsigned code = (text[0] & 0x0fu) << 12 | (text[1] & 0x3fu) << 6 | (text[2] & 0x3fu);
    bool space = code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 ||
                 code == 0x202f || code == 0x205f || code == 0x3000;
    return space ? 3 : 0;
}

size_t text_separator_length(const char *text, size_t length)
{
    if (length == 0)
        return 0;
    switch ((enum byte_class)byte_class[(unsigned char)*text]) {
    case BYTE_SEPARATOR:
        return 1;
    case BYTE_WIDE_SEPARATOR:
        return wide_separator_length((const unsigned char *)text, length);
    case BYTE_WORD:
        break;
    }
    return 0;
}

void text_words_init(text_words *words, const char *text, size_t length)
{
    *words = (text_words){.at = text, .end = text + length};
    bytes_init(&words->folded, SIZE_MAX / 2);
}

void text_words_again(text_words *words, const char *text, size_t length)
{
    words->at = text;
    words->end = text + length;
}

/* Where the word ends that begins at `at`; *ret_wide: not all of it is ASCII. */
static const char *end_of_word(const char *at, const char *end, bool *ret_wide)
{
    unsigned char seen = 0;
    for (; at < end; at++) {
        unsigned char c = (unsigned char)*at;
        if (byte_class[c] == BYTE_SEPARATOR ||
            (byte_class[c] == BYTE_WIDE_SEPARATOR &&
             wide_separator_length((const unsigned char *)at, (size_t)(end - at)) > 0))
            break;
        seen |= c;
    }
    *ret_wide = seen >= 0x80;
    return at;
}

/* The short way of text_fold_append, for a word that is known to be ASCII. */
static bool fold_ascii(bytes *folded, const char *word, size_t length)
{
    if (!bytes_reserve(folded, length))
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)word[i];
        folded->data[i] = (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    folded->data[length] = '\0';
    folded->length = length;
    return true;
}

bool text_words_next(text_words *words, const char **ret_word, size_t *ret_length)
{
    size_t skip;
    while ((skip = text_separator_length(words->at, (size_t)(words->end - words->at))) > 0)
        words->at += skip;
    const char *start = words->at;
    bool wide;
    words->at = end_of_word(start, words->end, &wide);
    size_t length = (size_t)(words->at - start);
    if (length == 0 || words->folded.failed)
        return false;
    bytes_clear(&words->folded);
    if (wide ? !text_fold_append(&words->folded, start, length) : !fold_ascii(&words->folded, start, length))
        return false;
    *ret_word = bytes_text(&words->folded);
    *ret_length = words->folded.length;
    return true;
}

bool text_words_failed(const text_words *words)
{
    return words->folded.failed;
}

void text_words_release(text_words *words)
{
    bytes_release(&words->folded);
}
