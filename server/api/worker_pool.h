// A few threads for what must not run on gRPC's: work that waits for the disk. Tasks run in order
// of arrival, each once; one caller's tasks may run at one time unless it waits for one before it
// posts the next. The callers bound how many there are: each call has one at most. Thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

namespace lamella {

class WorkerPool {
 public:
  explicit WorkerPool(size_t threads);
  // Runs what was posted, then ends.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Never waits. Not after the destructor has begun, but from a task at any time.
  void Post(std::function<void()> task) EXCLUDES(mutex_);

 private:
  void Run() EXCLUDES(mutex_);

  Mutex mutex_;
  CondVar arrived_;
  std::deque<std::function<void()>> tasks_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace lamella
