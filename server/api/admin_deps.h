// What the admin service answers from. Everything pointed to is borrowed and outlives the listener.
#pragma once

#include "adapters_store/durable_adapter_store.h"
#include "common/base/clock.h"
#include "server/api/authenticator.h"
#include "server/api/watch_hub.h"
#include "server/api/worker_pool.h"
#include "server/core/adapter_residency.h"
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
};

}  // namespace lamella
