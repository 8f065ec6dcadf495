#include "server/api/admin_handlers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters_store/adapter_id.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/digest.h"
#include "common/formats/json.h"
#include "server/api/admin_conversion.h"
#include "server/api/resource_names.h"

namespace lamella {
namespace {

constexpr size_t kMaxTargets = 16;
constexpr uint32_t kMaxWeight = 1'000'000;
constexpr size_t kMaxReasonBytes = 256;

absl::Status Invalid(std::string_view reason, const std::string& field,
                     const std::string& complaint) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, field,
                   absl::StrCat(field, ": ", complaint));
}

// As it is now. The version may be gone again by the time this looks.
absl::StatusOr<v1::AdapterVersion> Describe(const ResourceName& name, const AdminCall& call) {
  ASSIGN_OR_RETURN(const VersionInfo info,
                   call.deps->store->GetVersion(name.tenant, name.adapter, name.version));
  return ToProto(info, *call.deps->residency);
}

// Parses the name of a version and says how it is.
template <typename Response>
absl::StatusOr<Response> Described(const ResourceName& name, const AdminCall& call) {
  Response response;
  ASSIGN_OR_RETURN(*response.mutable_version(), Describe(name, call));
  return response;
}

absl::Status CheckAlias(const std::string& alias) {
  if (IsValidResourceId(alias)) return absl::OkStatus();
  return Invalid(
      reasons::kInvalidResourceName, "alias",
      absl::StrCat("must be up to 64 characters of a-z 0-9 . _ -, got ", QuoteForMessage(alias)));
}

absl::StatusOr<WeightedVersion> ReadTarget(const std::string& field, const std::string& version,
                                           uint32_t weight) {
  if (!IsLowerHex(version)) {
    return Invalid(reasons::kInvalidResourceName, field + ".version",
                   absl::StrCat("must be 64 lowercase hex digits, got ", QuoteForMessage(version)));
  }
  if (weight < 1 || weight > kMaxWeight) {
    return Invalid(reasons::kOutOfRange, field + ".weight",
                   absl::StrCat("must be in [1, ", kMaxWeight, "], got ", weight));
  }
  return WeightedVersion{.version = version, .weight = weight};
}

absl::StatusOr<std::vector<WeightedVersion>> ReadTargets(const v1::SetAliasRequest& request) {
  std::vector<WeightedVersion> targets;
  if (request.target_case() == v1::SetAliasRequest::kVersion) {
    if (!IsLowerHex(request.version())) {
      return Invalid(reasons::kInvalidResourceName, "version",
                     absl::StrCat("must be 64 lowercase hex digits, got ",
                                  QuoteForMessage(request.version())));
    }
    targets.push_back({.version = request.version()});
    return targets;
  }
  const int count = request.split().targets_size();
  if (count == 0)
    return Invalid(reasons::kOutOfRange, "target", "neither version nor split is set");
  if (static_cast<size_t>(count) > kMaxTargets) {
    return Invalid(reasons::kTooMany, "split.targets",
                   absl::StrCat("at most ", kMaxTargets, ", got ", count));
  }
  for (int i = 0; i < count; ++i) {
    const std::string field = absl::StrCat("split.targets[", i, "]");
    const v1::AliasTarget& target = request.split().targets(i);
    ASSIGN_OR_RETURN(WeightedVersion read, ReadTarget(field, target.version(), target.weight()));
    if (std::ranges::count(targets, read.version, &WeightedVersion::version) > 0) {
      return Invalid(reasons::kDuplicateKey, field + ".version", "is there twice");
    }
    targets.push_back(std::move(read));
  }
  return targets;
}

}  // namespace

absl::StatusOr<v1::GetAdapterResponse> Handle(const v1::GetAdapterRequest& request,
                                              const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName name,
                   ParseAdapterName("name", request.name(), call.caller()));
  ASSIGN_OR_RETURN(const AdapterInfo info, call.deps->store->GetAdapter(name.tenant, name.adapter));
  v1::GetAdapterResponse response;
  *response.mutable_adapter() = ToProto(info);
  return response;
}

absl::StatusOr<v1::GetVersionResponse> Handle(const v1::GetVersionRequest& request,
                                              const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName name,
                   ParseVersionName("name", request.name(), call.caller()));
  return Described<v1::GetVersionResponse>(name, call);
}

absl::StatusOr<v1::DeleteAdapterResponse> Handle(const v1::DeleteAdapterRequest& request,
                                                 const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName name,
                   ParseAdapterName("name", request.name(), call.caller()));
  RETURN_IF_ERROR(call.deps->store->DeleteAdapter(name.tenant, name.adapter, request.etag(),
                                                  request.force(), call.actor()));
  return v1::DeleteAdapterResponse();
}

absl::StatusOr<v1::DeleteVersionResponse> Handle(const v1::DeleteVersionRequest& request,
                                                 const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName name,
                   ParseVersionName("name", request.name(), call.caller()));
  RETURN_IF_ERROR(call.deps->store->DeleteVersion(name.tenant, name.adapter, name.version,
                                                  request.etag(), request.force(), call.actor()));
  return v1::DeleteVersionResponse();
}

absl::StatusOr<v1::SetAliasResponse> Handle(const v1::SetAliasRequest& request,
                                            const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName name,
                   ParseAdapterName("name", request.name(), call.caller()));
  RETURN_IF_ERROR(CheckAlias(request.alias()));
  AliasInfo alias{.alias = request.alias()};
  ASSIGN_OR_RETURN(alias.targets, ReadTargets(request));
  ASSIGN_OR_RETURN(
      const AdapterInfo info,
      call.deps->store->SetAlias(name.tenant, name.adapter, alias, request.etag(), call.actor()));
  v1::SetAliasResponse response;
  *response.mutable_adapter() = ToProto(info);
  return response;
}

absl::StatusOr<v1::DeleteAliasResponse> Handle(const v1::DeleteAliasRequest& request,
                                               const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName name,
                   ParseAdapterName("name", request.name(), call.caller()));
  RETURN_IF_ERROR(CheckAlias(request.alias()));
  ASSIGN_OR_RETURN(const AdapterInfo info,
                   call.deps->store->DeleteAlias(name.tenant, name.adapter, request.alias(),
                                                 request.etag(), call.actor()));
  v1::DeleteAliasResponse response;
  *response.mutable_adapter() = ToProto(info);
  return response;
}

absl::StatusOr<v1::PinVersionResponse> Handle(const v1::PinVersionRequest& request,
                                              const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName name,
                   ParseVersionName("name", request.name(), call.caller()));
  DurableAdapterStore& store = *call.deps->store;
  ASSIGN_OR_RETURN(const VersionInfo info,
                   store.GetVersion(name.tenant, name.adapter, name.version));
  // Room first: a pin that does not fit must not come back at the next start.
  RETURN_IF_ERROR(call.deps->residency->PinByAdmin(RefOf(info.version)));
  const absl::Status kept =
      store.SetPinned(name.tenant, name.adapter, name.version, true, call.actor());
  if (!kept.ok() && !info.pinned) call.deps->residency->UnpinByAdmin(RefOf(info.version));
  RETURN_IF_ERROR(kept);
  return Described<v1::PinVersionResponse>(name, call);
}

absl::StatusOr<v1::UnpinVersionResponse> Handle(const v1::UnpinVersionRequest& request,
                                                const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName name,
                   ParseVersionName("name", request.name(), call.caller()));
  RETURN_IF_ERROR(
      call.deps->store->SetPinned(name.tenant, name.adapter, name.version, false, call.actor()));
  call.deps->residency->UnpinByAdmin(
      {.tenant = name.tenant, .name = name.adapter, .version = name.version});
  return Described<v1::UnpinVersionResponse>(name, call);
}

absl::StatusOr<v1::QuarantineVersionResponse> Handle(const v1::QuarantineVersionRequest& request,
                                                     const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName name,
                   ParseVersionName("name", request.name(), call.caller()));
  if (request.reason().size() > kMaxReasonBytes) {
    return Invalid(
        reasons::kOutOfRange, "reason",
        absl::StrCat("at most ", kMaxReasonBytes, " bytes, got ", request.reason().size()));
  }
  RETURN_IF_ERROR(call.deps->store->Quarantine(name.tenant, name.adapter, name.version,
                                               request.reason(), call.actor()));
  return Described<v1::QuarantineVersionResponse>(name, call);
}

absl::StatusOr<v1::ReleaseVersionResponse> Handle(const v1::ReleaseVersionRequest& request,
                                                  const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName name,
                   ParseVersionName("name", request.name(), call.caller()));
  RETURN_IF_ERROR(call.deps->store->Release(name.tenant, name.adapter, name.version, call.actor()));
  return Described<v1::ReleaseVersionResponse>(name, call);
}

}  // namespace lamella
