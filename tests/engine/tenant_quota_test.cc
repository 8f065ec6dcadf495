#include "server/engine/tenant_quota.h"

#include <string>

#include "gtest/gtest.h"

namespace lamella {
namespace {

constexpr absl::Time kStart = absl::UnixEpoch();

TEST(TokenBucketTest, BeginsFullAndFillsAtItsRate) {
  TokenBucket bucket;
  bucket.SetRate(600, kStart);
  EXPECT_EQ(bucket.TimeUntil(600, kStart), absl::ZeroDuration());
  bucket.Take(600, kStart);
  EXPECT_EQ(bucket.TimeUntil(100, kStart), absl::Seconds(10));
  EXPECT_EQ(bucket.TimeUntil(100, kStart + absl::Seconds(10)), absl::ZeroDuration());
  EXPECT_FALSE(bucket.full(kStart + absl::Seconds(59)));
  EXPECT_TRUE(bucket.full(kStart + absl::Minutes(1)));
}

TEST(TokenBucketTest, HoldsNoMoreThanAMinute) {
  TokenBucket bucket;
  bucket.SetRate(600, kStart);
  const absl::Time later = kStart + absl::Hours(9);
  bucket.Take(600, later);
  EXPECT_EQ(bucket.TimeUntil(1, later), absl::Milliseconds(100));
}

TEST(TokenBucketTest, ADebtIsPaidOffBeforeAnythingElse) {
  TokenBucket bucket;
  bucket.SetRate(600, kStart);
  bucket.Take(1200, kStart);
  EXPECT_EQ(bucket.TimeUntil(1, kStart), absl::Seconds(60.1));
}

TEST(TokenBucketTest, MoreThanItEverHoldsWaitsUntilItIsFull) {
  TokenBucket bucket;
  bucket.SetRate(600, kStart);
  EXPECT_EQ(bucket.TimeUntil(5000, kStart), absl::ZeroDuration());
  bucket.Take(60, kStart);
  EXPECT_EQ(bucket.TimeUntil(5000, kStart), absl::Seconds(6));
}

TEST(TokenBucketTest, WithoutARateNothingIsCounted) {
  TokenBucket bucket;
  bucket.Take(1'000'000, kStart);
  EXPECT_EQ(bucket.TimeUntil(1'000'000, kStart), absl::ZeroDuration());
  EXPECT_TRUE(bucket.full(kStart));
}

TEST(TokenBucketTest, AChangedRateKeepsTheBalance) {
  TokenBucket bucket;
  bucket.SetRate(600, kStart);
  bucket.Take(500, kStart);
  bucket.SetRate(1200, kStart);
  EXPECT_EQ(bucket.TimeUntil(100, kStart), absl::ZeroDuration());
  EXPECT_EQ(bucket.TimeUntil(120, kStart), absl::Seconds(1));
  bucket.SetRate(60, kStart);
  EXPECT_EQ(bucket.TimeUntil(60, kStart), absl::ZeroDuration()) << "a minute's worth at most";
  bucket.Take(1, kStart);
  EXPECT_EQ(bucket.TimeUntil(60, kStart), absl::Seconds(1));
}

TEST(TokenBucketTest, AClockThatStepsBackTakesNothing) {
  TokenBucket bucket;
  bucket.SetRate(600, kStart);
  bucket.Take(300, kStart);
  EXPECT_EQ(bucket.TimeUntil(300, kStart - absl::Hours(1)), absl::ZeroDuration());
}

TEST(TenantQuotasTest, RemembersWhoHasSomethingInFlightOrUsedSomething) {
  TenantQuotas quotas;
  TenantQuota* const busy = quotas.Find("busy", {}, kStart);
  busy->in_flight = 1;
  TenantQuota* const limited = quotas.Find("limited", {.tokens_per_minute = 60}, kStart);
  limited->bucket.Take(60, kStart);
  quotas.ForgetIfIdle(busy, kStart);
  quotas.ForgetIfIdle(limited, kStart);
  EXPECT_EQ(quotas.size(), 2U);
  busy->in_flight = 0;
  quotas.ForgetIfIdle(busy, kStart);
  EXPECT_EQ(quotas.size(), 1U);
  EXPECT_GT(quotas.Find("limited", {.tokens_per_minute = 60}, kStart)->bucket.TimeUntil(1, kStart),
            absl::ZeroDuration());
  quotas.ForgetIfIdle(limited, kStart + absl::Minutes(1));
  EXPECT_EQ(quotas.size(), 0U);
}

TEST(TenantQuotasTest, AFloodOfTenantsIsForgottenOnceTheirBucketsAreFull) {
  TenantQuotas quotas;
  absl::Time now = kStart;
  for (int i = 0; i < 20'000; ++i) {
    now += absl::Seconds(1);
    TenantQuota* const quota = quotas.Find(std::to_string(i), {.tokens_per_minute = 60}, now);
    quota->bucket.Take(60, now);  // full again in a minute, when nobody asks any more
    ASSERT_LE(quotas.size(), 257U);
  }
}

}  // namespace
}  // namespace lamella
