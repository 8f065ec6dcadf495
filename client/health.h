// grpc.health.v1 of a listener, for programs that look whether a server is well. Blocks.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/tls.h"

namespace lamella::client {

// A name of every listener that stays SERVING while the server drains.
inline constexpr char kLivenessName[] = "liveness";

// "SERVING", "NOT_SERVING" or "UNKNOWN", of the listener at HOST:PORT as a whole (`service` "") or of
// one of its names, such as kLivenessName. UNAVAILABLE if nobody answers, NOT_FOUND for a name that
// it does not know.
absl::StatusOr<std::string> CheckHealth(const std::string& address, const std::string& service,
                                        const TlsOptions& tls, absl::Duration timeout);

}  // namespace lamella::client
