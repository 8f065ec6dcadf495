// What an architecture's name alone decides, before any file is read: shared by the two parsers of
// configurations. Torch-free.
#pragma once

#include <cstdint>

#include "server/model/model_config.h"

namespace lamella {

// Gemma 3's local layers always rotate with this base where a file names none.
inline constexpr double kGemmaLocalRopeTheta = 10000.0;
// Every sixth of Gemma 3's layers sees all positions where a file names no other pattern.
inline constexpr int32_t kGemmaLayerPattern = 6;

// Sets architecture, qkv_bias, qk_norm, post_norms, norm_plus_one and activation.
ModelConfig ArchitecturePreset(Architecture architecture);

// Sets embedding_scale and attention_scale; the sizes must be set. `query_scalar` is
// query_pre_attn_scalar, or head_dim where an architecture has no such key.
void SetScales(double query_scalar, ModelConfig* config);

}  // namespace lamella
