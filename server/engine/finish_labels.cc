#include "server/engine/finish_labels.h"

#include "absl/strings/ascii.h"
#include "common/base/error.h"

namespace lamella {

std::string FinishLabel(const std::optional<ChoiceEnd>& finished, const absl::Status& error) {
  if (!error.ok()) {
    const std::string reason = ErrorReason(error);
    return reason.empty() ? "unknown" : absl::AsciiStrToLower(reason);
  }
  if (!finished.has_value()) return "unknown";
  switch (finished->reason) {
    case FinishReason::kStopToken:
      return "stop_token";
    case FinishReason::kStopString:
      return "stop_string";
    case FinishReason::kLength:
      return "length";
  }
  return "unknown";
}

}  // namespace lamella
