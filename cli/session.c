#include "cli/session.h"

#include "base/clock.h"
#include "cli/place.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name, *env, *fallback;
} targets[TARGET_COUNT] = {
    [TARGET_CASE] = {"case", "CASE_TARGET", "127.0.0.1:7001"},
    [TARGET_SEARCH] = {"search", "SEARCH_TARGET", "127.0.0.1:7002"},
    [TARGET_SLA] = {"sla", "SLA_TARGET", "127.0.0.1:7003"},
    [TARGET_REPORT] = {"report", "REPORT_TARGET", "127.0.0.1:7004"},
};

const char *session_target_name(enum session_target target)
{
    return targets[target].name;
}

bool session_init(struct session *session, error *err)
{
    *session = (struct session){.timeout_us = 30 * CLOCK_SECOND, .memory = arena_new(256u << 20)};
    if (!session->memory)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "", "out of memory");
    bool anything_set = false;
    for (int i = 0; i < TARGET_COUNT; i++) {
        const char *given = getenv(targets[i].env);
        session->targets[i] = given && *given ? given : targets[i].fallback;
        anything_set |= given && *given;
    }
    const char *token = getenv("CASEWORK_TOKEN");
    session->token = token && *token ? token : NULL;
    const char *ready = getenv("CASEWORK_READY_FILE");
    if (ready && *ready)
        return session_read_ready_file(session, ready, err);
    char usual[PLACE_SIZE];
    return anything_set || session->token || !place_ready_file(usual) || access(usual, R_OK) != 0 ||
           session_read_ready_file(session, usual, err);
}

void session_release(struct session *session)
{
    for (int i = 0; i < TARGET_COUNT; i++)
        rpc_channel_free(session->channels[i]);
    arena_free(session->memory);
    *session = (struct session){0};
}

static void take_text(struct session *session, const json_t *root, const char *key, const char **to)
{
    const char *value = json_string_value(json_object_get(root, key));
    if (value)
        *to = arena_strdup(session->memory, value);
}

bool session_read_ready_file(struct session *session, const char *path, error *err)
{
    json_error_t why;
    json_t *root = json_load_file(path, 0, &why);
    if (!json_is_object(root)) {
        json_decref(root);
        return error_set(err, STATUS_INVALID_ARGUMENT, "", "%s is no ready file: %s", path, why.text);
    }
    for (int i = 0; i < TARGET_COUNT; i++)
        take_text(session, root, targets[i].name, &session->targets[i]);
    take_text(session, root, "token", &session->token);
    take_text(session, root, "key_directory", &session->key_directory);
    json_decref(root);
    return true;
}

bool session_channel(struct session *session, enum session_target target, rpc_channel **ret_channel,
                     error *err)
{
    if (!session->channels[target]) {
        struct rpc_channel_options options = {.target = session->targets[target], .token = session->token};
        if (!rpc_channel_new(&options, &session->channels[target], err))
            return false;
    }
    *ret_channel = session->channels[target];
    return true;
}

struct rpc_client_options session_call_options(const struct session *session)
{
    return (struct rpc_client_options){.timeout_us = session->timeout_us, .agent = session->agent};
}
