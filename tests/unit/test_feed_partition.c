#include "feed/partition.h"

#include <criterion/criterion.h>

/* Published values of XXH64 with seed 0: "" ef46db3751d8e999, "a" d24ec4f1a98c6e5b, "abc" 44bc2cf5ad770999.
 */
Test(feed_partition, is_the_hash_modulo_64)
{
    cr_expect_eq(feed_partition(""), 0x99 % 64);
    cr_expect_eq(feed_partition("a"), 0x5b % 64);
    cr_expect_eq(feed_partition("abc"), 0x99 % 64);
}
