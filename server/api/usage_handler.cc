// AdapterAdminService.GetTenantUsage: questions to the rooms that know.
#include <vector>

#include "common/base/status_macros.h"
#include "server/api/admin_conversion.h"
#include "server/api/admin_handlers.h"
#include "server/api/resource_names.h"

namespace lamella {
namespace {

void SetCounters(const std::string& tenant, const Metrics& metrics, v1::TenantCounters* out) {
  const std::vector<double> counts = metrics.by_tenant.Of(tenant);
  if (counts.empty()) return;
  const auto count = [&counts](TenantCount what) {
    return static_cast<int64_t>(counts[static_cast<size_t>(what)]);
  };
  out->set_requests(count(TenantCount::kRequests));
  out->set_rejected(count(TenantCount::kRejected));
  out->set_prompt_tokens(count(TenantCount::kPromptTokens));
  out->set_cached_tokens(count(TenantCount::kCachedTokens));
  out->set_generated_tokens(count(TenantCount::kGeneratedTokens));
  out->set_adapter_loads(count(TenantCount::kAdapterLoads));
}

void SetHoldings(const std::string& tenant, const AdminDeps& deps, absl::Time now,
                 v1::TenantHoldings* out) {
  const TenantLoad load = deps.load_of(tenant);
  out->set_in_flight(load.in_flight);
  out->set_queued(load.queued);
  out->set_queued_tokens(load.queued_tokens);
  out->set_resident_bytes(deps.residency->ResidentBytes(tenant));
  const StoreUsage stored = deps.store->UsageOf(tenant);
  out->set_stored_bytes(static_cast<int64_t>(stored.weights_bytes + stored.uploading_bytes));
  out->set_stored_versions(stored.versions);
  out->set_adapters(stored.adapters);
  out->set_uploaded_today_bytes(deps.upload_quota->UsedToday(tenant, now));
}

void SetQuotas(const TenantLimits& limits, v1::TenantQuotas* out) {
  out->set_weight(limits.weight);
  out->set_max_in_flight(limits.max_in_flight);
  out->set_max_queued_tokens(limits.max_queued_tokens);
  out->set_tokens_per_minute(limits.tokens_per_minute);
  out->set_resident_floor_bytes(limits.resident_floor_bytes);
  out->set_resident_ceiling_bytes(limits.resident_ceiling_bytes);
  out->set_stored_bytes(limits.max_stored_bytes);
  out->set_stored_versions(limits.max_stored_versions);
  out->set_upload_bytes_per_day(limits.upload_bytes_per_day);
}

}  // namespace

absl::StatusOr<v1::GetTenantUsageResponse> Handle(const v1::GetTenantUsageRequest& request,
                                                  const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName name, ParseTenantName("name", request.name(), call.caller()));
  const AdminDeps& deps = *call.deps;
  const absl::Time now = deps.clock->Now();
  v1::GetTenantUsageResponse response;
  response.set_name(TenantName(name.tenant));
  SetCounters(name.tenant, *deps.metrics, response.mutable_counters());
  SetHoldings(name.tenant, deps, now, response.mutable_holdings());
  SetQuotas(deps.authenticator->LimitsOf(name.tenant), response.mutable_quotas());
  SetTimestamp(deps.start, response.mutable_start_time());
  SetTimestamp(now, response.mutable_read_time());
  return response;
}

}  // namespace lamella
