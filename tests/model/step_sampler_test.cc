#include "server/model/step_sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "server/sampling/log_softmax.h"
#include "tests/model/model_fixture.h"

namespace lamella::testing {
namespace {

using ::testing::ElementsAre;

constexpr int32_t kVocab = 6;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Steps over a vocabulary of six tokens with logits that the test makes up.
class StepSamplerTest : public ::testing::Test {
 protected:
  StepSamplerTest() : sampler_(kVocab, 8, 2), pool_(2) {}

  // A sequence of `tokens`, the first `prompt` of them its prompt, whose last `rows` are in the step.
  SequenceRows& Add(std::vector<int32_t> tokens, int32_t prompt, int32_t rows) {
    tokens_.push_back(std::move(tokens));
    SequenceRows sequence;
    sequence.row_begin = input_.rows();
    sequence.row_count = rows;
    sequence.tokens = tokens_.back();
    sequence.first_position = static_cast<int32_t>(tokens_.back().size()) - rows;
    sequence.prompt_tokens = prompt;
    sequence.sampling = &greedy_;
    input_.token_ids.resize(input_.token_ids.size() + static_cast<size_t>(rows));
    input_.sequences.push_back(sequence);
    return input_.sequences.back();
  }

  std::vector<int32_t> Plan() {
    const auto rows = sampler_.Plan(input_);
    return {rows.begin(), rows.end()};
  }

  void Read(const std::vector<std::vector<float>>& logits) {
    flat_.clear();
    for (const auto& row : logits) flat_.insert(flat_.end(), row.begin(), row.end());
    ASSERT_EQ(Plan().size(), logits.size());
    output_.Clear();
    sampler_.Read(input_, flat_.data(), &pool_, &output_);
  }

  static TokenLogprob Told(const std::vector<float>& logits, int32_t token) {
    return {token, sampling::LogSoftmax(logits).Of(token)};
  }

  std::vector<TokenLogprob> TopOf(const LogprobRow& row) const {
    return {output_.top_logprobs.begin() + row.top_begin,
            output_.top_logprobs.begin() + row.top_end};
  }

  const SamplingParams greedy_;
  StepSampler sampler_;
  kernels::ForkJoinPool pool_;
  std::vector<std::vector<int32_t>> tokens_;
  StepInput input_;
  StepOutput output_;
  std::vector<float> flat_;
};

TEST_F(StepSamplerTest, OnlyRowsThatAreAskedAboutNeedLogits) {
  Add({1, 2, 3}, 3, 3);
  EXPECT_THAT(Plan(), ElementsAre());
  Add({1, 2, 3}, 3, 2).sample = true;
  EXPECT_THAT(Plan(), ElementsAre(4));
  // Positions 1 and 2 tell of tokens 2 and 3 of the prompt; 3 samples; no row for the answer's.
  SequenceRows& both = Add({1, 2, 3, 4, 5}, 4, 4);
  both.sample = true;
  both.prompt_logprobs = 0;
  EXPECT_THAT(Plan(), ElementsAre(4, 5, 6, 8));
  // A chunk that does not reach the prompt's end.
  Add({1, 2}, 9, 1).prompt_logprobs = 2;
  input_.sequences.back().tokens = tokens_.emplace_back(std::vector<int32_t>(9, 1));
  EXPECT_THAT(Plan(), ElementsAre(4, 5, 6, 8, 9));
}

TEST_F(StepSamplerTest, SampledTokensAreToldOfByTheModelsOwnDistribution) {
  const SamplingParams params{.repetition_penalty = 2.0F, .logit_bias = {{4, 50.0F}}};
  SequenceRows& rows = Add({1, 2}, 2, 1);
  rows.sample = true;
  rows.sampling = &params;
  rows.logprobs = 2;
  const std::vector<float> logits = {0, 5, 4, 3, 1, 4};
  Read({logits});
  ASSERT_EQ(output_.sampled.size(), 1U);
  EXPECT_EQ(output_.sampled[0].token_id, 4);  // the bias decides
  ASSERT_EQ(output_.logprobs.size(), 1U);
  EXPECT_EQ(output_.logprobs[0].position, 2);
  EXPECT_EQ(output_.logprobs[0].token, Told(logits, 4));  // and is not in the log-probability
  EXPECT_THAT(TopOf(output_.logprobs[0]), ElementsAre(Told(logits, 1), Told(logits, 2)));
}

TEST_F(StepSamplerTest, PromptTokensAreToldOfByTheRowBefore) {
  SequenceRows& rows = Add({1, 2, 3}, 3, 3);
  rows.prompt_logprobs = 1;
  rows.sample = true;
  rows.logprobs = 0;
  const std::vector<float> a = {0, 0, 1, 0, 0, 2};
  const std::vector<float> b = {3, 0, 0, 2, 0, 0};
  const std::vector<float> c = {0, 0, 0, 0, 9, 0};
  Read({a, b, c});
  ASSERT_EQ(output_.logprobs.size(), 3U);
  EXPECT_EQ(output_.logprobs[0].position, 1);
  EXPECT_EQ(output_.logprobs[0].token, Told(a, 2));
  EXPECT_THAT(TopOf(output_.logprobs[0]), ElementsAre(Told(a, 5)));
  EXPECT_EQ(output_.logprobs[1].position, 2);
  EXPECT_EQ(output_.logprobs[1].token, Told(b, 3));
  EXPECT_THAT(TopOf(output_.logprobs[1]), ElementsAre(Told(b, 0)));
  EXPECT_EQ(output_.logprobs[2].position, 3);
  EXPECT_EQ(output_.logprobs[2].token, Told(c, 4));
  EXPECT_THAT(TopOf(output_.logprobs[2]), ElementsAre());
  ASSERT_EQ(output_.sampled.size(), 1U);
  EXPECT_EQ(output_.sampled[0].token_id, 4);
}

TEST_F(StepSamplerTest, PenaltiesCountPromptAndAnswerAsTheyAre) {
  // 1 is in the prompt, 2 in the answer.
  const SamplingParams presence{.presence_penalty = 1.5F};
  SequenceRows& rows = Add({1, 2}, 1, 1);
  rows.sample = true;
  rows.sampling = &presence;
  Read({{0, 3, 4, 2, 0, 0}});
  EXPECT_EQ(output_.sampled[0].token_id, 1);
  const SamplingParams repetition{.repetition_penalty = 3.0F};
  input_.sequences[0].sampling = &repetition;
  Read({{0, 3, 4, 2, 0, 0}});
  EXPECT_EQ(output_.sampled[0].token_id, 3);
}

TEST_F(StepSamplerTest, BannedTokensAreNotChosen) {
  const std::vector<int32_t> banned = {1, 4};
  SequenceRows& rows = Add({0}, 1, 1);
  rows.sample = true;
  rows.banned_token_ids = banned;
  Read({{0, 9, 1, 2, 9, 0}});
  EXPECT_EQ(output_.sampled[0].token_id, 3);
}

TEST_F(StepSamplerTest, MoreAlternativesThanTokensAreAllTokens) {
  SequenceRows& rows = Add({0}, 1, 1);
  rows.sample = true;
  rows.logprobs = 100;
  Read({{5, 4, 3, 2, 1, 0}});
  EXPECT_EQ(TopOf(output_.logprobs[0]).size(), static_cast<size_t>(kVocab));
}

TEST_F(StepSamplerTest, NothingIsToldOfRowsThatAreNotFinite) {
  SequenceRows& rows = Add({1, 2, 3}, 3, 3);
  rows.prompt_logprobs = 1;
  rows.sample = true;
  rows.logprobs = 1;
  Add({4}, 1, 1).sample = true;
  input_.sequences.back().logprobs = 1;
  const std::vector<float> good = {1, 0, 0, 0, 0, 0};
  const std::vector<float> bad = {1, kNan, 0, 0, 0, 0};
  Read({good, bad, bad, good});
  ASSERT_EQ(output_.logprobs.size(), 2U);
  EXPECT_EQ(output_.logprobs[0].sequence_index, 0);
  EXPECT_EQ(output_.logprobs[0].position, 1);
  EXPECT_EQ(output_.logprobs[1].sequence_index, 1);
  EXPECT_THAT(TopOf(output_.logprobs[1]), ElementsAre(Told(good, 0)));
  EXPECT_FALSE(output_.sampled[0].finite);
  EXPECT_EQ(output_.sampled[0].token_id, -1);
  EXPECT_TRUE(output_.sampled[1].finite);
}

TEST_F(StepSamplerTest, WantedLogitsAreThoseOfSampledRowsAsTheModelMadeThem) {
  const SamplingParams params{.repetition_penalty = 2.0F};
  SequenceRows& rows = Add({1, 2}, 2, 2);
  rows.prompt_logprobs = 0;
  rows.sample = true;
  rows.sampling = &params;
  const std::vector<float> logits = {0, 5, 4, 3, 1, 4};
  Read({{9, 9, 9, 9, 9, 9}, logits});
  sampler_.CopyLogits(flat_.data(), &output_);
  EXPECT_EQ(output_.logits, logits);
}

}  // namespace
}  // namespace lamella::testing
