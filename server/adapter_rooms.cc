#include "server/adapter_rooms.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "adapters_store/adapter_id.h"
#include "adapters_store/folder_adapter_store.h"
#include "common/base/error.h"
#include "common/base/logging.h"
#include "common/base/mutex.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/lora/store_catalogue.h"

namespace lamella {
namespace {

constexpr size_t kWorkers = 2;
constexpr absl::Duration kUpkeepInterval = absl::Seconds(30);
// A start does not wait for a load longer than this.
constexpr absl::Duration kPinnedLoadTimeout = absl::Minutes(2);
// The only load beside running requests takes a twentieth of one core.
constexpr int kRestOfSlice = 19;
constexpr int64_t kMaxLoggedRefusals = 20;
// A version that was the last to be loaded before so many crashes in a row is left out.
constexpr int32_t kCrashesInARow = 3;
constexpr char kCrashLoop[] = "CRASH_LOOP";
constexpr size_t kMaxAdapters = 1'000'000;

// The store of a server that has no adapters.
class EmptyAdapterStore final : public AdapterStore {
 public:
  absl::StatusOr<StoredVersion> Resolve(std::string_view, std::string_view adapter_id,
                                        std::string_view) const override {
    const auto parsed = ParseAdapterId(adapter_id);
    return parsed.ok() ? AdapterNotFound(adapter_id) : parsed.status();
  }
  std::vector<AdapterListing> List(std::string_view) const override { return {}; }
  absl::StatusOr<AdapterFiles> Open(const StoredVersion& version) const override {
    return AdapterNotFound(version.name);
  }
};

AdapterRef RefOf(const StoredVersion& version) {
  return {.tenant = version.tenant, .name = version.name, .version = version.version};
}

// Counts loads down. Shared with their callbacks: one may come after the wait was given up.
class Countdown {
 public:
  explicit Countdown(size_t count) : left_(count) {}
  void Done() {
    MutexLock lock(&mutex_);
    --left_;
    changed_.NotifyAll();
  }
  bool WaitFor(absl::Duration timeout) {
    const absl::Time until = absl::Now() + timeout;
    MutexLock lock(&mutex_);
    for (absl::Time now = absl::Now(); left_ > 0 && now < until; now = absl::Now()) {
      changed_.WaitFor(&mutex_, until - now);
    }
    return left_ == 0;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  size_t left_ GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<AdapterRooms>> AdapterRooms::Build(const AdapterOptions& options,
                                                                  const Deps& deps) {
  std::unique_ptr<AdapterRooms> rooms(new AdapterRooms(deps));
  RETURN_IF_ERROR(rooms->OpenStore(options));
  RETURN_IF_ERROR(rooms->BuildManager(options));
  if (rooms->durable_ != nullptr) rooms->JoinStore();
  rooms->LogRefused();
  return rooms;
}

absl::Status AdapterRooms::OpenStore(const AdapterOptions& options) {
  if (!options.store_dir.empty()) {
    ASSIGN_OR_RETURN(auto durable, DurableAdapterStore::Open({.dir = options.store_dir},
                                                             *deps_.base, deps_.clock));
    durable_ = durable.get();
    store_ = std::move(durable);
    RETURN_IF_ERROR(LeaveOutWhatCrashes(options.store_dir));
  } else if (!options.dir.empty()) {
    ASSIGN_OR_RETURN(store_, FolderAdapterStore::Open(options.dir, *deps_.base, AdapterLimits()));
  } else {
    store_ = std::make_unique<EmptyAdapterStore>();
  }
  return absl::OkStatus();
}

absl::Status AdapterRooms::LeaveOutWhatCrashes(const std::string& store_dir) {
  ASSIGN_OR_RETURN(crashes_, CrashGuard::Open(store_dir, kCrashesInARow));
  if (!crashes_->suspect().has_value()) return absl::OkStatus();
  const CrashGuard::Suspect& suspect = *crashes_->suspect();
  for (const AdapterInfo& adapter : durable_->ListAdapters(suspect.tenant, "", kMaxAdapters)) {
    const absl::Status status =
        durable_->Quarantine(suspect.tenant, adapter.name, suspect.version, kCrashLoop,
                             {.name = kEngineActor, .request_id = ""});
    if (status.code() == absl::StatusCode::kNotFound) continue;
    RETURN_IF_ERROR(status);
    LogError("adapter left out: each of the last starts crashed after loading it",
             {{"tenant", suspect.tenant},
              {"adapter", adapter.name},
              {"version", suspect.version},
              {"crashes", kCrashesInARow}});
  }
  return absl::OkStatus();
}

absl::Status AdapterRooms::BuildManager(const AdapterOptions& options) {
  loader_ = std::make_unique<StoreAdapterLoader>(store_.get(), deps_.base, deps_.kernels);
  AdapterManagerOptions manager_options;
  manager_options.capacity_bytes = static_cast<size_t>(options.cache_bytes);
  manager_options.slices.slice = options.load_slice;
  manager_options.slices.rest = kRestOfSlice * options.load_slice;
  manager_options.slices.busy = deps_.computing;
  ASSIGN_OR_RETURN(manager_, AdapterManager::Create(manager_options, loader_.get(), deps_.clock,
                                                    *deps_.metrics));
  RETURN_IF_ERROR(LimitTenants(deps_.authenticator->credentials()->tenants()));
  manager_->SetResidencyListener([this](const AdapterRef& ref, Residency residency) {
    if (crashes_ != nullptr && residency != Residency::kDisk) {
      crashes_->NoteLoad(ref.tenant, ref.version);
    }
    watch_.Publish({ChangeKind::kChanged, ref.tenant, ref.name, ref.version});
  });
  catalogue_ = std::make_unique<StoreCatalogue>(store_.get(), manager_.get());
  return absl::OkStatus();
}

absl::Status AdapterRooms::LimitTenants(const TenantTable& tenants) {
  AdapterManager::TenantLimitsMap groups;
  for (const auto& [tenant, limits] : tenants.all()) {
    GroupLimits& group = groups[tenant];
    group.floor_bytes = static_cast<size_t>(limits.resident_floor_bytes);
    if (limits.resident_ceiling_bytes > 0) {
      group.ceiling_bytes = static_cast<size_t>(limits.resident_ceiling_bytes);
    }
  }
  const absl::Status status = manager_->SetTenantLimits(groups);
  if (status.ok()) return status;
  const std::string field = absl::StrCat("tenants.", ErrorField(status), ".resident_floor");
  return MakeError(status.code(), reasons::kInvalidCredentials, field,
                   absl::StrCat("--credentials: ", field, ": ", status.message()));
}

void AdapterRooms::JoinStore() {
  durable_->SetChangeListener([this](const StoreChange& change) { OnStoreChange(change); });
  workers_ = std::make_unique<WorkerPool>(kWorkers);
  faults_ =
      std::make_unique<FaultQuarantine>([this](const AdapterRef& ref, std::string_view reason) {
        return durable_->Quarantine(ref.tenant, ref.name, ref.version, reason,
                                    {.name = kEngineActor, .request_id = ""});
      });
  PublishStoreMetrics();
  LoadPinned();
  upkeep_ = std::make_unique<StoreUpkeep>(durable_, kUpkeepInterval);
}

// On the changer's thread, outside of the store's locks.
void AdapterRooms::OnStoreChange(const StoreChange& change) {
  if (!change.version.empty() && change.kind != ChangeKind::kCreated) {
    // What serving would answer now: not OK for what was deleted or quarantined.
    const auto resolved = durable_->Resolve(
        change.tenant, absl::StrCat(change.adapter, "@sha256:", change.version), "");
    if (!resolved.ok()) {
      manager_->Retire({.tenant = change.tenant, .name = change.adapter, .version = change.version},
                       resolved.status());
    }
  }
  watch_.Publish(change);
  PublishStoreMetrics();
}

void AdapterRooms::PublishStoreMetrics() const {
  const StoreUsage all = durable_->UsageOfAll();
  deps_.metrics->stored_versions.Set(static_cast<double>(all.versions));
  deps_.metrics->stored_bytes.Set(static_cast<double>(all.weights_bytes));
}

void AdapterRooms::LoadPinned() {
  const std::vector<VersionInfo> pinned = durable_->PinnedVersions();
  const auto countdown = std::make_shared<Countdown>(pinned.size());
  for (const VersionInfo& info : pinned) {
    const AdapterRef ref = RefOf(info.version);
    if (const absl::Status status = manager_->PinByAdmin(ref); !status.ok()) {
      LogWarning("pinned adapter does not fit", {{"tenant", ref.tenant},
                                                 {"adapter", ref.name},
                                                 {"version", ref.version},
                                                 {"reason", ErrorReason(status)}});
      countdown->Done();
      continue;
    }
    manager_->RequestLoad(ref, [countdown] { countdown->Done(); });
  }
  countdown->WaitFor(kPinnedLoadTimeout);
  for (const VersionInfo& info : pinned) {
    const AdapterRef ref = RefOf(info.version);
    if (manager_->IsResident(ref)) continue;
    LogWarning("pinned adapter is not in memory",
               {{"tenant", ref.tenant},
                {"adapter", ref.name},
                {"version", ref.version},
                {"reason", ErrorReason(manager_->TryPin(ref).status())}});
  }
}

std::vector<std::string> AdapterRooms::Tenants() const {
  return durable_ == nullptr ? std::vector<std::string>{kDefaultTenant} : durable_->Tenants();
}

AdapterRooms::Counts AdapterRooms::CountAdapters() const {
  Counts counts;
  for (const std::string& tenant : Tenants()) {
    for (const AdapterListing& listing : store_->List(tenant)) {
      ++(listing.status.ok() ? counts.usable : counts.refused);
    }
  }
  return counts;
}

std::vector<AdapterRooms::Holding> AdapterRooms::Holdings(absl::Time now) const {
  std::vector<Holding> holdings;
  if (durable_ == nullptr) return holdings;
  std::map<std::string, int64_t, std::less<>> uploaded = upload_quota_.AllUsedToday(now);
  for (const std::string& tenant : durable_->Tenants()) uploaded[tenant];
  for (const auto& [tenant, bytes] : uploaded) {
    const StoreUsage stored = durable_->UsageOf(tenant);
    holdings.push_back(
        {.tenant = tenant,
         .stored_bytes = static_cast<int64_t>(stored.weights_bytes + stored.uploading_bytes),
         .stored_versions = stored.versions,
         .uploaded_today_bytes = bytes});
  }
  return holdings;
}

void AdapterRooms::LogRefused() const {
  int64_t refused = 0;
  for (const std::string& tenant : Tenants()) {
    for (const AdapterListing& listing : store_->List(tenant)) {
      if (listing.status.ok() || ++refused > kMaxLoggedRefusals) continue;
      LogWarning("adapter refused", {{"adapter", listing.version.name},
                                     {"reason", ErrorReason(listing.status)},
                                     {"field", ErrorField(listing.status)},
                                     {"message", std::string(listing.status.message())}});
    }
  }
}

absl::Status AdapterRooms::Listen(const RpcServerOptions& options, LoadOf load_of) {
  if (durable_ == nullptr || options.address.empty()) return absl::OkStatus();
  AdminDeps deps;
  deps.store = durable_;
  deps.residency = manager_.get();
  deps.watch = &watch_;
  deps.workers = workers_.get();
  deps.authenticator = deps_.authenticator;
  deps.metrics = deps_.metrics;
  deps.clock = deps_.clock;
  deps.start = deps_.clock->Now();
  deps.load_of = std::move(load_of);
  deps.upload_quota = &upload_quota_;
  ASSIGN_OR_RETURN(rpc_, RpcServer::Start(options, deps));
  return absl::OkStatus();
}

void AdapterRooms::SetNotServing() {
  if (rpc_ != nullptr) rpc_->SetNotServing();
}

void AdapterRooms::Drain(absl::Duration grace) {
  watch_.Close();
  if (rpc_ != nullptr) rpc_->Shutdown(grace);
}

AdapterRooms::~AdapterRooms() {
  rpc_.reset();
  upkeep_.reset();
  faults_.reset();
  // Settles whoever waits for a load, which gives the workers their last tasks.
  if (manager_ != nullptr) manager_->Stop();
  workers_.reset();
  if (crashes_ != nullptr) crashes_->NoteStop();
}

}  // namespace lamella
