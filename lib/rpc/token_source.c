#include "rpc/token_source.h"

#include "base/clock.h"
#include "rpc/files.h"
#include "rpc/token.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TOKEN_BYTES_MAX = 8192 };

#define MADE_FOR (10 * CLOCK_MINUTE)
#define LOOK_EVERY CLOCK_SECOND

struct token_source {
    char *file, *key_directory, *subject; /* NULL: not this way */
    pthread_mutex_t lock;                 /* guards what follows */
    grpc_slice value;
    bool filled;
    int64_t look_at_us; /* when to look at the file again, or to make the next one; clock_monotonic_us */
    struct timespec changed;
};

static char *copy(const char *text)
{
    return text && *text ? strdup(text) : NULL;
}

static void set_value(struct token_source *source, const char *token, size_t length)
{
    static const char scheme[] = "Bearer ";
    grpc_slice value = grpc_slice_malloc(sizeof scheme - 1 + length);
    memcpy(GRPC_SLICE_START_PTR(value), scheme, sizeof scheme - 1);
    memcpy(GRPC_SLICE_START_PTR(value) + sizeof scheme - 1, token, length);
    grpc_slice_unref(source->value);
    source->value = value;
    source->filled = true;
}

bool token_source_new(const struct rpc_channel_options *options, struct token_source **ret_source, error *err)
{
    if (!options->token && !options->token_file && !options->key_directory) {
        *ret_source = NULL;
        return true;
    }
    struct token_source *source = calloc(1, sizeof *source);
    if (!source)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "no memory for a channel");
    pthread_mutex_init(&source->lock, NULL);
    source->value = grpc_empty_slice();
    if (options->token) {
        set_value(source, options->token, strlen(options->token));
        source->look_at_us = INT64_MAX;
    } else {
        source->file = copy(options->token_file);
        source->key_directory = copy(options->key_directory);
        source->subject = copy(options->subject);
    }
    *ret_source = source;
    return true;
}

void token_source_free(struct token_source *source)
{
    if (!source)
        return;
    grpc_slice_unref(source->value);
    pthread_mutex_destroy(&source->lock);
    free(source->file);
    free(source->key_directory);
    free(source->subject);
    free(source);
}

static bool read_file(struct token_source *source, error *err)
{
    struct stat st;
    char *text;
    size_t length;
    source->look_at_us = clock_monotonic_us() + LOOK_EVERY;
    bool there = stat(source->file, &st) == 0;
    if (source->filled && (!there || (st.st_mtim.tv_sec == source->changed.tv_sec &&
                                      st.st_mtim.tv_nsec == source->changed.tv_nsec)))
        return true;
    if (!file_read(source->file, TOKEN_BYTES_MAX, &text, &length, err))
        return false;
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        length--;
    set_value(source, text, length);
    if (there)
        source->changed = st.st_mtim;
    free(text);
    return true;
}

static bool make(struct token_source *source, error *err)
{
    struct rpc_token_claims claims = {
        .subject = source->subject, .account = "*", .role = RPC_ROLE_SERVICE, .ttl_us = MADE_FOR};
    char *token;
    if (!rpc_token_make(source->key_directory, &claims, &token, err))
        return false;
    set_value(source, token, strlen(token));
    free(token);
    source->look_at_us = clock_monotonic_us() + MADE_FOR / 2;
    return true;
}

bool token_source_get(struct token_source *source, grpc_slice *ret_value, error *err)
{
    bool good = true;
    pthread_mutex_lock(&source->lock);
    if (!source->filled || clock_monotonic_us() >= source->look_at_us)
        good = source->file ? read_file(source, err) : source->key_directory ? make(source, err) : true;
    if (good)
        *ret_value = grpc_slice_ref(source->value);
    pthread_mutex_unlock(&source->lock);
    return good;
}
