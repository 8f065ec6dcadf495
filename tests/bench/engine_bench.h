// Static decode through an executor: B sequences, one token each a step, base or 8 adapters. No
// scheduler, no tokenizer, no network: what the model room alone can do.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/lora/adapter_weights.h"
#include "server/model/cpu_executor.h"

namespace lamella::bench {

inline constexpr int32_t kBenchAdapters = 8;

struct EngineBenchOptions {
  std::vector<int32_t> batches = {1, 8, 32};
  int32_t context_tokens = 32;  // in the cache before the first measured step
  int32_t steps = 24;           // measured by round
  int32_t rounds = 5;           // all cells once in each, so that a slow moment hits all alike
  int32_t rank = 16;            // of every one of the seven linears
};

struct EngineBenchRow {
  int32_t batch = 0;
  std::string adapters;                 // "base" or "8 adapters"
  double decode_tokens_per_second = 0;  // median over rounds of the batch by the median step
  double step_ms = 0;
  double prefill_tokens_per_second = 0;  // of the contexts, one step for each sequence
};

absl::StatusOr<std::vector<EngineBenchRow>> RunEngineBench(CpuExecutor* executor,
                                                           const EngineBenchOptions& options);

}  // namespace lamella::bench
