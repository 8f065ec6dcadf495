// What an adapter needs to know of a base model, and nothing more: which linear modules exist,
// their shapes, and a fingerprint. `model` builds it from a loaded base; the store's validator, the
// CLI and `lora` take it, so none of them needs the base's weights. An immutable value.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lamella {

// The seven linears of a decoder layer, in the order in which they are laid out in memory.
enum class ModuleKind : int32_t { kQ = 0, kK, kV, kO, kGate, kUp, kDown };
inline constexpr int32_t kModuleKinds = 7;

struct BaseModule {
  std::string path;  // Hugging Face path, e.g. "model.layers.0.self_attn.q_proj"
  int32_t layer = 0;
  ModuleKind kind = ModuleKind::kQ;
  int64_t in_features = 0;   // columns of W
  int64_t out_features = 0;  // rows of W
};

struct BaseSpec {
  std::string architecture;  // as config.json names it, e.g. "LlamaForCausalLM"
  std::string fingerprint;   // 64 lowercase hex digits; see docs/architecture.md
  // Sorted by layer, then kind: module of (layer, kind) is modules[layer * kModuleKinds + kind].
  std::vector<BaseModule> modules;

  int32_t num_layers() const { return static_cast<int32_t>(modules.size()) / kModuleKinds; }
  const BaseModule& module(int32_t layer, ModuleKind kind) const {
    return modules[static_cast<size_t>(layer * kModuleKinds + static_cast<int32_t>(kind))];
  }
  // Index into `modules`, or -1 if the base has no such module.
  int32_t FindModule(std::string_view path) const;
};

// Last component of a module's path, e.g. "q_proj".
std::string_view ModuleKindName(ModuleKind kind);

// "model.layers.<layer>.self_attn.q_proj" and so on.
std::string ModulePath(int32_t layer, ModuleKind kind);

}  // namespace lamella
