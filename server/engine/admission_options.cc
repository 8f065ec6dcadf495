#include "server/engine/admission_options.h"

#include <string>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

absl::Status RequireAtLeast(int64_t minimum, int64_t value, const std::string& field) {
  if (value >= minimum) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kInvalidArgument, reasons::kOutOfRange, field,
      field + " must be at least " + std::to_string(minimum) + ", got " + std::to_string(value));
}

}  // namespace

absl::Status AdmissionOptions::Validate() const {
  RETURN_IF_ERROR(RequireAtLeast(1, max_queued, "max_queued"));
  RETURN_IF_ERROR(RequireAtLeast(0, max_in_flight, "max_in_flight"));
  RETURN_IF_ERROR(RequireAtLeast(0, max_queued_tokens, "max_queued_tokens"));
  RETURN_IF_ERROR(RequireAtLeast(0, tokens_per_minute, "tokens_per_minute"));
  if (max_queue_wait > absl::ZeroDuration()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kOutOfRange, "max_queue_wait",
                   "max_queue_wait must be positive, got " + absl::FormatDuration(max_queue_wait));
}

}  // namespace lamella
