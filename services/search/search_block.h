#ifndef CASEWORK_SEARCH_BLOCK_H
#define CASEWORK_SEARCH_BLOCK_H

/* Blocks of bytes with a section in them, shared by counting references; and buffers to make them in. */

#include "search/search_section.h"

#include <stdatomic.h>

/* Grows without limit of its own. Large ones are mappings, which grow without being copied. */
struct search_buffer {
    unsigned char *data; /* owned; aligned for any type */
    size_t length, size;
};

void search_buffer_release(struct search_buffer *buffer);
bool search_buffer_reserve(struct search_buffer *buffer, size_t more);

/* Lengthens by `length` bytes, of no particular content, and returns where they are; NULL without memory. */
void *search_buffer_add(struct search_buffer *buffer, size_t length);

/* Zeroes up to a multiple of eight. */
bool search_buffer_align(struct search_buffer *buffer);

struct search_block {
    atomic_uint references;
    struct search_section section;
    struct search_buffer memory; /* of the section; nothing in it when `release` gives it back */
    void (*release)(struct search_block *block); /* what else it holds; NULL: nothing */
    void *context;                               /* for whoever made it */
};

/* Takes over the buffer, whose content is a finished section. NULL without memory: it is released then. */
struct search_block *search_block_new(struct search_buffer *memory);

struct search_block *search_block_ref(struct search_block *block);
void search_block_unref(struct search_block *block); /* takes NULL */

#endif
