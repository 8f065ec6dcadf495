#include "tests/bench/load/arrivals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace lamella::bench {
namespace {

constexpr absl::Duration kLong = absl::Seconds(10000);

// Mean and variation of the gaps.
struct Gaps {
  explicit Gaps(const std::vector<absl::Duration>& arrivals) {
    double sum = 0, squares = 0;
    absl::Duration last;
    for (const absl::Duration at : arrivals) {
      const double gap = absl::ToDoubleSeconds(at - last);
      sum += gap;
      squares += gap * gap;
      last = at;
    }
    const auto count = static_cast<double>(arrivals.size());
    mean = sum / count;
    cv = std::sqrt(squares / count - mean * mean) / mean;
  }
  double mean = 0;
  double cv = 0;
};

TEST(DrawArrivalsTest, GapsHaveTheMeanAndTheVariationAskedFor) {
  for (const double cv : {0.5, 1.0, 2.0, 4.0}) {
    const Gaps gaps(DrawArrivals({.per_second = 5, .cv = cv}, kLong, 7));
    // Five standard errors of 50,000 gaps.
    EXPECT_NEAR(gaps.mean, 0.2, 0.2 * 5 * cv / std::sqrt(50000)) << cv;
    EXPECT_NEAR(gaps.cv / cv, 1, 0.1) << cv;
  }
}

TEST(DrawArrivalsTest, OneIsPoisson) {
  // As many seconds without an arrival as e^-rate says.
  const auto arrivals = DrawArrivals({.per_second = 1, .cv = 1}, kLong, 3);
  std::vector<bool> busy(10000);
  for (const absl::Duration at : arrivals)
    busy[static_cast<size_t>(absl::ToDoubleSeconds(at))] = true;
  const auto idle = std::count(busy.begin(), busy.end(), false);
  EXPECT_NEAR(static_cast<double>(idle), 10000 * std::exp(-1), 5 * std::sqrt(10000 * 0.37 * 0.63));
}

TEST(DrawArrivalsTest, ZeroIsEven) {
  const auto arrivals = DrawArrivals({.per_second = 4, .cv = 0}, absl::Seconds(1.1), 1);
  ASSERT_EQ(arrivals.size(), 4U);
  EXPECT_EQ(arrivals[3], absl::Seconds(1));
}

TEST(DrawArrivalsTest, AscendWithinTheLengthAndFollowTheSeed) {
  const ArrivalOptions options{.per_second = 50, .cv = 2};
  const auto arrivals = DrawArrivals(options, absl::Seconds(20), 5);
  EXPECT_TRUE(std::is_sorted(arrivals.begin(), arrivals.end()));
  EXPECT_LT(arrivals.back(), absl::Seconds(20));
  EXPECT_EQ(arrivals, DrawArrivals(options, absl::Seconds(20), 5));
  EXPECT_NE(arrivals, DrawArrivals(options, absl::Seconds(20), 6));
}

TEST(ScheduleTest, OpenIsDueWhateverIsInFlight) {
  Schedule schedule = Schedule::Open({absl::Seconds(1), absl::Seconds(2)});
  EXPECT_EQ(schedule.NextDue(1000, absl::Seconds(5)), absl::Seconds(1));
  schedule.Take();
  EXPECT_EQ(schedule.NextDue(1000, absl::Seconds(5)), absl::Seconds(2));
  schedule.Take();
  EXPECT_EQ(schedule.NextDue(0, absl::Seconds(5)), absl::InfiniteDuration());
}

TEST(ScheduleTest, ClosedIsDueWhenOneEnds) {
  Schedule schedule = Schedule::Closed(2, absl::Seconds(10));
  EXPECT_EQ(schedule.NextDue(1, absl::Seconds(3)), absl::Seconds(3));
  EXPECT_EQ(schedule.NextDue(2, absl::Seconds(3)), absl::InfiniteDuration());
  EXPECT_EQ(schedule.NextDue(0, absl::Seconds(10)), absl::InfiniteDuration());
}

}  // namespace
}  // namespace lamella::bench
