#include "server/model/model_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/model/tensor_table.h"

namespace lamella {
namespace {

absl::Status InvalidValue(std::string_view key, std::string_view message) {
  const absl::string_view text(message.data(), message.size());
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidConfigValue, key,
                   absl::StrCat("model configuration: ", text));
}

absl::Status CheckRange(const char* key, int64_t value, int64_t max) {
  if (value >= 1 && value <= max) return absl::OkStatus();
  return InvalidValue(key, absl::StrCat(key, " is ", value, ", not in [1, ", max, "]"));
}

absl::Status CheckPositive(const char* key, double value) {
  if (std::isfinite(value) && value > 0) return absl::OkStatus();
  return InvalidValue(key, absl::StrCat(key, " is ", value, ", not a positive number"));
}

absl::Status CheckRope(const RopeConfig& rope, int32_t head_dim) {
  RETURN_IF_ERROR(CheckPositive("rope_theta", rope.theta));
  RETURN_IF_ERROR(CheckPositive("rope_scaling.factor", rope.factor));
  if (rope.kind == RopeConfig::Kind::kLlama3) {
    RETURN_IF_ERROR(CheckPositive("rope_scaling.low_freq_factor", rope.low_freq_factor));
    RETURN_IF_ERROR(CheckRange("rope_scaling.original_max_position_embeddings",
                               rope.original_max_position, 1 << 26));
    if (!std::isfinite(rope.high_freq_factor) || rope.high_freq_factor <= rope.low_freq_factor) {
      return InvalidValue("rope_scaling.high_freq_factor",
                          absl::StrCat("rope_scaling.high_freq_factor is ", rope.high_freq_factor,
                                       ", not above low_freq_factor ", rope.low_freq_factor));
    }
  }
  if (rope.kind == RopeConfig::Kind::kFactors) {
    if (static_cast<int64_t>(rope.freq_factors.size()) != head_dim / 2) {
      return InvalidValue("rope_freqs", absl::StrCat("rope_freqs has ", rope.freq_factors.size(),
                                                     " values, not head_dim / 2 = ", head_dim / 2));
    }
    for (const float factor : rope.freq_factors) {
      RETURN_IF_ERROR(CheckPositive("rope_freqs", factor));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTokens(const ModelConfig& c) {
  if (c.bos_token_id < -1 || c.bos_token_id >= c.vocab_size) {
    return InvalidValue("bos_token_id",
                        absl::StrCat("bos_token_id ", c.bos_token_id,
                                     " is outside the vocabulary of ", c.vocab_size));
  }
  for (const int32_t id : c.eos_token_ids) {
    if (id < 0 || id >= c.vocab_size) {
      return InvalidValue(
          "eos_token_id",
          absl::StrCat("eos_token_id ", id, " is outside the vocabulary of ", c.vocab_size));
    }
  }
  return absl::OkStatus();
}

// Meta's rule for Llama 3.1 and later (transformers: modeling_rope_utils, "llama3").
float Llama3Frequency(const RopeConfig& rope, float frequency) {
  const auto old_context = static_cast<float>(rope.original_max_position);
  const auto factor = static_cast<float>(rope.factor);
  const auto low = static_cast<float>(rope.low_freq_factor);
  const auto high = static_cast<float>(rope.high_freq_factor);
  const float wavelength = 2.0F * std::numbers::pi_v<float> / frequency;
  if (wavelength > old_context / low) return frequency / factor;
  if (wavelength < old_context / high) return frequency;
  const float smooth = (old_context / wavelength - low) / (high - low);
  return (1.0F - smooth) * frequency / factor + smooth * frequency;
}

std::string CanonicalRope(const RopeConfig& rope) {
  std::string out = absl::StrCat("kind=", static_cast<int>(rope.kind),
                                 " theta=", absl::StrFormat("%a", rope.theta));
  if (rope.kind != RopeConfig::Kind::kDefault) {
    absl::StrAppendFormat(&out, " factor=%a", rope.factor);
  }
  if (rope.kind == RopeConfig::Kind::kLlama3) {
    absl::StrAppendFormat(&out, " low=%a high=%a original=%d", rope.low_freq_factor,
                          rope.high_freq_factor, rope.original_max_position);
  }
  for (const float factor : rope.freq_factors) absl::StrAppendFormat(&out, " %a", factor);
  return out;
}

}  // namespace

std::string_view ArchitectureName(Architecture architecture) {
  switch (architecture) {
    case Architecture::kLlama:
      return "LlamaForCausalLM";
    case Architecture::kMistral:
      return "MistralForCausalLM";
    case Architecture::kQwen2:
      return "Qwen2ForCausalLM";
    case Architecture::kQwen3:
      return "Qwen3ForCausalLM";
    case Architecture::kGemma3:
      return "Gemma3ForCausalLM";
  }
  return "";
}

absl::Status ValidateModelSizes(const ModelConfig& c) {
  RETURN_IF_ERROR(CheckRange("vocab_size", c.vocab_size, 1 << 22));
  RETURN_IF_ERROR(CheckRange("hidden_size", c.hidden_size, 1 << 17));
  RETURN_IF_ERROR(CheckRange("intermediate_size", c.intermediate_size, 1 << 20));
  RETURN_IF_ERROR(CheckRange("num_hidden_layers", c.num_layers, 1 << 10));
  RETURN_IF_ERROR(CheckRange("num_attention_heads", c.num_q_heads, 1 << 10));
  RETURN_IF_ERROR(CheckRange("num_key_value_heads", c.num_kv_heads, c.num_q_heads));
  RETURN_IF_ERROR(CheckRange("head_dim", c.head_dim, 1 << 10));
  RETURN_IF_ERROR(CheckRange("max_position_embeddings", c.max_position, 1 << 26));
  if (c.num_q_heads % c.num_kv_heads != 0) {
    return InvalidValue("num_key_value_heads",
                        absl::StrCat("num_key_value_heads ", c.num_kv_heads,
                                     " does not divide num_attention_heads ", c.num_q_heads));
  }
  if (c.head_dim % 2 != 0) {
    return InvalidValue("head_dim", absl::StrCat("head_dim is ", c.head_dim, ", not even"));
  }
  return absl::OkStatus();
}

absl::Status ValidateModelConfig(const ModelConfig& config) {
  RETURN_IF_ERROR(ValidateModelSizes(config));
  RETURN_IF_ERROR(CheckPositive("rms_norm_eps", config.rms_norm_eps));
  RETURN_IF_ERROR(CheckPositive("query_pre_attn_scalar", config.attention_scale));
  RETURN_IF_ERROR(CheckPositive("embedding_scale", config.embedding_scale));
  RETURN_IF_ERROR(CheckTokens(config));
  if (config.layers.size() != static_cast<size_t>(config.num_layers)) {
    return InvalidValue("layer_types",
                        absl::StrCat("layer_types has ", config.layers.size(),
                                     " entries for num_hidden_layers ", config.num_layers));
  }
  for (const LayerConfig& layer : config.layers) {
    if (layer.sliding_window < 0) {
      return InvalidValue("sliding_window", absl::StrCat("sliding_window is ", layer.sliding_window,
                                                         ", not positive"));
    }
    RETURN_IF_ERROR(CheckRope(layer.rope, config.head_dim));
  }
  return absl::OkStatus();
}

int32_t AttentionWindow(const ModelConfig& config) {
  int32_t widest = 0;
  for (const LayerConfig& layer : config.layers) {
    if (layer.sliding_window == 0) return 0;
    widest = std::max(widest, layer.sliding_window);
  }
  return widest;
}

std::vector<float> RopeInverseFrequencies(const RopeConfig& rope, int32_t head_dim) {
  std::vector<float> out(static_cast<size_t>(head_dim / 2));
  for (size_t i = 0; i < out.size(); ++i) {
    // The exponent and the power are rounded to fp32 each, as transformers has them.
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    const auto base = static_cast<float>(rope.theta);
    const auto power = static_cast<float>(std::pow(double{base}, double{exponent}));
    const float frequency = 1.0F / power;
    switch (rope.kind) {
      case RopeConfig::Kind::kDefault:
        out[i] = frequency;
        break;
      case RopeConfig::Kind::kLinear:
        out[i] = frequency / static_cast<float>(rope.factor);
        break;
      case RopeConfig::Kind::kLlama3:
        out[i] = Llama3Frequency(rope, frequency);
        break;
      case RopeConfig::Kind::kFactors:
        out[i] = frequency / rope.freq_factors[i];
        break;
    }
  }
  return out;
}

BaseSpec MakeBaseSpec(const ModelConfig& config, std::string_view fingerprint) {
  BaseSpec spec;
  spec.architecture = std::string(ArchitectureName(config.architecture));
  spec.fingerprint = std::string(fingerprint);
  for (int32_t layer = 0; layer < config.num_layers; ++layer) {
    for (int32_t k = 0; k < kModuleKinds; ++k) {
      const auto kind = static_cast<ModuleKind>(k);
      const auto [out, in] = ModuleShape(config, kind);
      spec.modules.push_back({ModulePath(layer, kind), layer, kind, in, out});
    }
  }
  return spec;
}

std::string CanonicalConfig(const ModelConfig& config) {
  std::vector<std::string> lines = {
      absl::StrCat("activation ", static_cast<int>(config.activation)),
      absl::StrCat("architecture ", std::string(ArchitectureName(config.architecture))),
      absl::StrFormat("attention_scale %a", config.attention_scale),
      absl::StrFormat("embedding_scale %a", config.embedding_scale),
      absl::StrCat("head_dim ", config.head_dim),
      absl::StrCat("hidden_size ", config.hidden_size),
      absl::StrCat("intermediate_size ", config.intermediate_size),
      absl::StrCat("max_position ", config.max_position),
      absl::StrCat("norm_plus_one ", config.norm_plus_one),
      absl::StrCat("num_kv_heads ", config.num_kv_heads),
      absl::StrCat("num_layers ", config.num_layers),
      absl::StrCat("num_q_heads ", config.num_q_heads),
      absl::StrCat("post_norms ", config.post_norms),
      absl::StrCat("qk_norm ", config.qk_norm),
      absl::StrCat("qkv_bias ", config.qkv_bias),
      absl::StrFormat("rms_norm_eps %a", config.rms_norm_eps),
      absl::StrCat("tie_word_embeddings ", config.tie_word_embeddings),
      absl::StrCat("vocab_size ", config.vocab_size),
  };
  for (size_t i = 0; i < config.layers.size(); ++i) {
    lines.push_back(absl::StrFormat("layer %04d window %d rope %s", i,
                                    config.layers[i].sliding_window,
                                    CanonicalRope(config.layers[i].rope)));
  }
  std::sort(lines.begin(), lines.end());
  return absl::StrCat(absl::StrJoin(lines, "\n"), "\n");
}

}  // namespace lamella
