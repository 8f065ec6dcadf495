#include "server/api/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <vector>

#include "common/base/reasons.h"
#include "server/api/upload_slots.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

TEST(WorkerPoolTest, RunsEveryTaskOnceAlsoThoseLeftAtTheEnd) {
  std::atomic<int> runs = 0;
  {
    WorkerPool pool(2);
    for (int i = 0; i < 1000; ++i) pool.Post([&] { ++runs; });
  }
  EXPECT_EQ(runs, 1000);
}

TEST(WorkerPoolTest, ATaskMayPostAnother) {
  std::atomic<int> runs = 0;
  {
    WorkerPool pool(1);
    pool.Post([&] {
      ++runs;
      pool.Post([&] { ++runs; });
    });
  }
  EXPECT_EQ(runs, 2);
}

TEST(WorkerPoolTest, OneSlowTaskDoesNotHoldUpTheOtherThread) {
  WorkerPool pool(2);
  std::promise<void> release;
  std::promise<void> done;
  pool.Post([&] { release.get_future().wait(); });
  pool.Post([&] { done.set_value(); });
  done.get_future().wait();
  release.set_value();
}

TEST(UploadSlotsTest, AreBoundedInAllAndByTenantAndComeBack) {
  UploadSlots slots(3, 2);
  auto first = slots.Take("anna");
  auto second = slots.Take("anna");
  EXPECT_TRUE(testing::IsOk(first) && testing::IsOk(second));
  const auto refused = slots.Take("anna");
  EXPECT_TRUE(testing::IsError(refused, absl::StatusCode::kResourceExhausted, reasons::kQueueFull));
  EXPECT_TRUE(ErrorRetryAfter(refused.status()).has_value());
  auto third = slots.Take("ben");
  EXPECT_TRUE(testing::IsOk(third));
  EXPECT_FALSE(slots.Take("cleo").ok());
  UploadSlots::Slot moved = *std::move(first);
  EXPECT_FALSE(slots.Take("cleo").ok());
  moved = UploadSlots::Slot();
  EXPECT_TRUE(testing::IsOk(slots.Take("cleo")));
}

}  // namespace
}  // namespace lamella
