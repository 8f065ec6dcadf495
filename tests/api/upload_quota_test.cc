#include "server/api/upload_quota.h"

#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsError;
using testing::IsOk;

class UploadQuotaTest : public ::testing::Test {
 protected:
  // 22:00 of some day in UTC.
  const absl::Time now_ = absl::FromUnixSeconds(20'000 * 86'400 + 22 * 3'600);
  UploadQuota quota_;
};

TEST_F(UploadQuotaTest, ADaysBytesAreTheTenantsOwnAndEndAtMidnight) {
  EXPECT_TRUE(IsOk(quota_.Charge("anna", 60, 100, now_)));
  const absl::Status refused = quota_.Charge("anna", 41, 100, now_);
  EXPECT_TRUE(IsError(refused, absl::StatusCode::kResourceExhausted, reasons::kQuotaExceeded));
  EXPECT_EQ(ErrorRetryAfter(refused), absl::Hours(2));
  EXPECT_TRUE(IsOk(quota_.Charge("anna", 40, 100, now_)));
  EXPECT_TRUE(IsOk(quota_.Charge("ben", 100, 100, now_)));
  EXPECT_EQ(quota_.UsedToday("anna", now_), 100);
  EXPECT_TRUE(IsOk(quota_.Charge("anna", 100, 100, now_ + absl::Hours(2))));
  EXPECT_EQ(quota_.UsedToday("ben", now_ + absl::Hours(2)), 0);
  EXPECT_EQ(quota_.AllUsedToday(now_ + absl::Hours(2)),
            (std::map<std::string, int64_t, std::less<>>{{"anna", 100}}));
}

TEST_F(UploadQuotaTest, WhatDidNotComeIsGivenBackOnTheSameDay) {
  EXPECT_TRUE(IsOk(quota_.Charge("anna", 60, 100, now_)));
  quota_.GiveBack("anna", 50, now_);
  EXPECT_EQ(quota_.UsedToday("anna", now_), 10);
  EXPECT_TRUE(IsOk(quota_.Charge("anna", 90, 100, now_)));
  const absl::Time tomorrow = now_ + absl::Hours(3);
  EXPECT_TRUE(IsOk(quota_.Charge("anna", 100, 100, tomorrow)));
  quota_.GiveBack("anna", 90, now_);
  EXPECT_EQ(quota_.UsedToday("anna", tomorrow), 100);
}

TEST_F(UploadQuotaTest, WithoutALimitItOnlyCounts) {
  EXPECT_TRUE(IsOk(quota_.Charge("anna", int64_t{1} << 50, 0, now_)));
  EXPECT_EQ(quota_.UsedToday("anna", now_), int64_t{1} << 50);
  EXPECT_EQ(quota_.UsedToday("nobody", now_), 0);
}

}  // namespace
}  // namespace lamella
