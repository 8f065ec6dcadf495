// More is promised than there is: the newest give way, and nobody's answer changes.
#include "tests/engine/engine_fixture.h"

namespace lamella {
namespace {

class PreemptionTest : public EngineFixture {
 protected:
  PreemptionTest() {
    options_.kv_overcommit = 4;
    executor_.OnLaunch([this](const StepInput& input) {
      for (const SequenceRows& rows : input.sequences) {
        // Whose prompts are longer than a row: it computes again what it had generated.
        if (rows.sample_position > 0 && rows.row_count > 1) ++resumed_;
      }
    });
  }
  int32_t resumed_ = 0;
};

TEST_F(PreemptionTest, AnswersAreTheSame) {
  // Four times 31 blocks of 64.
  std::vector<Recorded> streams;
  for (const char letter : {'a', 'b', 'c', 'd'}) {
    streams.push_back(Submit(MakeRequest(std::string(10, letter), 110)));
  }
  ASSERT_TRUE(RunUntilIdle());
  for (size_t i = 0; i < streams.size(); ++i) {
    streams[i].Read();
    ASSERT_TRUE(streams[i].finished.has_value()) << streams[i].error;
    const std::string prompt(10, static_cast<char>('a' + i));
    EXPECT_EQ(streams[i].token_ids, PuppetExecutor::Alone({}, Bytes(prompt), 110));
    EXPECT_EQ(streams[i].finished->usage.prompt_tokens, 10);
  }
  EXPECT_GT(resumed_, 0);
}

TEST_F(PreemptionTest, TheOldestIsNeverSentBack) {
  std::vector<Recorded> streams;
  for (const char letter : {'a', 'b', 'c', 'd'}) {
    streams.push_back(Submit(MakeRequest(std::string(10, letter), 110)));
  }
  int32_t steps = 0;
  while (!streams[0].ended()) {
    Step();
    ++steps;
    streams[0].Read();
  }
  // One step for its prompt and one for each token after the first, whatever the others did.
  EXPECT_EQ(steps, 110);
}

TEST_F(PreemptionTest, APreemptedRequestHoldsNoPin) {
  catalogue_.SetLive("t", "a", "1");
  std::vector<Recorded> streams;
  for (const char letter : {'a', 'b', 'c', 'd'}) {
    streams.push_back(Submit(MakeRequest(std::string(10, letter), 110, "a")));
  }
  int64_t fewest = 4;
  for (int i = 0; i < 90; ++i) {
    Step();
    fewest = std::min<int64_t>(fewest, residency_.pins());
  }
  EXPECT_LT(fewest, 4);
  ASSERT_TRUE(RunUntilIdle());
  for (Recorded& stream : streams) {
    stream.Read();
    EXPECT_TRUE(stream.finished.has_value());
  }
}

TEST_F(PreemptionTest, ADeadlineEndsWhatWasSentBack) {
  std::vector<Recorded> streams;
  for (const char letter : {'a', 'b', 'c', 'd'}) {
    Request request = MakeRequest(std::string(10, letter), 110);
    if (letter == 'd') request.deadline = clock_.Now() + absl::Seconds(10);
    streams.push_back(Submit(request));
  }
  for (int i = 0; i < 80; ++i) Step();
  clock_.Advance(absl::Seconds(11));
  ASSERT_TRUE(RunUntilIdle());
  streams[3].Read();
  EXPECT_EQ(streams[3].error.code(), absl::StatusCode::kDeadlineExceeded);
  streams[0].Read();
  EXPECT_TRUE(streams[0].finished.has_value());
}

class WindowTest : public EngineFixture {
 protected:
  WindowTest() {
    ExecutorLimits limits = PuppetExecutor::SmallLimits();
    limits.num_blocks = 12;  // 48 tokens; a sequence of 128 fits because of the window alone
    limits.attention_window = 8;
    limits.max_rows = 12;
    small_ = std::make_unique<PuppetExecutor>(limits);
  }
  std::unique_ptr<PuppetExecutor> small_;
};

TEST_F(WindowTest, WhatNoLayerAttendsToIsFreed) {
  options_.step_tokens = 12;
  options_.max_running = 4;
  auto engine = Engine::Create(
      options_, {small_.get(), &tokenizer_, &catalogue_, &residency_, &clock_, nullptr});
  ASSERT_EQ(engine.status(), absl::OkStatus());
  Recorded stream;
  stream.reader = *(*engine)->Submit(MakeRequest(std::string(20, 'w'), 100));
  for (int i = 0; i < 300 && (*engine)->in_flight() > 0; ++i) {
    (*engine)->Step();
    ASSERT_EQ((*engine)->CheckIntegrity(), absl::OkStatus());
  }
  stream.Read();
  ASSERT_TRUE(stream.finished.has_value()) << stream.error;
  EXPECT_EQ(stream.token_ids, PuppetExecutor::Alone({}, Bytes(std::string(20, 'w')), 100));
}

}  // namespace
}  // namespace lamella
