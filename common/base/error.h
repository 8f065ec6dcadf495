// Errors that a client can act on: an absl::Status that also carries a stable reason, the field
// that caused it, and, where waiting helps, how long. The edge (server/api/status_mapping) turns
// these into google.rpc ErrorInfo, BadRequest and RetryInfo; no room below knows those messages.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace lamella {

// `reason` is one of common/base/reasons.h. `field` names what the caller sent ("sampling.top_p",
// a tensor, a config key) and may be empty. `message` names the field, the limit and the value;
// never a path of this machine, never another tenant's name.
absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view field,
                       std::string_view message);

// The same error with an honest estimate of when a retry can succeed.
absl::Status WithRetryAfter(absl::Status status, absl::Duration retry_after);

// As MakeError, with one.
absl::Status MakeRetryableError(absl::StatusCode code, std::string_view reason,
                                std::string_view message, absl::Duration retry_after);

// What was attached; empty (or nullopt) if nothing was.
std::string ErrorReason(const absl::Status& status);
std::string ErrorField(const absl::Status& status);
std::optional<absl::Duration> ErrorRetryAfter(const absl::Status& status);

}  // namespace lamella
