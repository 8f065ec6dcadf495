// Tiny models as Hugging Face folders, for tests of what reads a base model.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "server/model/hf_config.h"
#include "server/model/tensor_table.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella::testing {

inline std::string TinyHfLlamaConfig() {
  return R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 8,
  "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
  "num_key_value_heads": 1, "head_dim": 4, "max_position_embeddings": 64, "rms_norm_eps": 1e-05,
  "rope_theta": 10000.0, "tie_word_embeddings": true, "hidden_act": "silu", "bos_token_id": 6,
  "eos_token_id": 7})";
}

inline std::string TinyHfGemmaConfig() {
  return R"({"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "vocab_size": 8,
  "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
  "num_key_value_heads": 1, "head_dim": 4, "max_position_embeddings": 64, "rms_norm_eps": 1e-05,
  "rope_theta": 10000.0, "sliding_window": 16, "query_pre_attn_scalar": 4,
  "layer_types": ["sliding_attention", "full_attention"], "bos_token_id": 6, "eos_token_id": 7})";
}

// Every tensor that the configuration implies, all elements `value`, but those named in `without`.
inline SafetensorsWriter TinyHfWeights(const std::string& config_json, float value, DType dtype,
                                       const std::vector<std::string>& without = {}) {
  SafetensorsWriter writer;
  const auto config = ParseHfConfig(config_json);
  if (!config.ok()) return writer;
  for (const ExpectedTensor& tensor : ExpectedTensors(*config)) {
    if (std::find(without.begin(), without.end(), tensor.name) != without.end()) continue;
    writer.Fill(tensor.name, tensor.shape, value, dtype);
  }
  return writer;
}

}  // namespace lamella::testing
