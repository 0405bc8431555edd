/*
 * Any bytes through the splitter. For valid UTF-8 the words are what a plain reader finds that looks at one
 * character after the other; folding a word again changes nothing.
 */
#include "text/fold.h"
#include "text/words.h"

#include <stdlib.h>
#include <string.h>
#include <unictype.h>
#include <unistr.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Length of the next word of `text`, and in *ret_skip how much separates it from the start. */
static size_t plain_word(const uint8_t *text, size_t length, size_t *ret_skip)
{
    size_t at = 0, start = 0;
    bool inside = false;
    while (at < length) {
        ucs4_t c;
        size_t step = (size_t)u8_mbtouc(&c, text + at, length - at);
        bool separates = uc_is_property_white_space(c) ||
                         (c > 0 && c < 0x80 && strchr("'`+-!():^[]\"{}~?|&/\\.,;", (int)c));
        if (separates && inside)
            break;
        if (!separates && !inside) {
            inside = true;
            start = at;
        }
        at += step;
    }
    *ret_skip = inside ? start : at;
    return inside ? at - start : 0;
}

static void compare(const uint8_t *data, size_t size)
{
    bytes plain, twice;
    bytes_init(&plain, SIZE_MAX / 2);
    bytes_init(&twice, SIZE_MAX / 2);
    text_words words;
    text_words_init(&words, (const char *)data, size);
    const char *word;
    size_t length;
    for (;;) {
        size_t skip, taken = plain_word(data, size, &skip);
        bool found = text_words_next(&words, &word, &length);
        must(found == (taken > 0));
        if (!found)
            break;
        bytes_clear(&plain);
        bytes_clear(&twice);
        must(text_fold_append_plain(&plain, (const char *)data + skip, taken));
        must(plain.length == length && memcmp(plain.data, word, length) == 0);
        must(text_fold_append(&twice, word, length));
        must(twice.length == length && memcmp(twice.data, word, length) == 0);
        data += skip + taken;
        size -= skip + taken;
    }
    must(!text_words_failed(&words));
    text_words_release(&words);
    bytes_release(&plain);
    bytes_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!u8_check(data, size)) {
        compare(data, size);
        return 0;
    }
    text_words words;
    text_words_init(&words, (const char *)data, size);
    const char *word;
    size_t length;
    while (text_words_next(&words, &word, &length))
        must(word[length] == '\0');
    text_words_release(&words);
    return 0;
}
