// What one config-driven decoder must know to compute: sizes, where the norms stand, which
// positions a layer sees and how it rotates them. An immutable value, the same whether it came from
// a Hugging Face config.json or from GGUF metadata. Not the weights (weight_source.h) and not how
// they are laid out in memory. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/formats/base_spec.h"

namespace lamella {

enum class Architecture { kLlama, kMistral, kQwen2, kQwen3, kGemma3 };

// As config.json's "architectures" names it, e.g. "LlamaForCausalLM".
std::string_view ArchitectureName(Architecture architecture);

enum class Activation {
  kSilu,
  kGeluTanh,  // 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
};

// How a layer turns positions into angles. Pairs are (i, i + head_dim / 2), as in Hugging Face:
// GgufSource un-permutes the rows of files that interleave them.
struct RopeConfig {
  enum class Kind {
    kDefault,
    kLinear,   // every frequency divided by `factor`
    kLlama3,   // long wavelengths divided by `factor`, short ones kept, a ramp between
    kFactors,  // frequency i divided by freq_factors[i] (a GGUF file's rope_freqs.weight)
  };
  Kind kind = Kind::kDefault;
  double theta = 10000.0;
  double factor = 1.0;
  double low_freq_factor = 1.0;          // kLlama3
  double high_freq_factor = 4.0;         // kLlama3
  int64_t original_max_position = 8192;  // kLlama3
  std::vector<float> freq_factors;       // kFactors: [head_dim / 2]

  bool operator==(const RopeConfig&) const = default;
};

struct LayerConfig {
  // A row at position p sees positions (p - sliding_window, p]; 0: all up to p.
  int32_t sliding_window = 0;
  RopeConfig rope;

  bool operator==(const LayerConfig&) const = default;
};

struct ModelConfig {
  Architecture architecture = Architecture::kLlama;
  int32_t vocab_size = 0;         // rows of the embedding, e.g. 49152
  int32_t hidden_size = 0;        // e.g. 576
  int32_t intermediate_size = 0;  // e.g. 1536
  int32_t num_layers = 0;
  int32_t num_q_heads = 0;
  int32_t num_kv_heads = 0;  // divides num_q_heads
  int32_t head_dim = 0;      // even; num_q_heads * head_dim need not equal hidden_size
  float rms_norm_eps = 1e-5F;
  int32_t max_position = 0;  // longest context in tokens

  bool tie_word_embeddings = false;  // logits use the embedding's rows; there is no lm_head.weight
  bool qkv_bias = false;             // q, k and v have biases (o never has one)
  bool qk_norm = false;              // RMSNorm over head_dim of q and k, before rotation
  // Gemma's block: h += post_attention(attention(input(h))); h += post_ff(mlp(pre_ff(h))).
  // Otherwise: h += attention(input(h)); h += mlp(post_attention(h)).
  bool post_norms = false;
  // The architecture multiplies by 1 + weight (gemma). For information and fingerprints only:
  // every WeightSource hands over the effective multiplier, so code that computes never looks here.
  bool norm_plus_one = false;
  Activation activation = Activation::kSilu;
  float embedding_scale =
      1.0F;  // embeddings are multiplied by it in fp32; gemma: sqrt(hidden_size)
  float attention_scale = 0.0F;  // multiplies q.k; head_dim^-0.5, gemma: query_pre_attn_scalar^-0.5

  std::vector<LayerConfig> layers;  // [num_layers]

  int32_t bos_token_id = -1;           // -1: none
  std::vector<int32_t> eos_token_ids;  // any of them ends a text; may be empty

  bool operator==(const ModelConfig&) const = default;
};

// INVALID_ARGUMENT (INVALID_CONFIG_VALUE, the field named as config.json names it) unless sizes are
// positive, within limits whose products cannot overflow, and consistent with each other.
absl::Status ValidateModelConfig(const ModelConfig& config);

// The part of ValidateModelConfig that concerns sizes: parsers ask before they build layers.
absl::Status ValidateModelSizes(const ModelConfig& config);

// ExecutorLimits::attention_window: the widest window if every layer has one, else 0.
int32_t AttentionWindow(const ModelConfig& config);

// [head_dim / 2]: the angle that one position adds to pair i, in fp32 as transformers computes it:
// position p rotates by p * result[i], a product rounded to fp32.
std::vector<float> RopeInverseFrequencies(const RopeConfig& rope, int32_t head_dim);

// A weight that the configuration implies, under its Hugging Face name.
struct ExpectedTensor {
  std::string name;            // "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> shape;  // {576, 576}; {hidden_size} for a norm
};

// Every tensor of the model, in a fixed order: embedding, layers, final norm, lm_head.
std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& config);

// The modules that adapters may target.
BaseSpec MakeBaseSpec(const ModelConfig& config, std::string_view fingerprint);

// One line per fact that changes what the model computes, sorted: what fingerprints hash. Token ids
// that end a text are left out.
std::string CanonicalConfig(const ModelConfig& config);

}  // namespace lamella
