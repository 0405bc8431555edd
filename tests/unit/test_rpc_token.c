/* rpc/token.h, rpc/auth.h */

#include "base/clock.h"
#include "rpc/auth.h"
#include "rpc/token.h"
#include "tests/support/rpc_loopback.h"

#include <criterion/criterion.h>
#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECRET "0123456789abcdef0123456789abcdef"

static char folder[64];
static arena *memory;
static struct auth *auth;
static int64_t expires_us; /* of the token last found good */

static void set_up(void)
{
    memory = arena_new(1 << 20);
    rpc_folder_make(folder);
    rpc_folder_write(folder, "main.secret", SECRET "\n");
}

static void tear_down(void)
{
    auth_free(auth);
    arena_free(memory);
    rpc_folder_remove(folder);
}

TestSuite(rpc_token, .init = set_up, .fini = tear_down);

static void open_auth(void)
{
    error err;
    cr_assert(auth_new(folder, &auth, &err), "%s", err.message);
}

/* The reason of the refusal, "" when the token is good. */
static const char *check(const char *token, struct rpc_caller *ret_caller)
{
    static error err;
    *ret_caller = (struct rpc_caller){.session = ""};
    if (auth_check(auth, token, strlen(token), memory, ret_caller, &expires_us, &err))
        return "";
    cr_assert_eq(err.code, STATUS_UNAUTHENTICATED);
    return err.reason;
}

/* Signed with any key; claims as JSON. */
static char *sign(jwt_alg_t algorithm, const char *key, const char *kid, const char *claims)
{
    jwt_t *jwt;
    cr_assert_eq(jwt_new(&jwt), 0);
    cr_assert_eq(jwt_add_grants_json(jwt, claims), 0);
    if (!strstr(claims, "\"exp\"")) /* what is tested is something else */
        cr_assert_eq(jwt_add_grant_int(jwt, "exp", (long)time(NULL) + 3600), 0);
    if (kid)
        jwt_add_header(jwt, "kid", kid);
    cr_assert_eq(jwt_set_alg(jwt, algorithm, (const unsigned char *)key, key ? (int)strlen(key) : 0), 0);
    char *token = jwt_encode_str(jwt);
    cr_assert_not_null(token);
    jwt_free(jwt);
    return token;
}

static const char *check_signed(jwt_alg_t algorithm, const char *key, const char *kid, const char *claims)
{
    struct rpc_caller caller;
    char *token = sign(algorithm, key, kid, claims);
    const char *reason = check(token, &caller);
    free(token);
    return reason;
}

#define SERVICE "{\"sub\":\"s\",\"account\":\"*\",\"role\":\"service\"}"

Test(rpc_token, a_token_that_was_made_is_good)
{
    struct rpc_token_claims claims = {
        .account = "acme", .role = RPC_ROLE_AGENT, .agent = "ann", .ttl_us = CLOCK_HOUR};
    struct rpc_caller caller;
    char *token;
    error err;
    open_auth();
    cr_assert(rpc_token_make(folder, &claims, &token, &err), "%s", err.message);
    for (int i = 0; i < 3; i++) { /* the first time from the key, then from the cache */
        cr_assert_str_eq(check(token, &caller), "");
        cr_assert_eq(caller.role, RPC_ROLE_AGENT);
        cr_assert_str_eq(caller.account, "acme");
        cr_assert_str_eq(caller.agent, "ann");
        cr_assert_str_eq(caller.subject, "ann");
        cr_assert_leq(expires_us, clock_real_us() + CLOCK_HOUR);
        cr_assert_geq(expires_us, clock_real_us() + CLOCK_HOUR / 2);
    }
    token[strlen(token) - 2] = token[strlen(token) - 2] == 'A' ? 'B' : 'A';
    cr_assert_str_eq(check(token, &caller), "TOKEN_INVALID");
    free(token);
}

Test(rpc_token, expiry_and_beginning_go_by_real_time)
{
    char claims[256];
    long now = (long)time(NULL);
    open_auth();
    snprintf(claims, sizeof claims, "{\"account\":\"*\",\"role\":\"service\",\"exp\":%ld}", now - 1);
    cr_assert_str_eq(check_signed(JWT_ALG_HS256, SECRET, "main", claims), "TOKEN_EXPIRED");
    snprintf(claims, sizeof claims, "{\"account\":\"*\",\"role\":\"service\",\"exp\":%ld.5}", now + 60);
    cr_assert_str_eq(check_signed(JWT_ALG_HS256, SECRET, "main", claims), "");
    snprintf(claims, sizeof claims, "{\"account\":\"*\",\"role\":\"service\",\"nbf\":%ld}", now + 60);
    cr_assert_str_eq(check_signed(JWT_ALG_HS256, SECRET, "main", claims), "TOKEN_NOT_YET_VALID");
    cr_assert_str_eq(check_signed(JWT_ALG_HS256, SECRET, "main",
                                  "{\"account\":\"*\",\"role\":\"service\",\"exp\":\"soon\"}"),
                     "TOKEN_INVALID");
}

Test(rpc_token, a_token_without_an_end_has_ended)
{
    struct rpc_caller caller;
    jwt_t *jwt;
    open_auth();
    cr_assert_eq(jwt_new(&jwt), 0);
    cr_assert_eq(jwt_add_grants_json(jwt, SERVICE), 0);
    jwt_add_header(jwt, "kid", "main");
    cr_assert_eq(jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)SECRET, (int)strlen(SECRET)), 0);
    char *token = jwt_encode_str(jwt);
    cr_assert_str_eq(check(token, &caller), "TOKEN_EXPIRED");
    free(token);
    jwt_free(jwt);
}

Test(rpc_token, a_cached_token_expires_too)
{
    struct rpc_token_claims claims = {.account = "*", .role = RPC_ROLE_SERVICE, .ttl_us = 4 * CLOCK_SECOND};
    struct rpc_caller caller;
    char *token;
    error err;
    open_auth();
    cr_assert(rpc_token_make(folder, &claims, &token, &err));
    cr_assert_str_eq(check(token, &caller), "");
    for (int i = 0; i < 100 && clock_real_us() < expires_us; i++)
        usleep(100000);
    cr_assert_str_eq(check(token, &caller), "TOKEN_EXPIRED");
    free(token);
}

Test(rpc_token, only_the_right_key_and_its_algorithm)
{
    open_auth();
    cr_assert_str_eq(check_signed(JWT_ALG_HS256, SECRET, "main", SERVICE), "");
    cr_assert_str_eq(check_signed(JWT_ALG_HS256, SECRET, "main.secret", SERVICE), "");
    cr_assert_str_eq(check_signed(JWT_ALG_HS256, SECRET, NULL, SERVICE), "");
    cr_assert_str_eq(check_signed(JWT_ALG_HS256, SECRET, "other", SERVICE), "TOKEN_INVALID");
    cr_assert_str_eq(check_signed(JWT_ALG_HS256, "another secret, just as long as it", "main", SERVICE),
                     "TOKEN_INVALID");
    cr_assert_str_eq(check_signed(JWT_ALG_HS512, SECRET, "main", SERVICE), "TOKEN_INVALID");
    cr_assert_str_eq(check_signed(JWT_ALG_NONE, NULL, "main", SERVICE), "TOKEN_INVALID");
}

Test(rpc_token, what_is_no_token)
{
    const char *wrong[] = {"", ".", "..", "a.b.c", "e30.e30.", "eyJhbGciOiJub25lIn0.e30.", "ümlaut"};
    struct rpc_caller caller;
    open_auth();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_str_eq(check(wrong[i], &caller), "TOKEN_INVALID");
}

Test(rpc_token, claims_are_checked)
{
    const char *wrong[] = {
        "{}",
        "{\"account\":\"acme\"}",
        "{\"role\":\"service\"}",
        "{\"account\":\"acme\",\"role\":\"root\"}",
        "{\"account\":\"*\",\"role\":\"admin\"}",
        "{\"account\":\"ACME\",\"role\":\"admin\"}",
        "{\"account\":\"-\",\"role\":\"service\"}",
        "{\"account\":\"a/b\",\"role\":\"admin\"}",
        "{\"account\":\"acme\",\"role\":\"agent\"}",
        "{\"account\":\"acme\",\"role\":\"agent\",\"agent\":\"*\"}",
        "{\"account\":7,\"role\":\"service\"}",
    };
    open_auth();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_str_eq(check_signed(JWT_ALG_HS256, SECRET, "main", wrong[i]), "TOKEN_INVALID", "%s",
                         wrong[i]);
}

/* Writes the public half into the folder; returns the private one as PEM. */
static char *add_key_pair(EVP_PKEY *pair, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(pair);
    cr_assert_not_null(file);
    cr_assert_eq(PEM_write_PUBKEY(file, pair), 1);
    fclose(file);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, pair, NULL, NULL, 0, NULL, NULL);
    char *data;
    long length = BIO_get_mem_data(bio, &data);
    char *text = strndup(data, (size_t)length);
    BIO_free(bio);
    EVP_PKEY_free(pair);
    return text;
}

Test(rpc_token, public_keys)
{
    char *rsa = add_key_pair(EVP_RSA_gen(2048), "rsa.pem");
    char *ec = add_key_pair(EVP_EC_gen("P-256"), "ec.pem");
    open_auth();
    cr_assert_str_eq(check_signed(JWT_ALG_RS256, rsa, "rsa", SERVICE), "");
    cr_assert_str_eq(check_signed(JWT_ALG_ES256, ec, "ec", SERVICE), "");
    cr_assert_str_eq(check_signed(JWT_ALG_RS256, rsa, "ec", SERVICE), "TOKEN_INVALID");
    cr_assert_str_eq(check_signed(JWT_ALG_RS512, rsa, "rsa", SERVICE), "TOKEN_INVALID");
    cr_assert_str_eq(check_signed(JWT_ALG_RS256, rsa, NULL, SERVICE), "TOKEN_INVALID"); /* which of them? */

    /* The public key is known to everybody: it must not work as a secret. */
    char path[512], public_key[4096];
    snprintf(path, sizeof path, "%s/rsa.pem", folder);
    FILE *file = fopen(path, "re");
    public_key[fread(public_key, 1, sizeof public_key - 1, file)] = '\0';
    fclose(file);
    cr_assert_str_eq(check_signed(JWT_ALG_HS256, public_key, "rsa", SERVICE), "TOKEN_INVALID");
    free(rsa);
    free(ec);
}

Test(rpc_token, the_keys_are_read_again)
{
    char *token = sign(JWT_ALG_HS256, SECRET, "main", SERVICE);
    struct rpc_caller caller;
    open_auth();
    cr_assert_str_eq(check(token, &caller), "");
    rpc_folder_write(folder, "main.secret", "another secret of the same length");
    rpc_folder_write(folder, "new.secret", SECRET);
    usleep(1100000);
    cr_assert_str_eq(check(token, &caller), "TOKEN_INVALID");
    cr_assert_str_eq(check_signed(JWT_ALG_HS256, SECRET, "new", SERVICE), "");
    free(token);
}

Test(rpc_token, generated_keys_are_private_and_made_once)
{
    char fresh[80];
    char *token, *again;
    struct rpc_token_claims claims = {.account = "*", .role = RPC_ROLE_SERVICE, .ttl_us = CLOCK_HOUR};
    error err;
    snprintf(fresh, sizeof fresh, "%s-fresh", folder);
    cr_assert(rpc_keys_generate(fresh, &err), "%s", err.message);
    cr_assert(rpc_token_make(fresh, &claims, &token, &err), "%s", err.message);
    cr_assert(rpc_keys_generate(fresh, &err));
    cr_assert(rpc_token_make(fresh, &claims, &again, &err));
    struct auth *fresh_auth;
    struct rpc_caller caller = {0};
    cr_assert(auth_new(fresh, &fresh_auth, &err));
    cr_assert(auth_check(fresh_auth, token, strlen(token), memory, &caller, &expires_us, &err));
    cr_assert(auth_check(fresh_auth, again, strlen(again), memory, &caller, &expires_us, &err));
    auth_free(fresh_auth);
    free(token);
    free(again);
    rpc_folder_remove(fresh);
}
