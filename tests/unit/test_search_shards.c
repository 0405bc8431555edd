/* Which settings of shards are taken. */

#include "search/search_shards.h"

#include <criterion/criterion.h>

static bool open_shards(const char *shard, const char *targets, struct search_shards *ret_shards)
{
    static const struct rpc_host host = {.key_directory = "",
                                         .tls_ca_file = "",
                                         .tls_certificate_file = "",
                                         .tls_key_file = "",
                                         .subject = ""};
    error err = {0};
    *ret_shards = (struct search_shards){0};
    bool opened = search_shards_open(ret_shards, &host, shard, targets, &err);
    search_shards_close(ret_shards);
    return opened;
}

Test(search_shards_settings, what_makes_sense)
{
    struct search_shards shards;
    cr_assert(open_shards("0/1", "", &shards));
    cr_assert_eq(shards.partitions, UINT64_MAX);
    cr_assert(open_shards("1/2", "127.0.0.1:1  127.0.0.1:2 ", &shards));
    cr_assert_eq(shards.partitions, UINT64_C(0xaaaaaaaaaaaaaaaa));
    cr_assert_null(shards.targets[1]);
}

Test(search_shards_settings, what_does_not)
{
    static const char *const wrong[] = {"",    "1",   "1/1",  "2/1",  "-1/2", "0/65",
                                        "0/0", "a/2", "0/2x", " 0/2", "0/ 2", "99999999999999999999/2"};
    struct search_shards shards;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect_not(open_shards(wrong[i], "127.0.0.1:1 127.0.0.1:2", &shards), "%s", wrong[i]);
    cr_expect_not(open_shards("0/2", "", &shards));
    cr_expect_not(open_shards("0/2", "127.0.0.1:1", &shards));
    cr_expect_not(open_shards("0/2", "127.0.0.1:1 127.0.0.1:2 127.0.0.1:3", &shards));
}
