#include "tests/bench/load/workload.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

namespace lamella::bench {
namespace {

constexpr int32_t kRequests = 20000;

std::map<int32_t, double> SharesOf(const WorkloadOptions& options) {
  Workload workload(options);
  std::map<int32_t, double> shares;
  for (int32_t i = 0; i < kRequests; ++i) shares[workload.Next().adapter] += 1.0 / kRequests;
  return shares;
}

// Five standard errors of a share.
double Tolerance(double share) { return 5 * std::sqrt(share * (1 - share) / kRequests); }

TEST(WorkloadTest, SLoraPopularityFollowsAlpha) {
  for (const double alpha : {0.1, 0.3, 0.6, 1.0}) {
    const auto shares =
        SharesOf({.adapters = 100, .popularity = Popularity::kSLora, .alpha = alpha});
    // floor(100 u^(1/alpha)) = 0 where u < 0.01^alpha.
    const double first = std::pow(0.01, alpha);
    EXPECT_NEAR(shares.at(0), first, Tolerance(first)) << alpha;
    EXPECT_GE(shares.begin()->first, 0);
    EXPECT_LT(shares.rbegin()->first, 100);
  }
}

TEST(WorkloadTest, ZipfSharesFallWithTheRank) {
  const auto shares = SharesOf({.adapters = 3, .popularity = Popularity::kZipf, .zipf_s = 1});
  const double sum = 1 + 1.0 / 2 + 1.0 / 3;
  for (int32_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(shares.at(i), 1 / sum / (i + 1), Tolerance(1 / sum / (i + 1))) << i;
  }
}

TEST(WorkloadTest, SkewedSharesFallByHalfAsMuchAgain) {
  const auto shares = SharesOf({.adapters = 40, .popularity = Popularity::kSkewed});
  EXPECT_NEAR(shares.at(0), 1.0 / 3, Tolerance(1.0 / 3));
  EXPECT_NEAR(shares.at(1), 1 / 4.5, Tolerance(1 / 4.5));
}

TEST(WorkloadTest, DistinctTakesTurns) {
  Workload workload({.adapters = 5, .popularity = Popularity::kDistinct});
  for (int32_t i = 0; i < 12; ++i) EXPECT_EQ(workload.Next().adapter, i % 5);
}

TEST(WorkloadTest, UniformUsesTheSquareRootAndIdenticalOne) {
  EXPECT_EQ(SharesOf({.adapters = 32, .popularity = Popularity::kUniform}).size(), 6U);
  EXPECT_EQ(SharesOf({.adapters = 32, .popularity = Popularity::kIdentical}).size(), 1U);
}

TEST(WorkloadTest, BaseShareGoesWithoutAnAdapter) {
  const auto shares = SharesOf({.adapters = 4, .base_share = 0.25});
  EXPECT_NEAR(shares.at(kBaseModel), 0.25, Tolerance(0.25));
  EXPECT_EQ(SharesOf({.adapters = 0}).at(kBaseModel), SharesOf({.base_share = 1}).at(kBaseModel));
}

TEST(WorkloadTest, UniformLengthsCoverTheirRanges) {
  Workload workload({.prompt_tokens = {8, 16}, .answer_tokens = {3, 3}});
  std::set<int32_t> prompts;
  for (int32_t i = 0; i < 1000; ++i) {
    const PlannedRequest request = workload.Next();
    prompts.insert(request.prompt_tokens);
    EXPECT_EQ(request.answer_tokens, 3);
  }
  EXPECT_EQ(prompts.size(), 9U);
  EXPECT_EQ(*prompts.begin(), 8);
  EXPECT_EQ(*prompts.rbegin(), 16);
}

TEST(WorkloadTest, PunicaLengthsAreLognormalWithinTheTotal) {
  Workload workload({.lengths = Lengths::kPunica, .max_total_tokens = 2048});
  int32_t below_median = 0;
  double totals = 0;
  for (int32_t i = 0; i < kRequests; ++i) {
    const PlannedRequest request = workload.Next();
    EXPECT_GE(request.prompt_tokens, 1);
    EXPECT_GE(request.answer_tokens, 1);
    EXPECT_LE(request.prompt_tokens + request.answer_tokens, 2048);
    if (request.prompt_tokens < 17) ++below_median;  // of -1 + 18 e^(0.8 z)
    totals += static_cast<double>(request.prompt_tokens + request.answer_tokens) / kRequests;
  }
  // What rounds to 17 straddles the median: half of it, 1.5 of 17 tokens, lies below.
  EXPECT_NEAR(static_cast<double>(below_median) / kRequests, 0.49, 0.02);
  EXPECT_NEAR(totals, (2048 + 25) / 2.0, 25);
}

TEST(WorkloadTest, EqualSeedsGiveEqualRequests) {
  const WorkloadOptions options{.adapters = 100, .seed = 3};
  Workload one(options), two(options), other({.adapters = 100, .seed = 4});
  int32_t differences = 0;
  for (int32_t i = 0; i < 100; ++i) {
    const PlannedRequest a = one.Next();
    const PlannedRequest b = two.Next();
    EXPECT_EQ(a.adapter, b.adapter);
    EXPECT_EQ(a.prompt_tokens, b.prompt_tokens);
    EXPECT_EQ(a.answer_tokens, b.answer_tokens);
    if (other.Next().adapter != a.adapter) ++differences;
  }
  EXPECT_GT(differences, 90);
}

TEST(WorkloadTest, RefusesWhatCannotBeDrawn) {
  EXPECT_TRUE(WorkloadOptions().Validate().ok());
  EXPECT_FALSE(WorkloadOptions{.adapters = -1}.Validate().ok());
  EXPECT_FALSE(WorkloadOptions{.base_share = 1.5}.Validate().ok());
  EXPECT_FALSE(WorkloadOptions{.alpha = 0}.Validate().ok());
  EXPECT_FALSE((WorkloadOptions{.prompt_tokens = {5, 4}}.Validate().ok()));
  EXPECT_EQ((WorkloadOptions{.answer_tokens = {0, 4}}.Validate().message()),
            "--answer_tokens cannot be 0");
}

TEST(PromptOfTest, HasItsLengthItsRangeAndItsOwnBeginning) {
  PlannedRequest request{.number = 4, .prompt_tokens = 500};
  const auto prompt = PromptOf(request, 1, 50);
  ASSERT_EQ(prompt.size(), 500U);
  const std::set<int32_t> ids(prompt.begin(), prompt.end());
  EXPECT_EQ(ids.size(), 50U);
  EXPECT_EQ(*ids.begin(), 0);
  EXPECT_EQ(prompt, PromptOf(request, 1, 50));
  EXPECT_NE(prompt, PromptOf(request, 2, 50));
  request.number = 5;
  EXPECT_NE(prompt, PromptOf(request, 1, 50));
}

}  // namespace
}  // namespace lamella::bench
