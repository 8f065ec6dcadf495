// From the wire to native requests: every number is checked before anything proportional to it is
// allocated, and no protobuf passes below. Pure functions, thread-safe.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lamella/v1/generation.pb.h"
#include "server/api/service_deps.h"
#include "server/core/request.h"

namespace lamella {

// INVALID_ARGUMENT with the field's path, the limit and the value. `request_id`, tenant and
// deadline are the call's, not the message's: the caller fills them in.
absl::StatusOr<Request> ValidateGenerate(const v1::GenerateRequest& request,
                                         const ApiLimits& limits, int32_t vocab_size);

absl::Status ValidateTokenize(const v1::TokenizeRequest& request, const ApiLimits& limits);

absl::Status ValidateDetokenize(const v1::DetokenizeRequest& request, const ApiLimits& limits,
                                int32_t vocab_size);

absl::Status ValidateListUsableAdapters(const v1::ListUsableAdaptersRequest& request);

// What a caller may call its request: up to 128 visible ASCII characters, since it travels in
// metadata. Empty is fine.
absl::Status ValidateRequestId(const std::string& request_id);

}  // namespace lamella
