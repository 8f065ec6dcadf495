#include "common/formats/base_spec.h"

#include "absl/strings/str_cat.h"

namespace lamella {
namespace {

struct KindName {
  const char* parent;
  const char* name;
};
constexpr std::array<KindName, kModuleKinds> kNames = {{{"self_attn", "q_proj"},
                                                        {"self_attn", "k_proj"},
                                                        {"self_attn", "v_proj"},
                                                        {"self_attn", "o_proj"},
                                                        {"mlp", "gate_proj"},
                                                        {"mlp", "up_proj"},
                                                        {"mlp", "down_proj"}}};

const KindName& NameOf(ModuleKind kind) { return kNames[static_cast<size_t>(kind)]; }

}  // namespace

std::string_view ModuleKindName(ModuleKind kind) { return NameOf(kind).name; }

std::string ModulePath(int32_t layer, ModuleKind kind) {
  return absl::StrCat("model.layers.", layer, ".", NameOf(kind).parent, ".", NameOf(kind).name);
}

int32_t BaseSpec::FindModule(std::string_view path) const {
  for (size_t i = 0; i < modules.size(); ++i) {
    if (modules[i].path == path) return static_cast<int32_t>(i);
  }
  return -1;
}

}  // namespace lamella
