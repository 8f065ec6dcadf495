#include "server/sampling/log_softmax.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace lamella::sampling {
namespace {

using ::testing::ElementsAre;

std::vector<int32_t> TopIds(const std::vector<float>& logits, size_t count) {
  std::vector<TokenLogprob> top(count);
  LogSoftmax(logits).Top(top);
  std::vector<int32_t> ids;
  for (const TokenLogprob& entry : top) ids.push_back(entry.token_id);
  return ids;
}

TEST(LogSoftmaxTest, IsLogarithmOfSoftmax) {
  // Probabilities 1/8, 1/2, 1/4, 1/8.
  const std::vector<float> logits = {0.0f, std::log(4.0f), std::log(2.0f), 0.0f};
  const LogSoftmax softmax(logits);
  EXPECT_FLOAT_EQ(softmax.Of(0), std::log(0.125f));
  EXPECT_FLOAT_EQ(softmax.Of(1), std::log(0.5f));
  EXPECT_FLOAT_EQ(softmax.Of(2), std::log(0.25f));
}

TEST(LogSoftmaxTest, LargeVocabularyMatchesDoublePrecision) {
  std::vector<float> logits(50000);
  double total = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] = 9 * std::sin(static_cast<float>(i * i % 9973));
    total += std::exp(static_cast<double>(logits[i]));
  }
  const LogSoftmax softmax(logits);
  double probability = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float logprob = softmax.Of(static_cast<int32_t>(i));
    EXPECT_NEAR(logprob, logits[i] - std::log(total), 2e-6) << i;
    probability += std::exp(static_cast<double>(logprob));
  }
  EXPECT_NEAR(probability, 1.0, 1e-6);
}

TEST(LogSoftmaxTest, ShiftingAllLogitsChangesNothing) {
  const std::vector<float> logits = {1.0f, 2.5f, -3.0f};
  const std::vector<float> shifted = {1025.0f, 1026.5f, 1021.0f};
  for (int32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(LogSoftmax(logits).Of(i), LogSoftmax(shifted).Of(i));
  }
}

TEST(LogSoftmaxTest, ExtremeLogitsStayFiniteAndNotPositive) {
  const std::vector<float> logits = {-3e38f, 3e38f, 0.0f};
  const LogSoftmax softmax(logits);
  EXPECT_EQ(softmax.Of(1), 0.0f);
  EXPECT_EQ(softmax.Of(2), -3e38f);
  EXPECT_EQ(LogSoftmax(std::vector<float>{7.0f}).Of(0), 0.0f);
}

TEST(LogSoftmaxTest, TopIsLikeliestFirstLowerIdsFirstAmongEquals) {
  const std::vector<float> logits = {1, 3, 2, 3, 0, 2};
  EXPECT_THAT(TopIds(logits, 0), ElementsAre());
  EXPECT_THAT(TopIds(logits, 1), ElementsAre(1));
  EXPECT_THAT(TopIds(logits, 3), ElementsAre(1, 3, 2));
  EXPECT_THAT(TopIds(logits, 6), ElementsAre(1, 3, 2, 5, 0, 4));
  EXPECT_THAT(TopIds({0, 1, 2, 3, 4, 5}, 3), ElementsAre(5, 4, 3));
  EXPECT_THAT(TopIds(std::vector<float>(100, 4.0f), 3), ElementsAre(0, 1, 2));
}

TEST(LogSoftmaxTest, TopCarriesTheLogprobsOfItsTokens) {
  const std::vector<float> logits = {0.5f, -1.0f, 2.0f};
  std::vector<TokenLogprob> top(2);
  const LogSoftmax softmax(logits);
  softmax.Top(top);
  EXPECT_THAT(top, ElementsAre(TokenLogprob{2, softmax.Of(2)}, TokenLogprob{0, softmax.Of(0)}));
}

}  // namespace
}  // namespace lamella::sampling
