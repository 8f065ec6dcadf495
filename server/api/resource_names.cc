#include "server/api/resource_names.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "adapters_store/adapter_id.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/formats/digest.h"
#include "common/formats/json.h"

namespace lamella {
namespace {

constexpr size_t kMaxNameBytes = 256;
constexpr std::string_view kOwnTenant = "-";

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

absl::Status BadName(std::string_view field, std::string_view form, std::string_view name) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, reasons::kInvalidResourceName, field,
      absl::StrCat(View(field), ": must be ", View(form), ", got ", QuoteForMessage(name)));
}

// Parses `name` as "tenants/T[/adapters/A[/versions/V]]" with exactly `pairs` of the three.
absl::StatusOr<ResourceName> Parse(std::string_view field, std::string_view name, size_t pairs,
                                   const Caller& caller) {
  static constexpr std::string_view kForms[] = {"tenants/TENANT", "tenants/TENANT/adapters/ADAPTER",
                                                "tenants/TENANT/adapters/ADAPTER/versions/SHA256"};
  static constexpr std::string_view kCollections[] = {"tenants", "adapters", "versions"};
  const absl::Status bad = BadName(field, kForms[pairs - 1], name);
  if (name.size() > kMaxNameBytes) return bad;
  const std::vector<std::string> parts = absl::StrSplit(View(name), '/');
  if (parts.size() != 2 * pairs) return bad;
  for (size_t i = 0; i < pairs; ++i) {
    if (parts[2 * i] != kCollections[i]) return bad;
  }
  ResourceName parsed{.tenant = parts[1] == kOwnTenant ? caller.tenant : parts[1],
                      .adapter = pairs > 1 ? parts[3] : "",
                      .version = pairs > 2 ? parts[5] : ""};
  if (!IsValidResourceId(parsed.tenant)) return bad;
  if (pairs > 1 && !IsValidResourceId(parsed.adapter)) return bad;
  if (pairs > 2 && !IsLowerHex(parsed.version)) return bad;
  if (parsed.tenant != caller.tenant && !caller.roles.Has(Role::kOperator)) {
    return ResourceNotFound(field, name);
  }
  return parsed;
}

}  // namespace

absl::StatusOr<ResourceName> ParseTenantName(std::string_view field, std::string_view name,
                                             const Caller& caller) {
  if (name.empty()) return ResourceName{.tenant = caller.tenant};
  return Parse(field, name, 1, caller);
}

absl::StatusOr<ResourceName> ParseAdapterName(std::string_view field, std::string_view name,
                                              const Caller& caller) {
  return Parse(field, name, 2, caller);
}

absl::StatusOr<ResourceName> ParseVersionName(std::string_view field, std::string_view name,
                                              const Caller& caller) {
  return Parse(field, name, 3, caller);
}

std::string TenantName(std::string_view tenant) { return absl::StrCat("tenants/", View(tenant)); }

std::string AdapterName(std::string_view tenant, std::string_view adapter) {
  return absl::StrCat(TenantName(tenant), "/adapters/", View(adapter));
}

std::string VersionName(std::string_view tenant, std::string_view adapter,
                        std::string_view version) {
  return absl::StrCat(AdapterName(tenant, adapter), "/versions/", View(version));
}

absl::Status ResourceNotFound(std::string_view field, std::string_view name) {
  return MakeError(absl::StatusCode::kNotFound, reasons::kAdapterNotFound, field,
                   absl::StrCat(View(field), ": ", QuoteForMessage(name), " names nothing here"));
}

}  // namespace lamella
