// What changed lately, for those who watch: one bounded ring of events in order, and a position in
// it for each watcher. Nobody waits for a slow watcher: one whose tenant's events have left the
// ring is told so. Events carry names only; a watcher reads what they mean when it tells of them.
// Thread-safe; watchers are woken outside the lock, on the publisher's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters_store/durable_adapter_store.h"
#include "common/base/mutex.h"

namespace lamella {

class WatchHub {
 public:
  explicit WatchHub(size_t capacity = 8192) : capacity_(capacity) {}

  void Publish(StoreChange change) EXCLUDES(mutex_);

  // Every watcher's Next says DRAINING from now on.
  void Close() EXCLUDES(mutex_);

  // `wake` is called after each event of `tenant` and after Close, from any thread, possibly once
  // after Unsubscribe. It must not block.
  uint64_t Subscribe(std::string tenant, std::function<void()> wake) EXCLUDES(mutex_);
  void Unsubscribe(uint64_t id) EXCLUDES(mutex_);

  // Position of the newest event.
  uint64_t head() const EXCLUDES(mutex_);
  // Whether every event of `tenant` after `position` is still here.
  bool Reaches(const std::string& tenant, uint64_t position) const EXCLUDES(mutex_);

  // The first event of `tenant` after `*position`, which moves there; nothing if there is none yet.
  // RESOURCE_EXHAUSTED (SLOW_READER) if some have left the ring, UNAVAILABLE (DRAINING).
  absl::StatusOr<std::optional<StoreChange>> Next(const std::string& tenant, uint64_t* position)
      EXCLUDES(mutex_);

 private:
  using Wakes = std::vector<std::function<void()>>;
  struct Watcher {
    std::string tenant;
    std::function<void()> wake;
  };
  bool ReachesLocked(const std::string& tenant, uint64_t position) const REQUIRES(mutex_);

  const size_t capacity_;
  mutable Mutex mutex_;
  // events_[i] has the position first_ + i.
  std::deque<StoreChange> events_ GUARDED_BY(mutex_);
  uint64_t first_ GUARDED_BY(mutex_) = 1;
  std::map<std::string, uint64_t> dropped_ GUARDED_BY(mutex_);  // newest, by tenant
  std::map<uint64_t, Watcher> watchers_ GUARDED_BY(mutex_);
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace lamella
