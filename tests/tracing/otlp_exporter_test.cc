// The exporter against a small collector over a socket.
#include "server/tracing/otlp_exporter.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "lamella/otlp/v1/trace_service.grpc.pb.h"
#include "server/telemetry/metrics_registry.h"
#include "server/telemetry/traceparent.h"
#include "server/tracing/spans.h"
#include "tests/telemetry/record_fixture.h"

namespace lamella {
namespace {

// Keeps what it is sent, or answers as the test wants. Thread-safe.
class Collector final : public otlp::TraceService::Service {
 public:
  Collector() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~Collector() override { server_->Shutdown(); }

  grpc::Status Export(grpc::ServerContext*, const otlp::ExportTraceServiceRequest* request,
                      otlp::ExportTraceServiceResponse* response) override {
    MutexLock lock(&mutex_);
    requests_.push_back(*request);
    if (rejects_ > 0) response->mutable_partial_success()->set_rejected_spans(rejects_);
    return status_;
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  void Answer(const grpc::Status& status, int64_t rejects = 0) {
    MutexLock lock(&mutex_);
    status_ = status;
    rejects_ = rejects;
  }
  std::vector<otlp::ExportTraceServiceRequest> requests() {
    MutexLock lock(&mutex_);
    return requests_;
  }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  grpc::Status status_ GUARDED_BY(mutex_);
  int64_t rejects_ GUARDED_BY(mutex_) = 0;
  std::vector<otlp::ExportTraceServiceRequest> requests_ GUARDED_BY(mutex_);
};

RequestRecord Traced(const std::string& id) {
  RequestRecord record = MakeRecord(id);
  record.trace = BeginTrace();
  return record;
}

TEST(OtlpExporterTest, SpansArriveWithTheirResource) {
  Collector collector;
  OtlpExporter exporter({.endpoint = collector.address(), .service_version = "1.2.3"});
  EXPECT_EQ(exporter.Write(std::vector{Traced("a"), Traced("b")}), 0U);
  const auto requests = collector.requests();
  ASSERT_EQ(requests.size(), 1U);
  const otlp::ResourceSpans& spans = requests[0].resource_spans(0);
  EXPECT_EQ(spans.resource().attributes(0).key(), "service.name");
  EXPECT_EQ(spans.resource().attributes(0).value().string_value(), "lamella-server");
  EXPECT_EQ(spans.resource().attributes(1).value().string_value(), "1.2.3");
  EXPECT_EQ(spans.scope_spans(0).spans_size(), 10);
}

TEST(OtlpExporterTest, UntracedAndUnsampledRequestsAreLeftOut) {
  Collector collector;
  OtlpExporter exporter({.endpoint = collector.address()});
  RequestRecord unsampled = Traced("b");
  unsampled.trace.sampled = false;
  EXPECT_EQ(exporter.Write(std::vector{MakeRecord("a"), unsampled}), 0U);
  EXPECT_TRUE(collector.requests().empty());
}

TEST(OtlpExporterTest, WhatTheCollectorDoesNotTakeIsCounted) {
  Collector collector;
  OtlpExporter exporter({.endpoint = collector.address()});
  collector.Answer(grpc::Status::OK, 2);
  EXPECT_EQ(exporter.Write(std::vector{Traced("a")}), 2U);
  collector.Answer(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no"));
  EXPECT_EQ(exporter.Write(std::vector{Traced("a")}), 5U);
}

TEST(OtlpExporterTest, ManyRecordsAreSeveralBatchesAndTheRestIsGivenUpAfterAFailure) {
  Collector collector;
  OtlpExporter exporter({.endpoint = collector.address()});
  std::vector<RequestRecord> records;
  for (int i = 0; i < 600; ++i) records.push_back(Traced(std::to_string(i)));
  EXPECT_EQ(exporter.Write(records), 0U);
  EXPECT_EQ(collector.requests().size(), 3U);
  collector.Answer(grpc::Status(grpc::StatusCode::UNAVAILABLE, "full"));
  EXPECT_EQ(exporter.Write(records), 3000U);
  EXPECT_EQ(collector.requests().size(), 4U);
}

TEST(OtlpExporterTest, NobodyThereCostsSpansAlone) {
  std::string address;
  { address = Collector().address(); }
  MetricsRegistry registry;
  {
    RecordQueue queue(std::make_unique<OtlpExporter>(OtlpExporter::Options{.endpoint = address}), 8,
                      registry.metrics()->spans_lost);
    queue.Record(Traced("a"));
  }
  EXPECT_EQ(registry.metrics()->spans_lost.Value(), 5);
}

}  // namespace
}  // namespace lamella
