// The unary calls of GenerationService, without gRPC: validated request in, response or error out.
// Bounded work on the caller's thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "lamella/v1/generation.pb.h"
#include "server/api/service_deps.h"

namespace lamella {

absl::StatusOr<v1::TokenizeResponse> HandleTokenize(const v1::TokenizeRequest& request,
                                                    const ServiceDeps& deps);

absl::StatusOr<v1::DetokenizeResponse> HandleDetokenize(const v1::DetokenizeRequest& request,
                                                        const ServiceDeps& deps);

v1::GetModelInfoResponse HandleGetModelInfo(const std::string& tenant, const ServiceDeps& deps);

absl::StatusOr<v1::ListUsableAdaptersResponse> HandleListUsableAdapters(
    const v1::ListUsableAdaptersRequest& request, const std::string& tenant,
    const ServiceDeps& deps);

}  // namespace lamella
