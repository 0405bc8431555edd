#include "rpc/utf8.h"

#include <stdint.h>
#include <string.h>
#include <unistr.h>

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

bool utf8_is_text(const void *data, size_t length)
{
    const uint8_t *at = data;
    size_t left = length;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        /* A byte beyond ASCII, or a zero byte: a borrow reaches its high bit only if it was zero. */
        if ((word | (word - ONES)) & HIGHS)
            break;
    }
    if (left == 0)
        return true;
    return memchr(at, 0, left) == NULL && u8_check(at, left) == NULL;
}
