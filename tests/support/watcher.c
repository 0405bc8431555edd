#include "tests/support/watcher.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Casework__Cases__V1__WatchCasesResponse watch_item;

struct watcher *watcher_new(const Casework__Cases__V1__WatchCasesRequest *request)
{
    struct watcher *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    w->request = *request;
    w->request.resume_token = w->token;
    w->memory = arena_new(64 << 20);
    return w;
}

void watcher_free(struct watcher *w)
{
    watcher_cut(w);
    arena_free(w->memory);
    free(w);
}

void watcher_open(struct watcher *w, rpc_channel *channel)
{
    const struct rpc_client_options options = {.timeout_us = INT64_MAX, .agent = w->agent};
    error err;
    if (!rpc_stream_open(channel, &casework__cases__v1__case_service__descriptor, "WatchCases", &options,
                         &w->stream, &err))
        abort();
    if (rpc_stream_write(w->stream, &w->request.base))
        rpc_stream_close_send(w->stream);
}

void watcher_cut(struct watcher *w)
{
    rpc_stream_free(w->stream);
    w->stream = NULL;
    w->cuts++;
}

/* --- the copy --- */

__attribute__((format(printf, 2, 3))) static bool wrong(struct watcher *w, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(w->failure, sizeof w->failure, format, arguments);
    va_end(arguments);
    return false;
}

static int64_t number_of(const char *name)
{
    const char *last = strrchr(name, '/');
    int64_t number = last ? strtoll(last + 1, NULL, 10) : 0;
    return number > 0 && number < WATCHER_CASES_MAX ? number : 0;
}

static bool enter(struct watcher *w, const Casework__Cases__V1__Case *item, const char *how)
{
    int64_t number = number_of(item->name);
    if (w->versions[number] || number == 0)
        return wrong(w, "%s came twice: %s at %lld", item->name, how, (long long)w->position);
    w->versions[number] = item->version;
    w->count++;
    return true;
}

static bool change(struct watcher *w, const Casework__Cases__V1__Case *item)
{
    int64_t *version = &w->versions[number_of(item->name)];
    if (*version == 0)
        return wrong(w, "%s changed without having entered", item->name);
    if (*version >= item->version)
        return wrong(w, "%s went from version %lld to %lld", item->name, (long long)*version,
                     (long long)item->version);
    *version = item->version;
    return true;
}

static bool leave(struct watcher *w, const char *name)
{
    int64_t *version = &w->versions[number_of(name)];
    if (*version == 0)
        return wrong(w, "%s left without having entered", name);
    *version = 0;
    w->count--;
    return true;
}

static bool snapshot(struct watcher *w, const Casework__Cases__V1__WatchCasesResponse__Snapshot *part)
{
    if (w->complete)
        return wrong(w, "a second snapshot");
    for (size_t i = 0; i < part->n_cases; i++) {
        if (!enter(w, part->cases[i], "in the snapshot"))
            return false;
    }
    w->complete = part->complete;
    return true;
}

static bool take(struct watcher *w, const watch_item *item)
{
    if (item->position < w->position)
        return wrong(w, "from position %lld to %lld", (long long)w->position, (long long)item->position);
    if (!*item->resume_token || strlen(item->resume_token) >= sizeof w->token)
        return wrong(w, "an item without a token");
    w->position = item->position;
    memcpy(w->token, item->resume_token, strlen(item->resume_token) + 1);
    w->items++;
    switch (item->item_case) {
    case CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_SNAPSHOT:
        return snapshot(w, item->snapshot);
    case CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_ENTER:
        return enter(w, item->enter, "entering");
    case CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_CHANGE:
        return change(w, item->change);
    case CASEWORK__CASES__V1__WATCH_CASES_RESPONSE__ITEM_LEAVE:
        return leave(w, item->leave);
    default:
        return true;
    }
}

enum rpc_read watcher_read(struct watcher *w, int64_t timeout_us, const watch_item **ret_item, error *err)
{
    ProtobufCMessage *message;
    arena_clear(w->memory);
    enum rpc_read read = rpc_stream_read(w->stream, timeout_us, w->memory, &message, err);
    if (read != RPC_READ_MESSAGE)
        return read;
    if (!take(w, (const watch_item *)message)) {
        error_set(err, STATUS_INTERNAL, "WRONG", "%s", w->failure);
        return RPC_READ_FAILED;
    }
    *ret_item = (const watch_item *)message;
    return read;
}
