#include "adapters_store/adapter_validator.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/bf16.h"
#include "common/formats/json.h"

namespace lamella {
namespace {

absl::Status Refuse(const char* reason, std::string_view field, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, field, message);
}

std::string Tensor(std::string_view name) { return absl::StrCat("tensor ", QuoteForMessage(name)); }

// Parts of tensor names that other methods than plain LoRA leave in a file.
struct ForeignPart {
  std::string_view part;
  std::string_view feature;
};
constexpr std::array kForeignParts = std::to_array<ForeignPart>({
    {".lora_magnitude_vector", "DoRA"},
    {".lora_embedding_", "LoRA on embeddings"},
    {".lora_B.bias", "lora_bias"},
    {".base_layer.", "trained base layers"},
    {".modules_to_save.", "modules_to_save"},
    {".token_adapter.", "trainable_token_indices"},
});

absl::Status CheckForeign(std::string_view name) {
  for (const auto& [part, feature] : kForeignParts) {
    if (name.find(part) == std::string_view::npos) continue;
    return MakeError(absl::StatusCode::kUnimplemented, reasons::kUnsupportedFeature, name,
                     absl::StrCat(Tensor(name), " belongs to ", std::string(feature),
                                  ", which is not supported"));
  }
  return absl::OkStatus();
}

struct LoraName {
  std::string_view module_path;
  bool is_a = false;
};

// "base_model.model.<module path>.lora_A.weight"
std::optional<LoraName> ParseName(std::string_view name) {
  static constexpr std::string_view kPrefix = "base_model.model.";
  static constexpr std::string_view kA = ".lora_A.weight";
  static constexpr std::string_view kB = ".lora_B.weight";
  static_assert(kA.size() == kB.size());
  if (!name.starts_with(kPrefix) || !(name.ends_with(kA) || name.ends_with(kB)) ||
      name.size() < kPrefix.size() + kA.size()) {
    return std::nullopt;
  }
  return LoraName{name.substr(kPrefix.size(), name.size() - kPrefix.size() - kA.size()),
                  name.ends_with(kA)};
}

struct Pair {
  const SafetensorsTensor* a = nullptr;
  const SafetensorsTensor* b = nullptr;
};

// The tensors of each module of the base. Tensor names are unique, so no place is filled twice.
absl::StatusOr<std::vector<Pair>> Bind(const SafetensorsFile& file, const BaseSpec& base) {
  std::unordered_map<std::string_view, size_t> by_path;
  by_path.reserve(base.modules.size());
  for (size_t i = 0; i < base.modules.size(); ++i) by_path.emplace(base.modules[i].path, i);

  std::vector<Pair> pairs(base.modules.size());
  const SafetensorsTensor* unbound = nullptr;
  size_t bound = 0;
  for (const SafetensorsTensor& tensor : file.tensors()) {
    RETURN_IF_ERROR(CheckForeign(tensor.name));
    const auto name = ParseName(tensor.name);
    const auto module = name ? by_path.find(name->module_path) : by_path.end();
    if (module == by_path.end()) {
      if (unbound == nullptr) unbound = &tensor;
      continue;
    }
    (name->is_a ? pairs[module->second].a : pairs[module->second].b) = &tensor;
    ++bound;
  }
  if (bound == 0) {
    return Refuse(reasons::kNoModuleBound, unbound == nullptr ? "" : unbound->name,
                  absl::StrCat("none of the ", file.tensors().size(),
                               " tensors belongs to a module of this base",
                               unbound == nullptr ? "" : ", such as ",
                               unbound == nullptr ? "" : QuoteForMessage(unbound->name)));
  }
  if (unbound != nullptr) {
    return Refuse(reasons::kUnknownTensor, unbound->name,
                  absl::StrCat(Tensor(unbound->name), " belongs to no module of this base"));
  }
  return pairs;
}

absl::Status CheckShape(const SafetensorsTensor& tensor, int64_t rows, int64_t columns) {
  if (tensor.shape == std::vector<int64_t>{rows, columns}) return absl::OkStatus();
  return Refuse(reasons::kShapeMismatch, tensor.name,
                absl::StrCat(Tensor(tensor.name), " must be [", rows, ", ", columns, "], is [",
                             absl::StrJoin(tensor.shape, ", "), "]"));
}

absl::Status CheckPair(const Pair& pair) {
  if (pair.a != nullptr && pair.b != nullptr) return absl::OkStatus();
  const SafetensorsTensor& present = pair.a != nullptr ? *pair.a : *pair.b;
  return Refuse(reasons::kMissingPair, present.name,
                absl::StrCat(Tensor(present.name), " has no matching ",
                             pair.a != nullptr ? "lora_B" : "lora_A"));
}

// The rank is A's first dimension; B, the limit and the config must agree with it.
absl::StatusOr<int32_t> CheckRanks(const Pair& pair, const BaseModule& module,
                                   const PeftConfig& config, const AdapterLimits& limits) {
  const int64_t rank = pair.a->shape.empty() ? 1 : pair.a->shape.front();
  RETURN_IF_ERROR(CheckShape(*pair.a, rank, module.in_features));
  RETURN_IF_ERROR(CheckShape(*pair.b, module.out_features, rank));
  const int32_t expected = config.RankFor(module.path);
  if (rank != expected) {
    return Refuse(
        reasons::kRankMismatch, pair.a->name,
        absl::StrCat(Tensor(pair.a->name), " has rank ", rank, ", the config says ", expected));
  }
  if (rank > limits.max_rank) {
    return Refuse(reasons::kLimitExceeded, pair.a->name,
                  absl::StrCat(Tensor(pair.a->name), " has rank ", rank, ", at most ",
                               limits.max_rank, " is taken"));
  }
  return static_cast<int32_t>(rank);
}

// The largest magnitude as bits: with the sign gone, IEEE formats order like integers, and whatever
// is not finite lies above the rest.
template <typename Bits>
Bits LargestMagnitude(std::span<const std::byte> data) {
  constexpr Bits kMask = static_cast<Bits>(~Bits{0}) >> 1;
  Bits largest = 0;
  for (size_t at = 0; at + sizeof(Bits) <= data.size(); at += sizeof(Bits)) {
    Bits bits;
    std::memcpy(&bits, data.data() + at, sizeof(bits));
    largest = std::max(largest, static_cast<Bits>(bits & kMask));
  }
  return largest;
}

float LargestAsFloat(DType dtype, std::span<const std::byte> data) {
  switch (dtype) {
    case DType::kF32:
      return std::bit_cast<float>(LargestMagnitude<uint32_t>(data));
    case DType::kF16:
      return HalfToFloat(LargestMagnitude<uint16_t>(data));
    case DType::kBF16:
      return Bf16ToFloat(LargestMagnitude<uint16_t>(data));
    case DType::kI64:
    case DType::kOther:
      break;
  }
  return 0.0F;  // no float: the adapter profile of the reader refuses it
}

}  // namespace

absl::StatusOr<ValidatedAdapter> ValidateAdapter(const PeftConfig& config,
                                                 const SafetensorsFile& file, const BaseSpec& base,
                                                 const AdapterLimits& limits) {
  ASSIGN_OR_RETURN(const std::vector<Pair> pairs, Bind(file, base));
  ValidatedAdapter adapter;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const Pair& pair = pairs[i];
    if (pair.a == nullptr && pair.b == nullptr) continue;
    RETURN_IF_ERROR(CheckPair(pair));
    const BaseModule& module = base.modules[i];
    ASSIGN_OR_RETURN(const int32_t rank, CheckRanks(pair, module, config, limits));
    const auto scale = static_cast<float>(config.ScaleFor(module.path, rank));
    if (!std::isfinite(scale)) {
      return Refuse(reasons::kInvalidConfigValue, "lora_alpha",
                    absl::StrCat("lora_alpha gives ", module.path, " a scale beyond fp32"));
    }
    adapter.modules.push_back({static_cast<int32_t>(i), rank, scale, pair.a, pair.b});
    adapter.max_rank = std::max(adapter.max_rank, rank);
    adapter.parameters += rank * (module.in_features + module.out_features);
  }
  return adapter;
}

absl::Status CheckFinite(const SafetensorsTensor& tensor, float max_abs_value) {
  return CheckFinite(tensor, tensor.data, max_abs_value);
}

absl::Status CheckFinite(const SafetensorsTensor& tensor, std::span<const std::byte> elements,
                         float max_abs_value) {
  const float largest = LargestAsFloat(tensor.dtype, elements);
  if (!std::isfinite(largest)) {
    return Refuse(reasons::kNonFinite, tensor.name,
                  absl::StrCat(Tensor(tensor.name), " holds NaN or infinity"));
  }
  if (largest > max_abs_value) {
    return Refuse(reasons::kOutOfRange, tensor.name,
                  absl::StrCat(Tensor(tensor.name), " holds a magnitude of ", largest, ", at most ",
                               max_abs_value, " is taken"));
  }
  return absl::OkStatus();
}

absl::Status CheckFinite(const SafetensorsFile& file, float max_abs_value) {
  for (const SafetensorsTensor& tensor : file.tensors()) {
    RETURN_IF_ERROR(CheckFinite(tensor, max_abs_value));
  }
  return absl::OkStatus();
}

}  // namespace lamella
