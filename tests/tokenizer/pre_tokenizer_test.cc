#include "server/tokenizer/pre_tokenizer.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Words(const PreTokenizer& pre_tokenizer, std::string_view text) {
  AlignedText aligned;
  aligned.text = text;
  std::vector<TextRange> words;
  const absl::Status status = pre_tokenizer.Apply(&aligned, &words);
  EXPECT_TRUE(status.ok()) << status;
  std::vector<std::string> out;
  for (const TextRange word : words) out.emplace_back(word.Of(aligned.text));
  return out;
}

std::vector<std::string> SplitAtDashes(SplitBehavior behavior, std::string_view text,
                                       bool invert = false) {
  PreTokenizer pre_tokenizer;
  pre_tokenizer.Add(PreTokenizer::Split{
      .text = "-", .regex = std::nullopt, .behavior = behavior, .invert = invert});
  return Words(pre_tokenizer, text);
}

TEST(PreTokenizerTest, EveryBehaviourOfSplit) {
  constexpr std::string_view kText = "the-final--countdown";
  EXPECT_THAT(SplitAtDashes(SplitBehavior::kRemoved, kText),
              ElementsAre("the", "final", "countdown"));
  EXPECT_THAT(SplitAtDashes(SplitBehavior::kIsolated, kText),
              ElementsAre("the", "-", "final", "-", "-", "countdown"));
  EXPECT_THAT(SplitAtDashes(SplitBehavior::kMergedWithPrevious, kText),
              ElementsAre("the-", "final-", "-", "countdown"));
  EXPECT_THAT(SplitAtDashes(SplitBehavior::kMergedWithNext, kText),
              ElementsAre("the", "-final", "-", "-countdown"));
  EXPECT_THAT(SplitAtDashes(SplitBehavior::kContiguous, kText),
              ElementsAre("the", "-", "final", "--", "countdown"));
  EXPECT_THAT(SplitAtDashes(SplitBehavior::kRemoved, kText, /*invert=*/true),
              ElementsAre("-", "-", "-"));
  EXPECT_THAT(SplitAtDashes(SplitBehavior::kMergedWithNext, "-"), ElementsAre("-"));
  EXPECT_THAT(SplitAtDashes(SplitBehavior::kIsolated, ""), ElementsAre());
}

TEST(PreTokenizerTest, DigitsAloneOrInRuns) {
  PreTokenizer alone;
  alone.Add(PreTokenizer::Digits{.individual = true});
  EXPECT_THAT(Words(alone, "a12\xC2\xBD"), ElementsAre("a", "1", "2", "\xC2\xBD"));
  PreTokenizer runs;
  runs.Add(PreTokenizer::Digits{});
  EXPECT_THAT(Words(runs, "a12b"), ElementsAre("a", "12", "b"));
}

TEST(PreTokenizerTest, Gpt2PatternLeavesOneBlankToTheNextWord) {
  PreTokenizer pre_tokenizer;
  auto split = PreTokenizer::Gpt2Split();
  ASSERT_TRUE(split.ok()) << split.status();
  pre_tokenizer.Add(*std::move(split));
  EXPECT_THAT(Words(pre_tokenizer, "I'm  here 42!\n"),
              ElementsAre("I", "'m", " ", " here", " 42", "!", "\n"));
}

TEST(PreTokenizerTest, PrefixSpaceKeepsOffsets) {
  PreTokenizer pre_tokenizer;
  pre_tokenizer.Add(PreTokenizer::PrefixSpace{});
  AlignedText text;
  text.text = "ab";
  text.base = 5;
  std::vector<TextRange> words;
  ASSERT_TRUE(pre_tokenizer.Apply(&text, &words).ok());
  EXPECT_EQ(text.text, " ab");
  const Encoding::Range whole = text.Source({0, 3});
  EXPECT_EQ(whole.begin, 5);
  EXPECT_EQ(whole.end, 7);
  EXPECT_THAT(Words(pre_tokenizer, " ab"), ElementsAre(" ab"));
}

}  // namespace
}  // namespace lamella
