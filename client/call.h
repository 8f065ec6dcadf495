// What every call of both clients needs. Internal to the client library.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/tls.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "lamella/v1/generation.pb.h"

namespace lamella::client {

// Does not connect yet. INVALID_ARGUMENT (INVALID_FLAG), field `flag`, if `address` is no
// HOST:PORT; field tls-ca, tls-cert or tls-key if that file cannot be read.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const std::string& flag,
                                                           const std::string& address,
                                                           const TlsOptions& tls);

// Deadline and key; an infinite timeout or an empty key is none.
void Prepare(absl::Duration timeout, const std::string& key, grpc::ClientContext* context);

// "disk", "host" or "device".
const char* ResidencyName(v1::Residency residency);

}  // namespace lamella::client
