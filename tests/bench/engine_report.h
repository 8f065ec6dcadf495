// What the steps of `lamella-bench engine` mean beside the machine's limits, as a table and as
// JSON.
#pragma once

#include <cstdint>
#include <string>

#include "server/model/cpu_executor.h"
#include "tests/bench/engine_bench.h"

namespace lamella::bench {

// What a step must do at least.
struct ModelSize {
  double read_bytes = 0;         // of weights in one step: all but an embedding of its own
  double linear_parameters = 0;  // of all layers' linears
  double head_parameters = 0;
  double adapter_width = 0;  // sum of in and out features over the linears
};
ModelSize SizeOf(const CpuExecutor& executor);

struct EngineReport {
  std::string model;
  std::string dtype;
  std::string isa;
  std::string precision;  // of products; auto where it makes no difference
  int32_t threads = 0;
  ModelSize size;
  EngineBenchReport bench;
};

// Derived from a row and the machine's limits.
struct EngineFigures {
  double step_seconds = 0;  // median
  double tokens_per_second = 0;
  double bandwidth_share = 0;  // bytes of weights, read once a step, over what memory could give
  double peak_share = 0;       // operations of linear layers over what the arithmetic could give
  // Of a case with adapters:
  double retention = 0;  // median over pairs of steps: time of the base case over this one's
  // What the base's own time leaves if the adapters' bytes and operations are added to the limit
  // that holds: t_base / (t_base + max(t_mem + t_lm, t_cmp + t_lc) - max(t_mem, t_cmp)).
  double retention_limit = 0;
};
EngineFigures FiguresOf(const EngineReport& report, const EngineBenchRow& row);

void PrintEngineTable(const EngineReport& report);
void PrintEngineJson(const EngineReport& report);

}  // namespace lamella::bench
