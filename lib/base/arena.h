#ifndef CASEWORK_BASE_ARENA_H
#define CASEWORK_BASE_ARENA_H

/*
 * Arena: memory of one request, given back all at once.
 *
 * Allocation never fails half-way for its user's bookkeeping: beyond the cap it returns NULL and the request
 * answers RESOURCE_EXHAUSTED. An arena belongs to one thread at a time.
 */

#include <stdarg.h>
#include <stddef.h>

typedef struct arena arena;

/* A new arena that hands out `cap` bytes at the most. NULL when memory is out. */
arena *arena_new(size_t cap);

/* Takes NULL. Everything handed out by the arena dies with it. */
void arena_free(arena *a);

/* Gives everything back, but keeps the first block for the next request. */
void arena_clear(arena *a);

/* `size` bytes aligned for any type, uninitialised; NULL beyond the cap. The arena owns them. */
void *arena_alloc(arena *a, size_t size) __attribute__((warn_unused_result));

/* Zeroed array of `count` members; NULL beyond the cap or when the product overflows. */
void *arena_calloc(arena *a, size_t count, size_t size) __attribute__((warn_unused_result));

/* Copies; NULL beyond the cap. `text` may be NULL: the answer is then "". */
char *arena_strdup(arena *a, const char *text) __attribute__((warn_unused_result));
char *arena_strndup(arena *a, const char *text, size_t length) __attribute__((warn_unused_result));
void *arena_memdup(arena *a, const void *data, size_t length) __attribute__((warn_unused_result));

char *arena_printf(arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

/* Bytes handed out since the start or the last clear. */
size_t arena_used(const arena *a);

#endif
