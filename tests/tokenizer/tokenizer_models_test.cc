// The recorded answers against tokenizers that the repository does not hold: the metadata of the
// demo models' GGUF files, and the tokenizer.json files of Gemma and Llama.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "common/base/status_macros.h"
#include "common/formats/gguf.h"
#include "common/formats/mapped_file.h"
#include "gtest/gtest.h"
#include "server/tokenizer/gguf_tokenizer.h"
#include "server/tokenizer/tokenizer_json.h"
#include "tests/tokenizer/golden_vectors.h"

namespace lamella {
namespace {

std::string CacheDir() {
  if (const char* cache = std::getenv("LAMELLA_CACHE"); cache != nullptr) return cache;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr) {
    return std::string(cache) + "/lamella";
  }
  const char* home = std::getenv("HOME");
  return std::string(home == nullptr ? "" : home) + "/.cache/lamella";
}

std::string PathFromEnvOr(const char* variable, const std::string& fallback) {
  const char* path = std::getenv(variable);
  return path != nullptr ? path : fallback;
}

absl::StatusOr<GgufTokenizerData> ReadVocabulary(const GgufFile& file) {
  GgufTokenizerData data;
  ASSIGN_OR_RETURN(data.model, file.GetString("tokenizer.ggml.model"));
  ASSIGN_OR_RETURN(data.pre, file.GetString("tokenizer.ggml.pre"));
  ASSIGN_OR_RETURN(data.tokens, file.GetStrings("tokenizer.ggml.tokens"));
  ASSIGN_OR_RETURN(const auto types, file.GetInts("tokenizer.ggml.token_type"));
  for (const int64_t type : types) data.token_types.push_back(static_cast<GgufTokenType>(type));
  if (file.Has("tokenizer.ggml.scores")) {
    ASSIGN_OR_RETURN(data.scores, file.GetFloats("tokenizer.ggml.scores"));
  }
  if (file.Has("tokenizer.ggml.merges")) {
    ASSIGN_OR_RETURN(data.merges, file.GetStrings("tokenizer.ggml.merges"));
  }
  const auto read_id = [&](const char* key, int32_t* id) {
    const auto value = file.GetInt(key, 0, 1 << 24);
    if (value.ok()) *id = static_cast<int32_t>(*value);
  };
  read_id("tokenizer.ggml.bos_token_id", &data.bos_id);
  read_id("tokenizer.ggml.eos_token_id", &data.eos_id);
  read_id("tokenizer.ggml.unknown_token_id", &data.unk_id);
  ASSIGN_OR_RETURN(data.add_bos, file.GetBool("tokenizer.ggml.add_bos_token"));
  ASSIGN_OR_RETURN(data.add_space_prefix, file.GetBool("tokenizer.ggml.add_space_prefix"));
  return data;
}

double MillisecondsSince(std::chrono::steady_clock::time_point start) {
  const auto passed = std::chrono::steady_clock::now() - start;
  return std::chrono::duration<double, std::milli>(passed).count();
}

void ExpectGgufAnswersAsTheReference(const std::string& path, const char* name) {
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto bytes = (*file)->bytes();
  const auto gguf = GgufFile::Parse({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  const auto data = ReadVocabulary(*gguf);
  ASSERT_TRUE(data.ok()) << data.status();
  const auto start = std::chrono::steady_clock::now();
  const auto tokenizer = TokenizerFromGguf(*data);
  std::printf("%s from GGUF: %.0f ms\n", name, MillisecondsSince(start));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  testing::ExpectGoldenVectors(**tokenizer, name);
  testing::ExpectRandomDeltasJoinToDecode(**tokenizer, 200);
  EXPECT_EQ((*tokenizer)->bos_token_id(), data->bos_id);
  EXPECT_EQ((*tokenizer)->eos_token_ids(), std::vector<int32_t>{data->eos_id});
}

TEST(GgufTokenizerModelsTest, SmolLm2AnswersAsTheReference) {
  const std::string path =
      PathFromEnvOr("LAMELLA_TEST_SMOLLM2", CacheDir() + "/models/smollm2-135m-instruct.gguf");
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << "missing " << path << " (scripts/setup.sh --model smollm2)";
  }
  ExpectGgufAnswersAsTheReference(path, "smollm2-135m-instruct");
}

TEST(GgufTokenizerModelsTest, GemmaAnswersAsTheReference) {
  const std::string path =
      PathFromEnvOr("LAMELLA_TEST_GEMMA", CacheDir() + "/models/gemma-3-270m.gguf");
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << "missing " << path << " (scripts/setup.sh --model gemma)";
  }
  ExpectGgufAnswersAsTheReference(path, "gemma-3-270m");
}

std::string TokenizerPath(const std::string& name) {
  return PathFromEnvOr("LAMELLA_TEST_TOKENIZERS", CacheDir() + "/tokenizers") + "/" + name +
         ".json";
}

void ExpectJsonAnswersAsTheReference(const std::string& json, const char* name) {
  const auto start = std::chrono::steady_clock::now();
  const auto tokenizer = LoadTokenizerJson(json, {});
  std::printf("%s from tokenizer.json: %.0f ms\n", name, MillisecondsSince(start));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  testing::ExpectGoldenVectors(**tokenizer, name);
  testing::ExpectRandomDeltasJoinToDecode(**tokenizer, 100);
}

TEST(TokenizerJsonModelsTest, GemmaAnswersAsTheReference) {
  const std::string path = TokenizerPath("gemma-3-270m");
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << "missing " << path << " (Gemma's tokenizer.json, such as gguf_to_hf writes)";
  }
  ExpectJsonAnswersAsTheReference(testing::ReadFile(path), "gemma-3-270m");
}

TEST(TokenizerJsonModelsTest, Llama32AnswersAsTheReference) {
  const std::string path = TokenizerPath("llama-3.2");
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << "missing " << path << " (scripts/setup.sh --model llama-tokenizer)";
  }
  ExpectJsonAnswersAsTheReference(testing::ReadFile(path), "llama-3.2");
}

TEST(TokenizerJsonModelsTest, Llama32IgnoringMergesAnswersAsTheReference) {
  const std::string path = TokenizerPath("llama-3.2");
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << "missing " << path << " (scripts/setup.sh --model llama-tokenizer)";
  }
  std::string json = testing::ReadFile(path);
  const std::string off = "\"ignore_merges\": false";
  const size_t at = json.find(off);
  ASSERT_NE(at, std::string::npos);
  json.replace(at, off.size(), "\"ignore_merges\": true");
  ExpectJsonAnswersAsTheReference(json, "llama-3.2-ignore-merges");
}

}  // namespace
}  // namespace lamella
