#include "server/sampling/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

namespace lamella::sampling {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

SamplingParams Params(float temperature, int32_t top_k = 0, float top_p = 1.0f) {
  return {.temperature = temperature, .top_k = top_k, .top_p = top_p, .seed = 0};
}

// Draws `count` tokens at positions 0, 1, ... and returns how often each came.
std::vector<int32_t> Counts(const std::vector<float>& logits, const SamplingParams& params,
                            int32_t count, SampleKey key = {.seed = 7}) {
  SampleScratch scratch;
  std::vector<int32_t> counts(logits.size());
  for (key.position = 0; key.position < count; ++key.position) {
    ++counts.at(SampleToken(logits, params, key, scratch));
  }
  return counts;
}

std::set<size_t> Drawn(const std::vector<int32_t>& counts) {
  std::set<size_t> drawn;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0) drawn.insert(i);
  }
  return drawn;
}

// Pearson's statistic of `counts` against the probabilities softmax(logits / temperature).
double ChiSquare(const std::vector<int32_t>& counts, const std::vector<double>& weights) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  const double draws = std::accumulate(counts.begin(), counts.end(), 0.0);
  double statistic = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double expected = draws * weights[i] / total;
    statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  return statistic;
}

TEST(SamplerTest, GreedyTakesLowestIndexAmongMaxima) {
  SampleScratch scratch;
  const std::vector<float> logits = {-1, 3, 2, 3, 3};
  EXPECT_EQ(SampleToken(logits, Params(0), {}, scratch), 1);
  EXPECT_EQ(SampleToken(logits, Params(0.7f, 1), {}, scratch), 1);
  EXPECT_EQ(SampleToken(std::vector<float>{}, Params(0), {}, scratch), -1);
  EXPECT_EQ(SampleToken(std::vector<float>{-5}, Params(1), {}, scratch), 0);
}

TEST(SamplerTest, AllFiniteSeesEveryPlace) {
  for (size_t size : {1, 7, 64, 1000}) {
    std::vector<float> values(size, 1e38f);
    EXPECT_TRUE(AllFinite(values));
    for (size_t at : {size_t{0}, size / 2, size - 1}) {
      for (float bad : {kNan, kInf, -kInf}) {
        std::vector<float> poisoned = values;
        poisoned[at] = bad;
        EXPECT_FALSE(AllFinite(poisoned)) << size << " " << at << " " << bad;
      }
    }
  }
  EXPECT_TRUE(AllFinite({}));
}

// 99.9% quantile of chi-square with 7 degrees of freedom: 24.3. The seed is fixed, so this either
// always passes or never.
TEST(SamplerTest, DrawsFollowSoftmaxWithTemperature) {
  const std::vector<float> logits = {0.0f, 1.0f, -1.0f, 2.0f, 0.5f, 0.5f, -0.25f, 1.5f};
  for (float temperature : {0.5f, 1.0f, 2.0f}) {
    std::vector<double> weights;
    for (float logit : logits) weights.push_back(std::exp(logit / temperature));
    EXPECT_LT(ChiSquare(Counts(logits, Params(temperature), 40000), weights), 24.3) << temperature;
  }
}

// The same with a shortlist, whose shares are renormalized. 99.9%, 3 degrees of freedom: 16.3.
TEST(SamplerTest, DrawsFollowRenormalizedShortlist) {
  const std::vector<float> logits = {0.0f, 1.0f, -1.0f, 2.0f, 0.5f, -9.0f, -0.25f, 1.5f};
  std::vector<int32_t> counts = Counts(logits, Params(1.0f, 4), 40000);
  EXPECT_THAT(Drawn(counts), ElementsAre(1, 3, 4, 7));
  EXPECT_LT(ChiSquare({counts[1], counts[3], counts[4], counts[7]},
                      {std::exp(1.0), std::exp(2.0), std::exp(0.5), std::exp(1.5)}),
            16.3);
}

TEST(SamplerTest, TopKKeepsLowerIdsAmongEquals) {
  const std::vector<float> logits = {1, 2, 1, 1, 2};
  EXPECT_THAT(Drawn(Counts(logits, Params(1.0f, 3), 2000)), ElementsAre(0, 1, 4));
  EXPECT_THAT(Drawn(Counts(logits, Params(1.0f, 5), 2000)), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(Drawn(Counts(logits, Params(1.0f, 500), 2000)), ElementsAre(0, 1, 2, 3, 4));
}

TEST(SamplerTest, TopPKeepsSmallestSetThatReachesShare) {
  // Shares 0.4, 0.3, 0.2, 0.1, in another order.
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.2f),
                                     std::log(0.3f)};
  EXPECT_THAT(Drawn(Counts(logits, Params(1, 0, 0.01f), 2000)), ElementsAre(1));
  EXPECT_THAT(Drawn(Counts(logits, Params(1, 0, 0.39f), 2000)), ElementsAre(1));
  EXPECT_THAT(Drawn(Counts(logits, Params(1, 0, 0.41f), 2000)), ElementsAre(1, 3));
  EXPECT_THAT(Drawn(Counts(logits, Params(1, 0, 0.69f), 2000)), ElementsAre(1, 3));
  EXPECT_THAT(Drawn(Counts(logits, Params(1, 0, 0.89f), 2000)), ElementsAre(1, 2, 3));
  EXPECT_THAT(Drawn(Counts(logits, Params(1, 0, 0.91f), 2000)), ElementsAre(0, 1, 2, 3));
  // After top_k = 2 the shares are 4/7 and 3/7.
  EXPECT_THAT(Drawn(Counts(logits, Params(1, 2, 0.56f), 2000)), ElementsAre(1));
  EXPECT_THAT(Drawn(Counts(logits, Params(1, 2, 0.58f), 2000)), ElementsAre(1, 3));
}

TEST(SamplerTest, TopPOverLargeVocabularyMatchesFullSort) {
  std::vector<float> logits(5000);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = 4 * std::sin(static_cast<float>(i * i));
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  double total = 0;
  for (float logit : logits) total += std::exp(static_cast<double>(logit));
  for (float top_p : {0.05f, 0.3f, 0.8f}) {
    std::set<size_t> nucleus;
    double sum = 0;
    for (size_t i = 0; sum < top_p * total; ++i) {
      nucleus.insert(order[i]);
      sum += std::exp(static_cast<double>(logits[order[i]]));
    }
    for (size_t token : Drawn(Counts(logits, Params(1, 0, top_p), 500))) {
      EXPECT_TRUE(nucleus.contains(token)) << top_p << " " << token;
    }
  }
}

// As transformers' MinPLogitsWarper: relative to the likeliest, after temperature.
TEST(SamplerTest, MinPKeepsAShareOfTheLikeliest) {
  // Shares 0.1, 0.4, 0.2, 0.3.
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.2f),
                                     std::log(0.3f)};
  const auto drawn = [&](float temperature, int32_t top_k, float top_p, float min_p) {
    SamplingParams params = Params(temperature, top_k, top_p);
    params.min_p = min_p;
    return Drawn(Counts(logits, params, 2000));
  };
  EXPECT_THAT(drawn(1, 0, 1, 0.0f), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(drawn(1, 0, 1, 0.24f), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(drawn(1, 0, 1, 0.26f), ElementsAre(1, 2, 3));
  EXPECT_THAT(drawn(1, 0, 1, 0.51f), ElementsAre(1, 3));
  EXPECT_THAT(drawn(1, 0, 1, 0.99f), ElementsAre(1));
  // At temperature 2 the ratios are square roots: 0.5, 0.71, 0.87.
  EXPECT_THAT(drawn(2, 0, 1, 0.49f), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(drawn(2, 0, 1, 0.51f), ElementsAre(1, 2, 3));
}

// top_k, then top_p of what it left, then min_p: each may be the one that cuts.
TEST(SamplerTest, CutsComposeInOrder) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.2f),
                                     std::log(0.3f)};
  const auto drawn = [&](int32_t top_k, float top_p, float min_p) {
    SamplingParams params = Params(1, top_k, top_p);
    params.min_p = min_p;
    return Drawn(Counts(logits, params, 2000));
  };
  EXPECT_THAT(drawn(3, 0.95f, 0.26f), ElementsAre(1, 2, 3));
  EXPECT_THAT(drawn(2, 1.0f, 0.26f), ElementsAre(1, 3));
  EXPECT_THAT(drawn(3, 0.95f, 0.51f), ElementsAre(1, 3));
  EXPECT_THAT(drawn(3, 1.0f, 0.8f), ElementsAre(1));
  // Three tokens make 0.75 of all four. Had min_p cut first, two (0.7 of 0.9) would have been enough.
  EXPECT_THAT(drawn(0, 0.75f, 0.26f), ElementsAre(1, 2, 3));
  // 0.44 of the two that top_k left is one.
  EXPECT_THAT(drawn(2, 0.44f, 0.1f), ElementsAre(1));
}

TEST(SamplerTest, MinPRenormalizesWhatItKeeps) {
  const std::vector<float> logits = {0.0f, 1.0f, -1.0f, 2.0f};
  SamplingParams params = Params(1);
  params.min_p = 0.3f;
  const std::vector<int32_t> counts = Counts(logits, params, 20000);
  EXPECT_THAT(Drawn(counts), ElementsAre(1, 3));
  // 99.9%, 1 degree of freedom: 10.8.
  EXPECT_LT(ChiSquare({counts[1], counts[3]}, {std::exp(1.0), std::exp(2.0)}), 10.8);
}

TEST(SamplerTest, KeyAloneDecides) {
  const std::vector<float> logits(50, 0.0f);
  SampleScratch fresh;
  SampleScratch used;
  for (int32_t position = 0; position < 200; ++position) {
    const SampleKey key = {.seed = 11, .choice_index = 2, .position = position};
    SampleToken(logits, Params(2), {.seed = 5, .position = position}, used);
    EXPECT_EQ(SampleToken(logits, Params(1), key, fresh),
              SampleToken(logits, Params(1), key, used));
  }
}

// Pairs drawn under keys that differ by one in one field fill a 4 x 4 table evenly. 99.9% quantile
// of chi-square with 15 degrees of freedom: 37.7.
TEST(SamplerTest, NeighbouringKeysAreIndependent) {
  const std::vector<float> logits(4, 0.0f);
  const std::vector<SampleKey> steps = {{.seed = 1}, {.choice_index = 1}, {.position = 1}};
  for (const SampleKey& step : steps) {
    SampleScratch scratch;
    std::vector<int32_t> pairs(16);
    for (int32_t i = 0; i < 32000; ++i) {
      const SampleKey key = {.seed = 90, .choice_index = i % 3, .position = 2 * i};
      const SampleKey neighbour = {.seed = key.seed + step.seed,
                                   .choice_index = key.choice_index + step.choice_index,
                                   .position = key.position + step.position};
      const int32_t first = SampleToken(logits, Params(1), key, scratch);
      ++pairs[first * 4 + SampleToken(logits, Params(1), neighbour, scratch)];
    }
    EXPECT_LT(ChiSquare(pairs, std::vector<double>(16, 1.0)), 37.7);
  }
}

TEST(SamplerTest, ExtremeLogitsAndTemperaturesStayValid) {
  const std::vector<float> logits = {-3e38f, 3e38f, 0.0f, 3e38f};
  EXPECT_THAT(Drawn(Counts(logits, Params(1), 200)), UnorderedElementsAre(1, 3));
  EXPECT_THAT(Drawn(Counts(logits, Params(1e-38f), 200)), UnorderedElementsAre(1, 3));
  EXPECT_THAT(Drawn(Counts({0, 1, 2}, Params(1e-30f, 0, 0.5f), 200)), ElementsAre(2));
  const std::vector<int32_t> hot = Counts({0, 1, 2}, Params(1e30f), 3000);
  EXPECT_THAT(hot, Each(::testing::Gt(850)));
}

TEST(SamplerTest, TokensAtMinusInfinityNeverCome) {
  const std::vector<float> logits = {-kInf, 0.0f, -kInf, 0.0f, -kInf};
  for (const SamplingParams& params : {Params(1), Params(1, 4), Params(1, 0, 0.999f)}) {
    EXPECT_THAT(Drawn(Counts(logits, params, 500)), ElementsAre(1, 3));
  }
  SampleScratch scratch;
  EXPECT_EQ(SampleToken(logits, Params(0), {}, scratch), 1);
}

TEST(SamplerTest, NonFiniteLogitsGiveSomeValidId) {
  SampleScratch scratch;
  for (const auto& logits : {std::vector<float>{kNan, kNan}, {kInf, kInf}, {-kInf, -kInf}}) {
    const int32_t token = SampleToken(logits, Params(1, 0, 0.5f), {}, scratch);
    EXPECT_GE(token, 0);
    EXPECT_LT(token, 2);
  }
}

TEST(SamplerTest, ReservedScratchIsNotReallocated) {
  SampleScratch scratch;
  scratch.Reserve(1000);
  const float* weights = scratch.weights.data();
  const int32_t* candidates = scratch.candidates.data();
  const std::vector<float> logits(1000, 1.0f);
  for (const SamplingParams& params : {Params(1), Params(1, 20), Params(1, 0, 0.9f)}) {
    SampleToken(logits, params, {}, scratch);
  }
  EXPECT_EQ(scratch.weights.data(), weights);
  EXPECT_EQ(scratch.candidates.data(), candidates);
}

}  // namespace
}  // namespace lamella::sampling
