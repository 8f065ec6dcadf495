// Health and reflection as their clients see them, and streams whose peer does not read.
#include <google/protobuf/descriptor.pb.h>

#include <set>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "tests/api/api_fixture.h"

namespace lamella {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr char kService[] = "lamella.v1.GenerationService";

class HealthTest : public ApiTest {
 protected:
  // A Watch call that is read by hand.
  class Watcher {
   public:
    Watcher(Health::Stub* stub, const std::string& service) {
      HealthCheckRequest request;
      request.set_service(service);
      reader_ = stub->Watch(&context_, request);
    }
    ~Watcher() {
      context_.TryCancel();
      HealthCheckResponse response;
      while (reader_->Read(&response)) continue;
      reader_->Finish();
    }
    HealthCheckResponse::ServingStatus Next() {
      HealthCheckResponse response;
      EXPECT_TRUE(reader_->Read(&response));
      return response.status();
    }
    bool Ended() {
      HealthCheckResponse response;
      return !reader_->Read(&response);
    }

   private:
    grpc::ClientContext context_;
    std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> reader_;
  };

  std::unique_ptr<Health::Stub> health_ = nullptr;
  void SetUp() override {
    ApiTest::SetUp();
    health_ = Health::NewStub(channel_);
  }
};

TEST_F(HealthTest, WatchersAreToldWhenTheServerDrains) {
  Watcher all(health_.get(), ""), service(health_.get(), kService),
      alive(health_.get(), "liveness");
  for (Watcher* watcher : {&all, &service, &alive}) {
    EXPECT_EQ(watcher->Next(), HealthCheckResponse::SERVING);
  }
  server_->SetNotServing();
  EXPECT_EQ(all.Next(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(service.Next(), HealthCheckResponse::NOT_SERVING);
  server_->Shutdown(absl::InfiniteDuration());  // ends although they watch
  EXPECT_TRUE(alive.Ended()) << "nothing changed for it";
}

TEST_F(HealthTest, WhatNobodyServesIsUnknown) {
  Watcher watcher(health_.get(), "nobody");
  EXPECT_EQ(watcher.Next(), HealthCheckResponse::SERVICE_UNKNOWN);
  grpc::ClientContext context;
  HealthCheckRequest request;
  HealthCheckResponse response;
  request.set_service("nobody");
  EXPECT_EQ(health_->Check(&context, request, &response).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(HealthTest, ProbesNeedNoCredential) {
  authenticator_.Replace(*Credentials::FromJson(R"({"credentials":[]})"));
  grpc::ClientContext context;
  HealthCheckResponse response;
  EXPECT_TRUE(health_->Check(&context, HealthCheckRequest(), &response).ok());
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
}

// Of one version of the protocol.
template <typename Service, typename Request, typename Response>
void ExpectReflects(const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = Service::NewStub(channel);
  grpc::ClientContext context;
  auto stream = stub->ServerReflectionInfo(&context);
  const auto ask = [&](const std::function<void(Request*)>& set) {
    Request request;
    set(&request);
    Response response;
    EXPECT_TRUE(stream->Write(request) && stream->Read(&response));
    return response;
  };
  std::set<std::string> services;
  const Response list = ask([](Request* r) { r->set_list_services(""); });
  for (const auto& service : list.list_services_response().service()) {
    services.insert(service.name());
  }
  EXPECT_EQ(services, (std::set<std::string>{kService, "grpc.health.v1.Health",
                                             "grpc.reflection.v1.ServerReflection",
                                             "grpc.reflection.v1alpha.ServerReflection"}));
  const Response file = ask([](Request* r) { r->set_file_containing_symbol(kService); });
  ASSERT_GT(file.file_descriptor_response().file_descriptor_proto_size(), 0);
  google::protobuf::FileDescriptorProto proto;
  ASSERT_TRUE(proto.ParseFromString(file.file_descriptor_response().file_descriptor_proto(0)));
  EXPECT_EQ(proto.name(), "lamella/v1/generation.proto");
  EXPECT_EQ(ask([](Request* r) { r->set_file_by_filename("lamella/v1/generation.proto"); })
                .file_descriptor_response()
                .file_descriptor_proto(0),
            file.file_descriptor_response().file_descriptor_proto(0));
  const Response none = ask([](Request* r) { r->set_file_containing_symbol("nobody"); });
  EXPECT_EQ(none.error_response().error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ask([](Request*) {}).error_response().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ApiTest, ReflectionTellsWhatIsServedInBothVersions) {
  server_.reset();
  StartServer({.address = "127.0.0.1:0", .enable_reflection = true});
  namespace reflection = grpc::reflection;
  ExpectReflects<reflection::v1::ServerReflection, reflection::v1::ServerReflectionRequest,
                 reflection::v1::ServerReflectionResponse>(channel_);
  ExpectReflects<reflection::v1alpha::ServerReflection,
                 reflection::v1alpha::ServerReflectionRequest,
                 reflection::v1alpha::ServerReflectionResponse>(channel_);
}

TEST_F(ApiTest, AStreamWhosePeerDoesNotReadIsCancelled) {
  server_.reset();
  StartServer({.address = "127.0.0.1:0", .max_write_stall = absl::Milliseconds(200)});
  sink_.SetBufferBytes(64 << 20);
  grpc::ClientContext context;
  auto reader = stub_->Generate(&context, TextRequest());
  Accepted accepted = sink_.Take();
  accepted.Start();
  // More than any window that is not read from.
  const std::string text(1 << 20, 'x');
  for (int i = 0; i < 16; ++i) accepted.Write(text);
  sink_.AwaitCancelled(1);
  v1::GenerateResponse event;
  while (reader->Read(&event)) continue;
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  server_.reset();  // nothing of the stream is left to wait for
  EXPECT_EQ(registry_.metrics()->stalled_streams.Value(), 1);
}

}  // namespace
}  // namespace lamella
