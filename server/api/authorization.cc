#include "server/api/authorization.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

constexpr Roles kInference = Role::kInference;
constexpr Roles kOwner = Roles(Role::kAdapterWriter) | Role::kOperator;
constexpr Roles kOperator = Role::kOperator;

constexpr std::array<std::pair<std::string_view, Roles>, 32> kDecisions = {{
    {"lamella.v1.GenerateRequest", kInference},
    {"lamella.v1.TokenizeRequest", kInference},
    {"lamella.v1.DetokenizeRequest", kInference},
    {"lamella.v1.GetModelInfoRequest", kInference},
    {"lamella.v1.ListUsableAdaptersRequest", kInference},
    {"lamella.v1.UploadAdapterRequest", kOwner},
    {"lamella.v1.GetAdapterRequest", kOwner},
    {"lamella.v1.ListAdaptersRequest", kOwner},
    {"lamella.v1.DeleteAdapterRequest", kOwner},
    {"lamella.v1.GetVersionRequest", kOwner},
    {"lamella.v1.ListVersionsRequest", kOwner},
    {"lamella.v1.DeleteVersionRequest", kOwner},
    {"lamella.v1.DownloadVersionRequest", kOwner},
    {"lamella.v1.SetAliasRequest", kOwner},
    {"lamella.v1.DeleteAliasRequest", kOwner},
    {"lamella.v1.WarmVersionRequest", kOwner},
    {"lamella.v1.PinVersionRequest", kOperator},
    {"lamella.v1.UnpinVersionRequest", kOperator},
    {"lamella.v1.QuarantineVersionRequest", kOperator},
    {"lamella.v1.ReleaseVersionRequest", kOperator},
    {"lamella.v1.WatchAdaptersRequest", kOwner},
    {"lamella.v1.ListMisfitsRequest", kOwner},
    {"lamella.v1.GetTenantUsageRequest", Roles::All()},
    {"grpc.reflection.v1.ServerReflectionRequest", Roles::All()},
    {"grpc.reflection.v1alpha.ServerReflectionRequest", Roles::All()},
    {"grpc.channelz.v1.GetTopChannelsRequest", kOperator},
    {"grpc.channelz.v1.GetServersRequest", kOperator},
    {"grpc.channelz.v1.GetServerRequest", kOperator},
    {"grpc.channelz.v1.GetServerSocketsRequest", kOperator},
    {"grpc.channelz.v1.GetChannelRequest", kOperator},
    {"grpc.channelz.v1.GetSubchannelRequest", kOperator},
    {"grpc.channelz.v1.GetSocketRequest", kOperator},
}};

// Probes have no credentials.
constexpr std::string_view kOpenToAnyone = "grpc.health.v1.HealthCheckRequest";

}  // namespace

std::optional<Access> AccessTo(std::string_view request_type) {
  if (request_type == kOpenToAnyone) return Access{.anyone = true};
  const auto* found =
      std::ranges::find(kDecisions, request_type, &decltype(kDecisions)::value_type::first);
  if (found == kDecisions.end()) return std::nullopt;
  return Access{.roles = found->second};
}

absl::Status Authorize(const Caller& caller, std::string_view request_type) {
  const Roles needed = AccessTo(request_type).value_or(Access()).roles;
  if (caller.roles.Meets(needed)) return absl::OkStatus();
  return MakeError(absl::StatusCode::kPermissionDenied, reasons::kPermissionDenied, "",
                   needed.empty() ? "nobody may make this call"
                                  : absl::StrCat("this call needs the role ", Describe(needed)));
}

}  // namespace lamella
