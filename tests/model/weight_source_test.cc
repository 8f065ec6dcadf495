#include "server/model/weight_source.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "common/formats/json.h"
#include "tests/testing/gguf_to_hf/convert.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/tiny_gguf.h"

namespace lamella {
namespace {

using testing::GgufWriter;
using testing::TempDir;
using testing::TinyGemma3;
using testing::TinyLlama;

GgufWriter SentencePieceGemma() {
  return TinyGemma3()
      .Drop("tokenizer.ggml.model")
      .String("tokenizer.ggml.model", "llama")
      .Floats("tokenizer.ggml.scores", {0, 0, 0, 0, -1, -2, 0, 0});
}

// One model as a file and as a folder.
struct Pair {
  explicit Pair(const GgufWriter& writer) {
    const std::string path = dir.Write("tiny.gguf", writer.Build());
    const auto status = testing::ConvertGgufToHf(path, dir.path() + "/folder");
    EXPECT_TRUE(status.ok()) << status;
    auto gguf = OpenWeightSource(path);
    EXPECT_TRUE(gguf.ok()) << gguf.status();
    auto hf = OpenWeightSource(dir.path() + "/folder");
    EXPECT_TRUE(hf.ok()) << hf.status();
    if (gguf.ok()) file = std::move(*gguf);
    if (hf.ok()) folder = std::move(*hf);
  }
  TempDir dir;
  std::unique_ptr<WeightSource> file;
  std::unique_ptr<WeightSource> folder;
};

void ExpectSameModel(const Pair& pair) {
  ASSERT_TRUE(pair.file != nullptr && pair.folder != nullptr);
  EXPECT_EQ(pair.file->config(), pair.folder->config());
  EXPECT_NE(pair.file->fingerprint(), pair.folder->fingerprint());  // fp32 is not bf16
  for (const WeightInfo& info : pair.file->tensors()) {
    const auto count = static_cast<size_t>(info.rows() * info.columns());
    std::vector<float> exact(count);
    std::vector<float> rounded(count);
    ASSERT_TRUE(pair.file->ReadRows(info.name, 0, info.rows(), exact.data()).ok());
    ASSERT_TRUE(pair.folder->ReadRows(info.name, 0, info.rows(), rounded.data()).ok());
    for (size_t i = 0; i < count; ++i) {
      ASSERT_NEAR(rounded[i], exact[i], 1 + std::abs(exact[i]) / 256) << info.name << " " << i;
    }
  }
}

TEST(WeightSource, AFileAndItsFolderAreTheSameLlama) {
  ExpectSameModel(Pair(TinyLlama().String("tokenizer.ggml.pre", "smollm")));
}

TEST(WeightSource, AFileAndItsFolderAreTheSameGemma) {
  const Pair pair(SentencePieceGemma());
  ExpectSameModel(pair);
  const auto files = pair.folder->ReadHfTokenizer();
  ASSERT_TRUE(files.ok()) << files.status();
  const auto tokenizer = ParseStrictJson(files->tokenizer_json);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto merges = tokenizer->Find("model")->GetArray("merges");
  ASSERT_TRUE(merges.ok()) << merges.status();
  // "ab" has the better score, so its merge stands first.
  ASSERT_EQ((*merges)->size(), 2U);
  EXPECT_EQ(*(*(**merges)[0].AsArray())[0].AsString(), "a");
  EXPECT_EQ(*(*(**merges)[1].AsArray())[0].AsString(), "ab");
}

}  // namespace
}  // namespace lamella
