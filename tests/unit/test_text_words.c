#include "text/words.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>
#include <unictype.h>
#include <unistr.h>

struct row {
    char text[64];
    char words[64]; /* joined with a bar, which is a separator and so in no word */
};

static void expect_words(const char *text, const char *expected)
{
    char joined[4096] = "";
    text_words words;
    text_words_init(&words, text, strlen(text));
    const char *word;
    size_t length;
    while (text_words_next(&words, &word, &length)) {
        cr_assert_eq(strlen(word), length);
        size_t used = strlen(joined);
        snprintf(joined + used, sizeof joined - used, "%s%s", used ? "|" : "", word);
    }
    cr_assert_not(text_words_failed(&words));
    text_words_release(&words);
    cr_assert_str_eq(joined, expected, "words of «%s»: «%s»", text, joined);
}

ParameterizedTestParameters(text_words, table)
{
    static struct row rows[] = {
        {"", ""},
        {"  ,;. ", ""},
        {"a.b@c.com", "a|b@c|com"},
        {"+31 (0)20-1234567", "31|0|20|1234567"},
        {"Contract Needed", "contract|needed"},
        {"O'Brien's e-mail: <x@y.z>", "o|brien|s|e|mail|<x@y|z>"},
        {"STRASSE", "strasse"},
        {"Straße", "strasse"},
        {"a@b_c#d*e<f=g>h%i$j", "a@b_c#d*e<f=g>h%i$j"},
        {"“quoted” ‘so’ it’s", "“quoted”|‘so’|it’s"},
        {"no\xc2\xa0"
         "break",
         "no|break"},
        {"全角\xe3\x80\x80空白", "全角|空白"},
        {"zero\xe2\x80\x8bwidth", "zero\xe2\x80\x8bwidth"}, /* U+200B is no White_Space */
        {"a\tb\nc\vd\fe\rf", "a|b|c|d|e|f"},
        {"greek\xcd\xbequestion", "greek;question"}, /* U+037E becomes ';' by folding: not split again */
        {"3.14", "3|14"},
    };
    return cr_make_param_array(struct row, rows, sizeof rows / sizeof *rows);
}

ParameterizedTest(struct row *row, text_words, table)
{
    expect_words(row->text, row->words);
}

Test(text_words, exactly_23_characters_and_white_space_separate)
{
    const char *separators = "'`+-!():^[]\"{}~?|&/\\.,;";
    cr_assert_eq(strlen(separators), 23);
    for (ucs4_t c = 1; c <= 0x10ffff; c++) {
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        char text[8];
        int length = u8_uctomb((uint8_t *)text, c, sizeof text);
        bool expected = (c < 0x80 && strchr(separators, (int)c)) || uc_is_property_white_space(c);
        size_t got = text_separator_length(text, (size_t)length);
        cr_assert_eq(got, expected ? (size_t)length : 0, "U+%04X", (unsigned)c);
    }
}

Test(text_words, a_word_may_be_of_any_length)
{
    enum { LENGTH = 300000 };
    static char text[LENGTH + 3];
    memset(text, 'X', LENGTH);
    memcpy(text + LENGTH, " y", 3);
    text_words words;
    text_words_init(&words, text, strlen(text));
    const char *word;
    size_t length;
    cr_assert(text_words_next(&words, &word, &length));
    cr_assert_eq(length, LENGTH);
    cr_assert_eq(word[0], 'x');
    cr_assert(text_words_next(&words, &word, &length));
    cr_assert_str_eq(word, "y");
    cr_assert_not(text_words_next(&words, &word, &length));
    text_words_again(&words, "Z", 1);
    cr_assert(text_words_next(&words, &word, &length));
    cr_assert_str_eq(word, "z");
    text_words_release(&words);
}
