#include "server/tokenizer/utf8.h"

#include <random>

#include "gtest/gtest.h"

namespace lamella::utf8 {
namespace {

std::string Lossy(std::string_view bytes) {
  LossyStream stream;
  std::string out;
  stream.Append(bytes, &out);
  stream.Finish(&out);
  return out;
}

TEST(Utf8Test, EveryCodePointComesBack) {
  for (char32_t c = 0; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 97) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    Append(c, &text);
    EXPECT_EQ(FindInvalid(text), std::nullopt) << static_cast<uint32_t>(c);
    size_t pos = 0;
    EXPECT_TRUE(Next(text, &pos) == c) << static_cast<uint32_t>(c);
    EXPECT_EQ(pos, text.size());
  }
}

TEST(Utf8Test, MalformedBytesAreFoundWhereTheyBegin) {
  EXPECT_EQ(FindInvalid("ab\x80"), 2u);            // a continuation alone
  EXPECT_EQ(FindInvalid("\xC1\xBF"), 0u);          // overlong
  EXPECT_EQ(FindInvalid("\xE0\x9F\xBF"), 0u);      // overlong
  EXPECT_EQ(FindInvalid("\xED\xA0\x80"), 0u);      // a surrogate
  EXPECT_EQ(FindInvalid("\xF0\x8F\xBF\xBF"), 0u);  // overlong
  EXPECT_EQ(FindInvalid("\xF4\x90\x80\x80"), 0u);  // beyond U+10FFFF
  EXPECT_EQ(FindInvalid("x\xE4\xBD"), 1u);         // cut
  EXPECT_EQ(FindInvalid("\xF4\x8F\xBF\xBF"), std::nullopt);
}

TEST(LossyStreamTest, OneReplacementForEachMaximalSubpart) {
  const std::string r(kReplacement);
  // The example of table 3-11 of the Unicode standard.
  EXPECT_EQ(Lossy("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
  EXPECT_EQ(Lossy("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(Lossy("ok\xF0\x9F\x98"), "ok" + r);
}

TEST(LossyStreamTest, CutsDoNotChangeTheText) {
  std::mt19937 random(3);
  for (int i = 0; i < 500; ++i) {
    std::string bytes;
    for (int k = 0; k < 30; ++k) {
      if (random() % 3 == 0) {
        bytes.push_back(static_cast<char>(random() % 256));
      } else {
        Append(0x1F600 + random() % 0x40, &bytes);
        bytes.resize(bytes.size() - random() % 2);
      }
    }
    LossyStream stream;
    std::string joined;
    for (size_t at = 0; at < bytes.size();) {
      const size_t step = 1 + random() % 5;
      std::string delta;
      stream.Append(std::string_view(bytes).substr(at, step), &delta);
      EXPECT_EQ(FindInvalid(delta), std::nullopt);
      joined += delta;
      at += step;
    }
    stream.Finish(&joined);
    EXPECT_EQ(joined, Lossy(bytes));
  }
}

}  // namespace
}  // namespace lamella::utf8
