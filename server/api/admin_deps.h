// What the admin service answers from. Everything pointed to is borrowed and outlives the listener.
#pragma once

#include <functional>
#include <string_view>

#include "absl/time/time.h"
#include "adapters_store/durable_adapter_store.h"
#include "common/base/clock.h"
#include "server/api/authenticator.h"
#include "server/api/upload_quota.h"
#include "server/api/watch_hub.h"
#include "server/api/worker_pool.h"
#include "server/core/adapter_residency.h"
#include "server/core/tenant_limits.h"
#include "server/telemetry/metrics.h"

namespace lamella {

struct AdminDeps {
  DurableAdapterStore* store = nullptr;
  AdapterResidencyAdmin* residency = nullptr;
  WatchHub* watch = nullptr;
  WorkerPool* workers = nullptr;  // for what blocks on the disk
  const Authenticator* authenticator = nullptr;
  const Clock* clock = nullptr;
  const Metrics* metrics = nullptr;
  absl::Time start;                                            // of the server
  std::function<TenantLoad(std::string_view tenant)> load_of;  // of the engine
  UploadQuota* upload_quota = nullptr;
};

}  // namespace lamella
