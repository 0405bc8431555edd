#include "programs.h"

#include "field.h"
#include "grpc/health/v1/health.pb-c.h"

#include <stdio.h>

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

int program_health(struct session *session, int argc, char **argv)
{
    (void)argv;
    if (argc != 1) {
        fprintf(stderr, "usage: casework health\n");
        return 2;
    }
    int64_t patience = 5 * INT64_C(1000000);
    if (session->timeout_us > patience)
        session->timeout_us = patience;
    bool all = true;
    for (int i = 0; i < TARGET_COUNT; i++) {
        const char *health = health_of(session, (enum session_target)i);
        all = all && health[0] == 'S' && health[1] == 'E' && health[2] == 'R' && health[3] == 'V' &&
              health[4] == 'I';
        if (session->json)
            printf("%s\"%s\":\"%s\"%s", i ? "," : "{", session_target_name((enum session_target)i), health,
                   i + 1 == TARGET_COUNT ? "}\n" : "");
        else
            printf("%-8s %-24s %s\n", session_target_name((enum session_target)i), session->targets[i],
                   health);
    }
    return all ? 0 : 1;
}
