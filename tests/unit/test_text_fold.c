#include "text/fold.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void expect_fold(const char *text, const char *expected)
{
    arena *memory = arena_new(1 << 16);
    cr_assert_str_eq(text_fold(memory, text), expected, "fold of %s", text);
    arena_free(memory);
}

Test(text_fold, is_caseless)
{
    expect_fold("", "");
    expect_fold("Contract Needed", "contract needed");
    expect_fold("STRASSE", "strasse");
    expect_fold("Straße", "strasse");
    expect_fold("ΣΊΣΥΦΟΣ", "σι\xcc\x81συφοσ");
    expect_fold("σίσυφος", "σι\xcc\x81συφοσ");
}

Test(text_fold, is_canonical)
{
    expect_fold("\xc3\x89", "e\xcc\x81");     /* E with acute, composed */
    expect_fold("E\xcc\x81", "e\xcc\x81");    /* and in two characters */
    expect_fold("\xe2\x84\xab", "a\xcc\x8a"); /* ANGSTROM SIGN is canonically A with ring */
    /* Why the text is decomposed before it is folded, too: the iota subscript goes behind the accent first.
     */
    expect_fold("\xcd\x85\xcc\x81", "\xcc\x81\xce\xb9");
}

Test(text_fold, never_takes_compatibility_forms)
{
    expect_fold("\xef\xbc\xa1", "\xef\xbd\x81"); /* FULLWIDTH A: caseless, but no plain a */
    expect_fold("\xc2\xb2", "\xc2\xb2");         /* SUPERSCRIPT TWO stays */
    expect_fold("\xef\xac\x81", "fi"); /* the fi ligature: by full case folding, not by compatibility */
}

Test(text_fold, takes_no_language)
{
    expect_fold("TITLE I", "title i");
    expect_fold("\xc4\xb0", "i\xcc\x87"); /* I with dot above */
}

Test(text_fold, short_way_for_ascii_is_the_plain_one)
{
    srand(7);
    bytes fast, plain;
    bytes_init(&fast, 4096);
    bytes_init(&plain, 4096);
    for (int round = 0; round < 20000; round++) {
        char text[40];
        size_t length = (size_t)rand() % sizeof text;
        for (size_t i = 0; i < length; i++)
            text[i] = (char)(1 + rand() % 127);
        bytes_clear(&fast);
        bytes_clear(&plain);
        cr_assert(text_fold_append(&fast, text, length));
        cr_assert(text_fold_append_plain(&plain, text, length));
        cr_assert_str_eq(bytes_text(&fast), bytes_text(&plain));
    }
    bytes_release(&fast);
    bytes_release(&plain);
}

Test(text_fold, a_full_arena_gives_nothing)
{
    arena *memory = arena_new(64);
    char text[200] = "";
    memset(text, 'A', sizeof text - 1);
    cr_assert_null(text_fold(memory, text));
    memcpy(text, "\xc3\x89", 2);
    cr_assert_null(text_fold(memory, text));
    arena_free(memory);
}
