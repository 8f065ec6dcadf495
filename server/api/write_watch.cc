#include "server/api/write_watch.h"

#include <vector>

#include "absl/time/clock.h"
#include "common/base/logging.h"

namespace lamella {
namespace {

// A stalled write ends at the limit, or this part of it later.
constexpr int kLooksPerLimit = 8;

}  // namespace

WriteWatch::WriteWatch(absl::Duration limit, const Metrics* metrics)
    : limit_(limit), metrics_(metrics), thread_([this] { Run(); }) {}

WriteWatch::~WriteWatch() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  stop_.NotifyAll();
  thread_.join();
}

void WriteWatch::Add(const std::shared_ptr<WatchedWrites>& stream) {
  MutexLock lock(&mutex_);
  streams_.emplace(stream.get(), stream);
}

void WriteWatch::Remove(const WatchedWrites* stream) {
  MutexLock lock(&mutex_);
  streams_.erase(stream);
}

bool WriteWatch::Wait() {
  const absl::Time until = absl::Now() + limit_ / kLooksPerLimit;
  MutexLock lock(&mutex_);
  for (absl::Time now = absl::Now(); !stopping_ && now < until; now = absl::Now()) {
    stop_.WaitFor(&mutex_, until - now);
  }
  return !stopping_;
}

void WriteWatch::CancelStalled() {
  std::vector<std::shared_ptr<WatchedWrites>> streams;
  {
    MutexLock lock(&mutex_);
    streams.reserve(streams_.size());
    for (const auto& [key, weak] : streams_) {
      if (auto stream = weak.lock()) streams.push_back(std::move(stream));
    }
  }
  const absl::Time since = absl::Now() - limit_;
  for (const auto& stream : streams) {
    if (!stream->CancelIfStalledSince(since)) continue;
    metrics_->stalled_streams.Increment();
    LogWarning("stream cancelled: its peer does not read");
  }
}

void WriteWatch::Run() {
  while (Wait()) CancelStalled();
}

}  // namespace lamella
