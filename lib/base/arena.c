#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK 4096u
#define LARGEST_BLOCK (256u * 1024u)

struct block {
    struct block *next;
    size_t size; /* of data */
    size_t used;
    alignas(max_align_t) unsigned char data[];
};

struct arena {
    struct block *head; /* the block that is handed out from; older ones follow */
    size_t cap;
    size_t used;
};

static struct block *block_new(size_t size)
{
    struct block *b = malloc(sizeof *b + size);
    if (b) {
        b->next = NULL;
        b->size = size;
        b->used = 0;
    }
    return b;
}

arena *arena_new(size_t cap)
{
    arena *a = malloc(sizeof *a);
    if (!a)
        return NULL;
    a->head = block_new(FIRST_BLOCK);
    if (!a->head) {
        free(a);
        return NULL;
    }
    a->cap = cap;
    a->used = 0;
    return a;
}

void arena_free(arena *a)
{
    if (!a)
        return;
    for (struct block *b = a->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

void arena_clear(arena *a)
{
    struct block *first = a->head;
    while (first->next) {
        struct block *next = first->next;
        free(first);
        first = next;
    }
    first->used = 0;
    a->head = first;
    a->used = 0;
}

void *arena_alloc(arena *a, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size > a->cap || a->cap - a->used < size)
        return NULL;
    size_t rounded = (size + align - 1) & ~(align - 1);
    if (a->head->size - a->head->used < rounded) {
        size_t grown = a->head->size * 2;
        if (grown > LARGEST_BLOCK)
            grown = LARGEST_BLOCK;
        struct block *b = block_new(rounded > grown ? rounded : grown);
        if (!b)
            return NULL;
        b->next = a->head;
        a->head = b;
    }
    void *p = a->head->data + a->head->used;
    a->head->used += rounded;
    a->used += size;
    return p;
}

void *arena_calloc(arena *a, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *p = arena_alloc(a, total);
    if (p)
        memset(p, 0, total);
    return p;
}

void *arena_memdup(arena *a, const void *data, size_t length)
{
    void *p = arena_alloc(a, length);
    if (p && length)
        memcpy(p, data, length);
    return p;
}

char *arena_strndup(arena *a, const char *text, size_t length)
{
    char *p = arena_alloc(a, length + 1);
    if (p) {
        if (length)
            memcpy(p, text, length);
        p[length] = '\0';
    }
    return p;
}

char *arena_strdup(arena *a, const char *text)
{
    return arena_strndup(a, text, text ? strlen(text) : 0);
}

char *arena_printf(arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return NULL;
    char *p = arena_alloc(a, (size_t)length + 1);
    if (!p)
        return NULL;
    va_start(args, format);
    vsnprintf(p, (size_t)length + 1, format, args);
    va_end(args);
    return p;
}

size_t arena_used(const arena *a)
{
    return a->used;
}
