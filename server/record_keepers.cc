#include "server/record_keepers.h"

#include <utility>

#include "common/base/status_macros.h"
#include "server/telemetry/record_queue.h"
#include "server/telemetry/request_log.h"
#include "server/telemetry/usage_ledger.h"
#include "server/tracing/otlp_exporter.h"

namespace lamella {
namespace {

// Records that wait for a disk or a collector: a few MiB of memory at most for each.
constexpr size_t kWaitingRecords = 8192;

}  // namespace

absl::StatusOr<std::unique_ptr<RequestRecorder>> MakeRecorder(const TelemetryOptions& options,
                                                              const Metrics& metrics) {
  auto all = std::make_unique<RecordFanOut>();
  const auto keep = [&all](std::unique_ptr<RecordSink> sink, Counter lost) {
    all->Add(std::make_unique<RecordQueue>(std::move(sink), kWaitingRecords, lost));
  };
  if (options.request_log) keep(std::make_unique<RequestLog>(), metrics.log_records_lost);
  if (!options.usage_ledger_path.empty()) {
    ASSIGN_OR_RETURN(auto ledger, UsageLedger::Open({.path = options.usage_ledger_path,
                                                     .rotate_bytes = options.usage_ledger_bytes}));
    keep(std::move(ledger), metrics.ledger_records_lost);
  }
  if (!options.otlp_endpoint.empty()) {
    keep(std::make_unique<OtlpExporter>(OtlpExporter::Options{.endpoint = options.otlp_endpoint,
                                                              .service_version = LAMELLA_VERSION}),
         metrics.spans_lost);
  }
  return std::unique_ptr<RequestRecorder>(std::move(all));
}

}  // namespace lamella
