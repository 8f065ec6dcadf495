// Adapters without weights: a catalogue and a residency with switches, and the tag that a puppet
// executor mixes into its tokens. Thread-safe.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "common/base/mutex.h"
#include "common/base/reasons.h"
#include "server/core/adapter_catalogue.h"
#include "server/core/adapter_residency.h"

namespace lamella {

// Stands where real weights would: AdapterWeights is opaque outside server/lora.
struct FakeAdapter {
  AdapterRef ref;
  uint64_t tag = 0;  // never 0, which is the base
};

inline uint64_t FakeTag(const AdapterRef& ref) {
  return ref.is_base() ? 0 : std::hash<std::string>()(ref.Key()) | 1;
}

inline const FakeAdapter* AsFake(const AdapterWeights* weights) {
  return reinterpret_cast<const FakeAdapter*>(weights);
}

// "A" and "A@live" resolve to the version that SetLive named last.
class FakeCatalogue final : public AdapterCatalogue {
 public:
  // Any text makes a version: it is stretched to 64 characters.
  AdapterRef SetLive(const std::string& tenant, const std::string& name,
                     const std::string& version) {
    std::string digest = version;
    digest.resize(64, '0');
    MutexLock lock(&mutex_);
    return live_[{tenant, name}] = AdapterRef{tenant, name, digest};
  }

  absl::StatusOr<AdapterRef> Resolve(std::string_view tenant, std::string_view adapter_id,
                                     std::string_view) const override {
    if (adapter_id.empty()) return AdapterRef();
    MutexLock lock(&mutex_);
    const auto found = live_.find({std::string(tenant), std::string(adapter_id)});
    if (found != live_.end()) return found->second;
    return MakeError(absl::StatusCode::kNotFound, reasons::kAdapterNotFound, "adapter_id",
                     "adapter_id names no adapter");
  }

  std::vector<AdapterSummary> ListUsable(std::string_view tenant) const override {
    std::vector<AdapterSummary> usable;
    MutexLock lock(&mutex_);
    for (const auto& [key, ref] : live_) {
      if (key.first == tenant) usable.push_back({ref, "live", 8, Residency::kHost});
    }
    return usable;
  }

 private:
  mutable Mutex mutex_;
  std::map<std::pair<std::string, std::string>, AdapterRef> live_ GUARDED_BY(mutex_);
};

// Loads settle at once unless HoldLoads is on; then FinishLoads or FailLoad settles them.
class FakeResidency final : public AdapterResidency {
 public:
  static constexpr int64_t kBytes = 1 << 20;  // of every adapter

  explicit FakeResidency(size_t capacity = 1000) : capacity_(capacity) {}

  void RequestLoad(const AdapterRef& ref, std::function<void()> on_settled) override {
    bool settle = false;
    {
      MutexLock lock(&mutex_);
      ++requests_;
      Entry& entry = entries_[ref.Key()];
      entry.ref = ref;
      entry.waiters.push_back(std::move(on_settled));
      if (entry.resident == nullptr) entry.loading = true;
      settle = !hold_ || entry.resident != nullptr;
    }
    if (settle) Settle(ref, absl::OkStatus());
  }

  absl::StatusOr<AdapterPin> TryPin(const AdapterRef& ref) override {
    MutexLock lock(&mutex_);
    ++pin_attempts_;
    Entry& entry = entries_[ref.Key()];
    if (entry.resident != nullptr) {
      auto pin = std::make_shared<PinHolder>(entry.resident, this);
      return AdapterPin(ref, AsWeights(std::move(pin)), std::exchange(entry.unused_bytes, 0));
    }
    if (!entry.failed.ok()) return entry.failed;
    if (entry.full) {
      return MakeError(absl::StatusCode::kResourceExhausted, reasons::kAdapterCacheFull, "",
                       "pins fill the adapter cache");
    }
    return MakeError(absl::StatusCode::kUnavailable, reasons::kAdapterLoading, "", "loading");
  }

  void HoldLoads(bool hold) {
    MutexLock lock(&mutex_);
    hold_ = hold;
  }
  void FinishLoads() {
    for (const AdapterRef& ref : Loading()) Settle(ref, absl::OkStatus());
  }
  void FailLoad(const AdapterRef& ref, absl::Status why) { Settle(ref, std::move(why)); }
  // False if a pin keeps it.
  bool Evict(const AdapterRef& ref) {
    MutexLock lock(&mutex_);
    return EvictLocked(&entries_[ref.Key()]);
  }

  int32_t requests() const {
    MutexLock lock(&mutex_);
    return requests_;
  }
  int32_t pin_attempts() const {
    MutexLock lock(&mutex_);
    return pin_attempts_;
  }
  // Pins that exist now.
  int64_t pins() const {
    MutexLock lock(&mutex_);
    int64_t pins = 0;
    for (const auto& [key, entry] : entries_) {
      if (entry.resident != nullptr) pins += entry.resident.use_count() - 1;
    }
    return pins;
  }
  std::vector<AdapterRef> Loading() const {
    MutexLock lock(&mutex_);
    std::vector<AdapterRef> loading;
    for (const auto& [key, entry] : entries_) {
      if (entry.loading) loading.push_back(entry.ref);
    }
    return loading;
  }

 private:
  struct Entry {
    AdapterRef ref;
    std::shared_ptr<FakeAdapter> resident;
    int64_t unused_bytes = 0;  // loaded and not used yet
    bool loading = false;
    bool full = false;
    absl::Status failed;
    std::vector<std::function<void()>> waiters;
  };

  // A pin lets go of its adapter first, then those who wait for room hear of it.
  struct PinHolder {
    PinHolder(std::shared_ptr<FakeAdapter> held, FakeResidency* owner)
        : adapter(std::move(held)), residency(owner) {}
    ~PinHolder() {
      adapter = nullptr;
      residency->OnRoom();
    }
    PinHolder(const PinHolder&) = delete;
    PinHolder& operator=(const PinHolder&) = delete;
    std::shared_ptr<FakeAdapter> adapter;
    FakeResidency* residency;
  };

  static std::shared_ptr<const AdapterWeights> AsWeights(std::shared_ptr<PinHolder> pin) {
    const auto* weights = reinterpret_cast<const AdapterWeights*>(pin->adapter.get());
    return std::shared_ptr<const AdapterWeights>(std::move(pin), weights);
  }

  void OnRoom() EXCLUDES(mutex_) {
    std::vector<AdapterRef> waiting;
    {
      MutexLock lock(&mutex_);
      for (const auto& [key, entry] : entries_) {
        if (entry.full) waiting.push_back(entry.ref);
      }
    }
    for (const AdapterRef& ref : waiting) Settle(ref, absl::OkStatus());
  }

  static bool EvictLocked(Entry* entry) {
    if (entry->resident == nullptr || entry->resident.use_count() > 1) return false;
    entry->resident = nullptr;
    return true;
  }

  bool MakeRoom() REQUIRES(mutex_) {
    const auto resident = std::count_if(entries_.begin(), entries_.end(), [](const auto& item) {
      return item.second.resident != nullptr;
    });
    if (static_cast<size_t>(resident) < capacity_) return true;
    return std::any_of(entries_.begin(), entries_.end(),
                       [](auto& item) { return EvictLocked(&item.second); });
  }

  void Settle(const AdapterRef& ref, absl::Status result) EXCLUDES(mutex_) {
    std::vector<std::function<void()>> waiters;
    {
      MutexLock lock(&mutex_);
      Entry& entry = entries_[ref.Key()];
      if (entry.resident == nullptr) {
        entry.failed = result;
        entry.full = result.ok() && !MakeRoom();
        if (result.ok() && !entry.full) {
          entry.resident = std::make_shared<FakeAdapter>(FakeAdapter{ref, FakeTag(ref)});
          entry.unused_bytes = kBytes;
        }
      }
      entry.loading = false;
      // Who waits for room has not settled.
      if (!entry.full) waiters.swap(entry.waiters);
    }
    for (const auto& waiter : waiters) waiter();
  }

  const size_t capacity_;
  mutable Mutex mutex_;
  bool hold_ GUARDED_BY(mutex_) = false;
  int32_t requests_ GUARDED_BY(mutex_) = 0;
  int32_t pin_attempts_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, Entry> entries_ GUARDED_BY(mutex_);
};

}  // namespace lamella
