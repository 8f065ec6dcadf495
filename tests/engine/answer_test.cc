#include "server/engine/answer.h"

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

}  // namespace
}  // namespace lamella
