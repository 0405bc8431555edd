#include "rpc/token.h"

#include "base/clock.h"
#include "rpc/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <jwt.h>
#include <limits.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    enum rpc_role role;
    const char *name;
} roles[] = {
    {RPC_ROLE_AGENT, "agent"},
    {RPC_ROLE_ADMIN, "admin"},
    {RPC_ROLE_CONNECTOR, "connector"},
    {RPC_ROLE_SERVICE, "service"},
};

bool rpc_role_parse(const char *text, enum rpc_role *ret_role)
{
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (strcmp(text, roles[i].name) == 0) {
            *ret_role = roles[i].role;
            return true;
        }
    }
    return false;
}

const char *rpc_role_name(enum rpc_role role)
{
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (roles[i].role == role)
            return roles[i].name;
    return "";
}

static const struct key *first_secret(const struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        if (keys->list[i].kind == KEY_SECRET)
            return &keys->list[i];
    return NULL;
}

static bool add_claims(jwt_t *jwt, const struct rpc_token_claims *claims)
{
    const char *role = rpc_role_name(claims->role);
    const char *agent = claims->agent ? claims->agent : "";
    const char *subject = claims->subject;
    if (!subject)
        subject = *agent ? agent : role;
    long now = (long)(clock_real_us() / CLOCK_SECOND);
    return jwt_add_grant(jwt, "sub", subject) == 0 && jwt_add_grant(jwt, "account", claims->account) == 0 &&
           jwt_add_grant(jwt, "role", role) == 0 && (!*agent || jwt_add_grant(jwt, "agent", agent) == 0) &&
           jwt_add_grant_int(jwt, "iat", now) == 0 &&
           jwt_add_grant_int(jwt, "exp", now + (long)((claims->ttl_us + CLOCK_SECOND - 1) / CLOCK_SECOND)) ==
               0;
}

static char *sign(const struct key *key, const struct rpc_token_claims *claims)
{
    jwt_t *jwt;
    char *token = NULL;
    char kid[NAME_MAX + 1];
    snprintf(kid, sizeof kid, "%s", key->file);
    char *extension = strrchr(kid, '.');
    if (extension && extension != kid)
        *extension = '\0';
    if (jwt_new(&jwt) != 0)
        return NULL;
    if (jwt_add_header(jwt, "kid", kid) == 0 && add_claims(jwt, claims) &&
        jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)key->data, (int)key->length) == 0)
        token = jwt_encode_str(jwt);
    jwt_free(jwt);
    return token;
}

bool rpc_token_make(const char *key_directory, const struct rpc_token_claims *claims, char **ret_token,
                    error *err)
{
    struct keys keys;
    if (!keys_read(key_directory, &keys, err))
        return false;
    const struct key *key = first_secret(&keys);
    char *token = key ? sign(key, claims) : NULL;
    keys_release(&keys);
    if (!key)
        return error_set(err, STATUS_FAILED_PRECONDITION, "NO_SECRET",
                         "there is no secret in %s to sign with", key_directory);
    if (!token)
        return error_set(err, STATUS_INTERNAL, "TOKEN_NOT_MADE", "the token could not be made");
    *ret_token = token;
    return true;
}

static bool write_secret(const char *directory, error *err)
{
    unsigned char random[32];
    char text[2 * sizeof random + 2];
    char path[PATH_MAX];
    if (RAND_bytes(random, sizeof random) != 1)
        return error_set(err, STATUS_INTERNAL, "NO_RANDOM", "no random bytes for a secret");
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
    memcpy(text + 2 * sizeof random, "\n", 2);
    snprintf(path, sizeof path, "%s/casework.secret", directory);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool written = file >= 0 && write(file, text, sizeof text - 1) == (ssize_t)(sizeof text - 1);
    if (file >= 0)
        written = close(file) == 0 && written;
    return written ||
           error_set(err, STATUS_FAILED_PRECONDITION, "KEY_NOT_WRITTEN", "%s: %s", path, strerror(errno));
}

bool rpc_keys_generate(const char *directory, error *err)
{
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return error_set(err, STATUS_FAILED_PRECONDITION, "NO_KEY_DIRECTORY", "%s: %s", directory,
                         strerror(errno));
    struct keys keys;
    if (!keys_read(directory, &keys, err))
        return false;
    size_t count = keys.count;
    keys_release(&keys);
    return count > 0 || write_secret(directory, err);
}
