#include "server/engine/queue_pace.h"

#include "gtest/gtest.h"

namespace lamella {
namespace {

class QueuePaceTest : public testing::Test {
 protected:
  // `requests` of `tokens` leave in one step, a few microseconds apart.
  void Step(int requests, int64_t tokens, bool some_stay) {
    for (int i = 0; i < requests; ++i) {
      pace_.OnLeave(tokens, now_ + i * absl::Microseconds(5), some_stay || i + 1 < requests);
    }
    if (!some_stay) pace_.OnNoneReady();
  }

  QueuePace pace_;
  absl::Time now_ = absl::UnixEpoch();
};

TEST_F(QueuePaceTest, IsTheThroughputWhileMoreWait) {
  pace_.OnBegin(now_);
  for (int i = 0; i < 20; ++i) {
    now_ += absl::Milliseconds(100);
    Step(4, 25, true);
  }
  EXPECT_NEAR(pace_.TokensPerSecond().value(), 1000, 1);
}

TEST_F(QueuePaceTest, AQueueThatEmptiesInEveryStepSaysNothing) {
  for (int i = 0; i < 20; ++i) {
    pace_.OnBegin(now_);
    now_ += absl::Milliseconds(100);
    Step(3, 10, false);
  }
  EXPECT_FALSE(pace_.TokensPerSecond().has_value());
}

TEST_F(QueuePaceTest, IdleTimeDoesNotSlowItDown) {
  for (int round = 0; round < 5; ++round) {
    pace_.OnBegin(now_);
    for (int i = 0; i < 5; ++i) {
      now_ += absl::Milliseconds(100);
      Step(1, 100, i < 4);
    }
    now_ += absl::Hours(1);
  }
  EXPECT_NEAR(pace_.TokensPerSecond().value(), 1000, 1);
}

TEST_F(QueuePaceTest, FollowsAChange) {
  for (int i = 0; i < 100; ++i) {
    now_ += absl::Milliseconds(100);
    Step(1, 100, true);
  }
  for (int i = 0; i < 100; ++i) {
    now_ += absl::Milliseconds(400);
    Step(1, 100, true);
  }
  EXPECT_NEAR(pace_.TokensPerSecond().value(), 250, 20);
}

TEST_F(QueuePaceTest, WhoIsTakenAsideIsNotWhatTheQueueWaitedFor) {
  Step(1, 100, true);
  pace_.OnNoneReady();  // the one left behind waits for its adapter
  now_ += absl::Seconds(30);
  Step(1, 100, false);
  EXPECT_FALSE(pace_.TokensPerSecond().has_value());
}

}  // namespace
}  // namespace lamella
