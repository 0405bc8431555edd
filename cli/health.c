#include "cli/programs.h"

#include "base/clock.h"
#include "cli/field.h"
#include "grpc/health/v1/health.pb-c.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE (5 * CLOCK_SECOND)

static const char *health_of(struct session *session, enum session_target target)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct rpc_client_options options = session_call_options(session);
    rpc_channel *channel;
    ProtobufCMessage *answer;
    error err;
    if (!session_channel(session, target, &channel, &err) ||
        !rpc_client_call(channel, &grpc__health__v1__health__descriptor, "Check", &request.base, &options,
                         session->memory, &answer, &err))
        return status_code_name(err.code);
    int status = (int)((Grpc__Health__V1__HealthCheckResponse *)answer)->status;
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
        &grpc__health__v1__health_check_response__serving_status__descriptor, status);
    return value ? value->name : "UNKNOWN";
}

static bool is_asked(enum session_target target, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], session_target_name(target)) == 0)
            return true;
    return argc == 1;
}

static bool are_services(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool known = false;
        for (int t = 0; t < TARGET_COUNT; t++)
            known = known || strcmp(argv[i], session_target_name((enum session_target)t)) == 0;
        if (!known)
            return false;
    }
    return true;
}

int program_health(struct session *session, int argc, char **argv)
{
    if (!are_services(argc, argv)) {
        fprintf(stderr, "usage: casework health [case] [search] [sla] [report]\n");
        return 2;
    }
    if (session->timeout_us > PATIENCE)
        session->timeout_us = PATIENCE;
    bool all = true;
    const char *before = "{";
    for (int i = 0; i < TARGET_COUNT; i++) {
        enum session_target target = (enum session_target)i;
        if (!is_asked(target, argc, argv))
            continue;
        const char *health = health_of(session, target);
        all = all && strcmp(health, "SERVING") == 0;
        if (session->json)
            printf("%s\"%s\":\"%s\"", before, session_target_name(target), health);
        else
            printf("%-8s %-24s %s\n", session_target_name(target), session->targets[i], health);
        before = ",";
    }
    if (session->json)
        printf("}\n");
    return all ? 0 : 1;
}
