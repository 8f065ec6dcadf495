// A listener on a free port of this machine over the fakes, and a client that speaks to it.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lamella/v1/generation.grpc.pb.h"
#include "server/api/rpc_server.h"
#include "server/telemetry/metrics_registry.h"
#include "tests/api/expect_error.h"
#include "tests/api/fakes.h"

namespace lamella {

// What one Generate call came to.
struct Answer {
  std::vector<v1::GenerateResponse> events;
  grpc::Status status;
  std::multimap<std::string, std::string> trailers;

  std::string text() const {
    std::string all;
    for (const auto& event : events) all += event.delta().text();
    return all;
  }
  int finished() const {
    return static_cast<int>(std::count_if(events.begin(), events.end(),
                                          [](const auto& e) { return e.has_finished(); }));
  }
};

inline v1::GenerateRequest TextRequest(const std::string& text = "hello") {
  v1::GenerateRequest request;
  request.set_text(text);
  return request;
}

class ApiTest : public testing::Test {
 protected:
  void SetUp() override { StartServer({.address = "127.0.0.1:0"}); }

  void StartServer(const RpcServerOptions& options) {
    ServiceDeps deps;
    deps.sink = &sink_;
    deps.tokenizer = &tokenizer_;
    deps.catalogue = &catalogue_;
    deps.metrics = registry_.metrics();
    deps.authenticator = &authenticator_;
    deps.load_of = [](std::string_view tenant) {
      return tenant == "default" ? TenantLoad{.in_flight = 3, .queued = 2, .queued_tokens = 40}
                                 : TenantLoad();
    };
    deps.facts = {.name = "tiny",
                  .fingerprint = std::string(64, 'c'),
                  .architecture = "LlamaForCausalLM",
                  .dtype = "float32",
                  .isa = "reference",
                  .server_version = "0.0.1",
                  .context_tokens = 64};
    deps.limits.max_prompt_tokens = 63;
    deps.limits.request.max_prompt_bytes = 1 << 20;
    auto server = RpcServer::Start(options, deps);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = "127.0.0.1:" + std::to_string(server_->port());
    channel_ = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
    stub_ = v1::GenerationService::NewStub(channel_);
  }

  // Runs a call to its end. The sink must be answered from another thread, or refuse.
  Answer Generate(const v1::GenerateRequest& request) {
    grpc::ClientContext context;
    Answer answer;
    auto reader = stub_->Generate(&context, request);
    v1::GenerateResponse event;
    while (reader->Read(&event)) answer.events.push_back(event);
    answer.status = reader->Finish();
    answer.trailers = TrailersOf(context);
    return answer;
  }

  double Rejected(const std::string& reason) {
    return registry_.metrics()->requests_rejected.WithReason(reason).Value();
  }

  Authenticator authenticator_{Credentials::Everyone("default")};
  MetricsRegistry registry_;
  FakeSink sink_;
  ByteTokenizer tokenizer_;
  FakeCatalogue catalogue_{{"anna", "ben", "cleo"}};
  std::unique_ptr<RpcServer> server_;
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::GenerationService::Stub> stub_;
};

}  // namespace lamella
