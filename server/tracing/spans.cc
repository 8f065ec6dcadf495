#include "server/tracing/spans.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/escaping.h"
#include "server/telemetry/traceparent.h"

namespace lamella {
namespace {

uint64_t UnixNanos(absl::Time time) { return static_cast<uint64_t>(absl::ToUnixNanos(time)); }

std::string Bytes(const std::string& hex) { return absl::HexStringToBytes(hex); }

void AddText(std::string_view key, const std::string& value, otlp::Span* span) {
  if (value.empty()) return;
  otlp::KeyValue* attribute = span->add_attributes();
  attribute->set_key(std::string(key));
  attribute->mutable_value()->set_string_value(value);
}

void AddNumber(std::string_view key, int64_t value, otlp::Span* span) {
  otlp::KeyValue* attribute = span->add_attributes();
  attribute->set_key(std::string(key));
  attribute->mutable_value()->set_int_value(value);
}

otlp::Span* AddSpan(const RequestRecord& record, const char* name, otlp::ScopeSpans* spans) {
  otlp::Span* span = spans->add_spans();
  span->set_trace_id(Bytes(record.trace.trace_id));
  span->set_name(name);
  return span;
}

void AddStage(const RequestRecord& record, const char* name, absl::Time begin, absl::Time end,
              otlp::ScopeSpans* spans) {
  otlp::Span* span = AddSpan(record, name, spans);
  span->set_span_id(Bytes(NewSpanId()));
  span->set_parent_span_id(Bytes(record.trace.span_id));
  span->set_kind(otlp::Span::SPAN_KIND_INTERNAL);
  span->set_start_time_unix_nano(UnixNanos(begin));
  span->set_end_time_unix_nano(UnixNanos(end));
}

void AddRequest(const RequestRecord& record, otlp::ScopeSpans* spans) {
  otlp::Span* span = AddSpan(record, "lamella.v1.GenerationService/Generate", spans);
  span->set_span_id(Bytes(record.trace.span_id));
  span->set_parent_span_id(Bytes(record.trace.parent_id));
  span->set_kind(otlp::Span::SPAN_KIND_SERVER);
  span->set_start_time_unix_nano(UnixNanos(record.begin));
  span->set_end_time_unix_nano(UnixNanos(record.end));
  AddText("lamella.request_id", record.request_id, span);
  AddText("lamella.tenant", record.tenant, span);
  AddText("lamella.adapter", record.adapter, span);
  AddText("lamella.version", record.version, span);
  AddText("lamella.reason", record.reason, span);
  if (record.accepted) {
    AddNumber("gen_ai.usage.input_tokens", record.prompt_tokens, span);
    AddNumber("lamella.cached_tokens", record.cached_tokens, span);
    AddNumber("gen_ai.usage.output_tokens", record.generated_tokens, span);
  }
  if (record.complete) return;
  span->mutable_status()->set_code(otlp::Status::STATUS_CODE_ERROR);
  span->mutable_status()->set_message(record.reason);
}

}  // namespace

int AddSpans(const RequestRecord& record, otlp::ScopeSpans* spans) {
  const int before = spans->spans_size();
  AddRequest(record, spans);
  if (!record.accepted) return 1;
  // A stage that was not left ends with the request.
  const absl::Time queued_until = record.scheduled.value_or(record.end);
  AddStage(record, "queue", record.begin, queued_until, spans);
  if (record.adapter_wait > absl::ZeroDuration()) {
    AddStage(record, "adapter_wait", record.begin,
             std::min(record.begin + record.adapter_wait, queued_until), spans);
  }
  if (record.scheduled.has_value()) {
    AddStage(record, "prefill", *record.scheduled, record.first_token.value_or(record.end), spans);
  }
  if (record.first_token.has_value()) {
    AddStage(record, "decode", *record.first_token, *record.last_token, spans);
  }
  return spans->spans_size() - before;
}

}  // namespace lamella
