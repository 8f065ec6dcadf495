#include "server/cache/pinned_lru.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace lamella {
namespace {

// Runs a function when the last owner lets go: shows when and how a value dies.
using Value = std::shared_ptr<void>;
Value OnDeath(std::function<void()> fn) {
  return Value(nullptr, [fn = std::move(fn)](void*) { fn(); });
}

class PinnedLruTest : public ::testing::Test {
 protected:
  using Cache = PinnedLru<std::string, Value>;

  Cache::Pin Put(
      const std::string& key, size_t bytes, std::function<void()> on_death = [] {}) {
    auto reservation = cache_.Reserve(key, bytes);
    EXPECT_TRUE(reservation.ok()) << reservation.status();
    return cache_.Commit(*std::move(reservation), OnDeath(std::move(on_death)));
  }
  bool Fits(const std::string& key, size_t bytes) { return cache_.Reserve(key, bytes).ok(); }

  Cache cache_{100};
};

TEST_F(PinnedLruTest, EntriesArePinned) {
  bool dead = false;
  auto pin = Put("a", 60, [&] { dead = true; });
  EXPECT_FALSE(Fits("b", 60));
  EXPECT_FALSE(dead);
  pin.Reset();
  EXPECT_TRUE(Fits("b", 60));
  EXPECT_TRUE(dead);
}

TEST_F(PinnedLruTest, EveryPinCounts) {
  auto first = Put("a", 60);
  auto second = cache_.Lookup("a");
  first.Reset();
  EXPECT_FALSE(Fits("b", 60));
  second.reset();
  EXPECT_TRUE(Fits("b", 60));
}

TEST_F(PinnedLruTest, RefusesWhenPinsFillIt) {
  auto pin = Put("a", 60);
  const auto refused = cache_.Reserve("b", 41);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(refused.status()), reasons::kAdapterCacheFull);
  EXPECT_EQ(refused.status().message(),
            "41 bytes do not fit now: 60 of the cache's 100 are in use");
  EXPECT_TRUE(Fits("b", 40));
}

TEST_F(PinnedLruTest, WhatCanNeverFitIsToldApart) {
  const auto refused = cache_.Reserve("a", 101);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(refused.status()), reasons::kCannotFit);
  EXPECT_TRUE(Fits("a", 100));
}

TEST_F(PinnedLruTest, ARefusalEvictsNothing) {
  Put("cold", 30);
  auto pin = Put("pinned", 50);
  EXPECT_FALSE(Fits("b", 60));
  EXPECT_TRUE(cache_.Contains("cold"));
}

TEST_F(PinnedLruTest, ReservationsCount) {
  auto reservation = cache_.Reserve("a", 70);
  ASSERT_TRUE(reservation.ok());
  EXPECT_EQ(cache_.stats().reserved_bytes, 70U);
  EXPECT_FALSE(Fits("b", 31));
  EXPECT_FALSE(cache_.Lookup("a").has_value());
  reservation->Reset();
  EXPECT_EQ(cache_.stats().reserved_bytes, 0U);
  EXPECT_TRUE(Fits("b", 100));
}

TEST_F(PinnedLruTest, AReservationShrinksToWhatWasNeeded) {
  auto reservation = cache_.Reserve("a", 70);
  reservation->Shrink(40);
  EXPECT_TRUE(Fits("b", 60));
  auto pin = cache_.Commit(*std::move(reservation), OnDeath([] {}));
  EXPECT_EQ(pin.bytes(), 40U);
  EXPECT_EQ(cache_.stats().resident_bytes, 40U);
  EXPECT_EQ(cache_.stats().reserved_bytes, 0U);
}

TEST_F(PinnedLruTest, OneKeyIsReservedOnce) {
  auto reservation = cache_.Reserve("a", 10);
  EXPECT_EQ(cache_.Reserve("a", 10).status().code(), absl::StatusCode::kAlreadyExists);
  auto pin = cache_.Commit(*std::move(reservation), OnDeath([] {}));
  EXPECT_EQ(cache_.Reserve("a", 10).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(PinnedLruTest, EvictsLeastRecentlyUsed) {
  Put("a", 40);
  Put("b", 40);
  EXPECT_TRUE(cache_.Lookup("a").has_value());
  Put("c", 40);
  EXPECT_TRUE(cache_.Contains("a"));
  EXPECT_FALSE(cache_.Contains("b"));
  EXPECT_EQ(cache_.stats().evictions, 1U);
}

TEST_F(PinnedLruTest, AQuestionIsNoUse) {
  Put("a", 40);
  Put("b", 40);
  EXPECT_TRUE(cache_.Contains("a"));
  Put("c", 40);
  EXPECT_FALSE(cache_.Contains("a"));
}

TEST_F(PinnedLruTest, EvictsNoMoreThanItMust) {
  Put("a", 30);
  Put("b", 30);
  Put("c", 30);
  Put("d", 35);
  EXPECT_FALSE(cache_.Contains("a"));
  EXPECT_TRUE(cache_.Contains("b"));
  EXPECT_TRUE(cache_.Contains("c"));
}

TEST_F(PinnedLruTest, VictimsAreFreedOutsideTheLock) {
  // The cache's lock is not recursive: a destructor that ran under it would never return.
  size_t seen_bytes = 0;
  Put("a", 80, [&] { seen_bytes = cache_.stats().resident_bytes + 1; });
  auto reservation = cache_.Reserve("b", 70);
  EXPECT_EQ(seen_bytes, 1U) << "freed before Reserve returned, and no longer charged";
}

TEST_F(PinnedLruTest, ErasedEntriesDrain) {
  bool dead = false;
  auto pin = Put("a", 60, [&] { dead = true; });
  EXPECT_TRUE(cache_.Erase("a"));
  EXPECT_FALSE(cache_.Erase("a"));
  EXPECT_FALSE(cache_.Lookup("a").has_value());
  EXPECT_FALSE(dead);
  EXPECT_EQ(cache_.stats().pinned_bytes, 60U);
  EXPECT_FALSE(Fits("a", 60)) << "its bytes are charged until it is gone";
  auto successor = Put("a", 40);
  EXPECT_NE(successor.generation(), pin.generation());
  pin.Reset();
  EXPECT_TRUE(dead);
  EXPECT_TRUE(cache_.Contains("a"));
  EXPECT_EQ(cache_.stats().resident_bytes, 40U);
}

TEST_F(PinnedLruTest, ErasedEvictableEntriesAreFreedAtOnce) {
  bool dead = false;
  Put("a", 60, [&] { dead = true; });
  EXPECT_TRUE(cache_.Erase("a"));
  EXPECT_TRUE(dead);
  EXPECT_EQ(cache_.stats().resident_bytes, 0U);
}

TEST_F(PinnedLruTest, GenerationsAreNeverReused) {
  const uint64_t first = Put("a", 60).generation();
  EXPECT_EQ(cache_.Lookup("a")->generation(), first);
  Put("b", 60);
  EXPECT_GT(Put("a", 60).generation(), first);
}

TEST_F(PinnedLruTest, BytesAndUsesAreObservable) {
  auto pin = Put("a", 20);
  Put("b", 30);
  (void)cache_.Lookup("b");
  (void)cache_.Lookup("c");
  const auto stats = cache_.stats();
  EXPECT_EQ(stats.capacity_bytes, 100U);
  EXPECT_EQ(stats.resident_bytes, 50U);
  EXPECT_EQ(stats.pinned_bytes, 20U);
  EXPECT_EQ(stats.entries, 2U);
  EXPECT_EQ(stats.hits, 1U);
  EXPECT_EQ(stats.misses, 1U);
}

TEST_F(PinnedLruTest, MovesCarryThePin) {
  auto a = Put("a", 10);
  auto b = Put("b", 20);
  b = std::move(a);
  EXPECT_EQ(cache_.stats().pinned_bytes, 10U);
  EXPECT_FALSE(static_cast<bool>(a));  // NOLINT(bugprone-use-after-move): moved-from holds nothing
}

// Three tenants share 100 bytes.
class PinnedLruGroupsTest : public ::testing::Test {
 protected:
  using Cache = PinnedLru<std::string, Value>;

  Cache::Pin Put(const std::string& group, const std::string& key, size_t bytes) {
    auto reservation = cache_.Reserve(key, bytes, group);
    EXPECT_TRUE(reservation.ok()) << reservation.status();
    return cache_.Commit(*std::move(reservation), OnDeath([] {}));
  }
  absl::Status Refusal(const std::string& group, size_t bytes) {
    return cache_.Reserve("x", bytes, group).status();
  }

  Cache cache_{100};
};

TEST_F(PinnedLruGroupsTest, AFloorIsNoVictimForOthers) {
  cache_.SetGroupLimits("t", {.floor_bytes = 40});
  Put("t", "t1", 20);
  Put("t", "t2", 20);
  Put("u", "u1", 60);
  Put("u", "u2", 60);
  EXPECT_TRUE(cache_.Contains("t1"));
  EXPECT_TRUE(cache_.Contains("t2"));
  EXPECT_FALSE(cache_.Contains("u1")) << "warmer, but the only one that may go";
  EXPECT_EQ(Refusal("u", 61).message(),
            "61 bytes do not fit now: 40 of the cache's 100 are in use");
}

TEST_F(PinnedLruGroupsTest, WhatPassesAFloorIsAVictim) {
  cache_.SetGroupLimits("t", {.floor_bytes = 40});
  Put("t", "t1", 30);
  Put("t", "t2", 40);
  Put("u", "u1", 60);
  EXPECT_FALSE(cache_.Contains("t1"));
  EXPECT_TRUE(cache_.Contains("t2"));
}

TEST_F(PinnedLruGroupsTest, AGroupReplacesItsOwnBelowItsFloor) {
  cache_.SetGroupLimits("t", {.floor_bytes = 100});
  Put("t", "t1", 60);
  Put("t", "t2", 60);
  EXPECT_FALSE(cache_.Contains("t1"));
}

TEST_F(PinnedLruGroupsTest, WhatDrainsIsNotKept) {
  cache_.SetGroupLimits("t", {.floor_bytes = 40});
  const auto pin = Put("t", "t1", 40);
  Put("t", "t2", 40);
  cache_.Erase("t1");
  EXPECT_EQ(Refusal("u", 60).code(), absl::StatusCode::kResourceExhausted) << "t2 is the floor now";
}

TEST_F(PinnedLruGroupsTest, ACeilingMakesItsOwnRoom) {
  cache_.SetGroupLimits("t", {.ceiling_bytes = 50});
  Put("u", "u1", 10);
  Put("t", "t1", 30);
  Put("t", "t2", 30);
  EXPECT_TRUE(cache_.Contains("u1")) << "colder, but not t's to take";
  EXPECT_FALSE(cache_.Contains("t1"));
  EXPECT_TRUE(cache_.Contains("t2"));
  EXPECT_EQ(cache_.stats().evictions, 1U);
}

TEST_F(PinnedLruGroupsTest, ACeilingRefusesWhenItsPinsFillIt) {
  cache_.SetGroupLimits("t", {.ceiling_bytes = 50});
  const auto pin = Put("t", "t1", 30);
  Put("t", "t2", 10);
  EXPECT_EQ(Refusal("t", 21).message(), "21 bytes do not fit now: 30 of the cache's 50 are in use");
  EXPECT_TRUE(cache_.Contains("t2")) << "a refusal evicts nothing";
  EXPECT_EQ(Refusal("t", 51).code(), absl::StatusCode::kInvalidArgument);
  Put("u", "u1", 51);
}

TEST_F(PinnedLruGroupsTest, BelowItsCeilingAGroupTakesWhatIsColdest) {
  cache_.SetGroupLimits("t", {.ceiling_bytes = 60});
  Put("t", "t1", 30);
  Put("u", "u1", 40);
  Put("t", "t2", 20);
  Put("t", "t3", 20);
  EXPECT_FALSE(cache_.Contains("t1")) << "for the ceiling";
  EXPECT_TRUE(cache_.Contains("u1"));
  Put("t", "t4", 20);
  EXPECT_TRUE(cache_.Contains("t2"));
  Put("v", "v1", 10);
  EXPECT_FALSE(cache_.Contains("u1")) << "the coldest of all";
  EXPECT_TRUE(cache_.Contains("t2"));
}

TEST_F(PinnedLruGroupsTest, AShrunkReservationCountsAsWhatItTakes) {
  cache_.SetGroupLimits("t", {.ceiling_bytes = 50});
  auto reservation = cache_.Reserve("t1", 50, "t");
  ASSERT_TRUE(reservation.ok());
  EXPECT_EQ(cache_.GroupBytes("t"), 50U);
  reservation->Shrink(30);
  EXPECT_EQ(cache_.GroupBytes("t"), 30U);
  EXPECT_EQ(cache_.GroupBytes("u"), 0U);
  EXPECT_TRUE(cache_.Reserve("t2", 20, "t").ok());
  reservation->Reset();
  EXPECT_EQ(cache_.GroupBytes("t"), 0U);
  EXPECT_TRUE(cache_.Reserve("t2", 50, "t").ok());
}

TEST(PinnedLruListenerTest, HearsOfEvictionsBeforeTheyAreDestroyed) {
  std::vector<std::string> heard;
  PinnedLru<int, std::string>* seen = nullptr;
  PinnedLru<int, std::string> cache(10, {}, [&](const std::string& value) {
    heard.push_back(value);
    EXPECT_EQ(seen->stats().entries, 0U) << "under no lock, and already out";
  });
  seen = &cache;
  const auto put = [&](int key, const char* value) {
    (void)cache.Commit(*cache.Reserve(key, 10), value);
  };
  put(1, "one");
  cache.Erase(1);
  EXPECT_TRUE(heard.empty());
  put(2, "two");
  auto reservation = cache.Reserve(3, 10);
  EXPECT_EQ(heard, std::vector<std::string>{"two"});
}

// A device tier over a host tier: evicting the upper value lets go of the lower one.
TEST_F(PinnedLruTest, ASecondTierPinsTheFirst) {
  PinnedLru<std::string, Cache::Pin> device(10);
  {
    auto reservation = device.Reserve("a", 10);
    (void)device.Commit(*std::move(reservation), Put("a", 60));
  }
  EXPECT_EQ(cache_.stats().pinned_bytes, 60U);
  auto reservation = device.Reserve("b", 10);
  EXPECT_EQ(cache_.stats().pinned_bytes, 0U);
}

TEST(PinnedLruDeathTest, APinMustNotOutliveItsCache) {
  using Cache = PinnedLru<int, int>;
  const auto leave_a_pin = [] {
    Cache::Pin pin;
    Cache cache(10);
    pin = cache.Commit(*cache.Reserve(1, 1), 1);
  };
  EXPECT_DEATH(leave_a_pin(), "");
}

TEST(PinnedLruStressTest, ThreadsSeeWholeValues) {
  PinnedLru<int, std::unique_ptr<std::pair<int, int>>> cache(40);
  std::atomic<int> wrong = 0;
  const auto work = [&](unsigned seed) {
    for (int i = 0; i < 4000; ++i) {
      seed = seed * 1664525U + 1013904223U;
      const int key = static_cast<int>((seed >> 16) % 12);
      auto pin = cache.Lookup(key);
      if (!pin.has_value()) {
        auto reservation = cache.Reserve(key, 10);
        if (!reservation.ok()) continue;
        pin =
            cache.Commit(*std::move(reservation), std::make_unique<std::pair<int, int>>(key, -key));
      }
      if ((**pin)->first != key || (**pin)->second != -key) ++wrong;
      if (i % 16 == 0) cache.Erase(key);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) threads.emplace_back(work, t + 1);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  const auto stats = cache.stats();
  EXPECT_EQ(stats.pinned_bytes, 0U);
  EXPECT_EQ(stats.reserved_bytes, 0U);
  EXPECT_LE(stats.resident_bytes, 40U);
}

}  // namespace
}  // namespace lamella
