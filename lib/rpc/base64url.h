#ifndef CASEWORK_RPC_BASE64URL_H
#define CASEWORK_RPC_BASE64URL_H

/* base64url without padding, RFC 4648 section 5. */

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>

/* NULL when the arena is full. */
char *base64url_encode(arena *memory, const void *data, size_t length);

/* False for a text that encode would not have made (other characters, padding, stray bits), or a full arena.
 */
bool base64url_decode(arena *memory, const char *text, unsigned char **ret_data, size_t *ret_length)
    __attribute__((warn_unused_result));

#endif
