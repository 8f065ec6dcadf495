// A base model's weights as the kernels of one table want them: packed matrices, float norms and
// biases, all cut from one arena. Immutable after loading, so any thread may read. Not a file
// format and not adapters: those are AdapterWeights.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "common/formats/base_spec.h"
#include "server/kernels/kernel_table.h"
#include "server/model/model_config.h"
#include "server/model/tensor_arena.h"

namespace lamella {

struct PackedLinear {
  const void* packed = nullptr;  // pack_linear's output, serving dtype [n, k]
  const float* bias = nullptr;   // float [n] or null
  int64_t n = 0;                 // out features
  int64_t k = 0;                 // in features
};

struct LayerWeights {
  std::array<PackedLinear, kModuleKinds> linears;  // indexed by ModuleKind
  const float* input_norm = nullptr;               // float [hidden_size]
  const float* post_attention_norm = nullptr;      // float [hidden_size]
  const float* pre_ff_norm = nullptr;   // float [hidden_size]; null without config.post_norms
  const float* post_ff_norm = nullptr;  // float [hidden_size]; null without config.post_norms
  const float* q_norm = nullptr;        // float [head_dim]; null without config.qk_norm
  const float* k_norm = nullptr;

  const PackedLinear& linear(ModuleKind kind) const { return linears[static_cast<size_t>(kind)]; }
  // The norm before gate and up.
  const float* mlp_norm() const {
    return pre_ff_norm != nullptr ? pre_ff_norm : post_attention_norm;
  }
};

struct ModelWeights {
  ModelConfig config;
  const kernels::KernelTable* table = nullptr;  // what packed the layers
  const kernels::KernelTable* head_table =
      nullptr;                        // what packed embedding and head; of the same ISA
  std::vector<LayerWeights> layers;   // [config.num_layers]
  PackedLinear embedding;             // [vocab_size, hidden_size]; read by unpack_row
  PackedLinear head;                  // the same matrix if config.tie_word_embeddings
  const float* final_norm = nullptr;  // float [hidden_size]
  TensorArena arena;                  // owns everything above

  int64_t bytes() const { return arena.used_bytes(); }
};

}  // namespace lamella
