// The loading half of AdapterManager: what runs on the loader threads, or in Step.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "server/lora/adapter_manager.h"

namespace lamella {

void AdapterManager::Run() {
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
  if (!bytes.ok()) return Settle(key, bytes.status());
  absl::StatusOr<Cache::Reservation> reservation = cache_.Reserve(key, *bytes);
  if (absl::IsResourceExhausted(reservation.status())) return WaitForRoom(key, picked.room_epoch);
  // Resident already: it was asked for in the moment in which an earlier load settled.
  if (absl::IsAlreadyExists(reservation.status())) return Settle(key, absl::OkStatus());
  if (!reservation.ok()) return Settle(key, reservation.status());
  const absl::Status result = Fill(picked.ref, *std::move(reservation));
  OnRoom();  // all of the reservation after a failure, what it had too much otherwise
  Settle(key, result);
}

absl::Status AdapterManager::Fill(const AdapterRef& ref, Cache::Reservation reservation) {
  const absl::Time begin = clock_->Now();
  absl::StatusOr<std::unique_ptr<const AdapterWeights>> weights = loader_->Load(ref);
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
  Cache::Pin pin = cache_.Commit(std::move(reservation), *std::move(weights));
  MutexLock lock(&mutex_);
  // A predecessor that was dropped may still have its first use: swapped out, it dies after the
  // lock.
  FirstUse& use = first_uses_[ref.Key()];
  std::swap(use.pin, pin);
  use.until = end + options_.first_use_timeout;
  return absl::OkStatus();
}

void AdapterManager::WaitForRoom(const std::string& key, uint64_t room_epoch) {
  ExpireFirstUses();
  MutexLock lock(&mutex_);
  Load& load = loads_.at(key);
  const bool try_again = room_epoch_ != room_epoch;
  load.state = try_again ? LoadState::kQueued : LoadState::kWaitingForRoom;
  (try_again ? queue_ : waiting_for_room_).push_back(key);
}

void AdapterManager::Settle(const std::string& key, const absl::Status& result) {
  Callbacks on_settled;
  {
    MutexLock lock(&mutex_);
    const auto load = loads_.find(key);
    on_settled.swap(load->second.on_settled);
    loads_.erase(load);
    if (result.ok()) {
      ++loads_done_;
      failures_.erase(key);
    } else {
      ++load_failures_;
      Remember(key, result);
    }
  }
  if (result.ok()) {
    metrics_.adapter_loads.Increment();
  } else {
    metrics_.adapter_load_failures.WithReason(ErrorReason(result)).Increment();
  }
  PublishCacheMetrics();
  for (const auto& settled : on_settled) settled();
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
