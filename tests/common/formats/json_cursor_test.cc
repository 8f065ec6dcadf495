#include "common/formats/json_cursor.h"

#include <optional>
#include <string_view>

#include "gtest/gtest.h"

namespace lamella {
namespace {

std::optional<std::string_view> ValueOf(std::string_view text) {
  JsonCursor cursor(text);
  return cursor.Value();
}

TEST(JsonCursorTest, PlainStringsSpellThemselves) {
  EXPECT_EQ(JsonCursor(" \"a b\",").PlainString(), "a b");
  EXPECT_EQ(JsonCursor("\"\"").PlainString(), "");
  for (const char* text :
       {"", "a", "\"a", "\"\\u0061\"", "\"\xc3\xa9\"", "\"a\tb\"", "\"a\\\"\""}) {
    EXPECT_EQ(JsonCursor(text).PlainString(), std::nullopt) << text;
  }
}

TEST(JsonCursorTest, PlainIntegersHaveNoSignAndNoNeedlessZero) {
  EXPECT_EQ(JsonCursor("0").PlainInt(), 0);
  EXPECT_EQ(JsonCursor(" 120,").PlainInt(), 120);
  EXPECT_EQ(JsonCursor("999999999999999999").PlainInt(), 999999999999999999);
  for (const char* text : {"", "-1", "01", "00", "x", "1000000000000000000"}) {
    EXPECT_EQ(JsonCursor(text).PlainInt(), std::nullopt) << text;
  }
}

TEST(JsonCursorTest, WhatIsRefusedLeavesTheCursorInPlace) {
  JsonCursor cursor("\"\\n\"");
  EXPECT_EQ(cursor.PlainString(), std::nullopt);
  EXPECT_EQ(cursor.PlainInt(), std::nullopt);
  EXPECT_EQ(cursor.at(), 0U);
}

TEST(JsonCursorTest, ValuesEndWhereTheyEnd) {
  EXPECT_EQ(ValueOf(" [1,{\"]\":\"}\"}] ,2"), "[1,{\"]\":\"}\"}]");
  EXPECT_EQ(ValueOf("\"a\\\"b\":1"), "\"a\\\"b\"");
  EXPECT_EQ(ValueOf("-1.5e3}"), "-1.5e3");
  EXPECT_EQ(ValueOf("null"), "null");
  for (const char* text : {"", " ", ",", "]", "{", "[\"]", "\"a\\", "[[]"}) {
    EXPECT_EQ(ValueOf(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace lamella
