#include "server/lora/adapter_loader.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/base/time_slices.h"
#include "common/formats/safetensors.h"

namespace lamella {
namespace {

std::vector<LoraModuleShape> ShapesOf(const ValidatedAdapter& adapter, const BaseSpec& base) {
  std::vector<LoraModuleShape> shapes;
  shapes.reserve(adapter.modules.size());
  for (const BoundModule& bound : adapter.modules) {
    const BaseModule& module = base.modules[static_cast<size_t>(bound.module_index)];
    shapes.push_back({.layer = module.layer,
                      .kind = module.kind,
                      .rank = bound.rank,
                      .in_features = module.in_features,
                      .out_features = module.out_features,
                      .scale = bound.scale});
  }
  return shapes;
}

// The values of a tensor: in place where the file has aligned floats, else converted into `buffer`.
absl::StatusOr<std::span<const float>> Floats(const SafetensorsTensor& tensor,
                                              std::vector<float>* buffer) {
  const auto count = static_cast<size_t>(tensor.rows() * tensor.columns());
  const std::byte* const data = tensor.data.data();
  if (tensor.dtype == DType::kF32 && reinterpret_cast<uintptr_t>(data) % alignof(float) == 0) {
    return std::span(reinterpret_cast<const float*>(data), count);
  }
  if (buffer->size() < count) buffer->resize(count);
  RETURN_IF_ERROR(ReadAsFloat(tensor, 0, tensor.rows(), buffer->data()));
  return std::span<const float>(buffer->data(), count);
}

// Finite weights may still overflow once the scale is folded in.
absl::Status CheckScaled(const SafetensorsTensor& b, std::span<const float> values, float scale) {
  // Without an early end, so that it is vectorized: overflow is what never happens.
  uint32_t faults = 0;
  for (const float value : values) {
    faults |= std::abs(value * scale) <= std::numeric_limits<float>::max() ? 0U : 1U;
  }
  if (faults == 0) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kNonFinite, b.name,
                   b.name + " holds a value that is not finite once multiplied by its scale " +
                       std::to_string(scale));
}

// Whether every packed matrix ends where the next may begin.
bool NeedsNoPadding(const BaseSpec& base, size_t element_bytes) {
  const auto step = static_cast<int64_t>(kArenaAlignment / element_bytes);
  return std::all_of(base.modules.begin(), base.modules.end(), [step](const BaseModule& module) {
    return module.in_features % step == 0 && module.out_features % step == 0;
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<const AdapterWeights>> PackAdapter(
    const AdapterRef& ref, const ValidatedAdapter& adapter, const BaseSpec& base,
    const kernels::KernelTable& kernels) {
  AdapterWeightsBuilder builder(ref, base.num_layers(), ShapesOf(adapter, base), kernels);
  std::vector<float> a_buffer;
  std::vector<float> b_buffer;
  for (size_t i = 0; i < adapter.modules.size(); ++i) {
    const BoundModule& bound = adapter.modules[i];
    ASSIGN_OR_RETURN(const std::span<const float> a, Floats(*bound.a, &a_buffer));
    ASSIGN_OR_RETURN(const std::span<const float> b, Floats(*bound.b, &b_buffer));
    RETURN_IF_ERROR(CheckScaled(*bound.b, b, bound.scale));
    builder.Pack(i, a.data(), b.data());
    TimeSlices::Rest();
  }
  return std::move(builder).Finish();
}

size_t ResidentBytesBound(const StoredVersion& version, const BaseSpec& base,
                          const kernels::KernelTable& kernels) {
  const auto modules = static_cast<size_t>(version.modules);
  size_t bytes = ComputeAdapterSize({}, base.num_layers(), kernels).resident_bytes +
                 modules * sizeof(AdapterWeights::Module) +
                 static_cast<size_t>(version.parameters) * kernels.element_bytes;
  if (!NeedsNoPadding(base, kernels.element_bytes)) {
    const size_t column_padding =
        (kernels::kColumnTile - 1) * static_cast<size_t>(version.max_rank) * kernels.element_bytes;
    bytes += modules * (column_padding + 2 * (kArenaAlignment - 1));
  }
  return bytes;
}

absl::StatusOr<StoredVersion> StoreAdapterLoader::Find(const AdapterRef& ref) const {
  const std::string version = "@sha256:" + ref.version;
  absl::StatusOr<StoredVersion> found = store_->Resolve(ref.tenant, ref.name + version, "");
  if (found.ok() || !absl::IsNotFound(found.status())) return found;
  // Two names may mean one version, and this one may be gone.
  for (const AdapterListing& listing : store_->List(ref.tenant)) {
    absl::StatusOr<StoredVersion> other =
        store_->Resolve(ref.tenant, listing.version.name + version, "");
    if (other.ok()) return other;
  }
  return found;
}

absl::StatusOr<size_t> StoreAdapterLoader::ResidentBytes(const AdapterRef& ref) const {
  ASSIGN_OR_RETURN(const StoredVersion version, Find(ref));
  return ResidentBytesBound(version, *base_, *kernels_);
}

absl::StatusOr<std::unique_ptr<const AdapterWeights>> StoreAdapterLoader::Load(
    const AdapterRef& ref) const {
  StoredVersion version;
  version.tenant = ref.tenant;
  version.name = ref.name;
  version.version = ref.version;
  ASSIGN_OR_RETURN(const AdapterFiles files, store_->Open(version));
  return PackAdapter(ref, files.validated, *base_, *kernels_);
}

}  // namespace lamella
