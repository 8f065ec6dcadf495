#include "server/api/proto_conversion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters_store/adapter_id.h"

namespace lamella {
namespace {

using testing::ElementsAre;

TokenLogprobs Told(int32_t token) { return {{token, -0.5F}, {{token, -0.5F}, {token + 1, -1.5F}}}; }

void ExpectTold(const v1::TokenLogprobs& told, int32_t token) {
  EXPECT_EQ(told.token_id(), token);
  EXPECT_EQ(told.logprob(), -0.5F);
  ASSERT_EQ(told.top_size(), 2);
  EXPECT_EQ(told.top(0).token_id(), token);
  EXPECT_EQ(told.top(1).token_id(), token + 1);
  EXPECT_EQ(told.top(1).logprob(), -1.5F);
}

TEST(ProtoConversionTest, StartedTellsOfThePrompt) {
  StreamStarted started;
  started.prompt_tokens = 3;
  started.cached_tokens = 2;
  started.prompt_logprobs = {Told(4), Told(9)};
  const v1::Started out = ToProto(started);
  EXPECT_EQ(out.cached_tokens(), 2);
  ASSERT_EQ(out.prompt_logprobs_size(), 2);
  ExpectTold(out.prompt_logprobs(0), 4);
  ExpectTold(out.prompt_logprobs(1), 9);
}

TEST(ProtoConversionTest, DeltaTellsOfItsTokensWithoutTheirIds) {
  StreamDelta delta;
  delta.choice = 3;
  delta.text = "x";
  delta.token_ids = {7};
  delta.logprobs = {Told(7)};
  const v1::Delta out = ToProto(delta, {});
  EXPECT_EQ(out.choice_index(), 3);
  EXPECT_TRUE(out.token_ids().empty());
  ASSERT_EQ(out.logprobs_size(), 1);
  ExpectTold(out.logprobs(0), 7);
}

// A choice that never said anything is there all the same.
TEST(ProtoConversionTest, WholeHasEveryChoiceInOrder) {
  v1::Finished whole;
  const OutputParams output = {.final_only = true, .token_ids = true};
  AddToWhole({.choice = 2, .text = "c", .token_ids = {1}, .logprobs = {Told(1)}}, output, &whole);
  AddToWhole({.choice = 0, .text = "a", .token_ids = {2}}, output, &whole);
  AddToWhole({.choice = 2, .text = "d", .token_ids = {3}, .logprobs = {Told(3)}}, output, &whole);
  StreamFinished finished;
  finished.choices.resize(3);
  finished.choices[1] = {.reason = FinishReason::kStopString, .matched_string = "."};
  finished.usage.generated_tokens = 3;
  FinishWhole(finished, output, &whole);
  ASSERT_EQ(whole.choices_size(), 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(whole.choices(i).index(), i);
  EXPECT_EQ(whole.choices(0).text(), "a");
  EXPECT_EQ(whole.choices(1).text(), "");
  EXPECT_EQ(whole.choices(1).stop_string(), ".");
  EXPECT_EQ(whole.choices(2).text(), "cd");
  EXPECT_THAT(whole.choices(2).token_ids(), ElementsAre(1, 3));
  ASSERT_EQ(whole.choices(2).logprobs_size(), 2);
  ExpectTold(whole.choices(2).logprobs(1), 3);
  EXPECT_EQ(whole.usage().generated_tokens(), 3);
}

TEST(ProtoConversionTest, FinishedOfAStreamHoldsNoText) {
  StreamFinished finished;
  finished.choices.resize(2);
  const v1::Finished out = ToProto(finished, {});
  ASSERT_EQ(out.choices_size(), 2);
  EXPECT_EQ(out.choices(1).finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_TRUE(out.choices(0).text().empty());
  EXPECT_FALSE(out.has_timings());
}

TEST(ProtoConversionTest, AUsableAdapterIsNamedAsGenerateTakesIt) {
  const std::string version(64, 'b');
  const auto id_of = [&version](const std::string& alias) {
    return ToProto(AdapterSummary{.ref = {"default", "anna", version}, .alias = alias})
        .adapter_id();
  };
  EXPECT_EQ(id_of("live"), "anna");
  EXPECT_EQ(id_of("canary"), "anna@canary");
  EXPECT_EQ(id_of(""), "anna@sha256:" + version);
  for (const char* alias : {"live", "canary", ""}) {
    EXPECT_TRUE(ParseAdapterId(id_of(alias)).ok()) << id_of(alias);
  }
}

}  // namespace
}  // namespace lamella
