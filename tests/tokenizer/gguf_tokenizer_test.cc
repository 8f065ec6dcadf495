#include "server/tokenizer/gguf_tokenizer.h"

#include <limits>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/tokenizer/incremental_decoder.h"
#include "tests/tokenizer/golden_vectors.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kBlank[] = "\xE2\x96\x81";

// <unk> <s> </s>, 256 bytes from id 3, then the given pieces from id 259.
GgufTokenizerData ScoredVocabulary(const std::vector<std::pair<std::string, float>>& pieces) {
  GgufTokenizerData data;
  data.model = "llama";
  data.pre = "default";
  data.tokens = {"<unk>", "<s>", "</s>"};
  data.token_types = {GgufTokenType::kUnknown, GgufTokenType::kControl, GgufTokenType::kControl};
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", byte);
    data.tokens.emplace_back(name);
    data.token_types.push_back(GgufTokenType::kByte);
  }
  data.scores.assign(data.tokens.size(), 0.0F);
  for (const auto& [piece, score] : pieces) {
    data.tokens.push_back(piece);
    data.scores.push_back(score);
    data.token_types.push_back(GgufTokenType::kNormal);
  }
  data.unk_id = 0;
  data.bos_id = 1;
  data.eos_id = 2;
  data.add_bos = true;
  return data;
}

std::unique_ptr<Tokenizer> Make(const GgufTokenizerData& data) {
  auto tokenizer = TokenizerFromGguf(data);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

std::vector<std::string> Pieces(const Tokenizer& tokenizer, std::string_view text,
                                EncodeOptions options = {}) {
  const auto encoding = tokenizer.Encode(text, options);
  EXPECT_TRUE(encoding.ok()) << encoding.status();
  std::vector<std::string> out;
  if (!encoding.ok()) return out;
  for (const int32_t id : encoding->ids) out.emplace_back(tokenizer.Piece(id));
  return out;
}

TEST(GgufTokenizerTest, BestScoreMergesFirst) {
  const auto tokenizer = Make(
      ScoredVocabulary({{"a", -9}, {"b", -9}, {"c", -9}, {"ab", -2}, {"bc", -1}, {"abc", -8}}));
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_THAT(Pieces(*tokenizer, "abc"), ElementsAre("<s>", "abc"));
  EXPECT_THAT(Pieces(*tokenizer, "abbc"), ElementsAre("<s>", "ab", "bc"));
}

TEST(GgufTokenizerTest, EqualScoresMergeByIdsOfTheWholeThenOfTheParts) {
  // "ab" has the lower id, so it goes before "bc" wherever they overlap.
  const auto tokenizer =
      Make(ScoredVocabulary({{"a", -1}, {"b", -1}, {"c", -1}, {"ab", -1}, {"bc", -1}}));
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_THAT(Pieces(*tokenizer, "abc"), ElementsAre("<s>", "ab", "c"));
}

TEST(GgufTokenizerTest, UnknownCharactersBecomeBytesAndComeBack) {
  const auto tokenizer = Make(ScoredVocabulary({{"a", -1}}));
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_THAT(Pieces(*tokenizer, "a\xC3\xA4"), ElementsAre("<s>", "a", "<0xC3>", "<0xA4>"));
  const auto encoding = tokenizer->Encode("a\xC3\xA4", {});
  ASSERT_TRUE(encoding.ok());
  EXPECT_EQ(tokenizer->Decode(encoding->ids, true), "a\xC3\xA4");
  EXPECT_EQ(encoding->offsets[2].begin, 1);
  EXPECT_EQ(encoding->offsets[2].end, 2);
}

TEST(GgufTokenizerTest, ControlTokensAndBytesAreNeverSpelledByText) {
  const auto tokenizer = Make(ScoredVocabulary(
      {{"<", -1}, {"s", -1}, {">", -1}, {"<s", -1}, {"0", -1}, {"x", -1}, {"4", -1}, {"1", -1}}));
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_THAT(Pieces(*tokenizer, "<s>", {.add_special_tokens = false}), ElementsAre("<s", ">"));
  EXPECT_THAT(
      Pieces(*tokenizer, "<s>", {.add_special_tokens = false, .parse_special_tokens = true}),
      ElementsAre("<s>"));
  EXPECT_THAT(Pieces(*tokenizer, "<0x41>", {.add_special_tokens = false}),
              ElementsAre("<", "0", "x", "4", "1", ">"));
}

TEST(GgufTokenizerTest, SpacePrefixIsPutAndTaken) {
  GgufTokenizerData data =
      ScoredVocabulary({{kBlank, -1}, {"a", -1}, {kBlank + std::string("a"), -1}});
  data.add_space_prefix = true;
  const auto tokenizer = Make(data);
  ASSERT_NE(tokenizer, nullptr);
  const auto encoding = tokenizer->Encode("a a", {.add_special_tokens = false});
  ASSERT_TRUE(encoding.ok());
  EXPECT_THAT(encoding->ids, ElementsAre(261, 261));
  EXPECT_EQ(tokenizer->Decode(encoding->ids, false), "a a");
  testing::ExpectDeltasJoinToDecode(*tokenizer, encoding->ids);
}

TEST(GgufTokenizerTest, AByteRunWaitsForItsEndAndIsJudgedWhole) {
  const auto tokenizer = Make(ScoredVocabulary({{"a", -1}}));
  ASSERT_NE(tokenizer, nullptr);
  const auto byte = [](int value) { return 3 + value; };
  IncrementalDecoder decoder(tokenizer.get(), false);
  EXPECT_EQ(decoder.Append(byte(0xC3)), "");
  EXPECT_EQ(decoder.Append(byte(0xA4)), "");
  EXPECT_EQ(decoder.Append(259),
            "\xC3\xA4"
            "a");
  EXPECT_EQ(decoder.Append(byte(0xC3)), "");
  EXPECT_EQ(decoder.Flush(), "\xEF\xBF\xBD");
  testing::ExpectRandomDeltasJoinToDecode(*tokenizer, 500);
}

TEST(GgufTokenizerTest, UnknownModelsAndPreTokenizersAreRefusedByName) {
  GgufTokenizerData data = ScoredVocabulary({{"a", -1}});
  data.model = "bert";
  auto status = TokenizerFromGguf(data).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(ErrorReason(status), reasons::kUnsupportedTokenizer);
  EXPECT_THAT(std::string(status.message()), HasSubstr("bert"));
  data.model = "gpt2";
  data.pre = "tekken";
  status = TokenizerFromGguf(data).status();
  EXPECT_EQ(ErrorReason(status), reasons::kUnsupportedTokenizer);
  EXPECT_EQ(ErrorField(status), "tokenizer.ggml.pre");
  EXPECT_THAT(std::string(status.message()), HasSubstr("tekken"));
}

void ExpectBad(const GgufTokenizerData& data, std::string_view field) {
  const auto status = TokenizerFromGguf(data).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
  EXPECT_EQ(ErrorReason(status), reasons::kInvalidConfigValue);
  EXPECT_EQ(ErrorField(status), field);
}

TEST(GgufTokenizerTest, ArraysThatDoNotFitAreRefused) {
  const GgufTokenizerData good = ScoredVocabulary({{"a", -1}});
  GgufTokenizerData data = good;
  data.scores.pop_back();
  ExpectBad(data, "tokenizer.ggml.scores");
  data = good;
  data.scores[5] = std::numeric_limits<float>::quiet_NaN();
  ExpectBad(data, "tokenizer.ggml.scores");
  data = good;
  data.token_types.pop_back();
  ExpectBad(data, "tokenizer.ggml.token_type");
  data = good;
  data.tokens.back() = "\xFF";
  ExpectBad(data, "tokenizer.ggml.tokens");
  data = good;
  data.tokens.back() = "<s>";
  ExpectBad(data, "vocab");
  data = good;
  data.bos_id = 1000;
  ExpectBad(data, "tokenizer.ggml");
  data = good;
  data.model = "gpt2";
  data.pre = "gpt-2";
  data.merges = {"a q"};
  ExpectBad(data, "tokenizer.ggml.merges");
}

}  // namespace
}  // namespace lamella
