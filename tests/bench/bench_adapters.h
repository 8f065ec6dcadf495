// Adapters of given sizes, as they are uploaded, and what the commands that need them share. The
// shape is SmolLM2-135M's: rank 16 in all seven linears is a file of 20 MB in fp32.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "adapters_store/durable_adapter_store.h"
#include "common/formats/base_spec.h"
#include "common/formats/dtype.h"
#include "tests/bench/statistics.h"

namespace lamella::bench {

BaseSpec BenchBase();

struct AdapterFile {
  std::string config_json;
  std::string weights;  // safetensors
};

// Random values; every linear of the base, or the first `modules` of them.
AdapterFile MakeAdapterFile(const BaseSpec& base, int32_t rank, uint32_t seed,
                            DType dtype = DType::kF32, size_t modules = 1 << 20);

// In chunks of 1 MiB, as the protocol carries it.
absl::StatusOr<UploadResult> UploadAdapter(DurableAdapterStore* store, const std::string& name,
                                           const AdapterFile& file);

double MillisecondsSince(absl::Time begin);

// The head of every table: what was measured, processor, commit.
void PrintHead(const std::string& what);

}  // namespace lamella::bench
