#include "server/model/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;

// A config.json of the smallest size with `keys` added; `without` drops the default's line.
std::string Config(const std::string& architecture, const std::string& keys = "") {
  return absl::StrCat(R"({"architectures": [")", architecture, R"("], "vocab_size": 16,
    "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 4, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 4, "max_position_embeddings": 64)",
                      keys.empty() ? "" : ", ", keys, "}");
}

ModelConfig Parsed(const std::string& json) {
  const auto config = ParseHfConfig(json);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : ModelConfig{};
}

void ExpectRefused(const std::string& json, absl::StatusCode code, const char* reason,
                   const char* field) {
  const auto status = ParseHfConfig(json).status();
  EXPECT_EQ(status.code(), code) << field << status;
  EXPECT_EQ(ErrorReason(status), reason) << field << status;
  EXPECT_EQ(ErrorField(status), field) << status;
}

void ExpectUnsupported(const std::string& architecture, const std::string& keys,
                       const char* field) {
  ExpectRefused(Config(architecture, keys), absl::StatusCode::kUnimplemented,
                reasons::kUnsupportedFeature, field);
}

void ExpectInvalid(const std::string& architecture, const std::string& keys, const char* field) {
  ExpectRefused(Config(architecture, keys), absl::StatusCode::kInvalidArgument,
                reasons::kInvalidConfigValue, field);
}

std::vector<int32_t> Windows(const ModelConfig& config) {
  std::vector<int32_t> out;
  for (const auto& layer : config.layers) out.push_back(layer.sliding_window);
  return out;
}

ModelConfig Golden(const char* name) {
  std::ifstream file(absl::StrCat(LAMELLA_SOURCE_DIR, "/tests/golden/configs/", name));
  std::ostringstream text;
  text << file.rdbuf();
  return Parsed(text.str());
}

TEST(HfConfig, ReadsSmolLm2) {
  const ModelConfig config = Golden("smollm2-135m-instruct.json");
  EXPECT_EQ(config.architecture, Architecture::kLlama);
  EXPECT_EQ(config.num_layers, 30);
  EXPECT_EQ(config.num_q_heads, 9);
  EXPECT_EQ(config.num_kv_heads, 3);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.rms_norm_eps, 1e-5F);
  EXPECT_EQ(config.layers[29].rope.theta, 100000.0);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.attention_scale, 0.125F);
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(2));
}

TEST(HfConfig, ReadsGemma) {
  const ModelConfig config = Golden("gemma-3-270m.json");
  EXPECT_EQ(config.architecture, Architecture::kGemma3);
  EXPECT_TRUE(config.post_norms && config.qk_norm && config.norm_plus_one);
  EXPECT_EQ(config.head_dim, 256);
  EXPECT_EQ(config.activation, Activation::kGeluTanh);
  EXPECT_EQ(config.embedding_scale, std::sqrt(640.0F));
  EXPECT_EQ(config.attention_scale, 0.0625F);
  for (size_t i = 0; i < 18; ++i) {
    const bool full = i % 6 == 5;
    EXPECT_EQ(config.layers[i].sliding_window, full ? 0 : 512) << i;
    EXPECT_EQ(config.layers[i].rope.theta, full ? 1e6 : 1e4) << i;
  }
}

TEST(HfConfig, AbsentKeysMeanWhatTheyMeanToTransformers) {
  const ModelConfig llama = Parsed(Config("LlamaForCausalLM"));
  EXPECT_EQ(llama.rms_norm_eps, 1e-6F);
  EXPECT_EQ(llama.layers[0].rope.theta, 10000.0);
  EXPECT_FALSE(llama.tie_word_embeddings);
  EXPECT_TRUE(llama.eos_token_ids.empty());
  EXPECT_THAT(Windows(Parsed(Config("MistralForCausalLM"))), ElementsAre(4096, 4096, 4096, 4096));
  const ModelConfig gemma = Parsed(Config("Gemma3ForCausalLM"));
  EXPECT_TRUE(gemma.tie_word_embeddings);
  EXPECT_EQ(gemma.attention_scale, 0.0625F);  // 256^-0.5, not head_dim^-0.5
  EXPECT_EQ(gemma.layers[0].rope.theta, 10000.0);
}

TEST(HfConfig, ArchitecturesDifferInBiasesAndNorms) {
  EXPECT_TRUE(Parsed(Config("Qwen2ForCausalLM")).qkv_bias);
  EXPECT_FALSE(Parsed(Config("Qwen2ForCausalLM")).qk_norm);
  EXPECT_TRUE(Parsed(Config("Qwen3ForCausalLM")).qk_norm);
  EXPECT_FALSE(Parsed(Config("Qwen3ForCausalLM")).qkv_bias);
  EXPECT_FALSE(Parsed(Config("MistralForCausalLM")).qkv_bias);
}

TEST(HfConfig, WindowsFollowEachArchitecturesRule) {
  EXPECT_THAT(Windows(Parsed(Config("MistralForCausalLM", R"("sliding_window": null)"))),
              ElementsAre(0, 0, 0, 0));
  const std::string qwen = R"("sliding_window": 8, "max_window_layers": 2)";
  EXPECT_THAT(Windows(Parsed(Config("Qwen2ForCausalLM", qwen))), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(Windows(Parsed(Config("Qwen2ForCausalLM", qwen + R"(, "use_sliding_window": true)"))),
              ElementsAre(0, 0, 8, 8));
  EXPECT_THAT(Windows(Parsed(Config("Gemma3ForCausalLM",
                                    R"("sliding_window": 8, "sliding_window_pattern": 2)"))),
              ElementsAre(8, 0, 8, 0));
  const std::string types =
      R"("layer_types": ["full_attention", "sliding_attention", "full_attention",
         "full_attention"], "sliding_window": )";
  EXPECT_THAT(Windows(Parsed(Config("Gemma3ForCausalLM", types + "8"))), ElementsAre(0, 8, 0, 0));
  ExpectInvalid("Gemma3ForCausalLM", types + "null", "sliding_window");
  ExpectInvalid("Gemma3ForCausalLM", R"("layer_types": ["full_attention"])", "layer_types");
  ExpectUnsupported("Gemma3ForCausalLM", R"("layer_types": ["full_attention", "full_attention",
         "chunked_attention", "full_attention"])",
                    "layer_types");
}

TEST(HfConfig, BothSpellingsOfRotationAreRead) {
  const std::string scaling = R"("rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
      "high_freq_factor": 4.0, "original_max_position_embeddings": 8192)";
  const ModelConfig old_style =
      Parsed(Config("LlamaForCausalLM",
                    absl::StrCat(R"("rope_theta": 500000.0, "rope_scaling": {)", scaling, "}")));
  const ModelConfig new_style =
      Parsed(Config("LlamaForCausalLM",
                    absl::StrCat(R"("rope_parameters": {"rope_theta": 500000.0, )", scaling, "}")));
  EXPECT_EQ(old_style.layers[0].rope.kind, RopeConfig::Kind::kLlama3);
  EXPECT_EQ(old_style, new_style);
}

TEST(HfConfig, GemmaScalesOnlyLayersThatSeeEverything) {
  const ModelConfig old_style = Parsed(
      Config("Gemma3ForCausalLM", R"("sliding_window_pattern": 2, "rope_local_base_freq": 9000.0,
      "rope_scaling": {"rope_type": "linear", "factor": 8.0})"));
  EXPECT_EQ(old_style.layers[0].rope.kind, RopeConfig::Kind::kDefault);
  EXPECT_EQ(old_style.layers[0].rope.theta, 9000.0);
  EXPECT_EQ(old_style.layers[1].rope.kind, RopeConfig::Kind::kLinear);
  EXPECT_EQ(old_style.layers[1].rope.theta, 1e6);
  const ModelConfig new_style =
      Parsed(Config("Gemma3ForCausalLM", R"("sliding_window_pattern": 2, "rope_parameters": {
      "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
      "sliding_attention": {"rope_type": "default", "rope_theta": 9000.0}})"));
  EXPECT_EQ(old_style, new_style);
}

TEST(HfConfig, UnknownArchitecturesAreRefused) {
  const auto code = absl::StatusCode::kUnimplemented;
  ExpectRefused(Config("MambaForCausalLM"), code, reasons::kUnknownArchitecture, "architectures");
  ExpectRefused(Config("Gemma3ForConditionalGeneration"), code, reasons::kUnknownArchitecture,
                "architectures");
  ExpectRefused("{}", code, reasons::kUnknownArchitecture, "model_type");
  ExpectRefused(R"({"architectures": 3})", code, reasons::kUnknownArchitecture, "architectures");
  ExpectInvalid("LlamaForCausalLM", R"("model_type": "mistral")", "model_type");
}

TEST(HfConfig, FeaturesThatChangeTheMathematicsAreRefusedByName) {
  const char* llama = "LlamaForCausalLM";
  const char* gemma = "Gemma3ForCausalLM";
  ExpectUnsupported(llama, R"("attention_bias": true)", "attention_bias");
  ExpectUnsupported(llama, R"("mlp_bias": true)", "mlp_bias");
  ExpectUnsupported(llama, R"("hidden_act": "relu")", "hidden_act");
  ExpectUnsupported(llama, R"("partial_rotary_factor": 0.5)", "partial_rotary_factor");
  ExpectUnsupported(llama, R"("quantization_config": {"bits": 4})", "quantization_config");
  ExpectUnsupported(gemma, R"("final_logit_softcapping": 30.0)", "final_logit_softcapping");
  ExpectUnsupported(gemma, R"("attn_logit_softcapping": 50.0)", "attn_logit_softcapping");
  ExpectUnsupported(gemma, R"("use_bidirectional_attention": true)", "use_bidirectional_attention");
  for (const char* kind : {"yarn", "longrope", "dynamic"}) {
    ExpectUnsupported(llama, absl::StrCat(R"("rope_scaling": {"rope_type": ")", kind, R"("})"),
                      "rope_scaling.rope_type");
    ExpectUnsupported(llama, absl::StrCat(R"("rope_scaling": {"type": ")", kind, R"("})"),
                      "rope_scaling.rope_type");
  }
}

TEST(HfConfig, KeysThatAreNotKnownAreRefusedUnlessNull) {
  ExpectRefused(Config("LlamaForCausalLM", R"("logit_scale": 0.5)"),
                absl::StatusCode::kInvalidArgument, reasons::kUnknownConfigKey, "logit_scale");
  ExpectRefused(Config("LlamaForCausalLM", R"("rope_scaling": {"rope_type": "linear", "factor": 2.0,
      "mscale": 1.0})"),
                absl::StatusCode::kInvalidArgument, reasons::kUnknownConfigKey,
                "rope_scaling.mscale");
  ExpectRefused(Config("LlamaForCausalLM", R"("sliding_window": 7)"),
                absl::StatusCode::kInvalidArgument, reasons::kUnknownConfigKey, "sliding_window");
  Parsed(Config("LlamaForCausalLM",
                R"("logit_scale": null, "transformers_version": "5.0", "dtype": "bfloat16")"));
}

TEST(HfConfig, ImpossibleValuesAreNamed) {
  const char* llama = "LlamaForCausalLM";
  ExpectInvalid(llama, R"("rms_norm_eps": "small")", "rms_norm_eps");
  ExpectInvalid(llama, R"("rms_norm_eps": -1)", "rms_norm_eps");
  ExpectInvalid(llama, R"("rope_theta": 0)", "rope_theta");
  ExpectInvalid(llama, R"("eos_token_id": [1, "x"])", "eos_token_id");
  ExpectInvalid(llama, R"("eos_token_id": 16)", "eos_token_id");
  ExpectInvalid(llama, R"("tie_word_embeddings": 1)", "tie_word_embeddings");
  ExpectInvalid(llama, R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0})",
                "rope_scaling.low_freq_factor");
  ExpectInvalid(llama, R"("rope_scaling": 3)", "rope_scaling");
  ExpectRefused(R"({"architectures": ["LlamaForCausalLM"]})", absl::StatusCode::kInvalidArgument,
                reasons::kInvalidConfigValue, "vocab_size");
  ExpectRefused("{", absl::StatusCode::kInvalidArgument, reasons::kMalformedJson, "");
}

TEST(HfConfig, OneOrMoreTokensEndAText) {
  EXPECT_THAT(Parsed(Config("LlamaForCausalLM", R"("eos_token_id": [3, 4])")).eos_token_ids,
              ElementsAre(3, 4));
}

}  // namespace
}  // namespace lamella
