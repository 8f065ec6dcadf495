#include "server/api/watch_hub.h"

#include <algorithm>
#include <utility>

#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {

void WatchHub::Publish(StoreChange change) {
  Wakes wakes;
  {
    MutexLock lock(&mutex_);
    for (const auto& [id, watcher] : watchers_) {
      if (watcher.tenant == change.tenant) wakes.push_back(watcher.wake);
    }
    events_.push_back(std::move(change));
    if (events_.size() > capacity_) {
      dropped_[events_.front().tenant] = first_++;
      events_.pop_front();
    }
  }
  for (const auto& wake : wakes) wake();
}

void WatchHub::Close() {
  Wakes wakes;
  {
    MutexLock lock(&mutex_);
    closed_ = true;
    for (const auto& [id, watcher] : watchers_) wakes.push_back(watcher.wake);
  }
  for (const auto& wake : wakes) wake();
}

uint64_t WatchHub::Subscribe(std::string tenant, std::function<void()> wake) {
  MutexLock lock(&mutex_);
  watchers_[next_id_] = {std::move(tenant), std::move(wake)};
  return next_id_++;
}

void WatchHub::Unsubscribe(uint64_t id) {
  Watcher gone;  // destroyed outside the lock
  MutexLock lock(&mutex_);
  const auto found = watchers_.find(id);
  if (found == watchers_.end()) return;
  gone = std::move(found->second);
  watchers_.erase(found);
}

uint64_t WatchHub::head() const {
  MutexLock lock(&mutex_);
  return first_ + events_.size() - 1;
}

bool WatchHub::ReachesLocked(const std::string& tenant, uint64_t position) const {
  const auto dropped = dropped_.find(tenant);
  return position < first_ + events_.size() &&
         (dropped == dropped_.end() || dropped->second <= position);
}

bool WatchHub::Reaches(const std::string& tenant, uint64_t position) const {
  MutexLock lock(&mutex_);
  return ReachesLocked(tenant, position);
}

absl::StatusOr<std::optional<StoreChange>> WatchHub::Next(const std::string& tenant,
                                                          uint64_t* position) {
  MutexLock lock(&mutex_);
  if (closed_) {
    return MakeRetryableError(absl::StatusCode::kUnavailable, reasons::kDraining,
                              "the server is shutting down", absl::Seconds(1));
  }
  if (!ReachesLocked(tenant, *position)) {
    return MakeError(absl::StatusCode::kResourceExhausted, reasons::kSlowReader, "",
                     "the watcher fell behind and events are lost; watch again");
  }
  for (uint64_t at = std::max(*position + 1, first_); at < first_ + events_.size(); ++at) {
    *position = at;
    const StoreChange& event = events_[static_cast<size_t>(at - first_)];
    if (event.tenant == tenant) return std::optional<StoreChange>(event);
  }
  return std::optional<StoreChange>();
}

}  // namespace lamella
