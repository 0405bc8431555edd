#include "cli/up_ready.h"

#include "base/clock.h"
#include "rpc/token.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_TTL (7 * CLOCK_DAY)

enum instance_member { MEMBER_ADDRESS, MEMBER_METRICS, MEMBER_PID };

static json_t *member_of(const struct up_instance *i, enum instance_member member)
{
    switch (member) {
    case MEMBER_ADDRESS:
        return json_string(i->address);
    case MEMBER_METRICS:
        return json_string(i->metrics);
    case MEMBER_PID:
        break;
    }
    return json_integer(i->process ? process_pid(i->process) : 0);
}

/* {"case": […], "search": […], …} */
static json_t *by_service(const struct up_services *services, enum instance_member member)
{
    json_t *object = json_object();
    for (enum up_service s = UP_CASE; s < UP_SERVICES; s++) {
        json_t *list = json_array();
        for (size_t i = 0; i < services->count; i++)
            if (services->list[i].service == s)
                json_array_append_new(list, member_of(&services->list[i], member));
        json_object_set_new(object, up_service_name(s), list);
    }
    return object;
}

static json_t *first_addresses(const struct up_services *services)
{
    json_t *object = json_object();
    for (size_t i = 0; i < services->count; i++)
        if (services->list[i].replica == 0)
            json_object_set_new(object, up_service_name(services->list[i].service),
                                json_string(services->list[i].address));
    return object;
}

static json_t *databases(const struct up_ground *ground)
{
    json_t *object = json_object();
    for (enum up_service s = UP_CASE; s < UP_SERVICES; s++) {
        char url[UP_URL_SIZE];
        up_ground_database(ground, up_service_name(s), url);
        if (url[0])
            json_object_set_new(object, up_service_name(s), json_string(url));
    }
    return object;
}

static json_t *pids(const struct up_ground *ground, const struct up_services *services)
{
    json_t *object = by_service(services, MEMBER_PID);
    json_object_set_new(object, "up", json_integer(getpid()));
    json_object_set_new(object, "postgresql", json_integer(embedded_pg_pid(ground->pg)));
    json_object_set_new(object, "redis", json_integer(ground->redis ? embedded_redis_pid(ground->redis) : 0));
    return object;
}

static json_t *describe(const struct up_options *options, const struct up_ground *ground,
                        const struct up_services *services, const char *token)
{
    json_t *object = first_addresses(services);
    json_object_set_new(object, "token", json_string(token));
    json_object_set_new(object, "key_directory", json_string(ground->keys));
    json_object_set_new(object, "clock", json_string(options->clock));
    json_object_set_new(object, "log_directory", json_string(ground->logs));
    json_object_set_new(object, "redis", json_string(ground->redis_url));
    json_object_set_new(object, "database", databases(ground));
    json_object_set_new(object, "replicas", by_service(services, MEMBER_ADDRESS));
    json_object_set_new(object, "metrics", by_service(services, MEMBER_METRICS));
    json_object_set_new(object, "pids", pids(ground, services));
    return object;
}

static bool write_whole(const char *path, const json_t *object)
{
    char unfinished[PLACE_SIZE + 16];
    snprintf(unfinished, sizeof unfinished, "%s.%d", path, (int)getpid());
    int fd = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool good = json_dumpfd(object, fd, JSON_INDENT(2)) == 0 && write(fd, "\n", 1) == 1;
    good = close(fd) == 0 && good;
    if (good && rename(unfinished, path) == 0)
        return true;
    int why = errno;
    unlink(unfinished);
    errno = why;
    return false;
}

bool up_ready_write(const char *path, const struct up_options *options, const struct up_ground *ground,
                    const struct up_services *services, error *err)
{
    const struct rpc_token_claims claims = {
        .subject = "casework-up", .account = "*", .role = RPC_ROLE_SERVICE, .ttl_us = TOKEN_TTL};
    char *token;
    if (!rpc_token_make(ground->keys, &claims, &token, err))
        return false;
    json_t *object = describe(options, ground, services, token);
    free(token);
    bool good = object && write_whole(path, object);
    json_decref(object);
    return good || error_set(err, STATUS_FAILED_PRECONDITION, "READY_FILE", "cannot write %s: %s", path,
                             strerror(errno));
}
