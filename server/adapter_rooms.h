// The half of the composition root that is about adapters: the store, who loads from it, what is in
// memory, and the admin listener with what it stands on. Built in order, taken down in reverse; the
// engine goes before it.
//
//   store -> loader -> manager -> catalogue         what the engine sees
//     |                   |
//     +--- changes -------+--> watch hub -> admin service and listener <- workers
//     +--- deleted, quarantined --> manager (Retire)
//     +<-- nonsense (FaultQuarantine), crashes (CrashGuard), scrub and garbage (StoreUpkeep)
//
// With a folder of adapters instead of a store there is nothing to administer: no admin listener.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapters_store/crash_guard.h"
#include "adapters_store/durable_adapter_store.h"
#include "common/base/clock.h"
#include "server/api/authenticator.h"
#include "server/api/rpc_server.h"
#include "server/config/server_config.h"
#include "server/core/adapter_catalogue.h"
#include "server/core/adapter_fault_sink.h"
#include "server/kernels/kernel_table.h"
#include "server/lora/adapter_loader.h"
#include "server/lora/adapter_manager.h"
#include "server/lora/fault_quarantine.h"
#include "server/store_upkeep.h"
#include "server/telemetry/metrics.h"

namespace lamella {

class AdapterRooms {
 public:
  // All borrowed; they outlive the rooms.
  struct Deps {
    const BaseSpec* base = nullptr;
    const kernels::KernelTable* kernels = nullptr;
    const Clock* clock = nullptr;
    const Metrics* metrics = nullptr;
    const Authenticator* authenticator = nullptr;
    const std::atomic<bool>* computing = nullptr;  // whether somebody's tokens are computed
  };
  struct Counts {
    int64_t usable = 0;
    int64_t refused = 0;
  };

  // Opens the store and loads the pinned versions; blocks on the disk. Refused adapters are logged.
  static absl::StatusOr<std::unique_ptr<AdapterRooms>> Build(const AdapterOptions& options,
                                                             const Deps& deps);
  ~AdapterRooms();
  AdapterRooms(const AdapterRooms&) = delete;
  AdapterRooms& operator=(const AdapterRooms&) = delete;

  AdapterCatalogue* catalogue() { return catalogue_.get(); }
  AdapterResidency* residency() { return manager_.get(); }
  AdapterFaultSink* faults() { return faults_.get(); }  // null without a store
  Counts CountAdapters() const;

  // What a tenant has in the store and uploaded today.
  struct Holding {
    std::string tenant;
    int64_t stored_bytes = 0;  // those being uploaded included
    int64_t stored_versions = 0;
    int64_t uploaded_today_bytes = 0;
  };
  // Of each tenant that has any; none without a store.
  std::vector<Holding> Holdings(absl::Time now) const;

  // What tenants may have in memory, from now on. All or none: INVALID_ARGUMENT
  // (INVALID_CREDENTIALS) that names the tenant.
  absl::Status LimitTenants(const TenantTable& tenants);

  // What the engine says of a tenant.
  using LoadOf = std::function<TenantLoad(std::string_view tenant)>;
  // Nothing without a store or without an address. UNAVAILABLE (PORT_IN_USE).
  absl::Status Listen(const RpcServerOptions& options, LoadOf load_of);
  // Of the admin listener; 0: none.
  int port() const { return rpc_ == nullptr ? 0 : rpc_->port(); }

  void SetNotServing();
  // Watchers are told; what else is under way may end within `grace`.
  void Drain(absl::Duration grace);

 private:
  explicit AdapterRooms(const Deps& deps) : deps_(deps) {}
  absl::Status OpenStore(const AdapterOptions& options);
  absl::Status LeaveOutWhatCrashes(const std::string& store_dir);
  absl::Status BuildManager(const AdapterOptions& options);
  void JoinStore();
  void OnStoreChange(const StoreChange& change);
  void PublishStoreMetrics() const;
  void LoadPinned();
  void LogRefused() const;
  std::vector<std::string> Tenants() const;

  const Deps deps_;
  std::unique_ptr<AdapterStore> store_;
  DurableAdapterStore* durable_ = nullptr;  // the same, if it is one
  std::unique_ptr<CrashGuard> crashes_;     // only with it
  WatchHub watch_;
  UploadQuota upload_quota_;
  std::unique_ptr<AdapterLoader> loader_;
  std::unique_ptr<AdapterManager> manager_;
  std::unique_ptr<AdapterCatalogue> catalogue_;
  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<FaultQuarantine> faults_;
  std::unique_ptr<StoreUpkeep> upkeep_;
  std::unique_ptr<RpcServer> rpc_;
};

}  // namespace lamella
