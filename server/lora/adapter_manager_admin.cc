// The administrator's half of AdapterManager: pins, limits, what is taken out of service, and who
// is told of changes.
#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/lora/adapter_manager.h"

namespace lamella {

absl::Status AdapterManager::CheckTenantLimits(const TenantLimitsMap& limits) const {
  size_t left_bytes = options_.capacity_bytes;
  for (const auto& [tenant, own] : limits) {
    const size_t most_bytes = std::min(own.ceiling_bytes, left_bytes);
    if (own.floor_bytes > most_bytes) {
      return MakeError(absl::StatusCode::kInvalidArgument, reasons::kOutOfRange, tenant,
                       "the floor may be " + std::to_string(most_bytes) +
                           " bytes within its ceiling and beside other tenants' floors; got " +
                           std::to_string(own.floor_bytes));
    }
    left_bytes -= own.floor_bytes;
  }
  return absl::OkStatus();
}

absl::Status AdapterManager::SetTenantLimits(const TenantLimitsMap& limits) {
  RETURN_IF_ERROR(CheckTenantLimits(limits));
  std::set<std::string> now;
  for (const auto& [tenant, own] : limits) now.insert(tenant);
  std::set<std::string> before = now;
  {
    MutexLock lock(&mutex_);
    limited_.swap(before);
  }
  for (const std::string& tenant : before) {
    if (!now.contains(tenant)) cache_.ClearGroupLimits(tenant);
  }
  for (const auto& [tenant, own] : limits) cache_.SetGroupLimits(tenant, own);
  OnRoom();
  return absl::OkStatus();
}

absl::Status AdapterManager::PinByAdmin(const AdapterRef& ref) {
  const std::string key = ref.Key();
  ASSIGN_OR_RETURN(const size_t bytes, loader_->ResidentBytes(ref));
  RETURN_IF_ERROR(AdmitAdminPin(key, bytes));
  // From here on a load that finishes hands its pin over by itself; one that has finished is here.
  std::optional<Cache::Pin> pin = cache_.Lookup(key);
  if (!pin.has_value()) {
    std::function<void()> nobody_waits = [] {};
    Join(ref, &nobody_waits);
    return absl::OkStatus();
  }
  {
    MutexLock lock(&mutex_);
    const auto admin = admin_pins_.find(key);
    if (admin != admin_pins_.end()) std::swap(admin->second.pin, *pin);
  }
  pin->Reset();
  OnRoom();
  return absl::OkStatus();
}

absl::Status AdapterManager::AdmitAdminPin(const std::string& key, size_t bytes) {
  const auto limit_bytes =
      static_cast<size_t>(options_.admin_pin_share * static_cast<double>(options_.capacity_bytes));
  MutexLock lock(&mutex_);
  if (stopping_) {
    return MakeRetryableError(absl::StatusCode::kUnavailable, reasons::kDraining,
                              "the server is shutting down", absl::Seconds(1));
  }
  if (admin_pins_.contains(key)) return absl::OkStatus();
  if (bytes > limit_bytes - admin_pinned_bytes_) {
    return MakeError(absl::StatusCode::kResourceExhausted, reasons::kPinLimit, "",
                     "pinned versions may take " + std::to_string(limit_bytes) +
                         " bytes of the adapter cache: " + std::to_string(admin_pinned_bytes_) +
                         " are taken, this one needs " + std::to_string(bytes));
  }
  admin_pins_[key].bytes = bytes;
  admin_pinned_bytes_ += bytes;
  return absl::OkStatus();
}

bool AdapterManager::UnpinByAdmin(const AdapterRef& ref) {
  bool found = false;
  Cache::Pin pin;
  {
    MutexLock lock(&mutex_);
    pin = TakeAdminPin(ref.Key(), &found);
  }
  pin.Reset();
  if (found) OnRoom();
  return found;
}

AdapterManager::Cache::Pin AdapterManager::TakeAdminPin(const std::string& key, bool* found) {
  auto node = admin_pins_.extract(key);
  *found = !node.empty();
  if (node.empty()) return Cache::Pin();
  admin_pinned_bytes_ -= node.mapped().bytes;
  return std::move(node.mapped().pin);
}

void AdapterManager::Drop(const AdapterRef& ref) {
  const std::string key = ref.Key();
  {
    MutexLock lock(&mutex_);
    if (admin_pins_.contains(key)) return;
  }
  const bool was_resident = cache_.Erase(key);
  TakeFirstUse(key).Reset();
  OnRoom();
  PublishCacheMetrics();
  if (was_resident) Tell(ref);
}

void AdapterManager::Retire(const AdapterRef& ref, const absl::Status& why) {
  // Another name of the tenant may still mean these weights.
  if (loader_->ResidentBytes(ref).ok()) return;
  const std::string key = ref.Key();
  bool was_pinned = false;
  Cache::Pin pin;
  Callbacks on_settled;
  {
    MutexLock lock(&mutex_);
    pin = TakeAdminPin(key, &was_pinned);
    on_settled = RetireLoad(key, why);
  }
  pin.Reset();
  Drop(ref);
  for (const auto& settled : on_settled) settled();
}

AdapterManager::Callbacks AdapterManager::RetireLoad(const std::string& key,
                                                     const absl::Status& why) {
  const auto found = loads_.find(key);
  if (found == loads_.end()) return {};
  Load& load = found->second;
  if (load.state == LoadState::kRunning) {
    load.retired = why;
    load.again = false;
    return {};
  }
  std::erase(load.state == LoadState::kQueued ? queue_ : waiting_for_room_, key);
  Callbacks on_settled = std::move(load.on_settled);
  loads_.erase(found);
  ++load_failures_;
  Remember(key, why, /*may_ask=*/true);
  return on_settled;
}

// One thread at a time tells, in the order of the changes, and looks where a version is only then:
// so the last word about a version is true, whoever else evicts or loads meanwhile.
void AdapterManager::Tell(const AdapterRef& ref) {
  if (listener_ == nullptr) return;
  {
    MutexLock lock(&mutex_);
    changed_.push_back(ref);
    if (telling_) return;
    telling_ = true;
  }
  while (true) {
    AdapterRef next;
    {
      MutexLock lock(&mutex_);
      telling_ = !changed_.empty();
      if (!telling_) return;
      next = std::move(changed_.front());
      changed_.pop_front();
    }
    listener_(next, ResidencyOf(next));
  }
}

}  // namespace lamella
