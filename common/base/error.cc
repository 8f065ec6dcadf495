#include "common/base/error.h"

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace lamella {
namespace {

constexpr char kReasonUrl[] = "lamella/reason";
constexpr char kFieldUrl[] = "lamella/field";
constexpr char kRetryUrl[] = "lamella/retry_after";

absl::string_view ToAbsl(std::string_view s) { return absl::string_view(s.data(), s.size()); }

std::string Payload(const absl::Status& status, const char* url) {
  auto cord = status.GetPayload(url);
  return cord.has_value() ? std::string(*cord) : std::string();
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view field,
                       std::string_view message) {
  absl::Status status(code, ToAbsl(message));
  status.SetPayload(kReasonUrl, absl::Cord(ToAbsl(reason)));
  if (!field.empty()) status.SetPayload(kFieldUrl, absl::Cord(ToAbsl(field)));
  return status;
}

absl::Status WithRetryAfter(absl::Status status, absl::Duration retry_after) {
  status.SetPayload(kRetryUrl, absl::Cord(absl::FormatDuration(retry_after)));
  return status;
}

absl::Status MakeRetryableError(absl::StatusCode code, std::string_view reason,
                                std::string_view message, absl::Duration retry_after) {
  return WithRetryAfter(MakeError(code, reason, "", message), retry_after);
}

std::string ErrorReason(const absl::Status& status) { return Payload(status, kReasonUrl); }

std::string ErrorField(const absl::Status& status) { return Payload(status, kFieldUrl); }

std::optional<absl::Duration> ErrorRetryAfter(const absl::Status& status) {
  absl::Duration retry_after;
  if (!absl::ParseDuration(Payload(status, kRetryUrl), &retry_after)) return std::nullopt;
  return retry_after;
}

}  // namespace lamella
