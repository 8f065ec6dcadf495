#include "server/tokenizer/added_tokens.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;

// "text" for plain parts, "[id:text]" for tokens.
std::vector<std::string> Cut(const AddedTokens& tokens, std::string_view text,
                             bool parse_special = true) {
  std::vector<std::string> out;
  for (const TextSection& section : tokens.Split(text, parse_special)) {
    const std::string part(section.range.Of(text));
    out.push_back(section.id < 0 ? part : "[" + std::to_string(section.id) + ":" + part + "]");
  }
  return out;
}

TEST(AddedTokensTest, LeftmostThenLongestWins) {
  AddedTokens tokens;
  tokens.Add("<a>", {.id = 1});
  tokens.Add("<a><b>", {.id = 2});
  tokens.Add("\n", {.id = 3});
  tokens.Add("\n\n", {.id = 4});
  EXPECT_THAT(Cut(tokens, "x<a><a><b>y"), ElementsAre("x", "[1:<a>]", "[2:<a><b>]", "y"));
  EXPECT_THAT(Cut(tokens, "\n\n\n"), ElementsAre("[4:\n\n]", "[3:\n]"));
  EXPECT_THAT(Cut(tokens, "<a><b"), ElementsAre("[1:<a>]", "<b"));
  EXPECT_THAT(Cut(tokens, ""), ElementsAre());
}

TEST(AddedTokensTest, SpecialTokensOnlyOnRequest) {
  AddedTokens tokens;
  tokens.Add("<s>", {.id = 1, .special = true});
  tokens.Add("<s", {.id = 2});
  EXPECT_THAT(Cut(tokens, "<s>", true), ElementsAre("[1:<s>]"));
  EXPECT_THAT(Cut(tokens, "<s>", false), ElementsAre("[2:<s]", ">"));
}

TEST(AddedTokensTest, StrippingTakesBlanksAlong) {
  AddedTokens tokens;
  tokens.Add("<l>", {.id = 1, .strip_left = true});
  tokens.Add("<r>", {.id = 2, .strip_right = true});
  EXPECT_THAT(Cut(tokens, "a \xC2\xA0<l> b"), ElementsAre("a", "[1: \xC2\xA0<l>]", " b"));
  EXPECT_THAT(Cut(tokens, "a <r>\t\n<l>"), ElementsAre("a ", "[2:<r>\t\n]", "[1:<l>]"));
}

}  // namespace
}  // namespace lamella
