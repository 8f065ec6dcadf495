// Decides whether an adapter fits a base: every tensor binds to a module, every A has its B, shapes
// and ranks agree with the base and with the config, values are finite. Knows neither folders nor
// catalogues. Pure functions over immutable values, so thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/formats/base_spec.h"
#include "common/formats/peft_config.h"
#include "common/formats/safetensors.h"

namespace lamella {

struct AdapterLimits {
  PeftLimits config;
  SafetensorsLimits tensors = SafetensorsLimits::Adapter();
  int32_t max_rank = 4096;     // of any module; memory is bounded by tensors.max_file_bytes
  float max_abs_value = 1e8F;  // a weight beyond it was never trained
};

// One module of the base that the adapter changes: W x + scale * B (A x).
struct BoundModule {
  int32_t module_index = 0;              // into BaseSpec::modules
  int32_t rank = 0;                      // >= 1
  float scale = 0.0F;                    // finite
  const SafetensorsTensor* a = nullptr;  // [rank, in_features], e.g. {8, 576}
  const SafetensorsTensor* b = nullptr;  // [out_features, rank], e.g. {192, 8}
};

struct ValidatedAdapter {
  std::vector<BoundModule> modules;  // sorted by module_index, at least one
  int32_t max_rank = 0;
  int64_t parameters = 0;  // elements of all A and B
};

// The tensors stay in `file`, which must outlive the result. Values are not read: see CheckFinite.
// INVALID_ARGUMENT: NO_MODULE_BOUND, UNKNOWN_TENSOR, MISSING_PAIR, SHAPE_MISMATCH, RANK_MISMATCH,
// LIMIT_EXCEEDED, INVALID_CONFIG_VALUE; UNIMPLEMENTED (UNSUPPORTED_FEATURE) for tensors of another
// method, such as DoRA's magnitudes. The field is the tensor's name.
absl::StatusOr<ValidatedAdapter> ValidateAdapter(const PeftConfig& config,
                                                 const SafetensorsFile& file, const BaseSpec& base,
                                                 const AdapterLimits& limits);

// Scans values. INVALID_ARGUMENT: NON_FINITE for NaN or infinity, OUT_OF_RANGE beyond
// `max_abs_value`; field = the tensor's name.
absl::Status CheckFinite(const SafetensorsTensor& tensor, float max_abs_value);
// The same of some whole elements of `tensor`, for values that arrive in pieces.
absl::Status CheckFinite(const SafetensorsTensor& tensor, std::span<const std::byte> elements,
                         float max_abs_value);
absl::Status CheckFinite(const SafetensorsFile& file, float max_abs_value);

}  // namespace lamella
