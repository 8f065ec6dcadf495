// Which adapter versions are in memory: loads them on threads of its own, keeps them in a
// PinnedLru, hands out pins. It does not decide who may use an adapter (the catalogue) nor who runs
// next (the scheduler). One version:
//
//              RequestLoad              load done           Drop, Retire
//   absent -----------------> loading -----------> resident -----------> draining --last pin-->
//   absent
//     ^  ^                    |  |  ^                 |
//     |  |           failed   |  |  | a pin dies      | evicted while nobody pins it
//     |  +---- backoff -------+  |  | or expires      v
//     |        (remembered)      v  |               absent
//     |                    waiting for room
//     +--- Stop, Retire -------- (pins fill the cache)
//
// One load per version, whoever asks. Room is reserved before the first byte is read. A finished
// load is pinned by the manager itself until its first TryPin or `first_use_timeout`, so that it is
// not evicted before it served anyone. Loads that wait for room hold no memory; each time room may
// have appeared they are all tried again, the longest waiting first.
//
// A tenant's floor and ceiling are the cache's groups. An administrator's pin is one more pin, held
// here from the moment at which its version is resident; all of them together take a bounded share
// of the cache, so that they cannot lock everyone else out.
//
// Thread-safe. Neither the loader, nor the cache, nor a callback is called under the lock. It
// outlives every pin it gave out.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/time_slices.h"
#include "server/cache/pinned_lru.h"
#include "server/core/adapter_residency.h"
#include "server/lora/adapter_loader.h"
#include "server/lora/adapter_weights.h"
#include "server/telemetry/metrics.h"

namespace lamella {

// How a load shares the cores with running requests: it works for a slice, then rests; the shorter
// the more loads are wanted, since requests wait for them too.
struct LoadSlices {
  absl::Duration slice;                     // zero: no rests
  absl::Duration rest;                      // after each slice of the only load
  const std::atomic<bool>* busy = nullptr;  // no rests while it is false; borrowed
  std::function<void(absl::Duration)> sleep = absl::SleepFor;
};

struct AdapterManagerOptions {
  size_t capacity_bytes = size_t{256} << 20;  // of packed weights, loads under way included
  int32_t loader_threads = 1;                 // 0: tests run the loads by hand (Step)
  // How long a finished load is kept for those who asked for it.
  absl::Duration first_use_timeout = absl::Seconds(10);
  // How long a failed load is remembered; doubles with each failure in a row.
  absl::Duration failure_backoff = absl::Seconds(1);
  absl::Duration max_failure_backoff = absl::Minutes(1);
  LoadSlices slices;
  GroupLimits tenant_limits;     // of every tenant for whom SetTenantLimits says nothing else
  double admin_pin_share = 0.5;  // of capacity_bytes, [0, 1]: what PinByAdmin may keep

  // INVALID_ARGUMENT (INVALID_FLAG) that names the field, the limit and the value.
  absl::Status Validate() const;
};

// Weights in the cache, counted as long as they live.
class ResidentAdapter {
 public:
  // `packed_bytes` is borrowed and outlives the weights.
  ResidentAdapter(std::unique_ptr<const AdapterWeights> weights, std::atomic<size_t>* packed_bytes)
      : weights_(std::move(weights)), packed_bytes_(packed_bytes) {
    *packed_bytes_ += weights_->packed_bytes();
  }
  ResidentAdapter(ResidentAdapter&&) = default;
  ~ResidentAdapter() {
    if (weights_ != nullptr) *packed_bytes_ -= weights_->packed_bytes();
  }

  const AdapterWeights* get() const { return weights_.get(); }

 private:
  std::unique_ptr<const AdapterWeights> weights_;
  std::atomic<size_t>* packed_bytes_;
};

class AdapterManager final : public AdapterResidencyAdmin {
 public:
  using Cache = PinnedLru<std::string, ResidentAdapter>;

  struct Stats {
    Cache::Stats cache;
    uint64_t loads = 0;  // finished well
    uint64_t load_failures = 0;
    size_t loading = 0;           // queued or being read
    size_t waiting_for_room = 0;  // refused by the cache for now
    size_t packed_bytes = 0;      // of cache.resident_bytes, without tables and alignment
    size_t admin_pinned_bytes = 0;
  };

  // `loader` and `clock` are borrowed and outlive the manager.
  static absl::StatusOr<std::unique_ptr<AdapterManager>> Create(AdapterManagerOptions options,
                                                                const AdapterLoader* loader,
                                                                const Clock* clock,
                                                                Metrics metrics = {});
  // Stops. Every pin must be gone.
  ~AdapterManager() override;

  // Set once, before anything is loaded. What it captures outlives the manager's threads (Stop).
  void SetResidencyListener(ResidencyListener listener) { listener_ = std::move(listener); }
  // Of these tenants, for loads from now on; all others have options.tenant_limits. All or none:
  // INVALID_ARGUMENT (OUT_OF_RANGE), field: the tenant whose floor is above its ceiling, or passes
  // the capacity together with the floors before it.
  using TenantLimitsMap = std::map<std::string, GroupLimits>;
  absl::Status SetTenantLimits(const TenantLimitsMap& limits) EXCLUDES(mutex_);

  void RequestLoad(const AdapterRef& ref, std::function<void()> on_settled) override
      EXCLUDES(mutex_);
  absl::StatusOr<AdapterPin> TryPin(const AdapterRef& ref) override EXCLUDES(mutex_);

  // A question.
  bool IsResident(const AdapterRef& ref) const { return cache_.Contains(ref.Key()); }

  Residency ResidencyOf(const AdapterRef& ref) const override {
    return IsResident(ref) ? Residency::kHost : Residency::kDisk;
  }

  int64_t ResidentBytes(const std::string& tenant) const override {
    return static_cast<int64_t>(cache_.GroupBytes(tenant));
  }

  absl::Status PinByAdmin(const AdapterRef& ref) override EXCLUDES(mutex_);
  bool UnpinByAdmin(const AdapterRef& ref) override EXCLUDES(mutex_);

  // Resident to draining: no new pins, gone with the last one. A load under way goes on, and what
  // an administrator pinned stays.
  void Drop(const AdapterRef& ref) EXCLUDES(mutex_);

  // The version was deleted or quarantined: as Drop, an administrator's pin is gone too, and those
  // who wait for its load settle with `why`, which is not OK. It binds nobody who asks later: the
  // loader is asked again then. Nothing happens if the loader still has the version, under another
  // name of the tenant or because it came back.
  void Retire(const AdapterRef& ref, const absl::Status& why) EXCLUDES(mutex_);

  // Runs one load that can be run, on the caller's thread; false if there was none. Only with
  // loader_threads 0.
  bool Step() EXCLUDES(mutex_);

  // Ends the threads after the load each is busy with, then settles whatever else was asked for:
  // its TryPin keeps answering UNAVAILABLE. Pins stay good. Any number of calls, from one thread.
  void Stop() EXCLUDES(mutex_);

  Stats stats() const EXCLUDES(mutex_);

 private:
  absl::Status CheckTenantLimits(const TenantLimitsMap& limits) const;
  using Callbacks = std::vector<std::function<void()>>;
  enum class LoadState { kQueued, kRunning, kWaitingForRoom };
  struct Load {
    AdapterRef ref;
    LoadState state = LoadState::kQueued;
    Callbacks on_settled;
    absl::Status retired;  // not OK: what a running load settles with, whatever comes of it
    bool again = false;    // asked for anew after it was retired
  };
  struct Failure {
    absl::Status status;
    int32_t in_a_row = 0;
    absl::Time retry_at;
    bool may_ask = false;  // the answer came from memory: asking again costs nothing
  };
  struct AdminPin {
    Cache::Pin pin;  // empty until the version is resident
    size_t bytes = 0;
  };
  struct FirstUse {  // the manager's own pin on what was just loaded
    Cache::Pin pin;
    absl::Time until;
  };
  struct Picked {
    AdapterRef ref;
    uint64_t room_epoch = 0;  // when it was picked
  };
  struct PinHolder;  // what an AdapterPin keeps alive

  AdapterManager(AdapterManagerOptions options, const AdapterLoader* loader, const Clock* clock,
                 Metrics metrics);
  bool Join(const AdapterRef& ref, std::function<void()>* on_settled) EXCLUDES(mutex_);
  void Run() EXCLUDES(mutex_);
  bool WaitForWork() EXCLUDES(mutex_);
  std::optional<Picked> Pick() EXCLUDES(mutex_);
  void RunLoad(const Picked& picked) EXCLUDES(mutex_);
  absl::Status Fill(const AdapterRef& ref, Cache::Reservation reservation) EXCLUDES(mutex_);
  absl::StatusOr<std::unique_ptr<const AdapterWeights>> LoadInSlices(const AdapterRef& ref) const;
  absl::Duration RestNow() const EXCLUDES(mutex_);
  void Keep(const std::string& key, Cache::Pin pin, absl::Time until) EXCLUDES(mutex_);
  void WaitForRoom(const std::string& key, uint64_t room_epoch) EXCLUDES(mutex_);
  bool IsRetired(const std::string& key) const EXCLUDES(mutex_);
  void Settle(const AdapterRef& ref, absl::Status result, bool may_ask = false) EXCLUDES(mutex_);
  std::optional<Callbacks> EndLoad(const std::string& key, bool may_ask, absl::Status* result)
      EXCLUDES(mutex_);
  absl::Status AdmitAdminPin(const std::string& key, size_t bytes) EXCLUDES(mutex_);
  Cache::Pin TakeAdminPin(const std::string& key, bool* found) REQUIRES(mutex_);
  Callbacks RetireLoad(const std::string& key, const absl::Status& why) REQUIRES(mutex_);
  void Tell(const AdapterRef& ref) EXCLUDES(mutex_);
  void OnRoom() EXCLUDES(mutex_);
  void ExpireFirstUses() EXCLUDES(mutex_);
  Cache::Pin TakeFirstUse(const std::string& key) EXCLUDES(mutex_);
  absl::Status WhyNotResident(const std::string& key) const EXCLUDES(mutex_);
  void Remember(const std::string& key, const absl::Status& status, bool may_ask) REQUIRES(mutex_);
  const Failure* RememberedFailure(const std::string& key) const REQUIRES(mutex_);
  void PublishCacheMetrics() EXCLUDES(mutex_);

  const AdapterManagerOptions options_;
  const AdapterLoader* const loader_;
  const Clock* const clock_;
  const Metrics metrics_;

  ResidencyListener listener_;

  std::atomic<size_t> packed_bytes_ = 0;  // of what is in the cache, which it must outlive
  Cache cache_;                           // before those that hold its pins
  mutable Mutex mutex_;
  CondVar work_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::unordered_map<std::string, Load> loads_ GUARDED_BY(mutex_);
  std::deque<std::string> queue_ GUARDED_BY(mutex_);             // keys of queued loads
  std::deque<std::string> waiting_for_room_ GUARDED_BY(mutex_);  // keys, the longest waiting first
  std::unordered_map<std::string, FirstUse> first_uses_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, AdminPin> admin_pins_ GUARDED_BY(mutex_);
  size_t admin_pinned_bytes_ GUARDED_BY(mutex_) = 0;
  std::set<std::string> limited_ GUARDED_BY(mutex_);  // tenants with limits of their own
  std::unordered_map<std::string, Failure> failures_ GUARDED_BY(mutex_);
  std::deque<AdapterRef> changed_ GUARDED_BY(mutex_);  // not told yet
  bool telling_ GUARDED_BY(mutex_) = false;            // some thread is in Tell
  // Counts the moments at which room may have appeared: a load that was refused room and finds the
  // count changed tries again instead of waiting for a wake-up that has already passed.
  uint64_t room_epoch_ GUARDED_BY(mutex_) = 0;
  uint64_t loads_done_ GUARDED_BY(mutex_) = 0;
  uint64_t load_failures_ GUARDED_BY(mutex_) = 0;
  uint64_t published_evictions_ GUARDED_BY(mutex_) = 0;

  std::vector<std::thread> threads_;
};

}  // namespace lamella
