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

#include "lamella/rpc/v1/error_details.pb.h"
#include "lamella/v1/generation.grpc.pb.h"
#include "server/api/rpc_server.h"
#include "server/telemetry/metrics_registry.h"
#include "tests/api/fakes.h"

namespace lamella {

// The details of an error, unpacked.
struct ErrorDetails {
  rpc::v1::ErrorInfo info;
  rpc::v1::BadRequest bad_request;
  rpc::v1::RetryInfo retry;
  bool has_retry = false;

  std::string field() const {
    return bad_request.field_violations_size() == 0 ? "" : bad_request.field_violations(0).field();
  }
};

inline ErrorDetails DetailsOf(const grpc::Status& status) {
  ErrorDetails details;
  rpc::v1::Status packed;
  EXPECT_TRUE(packed.ParseFromString(status.error_details()));
  EXPECT_EQ(packed.code(), status.error_code());
  EXPECT_EQ(packed.message(), status.error_message());
  for (const auto& any : packed.details()) {
    const std::string name = any.type_url().substr(any.type_url().rfind('/') + 1);
    if (name == "google.rpc.ErrorInfo") details.info.ParseFromString(any.value());
    if (name == "google.rpc.BadRequest") details.bad_request.ParseFromString(any.value());
    if (name == "google.rpc.RetryInfo")
      details.has_retry = details.retry.ParseFromString(any.value());
  }
  return details;
}

inline void ExpectError(const grpc::Status& status, grpc::StatusCode code,
                        const std::string& reason, const std::string& field) {
  EXPECT_EQ(status.error_code(), code) << status.error_message();
  const ErrorDetails details = DetailsOf(status);
  EXPECT_EQ(details.info.reason(), reason) << status.error_message();
  EXPECT_EQ(details.info.domain(), "lamella");
  EXPECT_EQ(details.field(), field) << status.error_message();
}

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

inline std::multimap<std::string, std::string> TrailersOf(const grpc::ClientContext& context) {
  std::multimap<std::string, std::string> trailers;
  for (const auto& [key, value] : context.GetServerTrailingMetadata()) {
    trailers.emplace(std::string(key.data(), key.size()), std::string(value.data(), value.size()));
  }
  return trailers;
}

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

  Authenticator authenticator_ = Authenticator::Everyone("default");
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
