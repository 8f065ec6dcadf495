#include "server/lora/store_catalogue.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "common/base/status_macros.h"

namespace lamella {
namespace {

AdapterRef RefOf(const StoredVersion& version) {
  return {.tenant = version.tenant, .name = version.name, .version = version.version};
}

}  // namespace

absl::StatusOr<AdapterRef> StoreCatalogue::Resolve(std::string_view tenant,
                                                   std::string_view adapter_id,
                                                   std::string_view routing_key) const {
  if (adapter_id.empty()) return AdapterRef();
  ASSIGN_OR_RETURN(const StoredVersion version, store_->Resolve(tenant, adapter_id, routing_key));
  return RefOf(version);
}

std::vector<AdapterSummary> StoreCatalogue::ListUsable(std::string_view tenant) const {
  std::vector<AdapterSummary> usable;
  for (const AdapterListing& listing : store_->List(tenant)) {
    if (!listing.status.ok()) continue;
    AdapterRef ref = RefOf(listing.version);
    const bool resident = manager_->IsResident(ref);
    usable.push_back({.ref = std::move(ref),
                      .alias = listing.version.alias,
                      .max_rank = listing.version.max_rank,
                      .residency = resident ? Residency::kHost : Residency::kDisk});
  }
  std::sort(usable.begin(), usable.end(), [](const AdapterSummary& a, const AdapterSummary& b) {
    return std::tie(a.ref.name, a.alias, a.ref.version) <
           std::tie(b.ref.name, b.alias, b.ref.version);
  });
  return usable;
}

}  // namespace lamella
