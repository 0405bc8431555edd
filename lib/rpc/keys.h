#ifndef CASEWORK_RPC_KEYS_H
#define CASEWORK_RPC_KEYS_H

/* The keys of a directory, as read at one moment. See token.h for the files. */

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum key_kind { KEY_SECRET, KEY_RSA, KEY_EC };

struct key {
    char *file; /* its name */
    enum key_kind kind;
    char *data;
    size_t length;
};

struct keys {
    struct key *list; /* sorted by file name */
    size_t count;
};

/* A directory without keys is fine. The caller releases the result. */
bool keys_read(const char *directory, struct keys *ret_keys, error *err) __attribute__((warn_unused_result));
void keys_release(struct keys *keys);

/* NULL when there is none. Without a kid (NULL) the only key there is. */
const struct key *keys_find(const struct keys *keys, const char *kid);

/* Differs when the directory's files have changed. 0 when it cannot be read. */
uint64_t keys_fingerprint(const char *directory);

/* The `alg` that this kind of key signs with, and nothing else. */
const char *key_algorithm(const struct key *key);

#endif
