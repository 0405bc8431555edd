#ifndef CASEWORK_TESTS_SUPPORT_SUITE_PRIVATE_H
#define CASEWORK_TESTS_SUPPORT_SUITE_PRIVATE_H

#include "tests/support/suite.h"

enum { SUITE_PATH_SIZE = 512 };

struct suite {
    char directory[64]; /* ready file and logs */
    char programs[SUITE_PATH_SIZE];
    char ready_file[SUITE_PATH_SIZE];
    char log_file[SUITE_PATH_SIZE]; /* of `casework up` itself */
    char log_directory[SUITE_PATH_SIZE];
    process *up;
    json_t *ready; /* what the ready file said at the start */
    rpc_channel *channels[SUITE_SERVICES][SUITE_REPLICAS_MAX];
};

_Noreturn void suite_give_up(const suite *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *suite_service_name(enum suite_service service);

void suite_pause(int64_t duration_us);

#endif
