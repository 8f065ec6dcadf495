// Who keeps books of requests, as the configuration wants it: the part of the composition root that
// joins the telemetry room's sinks.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/config/server_config.h"
#include "server/core/request_record.h"
#include "server/telemetry/metrics.h"

namespace lamella {

// `metrics` is borrowed. INVALID_ARGUMENT (INVALID_FLAG) if the usage ledger cannot be opened.
absl::StatusOr<std::unique_ptr<RequestRecorder>> MakeRecorder(const TelemetryOptions& options,
                                                              const Metrics& metrics);

}  // namespace lamella
