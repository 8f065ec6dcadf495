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
#include "server/model/gguf_config.h"
#include "server/tokenizer/gguf_tokenizer.h"
#include "server/tokenizer/tokenizer_json.h"
#include "tests/testing/gguf_to_hf/hf_json.h"
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

absl::StatusOr<GgufTokenizerData> ReadVocabulary(const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, MappedFile::Open(path));
  const auto bytes = file->bytes();
  ASSIGN_OR_RETURN(const GgufFile gguf,
                   GgufFile::Parse({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
  return ReadGgufTokenizerData(gguf);
}

std::string GemmaPath() {
  return PathFromEnvOr("LAMELLA_TEST_GEMMA", CacheDir() + "/models/gemma-3-270m.gguf");
}

double MillisecondsSince(std::chrono::steady_clock::time_point start) {
  const auto passed = std::chrono::steady_clock::now() - start;
  return std::chrono::duration<double, std::milli>(passed).count();
}

void ExpectGgufAnswersAsTheReference(const std::string& path, const char* name) {
  const auto data = ReadVocabulary(path);
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
  const std::string path = GemmaPath();
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

// Gemma's tokenizer.json may not be in the repository: it is rebuilt from the GGUF file's
// vocabulary.
TEST(TokenizerJsonModelsTest, GemmaAnswersAsTheReference) {
  const std::string path = GemmaPath();
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << "missing " << path << " (scripts/setup.sh --model gemma)";
  }
  const auto data = ReadVocabulary(path);
  ASSERT_TRUE(data.ok()) << data.status();
  const auto json = testing::TokenizerJson(*data);
  ASSERT_TRUE(json.ok()) << json.status();
  ExpectJsonAnswersAsTheReference(json->dump(), "gemma-3-270m");
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
