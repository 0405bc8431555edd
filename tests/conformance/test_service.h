#ifndef CASEWORK_CONFORMANCE_TEST_SERVICE_H
#define CASEWORK_CONFORMANCE_TEST_SERVICE_H

#include "rpc/server.h"

/* grpc.testing.TestService, as its comments in test.proto and grpc's interop test descriptions want it. */
extern const struct rpc_method test_service_methods[];

#endif
