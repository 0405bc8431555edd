#include "redis/url.h"

#include <stddef.h>
#include <string.h>

enum { DEFAULT_PORT = 6379, SENTINEL_PORT = 26379, DB_MAX = 65535, PORT_MAX = 65535 };

static bool wrong(error *err, const char *what)
{
    return error_set(err, STATUS_INVALID_ARGUMENT, "BAD_REDIS_URL", "Redis URL: %s", what);
}

static bool copy_part(const char *from, size_t length, char to[REDIS_URL_TEXT])
{
    if (length >= REDIS_URL_TEXT)
        return false;
    memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool copy_decoded(const char *from, size_t length, char to[REDIS_URL_TEXT])
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        char c = from[i];
        if (c == '%') {
            int high = i + 2 < length ? hex_digit(from[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(from[i + 2]) : -1;
            if (low < 0 || (high == 0 && low == 0))
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (used + 1 >= REDIS_URL_TEXT)
            return false;
        to[used++] = c;
    }
    to[used] = '\0';
    return true;
}

/* All of from[0..length) as a decimal number up to `most`. */
static bool read_number(const char *from, size_t length, int most, int *ret_number)
{
    if (length == 0 || length > 5)
        return false;
    int value = 0;
    for (size_t i = 0; i < length; i++) {
        if (from[i] < '0' || from[i] > '9')
            return false;
        value = value * 10 + (from[i] - '0');
    }
    if (value > most)
        return false;
    *ret_number = value;
    return true;
}

static bool parse_unix(const char *rest, struct redis_address *address, error *err)
{
    const char *query = strchr(rest, '?');
    size_t length = query ? (size_t)(query - rest) : strlen(rest);
    address->is_unix = true;
    /* sun_path takes 108 bytes with its NUL */
    if (length < 2 || rest[0] != '/' || length > 107 || !copy_part(rest, length, address->host))
        return wrong(err, "the socket's path must be absolute and at most 107 bytes long");
    if (query &&
        (strncmp(query, "?db=", 4) != 0 || !read_number(query + 4, strlen(query + 4), DB_MAX, &address->db)))
        return wrong(err, "after the path only ?db=NUMBER may stand");
    return true;
}

static bool parse_credentials(const char *from, size_t length, struct redis_address *address, error *err)
{
    const char *colon = memchr(from, ':', length);
    if (!colon)
        return wrong(err, "before @ must stand user:password");
    size_t user = (size_t)(colon - from);
    if (!copy_decoded(from, user, address->user) ||
        !copy_decoded(colon + 1, length - user - 1, address->password))
        return wrong(err, "user or password are too long or badly encoded");
    return true;
}

static bool parse_host(const char *from, size_t length, int default_port, struct redis_seed *seed, error *err)
{
    size_t host = length;
    size_t skip = 0;
    if (length > 0 && from[0] == '[') {
        const char *close = memchr(from, ']', length);
        if (!close)
            return wrong(err, "a [ without ]");
        host = (size_t)(close - from) - 1;
        skip = 1;
    } else {
        const char *colon = memchr(from, ':', length);
        if (colon)
            host = (size_t)(colon - from);
    }
    if (host == 0 || !copy_part(from + skip, host, seed->host))
        return wrong(err, "the host is missing or too long");
    const char *after = from + skip + host + skip;
    size_t left = length - (size_t)(after - from);
    seed->port = default_port;
    if (left > 0 &&
        (*after != ':' || !read_number(after + 1, left - 1, PORT_MAX, &seed->port) || !seed->port))
        return wrong(err, "the port is no number from 1 to 65535");
    return true;
}

static bool parse_single(const char *hosts, size_t length, const char *path, struct redis_address *address,
                         error *err)
{
    struct redis_seed seed = {0};
    if (!parse_host(hosts, length, DEFAULT_PORT, &seed, err))
        return false;
    memcpy(address->host, seed.host, sizeof address->host);
    address->port = seed.port;
    if (*path && !read_number(path, strlen(path), DB_MAX, &address->db))
        return wrong(err, "after the host only /NUMBER may stand, the database");
    return true;
}

static bool parse_seeds(const char *hosts, size_t length, int default_port, struct redis_address *address,
                        error *err)
{
    const char *end = hosts + length;
    for (const char *at = hosts; at <= end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        if (address->seed_count == REDIS_SEEDS_MAX)
            return wrong(err, "more than eight hosts");
        if (!parse_host(at, (size_t)(stop - at), default_port, &address->seeds[address->seed_count], err))
            return false;
        address->seed_count++;
        at = stop + 1;
    }
    return true;
}

static bool parse_sentinel(const char *hosts, size_t length, const char *path, struct redis_address *address,
                           error *err)
{
    size_t name = strcspn(path, "/");
    if (name == 0 || !copy_part(path, name, address->master))
        return wrong(err, "after the sentinels must stand /MASTER, the master's name");
    if (path[name] && path[name + 1] &&
        !read_number(path + name + 1, strlen(path + name + 1), DB_MAX, &address->db))
        return wrong(err, "after the master's name only /NUMBER may stand, the database");
    return parse_seeds(hosts, length, SENTINEL_PORT, address, err);
}

static bool parse_cluster(const char *hosts, size_t length, const char *path, struct redis_address *address,
                          error *err)
{
    if (*path)
        return wrong(err, "a cluster has one database only");
    return parse_seeds(hosts, length, DEFAULT_PORT, address, err);
}

static const struct {
    const char *scheme;
    enum redis_kind kind;
    bool (*parse)(const char *hosts, size_t length, const char *path, struct redis_address *address,
                  error *err);
} schemes[] = {
    {"redis://", REDIS_SINGLE, parse_single},
    {"redis+sentinel://", REDIS_SENTINEL, parse_sentinel},
    {"redis+cluster://", REDIS_CLUSTER, parse_cluster},
};

/* What follows the scheme: credentials, hosts, path. */
static bool parse_rest(const char *rest, size_t scheme, struct redis_address *address, error *err)
{
    const char *slash = strchr(rest, '/');
    size_t length = slash ? (size_t)(slash - rest) : strlen(rest);
    const char *at = memrchr(rest, '@', length);
    address->kind = schemes[scheme].kind;
    if (at) {
        size_t credentials = (size_t)(at - rest);
        if (!parse_credentials(rest, credentials, address, err))
            return false;
        length -= credentials + 1;
        rest = at + 1;
    }
    return schemes[scheme].parse(rest, length, slash ? slash + 1 : "", address, err);
}

bool redis_url_parse(const char *url, struct redis_address *ret_address, error *err)
{
    struct redis_address address = {0};
    if (strncmp(url, "unix://", 7) == 0) {
        if (!parse_unix(url + 7, &address, err))
            return false;
        *ret_address = address;
        return true;
    }
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t length = strlen(schemes[i].scheme);
        if (strncmp(url, schemes[i].scheme, length) != 0)
            continue;
        if (!parse_rest(url + length, i, &address, err))
            return false;
        *ret_address = address;
        return true;
    }
    return wrong(err, "must begin with redis://, unix://, redis+sentinel:// or redis+cluster://");
}
