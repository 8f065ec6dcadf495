// Loads that fail: remembered for a while, told to all, and nothing is held for them.
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "server/lora/adapter_manager.h"
#include "tests/lora/adapter_manager_fixture.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using AdapterManagerFailuresTest = AdapterManagerTest;

TEST_F(AdapterManagerFailuresTest, FailuresAreRememberedThenTriedAgain) {
  loader_.FailLoads(kA,
                    MakeError(absl::StatusCode::kDataLoss, reasons::kDigestMismatch, "", "bad"));
  Request(kA);
  RunLoads();
  EXPECT_EQ(settled_, 1);
  EXPECT_EQ(manager_->TryPin(kA).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(WhyNot(kA), reasons::kDigestMismatch);

  Request(kA);
  EXPECT_EQ(settled_, 2) << "answered from memory";
  EXPECT_FALSE(manager_->Step());

  loader_.FailLoads(kA, absl::OkStatus());
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(WhyNot(kA), reasons::kAdapterLoading);
  (void)LoadAndPin(kA);
  EXPECT_EQ(loader_.started(), 2);
}

TEST_F(AdapterManagerFailuresTest, BackoffDoublesUntilASuccess) {
  loader_.FailLoads(kA, absl::InternalError("bad"));
  const auto load = [&] {
    Request(kA);
    RunLoads();
    return loader_.started();
  };
  EXPECT_EQ(load(), 1);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(load(), 2);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(load(), 2);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(load(), 3);
  clock_.Advance(AdapterManagerOptions().max_failure_backoff);
  loader_.FailLoads(kA, absl::OkStatus());
  EXPECT_EQ(load(), 4);

  manager_->Drop(kA);
  loader_.FailLoads(kA, absl::InternalError("bad"));
  EXPECT_EQ(load(), 5);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(load(), 6) << "the count starts again";
}

TEST_F(AdapterManagerFailuresTest, AFailureIsNeverCalledLoadingOrFull) {
  for (const auto code : {absl::StatusCode::kUnavailable, absl::StatusCode::kResourceExhausted}) {
    Restart(1);
    loader_.FailLoads(kA, absl::Status(code, "disk"));
    Request(kA);
    RunLoads();
    EXPECT_EQ(manager_->TryPin(kA).status(),
              MakeError(absl::StatusCode::kInternal, reasons::kInternal, "", "disk"));
  }
}

TEST_F(AdapterManagerFailuresTest, AFailedLoadGivesItsRoomBack) {
  Restart(1);
  loader_.FailLoads(kA, absl::InternalError("bad"));
  Request(kA);
  Request(kB);
  RunLoads();
  EXPECT_EQ(Pin(kB).ref(), kB);
  EXPECT_EQ(manager_->stats().cache.reserved_bytes, 0U);
  EXPECT_EQ(manager_->stats().load_failures, 1U);
}

TEST_F(AdapterManagerFailuresTest, WhatCanNeverFitFails) {
  Restart(1);
  loader_.SetRank(kA, 8);
  Request(kA);
  RunLoads();
  EXPECT_EQ(settled_, 1);
  EXPECT_TRUE(testing::IsInvalid(manager_->TryPin(kA), reasons::kCannotFit, "adapter_id",
                                 "adapter \"" + kA.name + "\": "));
  EXPECT_EQ(loader_.started(), 0);
}

TEST_F(AdapterManagerFailuresTest, WhatIsAboveItsTenantsCeilingFails) {
  Restart(4);
  ASSERT_TRUE(testing::IsOk(
      manager_->SetTenantLimits({{kA.tenant, {.ceiling_bytes = loader_.Bytes(4) - 1}}})));
  Request(kA);
  RunLoads();
  EXPECT_EQ(settled_, 1);
  EXPECT_TRUE(testing::IsInvalid(manager_->TryPin(kA), reasons::kCannotFit, "adapter_id"));
}

}  // namespace
}  // namespace lamella
