// A clock that moves only when the test says so. Thread-safe.
#pragma once

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace lamella {

class FakeClock final : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1'700'000'000)) : now_(start) {}

  absl::Time Now() const override {
    MutexLock lock(&mutex_);
    return now_;
  }
  void Advance(absl::Duration by) {
    MutexLock lock(&mutex_);
    now_ += by;
  }

 private:
  mutable Mutex mutex_;
  absl::Time now_ GUARDED_BY(mutex_);
};

}  // namespace lamella
