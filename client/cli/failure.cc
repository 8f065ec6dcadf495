#include <iostream>

#include "client/cli/commands.h"
#include "common/base/error.h"

namespace lamella::cli {

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kOk;
  return status.code() == absl::StatusCode::kUnavailable ? kUnavailable : kFailed;
}

int Fail(const absl::Status& status) {
  std::cerr << "lamella: " << std::string(status.message());
  const std::string reason = ErrorReason(status), field = ErrorField(status);
  std::cerr << " (" << (reason.empty() ? absl::StatusCodeToString(status.code()) : reason);
  if (!field.empty()) std::cerr << ", " << field;
  std::cerr << ")\n";
  return ExitCodeOf(status);
}

}  // namespace lamella::cli
