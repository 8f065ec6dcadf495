#include "server/engine/tenant_quota.h"

#include <algorithm>

namespace lamella {

void TokenBucket::SetRate(int64_t tokens_per_minute, absl::Time now) {
  if (tokens_per_minute == rate_) return;
  const double most = static_cast<double>(tokens_per_minute);
  balance_ = rate_ == 0 ? most : std::min(Balance(now), most);
  rate_ = tokens_per_minute;
  at_ = now;
}

absl::Duration TokenBucket::TimeUntil(int64_t tokens, absl::Time now) const {
  if (rate_ == 0) return absl::ZeroDuration();
  const double missing = static_cast<double>(std::min(tokens, rate_)) - Balance(now);
  if (missing <= 0) return absl::ZeroDuration();
  return absl::Minutes(1) * (missing / static_cast<double>(rate_));
}

void TokenBucket::Take(int64_t tokens, absl::Time now) {
  if (rate_ == 0) return;
  balance_ = Balance(now) - static_cast<double>(tokens);
  at_ = now;
}

double TokenBucket::Balance(absl::Time now) const {
  const double minutes = std::max(0.0, absl::FDivDuration(now - at_, absl::Minutes(1)));
  return std::min(balance_ + minutes * static_cast<double>(rate_), static_cast<double>(rate_));
}

TenantQuota* TenantQuotas::Find(std::string_view tenant, const TenantLimits& limits,
                                absl::Time now) {
  if (quotas_.size() >= sweep_at_) ForgetIdle(now);
  const auto [entry, is_new] = quotas_.try_emplace(std::string(tenant));
  TenantQuota* const quota = &entry->second;
  if (is_new) quota->name = entry->first;
  quota->limits = limits;
  quota->bucket.SetRate(limits.tokens_per_minute, now);
  return quota;
}

const TenantQuota* TenantQuotas::Known(std::string_view tenant) const {
  const auto found = quotas_.find(std::string(tenant));
  return found == quotas_.end() ? nullptr : &found->second;
}

void TenantQuotas::ForgetIfIdle(TenantQuota* quota, absl::Time now) {
  if (quota->in_flight == 0 && quota->bucket.full(now)) quotas_.erase(quotas_.find(quota->name));
}

void TenantQuotas::ForgetIdle(absl::Time now) {
  std::erase_if(quotas_, [now](const auto& entry) {
    return entry.second.in_flight == 0 && entry.second.bucket.full(now);
  });
  sweep_at_ = std::max(kFewTenants, 2 * quotas_.size());
}

}  // namespace lamella
