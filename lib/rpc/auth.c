#include "rpc/auth.h"

#include "base/clock.h"
#include "base/log.h"
#include "rpc/keys.h"
#include "rpc/token.h"
#include "rpc/token_cache.h"
#include "rpc/wire.h"

#include <errno.h>
#include <jwt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_LENGTH_MAX = 8192, LOOK_EVERY_US = 1000000 };

struct auth {
    char *directory;
    struct token_cache *cache;
    _Atomic int64_t looked_us;    /* when the directory was looked at */
    _Atomic uint64_t fingerprint; /* of the keys; cached tokens of another one do not count */
    pthread_mutex_t lock;         /* guards keys */
    struct keys keys;
};

bool auth_new(const char *key_directory, struct auth **ret_auth, error *err)
{
    struct auth *auth = calloc(1, sizeof *auth);
    if (!auth)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for authentication");
    pthread_mutex_init(&auth->lock, NULL);
    auth->directory = strdup(key_directory);
    auth->cache = token_cache_new();
    auth->looked_us = clock_monotonic_us();
    auth->fingerprint = keys_fingerprint(key_directory);
    bool done = auth->directory && auth->cache && keys_read(key_directory, &auth->keys, err);
    if (!done) {
        if (!auth->directory || !auth->cache)
            error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for authentication");
        auth_free(auth);
        return false;
    }
    *ret_auth = auth;
    return true;
}

void auth_free(struct auth *auth)
{
    if (!auth)
        return;
    keys_release(&auth->keys);
    token_cache_free(auth->cache);
    pthread_mutex_destroy(&auth->lock);
    free(auth->directory);
    free(auth);
}

static void reload(struct auth *auth, uint64_t fingerprint)
{
    struct keys keys;
    error err;
    if (!keys_read(auth->directory, &keys, &err)) {
        log_warn("the keys could not be read again; the old ones stay", LOG_TEXT("error", err.message));
        return;
    }
    pthread_mutex_lock(&auth->lock);
    struct keys old = auth->keys;
    auth->keys = keys;
    atomic_store(&auth->fingerprint, fingerprint);
    pthread_mutex_unlock(&auth->lock);
    keys_release(&old);
    log_info("the keys were read again", LOG_NUMBER("keys", (int64_t)keys.count));
}

/* By one thread at a time, once a second at the most. */
static void look_again(struct auth *auth)
{
    int64_t now = clock_monotonic_us();
    int64_t last = atomic_load_explicit(&auth->looked_us, memory_order_relaxed);
    if (now - last < LOOK_EVERY_US || !atomic_compare_exchange_strong(&auth->looked_us, &last, now))
        return;
    uint64_t fingerprint = keys_fingerprint(auth->directory);
    if (fingerprint != 0 && fingerprint != atomic_load(&auth->fingerprint))
        reload(auth, fingerprint);
}

/* A NumericDate (RFC 7519 section 2), in microseconds; `absent` when the claim is not there. False: it is no
 * number. */
static bool get_time(jwt_t *jwt, const char *claim, int64_t absent, int64_t *ret_time_us)
{
    char *text = jwt_get_grants_json(jwt, claim);
    if (!text) {
        *ret_time_us = absent;
        return true;
    }
    char *end;
    double seconds = strtod(text, &end);
    bool good = end != text && *end == '\0' && seconds >= 0 && seconds < 1e12;
    free(text);
    if (good)
        *ret_time_us = (int64_t)(seconds * 1e6);
    return good;
}

static bool read_claims(jwt_t *jwt, struct rpc_caller *caller)
{
    const char *subject = jwt_get_grant(jwt, "sub");
    const char *account = jwt_get_grant(jwt, "account");
    const char *role = jwt_get_grant(jwt, "role");
    const char *agent = jwt_get_grant(jwt, "agent");
    caller->subject = subject ? subject : "";
    caller->account = account ? account : "";
    caller->agent = agent ? agent : "";
    if (!role || !rpc_role_parse(role, &caller->role))
        return false;
    if (strcmp(caller->account, "*") == 0 ? caller->role != RPC_ROLE_SERVICE
                                          : !wire_id_valid(caller->account))
        return false;
    if (caller->agent[0] ? !wire_id_valid(caller->agent) : caller->role == RPC_ROLE_AGENT)
        return false;
    return true;
}

/*
 * Which key, and only that key's algorithm: a token cannot choose to have a public key taken for a secret, or
 * to go unsigned.
 */
static jwt_t *verify(const struct auth *auth, const char *token)
{
    jwt_t *unverified, *jwt = NULL;
    if (jwt_decode(&unverified, token, NULL, 0) != 0)
        return NULL;
    const char *algorithm = jwt_get_header(unverified, "alg");
    const struct key *key = keys_find(&auth->keys, jwt_get_header(unverified, "kid"));
    if (key && algorithm && strcmp(algorithm, key_algorithm(key)) == 0 &&
        jwt_decode(&jwt, token, (const unsigned char *)key->data, (int)key->length) != 0)
        jwt = NULL;
    jwt_free(unverified);
    return jwt;
}

static bool invalid(error *err)
{
    return error_set(err, STATUS_UNAUTHENTICATED, "TOKEN_INVALID", "the token is not valid");
}

bool auth_expired(error *err)
{
    return error_set(err, STATUS_UNAUTHENTICATED, "TOKEN_EXPIRED", "the token has expired");
}

static bool check_times(int64_t expires_us, int64_t not_before_us, error *err)
{
    int64_t now = clock_real_us();
    if (now >= expires_us)
        return auth_expired(err);
    if (now < not_before_us)
        return error_set(err, STATUS_UNAUTHENTICATED, "TOKEN_NOT_YET_VALID", "the token is not valid yet");
    return true;
}

static bool check_fresh(struct auth *auth, const char *token, struct token_facts *ret_facts, jwt_t **ret_jwt,
                        error *err)
{
    int64_t not_before_us;
    struct token_facts facts = {0};
    pthread_mutex_lock(&auth->lock);
    facts.fingerprint = atomic_load(&auth->fingerprint);
    jwt_t *jwt = verify(auth, token);
    pthread_mutex_unlock(&auth->lock);
    /* no token is for ever: one that does not say when it ends has ended */
    bool good = jwt && get_time(jwt, "exp", 0, &facts.expires_us) &&
                get_time(jwt, "nbf", 0, &not_before_us) && read_claims(jwt, &facts.caller);
    if (!(good ? check_times(facts.expires_us, not_before_us, err) : invalid(err))) {
        jwt_free(jwt);
        return false;
    }
    *ret_facts = facts;
    *ret_jwt = jwt;
    return true;
}

bool auth_check(struct auth *auth, const char *token, size_t length, arena *memory,
                struct rpc_caller *ret_caller, int64_t *ret_expires_us, error *err)
{
    if (length > TOKEN_LENGTH_MAX)
        return invalid(err);
    look_again(auth);
    if (token_cache_get(auth->cache, token, length, atomic_load(&auth->fingerprint), memory, ret_caller,
                        ret_expires_us))
        return check_times(*ret_expires_us, 0, err);
    char *text = arena_strndup(memory, token, length);
    if (!text || strlen(text) != length)
        return invalid(err);
    struct token_facts facts;
    jwt_t *jwt;
    if (!check_fresh(auth, text, &facts, &jwt, err))
        return false;
    token_cache_put(auth->cache, token, length, &facts);
    *ret_expires_us = facts.expires_us;
    bool copied = token_caller_copy(&facts.caller, memory, ret_caller);
    jwt_free(jwt);
    return copied ||
           error_set(err, STATUS_RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "no memory for the caller");
}
