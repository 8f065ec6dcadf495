// A demo base model with its sample adapters, as tests and the proof command open them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/model/cpu_executor.h"
#include "tests/testing/golden.h"
#include "tests/testing/mixed_batch.h"

namespace lamella::testing {

// "smollm2-135m-instruct" or "gemma-3-270m". NOT_FOUND names the missing file.
absl::StatusOr<std::string> DemoModelPath(std::string_view base);

struct RealBase {
  std::unique_ptr<CpuExecutor> executor;
  AdapterMap adapters;  // the samples that fit this base, through the store and the loader
};

// Opens `path` (a GGUF file or a Hugging Face folder) and every sample in `samples_folder`.
absl::StatusOr<RealBase> OpenRealBase(const std::string& path, const std::string& samples_folder,
                                      const CpuExecutorOptions& options);

// The base and eight adapters, the samples among them and the others random, in one batch over the
// prompts of `cases`, against each alone. Takes the adapters out of `base`.
absl::StatusOr<MixedFigures> CompareNineMixed(RealBase* base, const std::vector<GoldenCase>& cases);

// float32 or bfloat16 with room for all recorded cases at once.
CpuExecutorOptions RealBaseOptions(kernels::WeightType dtype);

}  // namespace lamella::testing
