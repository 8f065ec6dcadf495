#include "server/tokenizer/normalizer.h"

#include <utf8proc.h>

#include <cstdlib>
#include <random>

#include "gtest/gtest.h"
#include "server/tokenizer/utf8.h"

namespace lamella {
namespace {

template <typename Step>
AlignedText Apply(Step step, std::string_view text, int32_t base = 0) {
  Normalizer normalizer;
  normalizer.Add(std::move(step));
  auto out = normalizer.Apply(text, base);
  EXPECT_TRUE(out.ok()) << out.status();
  return out.ok() ? *std::move(out) : AlignedText{};
}

std::string LibraryNfc(const std::string& text) {
  utf8proc_uint8_t* out = utf8proc_NFC(reinterpret_cast<const utf8proc_uint8_t*>(text.c_str()));
  std::string result(reinterpret_cast<const char*>(out));
  std::free(out);
  return result;
}

TEST(NormalizerTest, ReplacementsKnowWhereTheyCameFrom) {
  const AlignedText out =
      Apply(Normalizer::Replace{" ", std::nullopt, "\xE2\x96\x81"}, "a b", /*base=*/10);
  EXPECT_EQ(out.text,
            "a\xE2\x96\x81"
            "b");
  EXPECT_EQ(out.Source({1, 4}).begin, 11);
  EXPECT_EQ(out.Source({1, 4}).end, 12);
  EXPECT_EQ(out.Source({4, 5}).begin, 12);
}

TEST(NormalizerTest, ReplacesWhatAPatternMatches) {
  auto regex = Regex::Compile(" {2,}", "test");
  ASSERT_TRUE(regex.ok());
  EXPECT_EQ(Apply(Normalizer::Replace{"", *std::move(regex), "_"}, "a  b c").text, "a_b c");
}

TEST(NormalizerTest, PrependsToTextOnly) {
  EXPECT_EQ(Apply(Normalizer::Prepend{"_"}, "a").text, "_a");
  EXPECT_EQ(Apply(Normalizer::Prepend{"_"}, "").text, "");
}

TEST(NormalizerTest, NfcEqualsTheLibrarysOnRandomText) {
  std::mt19937 random(5);
  // Letters, combining marks, Hangul letters, Indic vowel signs, and singletons.
  const std::pair<char32_t, char32_t> blocks[] = {
      {0x41, 0x7A},   {0xC0, 0x17F},    {0x300, 0x36F},   {0x1100, 0x11FF}, {0x9BE, 0x9D7},
      {0xB3E, 0xB57}, {0x1E00, 0x1EFF}, {0x2126, 0x212B}, {0xAC00, 0xAC40}, {0xF71, 0xF84}};
  for (int i = 0; i < 3000; ++i) {
    std::string text;
    const size_t length = 1 + random() % 12;
    for (size_t k = 0; k < length; ++k) {
      const auto& [low, high] = blocks[random() % std::size(blocks)];
      utf8::Append(low + random() % (high - low + 1), &text);
    }
    const AlignedText out = Apply(Normalizer::Nfc{}, text);
    ASSERT_EQ(out.text, LibraryNfc(text)) << ::testing::PrintToString(text);
    const Encoding::Range whole = out.Source({0, out.text.size()});
    EXPECT_EQ(whole.begin, 0);
    EXPECT_EQ(whole.end, static_cast<int32_t>(text.size()));
  }
}

}  // namespace
}  // namespace lamella
