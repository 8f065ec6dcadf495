#include "server/tokenizer/regex.h"

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Matches(std::string_view pattern, std::string_view text) {
  const auto regex = Regex::Compile(pattern, "test");
  EXPECT_TRUE(regex.ok()) << regex.status();
  std::vector<TextRange> ranges;
  if (regex.ok()) {
    const absl::Status status = regex->FindAll(text, &ranges);
    EXPECT_TRUE(status.ok()) << status;
  }
  std::vector<std::string> out;
  for (const TextRange range : ranges) out.emplace_back(range.Of(text));
  return out;
}

TEST(RegexTest, BlanksAreUnicodesWhiteSpace) {
  // U+0085 and U+3000 are blanks; U+180E and U+200B have not been for years.
  EXPECT_THAT(Matches(R"(\s+)",
                      "a\xC2\x85\xE3\x80\x80"
                      "b\xE1\xA0\x8E"
                      "c\xE2\x80\x8B"),
              ElementsAre("\xC2\x85\xE3\x80\x80"));
  EXPECT_THAT(Matches(R"([^\s]+)", "a b"), ElementsAre("a", "b"));
  EXPECT_THAT(Matches(R"(\s+(?!\S))", "a   b  "), ElementsAre("  ", "  "));
}

TEST(RegexTest, EmptyMatchesAreNoMatches) {
  EXPECT_THAT(Matches("x*", "\xC3\xA4xx\xC3\xA4x"), ElementsAre("xx", "x"));
}

TEST(RegexTest, WhatMeansSomethingElseElsewhereIsRefused) {
  for (const char* pattern : {R"([\S])", R"(\h)", R"([a&&b])", R"([a[b]])", "(", R"(\C)"}) {
    const auto status = Regex::Compile(pattern, "pre_tokenizer.Split").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << pattern;
    EXPECT_EQ(ErrorReason(status), reasons::kUnsupportedTokenizer);
    EXPECT_EQ(ErrorField(status), "pre_tokenizer.Split");
  }
}

TEST(RegexTest, EndlessBacktrackingIsRefused) {
  const auto regex = Regex::Compile("(?:a|aa)+[0-9]", "test");
  ASSERT_TRUE(regex.ok()) << regex.status();
  std::vector<TextRange> ranges;
  const auto status = regex->FindAll(std::string(200, 'a'), &ranges);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(status), reasons::kLimitExceeded);
}

}  // namespace
}  // namespace lamella
