#include "rpc/keys.h"

#include "base/log.h"
#include "rpc/files.h"

#include <dirent.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

enum { KEY_BYTES_MAX = 64 * 1024, SECRET_BYTES_GOOD = 32, KEYS_MAX = 256 };

static int is_name(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool join(char *path, size_t size, const char *directory, const char *name)
{
    int length = snprintf(path, size, "%s/%s", directory, name);
    return length > 0 && (size_t)length < size;
}

static bool kind_of_pem(struct key *key)
{
    BIO *bio = BIO_new_mem_buf(key->data, (int)key->length);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!pkey)
        return false;
    int id = EVP_PKEY_get_base_id(pkey);
    int bits = EVP_PKEY_get_bits(pkey);
    EVP_PKEY_free(pkey);
    key->kind = id == EVP_PKEY_RSA ? KEY_RSA : KEY_EC;
    return (id == EVP_PKEY_RSA && bits >= 2048) || (id == EVP_PKEY_EC && bits == 256);
}

static bool kind_of_secret(struct key *key)
{
    while (key->length > 0 && strchr(" \t\r\n", key->data[key->length - 1]))
        key->length--;
    key->kind = KEY_SECRET;
    if (key->length > 0 && key->length < SECRET_BYTES_GOOD)
        log_warn("a secret for HS256 should have 32 bytes or more", LOG_TEXT("file", key->file));
    return key->length > 0;
}

static void key_release(struct key *key)
{
    if (key->data)
        memset(key->data, 0, key->length);
    free(key->data);
    free(key->file);
}

static bool key_read(const char *directory, const char *name, struct key *ret_key)
{
    char path[4096];
    struct stat st;
    error err;
    struct key key = {0};
    if (!join(path, sizeof path, directory, name) || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    bool good = false;
    if (!file_read(path, KEY_BYTES_MAX, &key.data, &key.length, &err)) {
        log_warn("a key cannot be read", LOG_TEXT("error", err.message));
        return false;
    }
    key.file = strdup(name);
    if (key.file)
        good = strstr(key.data, "-----BEGIN ") ? kind_of_pem(&key) : kind_of_secret(&key);
    if (good) {
        *ret_key = key;
        return true;
    }
    log_warn("a file in the key directory is no key that can be used", LOG_TEXT("file", name));
    key_release(&key);
    return false;
}

bool keys_read(const char *directory, struct keys *ret_keys, error *err)
{
    struct dirent **names;
    int count = scandir(directory, &names, is_name, alphasort);
    if (count < 0)
        return error_set(err, STATUS_FAILED_PRECONDITION, "NO_KEY_DIRECTORY",
                         "the key directory %s cannot be read", directory);
    struct keys keys = {.list = calloc(KEYS_MAX, sizeof(struct key))};
    for (int i = 0; i < count; i++) {
        if (keys.list && keys.count < KEYS_MAX &&
            key_read(directory, names[i]->d_name, &keys.list[keys.count]))
            keys.count++;
        free(names[i]);
    }
    free(names);
    if (!keys.list)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for keys");
    *ret_keys = keys;
    return true;
}

void keys_release(struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        key_release(&keys->list[i]);
    free(keys->list);
    *keys = (struct keys){0};
}

/* "main" and "main.pem" both name the file main.pem. */
static bool is_kid(const char *file, const char *kid)
{
    if (strcmp(file, kid) == 0)
        return true;
    const char *extension = strrchr(file, '.');
    size_t length = extension ? (size_t)(extension - file) : 0;
    return length > 0 && strlen(kid) == length && memcmp(file, kid, length) == 0;
}

const struct key *keys_find(const struct keys *keys, const char *kid)
{
    if (!kid)
        return keys->count == 1 ? &keys->list[0] : NULL;
    for (size_t i = 0; i < keys->count; i++)
        if (is_kid(keys->list[i].file, kid))
            return &keys->list[i];
    return NULL;
}

uint64_t keys_fingerprint(const char *directory)
{
    struct dirent **names;
    int count = scandir(directory, &names, is_name, alphasort);
    if (count < 0)
        return 0;
    uint64_t print = 1;
    for (int i = 0; i < count; i++) {
        char path[4096];
        struct stat st;
        if (join(path, sizeof path, directory, names[i]->d_name) && stat(path, &st) == 0) {
            int64_t facts[] = {st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (int64_t)st.st_size,
                               (int64_t)st.st_ino};
            print = XXH64(facts, sizeof facts, print);
            print = XXH64(path, strlen(path), print);
        }
        free(names[i]);
    }
    free(names);
    return print;
}

const char *key_algorithm(const struct key *key)
{
    static const char *const names[] = {[KEY_SECRET] = "HS256", [KEY_RSA] = "RS256", [KEY_EC] = "ES256"};
    return names[key->kind];
}
