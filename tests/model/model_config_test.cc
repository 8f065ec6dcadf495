#include "server/model/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;

ModelConfig Small() {
  ModelConfig config;
  config.vocab_size = 10;
  config.hidden_size = 8;
  config.intermediate_size = 12;
  config.num_layers = 2;
  config.num_q_heads = 2;
  config.num_kv_heads = 1;
  config.head_dim = 6;
  config.max_position = 32;
  config.attention_scale = 0.5F;
  config.layers.resize(2);
  return config;
}

void ExpectInvalid(const ModelConfig& config, const char* key) {
  const auto status = ValidateModelConfig(config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << key;
  EXPECT_EQ(ErrorReason(status), reasons::kInvalidConfigValue) << key;
  EXPECT_EQ(ErrorField(status), key) << status;
}

TEST(ModelConfig, EveryImpossibleValueIsNamed) {
  ASSERT_TRUE(ValidateModelConfig(Small()).ok());
  const auto broken = [](auto change) {
    ModelConfig config = Small();
    change(config);
    return config;
  };
  ExpectInvalid(broken([](auto& c) { c.vocab_size = 0; }), "vocab_size");
  ExpectInvalid(broken([](auto& c) { c.hidden_size = 1 << 30; }), "hidden_size");
  ExpectInvalid(broken([](auto& c) { c.intermediate_size = -1; }), "intermediate_size");
  ExpectInvalid(broken([](auto& c) { c.num_layers = 5000; }), "num_hidden_layers");
  ExpectInvalid(broken([](auto& c) { c.num_kv_heads = 3; }), "num_key_value_heads");
  ExpectInvalid(broken([](auto& c) { c.head_dim = 5; }), "head_dim");
  ExpectInvalid(broken([](auto& c) { c.max_position = 0; }), "max_position_embeddings");
  ExpectInvalid(broken([](auto& c) { c.rms_norm_eps = 0; }), "rms_norm_eps");
  ExpectInvalid(broken([](auto& c) { c.attention_scale = std::numeric_limits<float>::infinity(); }),
                "query_pre_attn_scalar");
  ExpectInvalid(broken([](auto& c) { c.layers.pop_back(); }), "layer_types");
  ExpectInvalid(broken([](auto& c) { c.layers[1].sliding_window = -1; }), "sliding_window");
  ExpectInvalid(broken([](auto& c) { c.layers[1].rope.theta = 0; }), "rope_theta");
  ExpectInvalid(broken([](auto& c) { c.layers[0].rope.kind = RopeConfig::Kind::kFactors; }),
                "rope_freqs");
  ExpectInvalid(broken([](auto& c) { c.bos_token_id = 10; }), "bos_token_id");
  ExpectInvalid(broken([](auto& c) { c.eos_token_ids = {1, 10}; }), "eos_token_id");
}

TEST(ModelConfig, TensorsOfATiedLlama) {
  ModelConfig config = Small();
  config.num_layers = 1;
  config.tie_word_embeddings = true;
  std::vector<std::string> names;
  for (const auto& tensor : ExpectedTensors(config)) names.push_back(tensor.name);
  EXPECT_THAT(
      names, ElementsAre(
                 "model.embed_tokens.weight", "model.layers.0.input_layernorm.weight",
                 "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight",
                 "model.layers.0.self_attn.v_proj.weight", "model.layers.0.self_attn.o_proj.weight",
                 "model.layers.0.post_attention_layernorm.weight",
                 "model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight",
                 "model.layers.0.mlp.down_proj.weight", "model.norm.weight"));
}

TEST(ModelConfig, BiasesNormsAndTheHeadAddTensors) {
  ModelConfig config = Small();
  const size_t plain = ExpectedTensors(config).size();
  config.qkv_bias = true;
  EXPECT_EQ(ExpectedTensors(config).size(), plain + 6);
  config.qk_norm = true;
  EXPECT_EQ(ExpectedTensors(config).size(), plain + 10);
  config.post_norms = true;
  EXPECT_EQ(ExpectedTensors(config).size(), plain + 14);
  EXPECT_EQ(ExpectedTensors(config).back().name, "lm_head.weight");
}

TEST(ModelConfig, BaseSpecHasTheSevenModulesOfEveryLayer) {
  const BaseSpec spec = MakeBaseSpec(Small(), "f00d");
  EXPECT_EQ(spec.architecture, "LlamaForCausalLM");
  EXPECT_EQ(spec.fingerprint, "f00d");
  EXPECT_EQ(spec.num_layers(), 2);
  EXPECT_EQ(spec.module(1, ModuleKind::kQ).out_features, 12);
  EXPECT_EQ(spec.module(1, ModuleKind::kQ).in_features, 8);
  EXPECT_EQ(spec.module(0, ModuleKind::kK).out_features, 6);
  EXPECT_EQ(spec.module(0, ModuleKind::kO).in_features, 12);
  EXPECT_EQ(spec.module(0, ModuleKind::kDown).in_features, 12);
  EXPECT_EQ(spec.FindModule("model.layers.1.mlp.down_proj"), 13);
}

TEST(ModelConfig, DefaultRotationIsTheTextbookOne) {
  EXPECT_THAT(RopeInverseFrequencies(RopeConfig{}, 8), ElementsAre(1.0F, 0.1F, 0.01F, 0.001F));
}

TEST(ModelConfig, ScaledRotationsDivideFrequencies) {
  RopeConfig linear;
  linear.kind = RopeConfig::Kind::kLinear;
  linear.factor = 4;
  EXPECT_THAT(RopeInverseFrequencies(linear, 4), ElementsAre(0.25F, 0.0025F));
  RopeConfig factors;
  factors.kind = RopeConfig::Kind::kFactors;
  factors.freq_factors = {1, 8};
  EXPECT_THAT(RopeInverseFrequencies(factors, 4), ElementsAre(1.0F, 0.01F / 8));
}

TEST(ModelConfig, Llama3KeepsShortWavesStretchesLongOnesAndRampsBetween) {
  RopeConfig rope;
  rope.kind = RopeConfig::Kind::kLlama3;
  rope.theta = 500000.0;
  rope.factor = 8.0;
  rope.low_freq_factor = 1.0;
  rope.high_freq_factor = 4.0;
  rope.original_max_position = 8192;
  RopeConfig plain;
  plain.theta = rope.theta;
  const auto scaled = RopeInverseFrequencies(rope, 128);
  const auto base = RopeInverseFrequencies(plain, 128);
  EXPECT_EQ(scaled[0], base[0]);
  EXPECT_EQ(scaled[28], base[28]);  // a wave of 1956 positions, below 8192 / 4
  EXPECT_LT(scaled[30], base[30]);
  EXPECT_GT(scaled[30], base[30] / 8);
  EXPECT_EQ(scaled[36], base[36] / 8);  // a wave of 10072 positions, above 8192
  EXPECT_EQ(scaled[63], base[63] / 8);
}

TEST(ModelConfig, CanonicalFormFollowsWhatChangesTheMathematics) {
  ModelConfig config = Small();
  const std::string before = CanonicalConfig(config);
  config.eos_token_ids = {3};
  EXPECT_EQ(CanonicalConfig(config), before);
  config.layers[1].rope.theta = 10001;
  EXPECT_NE(CanonicalConfig(config), before);
}

TEST(ModelConfig, AttentionIsBoundedIfEveryLayerIs) {
  ModelConfig config = Small();
  EXPECT_EQ(AttentionWindow(config), 0);
  config.layers[0].sliding_window = 8;
  EXPECT_EQ(AttentionWindow(config), 0);
  config.layers[1].sliding_window = 20;
  EXPECT_EQ(AttentionWindow(config), 20);
}

}  // namespace
}  // namespace lamella
