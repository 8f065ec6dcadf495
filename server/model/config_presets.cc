#include "server/model/config_presets.h"

#include <cmath>

namespace lamella {

ModelConfig ArchitecturePreset(Architecture architecture) {
  ModelConfig config;
  config.architecture = architecture;
  config.qkv_bias = architecture == Architecture::kQwen2;
  config.qk_norm = architecture == Architecture::kQwen3 || architecture == Architecture::kGemma3;
  if (architecture == Architecture::kGemma3) {
    config.post_norms = true;
    config.norm_plus_one = true;
    config.activation = Activation::kGeluTanh;
  }
  return config;
}

void SetScales(double query_scalar, ModelConfig* config) {
  // transformers computes both in double and rounds once to the weights' dtype, fp32 here.
  config->attention_scale = static_cast<float>(1.0 / std::sqrt(query_scalar));
  config->embedding_scale = config->architecture == Architecture::kGemma3
                                ? static_cast<float>(std::sqrt(double(config->hidden_size)))
                                : 1.0F;
}

}  // namespace lamella
