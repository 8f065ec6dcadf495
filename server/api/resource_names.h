// Names of resources of the admin API and who may name them. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/api/credentials.h"

namespace lamella {

// What a name says, with the tenant `-` replaced by the caller's. Members that the kind of name
// does not have are empty.
struct ResourceName {
  std::string tenant;
  std::string adapter;
  std::string version;  // 64 hex digits
};

// "tenants/T" or "", the caller's own. These three answer INVALID_ARGUMENT (INVALID_RESOURCE_NAME)
// for another form, and NOT_FOUND (ADAPTER_NOT_FOUND), as for what does not exist, for a tenant
// that is neither the caller's nor named by an operator.
absl::StatusOr<ResourceName> ParseTenantName(std::string_view field, std::string_view name,
                                             const Caller& caller);
// "tenants/T/adapters/A"
absl::StatusOr<ResourceName> ParseAdapterName(std::string_view field, std::string_view name,
                                              const Caller& caller);
// "tenants/T/adapters/A/versions/V"
absl::StatusOr<ResourceName> ParseVersionName(std::string_view field, std::string_view name,
                                              const Caller& caller);

std::string TenantName(std::string_view tenant);
std::string AdapterName(std::string_view tenant, std::string_view adapter);
std::string VersionName(std::string_view tenant, std::string_view adapter,
                        std::string_view version);

// NOT_FOUND (ADAPTER_NOT_FOUND) about `field`; its text depends on the caller's own words alone.
absl::Status ResourceNotFound(std::string_view field, std::string_view name);

}  // namespace lamella
