#include "common/base/thread_priority.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

namespace lamella {
namespace {

int NiceOfThread() { return getpriority(PRIO_PROCESS, static_cast<id_t>(gettid())); }

TEST(ThreadPriorityTest, OnlyTheCallingThreadIsLowered) {
  const int before = NiceOfThread();
  int lowered = -100;
  int again = -100;
  std::thread thread([&] {
    LowerThreadPriority();
    lowered = NiceOfThread();
    LowerThreadPriority();
    again = NiceOfThread();
  });
  thread.join();
  EXPECT_GE(lowered, 10);
  EXPECT_EQ(again, lowered);
  EXPECT_EQ(NiceOfThread(), before);
}

}  // namespace
}  // namespace lamella
