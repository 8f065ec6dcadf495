#include "client/cli/model_shape.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/gguf.h"
#include "common/formats/mapped_file.h"
#include "common/formats/safetensors.h"

namespace lamella::cli {
namespace {

constexpr std::array<std::pair<std::string_view, ModuleKind>, 7> kGgufNames = {
    {{"attn_q", ModuleKind::kQ},
     {"attn_k", ModuleKind::kK},
     {"attn_v", ModuleKind::kV},
     {"attn_output", ModuleKind::kO},
     {"ffn_gate", ModuleKind::kGate},
     {"ffn_up", ModuleKind::kUp},
     {"ffn_down", ModuleKind::kDown}}};

using Modules = std::map<std::pair<int32_t, ModuleKind>, BaseModule>;

std::optional<ModuleKind> KindOf(std::string_view part) {
  for (const auto& [name, kind] : kGgufNames) {
    if (part == name || part == ModuleKindName(kind)) return kind;
  }
  return std::nullopt;
}

// "blk.3.attn_q.weight" or "...layers.3.self_attn.q_proj.weight", [out, in].
void AddTensor(const std::string& name, const std::vector<int64_t>& shape, Modules* modules) {
  const std::vector<std::string> parts = absl::StrSplit(name, '.');
  if (parts.size() < 4 || parts.back() != "weight" || shape.size() != 2) return;
  const auto above = std::find_if(parts.begin(), parts.end(), [](const std::string& part) {
    return part == "blk" || part == "layers";
  });
  int32_t layer = 0;
  if (above == parts.end() || !absl::SimpleAtoi(*(above + 1), &layer) || layer < 0) return;
  const auto kind = KindOf(parts[parts.size() - 2]);
  if (!kind.has_value()) return;
  (*modules)[{layer, *kind}] = {ModulePath(layer, *kind), layer, *kind, shape[1], shape[0]};
}

absl::Status AddGguf(const std::string& path, Modules* modules) {
  ASSIGN_OR_RETURN(const auto file, MappedFile::Open(path));
  const auto bytes = file->bytes();
  ASSIGN_OR_RETURN(const GgufFile gguf,
                   GgufFile::Parse({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
  for (const GgufTensor& tensor : gguf.tensors()) AddTensor(tensor.name, tensor.shape, modules);
  return absl::OkStatus();
}

absl::Status AddFolder(const std::string& path, Modules* modules) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(path, ignored)) {
    if (entry.path().extension() != ".safetensors") continue;
    ASSIGN_OR_RETURN(auto file, MappedFile::Open(entry.path()));
    ASSIGN_OR_RETURN(const auto tensors,
                     SafetensorsFile::Open(std::move(file), SafetensorsLimits::BaseModel()));
    for (const SafetensorsTensor& tensor : tensors->tensors()) {
      AddTensor(tensor.name, {tensor.shape.begin(), tensor.shape.end()}, modules);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BaseSpec> ReadModelShape(const std::string& path) {
  Modules modules;
  RETURN_IF_ERROR(absl::EndsWith(path, ".gguf") ? AddGguf(path, &modules)
                                                : AddFolder(path, &modules));
  BaseSpec spec;
  for (auto& [place, module] : modules) {
    const auto index = static_cast<int32_t>(spec.modules.size());
    if (place != std::pair(index / kModuleKinds, static_cast<ModuleKind>(index % kModuleKinds))) {
      break;
    }
    spec.modules.push_back(std::move(module));
  }
  if (!modules.empty() && spec.modules.size() == modules.size() &&
      modules.size() % kModuleKinds == 0) {
    return spec;
  }
  const auto next = static_cast<int32_t>(spec.modules.size());
  const std::string missing =
      ModulePath(next / kModuleKinds, static_cast<ModuleKind>(next % kModuleKinds));
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kMissingTensor, missing,
                   absl::StrCat("the model has no linear module ", missing));
}

}  // namespace lamella::cli
