#include <iostream>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "common/base/error.h"

namespace lamella::cli {

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kOk;
  return status.code() == absl::StatusCode::kUnavailable ? kUnavailable : kFailed;
}

std::string Failure(const absl::Status& status) {
  const std::string reason = ErrorReason(status), field = ErrorField(status);
  std::string text = absl::StrCat(
      status.message(), " (", reason.empty() ? absl::StatusCodeToString(status.code()) : reason);
  if (!field.empty()) absl::StrAppend(&text, ", ", field);
  if (const auto wait = ErrorRetryAfter(status); wait.has_value()) {
    absl::StrAppend(&text, ", retry after ", absl::FormatDuration(*wait));
  }
  return absl::StrCat(text, ")");
}

int Fail(const absl::Status& status) {
  std::cerr << "lamella: " << Failure(status) << "\n";
  return ExitCodeOf(status);
}

}  // namespace lamella::cli
