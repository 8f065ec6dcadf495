// Background work in short slices: between two pieces of its work a thread that is in slices rests
// when its slice is over, so that those who share the cores with it wait for one slice at most.
// Whatever does long work calls Rest between its pieces, whoever it works for; on other threads that
// is a look at one pointer. Never call it under a lock.
#pragma once

#include <functional>

#include "absl/time/time.h"
#include "common/base/clock.h"

namespace lamella {

class TimeSlices {
 public:
  struct Options {
    absl::Duration slice;                  // zero: no rests
    std::function<absl::Duration()> rest;  // asked after each slice; zero: none this time
    std::function<void(absl::Duration)> sleep = absl::SleepFor;
  };

  // The calling thread is in slices from now on until the object dies. One at a time on a thread.
  // Both are borrowed.
  TimeSlices(const Options* options, const Clock* clock);
  ~TimeSlices();
  TimeSlices(const TimeSlices&) = delete;
  TimeSlices& operator=(const TimeSlices&) = delete;

  static void Rest() {
    if (current_ != nullptr) current_->RestIfOver();
  }

 private:
  void RestIfOver();

  static thread_local TimeSlices* current_;

  const Options& options_;
  const Clock& clock_;
  absl::Time begin_;  // of this slice
};

}  // namespace lamella
