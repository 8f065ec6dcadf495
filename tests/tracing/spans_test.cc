#include "server/tracing/spans.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "absl/strings/escaping.h"
#include "server/telemetry/traceparent.h"
#include "tests/telemetry/record_fixture.h"

namespace lamella {
namespace {

class SpansTest : public testing::Test {
 protected:
  SpansTest() {
    record_.trace = *ContinueTrace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  }
  // By name.
  std::map<std::string, otlp::Span> Spans() {
    otlp::ScopeSpans spans;
    const int added = AddSpans(record_, &spans);
    EXPECT_EQ(added, spans.spans_size());
    std::map<std::string, otlp::Span> by_name;
    for (const otlp::Span& span : spans.spans()) by_name[span.name()] = span;
    EXPECT_EQ(by_name.size(), static_cast<size_t>(spans.spans_size()));
    return by_name;
  }
  static std::string Attribute(const otlp::Span& span, const std::string& key) {
    for (const otlp::KeyValue& attribute : span.attributes()) {
      if (attribute.key() != key) continue;
      return attribute.value().has_int_value() ? std::to_string(attribute.value().int_value())
                                               : attribute.value().string_value();
    }
    return "";
  }
  static double Seconds(const otlp::Span& span) {
    return static_cast<double>(span.end_time_unix_nano() - span.start_time_unix_nano()) / 1e9;
  }

  RequestRecord record_ = MakeRecord("r");
};

constexpr char kRequest[] = "lamella.v1.GenerationService/Generate";

TEST_F(SpansTest, AWholeAnswerHasASpanForEachStageBelowItsRequest) {
  auto spans = Spans();
  ASSERT_EQ(spans.size(), 5U);
  const otlp::Span& request = spans[kRequest];
  EXPECT_EQ(absl::BytesToHexString(request.trace_id()), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(absl::BytesToHexString(request.span_id()), record_.trace.span_id);
  EXPECT_EQ(absl::BytesToHexString(request.parent_span_id()), "00f067aa0ba902b7");
  EXPECT_EQ(request.kind(), otlp::Span::SPAN_KIND_SERVER);
  EXPECT_EQ(request.start_time_unix_nano(), 1'000'000'000'000'000U);
  EXPECT_EQ(Seconds(request), 3);
  EXPECT_EQ(Attribute(request, "lamella.tenant"), "anna");
  EXPECT_EQ(Attribute(request, "lamella.adapter"), "poet");
  EXPECT_EQ(Attribute(request, "gen_ai.usage.input_tokens"), "5");
  EXPECT_EQ(Attribute(request, "gen_ai.usage.output_tokens"), "3");
  EXPECT_FALSE(request.has_status());
  EXPECT_EQ(Seconds(spans["queue"]), 0.25);
  EXPECT_EQ(Seconds(spans["adapter_wait"]), 0.125);
  EXPECT_EQ(Seconds(spans["prefill"]), 0.25);
  EXPECT_EQ(Seconds(spans["decode"]), 1.5);
  for (const auto& [name, span] : spans) {
    EXPECT_EQ(span.trace_id(), request.trace_id());
    EXPECT_EQ(span.span_id().size(), 8U);
    if (name == kRequest) continue;
    EXPECT_EQ(span.parent_span_id(), request.span_id());
    EXPECT_NE(span.span_id(), request.span_id());
  }
}

TEST_F(SpansTest, AStageThatWasNotLeftEndsWithTheRequestAndIsAnError) {
  record_.first_token.reset();
  record_.last_token.reset();
  record_.complete = false;
  record_.reason = "deadline_exceeded";
  auto spans = Spans();
  EXPECT_EQ(spans.count("decode"), 0U);
  EXPECT_EQ(Seconds(spans["prefill"]), 2.75);
  EXPECT_EQ(spans[kRequest].status().code(), otlp::Status::STATUS_CODE_ERROR);
  EXPECT_EQ(spans[kRequest].status().message(), "deadline_exceeded");
}

TEST_F(SpansTest, ARefusalIsOneSpan) {
  record_.accepted = record_.complete = false;
  const auto spans = Spans();
  ASSERT_EQ(spans.size(), 1U);
  EXPECT_EQ(Attribute(spans.at(kRequest), "gen_ai.usage.input_tokens"), "");
}

// What every collector reads: OTLP's numbers and wire types, spelled out.
TEST_F(SpansTest, TheBytesAreOtlps) {
  otlp::ExportTraceServiceRequest request;
  otlp::Span* span = request.add_resource_spans()->add_scope_spans()->add_spans();
  span->set_trace_id("T");
  span->set_span_id("S");
  span->set_parent_span_id("P");
  span->set_name("n");
  span->set_kind(otlp::Span::SPAN_KIND_SERVER);
  span->set_start_time_unix_nano(1);
  span->set_end_time_unix_nano(2);
  span->add_attributes()->set_key("k");
  span->mutable_attributes(0)->mutable_value()->set_int_value(7);
  span->mutable_status()->set_code(otlp::Status::STATUS_CODE_ERROR);
  EXPECT_EQ(absl::BytesToHexString(request.SerializeAsString()),
            "0a31"  // resource_spans
            "122f"  // scope_spans
            "122d"  // spans
            "0a0154"
            "120153"
            "220150"  // trace_id, span_id, parent_span_id
            "2a016e"
            "3002"                // name, kind
            "390100000000000000"  // start_time_unix_nano
            "410200000000000000"  // end_time_unix_nano
            "4a07"
            "0a016b"
            "12021807"    // attributes: key, value.int_value
            "7a021802");  // status.code
}

}  // namespace
}  // namespace lamella
