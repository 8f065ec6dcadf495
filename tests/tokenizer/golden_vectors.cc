#include "tests/tokenizer/golden_vectors.h"

#include <fstream>
#include <random>
#include <sstream>

#include "common/formats/json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/tokenizer/incremental_decoder.h"
#include "server/tokenizer/utf8.h"

namespace lamella::testing {
namespace {

std::vector<int32_t> ReadIds(const JsonValue& vector, std::string_view key) {
  std::vector<int32_t> ids;
  const auto array = vector.GetArray(key);
  EXPECT_TRUE(array.ok()) << array.status();
  if (!array.ok()) return ids;
  for (const JsonValue& id : **array) ids.push_back(static_cast<int32_t>(id.AsInt().value_or(-1)));
  return ids;
}

std::string ReadText(const JsonValue& vector, std::string_view key) {
  const auto text = vector.GetString(key);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : std::string();
}

void ExpectOffsetsInOrder(const Encoding& encoding, std::string_view text) {
  ASSERT_EQ(encoding.offsets.size(), encoding.ids.size());
  int32_t last_begin = 0;
  for (const Encoding::Range range : encoding.offsets) {
    EXPECT_LE(range.begin, range.end);
    EXPECT_LE(last_begin, range.begin);
    EXPECT_LE(static_cast<size_t>(range.end), text.size());
    last_begin = range.begin;
  }
}

}  // namespace

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream content;
  content << file.rdbuf();
  return std::move(content).str();
}

std::vector<GoldenVector> ReadGoldenVectors(std::string_view name) {
  const std::string path =
      std::string(LAMELLA_SOURCE_DIR "/tests/golden/tokenizer_") + std::string(name) + ".json";
  const auto document = ParseStrictJson(ReadFile(path));
  EXPECT_TRUE(document.ok()) << document.status();
  if (!document.ok()) return {};
  const auto vectors = document->GetArray("vectors");
  EXPECT_TRUE(vectors.ok()) << vectors.status();
  if (!vectors.ok()) return {};
  std::vector<GoldenVector> out;
  for (const JsonValue& vector : **vectors) {
    out.push_back({ReadText(vector, "text"), ReadIds(vector, "ids"), ReadIds(vector, "ids_bare"),
                   ReadText(vector, "decoded"), ReadText(vector, "decoded_skip")});
  }
  return out;
}

void ExpectGoldenVectors(const Tokenizer& tokenizer, std::string_view name) {
  const std::vector<GoldenVector> vectors = ReadGoldenVectors(name);
  EXPECT_EQ(vectors.size(), 68u);
  for (const GoldenVector& vector : vectors) {
    SCOPED_TRACE(::testing::PrintToString(vector.text));
    // The reference finds special tokens in any text.
    const auto full = tokenizer.Encode(vector.text, {.parse_special_tokens = true});
    const auto bare =
        tokenizer.Encode(vector.text, {.add_special_tokens = false, .parse_special_tokens = true});
    ASSERT_TRUE(full.ok() && bare.ok()) << full.status() << bare.status();
    EXPECT_EQ(full->ids, vector.ids);
    EXPECT_EQ(bare->ids, vector.ids_bare);
    ExpectOffsetsInOrder(*bare, vector.text);
    EXPECT_EQ(tokenizer.Decode(vector.ids_bare, false), vector.decoded);
    EXPECT_EQ(tokenizer.Decode(vector.ids, true), vector.decoded_skip);
    ExpectDeltasJoinToDecode(tokenizer, vector.ids);
  }
}

void ExpectDeltasJoinToDecode(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  for (const bool skip_special : {false, true}) {
    IncrementalDecoder decoder(&tokenizer, skip_special);
    std::string joined;
    for (const int32_t id : ids) {
      const std::string delta = decoder.Append(id);
      EXPECT_FALSE(utf8::FindInvalid(delta).has_value()) << "half a character at id " << id;
      joined += delta;
    }
    joined += decoder.Flush();
    EXPECT_EQ(joined, tokenizer.Decode(ids, skip_special)) << ::testing::PrintToString(ids);
  }
}

void ExpectRandomDeltasJoinToDecode(const Tokenizer& tokenizer, int count) {
  std::mt19937 random(7);
  std::uniform_int_distribution<int32_t> any_id(-2, tokenizer.vocab_size() + 1);
  // Byte pieces and the shortest pieces come first in most vocabularies: half of the ids from there
  // make broken and whole characters likely.
  std::uniform_int_distribution<int32_t> low_id(0, 700);
  std::vector<int32_t> ids(24);
  for (int i = 0; i < count; ++i) {
    for (int32_t& id : ids) id = random() % 2 == 0 ? any_id(random) : low_id(random);
    ExpectDeltasJoinToDecode(tokenizer, ids);
  }
}

}  // namespace lamella::testing
