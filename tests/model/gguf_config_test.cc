#include "server/model/gguf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "tests/testing/tiny_gguf.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;
using testing::GgufBytes;
using testing::GgufWriter;
using ::testing::HasSubstr;
using testing::TinyGemma3;
using testing::TinyLlama;
using testing::TinyQwen2;
using testing::TinyQwen3;

absl::StatusOr<ModelConfig> Parse(const GgufWriter& writer) {
  const std::string bytes = writer.Build();
  const auto file = GgufFile::Parse(GgufBytes(bytes));
  return file.ok() ? ParseGgufConfig(*file) : file.status();
}

void ExpectRefused(const GgufWriter& writer, absl::StatusCode code, const char* reason,
                   const char* field) {
  const auto config = Parse(writer);
  ASSERT_FALSE(config.ok()) << field;
  EXPECT_EQ(config.status().code(), code) << config.status();
  EXPECT_EQ(ErrorReason(config.status()), reason) << config.status();
  EXPECT_EQ(ErrorField(config.status()), field) << config.status();
}

void ExpectUnsupported(const GgufWriter& writer, const char* field) {
  ExpectRefused(writer, absl::StatusCode::kUnimplemented, reasons::kUnsupportedFeature, field);
}

TEST(GgufConfig, ReadsTheLlamaFamily) {
  const auto config = Parse(TinyLlama());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, Architecture::kLlama);
  EXPECT_EQ(config->vocab_size, 8);
  EXPECT_EQ(config->hidden_size, 8);
  EXPECT_EQ(config->intermediate_size, 12);
  EXPECT_EQ(config->num_layers, 2);
  EXPECT_EQ(config->num_q_heads, 2);
  EXPECT_EQ(config->num_kv_heads, 1);
  EXPECT_EQ(config->head_dim, 4);
  EXPECT_EQ(config->rms_norm_eps, 1e-5F);
  EXPECT_EQ(config->max_position, 64);
  EXPECT_TRUE(config->tie_word_embeddings);
  EXPECT_FALSE(config->qkv_bias || config->qk_norm || config->post_norms);
  EXPECT_EQ(config->activation, Activation::kSilu);
  EXPECT_EQ(config->attention_scale, 0.5F);
  EXPECT_EQ(config->embedding_scale, 1.0F);
  EXPECT_EQ(config->bos_token_id, 6);
  EXPECT_THAT(config->eos_token_ids, ElementsAre(7));
}

TEST(GgufConfig, GemmaAlternatesWindowsAndRotations) {
  const auto config =
      Parse(TinyGemma3().Drop("gemma3.rope.freq_base").F32("gemma3.rope.freq_base", 1e6F));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->post_norms && config->qk_norm && config->norm_plus_one);
  EXPECT_EQ(config->activation, Activation::kGeluTanh);
  EXPECT_EQ(config->embedding_scale, std::sqrt(8.0F));
  EXPECT_EQ(config->layers[0].sliding_window, 16);
  EXPECT_EQ(config->layers[0].rope.theta, 10000.0);
  EXPECT_EQ(config->layers[1].sliding_window, 0);
  EXPECT_EQ(config->layers[1].rope.theta, 1e6);
}

TEST(GgufConfig, QwenHasBiasesThenNorms) {
  const auto qwen2 = Parse(TinyQwen2());
  ASSERT_TRUE(qwen2.ok()) << qwen2.status();
  EXPECT_TRUE(qwen2->qkv_bias && !qwen2->qk_norm);
  const auto qwen3 = Parse(TinyQwen3());
  ASSERT_TRUE(qwen3.ok()) << qwen3.status();
  EXPECT_TRUE(!qwen3->qkv_bias && qwen3->qk_norm);
}

TEST(GgufConfig, ReadsRopeScaling) {
  const auto linear = Parse(
      TinyLlama().String("llama.rope.scaling.type", "linear").F32("llama.rope.scaling.factor", 4));
  ASSERT_TRUE(linear.ok()) << linear.status();
  EXPECT_EQ(linear->layers[1].rope.kind, RopeConfig::Kind::kLinear);
  EXPECT_EQ(linear->layers[1].rope.factor, 4.0);
  const auto factors = Parse(TinyLlama().TensorF32("rope_freqs.weight", {2}, {1, 8}));
  ASSERT_TRUE(factors.ok()) << factors.status();
  EXPECT_THAT(factors->layers[0].rope.freq_factors, ElementsAre(1.0F, 8.0F));
}

TEST(GgufConfig, AnyEndOfTurnEndsAText) {
  const auto config = Parse(TinyLlama().U32("tokenizer.ggml.eot_token_id", 5));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->eos_token_ids, ElementsAre(7, 5));
}

TEST(GgufConfig, UnknownArchitectureIsRefused) {
  ExpectRefused(TinyLlama().Drop("general.architecture").String("general.architecture", "rwkv"),
                absl::StatusCode::kUnimplemented, reasons::kUnknownArchitecture,
                "general.architecture");
}

TEST(GgufConfig, AKeyThatIsNotKnownIsRefusedByName) {
  ExpectRefused(TinyLlama().F32("llama.logit_scale", 2), absl::StatusCode::kInvalidArgument,
                reasons::kUnknownConfigKey, "llama.logit_scale");
}

TEST(GgufConfig, FeaturesThatChangeTheMathematicsAreRefusedByName) {
  ExpectUnsupported(TinyLlama().String("llama.rope.scaling.type", "yarn"),
                    "llama.rope.scaling.type");
  ExpectUnsupported(TinyLlama().F32("llama.rope.scaling.attn_factor", 1.2F),
                    "llama.rope.scaling.attn_factor");
  ExpectUnsupported(TinyLlama().U32("llama.expert_count", 8), "llama.expert_count");
  ExpectUnsupported(TinyLlama().U32("llama.attention.value_length", 2),
                    "llama.attention.value_length");
  ExpectUnsupported(TinyLlama().U32("llama.rope.dimension_count", 2), "llama.rope.dimension_count");
  ExpectUnsupported(TinyGemma3().F32("gemma3.final_logit_softcapping", 30),
                    "gemma3.final_logit_softcapping");
  ExpectUnsupported(TinyLlama().U32("split.count", 2), "split.count");
  ExpectUnsupported(TinyLlama().TensorF32("rope_freqs.weight", {3}, {1, 1, 1}),
                    "rope_freqs.weight");
}

TEST(GgufConfig, MissingAndImpossibleSizesAreNamed) {
  const auto invalid = absl::StatusCode::kInvalidArgument;
  ExpectRefused(TinyLlama().Drop("llama.block_count"), invalid, reasons::kMalformedHeader,
                "llama.block_count");
  ExpectRefused(TinyLlama().DropTensor("token_embd.weight"), invalid, reasons::kMissingTensor,
                "token_embd.weight");
  ExpectRefused(TinyLlama().Drop("llama.block_count").U32("llama.block_count", 1U << 30), invalid,
                reasons::kInvalidConfigValue, "num_hidden_layers");
  ExpectRefused(
      TinyLlama().Drop("llama.attention.head_count_kv").U32("llama.attention.head_count_kv", 3),
      invalid, reasons::kInvalidConfigValue, "num_key_value_heads");
  ExpectRefused(TinyLlama().Drop("llama.attention.key_length").U32("llama.attention.key_length", 3),
                invalid, reasons::kInvalidConfigValue, "head_dim");
  ExpectRefused(
      TinyLlama().Drop("tokenizer.ggml.eos_token_id").U32("tokenizer.ggml.eos_token_id", 8),
      invalid, reasons::kInvalidConfigValue, "eos_token_id");
}

TEST(GgufTokenizer, HandsOverTheVocabularyAsItStands) {
  const std::string bytes = TinyLlama().Bool("tokenizer.ggml.add_bos_token", true).Build();
  const auto file = GgufFile::Parse(GgufBytes(bytes));
  ASSERT_TRUE(file.ok()) << file.status();
  const auto data = ReadGgufTokenizerData(*file);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->model, "gpt2");
  EXPECT_EQ(data->tokens.size(), 8U);
  EXPECT_EQ(data->token_types[7], GgufTokenType::kControl);
  EXPECT_THAT(data->merges, ElementsAre("a b", "ab c"));
  EXPECT_EQ(data->bos_id, 6);
  EXPECT_EQ(data->pad_id, -1);
  EXPECT_TRUE(data->add_bos);
  EXPECT_FALSE(data->add_space_prefix);
}

TEST(GgufTokenizer, ListsMustAgreeInLength) {
  const std::string bytes = TinyLlama().Floats("tokenizer.ggml.scores", {1, 2}).Build();
  const auto file = GgufFile::Parse(GgufBytes(bytes));
  ASSERT_TRUE(file.ok()) << file.status();
  const auto status = ReadGgufTokenizerData(*file).status();
  EXPECT_EQ(ErrorReason(status), reasons::kShapeMismatch);
  EXPECT_THAT(std::string(status.message()), HasSubstr("2 entries for 8 tokens"));
}

}  // namespace
}  // namespace lamella
