// Ends streams whose peer does not read: a write that has not left after a time limit cancels its
// call, so that nobody keeps a stream, a buffer or a pinned file by not reading. (HTTP/2 pings are
// answered by such a peer, so keepalive does not find it.) One thread for all streams of a listener.
// Thread-safe.
#pragma once

#include <memory>
#include <thread>
#include <unordered_map>

#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "server/telemetry/metrics.h"

namespace lamella {

// A stream as the watch sees it.
class WatchedWrites {
 public:
  virtual ~WatchedWrites() = default;
  // Cancels the call if a write has been under way since before `time`; whether it did. Any thread.
  virtual bool CancelIfStalledSince(absl::Time time) = 0;
};

class WriteWatch {
 public:
  // `metrics` is borrowed and counts what was cancelled.
  WriteWatch(absl::Duration limit, const Metrics* metrics);
  ~WriteWatch();
  WriteWatch(const WriteWatch&) = delete;
  WriteWatch& operator=(const WriteWatch&) = delete;

  // Until Remove. A stream that is gone is left alone.
  void Add(const std::shared_ptr<WatchedWrites>& stream) EXCLUDES(mutex_);
  void Remove(const WatchedWrites* stream) EXCLUDES(mutex_);

 private:
  void Run() EXCLUDES(mutex_);
  bool Wait() EXCLUDES(mutex_);
  void CancelStalled() EXCLUDES(mutex_);

  const absl::Duration limit_;
  const Metrics* const metrics_;
  Mutex mutex_;
  CondVar stop_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::unordered_map<const WatchedWrites*, std::weak_ptr<WatchedWrites>> streams_
      GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace lamella
