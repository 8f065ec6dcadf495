#include "server/engine/stop_strings.h"

#include "gtest/gtest.h"

namespace lamella {
namespace {

struct Outcome {
  std::string text;
  std::string matched;  // "" if none did
  bool operator==(const Outcome&) const = default;
};

// Feeds `text` in pieces of `piece` bytes.
Outcome Match(const std::vector<std::string>& stops, std::string_view text, size_t piece,
              bool include = false) {
  StopStrings matcher(stops, include);
  Outcome outcome;
  for (size_t i = 0; i < text.size(); i += piece) {
    const auto match = matcher.Feed(text.substr(i, piece), &outcome.text);
    if (match.has_value()) {
      outcome.matched = matcher.string(*match);
      return outcome;
    }
  }
  matcher.Flush(&outcome.text);
  return outcome;
}

TEST(StopStringsTest, FindsAMatchAcrossAnyBorders) {
  for (size_t piece = 1; piece <= 12; ++piece) {
    EXPECT_EQ(Match({"END"}, "say the END now", piece), (Outcome{"say the ", "END"})) << piece;
    EXPECT_EQ(Match({"END"}, "say the END now", piece, true), (Outcome{"say the END", "END"}));
    EXPECT_EQ(Match({"aab"}, "aaaab", piece), (Outcome{"aa", "aab"})) << piece;
    EXPECT_EQ(Match({"abcd", "bc"}, "xabcd", piece), (Outcome{"xa", "bc"})) << piece;
    EXPECT_EQ(Match({"c", "abc"}, "xabc", piece), (Outcome{"x", "abc"})) << piece;
    EXPECT_EQ(Match({"END"}, "say the EN", piece), (Outcome{"say the EN", ""})) << piece;
  }
}

TEST(StopStringsTest, ShowsNoPartOfAMatchBeforeIt) {
  StopStrings matcher({"\n\nQ:"}, false);
  std::string shown;
  EXPECT_FALSE(matcher.Feed("yes\n", &shown).has_value());
  EXPECT_EQ(shown, "yes");
  EXPECT_TRUE(matcher.holding());
  EXPECT_FALSE(matcher.Feed("\nQ", &shown).has_value());
  EXPECT_EQ(shown, "yes");
  EXPECT_TRUE(matcher.Feed(": more", &shown).has_value());
  EXPECT_EQ(shown, "yes");
}

TEST(StopStringsTest, GivesBackWhatDidNotMatch) {
  StopStrings matcher({"\n\nQ:"}, false);
  std::string shown;
  matcher.Feed("yes\n\n", &shown);
  matcher.Feed("no", &shown);
  EXPECT_EQ(shown, "yes\n\nno");
  EXPECT_FALSE(matcher.holding());
}

TEST(StopStringsTest, WithoutStringsNothingIsHeld) {
  StopStrings matcher({}, false);
  std::string shown;
  EXPECT_FALSE(matcher.Feed("anything", &shown).has_value());
  EXPECT_EQ(shown, "anything");
}

TEST(StopStringsTest, PassedTextMatchesOnlyWithWhatFollows) {
  StopStrings matcher({"aba", "b"}, false);
  std::string shown;
  matcher.Pass("xab", &shown);
  EXPECT_EQ(shown, "x");  // "ab" may still become "aba"
  EXPECT_EQ(matcher.Feed("a", &shown), 0u);
  EXPECT_EQ(shown, "x");
}

TEST(StopStringsTest, PassedMatchesAreShown) {
  StopStrings matcher({"no"}, false);
  std::string shown;
  matcher.Pass("no no", &shown);
  EXPECT_EQ(shown, "no no");
  EXPECT_FALSE(matcher.Feed(" on", &shown).has_value());
  matcher.Flush(&shown);
  EXPECT_EQ(shown, "no no on");
}

TEST(StopStringsTest, WithoutStringsPassShowsAll) {
  StopStrings matcher({}, false);
  std::string shown;
  matcher.Pass("all", &shown);
  EXPECT_EQ(shown, "all");
}

}  // namespace
}  // namespace lamella
