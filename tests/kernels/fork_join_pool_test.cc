#include "server/kernels/fork_join_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace lamella::kernels {
namespace {

struct Range {
  int64_t begin;
  int64_t end;
  int32_t worker;
};

std::vector<Range> RunAndCollect(ForkJoinPool& pool, int64_t count, int64_t grain) {
  std::mutex mutex;
  std::vector<Range> ranges;
  pool.Run(count, grain, [&](int64_t begin, int64_t end, int32_t worker) {
    std::lock_guard lock(mutex);
    ranges.push_back({begin, end, worker});
  });
  return ranges;
}

class ForkJoinPoolTest : public ::testing::TestWithParam<int32_t> {};

TEST_P(ForkJoinPoolTest, CoversEveryIndexOnceInGrains) {
  ForkJoinPool pool(GetParam());
  EXPECT_EQ(pool.threads(), GetParam());
  for (int64_t count : {0, 1, 2, 3, 15, 16, 17, 100, 1001}) {
    for (int64_t grain : {1, 2, 4, 7, 64, 5000}) {
      std::vector<int32_t> hits(count);
      for (const Range& range : RunAndCollect(pool, count, grain)) {
        EXPECT_LT(range.begin, range.end);
        EXPECT_TRUE(range.end == count || range.end - range.begin >= grain);
        EXPECT_EQ(range.begin % grain, 0);
        EXPECT_GE(range.worker, 0);
        EXPECT_LT(range.worker, pool.threads());
        for (int64_t i = range.begin; i < range.end; ++i) ++hits[i];
      }
      EXPECT_EQ(hits, std::vector<int32_t>(count, 1)) << count << " " << grain;
    }
  }
}

TEST_P(ForkJoinPoolTest, EverythingIsDoneWhenRunReturns) {
  ForkJoinPool pool(GetParam());
  std::vector<int64_t> values(64);
  for (int64_t round = 1; round <= 3000; ++round) {
    pool.Run(static_cast<int64_t>(values.size()), 1, [&](int64_t begin, int64_t end, int32_t) {
      for (int64_t i = begin; i < end; ++i) values[i] += i;
    });
    ASSERT_EQ(values[63], 63 * round);
  }
  for (int64_t i = 0; i < 64; ++i) EXPECT_EQ(values[i], 3000 * i);
}

// One worker number is never used by two threads at once, so that it may index scratch.
TEST_P(ForkJoinPoolTest, WorkerNumberIsExclusive) {
  ForkJoinPool pool(GetParam());
  std::vector<std::atomic<int32_t>> inside(GetParam());
  std::atomic<int32_t> clashes{0};
  for (int round = 0; round < 200; ++round) {
    pool.Run(100, 1, [&](int64_t, int64_t, int32_t worker) {
      if (inside[worker].fetch_add(1) != 0) ++clashes;
      inside[worker].fetch_sub(1);
    });
  }
  EXPECT_EQ(clashes, 0);
}

INSTANTIATE_TEST_SUITE_P(Threads, ForkJoinPoolTest, ::testing::Values(1, 2, 3, 8));

TEST(ForkJoinPoolSingleTest, OneThreadRunsInlineAsOneRange) {
  ForkJoinPool pool(1);
  const std::thread::id self = std::this_thread::get_id();
  std::thread::id seen;
  int calls = 0;
  pool.Run(1000, 1, [&](int64_t begin, int64_t end, int32_t worker) {
    seen = std::this_thread::get_id();
    ++calls;
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 1000);
    EXPECT_EQ(worker, 0);
  });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(seen, self);
}

TEST(ForkJoinPoolSingleTest, ThreadsBelowOneMeanOne) {
  EXPECT_EQ(ForkJoinPool(0).threads(), 1);
  EXPECT_EQ(ForkJoinPool(-3).threads(), 1);
}

// Two ranges that wait for each other can only end if two threads work at once: with more runs than
// a worker spins for, it must be woken from parking too.
TEST(ForkJoinPoolParallelTest, WorkersTakePart) {
  ForkJoinPool pool(2);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int32_t> arrived{0};
    pool.Run(2, 1, [&](int64_t, int64_t, int32_t) {
      arrived.fetch_add(1);
      arrived.notify_all();
      while (arrived.load() < 2) arrived.wait(1);
    });
    EXPECT_EQ(arrived, 2);
  }
}

TEST(ForkJoinPoolParallelTest, IdlePoolsEnd) {
  for (int i = 0; i < 50; ++i) ForkJoinPool pool(4);
}

}  // namespace
}  // namespace lamella::kernels
