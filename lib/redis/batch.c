#include "redis/batch.h"

#include "redis/slot.h"

#include <hiredis/hiredis.h>
#include <openssl/sha.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIRE_MAX = 64 << 20, COMMANDS_MAX = 1 << 20 };

void redis_script_init(struct redis_script *script)
{
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)script->source, strlen(script->source), digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(script->sha1 + 2 * i, 3, "%02x", digest[i]);
}

redis_batch *redis_batch_new(void)
{
    redis_batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return NULL;
    bytes_init(&batch->wire, WIRE_MAX);
    bytes_init(&batch->arguments, WIRE_MAX);
    return batch;
}

void redis_batch_free(redis_batch *batch)
{
    if (!batch)
        return;
    redis_batch_drop_replies(batch);
    free(batch->commands);
    bytes_release(&batch->wire);
    bytes_release(&batch->arguments);
    free(batch);
}

void redis_batch_clear(redis_batch *batch)
{
    redis_batch_drop_replies(batch);
    bytes_clear(&batch->wire);
    bytes_clear(&batch->arguments);
    batch->argument_count = 0;
    batch->count = 0;
    batch->failed = false;
}

void redis_batch_drop_replies(redis_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->commands[i].reply)
            freeReplyObject(batch->commands[i].reply);
        batch->commands[i].reply = NULL;
    }
}

bool redis_batch_close(redis_batch *batch)
{
    if (batch->argument_count > 0 && batch->count > 0) {
        struct batch_command *command = &batch->commands[batch->count - 1];
        command->start = batch->wire.length;
        bytes_printf(&batch->wire, "*%" PRId64 "\r\n", batch->argument_count);
        bytes_append(&batch->wire, batch->arguments.data, batch->arguments.length);
        command->length = batch->wire.length - command->start;
    }
    if (batch->arguments.failed || batch->wire.failed)
        batch->failed = true;
    bytes_clear(&batch->arguments);
    batch->argument_count = 0;
    return !batch->failed;
}

static bool grow(redis_batch *batch)
{
    if (batch->count < batch->size)
        return true;
    size_t size = batch->size ? 2 * batch->size : 16;
    if (size > COMMANDS_MAX)
        return false;
    struct batch_command *commands = realloc(batch->commands, size * sizeof *commands);
    if (!commands)
        return false;
    batch->commands = commands;
    batch->size = size;
    return true;
}

static void begin(redis_batch *batch, const struct redis_script *script)
{
    redis_batch_close(batch);
    if (!grow(batch)) {
        batch->failed = true;
        return;
    }
    batch->commands[batch->count++] = (struct batch_command){.script = script, .slot = -1};
}

void redis_batch_command(redis_batch *batch, const char *name)
{
    begin(batch, NULL);
    batch->first_key = 1; /* behind the name */
    redis_batch_text(batch, name);
}

void redis_batch_script(redis_batch *batch, const struct redis_script *script, int64_t key_count)
{
    begin(batch, script);
    batch->first_key = 3; /* behind EVALSHA, the script and the number of keys */
    redis_batch_text(batch, "EVALSHA");
    redis_batch_text(batch, script->sha1);
    redis_batch_number(batch, key_count);
}

void redis_batch_text(redis_batch *batch, const char *text)
{
    redis_batch_bytes(batch, text, strlen(text));
}

/* By hand: a batch has several numbers for each of its arguments. Returns how many digits, sign included. */
static size_t write_decimal(char to[24], int64_t number)
{
    char digits[24];
    size_t count = 0;
    size_t used = 0;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do
        digits[count++] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0)
        to[used++] = '-';
    while (count > 0)
        to[used++] = digits[--count];
    return used;
}

void redis_batch_bytes(redis_batch *batch, const void *data, size_t length)
{
    char head[32] = "$";
    size_t used = 1 + write_decimal(head + 1, (int64_t)length);
    head[used++] = '\r';
    head[used++] = '\n';
    if (batch->count > 0 && batch->argument_count == batch->first_key)
        batch->commands[batch->count - 1].slot = redis_slot(data, length);
    bytes_append(&batch->arguments, head, used);
    bytes_append(&batch->arguments, data, length);
    bytes_append(&batch->arguments, "\r\n", 2);
    batch->argument_count++;
}

void redis_batch_number(redis_batch *batch, int64_t number)
{
    char text[24];
    redis_batch_bytes(batch, text, write_decimal(text, number));
}

size_t redis_batch_count(const redis_batch *batch)
{
    return batch->count;
}

const redis_reply *redis_batch_reply(const redis_batch *batch, size_t index)
{
    return index < batch->count ? batch->commands[index].reply : NULL;
}

bool redis_reply_is_nil(const redis_reply *reply)
{
    return !reply || reply->type == REDIS_REPLY_NIL;
}

static bool has_text(const redis_reply *reply)
{
    return reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS);
}

const char *redis_reply_text(const redis_reply *reply)
{
    return has_text(reply) ? reply->str : "";
}

size_t redis_reply_length(const redis_reply *reply)
{
    return has_text(reply) ? reply->len : 0;
}

int64_t redis_reply_number(const redis_reply *reply)
{
    if (reply && reply->type == REDIS_REPLY_INTEGER)
        return reply->integer;
    const char *text = redis_reply_text(reply);
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return errno || end == text || *end ? 0 : value;
}

size_t redis_reply_count(const redis_reply *reply)
{
    return reply && reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
}

const redis_reply *redis_reply_at(const redis_reply *reply, size_t index)
{
    return index < redis_reply_count(reply) ? reply->element[index] : NULL;
}
