/* base/bytes.h */

#include "base/bytes.h"

#include <criterion/criterion.h>
#include <string.h>

Test(bytes, grows_and_ends_with_nul)
{
    bytes b;
    bytes_init(&b, 100000);
    cr_assert_str_eq(bytes_text(&b), "");
    for (int i = 0; i < 1000; i++)
        cr_assert(bytes_printf(&b, "%d,", i) && bytes_append_text(&b, "x") && bytes_append_char(&b, ';'));
    cr_assert_eq(strncmp(bytes_text(&b), "0,x;1,x;2,x;", 12), 0);
    cr_assert_eq(strlen(bytes_text(&b)), b.length);
    bytes_clear(&b);
    cr_assert_eq(b.length, 0);
    cr_assert(bytes_append(&b, "a\0b", 3));
    cr_assert_eq(b.length, 3);
    bytes_release(&b);
}

Test(bytes, beyond_the_cap_it_fails_and_stays_failed)
{
    bytes b;
    bytes_init(&b, 10);
    cr_assert(bytes_append(&b, "12345678", 8));
    cr_assert_not(bytes_append(&b, "901", 3));
    cr_assert(b.failed);
    cr_assert_not(bytes_append_char(&b, 'x'));
    cr_assert_str_eq(bytes_text(&b), "12345678");
    bytes_clear(&b);
    cr_assert(bytes_append(&b, "1234567890", 10));
    cr_assert_not(bytes_printf(&b, "%d", 1));
    bytes_release(&b);
    bytes_release(&(bytes){0});
}

Test(bytes, json_strings)
{
    bytes b;
    bytes_init(&b, 1000);
    cr_assert(bytes_append_json(&b, "a\"b\\c\n\t\001é"));
    cr_assert_str_eq(bytes_text(&b), "\"a\\\"b\\\\c\\n\\t\\u0001é\"");
    bytes_release(&b);
}
