// Time as an injected dependency: production reads the wall clock, tests step a FakeClock.
#pragma once

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace lamella {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
};

class RealClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
};

}  // namespace lamella
