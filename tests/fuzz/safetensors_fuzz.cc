// Any bytes as an adapter's weights file: parse with both profiles, then read and check every
// tensor that was accepted, so that a wrong offset becomes a sanitizer's report.
//   build/fuzz/bin/safetensors_fuzz tests/fuzz/corpus/safetensors -max_total_time=10
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "adapters_store/adapter_validator.h"
#include "common/formats/safetensors.h"
#include "tests/testing/base_specs.h"

namespace {

void Exercise(std::span<const std::byte> bytes, const lamella::SafetensorsLimits& limits) {
  const auto file = lamella::SafetensorsFile::Parse(bytes, limits);
  if (!file.ok()) return;
  for (const lamella::SafetensorsTensor& tensor : file->tensors()) {
    // An accepted tensor of a dtype that can be read lies within the input, so this is bounded.
    if (lamella::DTypeBytes(tensor.dtype) == 0) continue;
    std::vector<float> values(static_cast<size_t>(tensor.rows() * tensor.columns()));
    (void)lamella::ReadAsFloat(tensor, 0, tensor.rows(), values.data());
  }
  (void)lamella::CheckFinite(*file, 1e8F);
  (void)lamella::ValidateAdapter({}, *file, lamella::testing::TinySpec(), {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  Exercise(bytes, lamella::SafetensorsLimits::Adapter());
  Exercise(bytes, lamella::SafetensorsLimits::BaseModel());
  return 0;
}
