// A request's record as OpenTelemetry spans: one for the request, and one for each stage that it
// reached below it. Pure but for the ids of the stages.
#pragma once

#include "lamella/otlp/v1/trace_service.pb.h"
#include "server/core/request_record.h"

namespace lamella {

namespace otlp = opentelemetry::proto::collector::trace::v1;

// Adds the spans of a record with a trace to `spans`: "lamella.v1.GenerationService/Generate", then
// "queue", "adapter_wait" (within queue), "prefill" and "decode". Of a refused request the first
// alone. How many were added.
int AddSpans(const RequestRecord& record, otlp::ScopeSpans* spans);

}  // namespace lamella
