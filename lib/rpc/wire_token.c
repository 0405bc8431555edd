#include "rpc/base64url.h"
#include "rpc/wire.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

enum { TAG_SIZE = 16 }; /* of the HMAC's 32 bytes: plenty against mistakes, and the token stays short */

/* The same in all replicas and releases; it guards against mistakes, the account check guards against people.
 */
static const char seal_key[] = "casework page and resume tokens, form 1";

static bool compute_tag(const void *payload, size_t length, const char *binding, unsigned char tag[TAG_SIZE])
{
    unsigned char inner[EVP_MAX_MD_SIZE], outer[EVP_MAX_MD_SIZE];
    unsigned inner_length, outer_length;
    /* Keyed by the binding's own tag, so that no shift of bytes between the two parts gives the same. */
    if (!HMAC(EVP_sha256(), seal_key, sizeof seal_key - 1, (const unsigned char *)binding, strlen(binding),
              inner, &inner_length))
        return false;
    if (!HMAC(EVP_sha256(), inner, (int)inner_length, payload, length, outer, &outer_length))
        return false;
    memcpy(tag, outer, TAG_SIZE);
    return true;
}

char *wire_token_seal(arena *memory, const void *payload, size_t length, const char *binding)
{
    unsigned char *whole = arena_alloc(memory, TAG_SIZE + length);
    if (!whole || !compute_tag(payload, length, binding, whole))
        return NULL;
    if (length)
        memcpy(whole + TAG_SIZE, payload, length);
    return base64url_encode(memory, whole, TAG_SIZE + length);
}

bool wire_token_open(arena *memory, const char *token, const char *binding, void **ret_payload,
                     size_t *ret_length)
{
    unsigned char *whole;
    size_t length;
    unsigned char tag[TAG_SIZE];
    if (!base64url_decode(memory, token, &whole, &length) || length < TAG_SIZE)
        return false;
    if (!compute_tag(whole + TAG_SIZE, length - TAG_SIZE, binding, tag) ||
        CRYPTO_memcmp(tag, whole, TAG_SIZE) != 0)
        return false;
    *ret_payload = whole + TAG_SIZE;
    *ret_length = length - TAG_SIZE;
    return true;
}
