// What each tenant has of the engine at this moment, and what it used lately. Counts; admission
// decides. Not thread-safe: the admission controller's lock covers it.
//
// A bucket of tokens fills at `tokens_per_minute` up to one minute's worth. A prompt is taken out
// when it is settled, an answer as it is generated, so that nobody pays for the longest answer that
// might have been; the price is that the bucket can fall below empty, and then everything waits
// until it has filled up again. In the long run no more than the rate is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/time/time.h"
#include "server/core/tenant_limits.h"

namespace lamella {

class TokenBucket {
 public:
  // 0: no limit. A bucket begins full; a changed rate keeps the balance, up to one minute's worth.
  void SetRate(int64_t tokens_per_minute, absl::Time now);
  // Until `tokens` can be taken out, zero if they can now: until the bucket is full if it never
  // holds so many.
  absl::Duration TimeUntil(int64_t tokens, absl::Time now) const;
  void Take(int64_t tokens, absl::Time now);
  bool full(absl::Time now) const {
    return rate_ == 0 || Balance(now) >= static_cast<double>(rate_);
  }
  int64_t tokens_per_minute() const { return rate_; }

 private:
  double Balance(absl::Time now) const;

  int64_t rate_ = 0;  // per minute, and the most that it holds
  double balance_ = 0;
  absl::Time at_ = absl::InfinitePast();  // when it had that balance
};

struct TenantQuota {
  TenantLimits limits;  // as the directory said last
  int32_t in_flight = 0;
  int32_t queued = 0;  // of those
  int64_t queued_tokens = 0;
  int64_t aside_tokens = 0;   // of those, of requests that wait for an adapter
  double waiting_weight = 0;  // its weight while it has tokens ahead of somebody, else 0
  TokenBucket bucket;
  std::string name;

  int64_t ahead_tokens() const { return queued_tokens - aside_tokens; }
};

// The tenants of whom there is something to remember: requests in flight or a bucket that is not
// full. Others are forgotten in time, and at the latest when they outnumber the rest.
class TenantQuotas {
 public:
  // Stays in place while something of it is in flight.
  TenantQuota* Find(std::string_view tenant, const TenantLimits& limits, absl::Time now);
  // Null: there is nothing to remember of it.
  const TenantQuota* Known(std::string_view tenant) const;
  void ForgetIfIdle(TenantQuota* quota, absl::Time now);
  size_t size() const { return quotas_.size(); }
  // By name.
  const std::unordered_map<std::string, TenantQuota>& all() const { return quotas_; }

 private:
  void ForgetIdle(absl::Time now);

  std::unordered_map<std::string, TenantQuota> quotas_;
  static constexpr size_t kFewTenants = 256;
  size_t sweep_at_ = kFewTenants;
};

}  // namespace lamella
