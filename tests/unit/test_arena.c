/* base/arena.h */

#include "base/arena.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(arena, memory_is_aligned_apart_and_stays)
{
    arena *a = arena_new(1 << 20);
    unsigned char *all[500];
    for (size_t i = 0; i < 500; i++) {
        all[i] = arena_alloc(a, i + 1);
        cr_assert_not_null(all[i]);
        cr_assert_eq((uintptr_t)all[i] % _Alignof(max_align_t), 0);
        memset(all[i], (int)i, i + 1);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t j = 0; j <= i; j++)
            cr_assert_eq(all[i][j], (unsigned char)i);
    cr_assert_eq(arena_used(a), 500 * 501 / 2);
    arena_free(a);
}

Test(arena, the_cap_holds)
{
    arena *a = arena_new(1000);
    cr_assert_null(arena_alloc(a, 1001));
    cr_assert_not_null(arena_alloc(a, 600));
    cr_assert_null(arena_alloc(a, 401));
    cr_assert_not_null(arena_alloc(a, 400));
    cr_assert_null(arena_alloc(a, 1));
    cr_assert_null(arena_alloc(a, SIZE_MAX));
    cr_assert_null(arena_calloc(a, SIZE_MAX / 2, 3));
    arena_clear(a);
    cr_assert_eq(arena_used(a), 0);
    cr_assert_not_null(arena_alloc(a, 1000));
    arena_free(a);
    arena_free(NULL);
}

Test(arena, texts)
{
    arena *a = arena_new(1 << 20);
    cr_assert_str_eq(arena_strdup(a, "abc"), "abc");
    cr_assert_str_eq(arena_strdup(a, NULL), "");
    cr_assert_str_eq(arena_strndup(a, "abc", 2), "ab");
    cr_assert_str_eq(arena_printf(a, "%d-%s", 5, "x"), "5-x");
    cr_assert_eq(memcmp(arena_memdup(a, "a\0b", 3), "a\0b", 3), 0);
    int *zeroed = arena_calloc(a, 1000, sizeof *zeroed);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(zeroed[i], 0);
    arena_free(a);
    arena *full = arena_new(4);
    cr_assert_null(arena_printf(full, "%s", "too long"));
    cr_assert_null(arena_strdup(full, "long"));
    arena_free(full);
}
