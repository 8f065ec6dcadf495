#include "server/model/gguf_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/tiny_gguf.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;
using testing::GgufBytes;
using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::TempDir;
using testing::TinyGemma3;
using testing::TinyLlama;
using testing::TinyQwen2;
using testing::TinyQwen3;

absl::StatusOr<std::unique_ptr<GgufSource>> Open(const GgufWriter& writer) {
  auto bytes = std::make_shared<const std::string>(writer.Build());
  return GgufSource::FromBytes(GgufBytes(*bytes), bytes);
}

std::vector<float> Read(const WeightSource& source, const char* name, int64_t begin, int64_t end,
                        int64_t columns) {
  std::vector<float> out(static_cast<size_t>((end - begin) * columns));
  const auto status = source.ReadRows(name, begin, end, out.data());
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

void ExpectRefused(const GgufWriter& writer, const char* reason, const char* message_part) {
  const auto source = Open(writer);
  ASSERT_FALSE(source.ok()) << message_part;
  EXPECT_EQ(source.status().code(), absl::StatusCode::kInvalidArgument) << source.status();
  EXPECT_EQ(ErrorReason(source.status()), reason) << source.status();
  EXPECT_THAT(std::string(source.status().message()), HasSubstr(message_part));
}

TEST(GgufSource, TensorsAreExactlyWhatTheConfigurationImplies) {
  for (const GgufWriter& writer : {TinyLlama(), TinyQwen2(), TinyQwen3(), TinyGemma3()}) {
    const auto source = Open(writer);
    ASSERT_TRUE(source.ok()) << source.status();
    const auto expected = ExpectedTensors((*source)->config());
    const auto& tensors = (*source)->tensors();
    ASSERT_EQ(tensors.size(), expected.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_EQ(tensors[i].name, expected[i].name);
      EXPECT_EQ(tensors[i].shape, expected[i].shape);
      EXPECT_EQ(tensors[i].dtype, "F32");
    }
  }
}

TEST(GgufSource, RowsOfInterleavedHeadsComeInHalfSplitOrder) {
  const auto source = Open(TinyLlama());
  ASSERT_TRUE(source.ok()) << source.status();
  const char* name = "model.layers.0.self_attn.q_proj.weight";
  const auto q = Read(**source, name, 0, 8, 8);
  const float base = q[0];  // element 0 of row 0 stays in place
  std::vector<float> first;
  for (size_t row = 0; row < 8; ++row) first.push_back((q[row * 8] - base) / 8);
  // Pairs (0, 1) and (2, 3) of a head of four become (0, 2) and (1, 3).
  EXPECT_THAT(first, ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_EQ(q[1], base + 1);
  EXPECT_THAT(Read(**source, name, 5, 6, 8)[0], base + 6 * 8);
  const auto v = Read(**source, "model.layers.0.self_attn.v_proj.weight", 0, 2, 8);
  EXPECT_EQ(v[8], v[0] + 8);
}

TEST(GgufSource, OnlyTheLlamaFamilyInterleaves) {
  for (const GgufWriter& writer : {TinyQwen2(), TinyGemma3()}) {
    const auto source = Open(writer);
    ASSERT_TRUE(source.ok()) << source.status();
    const auto q = Read(**source, "model.layers.0.self_attn.q_proj.weight", 0, 2, 8);
    EXPECT_EQ(q[8], q[0] + 8);
  }
}

TEST(GgufSource, GemmasNormsAreHandedOverAsStored) {
  const auto source = Open(TinyGemma3());
  ASSERT_TRUE(source.ok()) << source.status();
  // The second tensor of the file: a ramp from 1000.
  EXPECT_EQ(Read(**source, "model.norm.weight", 0, 1, 8)[3], 1003);
  // Gemma's ffn_norm stands before the MLP, the llama family's after attention.
  const auto before = Read(**source, "model.layers.0.pre_feedforward_layernorm.weight", 0, 1, 8);
  const auto llama = Open(TinyLlama());
  ASSERT_TRUE(llama.ok()) << llama.status();
  EXPECT_EQ(Read(**llama, "model.layers.0.post_attention_layernorm.weight", 0, 1, 8), before);
}

TEST(GgufSource, ReadsOutsideTheModelAreRefused) {
  const auto source = Open(TinyLlama());
  ASSERT_TRUE(source.ok()) << source.status();
  float out[8];
  const auto unknown = (*source)->ReadRows("lm_head.weight", 0, 1, out);
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorReason(unknown), reasons::kMissingTensor);
  for (const auto& [begin, end] : {std::pair{-1, 0}, {0, 9}, {2, 1}}) {
    const auto status = (*source)->ReadRows("model.embed_tokens.weight", begin, end, out);
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
  }
  EXPECT_TRUE((*source)->ReadRows("model.embed_tokens.weight", 8, 8, nullptr).ok());
}

TEST(GgufSource, AMissingTensorIsNamed) {
  for (const char* name : {"blk.1.ffn_up.weight", "output_norm.weight", "blk.0.attn_q.weight"}) {
    ExpectRefused(TinyLlama().DropTensor(name), reasons::kMissingTensor, name);
  }
  ExpectRefused(TinyQwen2().DropTensor("blk.1.attn_k.bias"), reasons::kMissingTensor,
                "blk.1.attn_k.bias");
}

TEST(GgufSource, AWrongShapeIsNamed) {
  ExpectRefused(TinyLlama()
                    .DropTensor("blk.1.ffn_up.weight")
                    .TensorF32("blk.1.ffn_up.weight", {8, 12}, testing::Ramp(96, 0)),
                reasons::kShapeMismatch,
                "model.layers.1.mlp.up_proj.weight has shape [8, 12]; the configuration implies "
                "[12, 8]");
}

TEST(GgufSource, ATensorThatIsNotTheModelsIsNamed) {
  ExpectRefused(TinyLlama().TensorF32("blk.0.attn_q.bias", {8}, testing::Ramp(8, 0)),
                reasons::kUnknownTensor, "blk.0.attn_q.bias");
}

TEST(GgufSource, AHeadOfItsOwnUntiesTheModel) {
  const auto source = Open(TinyLlama().TensorF32("output.weight", {8, 8}, testing::Ramp(64, 5)));
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_FALSE((*source)->config().tie_word_embeddings);
  EXPECT_EQ(Read(**source, "lm_head.weight", 0, 1, 8)[0], 5);
}

TEST(GgufSource, OpensAFileAndHandsOverItsVocabulary) {
  const TempDir dir;
  const std::string path = dir.Write("tiny.gguf", TinyLlama().Build());
  const auto source = OpenWeightSource(path);
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->tokenizer_format(), TokenizerFormat::kGguf);
  EXPECT_EQ((*source)->ReadGgufTokenizer()->tokens[4], "ab");
  EXPECT_EQ((*source)->ReadHfTokenizer().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(GgufSource, AMissingFileIsNotFound) {
  const TempDir dir;
  const auto source = OpenWeightSource(dir.path() + "/none.gguf");
  EXPECT_EQ(source.status().code(), absl::StatusCode::kNotFound) << source.status();
  EXPECT_EQ(ErrorReason(source.status()), reasons::kMissingFile);
}

}  // namespace
}  // namespace lamella
