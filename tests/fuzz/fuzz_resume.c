/*
 * Resume tokens of sessions, watches and outgoing messages. A good seal around any payload: what is opened is
 * in its bounds, and opens the same when it is sealed again. Anything else as a token is refused, and so is a
 * token that was edited or is of another binding. The first two bytes say what to edit.
 */
#include "case/case_resume.h"
#include "rpc/wire.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BINDING "session acme anna"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

struct opened {
    bool session, watch, outgoing;
    char id[RESUME_SESSION_SIZE];
    struct watch_token of_watch;
    struct outgoing_token of_outgoing;
};

static void open_all(arena *memory, const char *token, const char *binding, struct opened *o)
{
    memset(o, 0, sizeof *o);
    o->session = resume_session_open(memory, token, binding, o->id);
    o->watch = resume_watch_open(memory, token, binding, &o->of_watch);
    o->outgoing = resume_outgoing_open(memory, token, binding, &o->of_outgoing);
}

static void must_be_refused(arena *memory, const char *token, const char *binding)
{
    struct opened o;
    open_all(memory, token, binding, &o);
    must(!o.session && !o.watch && !o.outgoing);
}

static void check_bounds(const struct opened *o)
{
    const struct watch_cursor *cursor = &o->of_watch.cursor;
    must(!o->session || strlen(o->id) == RESUME_SESSION_LENGTH);
    must(!o->session || strspn(o->id, "0123456789abcdefghijklmnopqrstuvwxyz") == RESUME_SESSION_LENGTH);
    must(cursor->position >= 0 && cursor->snapshot >= 0 && cursor->cut.case_id >= 0);
    must(cursor->cut.open_time >= 0 && cursor->cut.open_time < INT64_MAX);
    must(memchr(o->of_watch.epoch, 0, FEED_EPOCH_SIZE) && memchr(o->of_outgoing.epoch, 0, FEED_EPOCH_SIZE));
    must(o->of_outgoing.after >= 0);
}

static void seal_again(arena *memory, const struct opened *o)
{
    struct opened again;
    char *session = resume_session_seal(memory, o->id, BINDING);
    char *watch = resume_watch_seal(memory, &o->of_watch, BINDING);
    char *outgoing = resume_outgoing_seal(memory, &o->of_outgoing, BINDING);
    if (!session || !watch || !outgoing)
        return; /* the arena is full */
    open_all(memory, session, BINDING, &again);
    must(again.session == o->session && strcmp(again.id, o->id) == 0);
    open_all(memory, watch, BINDING, &again);
    must(again.watch && strcmp(again.of_watch.epoch, o->of_watch.epoch) == 0 &&
         again.of_watch.account_begin == o->of_watch.account_begin &&
         memcmp(&again.of_watch.cursor, &o->of_watch.cursor, sizeof o->of_watch.cursor) == 0);
    open_all(memory, outgoing, BINDING, &again);
    must(again.outgoing && again.of_outgoing.after == o->of_outgoing.after &&
         strcmp(again.of_outgoing.epoch, o->of_outgoing.epoch) == 0);
}

static void try_sealed(arena *memory, const uint8_t *edit, const uint8_t *payload, size_t size)
{
    struct opened o;
    char *token = wire_token_seal(memory, payload, size, BINDING);
    if (!token)
        return;
    open_all(memory, token, BINDING, &o);
    check_bounds(&o);
    seal_again(memory, &o);
    must_be_refused(memory, token, BINDING "e");
    token[edit[0] % strlen(token)] ^= (char)(edit[1] & 0x7f ? edit[1] & 0x7f : 1);
    must_be_refused(memory, token, BINDING);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4096)
        return 0;
    arena *memory = arena_new(1 << 20);
    char *text = memory ? arena_strndup(memory, (const char *)data + 2, size - 2) : NULL;
    if (text) {
        must_be_refused(memory, text, BINDING); /* nobody guesses a seal */
        try_sealed(memory, data, data + 2, size - 2);
    }
    arena_free(memory);
    return 0;
}
