#include "server/api/watch_hub.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/base/reasons.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsError;
using testing::IsOk;

StoreChange Change(const std::string& tenant, const std::string& adapter) {
  return {.kind = ChangeKind::kChanged, .tenant = tenant, .adapter = adapter, .version = ""};
}

// The adapters of all events of `tenant` after *position.
std::vector<std::string> Read(WatchHub* hub, const std::string& tenant, uint64_t* position) {
  std::vector<std::string> adapters;
  for (;;) {
    const auto next = hub->Next(tenant, position);
    EXPECT_TRUE(IsOk(next));
    if (!next.ok() || !next->has_value()) return adapters;
    adapters.push_back((*next)->adapter);
  }
}

TEST(WatchHubTest, TellsATenantItsOwnEventsInOrder) {
  WatchHub hub;
  uint64_t position = hub.head();
  hub.Publish(Change("anna", "1"));
  hub.Publish(Change("ben", "2"));
  hub.Publish(Change("anna", "3"));
  EXPECT_EQ(Read(&hub, "anna", &position), (std::vector<std::string>{"1", "3"}));
  EXPECT_EQ(Read(&hub, "anna", &position), std::vector<std::string>());
  hub.Publish(Change("anna", "4"));
  EXPECT_EQ(Read(&hub, "anna", &position), (std::vector<std::string>{"4"}));
}

TEST(WatchHubTest, WakesThoseWhomItConcerns) {
  WatchHub hub;
  int anna = 0;
  const uint64_t id = hub.Subscribe("anna", [&] { ++anna; });
  hub.Publish(Change("ben", "1"));
  EXPECT_EQ(anna, 0);
  hub.Publish(Change("anna", "1"));
  EXPECT_EQ(anna, 1);
  hub.Unsubscribe(id);
  hub.Publish(Change("anna", "1"));
  EXPECT_EQ(anna, 1);
}

TEST(WatchHubTest, WhoFallsBehindIsTold) {
  WatchHub hub(2);
  uint64_t slow = hub.head();
  for (const char* adapter : {"1", "2", "3"}) hub.Publish(Change("anna", adapter));
  EXPECT_FALSE(hub.Reaches("anna", slow));
  EXPECT_TRUE(
      IsError(hub.Next("anna", &slow), absl::StatusCode::kResourceExhausted, reasons::kSlowReader));
}

TEST(WatchHubTest, OthersEventsDoNotPushATenantOut) {
  WatchHub hub(2);
  uint64_t position = hub.head();
  for (int i = 0; i < 10; ++i) hub.Publish(Change("ben", "x"));
  hub.Publish(Change("anna", "1"));
  EXPECT_EQ(Read(&hub, "anna", &position), (std::vector<std::string>{"1"}));
}

TEST(WatchHubTest, KnowsHowFarBackItReaches) {
  WatchHub hub(2);
  EXPECT_TRUE(hub.Reaches("anna", 0));
  EXPECT_FALSE(hub.Reaches("anna", 1));  // of a later time than now
  for (const char* adapter : {"1", "2", "3"}) hub.Publish(Change("anna", adapter));
  EXPECT_FALSE(hub.Reaches("anna", 0));
  EXPECT_TRUE(hub.Reaches("anna", 1));
  EXPECT_TRUE(hub.Reaches("ben", 0));
}

TEST(WatchHubTest, ClosingWakesEveryoneAndIsTheLastWord) {
  WatchHub hub;
  uint64_t position = 0;
  int woken = 0;
  hub.Subscribe("anna", [&] { ++woken; });
  hub.Close();
  EXPECT_EQ(woken, 1);
  EXPECT_TRUE(
      IsError(hub.Next("anna", &position), absl::StatusCode::kUnavailable, reasons::kDraining));
}

TEST(WatchHubTest, ManyPublishersLoseNothing) {
  WatchHub hub;
  uint64_t position = hub.head();
  std::atomic<int> wakes = 0;
  hub.Subscribe("anna", [&] { ++wakes; });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&hub] {
      for (int i = 0; i < 100; ++i) hub.Publish(Change("anna", "x"));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Read(&hub, "anna", &position).size(), 400U);
  EXPECT_EQ(wakes, 400);
}

}  // namespace
}  // namespace lamella
