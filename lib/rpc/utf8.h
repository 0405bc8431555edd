#ifndef CASEWORK_RPC_UTF8_H
#define CASEWORK_RPC_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms) without NUL. ASCII is checked eight bytes at
 * a time. */
bool utf8_is_text(const void *data, size_t length);

#endif
