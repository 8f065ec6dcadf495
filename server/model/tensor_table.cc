#include "server/model/tensor_table.h"

#include "absl/strings/str_cat.h"

namespace lamella {
namespace {

// A layer's tensors in the order of computation.
void AppendLayer(const ModelConfig& config, int32_t layer, std::vector<ExpectedTensor>* out) {
  const std::string prefix = absl::StrCat("model.layers.", layer, ".");
  const auto norm = [&](const char* name, int64_t size) {
    out->push_back({absl::StrCat(prefix, name, ".weight"), {size}});
  };
  const auto linear = [&](ModuleKind kind, bool bias) {
    const auto [rows, columns] = ModuleShape(config, kind);
    const std::string path = ModulePath(layer, kind);
    out->push_back({absl::StrCat(path, ".weight"), {rows, columns}});
    if (bias) out->push_back({absl::StrCat(path, ".bias"), {rows}});
  };
  norm("input_layernorm", config.hidden_size);
  linear(ModuleKind::kQ, config.qkv_bias);
  linear(ModuleKind::kK, config.qkv_bias);
  linear(ModuleKind::kV, config.qkv_bias);
  if (config.qk_norm) {
    norm("self_attn.q_norm", config.head_dim);
    norm("self_attn.k_norm", config.head_dim);
  }
  linear(ModuleKind::kO, false);
  norm("post_attention_layernorm", config.hidden_size);
  if (config.post_norms) norm("pre_feedforward_layernorm", config.hidden_size);
  linear(ModuleKind::kGate, false);
  linear(ModuleKind::kUp, false);
  linear(ModuleKind::kDown, false);
  if (config.post_norms) norm("post_feedforward_layernorm", config.hidden_size);
}

}  // namespace

std::pair<int64_t, int64_t> ModuleShape(const ModelConfig& config, ModuleKind kind) {
  const int64_t hidden = config.hidden_size;
  const int64_t inner = config.intermediate_size;
  const int64_t q = int64_t{config.num_q_heads} * config.head_dim;
  const int64_t kv = int64_t{config.num_kv_heads} * config.head_dim;
  switch (kind) {
    case ModuleKind::kQ:
      return {q, hidden};
    case ModuleKind::kK:
    case ModuleKind::kV:
      return {kv, hidden};
    case ModuleKind::kO:
      return {hidden, q};
    case ModuleKind::kGate:
    case ModuleKind::kUp:
      return {inner, hidden};
    case ModuleKind::kDown:
      return {hidden, inner};
  }
  return {0, 0};
}

std::vector<ExpectedTensor> ExpectedTensors(const ModelConfig& config) {
  const std::vector<int64_t> embedding = {config.vocab_size, config.hidden_size};
  std::vector<ExpectedTensor> out;
  out.push_back({"model.embed_tokens.weight", embedding});
  for (int32_t layer = 0; layer < config.num_layers; ++layer) AppendLayer(config, layer, &out);
  out.push_back({"model.norm.weight", {config.hidden_size}});
  if (!config.tie_word_embeddings) out.push_back({"lm_head.weight", embedding});
  return out;
}

}  // namespace lamella
