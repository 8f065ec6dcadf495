// The formulas are those of transformers' RepetitionPenaltyLogitsProcessor, of vLLM's presence and
// frequency penalties and of OpenAI's logit_bias, stated by small examples that are exact in float.
#include "server/sampling/adjustments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "server/sampling/sampler.h"

namespace lamella::sampling {
namespace {

using ::testing::ElementsAre;
using ::testing::Pointwise;

constexpr float kNever = -std::numeric_limits<float>::infinity();

struct Problem {
  std::vector<float> logits;
  std::vector<int32_t> prompt = {};
  std::vector<int32_t> answer = {};
  std::vector<int32_t> banned = {};
};

std::vector<float> Adjust(const Problem& problem, const SamplingParams& params,
                          AdjustScratch& scratch) {
  std::vector<int32_t> tokens = problem.prompt;
  tokens.insert(tokens.end(), problem.answer.begin(), problem.answer.end());
  const TokenContext context = {tokens, static_cast<int32_t>(problem.prompt.size()),
                                problem.banned};
  const auto adjusted = AdjustLogits(problem.logits, params, context, scratch);
  return {adjusted.begin(), adjusted.end()};
}

std::vector<float> Adjust(const Problem& problem, const SamplingParams& params) {
  AdjustScratch scratch;
  return Adjust(problem, params, scratch);
}

TEST(AdjustmentsTest, RepetitionDividesPositiveAndMultipliesNegativeLogitsOnce) {
  const Problem problem = {
      .logits = {2, -2, 0, 8, -8}, .prompt = {0, 1, 0, 0}, .answer = {1, 2, 4, 4}};
  EXPECT_THAT(Adjust(problem, {.repetition_penalty = 2.0f}), ElementsAre(1, -4, 0, 8, -16));
  EXPECT_THAT(Adjust(problem, {.repetition_penalty = 0.5f}), ElementsAre(4, -1, 0, 8, -4));
}

TEST(AdjustmentsTest, PresenceCountsAnswerTokensOnceFrequencyEachTime) {
  const Problem problem = {.logits = {1, 1, 1, 1}, .prompt = {0, 0, 1}, .answer = {1, 2, 2, 2}};
  EXPECT_THAT(Adjust(problem, {.presence_penalty = 0.5f}), ElementsAre(1, 0.5f, 0.5f, 1));
  EXPECT_THAT(Adjust(problem, {.frequency_penalty = 0.5f}), ElementsAre(1, 0.5f, -0.5f, 1));
  EXPECT_THAT(Adjust(problem, {.presence_penalty = -2.0f, .frequency_penalty = 0.25f}),
              ElementsAre(1, 2.75f, 2.25f, 1));
}

TEST(AdjustmentsTest, PenaltiesComeBeforeBiasAndBiasBeforeBans) {
  const Problem problem = {
      .logits = {4, 4, 4}, .prompt = {0}, .answer = {1}, .banned = {2, -1, 1000}};
  const SamplingParams params = {.repetition_penalty = 2.0f,
                                 .presence_penalty = 0.5f,
                                 .logit_bias = {{0, -10.0f}, {2, 100.0f}}};
  EXPECT_THAT(Adjust(problem, params), ElementsAre(-8, 1.5f, kNever));
}

TEST(AdjustmentsTest, WithoutAdjustmentsTheLogitsComeBackThemselves) {
  const std::vector<float> logits = {1, 2};
  const std::vector<int32_t> tokens = {0, 1};
  AdjustScratch scratch;
  const auto result = AdjustLogits(logits, {.temperature = 2.0f, .top_k = 1}, {tokens, 1}, scratch);
  EXPECT_EQ(result.data(), logits.data());
  EXPECT_EQ(scratch.adjusted.capacity(), 0u);
}

TEST(AdjustmentsTest, TheExecutorsLogitsStayAsTheyAre) {
  const Problem problem = {.logits = {1, 2, 3}, .prompt = {0}, .answer = {1}, .banned = {2}};
  Problem copy = problem;
  Adjust(copy, {.repetition_penalty = 3.0f, .frequency_penalty = 1.0f, .logit_bias = {{0, 5.0f}}});
  EXPECT_EQ(copy.logits, problem.logits);
}

TEST(AdjustmentsTest, BanningEveryTokenBansNone) {
  const Problem problem = {.logits = {1, 2}, .prompt = {0}, .banned = {0, 1, 0}};
  EXPECT_THAT(Adjust(problem, {}), ElementsAre(1, 2));
  EXPECT_THAT(Adjust(problem, {.logit_bias = {{0, 3.0f}}}), ElementsAre(4, 2));
}

TEST(AdjustmentsTest, FiniteLogitsStayFinite) {
  const Problem problem = {.logits = {3e38f, -3e38f, 1e-38f}, .prompt = {0, 1}, .answer = {0, 1}};
  for (const float repetition : {1e-30f, 10.0f}) {
    for (const float logit :
         Adjust(problem, {.repetition_penalty = repetition, .presence_penalty = -2.0f})) {
      EXPECT_TRUE(std::isfinite(logit)) << repetition;
    }
  }
}

// Scratch of another sequence, of a larger vocabulary and of other parameters leaves no trace.
TEST(AdjustmentsTest, ScratchRemembersNothing) {
  const Problem problem = {.logits = {1, 2, 3, 4}, .prompt = {3, 0}, .answer = {1, 1, 3}};
  const SamplingParams params = {
      .repetition_penalty = 1.3f, .presence_penalty = 0.7f, .frequency_penalty = 0.1f};
  const std::vector<float> fresh = Adjust(problem, params);
  AdjustScratch used;
  const Problem larger = {.logits = std::vector<float>(100, 5.0f),
                          .prompt = {99, 1, 2},
                          .answer = {0, 0, 50, 1},
                          .banned = {3}};
  for (int round = 0; round < 3; ++round) {
    Adjust(larger, params, used);
    Adjust({.logits = {7}, .answer = {0}}, {.frequency_penalty = 2.0f}, used);
    EXPECT_THAT(Adjust(problem, params, used), Pointwise(::testing::Eq(), fresh));
  }
}

TEST(AdjustmentsTest, ReservedScratchIsNotReallocated) {
  AdjustScratch scratch;
  scratch.Reserve(1000);
  const float* const adjusted = scratch.adjusted.data();
  const int32_t* const counts = scratch.counts.data();
  Adjust({.logits = std::vector<float>(1000, 1.0f), .prompt = {5}, .answer = {6}, .banned = {7}},
         {.repetition_penalty = 2.0f, .logit_bias = {{1, 1.0f}}}, scratch);
  EXPECT_EQ(scratch.adjusted.data(), adjusted);
  EXPECT_EQ(scratch.counts.data(), counts);
}

TEST(AdjustmentsTest, BannedTokensNeverComeHoweverLikely) {
  const std::vector<float> logits = {100, 50, 0, 0};
  const std::vector<int32_t> tokens = {2};
  const std::vector<int32_t> banned = {0, 1};
  AdjustScratch adjust;
  SampleScratch sample;
  for (const SamplingParams& params : {SamplingParams{}, SamplingParams{.temperature = 5.0f},
                                       SamplingParams{.temperature = 5.0f, .top_k = 3},
                                       SamplingParams{.temperature = 5.0f, .top_p = 0.99f},
                                       SamplingParams{.temperature = 5.0f, .min_p = 0.5f}}) {
    const auto adjusted = AdjustLogits(logits, params, {tokens, 1, banned}, adjust);
    for (int32_t position = 0; position < 200; ++position) {
      EXPECT_GE(SampleToken(adjusted, params, {.position = position}, sample), 2);
    }
  }
}

}  // namespace
}  // namespace lamella::sampling
