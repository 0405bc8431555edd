/* lib/redis against a private server. */

#include "base/clock.h"
#include "redis/client.h"
#include "redis/subscriber.h"
#include "redis/url.h"
#include "tests/support/redis_server.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void check_address(const char *url, struct redis_address expected)
{
    struct redis_address address;
    error err;
    cr_assert(redis_url_parse(url, &address, &err), "%s: %s", url, err.message);
    cr_assert_eq(address.is_unix, expected.is_unix);
    cr_assert_eq(address.port, expected.port);
    cr_assert_eq(address.db, expected.db);
    cr_assert_str_eq(address.host, expected.host);
    cr_assert_str_eq(address.user, expected.user);
    cr_assert_str_eq(address.password, expected.password);
}

Test(redis_url, takes_addresses_apart)
{
    check_address("redis://cache", (struct redis_address){.host = "cache", .port = 6379});
    check_address("redis://127.0.0.1:7000/3",
                  (struct redis_address){.host = "127.0.0.1", .port = 7000, .db = 3});
    check_address("redis://[::1]:7000", (struct redis_address){.host = "::1", .port = 7000});
    check_address("redis://:secret@cache/",
                  (struct redis_address){.host = "cache", .port = 6379, .password = "secret"});
    check_address("redis://me:a%40b%3Ac@cache:1",
                  (struct redis_address){.host = "cache", .port = 1, .user = "me", .password = "a@b:c"});
    check_address("unix:///run/redis.sock",
                  (struct redis_address){.is_unix = true, .host = "/run/redis.sock"});
    check_address("unix:///run/redis.sock?db=2",
                  (struct redis_address){.is_unix = true, .host = "/run/redis.sock", .db = 2});
}

Test(redis_url, refuses_what_is_no_address)
{
    static const char *const rows[] = {
        "",
        "http://cache",
        "redis://",
        "redis://:0",
        "redis://cache:0",
        "redis://cache:70000",
        "redis://cache:x",
        "redis://cache/x",
        "redis://secret@cache",
        "redis://:a%4@cache",
        "redis://[::1",
        "unix://run",
        "unix:///",
        "unix:///run/redis.sock?db=x",
        "unix:///run/redis.sock?other=1",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct redis_address address = {.port = 42};
        error err;
        cr_assert_not(redis_url_parse(rows[i], &address, &err), "%s", rows[i]);
        cr_assert_eq(err.code, STATUS_INVALID_ARGUMENT);
        cr_assert_eq(address.port, 42);
        cr_assert_null(strstr(err.message, "secret"));
    }
}

static redis_client *client_of(const embedded_redis *redis)
{
    struct redis_options options = {.url = embedded_redis_url(redis), .command_timeout_us = 500000};
    redis_client *client;
    error err;
    cr_assert(redis_client_new(&options, &client, &err), "%s", err.message);
    return client;
}

static void add_set(redis_batch *batch, const char *key, const char *value, size_t length)
{
    redis_batch_command(batch, "SET");
    redis_batch_text(batch, key);
    redis_batch_bytes(batch, value, length);
}

static void add_get(redis_batch *batch, const char *key)
{
    redis_batch_command(batch, "GET");
    redis_batch_text(batch, key);
}

Test(redis, answers_a_batch_in_order)
{
    embedded_redis *redis = redis_server_start(false, NULL);
    redis_client *client = client_of(redis);
    redis_batch *batch = redis_batch_new();
    error err;
    cr_assert(redis_client_run(client, batch, &err));
    add_set(batch, "k", "a\r\n\0$1", 6);
    add_get(batch, "k");
    add_get(batch, "nothing");
    redis_batch_command(batch, "INCRBY");
    redis_batch_text(batch, "n");
    redis_batch_number(batch, INT64_MAX);
    add_get(batch, "n");
    redis_batch_command(batch, "PING");
    cr_assert(redis_client_run(client, batch, &err), "%s %s", err.message, err.detail);
    cr_assert_eq(redis_batch_count(batch), 6);
    cr_assert_eq(redis_reply_length(redis_batch_reply(batch, 1)), 6);
    cr_assert_eq(memcmp(redis_reply_text(redis_batch_reply(batch, 1)), "a\r\n\0$1", 6), 0);
    cr_assert(redis_reply_is_nil(redis_batch_reply(batch, 2)));
    cr_assert_eq(redis_reply_number(redis_batch_reply(batch, 3)), INT64_MAX);
    cr_assert_eq(redis_reply_number(redis_batch_reply(batch, 4)), INT64_MAX);
    cr_assert_str_eq(redis_reply_text(redis_batch_reply(batch, 5)), "PONG");
    cr_assert_null(redis_batch_reply(batch, 6));
    redis_batch_free(batch);
    redis_client_free(client);
    embedded_redis_free(redis);
}

Test(redis, tells_the_first_refusal_and_goes_on)
{
    embedded_redis *redis = redis_server_start(false, NULL);
    redis_client *client = client_of(redis);
    redis_batch *batch = redis_batch_new();
    error err;
    redis_batch_command(batch, "NONSENSE");
    add_set(batch, "k", "1", 1);
    cr_assert_not(redis_client_run(client, batch, &err));
    cr_assert_eq(err.code, STATUS_INTERNAL);
    cr_assert_str_eq(redis_reply_text(redis_batch_reply(batch, 1)), "OK");
    redis_batch_clear(batch);
    add_get(batch, "k");
    cr_assert(redis_client_run(client, batch, &err));
    cr_assert_str_eq(redis_reply_text(redis_batch_reply(batch, 0)), "1");
    redis_batch_free(batch);
    redis_client_free(client);
    embedded_redis_free(redis);
}

static void run_script(redis_client *client, redis_batch *batch, struct redis_script *script,
                       const char *expected)
{
    error err;
    redis_batch_clear(batch);
    add_set(batch, "k", "v", 1);
    for (int i = 0; i < 2; i++) {
        redis_batch_script(batch, script, 1);
        redis_batch_text(batch, "k");
        redis_batch_text(batch, "x");
    }
    add_get(batch, "k");
    cr_assert(redis_client_run(client, batch, &err), "%s %s", err.message, err.detail);
    cr_assert_str_eq(redis_reply_text(redis_batch_reply(batch, 1)), expected);
    cr_assert_str_eq(redis_reply_text(redis_batch_reply(batch, 2)), expected);
    cr_assert_str_eq(redis_reply_text(redis_batch_reply(batch, 3)), "v");
}

Test(redis, loads_a_script_that_the_server_has_forgotten)
{
    embedded_redis *redis = redis_server_start(false, NULL);
    redis_client *client = client_of(redis);
    redis_batch *batch = redis_batch_new();
    struct redis_script script = {.source = "return redis.call('GET', KEYS[1]) .. ARGV[1]"};
    redis_script_init(&script);
    error err;
    run_script(client, batch, &script, "vx");
    run_script(client, batch, &script, "vx");
    redis_batch_clear(batch);
    redis_batch_command(batch, "SCRIPT");
    redis_batch_text(batch, "FLUSH");
    cr_assert(redis_client_run(client, batch, &err));
    run_script(client, batch, &script, "vx");
    redis_batch_free(batch);
    redis_client_free(client);
    embedded_redis_free(redis);
}

Test(redis, finds_a_restarted_server_again)
{
    embedded_redis *redis = redis_server_start(false, NULL);
    redis_client *client = client_of(redis);
    redis_batch *batch = redis_batch_new();
    error err;
    redis_batch_command(batch, "PING");
    cr_assert(redis_client_run(client, batch, &err));
    embedded_redis_stop(redis, true);
    cr_assert_not(redis_client_run(client, batch, &err));
    cr_assert_eq(err.code, STATUS_UNAVAILABLE);
    cr_assert(embedded_redis_restart(redis, &err));
    int64_t deadline = clock_monotonic_us() + 5 * CLOCK_SECOND;
    bool ok = false;
    while (!(ok = redis_client_run(client, batch, &err)) && clock_monotonic_us() < deadline)
        usleep(20000);
    cr_assert(ok, "%s", err.detail);
    embedded_redis_stop(redis, false);
    cr_assert(embedded_redis_restart(redis, &err));
    cr_assert(redis_client_run(client, batch, &err),
              "the first batch after an orderly restart goes through: %s", err.detail);
    redis_batch_free(batch);
    redis_client_free(client);
    embedded_redis_free(redis);
}

Test(redis, waits_no_longer_than_told)
{
    embedded_redis *redis = redis_server_start(false, NULL);
    redis_client *client = client_of(redis);
    redis_batch *batch = redis_batch_new();
    error err;
    redis_batch_command(batch, "BLPOP");
    redis_batch_text(batch, "nothing");
    redis_batch_number(batch, 5);
    int64_t start = clock_monotonic_us();
    cr_assert_not(redis_client_run(client, batch, &err));
    int64_t waited = clock_monotonic_us() - start;
    cr_assert_eq(err.code, STATUS_UNAVAILABLE);
    cr_assert(waited > 400000 && waited < 2000000, "%ld", (long)waited);
    redis_batch_free(batch);
    redis_client_free(client);
    embedded_redis_free(redis);
}

Test(redis, a_full_server_is_unavailable)
{
    static const char *const settings[] = {"--maxmemory", "1kb", "--maxmemory-policy", "noeviction", NULL};
    embedded_redis *redis = redis_server_start(false, settings);
    redis_client *client = client_of(redis);
    redis_batch *batch = redis_batch_new();
    error err;
    add_set(batch, "k", "v", 1);
    cr_assert_not(redis_client_run(client, batch, &err));
    cr_assert_eq(err.code, STATUS_UNAVAILABLE, "%s", err.detail);
    redis_batch_free(batch);
    redis_client_free(client);
    embedded_redis_free(redis);
}

/* --- hearing ----------------------------------------------------------------------------------------------
 */

struct heard {
    pthread_mutex_t lock;
    char texts[8][32];
    int count;
};

static void hear(void *context, const void *data, size_t length)
{
    struct heard *heard = context;
    pthread_mutex_lock(&heard->lock);
    if (heard->count < 8)
        snprintf(heard->texts[heard->count++], sizeof heard->texts[0], "%.*s", (int)length,
                 (const char *)data);
    pthread_mutex_unlock(&heard->lock);
}

static int heard_count(struct heard *heard)
{
    pthread_mutex_lock(&heard->lock);
    int count = heard->count;
    pthread_mutex_unlock(&heard->lock);
    return count;
}

/* Publishes until somebody has heard it: nobody may be listening yet. */
static void publish_until_heard(redis_client *client, struct heard *heard, const char *text)
{
    int before = heard_count(heard);
    redis_batch *batch = redis_batch_new();
    for (int64_t until = clock_monotonic_us() + 10 * CLOCK_SECOND;
         heard_count(heard) == before && clock_monotonic_us() < until;) {
        error err;
        redis_batch_clear(batch);
        redis_batch_command(batch, "PUBLISH");
        redis_batch_text(batch, "news");
        redis_batch_text(batch, text);
        if (redis_client_run(client, batch, &err) && redis_reply_number(redis_batch_reply(batch, 0)) > 0)
            usleep(20 * 1000);
        usleep(5 * 1000);
    }
    cr_assert_gt(heard_count(heard), before);
    redis_batch_free(batch);
}

Test(redis_subscriber, hears_what_is_published_and_again_after_the_server_was_away, .timeout = 30)
{
    embedded_redis *server = redis_server_start(false, NULL);
    const struct redis_options options = {.url = embedded_redis_url(server)};
    struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER};
    redis_subscriber *subscriber;
    redis_client *client;
    error err;
    cr_assert(redis_subscriber_new(&options, "news", hear, &heard, &subscriber, &err), "%s", err.message);
    cr_assert(redis_client_new(&options, &client, &err));
    publish_until_heard(client, &heard, "first");
    cr_assert_str_eq(heard.texts[0], "first");
    embedded_redis_stop(server, true);
    cr_assert(embedded_redis_restart(server, &err), "%s", err.message);
    int before = heard_count(&heard);
    publish_until_heard(client, &heard, "second");
    cr_assert_str_eq(heard.texts[before], "second");
    redis_subscriber_free(subscriber);
    redis_client_free(client);
    embedded_redis_free(server);
}
