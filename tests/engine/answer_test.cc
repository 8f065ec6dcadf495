#include "server/engine/answer.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/fake_tokenizer.h"

namespace lamella {
namespace {

class AnswerTest : public testing::Test {
 protected:
  // Appends until the end; checks that what was shown only grows by whole characters.
  void Feed(const std::vector<int32_t>& tokens, StopParams stop) {
    Answer answer(&tokenizer_, stop, stop.max_tokens);
    for (const int32_t token : tokens) {
      end_ = answer.Append(token);
      shown_.push_back(answer.new_text());
      text_ += answer.new_text();
      ids_.insert(ids_.end(), answer.new_token_ids().begin(), answer.new_token_ids().end());
      shown_ids_.push_back(ids_.size());
      answer.TakeNews();
      if (end_.has_value()) return;
    }
  }
  static StopParams Stop(std::vector<std::string> strings, int32_t max_tokens = 100) {
    StopParams stop;
    stop.stop_strings = std::move(strings);
    stop.max_tokens = max_tokens;
    return stop;
  }

  FakeTokenizer tokenizer_;
  std::optional<ChoiceEnd> end_;
  std::string text_;
  std::vector<std::string> shown_;
  std::vector<int32_t> ids_;
  std::vector<size_t> shown_ids_;
};

TEST_F(AnswerTest, StopStringAcrossTokenBorders) {
  const int32_t en = tokenizer_.AddPiece("xE");
  const int32_t d = tokenizer_.AddPiece("NDy");
  Feed({'a', en, d, 'z'}, Stop({"END"}));
  ASSERT_TRUE(end_.has_value());
  EXPECT_EQ(end_->reason, FinishReason::kStopString);
  EXPECT_EQ(end_->matched_string, "END");
  EXPECT_EQ(text_, "ax");
  EXPECT_EQ(ids_, (std::vector<int32_t>{'a', en, d}));
}

TEST_F(AnswerTest, TokensOfHeldTextAreHeldToo) {
  Feed({'a', 'E', 'N', 'x'}, Stop({"END"}));
  EXPECT_FALSE(end_.has_value());
  EXPECT_EQ(shown_, (std::vector<std::string>{"a", "", "", "ENx"}));
  EXPECT_EQ(shown_ids_, (std::vector<size_t>{1, 1, 1, 4}));
}

TEST_F(AnswerTest, ACharacterSplitOverTokensIsShownWhole) {
  Feed({0xE2, 0x82, 0xAC, '!'}, Stop({}));
  EXPECT_EQ(shown_, (std::vector<std::string>{"", "", "\xE2\x82\xAC", "!"}));
  EXPECT_EQ(shown_ids_, (std::vector<size_t>{0, 0, 3, 4}));
}

TEST_F(AnswerTest, AnUnfinishedCharacterIsReplacedAtTheEnd) {
  Feed({'a', 0xE2, 0x82}, Stop({}, 3));
  ASSERT_TRUE(end_.has_value());
  EXPECT_EQ(end_->reason, FinishReason::kLength);
  EXPECT_EQ(text_, "a\xEF\xBF\xBD");
  EXPECT_EQ(ids_.size(), 3u);
}

TEST_F(AnswerTest, AStopTokenShowsWhatWasHeldAndNotItself) {
  StopParams stop = Stop({"END"});
  stop.stop_token_ids = {'#'};
  Feed({'a', 'E', '#'}, stop);
  ASSERT_TRUE(end_.has_value());
  EXPECT_EQ(end_->reason, FinishReason::kStopToken);
  EXPECT_EQ(end_->matched_token_id, '#');
  EXPECT_EQ(text_, "aE");
  EXPECT_EQ(ids_, (std::vector<int32_t>{'a', 'E', '#'}));
}

TEST_F(AnswerTest, IgnoreEosDoesNotIgnoreStopTokens) {
  StopParams stop = Stop({});
  stop.ignore_eos = true;
  stop.stop_token_ids = {'#'};
  Feed({'a', FakeTokenizer::kEos, '#'}, stop);
  ASSERT_TRUE(end_.has_value());
  EXPECT_EQ(end_->matched_token_id, '#');
  EXPECT_EQ(text_, "a");
}

TEST_F(AnswerTest, LengthShowsWhatWasHeld) {
  Feed({'a', 'E', 'N'}, Stop({"END"}, 3));
  ASSERT_TRUE(end_.has_value());
  EXPECT_EQ(end_->reason, FinishReason::kLength);
  EXPECT_EQ(text_, "aEN");
}

// The end-of-text token of the tokenizer and the request's own are banned for min_tokens tokens.
TEST_F(AnswerTest, StopTokensAreBannedUntilMinTokensAreThere) {
  StopParams stop = Stop({});
  stop.min_tokens = 2;
  stop.stop_token_ids = {'z', 'q', 'z'};
  Answer answer(&tokenizer_, stop, stop.max_tokens);
  const int32_t eos = tokenizer_.eos_token_ids().front();
  std::vector<int32_t> all = {'q', 'z', eos};
  std::sort(all.begin(), all.end());
  EXPECT_TRUE(std::ranges::equal(answer.banned_token_ids(), all));
  answer.Append('a');
  EXPECT_TRUE(std::ranges::equal(answer.banned_token_ids(), all));
  answer.Append('b');
  EXPECT_TRUE(answer.banned_token_ids().empty());
  EXPECT_EQ(answer.Append('z')->matched_token_id, 'z');

  stop.ignore_eos = true;
  const Answer ignoring(&tokenizer_, stop, stop.max_tokens);
  EXPECT_TRUE(std::ranges::equal(ignoring.banned_token_ids(), std::vector<int32_t>{'q', 'z'}));
}

TEST_F(AnswerTest, WithoutMinTokensNothingIsBanned) {
  StopParams stop = Stop({});
  stop.stop_token_ids = {'z'};
  EXPECT_TRUE(Answer(&tokenizer_, stop, stop.max_tokens).banned_token_ids().empty());
}

TEST_F(AnswerTest, AStopTokenThatComesTooEarlyEndsNothing) {
  StopParams stop = Stop({}, 5);
  stop.stop_token_ids = {'z'};
  stop.min_tokens = 2;
  Feed({'a', 'z', 'b', 'z', 'c'}, stop);
  ASSERT_TRUE(end_.has_value());
  EXPECT_EQ(end_->reason, FinishReason::kStopToken);
  EXPECT_EQ(text_, "azb");
  EXPECT_EQ(ids_.size(), 4u);
}

TEST_F(AnswerTest, StopStringsBeforeMinTokensAreText) {
  StopParams stop = Stop({"ab", "c"});
  stop.min_tokens = 5;
  Feed({'a', 'b', 'c', 'a', 'c', 'x'}, stop);
  ASSERT_TRUE(end_.has_value());
  EXPECT_EQ(end_->matched_string, "c");  // completed by token number five
  EXPECT_EQ(text_, "abca");
  EXPECT_EQ(ids_.size(), 5u);
}

TEST_F(AnswerTest, AStopStringMayBeginBeforeMinTokens) {
  StopParams stop = Stop({"END"});
  stop.min_tokens = 3;
  Feed({'E', 'N', 'D', 'x'}, stop);
  ASSERT_TRUE(end_.has_value());
  EXPECT_EQ(end_->reason, FinishReason::kStopString);
  EXPECT_EQ(text_, "");
}

TEST_F(AnswerTest, AStopStringThatIsCompleteBeforeMinTokensIsText) {
  StopParams stop = Stop({"END"}, 4);
  stop.min_tokens = 4;
  Feed({'E', 'N', 'D', 'x'}, stop);
  ASSERT_TRUE(end_.has_value());
  EXPECT_EQ(end_->reason, FinishReason::kLength);
  EXPECT_EQ(text_, "ENDx");
}

TEST_F(AnswerTest, LogprobsTravelWithTheirTokens) {
  Answer answer(&tokenizer_, Stop({"END"}), 100);
  const auto told = [](int32_t token) {
    return TokenLogprobs{{token, -0.5f}, {{token, -0.5f}, {token + 1, -1.5f}}};
  };
  EXPECT_FALSE(answer.Append('a', told('a')).has_value());
  EXPECT_EQ(answer.new_logprobs(), std::vector<TokenLogprobs>{told('a')});
  answer.TakeNews();
  EXPECT_TRUE(answer.new_logprobs().empty());
  for (const int32_t held : {'E', 'N'}) answer.Append(held, told(held));
  EXPECT_TRUE(answer.new_token_ids().empty());
  EXPECT_TRUE(answer.new_logprobs().empty());
  EXPECT_TRUE(answer.Append('D', told('D')).has_value());
  EXPECT_EQ(answer.new_token_ids(), (std::vector<int32_t>{'E', 'N', 'D'}));
  EXPECT_EQ(answer.new_logprobs(), (std::vector<TokenLogprobs>{told('E'), told('N'), told('D')}));
}

TEST_F(AnswerTest, WithoutLogprobsThereAreNone) {
  Answer answer(&tokenizer_, Stop({}), 100);
  answer.Append('a');
  EXPECT_EQ(answer.new_token_ids().size(), 1u);
  EXPECT_TRUE(answer.new_logprobs().empty());
}

}  // namespace
}  // namespace lamella
