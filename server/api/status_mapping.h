// The only place where a Status becomes an answer on the wire. See docs/errors.md.
#pragma once

#include <grpcpp/support/status.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace lamella {

inline constexpr char kErrorDomain[] = "lamella";

// The code as it is; details: ErrorInfo always (reason, domain, request_id), BadRequest where a
// field is named, QuotaFailure where a limit refused the call, RetryInfo where a delay is and with
// every RESOURCE_EXHAUSTED and UNAVAILABLE: a usual delay where none was given. An error that
// carries no reason is a fault of ours or of a library: its text may say anything, so it is logged
// and not sent.
grpc::Status ToGrpcStatus(const absl::Status& status, std::string_view request_id);

// The reason as ToGrpcStatus sends it.
std::string ReasonOf(const absl::Status& status);

// The label of metrics for it: in lower case.
std::string ReasonLabel(const absl::Status& status);

}  // namespace lamella
