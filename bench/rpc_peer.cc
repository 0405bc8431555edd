// The peer of bench/rpc.sh: gRPC C++'s callback server with the same replies, no token asked, nothing logged
// or counted. Prints the port that it serves on; ends with SIGTERM.

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/testing/test.grpc.pb.h"

#include <grpcpp/grpcpp.h>

#include <csignal>
#include <iostream>
#include <pthread.h>

namespace
{

class Health final : public grpc::health::v1::Health::CallbackService
{
    grpc::ServerUnaryReactor *Check(grpc::CallbackServerContext *context,
                                    const grpc::health::v1::HealthCheckRequest *,
                                    grpc::health::v1::HealthCheckResponse *response) override
    {
        response->set_status(grpc::health::v1::HealthCheckResponse::SERVING);
        auto *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }
};

class Test final : public grpc::testing::TestService::CallbackService
{
    grpc::ServerUnaryReactor *EmptyCall(grpc::CallbackServerContext *context, const grpc::testing::Empty *,
                                        grpc::testing::Empty *) override
    {
        auto *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }
};

} // namespace

int main()
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);

    Health health;
    Test test;
    int port = 0, number = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&health);
    builder.RegisterService(&test);
    auto server = builder.BuildAndStart();
    if (!server)
        return 1;
    std::cout << port << std::endl;
    sigwait(&set, &number);
    server->Shutdown();
    return 0;
}
