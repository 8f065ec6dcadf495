#include "server/config/telemetry_flags.h"

#include <absl/flags/flag.h>

#include <cstdint>
#include <string>

#include "server/config/flag_types.h"

using lamella::TelemetryOptions;

ABSL_FLAG(int32_t, metrics_tenants, TelemetryOptions().metrics_tenants,
          "Tenants that have metrics of their own; the others are counted as `other`.");
ABSL_FLAG(int32_t, metrics_adapters, TelemetryOptions().metrics_adapters,
          "Adapters that have metrics of their own; the others are counted as `other`.");
ABSL_FLAG(bool, vllm_metrics, TelemetryOptions().vllm_metrics,
          "Export metrics also under the names that vLLM gives its own.");
ABSL_FLAG(bool, request_log, TelemetryOptions().request_log,
          "Log one line for each request that ended or was refused; never its prompt or answer.");
ABSL_FLAG(std::string, usage_ledger, "",
          "File to which one JSON line is appended for each accepted request that ended: who, what "
          "and how many tokens. Empty: none.");
ABSL_FLAG(
    lamella::BytesFlag, usage_ledger_bytes, {TelemetryOptions().usage_ledger_bytes},
    "Size at which --usage-ledger is renamed, with the time behind its name, and begun anew.");
ABSL_FLAG(std::string, otlp_endpoint, "",
          "HOST:PORT of an OpenTelemetry collector that gets spans of requests over gRPC, without "
          "TLS. Empty: none.");

namespace lamella {

TelemetryOptions TelemetryOptionsFromFlags() {
  TelemetryOptions options;
  options.metrics_tenants = absl::GetFlag(FLAGS_metrics_tenants);
  options.metrics_adapters = absl::GetFlag(FLAGS_metrics_adapters);
  options.vllm_metrics = absl::GetFlag(FLAGS_vllm_metrics);
  options.request_log = absl::GetFlag(FLAGS_request_log);
  options.usage_ledger_path = absl::GetFlag(FLAGS_usage_ledger);
  options.usage_ledger_bytes = absl::GetFlag(FLAGS_usage_ledger_bytes).value;
  options.otlp_endpoint = absl::GetFlag(FLAGS_otlp_endpoint);
  return options;
}

}  // namespace lamella
