#include "tests/bench/load/arrivals.h"

#include <random>
#include <utility>

namespace lamella::bench {

std::vector<absl::Duration> DrawArrivals(const ArrivalOptions& options, absl::Duration length,
                                         uint64_t seed) {
  std::mt19937_64 random(seed);
  const double variance = options.cv * options.cv;
  const bool even = variance == 0;
  std::gamma_distribution<double> gap(even ? 1 : 1 / variance, variance / options.per_second);
  const auto next = [&] { return absl::Seconds(even ? 1 / options.per_second : gap(random)); };
  std::vector<absl::Duration> arrivals;
  for (absl::Duration at = next(); at < length; at += next()) arrivals.push_back(at);
  return arrivals;
}

Schedule Schedule::Open(std::vector<absl::Duration> arrivals) {
  Schedule schedule;
  schedule.arrivals_ = std::move(arrivals);
  return schedule;
}

Schedule Schedule::Closed(size_t concurrency, absl::Duration length) {
  Schedule schedule;
  schedule.concurrency_ = concurrency;
  schedule.length_ = length;
  return schedule;
}

absl::Duration Schedule::NextDue(size_t in_flight, absl::Duration now) const {
  if (concurrency_ > 0) {
    return in_flight < concurrency_ && now < length_ ? now : absl::InfiniteDuration();
  }
  return taken_ < arrivals_.size() ? arrivals_[taken_] : absl::InfiniteDuration();
}

}  // namespace lamella::bench
