#include "server/model/hf_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "tests/testing/tiny_hf.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SafetensorsWriter;
using testing::TempDir;
using testing::TinyHfGemmaConfig;
using testing::TinyHfLlamaConfig;
using testing::TinyHfWeights;

constexpr char kNorm[] = "model.norm.weight";

struct Folder {
  explicit Folder(const std::string& config) { dir.Write("config.json", config); }
  Folder& Weights(const SafetensorsWriter& writer) {
    dir.Write("model.safetensors", writer.Bytes());
    return *this;
  }
  absl::StatusOr<std::unique_ptr<WeightSource>> Open() { return OpenWeightSource(dir.path()); }
  void ExpectRefused(absl::StatusCode code, const char* reason, const char* message_part) {
    const auto status = Open().status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(ErrorReason(status), reason) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message_part));
  }
  TempDir dir;
};

TEST(HfSource, ReadsEveryFloatType) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    Folder folder(TinyHfLlamaConfig());
    folder.Weights(TinyHfWeights(TinyHfLlamaConfig(), 0.5F, dtype));
    const auto source = folder.Open();
    ASSERT_TRUE(source.ok()) << source.status();
    EXPECT_EQ((*source)->tensors().front().dtype, DTypeName(dtype));
    std::vector<float> out(16);
    ASSERT_TRUE((*source)->ReadRows("model.embed_tokens.weight", 3, 5, out.data()).ok());
    EXPECT_THAT(out, ::testing::Each(0.5F));
  }
}

TEST(HfSource, GemmasNormsGainOne) {
  Folder folder(TinyHfGemmaConfig());
  folder.Weights(TinyHfWeights(TinyHfGemmaConfig(), 0.5F, DType::kBF16));
  const auto source = folder.Open();
  ASSERT_TRUE(source.ok()) << source.status();
  for (const WeightInfo& info : (*source)->tensors()) {
    std::vector<float> row(static_cast<size_t>(info.columns()));
    ASSERT_TRUE((*source)->ReadRows(info.name, 0, 1, row.data()).ok());
    EXPECT_THAT(row, ::testing::Each(info.shape.size() == 1 ? 1.5F : 0.5F)) << info.name;
  }
}

TEST(HfSource, GenerationConfigSaysWhatEndsAText) {
  Folder folder(TinyHfLlamaConfig());
  folder.Weights(TinyHfWeights(TinyHfLlamaConfig(), 1, DType::kF32));
  EXPECT_THAT((*folder.Open())->config().eos_token_ids, ElementsAre(7));
  folder.dir.Write("generation_config.json", R"({"eos_token_id": [5, 7], "top_k": 64})");
  EXPECT_THAT((*folder.Open())->config().eos_token_ids, ElementsAre(5, 7));
  folder.dir.Write("generation_config.json", R"({"eos_token_id": 8})");
  folder.ExpectRefused(absl::StatusCode::kInvalidArgument, reasons::kInvalidConfigValue,
                       "eos_token_id 8");
}

TEST(HfSource, ShardsAreFoundThroughTheIndex) {
  Folder folder(TinyHfLlamaConfig());
  const auto config = ParseHfConfig(TinyHfLlamaConfig());
  ASSERT_TRUE(config.ok()) << config.status();
  std::vector<std::string> map;
  for (const auto& tensor : ExpectedTensors(*config)) {
    map.push_back(absl::StrCat("\"", tensor.name, "\":\"", tensor.name == kNorm ? "b" : "a",
                               ".safetensors\""));
  }
  folder.dir.Write("a.safetensors",
                   TinyHfWeights(TinyHfLlamaConfig(), 1, DType::kF32, {kNorm}).Bytes());
  folder.dir.Write("b.safetensors", SafetensorsWriter().Fill(kNorm, {8}, 3).Bytes());
  folder.dir.Write("model.safetensors.index.json",
                   absl::StrCat("{\"metadata\":{\"total_size\":1},\"weight_map\":{",
                                absl::StrJoin(map, ","), "}}"));
  const auto source = folder.Open();
  ASSERT_TRUE(source.ok()) << source.status();
  std::vector<float> out(8);
  ASSERT_TRUE((*source)->ReadRows(kNorm, 0, 1, out.data()).ok());
  EXPECT_THAT(out, ::testing::Each(3.0F));
}

TEST(HfSource, AnIndexLeadsNowhereElse) {
  for (const char* shard : {"../a.safetensors", "/etc/passwd", "a.bin", "x/a.safetensors"}) {
    Folder folder(TinyHfLlamaConfig());
    folder.dir.Write("model.safetensors.index.json",
                     absl::StrCat("{\"weight_map\":{\"w\":\"", shard, "\"}}"));
    folder.ExpectRefused(absl::StatusCode::kInvalidArgument, reasons::kInvalidConfigValue, shard);
  }
}

TEST(HfSource, AShardOrTensorThatTheIndexNamesMustBeThere) {
  Folder folder(TinyHfLlamaConfig());
  folder.dir.Write("model.safetensors.index.json", R"({"weight_map": {"w": "a.safetensors"}})");
  folder.ExpectRefused(absl::StatusCode::kNotFound, reasons::kMissingFile, "a.safetensors");
  folder.dir.Write("a.safetensors", SafetensorsWriter().Fill("v", {1}, 0).Bytes());
  folder.ExpectRefused(absl::StatusCode::kInvalidArgument, reasons::kMissingTensor,
                       "tensor w is missing");
}

TEST(HfSource, ATruncatedShardIsRefused) {
  Folder folder(TinyHfLlamaConfig());
  folder.Weights(TinyHfWeights(TinyHfLlamaConfig(), 1, DType::kF32));
  const std::string path = folder.dir.path() + "/model.safetensors";
  const auto whole = std::filesystem::file_size(path);
  for (const auto size : {whole - 1, whole / 2, uintmax_t{20}}) {
    std::filesystem::resize_file(path, size);
    folder.ExpectRefused(absl::StatusCode::kInvalidArgument, reasons::kTruncated, "ends at byte");
  }
}

TEST(HfSource, MissingFilesAreNamed) {
  TempDir empty;
  const auto no_config = OpenWeightSource(empty.path()).status();
  EXPECT_EQ(no_config.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorReason(no_config), reasons::kMissingFile);
  EXPECT_THAT(std::string(no_config.message()), HasSubstr("config.json"));
  Folder folder(TinyHfLlamaConfig());
  folder.ExpectRefused(absl::StatusCode::kNotFound, reasons::kMissingFile, "model.safetensors");
  folder.Weights(TinyHfWeights(TinyHfLlamaConfig(), 1, DType::kF32));
  const auto source = folder.Open();
  ASSERT_TRUE(source.ok()) << source.status();
  const auto tokenizer = (*source)->ReadHfTokenizer().status();
  EXPECT_EQ(ErrorReason(tokenizer), reasons::kMissingFile) << tokenizer;
}

TEST(HfSource, MissingMisshapenStrangeAndUnreadableTensorsAreNamed) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  const auto without = [] { return TinyHfWeights(TinyHfLlamaConfig(), 1, DType::kF32, {kNorm}); };
  Folder folder(TinyHfLlamaConfig());
  folder.Weights(without()).ExpectRefused(invalid, reasons::kMissingTensor, kNorm);
  folder.Weights(without().Fill(kNorm, {9}, 1))
      .ExpectRefused(invalid, reasons::kShapeMismatch, "has shape [9]");
  folder.Weights(without().Fill(kNorm, {8}, 1).Fill("strange", {1}, 1))
      .ExpectRefused(invalid, reasons::kUnknownTensor, "strange");
  folder.Weights(without().Raw(kNorm, "F64", {8}, std::string(64, '\0')))
      .ExpectRefused(absl::StatusCode::kUnimplemented, reasons::kUnsupportedDtype, "F64");
}

TEST(HfSource, WhatOldWritersLeaveBehindIsIgnored) {
  Folder folder(TinyHfLlamaConfig());
  folder.Weights(TinyHfWeights(TinyHfLlamaConfig(), 1, DType::kF32)
                     .Fill("lm_head.weight", {8, 8}, 1)
                     .Fill("model.layers.0.self_attn.rotary_emb.inv_freq", {2}, 1));
  const auto source = folder.Open();
  EXPECT_TRUE(source.ok()) << source.status();
}

TEST(HfSource, HandsOverTheTokenizersFiles) {
  Folder folder(TinyHfLlamaConfig());
  folder.Weights(TinyHfWeights(TinyHfLlamaConfig(), 1, DType::kF32));
  folder.dir.Write("tokenizer.json", "{\"a\": 1}");
  folder.dir.Write("chat_template.jinja", "{{ x }}");
  const auto source = folder.Open();
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->tokenizer_format(), TokenizerFormat::kHuggingFace);
  const auto files = (*source)->ReadHfTokenizer();
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(files->tokenizer_json, "{\"a\": 1}");
  EXPECT_EQ(files->tokenizer_config_json, "");
  EXPECT_EQ(files->chat_template, "{{ x }}");
  EXPECT_EQ((*source)->ReadGgufTokenizer().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(HfSource, ASingleFileIsNoFolder) {
  const TempDir dir;
  const auto status = OpenWeightSource(dir.Write("model.safetensors", "")).status();
  EXPECT_EQ(ErrorReason(status), reasons::kUnsupportedFormat);
  EXPECT_THAT(std::string(status.message()), HasSubstr("name the folder"));
}

}  // namespace
}  // namespace lamella
