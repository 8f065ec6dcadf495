#include "common/base/time_slices.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "tests/testing/fake_clock.h"

namespace lamella {
namespace {

class TimeSlicesTest : public ::testing::Test {
 protected:
  // A piece of work of a millisecond.
  void Work() {
    clock_.Advance(absl::Milliseconds(1));
    TimeSlices::Rest();
  }

  FakeClock clock_;
  absl::Duration rest_ = absl::Milliseconds(50);
  std::vector<absl::Duration> rests_;
  TimeSlices::Options options_{.slice = absl::Milliseconds(3),
                               .rest = [this] { return rest_; },
                               .sleep =
                                   [this](absl::Duration rest) {
                                     rests_.push_back(rest);
                                     clock_.Advance(rest);
                                   }};
};

TEST_F(TimeSlicesTest, RestsWhenASliceIsOver) {
  const TimeSlices slices(&options_, &clock_);
  Work();
  Work();
  EXPECT_EQ(rests_.size(), 0U);
  Work();
  EXPECT_EQ(rests_, std::vector<absl::Duration>{absl::Milliseconds(50)});
  for (int i = 0; i < 6; ++i) Work();
  EXPECT_EQ(rests_.size(), 3U);
}

TEST_F(TimeSlicesTest, OtherThreadsAndTheTimeAfterAreLeftAlone) {
  {
    const TimeSlices slices(&options_, &clock_);
    std::thread([this] {
      for (int i = 0; i < 9; ++i) Work();
    }).join();
  }
  for (int i = 0; i < 9; ++i) Work();
  EXPECT_EQ(rests_.size(), 0U);
}

TEST_F(TimeSlicesTest, ARestMayBeLeftOut) {
  rest_ = absl::ZeroDuration();
  const TimeSlices slices(&options_, &clock_);
  for (int i = 0; i < 9; ++i) Work();
  EXPECT_EQ(rests_.size(), 0U);
  rest_ = absl::Milliseconds(1);
  for (int i = 0; i < 3; ++i) Work();
  EXPECT_EQ(rests_.size(), 1U);
}

TEST_F(TimeSlicesTest, ASliceOfNothingMeansNoRests) {
  options_.slice = absl::ZeroDuration();
  const TimeSlices slices(&options_, &clock_);
  for (int i = 0; i < 9; ++i) Work();
  EXPECT_EQ(rests_.size(), 0U);
}

}  // namespace
}  // namespace lamella
