#include "server/lora/adapter_manager.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "tests/lora/adapter_manager_fixture.h"

namespace lamella {
namespace {

// Does something at the next look at the clock.
class TrapClock final : public Clock {
 public:
  absl::Time Now() const override {
    if (auto trap = std::exchange(trap_, nullptr)) trap();
    return absl::FromUnixSeconds(1'700'000'000);
  }
  void Set(std::function<void()> trap) { trap_ = std::move(trap); }

 private:
  mutable std::function<void()> trap_;
};

TEST_F(AdapterManagerTest, ARequestedLoadBecomesAPin) {
  EXPECT_EQ(WhyNot(kA), reasons::kAdapterLoading);
  Request(kA);
  EXPECT_EQ(settled_, 0);
  EXPECT_EQ(manager_->TryPin(kA).status().code(), absl::StatusCode::kUnavailable);
  RunLoads();
  EXPECT_EQ(settled_, 1);
  const AdapterPin pin = Pin(kA);
  EXPECT_EQ(pin.ref(), kA);
  EXPECT_EQ(pin.weights()->ref(), kA);
  EXPECT_EQ(*static_cast<const float*>(pin.weights()->module(0, ModuleKind::kQ).a), 'a');
}

TEST_F(AdapterManagerTest, ALoadRestsAfterEachSlice) {
  std::vector<absl::Duration> rests;
  AdapterManagerOptions options;
  options.slices = {.slice = absl::Milliseconds(1),
                    .rest = absl::Milliseconds(20),
                    .sleep = [&](absl::Duration rest) { rests.push_back(rest); }};
  Restart(10, options);
  loader_.OnNextLoad([&] {
    TimeSlices::Rest();
    clock_.Advance(absl::Milliseconds(1));
    TimeSlices::Rest();
  });
  const AdapterPin pin = LoadAndPin(kA);
  EXPECT_EQ(rests, std::vector<absl::Duration>{absl::Milliseconds(20)});
  clock_.Advance(absl::Milliseconds(5));
  TimeSlices::Rest();
  EXPECT_EQ(rests.size(), 1U) << "the load is over";
}

TEST_F(AdapterManagerTest, LoadsRestLessWhereMoreAreWantedAndNotWhereNobodyIsServed) {
  std::vector<absl::Duration> rests;
  std::atomic<bool> busy = true;
  AdapterManagerOptions options;
  options.slices = {.slice = absl::Milliseconds(1),
                    .rest = absl::Milliseconds(20),
                    .busy = &busy,
                    .sleep = [&](absl::Duration rest) { rests.push_back(rest); }};
  Restart(10, options);
  const auto a_slice = [&] {
    clock_.Advance(absl::Milliseconds(1));
    TimeSlices::Rest();
  };
  for (const AdapterRef& ref : {kA, kB}) Request(ref);
  loader_.OnNextLoad(a_slice);
  RunLoads();
  EXPECT_EQ(rests, std::vector<absl::Duration>{absl::Milliseconds(10)});
  busy = false;
  Request(kC);
  loader_.OnNextLoad(a_slice);
  RunLoads();
  EXPECT_EQ(rests.size(), 1U);
}

TEST_F(AdapterManagerTest, TheFirstUseOfALoadTellsItsBytesOnce) {
  Request(kA);
  RunLoads();
  const AdapterPin first = Pin(kA);
  EXPECT_EQ(first.loaded_bytes(), static_cast<int64_t>(first.weights()->packed_bytes()));
  EXPECT_EQ(Pin(kA).loaded_bytes(), 0);
}

TEST_F(AdapterManagerTest, AQuestionStartsNothing) {
  EXPECT_EQ(WhyNot(kA), reasons::kAdapterLoading);
  EXPECT_FALSE(manager_->IsResident(kA));
  EXPECT_FALSE(manager_->Step());
  EXPECT_EQ(loader_.started(), 0);
}

TEST_F(AdapterManagerTest, AllCallersOfOneVersionShareOneLoad) {
  Request(kA);
  Request(kA);
  Request(kA);
  RunLoads();
  EXPECT_EQ(loader_.started(), 1);
  EXPECT_EQ(settled_, 3);
}

TEST_F(AdapterManagerTest, WhatIsResidentSettlesAtOnce) {
  const AdapterPin pin = LoadAndPin(kA);
  Request(kA);
  EXPECT_EQ(settled_, 2);
  EXPECT_EQ(loader_.started(), 1);
}

TEST_F(AdapterManagerTest, TenantsShareNoBytes) {
  const AdapterPin pin = LoadAndPin(kA);
  AdapterRef foreign = kA;
  foreign.tenant = "other";
  EXPECT_EQ(WhyNot(foreign), reasons::kAdapterLoading);
}

TEST_F(AdapterManagerTest, APinAnswersWithTheRefThatWasAskedFor) {
  const AdapterPin pin = LoadAndPin(kA);
  AdapterRef renamed = kA;
  renamed.name = "same-version-other-name";
  EXPECT_EQ(Pin(renamed).ref(), renamed);
}

TEST_F(AdapterManagerTest, PinsOutliveEviction) {
  Restart(1);
  AdapterPin pin = LoadAndPin(kA);
  Request(kB);
  RunLoads();
  EXPECT_EQ(settled_, 1) << "b waits for room";
  EXPECT_EQ(pin.weights()->ref(), kA);
  EXPECT_EQ(*static_cast<const float*>(pin.weights()->module(0, ModuleKind::kQ).a), 'a');
}

TEST_F(AdapterManagerTest, RefusesWhenPinsFillTheCache) {
  Restart(1);
  const AdapterPin pin = LoadAndPin(kA);
  Request(kB);
  RunLoads();
  const auto refused = manager_->TryPin(kB);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(refused.status()), reasons::kAdapterCacheFull);
  EXPECT_EQ(manager_->stats().waiting_for_room, 1U);
  EXPECT_EQ(loader_.started(), 1) << "room comes before the first byte is read";
}

TEST_F(AdapterManagerTest, AWaitingLoadGoesOnWhenAPinDies) {
  Restart(1);
  AdapterPin pin = LoadAndPin(kA);
  Request(kB);
  RunLoads();
  pin = AdapterPin();
  RunLoads();
  EXPECT_EQ(settled_, 2);
  EXPECT_EQ(Pin(kB).ref(), kB);
  EXPECT_FALSE(manager_->IsResident(kA));
}

// The wake-up must not be lost that comes between the refusal and the waiting: a loader looks at
// the clock there, and nowhere else between asking for room and reading.
TEST(AdapterManagerRaceTest, RoomThatAppearsAfterTheRefusalIsSeen) {
  FakeAdapterLoader loader;
  TrapClock clock;
  AdapterManagerOptions options;
  options.capacity_bytes = loader.Bytes(4);
  options.loader_threads = 0;
  const auto manager = *AdapterManager::Create(options, &loader, &clock);
  manager->RequestLoad(kA, [] {});
  EXPECT_TRUE(manager->Step());
  AdapterPin pin = *manager->TryPin(kA);

  bool trapped = false;
  loader.OnResidentBytes([&] {
    if (!pin) return;
    clock.Set([&] {
      trapped = true;
      pin = AdapterPin();
    });
  });
  manager->RequestLoad(kB, [] {});
  EXPECT_TRUE(manager->Step());
  EXPECT_TRUE(trapped);
  EXPECT_EQ(manager->stats().waiting_for_room, 0U) << "it was refused, but room came meanwhile";
  EXPECT_TRUE(manager->Step());
  EXPECT_TRUE(manager->IsResident(kB));
}

// A wake-up that brings too little room is followed by the next one.
TEST_F(AdapterManagerTest, RoomIsTriedEachTimeThatItGrows) {
  Restart(2);
  AdapterPin pin = LoadAndPin(kA);
  loader_.SetRank(kB, 8);
  Request(kB);
  RunLoads();
  EXPECT_EQ(manager_->stats().waiting_for_room, 1U);
  manager_->RequestLoad(kC, [&] { pin = AdapterPin(); });
  RunLoads();
  EXPECT_EQ(WhyNot(kB), reasons::kAdapterCacheFull) << "c is kept for those who asked for it";
  (void)Pin(kC);
  RunLoads();
  EXPECT_EQ(WhyNot(kB), "pinned");
}

TEST_F(AdapterManagerTest, TheLongestWaitingIsTriedFirst) {
  Restart(1);
  AdapterPin pin = LoadAndPin(kA);
  Request(kB);
  Request(kC);
  RunLoads();
  pin = AdapterPin();
  RunLoads();
  EXPECT_TRUE(manager_->IsResident(kB));
  EXPECT_EQ(WhyNot(kC), reasons::kAdapterCacheFull);
}

TEST_F(AdapterManagerTest, AFinishedLoadIsKeptForItsFirstUse) {
  Restart(1);
  Request(kA);
  RunLoads();
  Request(kB);
  RunLoads();
  EXPECT_TRUE(manager_->IsResident(kA)) << "nobody used it yet";
  (void)Pin(kA);
  RunLoads();
  EXPECT_TRUE(manager_->IsResident(kB));
}

TEST_F(AdapterManagerTest, TheFirstUseIsNotWaitedForForever) {
  Restart(1);
  Request(kA);
  RunLoads();
  Request(kB);
  RunLoads();
  clock_.Advance(AdapterManagerOptions().first_use_timeout);
  RunLoads();
  EXPECT_FALSE(manager_->IsResident(kA));
  EXPECT_TRUE(manager_->IsResident(kB));
}

TEST_F(AdapterManagerTest, EvictsLeastRecentlyUsed) {
  Restart(2);
  (void)LoadAndPin(kA);
  (void)LoadAndPin(kB);
  (void)Pin(kA);
  (void)LoadAndPin(kC);
  EXPECT_TRUE(manager_->IsResident(kA));
  EXPECT_FALSE(manager_->IsResident(kB));
}

TEST_F(AdapterManagerTest, WhatWasReservedTooMuchIsGivenBack) {
  loader_.MisjudgeBytes(100);
  const AdapterPin pin = LoadAndPin(kA);
  EXPECT_EQ(manager_->stats().cache.resident_bytes, pin.weights()->bytes());
  EXPECT_EQ(manager_->stats().cache.reserved_bytes, 0U);
}

TEST_F(AdapterManagerTest, MoreThanWasReservedIsRefused) {
  loader_.MisjudgeBytes(-1);
  Request(kA);
  RunLoads();
  EXPECT_EQ(manager_->TryPin(kA).status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(manager_->stats().cache.resident_bytes, 0U);
}

TEST_F(AdapterManagerTest, ADroppedVersionDrains) {
  AdapterPin pin = LoadAndPin(kA);
  manager_->Drop(kA);
  EXPECT_EQ(WhyNot(kA), reasons::kAdapterLoading);
  EXPECT_EQ(pin.weights()->ref(), kA);
  EXPECT_GT(manager_->stats().cache.resident_bytes, 0U);
  pin = AdapterPin();
  EXPECT_EQ(manager_->stats().cache.resident_bytes, 0U);
}

TEST_F(AdapterManagerTest, ADroppedVersionLoadsAnewBesideItsPins) {
  const AdapterPin old = LoadAndPin(kA);
  manager_->Drop(kA);
  const AdapterPin fresh = LoadAndPin(kA);
  EXPECT_NE(old.weights(), fresh.weights());
}

TEST_F(AdapterManagerTest, ADroppedVersionIsNotKeptForItsFirstUse) {
  Request(kA);
  RunLoads();
  manager_->Drop(kA);
  EXPECT_EQ(manager_->stats().cache.resident_bytes, 0U);
}

TEST_F(AdapterManagerTest, CallbacksRunOutsideTheLock) {
  std::optional<AdapterPin> pin;
  manager_->RequestLoad(kA, [&] {
    pin = Pin(kA);
    Request(kB);
    (void)manager_->stats();
  });
  RunLoads();
  EXPECT_TRUE(pin.has_value());
  EXPECT_EQ(Pin(kB).ref(), kB);
}

TEST_F(AdapterManagerTest, StopSettlesWhatWaits) {
  Restart(1);
  const AdapterPin pin = LoadAndPin(kA);
  Request(kB);
  RunLoads();
  Request(kC);
  manager_->Stop();
  EXPECT_EQ(settled_, 3);
  EXPECT_EQ(WhyNot(kC), reasons::kAdapterLoading);
  Request(kC);
  EXPECT_EQ(settled_, 4) << "nothing is started any more";
  EXPECT_FALSE(manager_->Step());
  EXPECT_EQ(Pin(kA).ref(), kA) << "pins stay good";
  manager_->Stop();
}

TEST_F(AdapterManagerTest, OptionsAreValidated) {
  AdapterManagerOptions options;
  options.loader_threads = 17;
  const auto manager = AdapterManager::Create(options, &loader_, &clock_);
  EXPECT_EQ(manager.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(manager.status()), reasons::kInvalidFlag);
  EXPECT_EQ(ErrorField(manager.status()), "loader_threads");
  EXPECT_EQ(manager.status().message(), "loader_threads must be in [0, 16], not 17");
  options = {.capacity_bytes = 0};
  EXPECT_EQ(ErrorField(options.Validate()), "capacity_bytes");
  options = {.first_use_timeout = absl::ZeroDuration()};
  EXPECT_EQ(ErrorField(options.Validate()), "first_use_timeout");
}

}  // namespace
}  // namespace lamella
