#include "server/api/rpc_server.h"

#include <future>

#include "common/base/error.h"
#include "tests/api/api_fixture.h"
#include "tests/api/call_by_name.h"

namespace lamella {
namespace {

constexpr char kService[] = "lamella.v1.GenerationService";

class RpcServerTest : public ApiTest {
 protected:
  grpc::Status Call(const std::string& method, const std::string& request, std::string* response) {
    grpc::ClientContext context;
    return testing::CallByName(channel_, &context, method, request, response);
  }

  // grpc.health.v1: "SERVING", "NOT_SERVING", or the error's code.
  std::string Health(const std::string& service) {
    // HealthCheckRequest{service = 1}; HealthCheckResponse{status = 1: 1 SERVING, 2 NOT_SERVING}.
    std::string request;
    if (!service.empty()) {
      request = std::string("\x0a") + static_cast<char>(service.size()) + service;
    }
    std::string response;
    const grpc::Status status = Call("/grpc.health.v1.Health/Check", request, &response);
    if (!status.ok()) return std::to_string(status.error_code());
    return response == "\x08\x01" ? "SERVING" : "NOT_SERVING";
  }

  grpc::StatusCode ReflectionCode() {
    std::string response;
    const std::string list_services("\x3a\x00", 2);
    return Call("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", list_services,
                &response)
        .error_code();
  }
};

TEST_F(RpcServerTest, HealthKnowsTheServerAndItsService) {
  EXPECT_EQ(Health(""), "SERVING");
  EXPECT_EQ(Health(kService), "SERVING");
  EXPECT_EQ(Health("liveness"), "SERVING");
  EXPECT_EQ(Health("nobody"), std::to_string(grpc::StatusCode::NOT_FOUND));
}

TEST_F(RpcServerTest, ADrainingServerIsAliveButNotServing) {
  server_->SetNotServing();
  EXPECT_EQ(Health(""), "NOT_SERVING");
  EXPECT_EQ(Health(kService), "NOT_SERVING");
  EXPECT_EQ(Health("liveness"), "SERVING");
  v1::GetModelInfoResponse response;
  grpc::ClientContext context;
  EXPECT_TRUE(stub_->GetModelInfo(&context, {}, &response).ok());
}

TEST_F(RpcServerTest, ReflectionIsOffByDefault) {
  EXPECT_EQ(ReflectionCode(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(RpcServerTest, ReflectionCanBeSwitchedOn) {
  server_.reset();
  StartServer({.address = "127.0.0.1:0", .enable_reflection = true});
  EXPECT_NE(ReflectionCode(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(RpcServerTest, APortInUseIsAnError) {
  ServiceDeps deps;
  deps.metrics = registry_.metrics();
  const auto second = RpcServer::Start({.address = address_}, deps);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(second.status()), "PORT_IN_USE");
  EXPECT_EQ(ErrorField(second.status()), "listen");
}

TEST_F(RpcServerTest, ShutdownLetsARunningStreamFinish) {
  auto call = std::async(std::launch::async, [&] { return Generate(TextRequest()); });
  Accepted accepted = sink_.Take();
  accepted.Start();
  auto shutdown =
      std::async(std::launch::async, [&] { server_->Shutdown(absl::InfiniteDuration()); });
  grpc::Status refused;
  while (refused.error_code() != grpc::StatusCode::UNAVAILABLE) {
    v1::GetModelInfoResponse response;
    grpc::ClientContext context;
    refused = stub_->GetModelInfo(&context, {}, &response);
  }
  accepted.Write("late");
  accepted.Finish();
  const Answer answer = call.get();
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.text(), "late");
  shutdown.get();
}

TEST_F(RpcServerTest, ShutdownPastItsGraceCancelsWhatIsLeft) {
  auto call = std::async(std::launch::async, [&] { return Generate(TextRequest()); });
  const Accepted accepted = sink_.Take();
  server_->Shutdown(absl::ZeroDuration());
  EXPECT_FALSE(call.get().status.ok());
  EXPECT_TRUE(accepted.writer.cancelled());
}

}  // namespace
}  // namespace lamella
