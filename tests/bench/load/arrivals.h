// When requests are due. Open: at times drawn beforehand, whatever the server does, so that a slow
// answer cannot hold the next request back. Closed: whenever fewer than so many are in flight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace lamella::bench {

struct ArrivalOptions {
  double per_second = 1;
  // Standard deviation of the gaps over their mean. Gaps are Gamma distributed, of shape 1 / cv^2
  // and scale cv^2 / per_second, which for 1 is Poisson arrivals; 0: even ones.
  double cv = 1;
};

// In [0, length), ascending; equal arguments give equal times.
std::vector<absl::Duration> DrawArrivals(const ArrivalOptions& options, absl::Duration length,
                                         uint64_t seed);

class Schedule {
 public:
  static Schedule Open(std::vector<absl::Duration> arrivals);
  // Until `length` has passed.
  static Schedule Closed(size_t concurrency, absl::Duration length);

  // When the next request is due, perhaps in the past. Infinite: not before one ends, or never.
  absl::Duration NextDue(size_t in_flight, absl::Duration now) const;
  // It was sent.
  void Take() { ++taken_; }

 private:
  Schedule() = default;

  std::vector<absl::Duration> arrivals_;
  size_t concurrency_ = 0;  // 0: open
  absl::Duration length_;
  size_t taken_ = 0;
};

}  // namespace lamella::bench
