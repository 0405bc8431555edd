#include "search/search_block.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Mappings go back to the system at once, and leave no holes: sections come and go all the time. */
enum { FIRST_SIZE = 1024, MAP_FROM = 64 << 10, PAGE = 4096 };

void search_buffer_release(struct search_buffer *buffer)
{
    if (buffer->size >= MAP_FROM)
        munmap(buffer->data, buffer->size);
    else
        free(buffer->data);
    *buffer = (struct search_buffer){0};
}

/* ThreadSanitizer does not see mremap: what another thread wrote where the mapping goes, before that place
 * was given back, looked to it like a race with what is written there now. */
#ifdef __SANITIZE_THREAD__
enum { MOVES_MAPPINGS = false };
#else
enum { MOVES_MAPPINGS = true };
#endif

static void *grow_mapping(struct search_buffer *buffer, size_t size)
{
    if (MOVES_MAPPINGS && buffer->size >= MAP_FROM) {
        void *moved = mremap(buffer->data, buffer->size, size, MREMAP_MAYMOVE);
        return moved == MAP_FAILED ? NULL : moved;
    }
    void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return NULL;
    size_t length = buffer->length;
    if (length > 0)
        memcpy(mapped, buffer->data, length);
    search_buffer_release(buffer);
    buffer->length = length;
    return mapped;
}

bool search_buffer_reserve(struct search_buffer *buffer, size_t more)
{
    size_t size = buffer->size ? buffer->size : FIRST_SIZE;
    while (size - buffer->length < more)
        size += size / 2 + FIRST_SIZE;
    if (size == buffer->size)
        return true;
    if (size >= MAP_FROM)
        size = (size + PAGE - 1) / PAGE * PAGE;
    unsigned char *data = size >= MAP_FROM ? grow_mapping(buffer, size) : realloc(buffer->data, size);
    if (!data)
        return false;
    buffer->data = data;
    buffer->size = size;
    return true;
}

void *search_buffer_add(struct search_buffer *buffer, size_t length)
{
    if (!search_buffer_reserve(buffer, length))
        return NULL;
    void *added = buffer->data + buffer->length;
    buffer->length += length;
    return added;
}

bool search_buffer_align(struct search_buffer *buffer)
{
    size_t padding = -buffer->length % 8;
    void *added = padding ? search_buffer_add(buffer, padding) : NULL;
    if (added)
        memset(added, 0, padding);
    return !padding || added;
}

/* Gives back what was reserved in vain; keeping it is no failure. */
static void trim(struct search_buffer *buffer)
{
    if (buffer->size < MAP_FROM) {
        unsigned char *data = realloc(buffer->data, buffer->length);
        if (data) {
            buffer->data = data;
            buffer->size = buffer->length;
        }
        return;
    }
    size_t size = (buffer->length + PAGE - 1) / PAGE * PAGE;
    size = size < MAP_FROM ? MAP_FROM : size;
    if (size < buffer->size && mremap(buffer->data, buffer->size, size, 0) != MAP_FAILED)
        buffer->size = size;
}

struct search_block *search_block_new(struct search_buffer *memory)
{
    struct search_block *block = malloc(sizeof *block);
    if (!block) {
        search_buffer_release(memory);
        return NULL;
    }
    trim(memory);
    *block = (struct search_block){.references = 1, .memory = *memory};
    *memory = (struct search_buffer){0};
    search_section_place(block->memory.data, &block->section);
    return block;
}

struct search_block *search_block_ref(struct search_block *block)
{
    atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
    return block;
}

void search_block_unref(struct search_block *block)
{
    if (!block || atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) != 1)
        return;
    if (block->release)
        block->release(block);
    search_buffer_release(&block->memory);
    free(block);
}
