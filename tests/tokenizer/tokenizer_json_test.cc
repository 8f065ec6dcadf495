#include "server/tokenizer/tokenizer_json.h"

#include <random>
#include <string>
#include <thread>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/tokenizer/utf8.h"
#include "tests/tokenizer/golden_vectors.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::unique_ptr<Tokenizer> LoadGolden(const std::string& name) {
  auto tokenizer = LoadTokenizerJson(
      testing::ReadFile(std::string(LAMELLA_TOKENIZERS_DIR "/") + name + ".json"), {});
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

class TokenizerJsonGoldenTest : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerJsonGoldenTest, AnswersAsTheReferenceDoes) {
  const auto tokenizer = LoadGolden(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  testing::ExpectGoldenVectors(*tokenizer, GetParam());
}

TEST_P(TokenizerJsonGoldenTest, DeltasOfRandomIdsJoinToDecode) {
  const auto tokenizer = LoadGolden(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  testing::ExpectRandomDeltasJoinToDecode(*tokenizer, 200);
}

INSTANTIATE_TEST_SUITE_P(Files, TokenizerJsonGoldenTest,
                         ::testing::Values("gpt2", "qwen2.5", "smollm2-135m-instruct"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == '.' || c == '-' ? '_' : c;
                           return name;
                         });

std::string RandomText(std::mt19937* random, size_t length) {
  std::string text;
  for (size_t i = 0; i < length; ++i) {
    const uint32_t plane = (*random)() % 6;
    char32_t c = plane < 2 ? (*random)() % 0x80 : (*random)() % (plane < 4 ? 0x3000 : 0x110000);
    if (c >= 0xD800 && c <= 0xDFFF) c = ' ';
    utf8::Append(c, &text);
  }
  return text;
}

TEST(TokenizerJsonTest, ByteLevelTextComesBackWhole) {
  const auto tokenizer = LoadGolden("gpt2");
  ASSERT_NE(tokenizer, nullptr);
  std::mt19937 random(11);
  for (int i = 0; i < 300; ++i) {
    const std::string text = RandomText(&random, 1 + random() % 60);
    const auto encoding = tokenizer->Encode(text, {});
    ASSERT_TRUE(encoding.ok()) << encoding.status();
    ASSERT_EQ(tokenizer->Decode(encoding->ids, false), text);
  }
}

TEST(TokenizerJsonTest, OffsetsSpellTheTextOfEachPiece) {
  const auto tokenizer = LoadGolden("gpt2");
  ASSERT_NE(tokenizer, nullptr);
  const std::string text = "Hello, w\xC3\xB6rld! \xE4\xBD\xA0\xE5\xA5\xBD";
  const auto encoding = tokenizer->Encode(text, {});
  ASSERT_TRUE(encoding.ok()) << encoding.status();
  int32_t end = 0;
  for (const Encoding::Range range : encoding->offsets) {
    EXPECT_EQ(range.begin, end);
    end = range.end;
  }
  EXPECT_EQ(end, static_cast<int32_t>(text.size()));
}

TEST(TokenizerJsonTest, SpecialTokensComeFromTextOnlyWhenAsked) {
  const auto tokenizer = LoadGolden("smollm2-135m-instruct");
  ASSERT_NE(tokenizer, nullptr);
  const auto plain = tokenizer->Encode("<|im_end|>", {});
  const auto parsed = tokenizer->Encode("<|im_end|>", {.parse_special_tokens = true});
  ASSERT_TRUE(plain.ok() && parsed.ok());
  EXPECT_THAT(parsed->ids, ElementsAre(2));
  EXPECT_TRUE(tokenizer->IsSpecial(2));
  EXPECT_GT(plain->ids.size(), 1u);
  for (const int32_t id : plain->ids) EXPECT_FALSE(tokenizer->IsSpecial(id)) << id;
  EXPECT_EQ(tokenizer->Decode(plain->ids, true), "<|im_end|>");
}

TEST(TokenizerJsonTest, OtherAddedTokensAreAlwaysFound) {
  const auto tokenizer = LoadGolden("qwen2.5");
  ASSERT_NE(tokenizer, nullptr);
  const auto encoding = tokenizer->Encode("<tool_call>", {});
  ASSERT_TRUE(encoding.ok());
  ASSERT_EQ(encoding->ids.size(), 1u);
  EXPECT_FALSE(tokenizer->IsSpecial(encoding->ids[0]));
  EXPECT_EQ(tokenizer->Piece(encoding->ids[0]), "<tool_call>");
}

TEST(TokenizerJsonTest, PiecesKeepTheSpellingOfTheFile) {
  const auto tokenizer = LoadGolden("gpt2");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->vocab_size(), 50257);
  EXPECT_EQ(tokenizer->Piece(262), "\xC4\xA0the");
  EXPECT_EQ(tokenizer->Piece(-1), "");
  EXPECT_EQ(tokenizer->Piece(50257), "");
  EXPECT_EQ(tokenizer->bos_token_id(), -1);
  EXPECT_THAT(tokenizer->eos_token_ids(), ElementsAre());
}

TEST(TokenizerJsonTest, InvalidUtf8IsRefusedWithItsOffset) {
  const auto tokenizer = LoadGolden("gpt2");
  ASSERT_NE(tokenizer, nullptr);
  for (const char* text :
       {"abc\xFFz", "abc\xC0\xAF", "abc\xED\xA0\x80", "abc\xF4\x90\x80\x80", "abc\xE4\xBD"}) {
    const auto status = tokenizer->Encode(text, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorReason(status), reasons::kInvalidUtf8);
    EXPECT_THAT(std::string(status.message()), HasSubstr("at byte 3"));
  }
}

TEST(TokenizerJsonTest, ManyThreadsMayEncodeAtOnce) {
  const auto tokenizer = LoadGolden("gpt2");
  ASSERT_NE(tokenizer, nullptr);
  const std::string text = "It's 42 words,  or\nmore \xE4\xBD\xA0.";
  const auto expected = tokenizer->Encode(text, {});
  ASSERT_TRUE(expected.ok());
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 50; ++k) {
        const auto encoding = tokenizer->Encode(text, {});
        EXPECT_TRUE(encoding.ok() && encoding->ids == expected->ids);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(TokenizerJsonTest, HostileTextEndsWithASaneCount) {
  const auto tokenizer = LoadGolden("qwen2.5");
  ASSERT_NE(tokenizer, nullptr);
  constexpr size_t kBytes = 1 << 20;
  std::string marks = "e";  // combining marks of two classes, in the wrong order
  while (marks.size() < kBytes) marks += "\xCC\x81\xCC\xA3";
  for (const std::string& text :
       {std::string(kBytes, 'a'), std::string(kBytes, ' '), std::string(kBytes, '<'), marks}) {
    const auto encoding = tokenizer->Encode(text, {});
    ASSERT_TRUE(encoding.ok()) << encoding.status();
    EXPECT_GT(encoding->ids.size(), 1000u);
    EXPECT_LE(encoding->ids.size(), text.size());
  }
}

}  // namespace
}  // namespace lamella
