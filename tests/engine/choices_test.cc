// Several answers to one prompt: each as it would be alone, the prompt computed once.
#include "tests/engine/engine_fixture.h"

namespace lamella {
namespace {

class ChoicesTest : public EngineFixture {
 protected:
  ChoicesTest() {
    executor_.OnLaunch([this](const StepInput& input) {
      rows_ += input.rows();
      for (const SequenceRows& rows : input.sequences) {
        first_choices_ += rows.choice_index == 0 ? 1 : 0;
      }
    });
  }

  static Request Sampled(std::string prompt, int32_t max_tokens, int32_t n) {
    Request request = MakeRequest(std::move(prompt), max_tokens);
    request.n = n;
    request.sampling.temperature = 1;
    request.sampling.seed = 5;
    request.sampling.has_seed = true;
    return request;
  }

  int32_t rows_ = 0;
  int32_t first_choices_ = 0;
};

TEST_F(ChoicesTest, EachIsWhatItWouldBeAlone) {
  const Request request = Sampled("0123456789", 12, 4);
  Recorded answer = Submit(request);
  ASSERT_TRUE(RunUntilIdle());
  answer.Read();
  ASSERT_EQ(answer.finished.value().choices.size(), 4u);
  for (int32_t choice = 0; choice < 4; ++choice) {
    EXPECT_EQ(answer.choices[choice].token_ids,
              PuppetExecutor::Alone({}, Bytes("0123456789"), 12, request.sampling, choice));
  }
  EXPECT_NE(answer.choices[0].token_ids, answer.choices[1].token_ids);
  EXPECT_EQ(answer.finished->usage.generated_tokens, 48);
  EXPECT_EQ(answer.finished->usage.prompt_tokens, 10);
}

TEST_F(ChoicesTest, ThePromptIsComputedOnce) {
  options_.prefix_reuse = false;  // they share by themselves
  Recorded answer = Submit(Sampled(std::string(41, 'p'), 1, 3));
  ASSERT_TRUE(RunUntilIdle());
  answer.Read();
  EXPECT_TRUE(answer.finished.has_value());
  // 41 rows of the first; ten full blocks of 4 are shared, so one row of each other.
  EXPECT_EQ(rows_, 43);
}

TEST_F(ChoicesTest, OneThatEndsEarlyLeavesTheOthersTheirPrompt) {
  Request request = Sampled(std::string(30, 'p'), 20, 2);
  request.stop.stop_token_ids = {
      PuppetExecutor::Alone({}, Bytes(request.prompt_text), 1, request.sampling, 0)[0]};
  Recorded answer = Submit(request);
  ASSERT_TRUE(RunUntilIdle());
  answer.Read();
  ASSERT_TRUE(answer.finished.has_value());
  EXPECT_EQ(answer.choices[0].token_ids.size(), 1u);
  EXPECT_EQ(answer.finished->choices[0].reason, FinishReason::kStopToken);
  std::vector<int32_t> alone =
      PuppetExecutor::Alone({}, Bytes(request.prompt_text), 20, request.sampling, 1);
  const auto stop = std::find(alone.begin(), alone.end(), request.stop.stop_token_ids[0]);
  if (stop != alone.end()) alone.erase(stop + 1, alone.end());
  EXPECT_EQ(answer.choices[1].token_ids, alone);
}

TEST_F(ChoicesTest, AllRunTogetherOrNone) {
  options_.max_running = 4;
  Recorded running = Submit(Sampled("aa", 20, 2));
  Recorded waiting = Submit(Sampled("bb", 20, 3));
  for (int i = 0; i < 5; ++i) Step();
  EXPECT_EQ(engine().queued(), 1);
  ASSERT_TRUE(RunUntilIdle());
  waiting.Read();
  EXPECT_EQ(waiting.finished.value().choices.size(), 3u);
  running.Read();
  EXPECT_TRUE(running.finished.has_value());
}

TEST_F(ChoicesTest, MoreThanCanRunAreRefused) {
  options_.max_running = 3;
  const absl::Status status = Refusal(Sampled("a", 4, 4));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(status), "OUT_OF_RANGE");
  EXPECT_EQ(ErrorField(status), "sampling.n");
}

TEST_F(ChoicesTest, WhatCanNeverFitTogetherIsRefused) {
  // 64 blocks of 4 tokens: alone an answer takes 31.
  EXPECT_EQ(ErrorReason(Refusal(Sampled("abcd", 121, 3))), "CANNOT_FIT");
  Recorded fits = Submit(Sampled("abcd", 121, 2));
  ASSERT_TRUE(RunUntilIdle());
  fits.Read();
  EXPECT_TRUE(fits.finished.has_value());
}

TEST_F(ChoicesTest, OneFailureFailsTheRequest) {
  executor_.Poison('!');
  Recorded answer = Submit(Sampled("!a", 4, 3));
  ASSERT_TRUE(RunUntilIdle());
  answer.Read();
  EXPECT_EQ(ErrorReason(answer.error), "NON_FINITE_LOGITS");
  EXPECT_EQ(answer.terminals, 1);
}

}  // namespace
}  // namespace lamella
