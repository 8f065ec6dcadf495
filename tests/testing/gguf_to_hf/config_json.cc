#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "tests/testing/gguf_to_hf/hf_json.h"

namespace lamella::testing {
namespace {

// The double that is written as shortly as the float: 1e-05, not 9.999999747378752e-06.
double Shortest(float value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text) - 1, value).ptr;
  *end = '\0';
  return std::strtod(text, nullptr);
}

Json IdOrNull(int32_t id) { return id >= 0 ? Json(id) : Json(nullptr); }

Json Common(const ModelConfig& config, const GgufTokenizerData& vocabulary) {
  Json out;
  out["architectures"] = {std::string(ArchitectureName(config.architecture))};
  out["attention_bias"] = false;
  out["attention_dropout"] = 0.0;
  out["bos_token_id"] = IdOrNull(config.bos_token_id);
  out["eos_token_id"] = IdOrNull(vocabulary.eos_id);
  out["pad_token_id"] = IdOrNull(vocabulary.pad_id);
  out["hidden_size"] = config.hidden_size;
  out["intermediate_size"] = config.intermediate_size;
  out["max_position_embeddings"] = config.max_position;
  out["num_attention_heads"] = config.num_q_heads;
  out["num_hidden_layers"] = config.num_layers;
  out["num_key_value_heads"] = config.num_kv_heads;
  out["rms_norm_eps"] = Shortest(config.rms_norm_eps);
  out["rope_scaling"] = nullptr;
  out["tie_word_embeddings"] = config.tie_word_embeddings;
  out["torch_dtype"] = "bfloat16";
  out["use_cache"] = true;
  out["vocab_size"] = config.vocab_size;
  return out;
}

void AddLlama(const ModelConfig& config, Json* out) {
  (*out)["hidden_act"] = "silu";
  (*out)["initializer_range"] = 1.0 / 24.0;  // of no use to inference
  (*out)["is_llama_config"] = true;
  (*out)["mlp_bias"] = false;
  (*out)["model_type"] = "llama";
  (*out)["pretraining_tp"] = 1;
  (*out)["rope_interleaved"] = false;
  (*out)["rope_theta"] = config.layers.front().rope.theta;
  // Published files leave head_dim out where it follows from the sizes.
  if (config.head_dim * config.num_q_heads != config.hidden_size) {
    (*out)["head_dim"] = config.head_dim;
  }
}

void AddGemma(const ModelConfig& config, Json* out) {
  (*out)["attn_logit_softcapping"] = nullptr;
  (*out)["final_logit_softcapping"] = nullptr;
  (*out)["head_dim"] = config.head_dim;
  (*out)["hidden_activation"] = "gelu_pytorch_tanh";
  (*out)["initializer_range"] = 0.02;
  (*out)["model_type"] = "gemma3_text";
  const double scale = config.attention_scale;
  (*out)["query_pre_attn_scalar"] = std::lround(1.0 / (scale * scale));
  (*out)["use_bidirectional_attention"] = false;
  Json types = Json::array();
  size_t pattern = 0;
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const LayerConfig& layer = config.layers[i];
    const bool full = layer.sliding_window == 0;
    if (full && pattern == 0) pattern = i + 1;
    types.push_back(full ? "full_attention" : "sliding_attention");
    if (full) (*out)["rope_theta"] = layer.rope.theta;
    if (!full) (*out)["rope_local_base_freq"] = layer.rope.theta;
    if (!full) (*out)["sliding_window"] = layer.sliding_window;
  }
  (*out)["_sliding_window_pattern"] = pattern;
  (*out)["layer_types"] = std::move(types);
}

}  // namespace

absl::StatusOr<Json> ConfigJson(const ModelConfig& config, const GgufTokenizerData& vocabulary) {
  Json out = Common(config, vocabulary);
  for (const LayerConfig& layer : config.layers) {
    if (layer.rope.kind != RopeConfig::Kind::kDefault) {
      return absl::UnimplementedError("only files without rope scaling can be converted");
    }
  }
  if (config.architecture == Architecture::kLlama) {
    AddLlama(config, &out);
  } else if (config.architecture == Architecture::kGemma3) {
    AddGemma(config, &out);
  } else {
    return absl::UnimplementedError("only llama and gemma3 can be converted");
  }
  return out;
}

Json GenerationJson(const ModelConfig& config, const GgufTokenizerData& vocabulary) {
  Json out;
  out["bos_token_id"] = IdOrNull(config.bos_token_id);
  out["eos_token_id"] = config.eos_token_ids;
  out["pad_token_id"] = IdOrNull(vocabulary.pad_id);
  return out;
}

}  // namespace lamella::testing
