// The unary calls of AdapterAdminService, without gRPC. Those in the first group answer from
// memory; those in the second change the store and block on the disk, so they run on a worker.
#pragma once

#include "absl/status/statusor.h"
#include "lamella/v1/adapter_admin.pb.h"
#include "server/api/admin_deps.h"
#include "server/api/call_context.h"
#include "server/api/token_signer.h"

namespace lamella {

// What every handler is given besides its request.
struct AdminCall {
  const CallContext* call = nullptr;
  const AdminDeps* deps = nullptr;
  const TokenSigner* signer = nullptr;

  const Caller& caller() const { return call->caller; }
  Actor actor() const { return {.name = call->caller.name, .request_id = call->request_id}; }
};

absl::StatusOr<v1::GetAdapterResponse> Handle(const v1::GetAdapterRequest& request,
                                              const AdminCall& call);
absl::StatusOr<v1::ListAdaptersResponse> Handle(const v1::ListAdaptersRequest& request,
                                                const AdminCall& call);
absl::StatusOr<v1::GetVersionResponse> Handle(const v1::GetVersionRequest& request,
                                              const AdminCall& call);
absl::StatusOr<v1::ListVersionsResponse> Handle(const v1::ListVersionsRequest& request,
                                                const AdminCall& call);
absl::StatusOr<v1::ListMisfitsResponse> Handle(const v1::ListMisfitsRequest& request,
                                               const AdminCall& call);

absl::StatusOr<v1::GetTenantUsageResponse> Handle(const v1::GetTenantUsageRequest& request,
                                                  const AdminCall& call);

absl::StatusOr<v1::DeleteAdapterResponse> Handle(const v1::DeleteAdapterRequest& request,
                                                 const AdminCall& call);
absl::StatusOr<v1::DeleteVersionResponse> Handle(const v1::DeleteVersionRequest& request,
                                                 const AdminCall& call);
absl::StatusOr<v1::SetAliasResponse> Handle(const v1::SetAliasRequest& request,
                                            const AdminCall& call);
absl::StatusOr<v1::DeleteAliasResponse> Handle(const v1::DeleteAliasRequest& request,
                                               const AdminCall& call);
absl::StatusOr<v1::PinVersionResponse> Handle(const v1::PinVersionRequest& request,
                                              const AdminCall& call);
absl::StatusOr<v1::UnpinVersionResponse> Handle(const v1::UnpinVersionRequest& request,
                                                const AdminCall& call);
absl::StatusOr<v1::QuarantineVersionResponse> Handle(const v1::QuarantineVersionRequest& request,
                                                     const AdminCall& call);
absl::StatusOr<v1::ReleaseVersionResponse> Handle(const v1::ReleaseVersionRequest& request,
                                                  const AdminCall& call);

}  // namespace lamella
