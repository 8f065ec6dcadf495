#include "server/tenant_standings.h"

#include <map>
#include <string>
#include <utility>

namespace lamella {

std::vector<TenantStanding> TenantStandings(const Engine& engine, const AdapterRooms& adapters,
                                            const Authenticator& authenticator, absl::Time now) {
  std::map<std::string, TenantStanding> standings;
  const std::shared_ptr<const Credentials> credentials = authenticator.credentials();
  for (const auto& [tenant, limits] : credentials->tenants().all()) standings[tenant];
  for (const auto& [tenant, load] : engine.Loads()) standings[tenant].load = load;
  for (AdapterRooms::Holding& holding : adapters.Holdings(now)) {
    TenantStanding& standing = standings[holding.tenant];
    standing.stored_bytes = holding.stored_bytes;
    standing.stored_versions = holding.stored_versions;
    standing.uploaded_today_bytes = holding.uploaded_today_bytes;
  }
  std::vector<TenantStanding> all;
  all.reserve(standings.size());
  for (auto& [tenant, standing] : standings) {
    standing.tenant = tenant;
    standing.limits = credentials->tenants().LimitsOf(tenant);
    all.push_back(std::move(standing));
  }
  return all;
}

}  // namespace lamella
