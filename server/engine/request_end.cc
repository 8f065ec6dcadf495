#include "server/engine/request_end.h"

#include "server/engine/finish_labels.h"

namespace lamella {
namespace {

void Observe(const Histogram& histogram, absl::Duration took) {
  histogram.Observe(absl::ToDoubleSeconds(took));
}

void CountWholeAnswer(const RequestRecord& record, const Metrics& metrics) {
  Observe(metrics.prefill_seconds, *record.first_token - *record.scheduled);
  Observe(metrics.decode_seconds, *record.last_token - *record.first_token);
  Observe(metrics.inference_seconds, *record.last_token - *record.scheduled);
  Observe(metrics.request_seconds, *record.last_token - record.begin);
  if (!record.adapter.empty()) Observe(metrics.adapter_wait_seconds, record.adapter_wait);
  metrics.request_prompt_tokens.Observe(record.prompt_tokens);
  metrics.request_generated_tokens.Observe(record.generated_tokens);
}

}  // namespace

RequestRecord RecordOf(const ActiveRequest& request, absl::Time now) {
  RequestRecord record;
  record.request_id = request.request_id;
  record.tenant = request.tenant;
  record.adapter = request.adapter.name;
  record.version = request.adapter.version;
  record.complete = request.error.ok();
  record.reason = FinishLabel(request.choices[0]->finished, request.error);
  record.begin = request.ticket.admitted();
  record.end = now;
  record.scheduled = request.times.scheduled;
  record.first_token = request.times.first_token;
  if (record.first_token.has_value()) record.last_token = request.times.last_token;
  record.adapter_wait = request.times.adapter_wait;
  record.prompt_tokens = request.prompt_tokens;
  record.cached_tokens = request.cached_tokens;
  record.generated_tokens = request.generated_tokens();
  record.trace = request.trace;
  return record;
}

void CountGenerated(ActiveRequest* request, const Metrics& metrics) {
  const int32_t generated = request->generated_tokens();
  const int32_t news = generated - request->counted_tokens;
  if (news == 0) return;
  request->counted_tokens = generated;
  metrics.by_tenant.Add(request->tenant, TenantCount::kGeneratedTokens, news);
  if (request->adapter.is_base()) return;
  metrics.by_adapter.Add(request->tenant, request->adapter.name, AdapterCount::kGeneratedTokens,
                         news);
}

void CountEnd(const RequestRecord& record, const Metrics& metrics) {
  metrics.requests_finished.WithReason(record.reason).Increment();
  if (record.cached_tokens > 0) {
    metrics.by_tenant.Add(record.tenant, TenantCount::kCachedTokens, record.cached_tokens);
  }
  if (record.complete && record.first_token.has_value()) CountWholeAnswer(record, metrics);
}

}  // namespace lamella
