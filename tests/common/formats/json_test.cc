#include "common/formats/json.h"

#include <string>
#include <vector>

#include "common/base/reasons.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsInvalid;
using testing::IsOk;

JsonValue Parsed(std::string_view text) {
  auto value = ParseStrictJson(text);
  EXPECT_TRUE(IsOk(value)) << text;
  return value.ok() ? *std::move(value) : JsonValue();
}

TEST(StrictJsonTest, ReadsEveryKind) {
  const JsonValue root = Parsed(
      R"( {"n":null,"t":true,"i":-7,"d":1.5,"s":"a\u00e9","a":[1,[2]],"o":{"x":1},"big":1e3} )");
  EXPECT_TRUE(root.Find("n")->is_null());
  EXPECT_EQ(root.GetBool("t").value(), true);
  EXPECT_EQ(root.GetInt("i").value(), -7);
  EXPECT_EQ(root.GetDouble("i").value(), -7.0);
  EXPECT_EQ(root.GetDouble("d").value(), 1.5);
  EXPECT_EQ(root.GetString("s").value(), "a\xc3\xa9");
  EXPECT_EQ(root.GetArray("a").value()->at(1).AsArray()->front().AsInt(), 2);
  EXPECT_EQ(root.GetObject("o").value()->front().key, "x");
  EXPECT_EQ(root.Find("big")->AsInt(), std::nullopt);
  EXPECT_EQ(root.Find("absent"), nullptr);
}

TEST(StrictJsonTest, ObjectsKeepTheOrderOfTheFile) {
  std::vector<std::string> keys;
  const JsonValue root = Parsed(R"({"z":1,"a":2,"m":3})");
  for (const JsonMember& member : *root.AsObject()) keys.push_back(member.key);
  EXPECT_EQ(keys, (std::vector<std::string>{"z", "a", "m"}));
}

TEST(StrictJsonTest, IntegersBeyondInt64AreDoubles) {
  EXPECT_EQ(Parsed("9223372036854775807").AsInt(), INT64_MAX);
  EXPECT_EQ(Parsed("9223372036854775808").AsInt(), std::nullopt);
  EXPECT_EQ(Parsed("9223372036854775808").AsDouble(), 9223372036854775808.0);
  EXPECT_EQ(Parsed("99999999999999999999999").AsInt(), std::nullopt);
}

TEST(StrictJsonTest, DuplicateKeysAreRefusedByName) {
  EXPECT_TRUE(IsInvalid(ParseStrictJson(R"({"r":1,"x":{"r":2},"r":3})"), reasons::kDuplicateKey,
                        "r", "\"r\" appears twice"));
  EXPECT_TRUE(
      IsInvalid(ParseStrictJson(R"({"a":[{"\u0062":1,"b":2}]})"), reasons::kDuplicateKey, "b"));
}

TEST(StrictJsonTest, MalformedTextIsRefused) {
  const std::vector<std::string> texts = {"",
                                          " ",
                                          "{",
                                          "{}x",
                                          "{} {}",
                                          "[1,]",
                                          "{\"a\":}",
                                          "nul",
                                          "NaN",
                                          "[Infinity]",
                                          "[-Infinity]",
                                          "1e999",
                                          "01",
                                          "{'a':1}",
                                          "// c\n1",
                                          "[1/**/]",
                                          "\xef\xbb\xbf{}",
                                          "\"\xff\"",
                                          "\"\xc0\xaf\"",
                                          "\"\xed\xa0\x80\"",
                                          "\"\\ud800\"",
                                          "\"a\nb\"",
                                          std::string("{}\0", 3),
                                          std::string("{}\0x", 4),
                                          std::string("\"\0\"", 3)};
  for (const std::string& text : texts) {
    EXPECT_TRUE(IsInvalid(ParseStrictJson(text), reasons::kMalformedJson)) << text;
  }
}

TEST(StrictJsonTest, LimitsHold) {
  EXPECT_TRUE(IsInvalid(ParseStrictJson("[1]", {.max_bytes = 2}), reasons::kLimitExceeded, "",
                        "at most 2 bytes, got 3"));
  EXPECT_TRUE(IsOk(ParseStrictJson("[[{}]]", {.max_depth = 3})));
  EXPECT_TRUE(IsInvalid(ParseStrictJson("[[[1]]]", {.max_depth = 2}), reasons::kLimitExceeded, "",
                        "nested deeper than 2"));
  EXPECT_TRUE(IsOk(ParseStrictJson("[1,2]", {.max_values = 3})));
  EXPECT_TRUE(IsInvalid(ParseStrictJson("[1,2,3]", {.max_values = 3}), reasons::kLimitExceeded, "",
                        "more than 3 values"));
  EXPECT_TRUE(IsInvalid(ParseStrictJson(std::string(500'000, '[')), reasons::kLimitExceeded));
}

TEST(StrictJsonTest, TypedMembersNameTheKey) {
  const JsonValue root = Parsed(R"({"r":"eight","n":null,"f":1.0})");
  EXPECT_TRUE(IsInvalid(root.GetInt("r"), reasons::kInvalidConfigValue, "r",
                        "r must be an integer, got \"eight\""));
  EXPECT_TRUE(IsInvalid(root.GetInt("f"), reasons::kInvalidConfigValue, "f", "got 1"));
  EXPECT_TRUE(IsInvalid(root.GetBool("x"), reasons::kInvalidConfigValue, "x", "x is missing"));
  EXPECT_EQ(root.GetIntOr("n", 4).value(), 4);
  EXPECT_EQ(root.GetStringOr("x", "d").value(), "d");
  EXPECT_TRUE(IsInvalid(root.GetDoubleOr("r", 1), reasons::kInvalidConfigValue, "r"));
}

TEST(StrictJsonTest, EmptyIsWhatWritersPutWhereNothingIsSet) {
  for (const char* text : {"null", "false", "0", "0.0", "\"\"", "[]", "{}"}) {
    EXPECT_TRUE(Parsed(text).is_empty()) << text;
  }
  for (const char* text : {"true", "1", "\"x\"", "[0]", "{\"a\":null}"}) {
    EXPECT_FALSE(Parsed(text).is_empty()) << text;
  }
}

TEST(StrictJsonTest, MessagesQuoteAndCutBetweenCharacters) {
  EXPECT_EQ(JsonQuote("a\"b\\\n"), "\"a\\\"b\\\\\\u000a\"");
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "\xc3\xa4";
  EXPECT_TRUE(IsOk(ParseStrictJson(QuoteForMessage(umlauts).substr(0, 66))));
  EXPECT_EQ(QuoteForMessage("x" + umlauts).size(), 2 + 63 + 3U);
}

}  // namespace
}  // namespace lamella
