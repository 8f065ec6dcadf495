// What tenants have and may have at the moment of a scrape, as gauges beside the counters of
// bounded_counters.h. A source is asked when somebody looks; nothing is kept. Thread-safe.
//
// Series of their own have the tenants that have them among the counters, and, while there are
// places left, others that have something, by name; what the rest has is added up under "other".
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "server/core/tenant_limits.h"

namespace prometheus {
struct MetricFamily;
}  // namespace prometheus

namespace lamella {

class BoundedCounters;

struct TenantStanding {
  std::string tenant;
  TenantLimits limits;
  TenantLoad load;
  int64_t stored_bytes = 0;  // of weights files, those that are being uploaded included
  int64_t stored_versions = 0;
  int64_t uploaded_today_bytes = 0;  // in UTC
};

// Each tenant of whom something is known, once. Called on the threads of scrapers.
using TenantSource = std::function<std::vector<TenantStanding>()>;

class TenantGauges {
 public:
  // `most`: tenants with series of their own, as of the counters.
  TenantGauges(std::shared_ptr<const BoundedCounters> counters, size_t most);

  // In place of the one before; without one nobody has anything.
  void SetSource(TenantSource source) EXCLUDES(mutex_);

  // A family for each thing that tenants have, "other" always there, and one for each limit that is
  // set for somebody with series of its own.
  std::vector<prometheus::MetricFamily> Collect() const EXCLUDES(mutex_);

 private:
  const std::shared_ptr<const BoundedCounters> counters_;
  const size_t most_;
  mutable Mutex mutex_;
  TenantSource source_ GUARDED_BY(mutex_);
};

}  // namespace lamella
