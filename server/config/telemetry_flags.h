// The flags about metrics, the request log, the usage ledger and traces. For flags.cc alone.
#pragma once

#include <array>

#include "server/config/server_config.h"

namespace lamella {

inline constexpr std::array<const char*, 7> kTelemetryFlagNames = {
    "metrics_tenants", "metrics_adapters",   "vllm_metrics", "request_log",
    "usage_ledger",    "usage_ledger_bytes", "otlp_endpoint"};

TelemetryOptions TelemetryOptionsFromFlags();

}  // namespace lamella
