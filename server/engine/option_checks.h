// What checks of several option structs share. INVALID_ARGUMENT (OUT_OF_RANGE) with field, limit and
// value.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {

inline absl::Status RequireAtLeast(int64_t minimum, int64_t value, const std::string& field) {
  if (value >= minimum) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kInvalidArgument, reasons::kOutOfRange, field,
      field + " must be at least " + std::to_string(minimum) + ", got " + std::to_string(value));
}

inline absl::Status RequirePositive(absl::Duration value, const std::string& field) {
  if (value > absl::ZeroDuration()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kOutOfRange, field,
                   field + " must be positive, got " + absl::FormatDuration(value));
}

}  // namespace lamella
