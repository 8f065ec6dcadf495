// What administrators and tenants' limits do to residency: pins, floors, ceilings, retirement, and
// who hears of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/base/reasons.h"
#include "tests/lora/adapter_manager_fixture.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

absl::Status Deleted() {
  return MakeError(absl::StatusCode::kNotFound, reasons::kAdapterNotFound, "adapter_id", "deleted");
}

AdapterRef Foreign(AdapterRef ref) {
  ref.tenant = "other";
  return ref;
}

class AdapterManagerAdminTest : public AdapterManagerTest {
 protected:
  // As the store does it: first it is gone, then others hear of it.
  void Delete(const AdapterRef& ref) {
    loader_.Withdraw(ref, Deleted());
    manager_->Retire(ref, Deleted());
  }
  void UploadAgain(const AdapterRef& ref) { loader_.Withdraw(ref, absl::OkStatus()); }

  // Names and where they went, from now on.
  void Listen() {
    manager_->SetResidencyListener([this](const AdapterRef& ref, Residency residency) {
      (void)manager_->stats();  // would never return if it were called under the lock
      heard_.emplace_back(ref.name, residency);
    });
  }

  std::vector<std::pair<std::string, Residency>> heard_;
};

TEST_F(AdapterManagerAdminTest, AnAdminPinLoadsAndKeeps) {
  Restart(2);
  EXPECT_EQ(manager_->PinByAdmin(kA), absl::OkStatus());
  RunLoads();
  EXPECT_TRUE(manager_->IsResident(kA));
  (void)LoadAndPin(kB);
  (void)LoadAndPin(kC);
  clock_.Advance(absl::Hours(1));
  (void)LoadAndPin(kB);
  EXPECT_TRUE(manager_->IsResident(kA)) << "the coldest by far";
  EXPECT_EQ(manager_->stats().admin_pinned_bytes, loader_.Bytes(4));
}

TEST_F(AdapterManagerAdminTest, AnAdminPinHoldsWhatIsThereAlready) {
  Restart(2);
  (void)LoadAndPin(kA);
  EXPECT_EQ(manager_->PinByAdmin(kA), absl::OkStatus());
  EXPECT_FALSE(manager_->Step()) << "nothing to load";
  (void)LoadAndPin(kB);
  (void)LoadAndPin(kC);
  EXPECT_TRUE(manager_->IsResident(kA));
}

TEST_F(AdapterManagerAdminTest, UnpinnedItIsAVictimAgain) {
  Restart(2);
  EXPECT_EQ(manager_->PinByAdmin(kA), absl::OkStatus());
  RunLoads();
  EXPECT_TRUE(manager_->UnpinByAdmin(kA));
  EXPECT_FALSE(manager_->UnpinByAdmin(kA));
  EXPECT_EQ(manager_->stats().admin_pinned_bytes, 0U);
  EXPECT_TRUE(manager_->IsResident(kA));
  (void)LoadAndPin(kB);
  (void)LoadAndPin(kC);
  EXPECT_FALSE(manager_->IsResident(kA));
}

TEST_F(AdapterManagerAdminTest, WhoWaitsForRoomHearsOfAnUnpin) {
  Restart(1, {.admin_pin_share = 1});
  EXPECT_EQ(manager_->PinByAdmin(kA), absl::OkStatus());
  RunLoads();
  Request(kB);
  RunLoads();
  EXPECT_EQ(WhyNot(kB), reasons::kAdapterCacheFull);
  manager_->UnpinByAdmin(kA);
  RunLoads();
  EXPECT_EQ(WhyNot(kB), "pinned");
}

TEST_F(AdapterManagerAdminTest, AdminPinsTakeABoundedShare) {
  Restart(4, {.admin_pin_share = 0.5});
  EXPECT_EQ(manager_->PinByAdmin(kA), absl::OkStatus());
  EXPECT_EQ(manager_->PinByAdmin(kB), absl::OkStatus());
  EXPECT_EQ(manager_->PinByAdmin(kB), absl::OkStatus()) << "counted once";
  const absl::Status refused = manager_->PinByAdmin(kC);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(refused), reasons::kPinLimit);
  EXPECT_TRUE(manager_->UnpinByAdmin(kA));
  EXPECT_EQ(manager_->PinByAdmin(kC), absl::OkStatus());
}

TEST_F(AdapterManagerAdminTest, AVersionThatIsNotThereIsNotPinned) {
  loader_.Withdraw(kA, Deleted());
  EXPECT_EQ(manager_->PinByAdmin(kA), Deleted());
  EXPECT_EQ(manager_->stats().admin_pinned_bytes, 0U);
}

TEST_F(AdapterManagerAdminTest, AnAdminPinHoldsOnceALaterLoadSucceeds) {
  Restart(2);
  loader_.FailLoads(kA, absl::InternalError("disk"));
  EXPECT_EQ(manager_->PinByAdmin(kA), absl::OkStatus());
  RunLoads();
  loader_.FailLoads(kA, absl::OkStatus());
  clock_.Advance(absl::Seconds(1));
  (void)LoadAndPin(kA);
  (void)LoadAndPin(kB);
  (void)LoadAndPin(kC);
  EXPECT_TRUE(manager_->IsResident(kA));
}

TEST_F(AdapterManagerAdminTest, ADropLeavesWhatAnAdminPinned) {
  EXPECT_EQ(manager_->PinByAdmin(kA), absl::OkStatus());
  RunLoads();
  manager_->Drop(kA);
  EXPECT_TRUE(manager_->IsResident(kA));
}

TEST_F(AdapterManagerAdminTest, StopLetsGoOfAdminPins) {
  EXPECT_EQ(manager_->PinByAdmin(kA), absl::OkStatus());
  RunLoads();
  manager_->Stop();
  EXPECT_EQ(manager_->stats().cache.pinned_bytes, 0U);
  EXPECT_EQ(manager_->PinByAdmin(kB).code(), absl::StatusCode::kUnavailable);
}

TEST_F(AdapterManagerAdminTest, RetirementEndsResidencyAndPins) {
  EXPECT_EQ(manager_->PinByAdmin(kA), absl::OkStatus());
  RunLoads();
  AdapterPin pin = Pin(kA);
  Delete(kA);
  EXPECT_FALSE(manager_->IsResident(kA));
  EXPECT_EQ(pin.weights()->ref(), kA) << "who uses it finishes";
  EXPECT_EQ(manager_->stats().admin_pinned_bytes, 0U);
  pin = AdapterPin();
  EXPECT_EQ(manager_->stats().cache.resident_bytes, 0U);
}

TEST_F(AdapterManagerAdminTest, RetirementSettlesThoseWhoWait) {
  Restart(1);
  const AdapterPin pin = LoadAndPin(kA);
  Request(kB);
  RunLoads();
  Request(kC);
  settled_ = 0;
  Delete(kB);
  EXPECT_EQ(settled_, 1) << "it waited for room";
  Delete(kC);
  EXPECT_EQ(settled_, 2) << "it was queued";
  EXPECT_EQ(manager_->TryPin(kB).status(), Deleted());
  EXPECT_EQ(manager_->TryPin(kC).status(), Deleted());
  EXPECT_FALSE(manager_->Step());
}

TEST_F(AdapterManagerAdminTest, RetiredWhileItIsReadItIsNeverResident) {
  loader_.OnNextLoad([&] { Delete(kA); });
  Request(kA);
  RunLoads();
  EXPECT_EQ(settled_, 1);
  EXPECT_EQ(manager_->TryPin(kA).status(), Deleted());
  EXPECT_EQ(manager_->stats().cache.resident_bytes, 0U);
}

TEST_F(AdapterManagerAdminTest, RetiredWhileItFindsNoRoomItSettles) {
  Restart(1);
  const AdapterPin pin = LoadAndPin(kA);
  bool deleted = false;
  loader_.OnResidentBytes([&] {
    if (!std::exchange(deleted, true)) Delete(kB);
  });
  Request(kB);
  RunLoads();
  EXPECT_EQ(settled_, 2);
  EXPECT_EQ(manager_->TryPin(kB).status(), Deleted());
}

// Deleted and uploaded again while the first load was under way.
TEST_F(AdapterManagerAdminTest, RetiredThenAskedForAnewItLoadsAgain) {
  loader_.OnNextLoad([&] {
    Delete(kA);
    UploadAgain(kA);
    Request(kA);
  });
  Request(kA);
  RunLoads();
  EXPECT_EQ(settled_, 2);
  EXPECT_EQ(loader_.started(), 2);
  EXPECT_EQ(Pin(kA).ref(), kA);
}

// One of two names was deleted: the loader still knows the version.
TEST_F(AdapterManagerAdminTest, WhatTheTenantStillHasIsNotRetired) {
  (void)LoadAndPin(kA);
  Request(kB);
  manager_->Retire(kA, Deleted());
  manager_->Retire(kB, Deleted());
  EXPECT_TRUE(manager_->IsResident(kA));
  RunLoads();
  EXPECT_EQ(Pin(kB).ref(), kB);
}

TEST_F(AdapterManagerAdminTest, TheCatalogueIsAskedAgainAtOnce) {
  loader_.Withdraw(kA, Deleted());
  Request(kA);
  RunLoads();
  EXPECT_EQ(manager_->TryPin(kA).status(), Deleted());
  UploadAgain(kA);
  EXPECT_EQ(LoadAndPin(kA).ref(), kA) << "no backoff: it costs nothing to ask";
  Delete(kA);
  UploadAgain(kA);
  EXPECT_EQ(LoadAndPin(kA).ref(), kA) << "uploaded again";
}

TEST_F(AdapterManagerAdminTest, ATenantsFloorIsKeptFromOthers) {
  Restart(2);
  EXPECT_EQ(manager_->SetTenantLimits({{"default", {.floor_bytes = loader_.Bytes(4)}}}),
            absl::OkStatus());
  (void)LoadAndPin(kA);
  (void)LoadAndPin(Foreign(kB));
  (void)LoadAndPin(Foreign(kC));
  EXPECT_TRUE(manager_->IsResident(kA));
  EXPECT_FALSE(manager_->IsResident(Foreign(kB)));
  EXPECT_EQ(manager_->ResidentBytes("default"), static_cast<int64_t>(loader_.Bytes(4)));
  EXPECT_EQ(manager_->ResidentBytes("nobody"), 0);
}

TEST_F(AdapterManagerAdminTest, ATenantsCeilingIsItsOwnAffair) {
  Restart(3);
  EXPECT_EQ(manager_->SetTenantLimits({{"default", {.ceiling_bytes = loader_.Bytes(4)}}}),
            absl::OkStatus());
  (void)LoadAndPin(Foreign(kA));
  AdapterPin pin = LoadAndPin(kA);
  Request(kB);
  RunLoads();
  EXPECT_EQ(WhyNot(kB), reasons::kAdapterCacheFull) << "though the cache has room";
  pin = AdapterPin();
  RunLoads();
  EXPECT_EQ(WhyNot(kB), "pinned");
  EXPECT_FALSE(manager_->IsResident(kA));
  EXPECT_TRUE(manager_->IsResident(Foreign(kA)));
}

TEST_F(AdapterManagerAdminTest, ARaisedCeilingLetsWaitingLoadsIn) {
  Restart(3, {.tenant_limits = {.ceiling_bytes = loader_.Bytes(4)}});
  const AdapterPin pin = LoadAndPin(kA);
  Request(kB);
  RunLoads();
  EXPECT_EQ(WhyNot(kB), reasons::kAdapterCacheFull);
  EXPECT_EQ(manager_->SetTenantLimits({{"default", {}}}), absl::OkStatus());
  RunLoads();
  EXPECT_EQ(WhyNot(kB), "pinned");
}

TEST_F(AdapterManagerAdminTest, FloorsMustFitTogetherOrNoneIsTaken) {
  Restart(3);
  const size_t one = loader_.Bytes(4);
  const absl::Status refused = manager_->SetTenantLimits(
      {{"default", {.floor_bytes = 2 * one}}, {"u", {.floor_bytes = 2 * one}}});
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorField(refused), "u");
  (void)LoadAndPin(kA);
  for (const AdapterRef& ref : {kA, kB, kC}) (void)LoadAndPin(Foreign(ref));
  EXPECT_FALSE(manager_->IsResident(kA)) << "no floor of the refused set";
  EXPECT_TRUE(testing::IsOk(
      manager_->SetTenantLimits({{"t", {.floor_bytes = one}}, {"u", {.floor_bytes = 2 * one}}})));
  EXPECT_FALSE(
      manager_->SetTenantLimits({{"t", {.floor_bytes = one, .ceiling_bytes = one - 1}}}).ok());
}

TEST_F(AdapterManagerAdminTest, WhoIsNotNamedAnyMoreHasTheDefaultsAgain) {
  Restart(2);
  ASSERT_TRUE(
      testing::IsOk(manager_->SetTenantLimits({{"default", {.floor_bytes = loader_.Bytes(4)}}})));
  ASSERT_TRUE(testing::IsOk(manager_->SetTenantLimits({{"t", {.floor_bytes = loader_.Bytes(4)}}})));
  (void)LoadAndPin(kA);
  (void)LoadAndPin(Foreign(kB));
  (void)LoadAndPin(Foreign(kC));
  EXPECT_FALSE(manager_->IsResident(kA));
}

TEST_F(AdapterManagerAdminTest, WatchersHearOfEveryChange) {
  Restart(1);
  Listen();
  (void)LoadAndPin(kA);
  EXPECT_THAT(heard_, ElementsAre(Pair("a", Residency::kHost)));
  heard_.clear();
  (void)LoadAndPin(kB);
  EXPECT_THAT(heard_, ElementsAre(Pair("a", Residency::kDisk), Pair("b", Residency::kHost)));
  heard_.clear();
  manager_->Drop(kB);
  manager_->Drop(kB);
  EXPECT_THAT(heard_, ElementsAre(Pair("b", Residency::kDisk)));
  EXPECT_EQ(manager_->ResidencyOf(kB), Residency::kDisk);
}

// A listener that changes residency itself is told of it in turn, not inside its own call.
TEST_F(AdapterManagerAdminTest, WatchersAreToldOneChangeAtATime) {
  int depth = 0;
  manager_->SetResidencyListener([&](const AdapterRef& ref, Residency residency) {
    EXPECT_EQ(++depth, 1);
    heard_.emplace_back(ref.name, residency);
    if (residency == Residency::kHost) manager_->Drop(ref);
    --depth;
  });
  Request(kA);
  RunLoads();
  EXPECT_THAT(heard_, ElementsAre(Pair("a", Residency::kHost), Pair("a", Residency::kDisk)));
}

TEST_F(AdapterManagerAdminTest, PackedBytesAreCountedAsLongAsTheyLive) {
  AdapterPin pin = LoadAndPin(kA);
  const size_t packed = pin.weights()->packed_bytes();
  EXPECT_EQ(manager_->stats().packed_bytes, packed);
  manager_->Drop(kA);
  EXPECT_EQ(manager_->stats().packed_bytes, packed);
  pin = AdapterPin();
  EXPECT_EQ(manager_->stats().packed_bytes, 0U);
}

}  // namespace
}  // namespace lamella
