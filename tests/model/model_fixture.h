// What tests of executors share: making one over a tiny model, and asking for logits token by
// token.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/model/cpu_executor.h"
#include "tests/model/tiny_model.h"
#include "tests/testing/step_driver.h"

namespace lamella::testing {

inline std::vector<kernels::Isa> AvailableIsas() {
  std::vector<kernels::Isa> isas;
  for (const kernels::Isa isa : kernels::kAllIsas) {
    if (kernels::IsaAvailable(isa)) isas.push_back(isa);
  }
  return isas;
}

inline CpuExecutorOptions TinyOptions(kernels::Isa isa, kernels::WeightType dtype,
                                      int32_t threads = 1) {
  CpuExecutorOptions options;
  options.isa = isa;
  options.dtype = dtype;
  options.threads = threads;
  options.kv_cache_bytes = int64_t{4} << 20;
  options.max_rows = 64;
  options.max_sequences = 16;
  return options;
}

inline std::unique_ptr<CpuExecutor> MakeExecutor(const WeightSource& source,
                                                 const CpuExecutorOptions& options) {
  auto executor = CpuExecutor::Create(source, options);
  EXPECT_TRUE(executor.ok()) << executor.status();
  return executor.ok() ? std::move(executor).value() : nullptr;
}

// Logits after each of the last `decoded` tokens: all before them are fed in chunks of `chunk`
// rows, they one by one.
inline std::vector<std::vector<float>> LogitsAlone(ModelExecutor* executor,
                                                   const std::vector<int32_t>& tokens,
                                                   const AdapterWeights* adapter, int32_t decoded,
                                                   int32_t chunk, uint32_t block_seed = 0) {
  StepDriver driver(executor, block_seed);
  const int32_t sequence = driver.Add(tokens, adapter);
  EXPECT_TRUE(driver.Prefill(sequence, chunk, decoded).ok());
  std::vector<std::vector<float>> result;
  while (driver.pending(sequence) > 0) {
    const Feed feed{sequence, 1, true};
    const auto output = driver.Step({&feed, 1});
    EXPECT_TRUE(output.ok()) << output.status();
    const auto logits = driver.logits(0);
    result.emplace_back(logits.begin(), logits.end());
  }
  return result;
}

}  // namespace lamella::testing
