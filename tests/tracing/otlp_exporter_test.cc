// The exporter against a small collector over a socket.
#include "server/tracing/otlp_exporter.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/telemetry/metrics_registry.h"
#include "server/telemetry/traceparent.h"
#include "tests/telemetry/record_fixture.h"
#include "tests/tracing/fake_collector.h"

namespace lamella {
namespace {

RequestRecord Traced(const std::string& id) {
  RequestRecord record = MakeRecord(id);
  record.trace = BeginTrace();
  return record;
}

TEST(OtlpExporterTest, SpansArriveWithTheirResource) {
  FakeCollector collector;
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
  FakeCollector collector;
  OtlpExporter exporter({.endpoint = collector.address()});
  RequestRecord unsampled = Traced("b");
  unsampled.trace.sampled = false;
  EXPECT_EQ(exporter.Write(std::vector{MakeRecord("a"), unsampled}), 0U);
  EXPECT_TRUE(collector.requests().empty());
}

TEST(OtlpExporterTest, WhatTheCollectorDoesNotTakeIsCounted) {
  FakeCollector collector;
  OtlpExporter exporter({.endpoint = collector.address()});
  collector.Answer(grpc::Status::OK, 2);
  EXPECT_EQ(exporter.Write(std::vector{Traced("a")}), 2U);
  collector.Answer(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no"));
  EXPECT_EQ(exporter.Write(std::vector{Traced("a")}), 5U);
}

TEST(OtlpExporterTest, ManyRecordsAreSeveralBatchesAndTheRestIsGivenUpAfterAFailure) {
  FakeCollector collector;
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
  { address = FakeCollector().address(); }
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
