// Static steps through an executor: decode of B sequences, one token each, or a prompt, with any
// adapters. No scheduler, no tokenizer, no network: what the model room alone can do. The cases
// take turns step by step, so that a slow moment hits all alike and the i-th steps of two cases
// make a pair.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "server/model/cpu_executor.h"
#include "tests/bench/engine_case.h"

namespace lamella::bench {

struct EngineBenchOptions {
  std::vector<EngineCase> cases;
  int32_t threads = 1;
  int32_t context_tokens = 32;  // in the cache before the first step
  int32_t steps = 10;           // of each case in a round, at positions that follow the context
  int32_t rounds = 5;           // limits are measured, and adapters drawn, before each
};

struct EngineBenchRow {
  EngineCase what;
  std::vector<double> seconds;  // [rounds * steps], in the order in which they ran
  // Means over the steps:
  double adapters = 0;       // distinct ones
  double adapter_rank = 0;   // sum of their ranks
  double adapter_bytes = 0;  // of their packed matrices
  double row_rank = 0;       // sum over the rows of their adapter's rank
};

struct EngineBenchReport {
  double read_bandwidth = 0;  // bytes per second, best of the rounds
  double peak_flops = 0;      // operations per second, best of the rounds
  std::vector<EngineBenchRow> rows;
};

// The KV cache must hold context_tokens + steps for the largest case, and its prompts.
absl::StatusOr<EngineBenchReport> RunEngineBench(CpuExecutor* executor,
                                                 const EngineBenchOptions& options);

}  // namespace lamella::bench
