#include "case/case_resume.h"

#include "rpc/wire.h"

#include <string.h>
#include <sys/random.h>

/* --- sessions: the id --- */

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

bool resume_session_new(char id[RESUME_SESSION_SIZE])
{
    unsigned char random[RESUME_SESSION_LENGTH];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    for (size_t i = 0; i < sizeof random; i++)
        id[i] = alphabet[random[i] % 32];
    id[sizeof random] = '\0';
    return true;
}

char *resume_session_seal(arena *memory, const char *id, const char *binding)
{
    return wire_token_seal(memory, id, strlen(id), binding);
}

bool resume_session_open(arena *memory, const char *token, const char *binding, char id[RESUME_SESSION_SIZE])
{
    void *payload;
    size_t length;
    if (!wire_token_open(memory, token, binding, &payload, &length) || length != RESUME_SESSION_LENGTH)
        return false;
    const char *text = payload;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\0' || !strchr(alphabet, text[i]))
            return false;
    }
    memcpy(id, text, length);
    id[length] = '\0';
    return true;
}

/* --- numbers, then the epoch: only read back by the same program, so in host byte order --- */

/* `whole` begins with `head` bytes of numbers; a text of up to FEED_EPOCH_SIZE follows. */
static bool open_whole(arena *memory, const char *token, const char *binding, size_t head, void *whole)
{
    void *payload;
    size_t length;
    if (!wire_token_open(memory, token, binding, &payload, &length) || length < head ||
        length >= head + FEED_EPOCH_SIZE)
        return false;
    memset(whole, 0, head + FEED_EPOCH_SIZE);
    memcpy(whole, payload, length);
    return true;
}

char *resume_watch_seal(arena *memory, const struct watch_token *from, const char *binding)
{
    size_t head = offsetof(struct watch_token, epoch);
    return wire_token_seal(memory, from, head + strlen(from->epoch), binding);
}

bool resume_watch_open(arena *memory, const char *token, const char *binding, struct watch_token *ret_token)
{
    struct watch_token found;
    const struct watch_cursor *cursor = &found.cursor;
    if (!open_whole(memory, token, binding, offsetof(struct watch_token, epoch), &found) ||
        cursor->position < 0 || cursor->snapshot < 0 || cursor->cut.open_time < 0 ||
        cursor->cut.open_time == INT64_MAX || cursor->cut.case_id < 0)
        return false;
    *ret_token = found;
    return true;
}

char *resume_outgoing_seal(arena *memory, const struct outgoing_token *from, const char *binding)
{
    size_t head = offsetof(struct outgoing_token, epoch);
    return wire_token_seal(memory, from, head + strlen(from->epoch), binding);
}

bool resume_outgoing_open(arena *memory, const char *token, const char *binding,
                          struct outgoing_token *ret_token)
{
    struct outgoing_token found;
    if (!open_whole(memory, token, binding, offsetof(struct outgoing_token, epoch), &found) ||
        found.after < 0)
        return false;
    *ret_token = found;
    return true;
}
