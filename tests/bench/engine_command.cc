// lamella-bench engine [--model=PATH | --shape=smollm2-135m|qwen2.5-0.5b|llama-3.2-1b]
//                      [--threads=N] [--isa=best|...] [--dtype=bf16|float32]
//                      [--base_quant=none|int8|int4] [--kv_cache_dtype=auto|int8]
//                      [--matmul_precision=auto|high|medium]
//                      [--cases=1xbase,32x8@16,...] [--context=32] [--rank=16]
//                      [--steps=10] [--rounds=5] [--json] [--smoke]
//
// Speed of the CPU executor, in process: decode steps and prompts of any mix of adapters, as
// engine_case.h says. Cases take turns step by step; figures are medians of rounds x steps. They
// stand beside the read bandwidth and the arithmetic peak that the same run measured.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "common/base/status_macros.h"
#include "tests/bench/commands.h"
#include "tests/bench/engine_bench.h"
#include "tests/bench/engine_report.h"
#include "tests/bench/executor_flags.h"
#include "tests/bench/machine.h"
#include "tests/bench/random_source.h"
#include "tests/bench/roofline.h"

ABSL_FLAG(std::string, model, "", "GGUF file or Hugging Face folder");
ABSL_FLAG(std::string, shape, "smollm2-135m", "random weights of this shape, without --model");
ABSL_FLAG(std::vector<std::string>, cases,
          (std::vector<std::string>{"1x1", "8x1", "8x8", "32x1", "32x8", "32x32", "32xzipf",
                                    "prefill:512xbase"}),
          "who is in a step: see engine_case.h; the base is added to every case with adapters");
ABSL_FLAG(int32_t, context, 32, "tokens of each sequence before the first measured step");
ABSL_FLAG(int32_t, rank, 16, "of adapters, where a case names none");
ABSL_FLAG(int32_t, steps, 10, "of each case in a round");
ABSL_DECLARE_FLAG(std::string, dtype);
ABSL_DECLARE_FLAG(int32_t, rounds);
ABSL_DECLARE_FLAG(bool, json);
ABSL_DECLARE_FLAG(bool, smoke);

namespace lamella::bench {
namespace {

// Those of `names`, and the base case of each before it.
absl::StatusOr<std::vector<EngineCase>> Cases(const std::vector<std::string>& names) {
  std::vector<EngineCase> cases;
  const auto add = [&cases](EngineCase one) {
    const bool there = std::any_of(cases.begin(), cases.end(),
                                   [&](const EngineCase& other) { return other.name == one.name; });
    if (!there) cases.push_back(std::move(one));
  };
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(EngineCase one, ParseEngineCase(name, absl::GetFlag(FLAGS_rank)));
    if (!one.base()) add(BaseOf(one));
    add(std::move(one));
  }
  if (cases.empty()) return absl::InvalidArgumentError("--cases names none");
  return cases;
}

absl::StatusOr<EngineBenchOptions> BenchOptions() {
  EngineBenchOptions options;
  std::vector<std::string> names = absl::GetFlag(FLAGS_cases);
  options.context_tokens = absl::GetFlag(FLAGS_context);
  options.steps = absl::GetFlag(FLAGS_steps);
  options.rounds = absl::GetFlag(FLAGS_rounds);
  if (absl::GetFlag(FLAGS_smoke)) {
    names = {"1x1@4", "3x3@4/8", "2x1@4#3", "4xzipf1.2@4#9", "sequential:4x2@4", "prefill:8x1@4"};
    options.context_tokens = 4;
    options.steps = 2;
    options.rounds = 1;
  }
  if (options.context_tokens < 1 || options.steps < 1 || absl::GetFlag(FLAGS_rank) < 1) {
    return absl::InvalidArgumentError("--context, --steps and --rank must be positive");
  }
  ASSIGN_OR_RETURN(options.cases, Cases(names));
  return options;
}

absl::StatusOr<std::unique_ptr<WeightSource>> Source(const std::string& shape) {
  if (const std::string path = absl::GetFlag(FLAGS_model); !path.empty()) {
    return OpenWeightSource(path);
  }
  ASSIGN_OR_RETURN(ModelConfig config, NamedShape(shape));
  return std::make_unique<RandomSource>(std::move(config));
}

absl::StatusOr<EngineReport> Measure() {
  EngineReport report;
  ASSIGN_OR_RETURN(CpuExecutorOptions executor_options, ExecutorOptionsFromFlags());
  executor_options.kv_cache_bytes = int64_t{1} << 30;
  ASSIGN_OR_RETURN(EngineBenchOptions options, BenchOptions());
  options.threads = executor_options.threads;
  for (const EngineCase& one : options.cases) {
    executor_options.max_rows = std::max(executor_options.max_rows, one.rows);
    if (one.kind == EngineCase::Kind::kPrefill) continue;
    executor_options.max_sequences = std::max(executor_options.max_sequences, one.rows);
  }
  const std::string path = absl::GetFlag(FLAGS_model);
  const std::string shape = absl::GetFlag(FLAGS_smoke) ? "bench-small" : absl::GetFlag(FLAGS_shape);
  report.model = path.empty() ? "random " + shape : path.substr(path.find_last_of('/') + 1);
  report.dtype = absl::GetFlag(FLAGS_dtype);
  report.threads = options.threads;
  ASSIGN_OR_RETURN(auto source, Source(shape));
  ASSIGN_OR_RETURN(const auto executor, CpuExecutor::Create(*source, executor_options));
  source.reset();
  report.isa = kernels::IsaName(executor->kernel_table().isa);
  report.precision = kernels::MatmulPrecisionName(executor->kernel_table().precision);
  report.size = SizeOf(*executor);
  ASSIGN_OR_RETURN(report.bench, RunEngineBench(executor.get(), options));
  return report;
}

}  // namespace

absl::Status EngineCommand() {
  ASSIGN_OR_RETURN(const EngineReport report, Measure());
  absl::GetFlag(FLAGS_json) ? PrintEngineJson(report) : PrintEngineTable(report);
  return absl::OkStatus();
}

}  // namespace lamella::bench
