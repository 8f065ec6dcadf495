// The loading half of AdapterManager: what runs on the loader threads, or in Step.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/thread_priority.h"
#include "common/formats/json.h"
#include "server/lora/adapter_manager.h"

namespace lamella {
namespace {

// The cache's refusal, as the caller who named the adapter needs it.
absl::Status NeverFits(const AdapterRef& ref, const absl::Status& refusal) {
  return MakeError(refusal.code(), ErrorReason(refusal), "adapter_id",
                   "adapter " + QuoteForMessage(ref.name) + ": " + std::string(refusal.message()));
}

}  // namespace

void AdapterManager::Run() {
  LowerThreadPriority();
  while (WaitForWork()) Step();
}

// False once stopping. Returns also when a first use may have expired for which a load waits.
bool AdapterManager::WaitForWork() {
  MutexLock lock(&mutex_);
  while (!stopping_ && queue_.empty()) {
    absl::Time wake_at = absl::InfiniteFuture();
    if (!waiting_for_room_.empty()) {
      for (const auto& [key, use] : first_uses_) wake_at = std::min(wake_at, use.until);
    }
    if (wake_at == absl::InfiniteFuture()) {
      work_.Wait(&mutex_);
      continue;
    }
    const absl::Duration left = wake_at - clock_->Now();
    if (left <= absl::ZeroDuration()) break;
    work_.WaitFor(&mutex_, std::min(left, absl::Hours(1)));
  }
  return !stopping_;
}

std::optional<AdapterManager::Picked> AdapterManager::Pick() {
  MutexLock lock(&mutex_);
  if (stopping_ || queue_.empty()) return std::nullopt;
  Load& load = loads_.at(queue_.front());
  queue_.pop_front();
  load.state = LoadState::kRunning;
  return Picked{.ref = load.ref, .room_epoch = room_epoch_};
}

void AdapterManager::RunLoad(const Picked& picked) {
  const std::string key = picked.ref.Key();
  absl::StatusOr<size_t> bytes = loader_->ResidentBytes(picked.ref);
  if (!bytes.ok()) return Settle(picked.ref, bytes.status(), /*may_ask=*/true);
  absl::StatusOr<Cache::Reservation> reservation =
      cache_.Reserve(key, *bytes, /*group=*/picked.ref.tenant);
  if (absl::IsResourceExhausted(reservation.status()) && !IsRetired(key)) {
    return WaitForRoom(key, picked.room_epoch);
  }
  // Resident already: it was asked for in the moment in which an earlier load settled.
  if (absl::IsAlreadyExists(reservation.status())) return Settle(picked.ref, absl::OkStatus());
  if (!reservation.ok()) return Settle(picked.ref, NeverFits(picked.ref, reservation.status()));
  const absl::Status result = Fill(picked.ref, *std::move(reservation));
  OnRoom();  // all of the reservation after a failure, what it had too much otherwise
  Settle(picked.ref, result);
}

absl::Status AdapterManager::Fill(const AdapterRef& ref, Cache::Reservation reservation) {
  const absl::Time begin = clock_->Now();
  absl::StatusOr<std::unique_ptr<const AdapterWeights>> weights = LoadInSlices(ref);
  absl::Status status = weights.status();
  if (status.ok() && (*weights)->bytes() > reservation.bytes()) {
    status = MakeError(absl::StatusCode::kInternal, reasons::kInternal, "",
                       "an adapter takes " + std::to_string((*weights)->bytes()) +
                           " bytes, more than the " + std::to_string(reservation.bytes()) +
                           " that were reserved for it");
  }
  if (!status.ok()) return status;
  const absl::Time end = clock_->Now();
  metrics_.adapter_load_seconds.Observe(absl::ToDoubleSeconds(end - begin));
  reservation.Shrink((*weights)->bytes());
  Keep(ref.Key(),
       cache_.Commit(std::move(reservation), ResidentAdapter(*std::move(weights), &packed_bytes_)),
       end + options_.first_use_timeout);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<const AdapterWeights>> AdapterManager::LoadInSlices(
    const AdapterRef& ref) const {
  const TimeSlices::Options options{.slice = options_.slices.slice,
                                    .rest = [this] { return RestNow(); },
                                    .sleep = options_.slices.sleep};
  const TimeSlices slices(&options, clock_);
  return loader_->Load(ref);
}

absl::Duration AdapterManager::RestNow() const {
  if (options_.slices.busy != nullptr && !*options_.slices.busy) return absl::ZeroDuration();
  MutexLock lock(&mutex_);
  return options_.slices.rest / static_cast<double>(std::max<size_t>(1, loads_.size()));
}

// For an administrator, or for its first use.
void AdapterManager::Keep(const std::string& key, Cache::Pin pin, absl::Time until) {
  MutexLock lock(&mutex_);
  // A predecessor that was dropped may still be held: swapped out, it dies after the lock.
  if (const auto admin = admin_pins_.find(key); admin != admin_pins_.end()) {
    std::swap(admin->second.pin, pin);
    return;
  }
  FirstUse& use = first_uses_[key];
  std::swap(use.pin, pin);
  use.until = until;
}

void AdapterManager::WaitForRoom(const std::string& key, uint64_t room_epoch) {
  ExpireFirstUses();
  MutexLock lock(&mutex_);
  Load& load = loads_.at(key);
  const bool try_again = room_epoch_ != room_epoch || !load.retired.ok();
  load.state = try_again ? LoadState::kQueued : LoadState::kWaitingForRoom;
  (try_again ? queue_ : waiting_for_room_).push_back(key);
}

bool AdapterManager::IsRetired(const std::string& key) const {
  MutexLock lock(&mutex_);
  const auto load = loads_.find(key);
  return load != loads_.end() && !load->second.retired.ok();
}

void AdapterManager::Settle(const AdapterRef& ref, absl::Status result, bool may_ask) {
  const std::string key = ref.Key();
  // Retired while it was read: what Retire could not see yet goes now.
  if (IsRetired(key)) {
    cache_.Erase(key);
    TakeFirstUse(key).Reset();
    OnRoom();
  }
  const std::optional<Callbacks> on_settled = EndLoad(key, may_ask, &result);
  if (!on_settled.has_value()) return;
  if (result.ok()) {
    metrics_.adapter_loads.Increment();
    metrics_.by_tenant.Add(ref.tenant, TenantCount::kAdapterLoads);
    metrics_.by_adapter.Add(ref.tenant, ref.name, AdapterCount::kLoads);
    Tell(ref);
  } else {
    metrics_.adapter_load_failures.WithReason(ErrorReason(result)).Increment();
  }
  PublishCacheMetrics();
  for (const auto& settled : *on_settled) settled();
}

// Whom to tell; nothing if the load starts anew.
std::optional<AdapterManager::Callbacks> AdapterManager::EndLoad(const std::string& key,
                                                                 bool may_ask,
                                                                 absl::Status* result) {
  MutexLock lock(&mutex_);
  const auto found = loads_.find(key);
  Load& load = found->second;
  if (load.again) {
    load.again = false;
    load.retired = absl::OkStatus();
    load.state = LoadState::kQueued;
    queue_.push_back(key);
    work_.NotifyOne();
    return std::nullopt;
  }
  if (!load.retired.ok()) {
    *result = std::move(load.retired);
    may_ask = true;
  }
  Callbacks on_settled = std::move(load.on_settled);
  loads_.erase(found);
  if (result->ok()) {
    ++loads_done_;
    failures_.erase(key);
  } else {
    ++load_failures_;
    Remember(key, *result, may_ask);
  }
  return on_settled;
}

void AdapterManager::OnRoom() {
  MutexLock lock(&mutex_);
  ++room_epoch_;
  if (waiting_for_room_.empty()) return;
  for (const std::string& key : waiting_for_room_) loads_.at(key).state = LoadState::kQueued;
  queue_.insert(queue_.begin(), std::make_move_iterator(waiting_for_room_.begin()),
                std::make_move_iterator(waiting_for_room_.end()));
  waiting_for_room_.clear();
  work_.NotifyAll();
}

void AdapterManager::ExpireFirstUses() {
  const absl::Time now = clock_->Now();
  std::vector<FirstUse> expired;  // declared before the lock: they die after it
  {
    MutexLock lock(&mutex_);
    for (auto it = first_uses_.begin(); it != first_uses_.end();) {
      if (now < it->second.until) {
        ++it;
        continue;
      }
      expired.push_back(std::move(it->second));
      it = first_uses_.erase(it);
    }
  }
  if (expired.empty()) return;
  expired.clear();
  OnRoom();
}

}  // namespace lamella
